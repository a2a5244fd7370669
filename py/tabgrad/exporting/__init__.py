"""Static graphs with unknown sizes: `export` traces a function to a graph of ops that runs without its Python.

The function is traced at several sizes. If the traces have the same ops, each number that differs between them
(a size in a reshape, the count that divides a sum) is replaced by a formula of the unknown sizes that fits all
traces. If the ops differ, or no formula fits, the function can't be exported, and the error says why.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from tabgrad.core import tree
from tabgrad.core.dtype import DType
from tabgrad.core.errors import ExportError, TabgradError
from tabgrad.core.trace import Box
from tabgrad.exporting import files
from tabgrad.exporting.aligning import Common, aligned
from tabgrad.exporting.formulas import Sizes
from tabgrad.exporting.program import ExportedProgram, Filled, Graph, Input, Step
from tabgrad.exporting.specs import Dim, TensorSpec, sample_sizes, unknown_sizes
from tabgrad.exporting.tracing import Sample, filling, same_data
from tabgrad.nn.module import Module

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor

ROUNDED = {2: 4e-3, 4: 2e-7}
"""The relative tolerance of a formula for numbers rounded to 2 and 4 bytes."""


class Export:
    """`tabgrad.export`: makes static graphs, saves and loads them."""

    Dim: TypeAlias = Dim
    ExportedProgram: TypeAlias = ExportedProgram
    TensorSpec: TypeAlias = TensorSpec
    save = staticmethod(files.save)
    save_async = staticmethod(files.save_async)
    load = staticmethod(files.load)

    def __reduce__(self) -> str:
        return "export"

    def __call__(self, fn: Callable[..., Any], specs: tree.Tree) -> ExportedProgram:
        """Return the static graph of `fn`, a function or module, for arguments like those in the tuple `specs`.

        In it a TensorSpec, or a tensor for its shape and dtype, stands for each tensor argument; trees are
        fine, and numbers are passed as they are and must be the same at each call. A size given by name is
        unknown: the graph runs at any. The result is called like `fn`; it prints, is differentiable, and
        `export.save` writes it to a file that `export.load` reads in another process or page. What `fn`
        writes to tensors from outside (the statistics of a batch norm) the graph writes too.

        Raises ExportError where `fn` reads a value, decides by an unknown size, or calls a custom Function
        outside of no_grad(): a static graph has only the derivatives of its ops.

        >>> import tabgrad as tg
        >>> spec = tg.export.TensorSpec(("n", 2), device="cpu")
        >>> program = tg.export(lambda x: x.mean(0), (spec,))
        >>> program(tg.ones(5, 2, device="cpu"))
        tensor([1., 1.])
        """
        specs = specs if isinstance(specs, tuple) else tuple(specs)
        leaves, structure = tree.flatten(specs)
        dims = unknown_sizes(leaves)
        samples: list[Sample] = []
        for sizes in sample_sizes(list(dims.values())):
            samples.append(Sample(fn, specs, sizes))
            aligned([samples[0], samples[-1]])  # before tracing a loop over a large size
        names: dict[int, str] = {}
        if isinstance(fn, Module):
            named = itertools.chain(fn.named_parameters(), fn.named_buffers())
            names = {id(t): name for name, t in named}
        program = joined(samples, leaves, structure, dims, names)
        bounds = {
            name: (lowest(fn, program, specs, samples[0].sizes, d), d.max)
            for name, d in dims.items()
        }
        return ExportedProgram(program.graph._replace(bounds=bounds), program.state)

    def export(
        self, mod: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None = None, *,
        dynamic_shapes: Any = None, strict: bool = False,
    ) -> ExportedProgram:  # fmt: skip
        """Return the static graph of a module for arguments like these: PyTorch's `torch.export.export`.

        Of `args` the shapes and dtypes count. Sizes that are unknown are given by name in a TensorSpec, not in
        `dynamic_shapes`, which raises ExportError.

        >>> import tabgrad as tg
        >>> program = tg.export.export(tg.nn.ReLU(), (tg.ones(2, device="cpu"),))
        >>> program.module()(tg.tensor([-1.0, 2.0], device="cpu"))
        tensor([0., 2.])
        """
        if dynamic_shapes:
            raise ExportError(
                "export: dynamic_shapes are not read; give a size by name in place of the example: "
                'tabgrad.export.TensorSpec(("batch", 3))'
            )
        if kwargs:
            raise ExportError(
                f"export: arguments are given by place, got {', '.join(kwargs)} by name"
            )
        return self(mod, args)


def joined(
    samples: list[Sample], leaves: list[Any], structure: tree.Structure, dims: dict[str, Dim],
    names: dict[int, str],
) -> ExportedProgram:  # fmt: skip
    """Return the graph of which all traces are instances."""
    model, alignments = aligned(samples)
    program, common = model.program, Common(alignments)
    constants, state, captured = closed_over(program.captured, common, names)
    made = [step[3] for step in program.steps]
    place = {ref: i for i, ref in enumerate([*program.inputs, *[~k for k in captured], *made])}
    steps = tuple([
        Step(op, common.params(k, op.name), tuple([place[r] for r in refs]))
        for k, (op, _, refs, _, _) in enumerate(program.steps)
    ])  # fmt: skip
    count = len(model.out_specs)
    outputs = [place[r] for r in program.outputs]
    owners = {id(t): name for name, t in state.items()}
    writes = zip(model.written, outputs[count:], strict=True)
    tensors = [x for x in leaves if isinstance(x, TensorSpec | Box)]
    graph = Graph(
        tuple([Input(*shape_and_dtype(x)) for x in tensors]),
        tuple(constants),
        tuple(state),
        steps,
        tuple(outputs[:count]),
        tuple([(owners[id(x)], r) for x, r in writes]),
        dict.fromkeys(dims, (0, None)),
        common.derived,
        {i: x for i, x in enumerate(leaves) if not isinstance(x, TensorSpec | Box)},
        structure,
        model.out_structure,
    )
    return ExportedProgram(graph, state)


def closed_over(
    captured: list[Tensor], common: Common, names: dict[int, str]
) -> tuple[list[Filled], dict[str, Tensor], list[int]]:
    """Return the constants, the other captured tensors by name, and the order of both in the trace."""
    constants, numbers = [], []
    state: dict[str, Tensor] = {}
    held = []
    for k, x in enumerate(captured):
        each = [a.captured[k] for a in common.alignments]
        if each[0] is None:
            continue  # only steps that were dropped used it
        if id(x) not in names and all(filling(t) is not None for t in each):
            # the number was rounded to its dtype
            tolerance = ROUNDED.get(x.spec.dtype.itemsize, 1e-12)
            number = common.value([filling(t) for t in each], f"constant {k}", tolerance)
            shape = common.value([t.spec.shape for t in each], f"the shape of constant {k}")
            constants.append(Filled(number, shape, x.spec.dtype))
            numbers.append(k)
        elif all(t is x for t in each) or same_data(each):
            state[names.get(id(x), f"tensor{len(state)}")] = x
            held.append(k)
        else:
            raise ExportError(
                f"export: the function makes a tensor {x.spec} of Python data that depends on an unknown size; "
                "make it with arange, full and other ops"
            )
    return constants, state, [*numbers, *held]


def lowest(
    fn: Callable[..., Any], program: ExportedProgram, specs: tree.Tree, sizes: Sizes, d: Dim
) -> int:
    """Return the smallest size from which on the graph and the function agree.

    At small sizes they may differ: a size of 1 broadcasts, an empty axis has no maximum, a window must fit.
    """
    low = sizes[d.name]
    free = without_bounds(program)
    while low > (d.min or 0):
        at = {**sizes, d.name: low - 1}
        try:
            if Sample(fn, specs, at).out_specs != Sample(free, specs, at).out_specs:
                break
        except (TabgradError, ArithmeticError, ValueError, IndexError):
            break
        low -= 1
    return low


def shape_and_dtype(x: TensorSpec | Box) -> tuple[tuple[int | str, ...], DType]:
    """Return the required shape and dtype of an argument."""
    found = x if isinstance(x, TensorSpec) else x.spec
    return found.shape, found.dtype


def without_bounds(program: ExportedProgram) -> ExportedProgram:
    """Return the program without bounds."""
    free: dict[str, tuple[int, int | None]] = dict.fromkeys(program.graph.bounds, (0, None))
    return ExportedProgram(program.graph._replace(bounds=free), program.state)


export = Export()

__all__ = ["export"]

"""The static graph that `export` returns. It runs op by op, so transforms and `compile` work on it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tabgrad.autograd.grad_mode import no_grad
from tabgrad.core import dtype as dt, tree
from tabgrad.core.errors import DTypeError, ExportError, FileFormatError, ShapeError, TabgradError
from tabgrad.core.op import Op
from tabgrad.core.spec import intern_params, spec
from tabgrad.core.trace import Box, bind, constant
from tabgrad.exporting.formulas import Formula, Sizes
from tabgrad.exporting.verifying import at, verify, with_derived
from tabgrad.hosts.devices import Device, device as device_of, get_default_device
from tabgrad.tensor.generator import bits

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


class Input(NamedTuple):
    """A tensor argument: its shape, with names for unknown sizes, and its dtype."""

    shape: tuple[int | str, ...]
    dtype: dt.DType


class Filled(NamedTuple):
    """A constant: number, shape and dtype, with formulas for numbers that depend on unknown sizes."""

    number: Any
    shape: tuple[Any, ...]
    dtype: dt.DType


class Step(NamedTuple):
    """One op: its parameters, with formulas, and the positions of its arguments among the values.

    The values are the inputs, the constants, the state and the results of earlier steps, in this order.
    """

    op: Op
    params: dict[str, Any]
    args: tuple[int, ...]


class Graph(NamedTuple):
    """An ExportedProgram without its state.

    `bounds` has (smallest, largest or None) of each unknown size, `derived` the quotients of sizes that
    formulas name, `statics` the arguments that are no tensors, by position among the leaves. `writes` has pairs
    of a state and the value that it takes at the end.
    """

    inputs: tuple[Input, ...]
    constants: tuple[Filled, ...]
    state: tuple[str, ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    writes: tuple[tuple[str, int], ...]
    bounds: dict[str, tuple[int, int | None]]
    derived: dict[str, Formula]
    statics: dict[int, Any]
    in_structure: Any
    out_structure: Any


class ExportedProgram:
    """A static graph: call it like the function that was exported, with any values of the unknown sizes.

    `state` has the tensors that the function closed over, such as parameters, by name: train them, replace
    them, move them. Random ops draw new numbers at each call. `origin` names the file from which it was loaded;
    a loaded graph is checked at each new choice of sizes.
    """

    def __init__(self, graph: Graph, state: dict[str, Tensor], origin: str = "") -> None:
        self.graph = graph
        self.state = state
        self.origin = origin
        first = len(graph.inputs) + len(graph.constants) + len(graph.state)
        last: dict[int, int] = {}
        for k, step in enumerate(graph.steps):
            last.update(dict.fromkeys(step.args, k))
        kept = {*graph.outputs, *(v for _, v in graph.writes)}
        self._dying: list[list[int]] = [[] for _ in graph.steps]
        for value, k in last.items():
            if value >= first and value not in kept:
                self._dying[k].append(value)
        self._settled: dict[tuple[object, ...], list[Any]] = {}

    def module(self) -> ExportedProgram:
        """Return what is called like the function that was exported: the graph itself."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (ExportedProgram, (self.graph, self.state, self.origin))

    @property
    def bounds(self) -> dict[str, tuple[int, int | None]]:
        """The smallest and largest value of each unknown size; None if there is no largest."""
        return dict(self.graph.bounds)

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        """Return the names and tensors of the state that require grad."""
        return [(name, t) for name, t in self.state.items() if t.requires_grad]

    def parameters(self) -> list[Tensor]:
        """Return the tensors of the state that require grad, as optimizers take them."""
        return [t for _, t in self.named_parameters()]

    def to(self, device: str | Device) -> ExportedProgram:
        """Copy the graph, with its state on another device."""
        where = device_of(device)
        moved = {
            n: t.detach().to(where).requires_grad_(t.requires_grad) for n, t in self.state.items()
        }
        return ExportedProgram(self.graph, moved, self.origin)

    def __call__(self, *args: Any) -> Any:
        """Run the graph. Raises ShapeError, DTypeError or TypeError if an argument does not fit it."""
        graph = self.graph
        leaves, structure = tree.flatten(args)
        if structure != graph.in_structure:
            raise TypeError(
                f"exported program: expected arguments of the structure {graph.in_structure}, got {structure}"
            )
        tensors = self._tensors(leaves)
        sizes = self._sizes(tensors)
        device = next((x.device for x in (*tensors, *self.state.values())), get_default_device())
        values: list[Any] = [*tensors]
        each = self._params(sizes, device)
        for number, shape, dtype in graph.constants:
            where = spec(at(shape, sizes), device.canonical(dtype))
            values.append(constant(at(number, sizes), where, device))
        values += [self.state[name] for name in graph.state]
        k = 0
        try:
            for k, step in enumerate(graph.steps):
                if step.args:
                    values.append(bind(step.op, tuple([values[r] for r in step.args]), each[k]))
                else:
                    values.append(bits(each[k]["shape"], None, device))
                for r in self._dying[k]:
                    values[r] = None
        except Exception as fault:
            place = f"step {k} ({graph.steps[k].op.name})"
            fault.add_note(f"in {place} of the exported program {self.origin}".rstrip())
            if not self.origin or isinstance(fault, TabgradError):
                raise
            raise ExportError(
                f"exported program of {self.origin}: {place}: {type(fault).__name__}: {fault}"
            ) from fault
        out = tree.unflatten(graph.out_structure, [values[r] for r in graph.outputs])
        with no_grad():
            for name, r in graph.writes:
                self.state[name].copy_(values[r])
        return out

    def _tensors(self, leaves: Sequence[Any]) -> list[Box]:
        """Return the tensors among the arguments; the others must equal those of the export."""
        for i, x in enumerate(leaves):
            fixed = self.graph.statics.get(i)
            if isinstance(x, Box) is (i in self.graph.statics):
                want = repr(fixed) if i in self.graph.statics else "a tensor"
                raise TypeError(f"exported program: argument {i} must be {want}, got {x!r}")
            if i in self.graph.statics and x != fixed:
                raise ValueError(
                    f"exported program: argument {i} was {fixed!r} at export, got {x!r}"
                )
        return [x for x in leaves if isinstance(x, Box)]

    def _sizes(self, tensors: Sequence[Box]) -> Sizes:
        """Return the values of the unknown sizes in the arguments."""
        found: Sizes = {}
        for i, (x, (shape, dtype)) in enumerate(zip(tensors, self.graph.inputs, strict=True)):
            actual = x.spec.shape
            fits = len(actual) == len(shape)
            for want, n in zip(shape, actual, strict=False):
                fits = fits and (found.setdefault(want, n) if isinstance(want, str) else want) == n
            if not fits:
                known = ", ".join(f"{k} = {v}" for k, v in found.items())
                raise ShapeError(
                    f"exported program: tensor {i} must have shape {_shown(shape)}, got {actual}"
                    + (f" where {known}" if known else "")
                )
            if x.spec.dtype is not x.device.canonical(dtype):
                raise DTypeError(
                    f"exported program: tensor {i} must be of {dtype!r}, got {x.spec.dtype!r}"
                )
        for name, n in found.items():
            low, high = self.graph.bounds[name]
            if n < low or (high is not None and n > high):
                upper = f" and at most {high}" if high is not None else ""
                raise ShapeError(
                    f"exported program: {name} must be at least {low}{upper}, got {n}: "
                    "there the function may do something else than this graph"
                )
        return with_derived(self.graph, found) if self.graph.derived else found

    def _verify(self, sizes: Sizes, device: Device) -> None:
        """Raise FileFormatError if a loaded graph does not run at these sizes."""
        try:
            verify(self.graph, {n: t.spec for n, t in self.state.items()}, sizes, device)
        except FileFormatError as fault:
            raise FileFormatError(f"exported program of {self.origin}: {fault}") from None

    def _params(self, sizes: Sizes, device: Device) -> list[Any]:
        """Evaluate the parameters of all steps at these sizes, with dtypes that the device has."""
        key = (tuple(sizes.values()), device)
        found = self._settled.get(key)
        if found is None:
            if self.origin:
                self._verify(sizes, device)
            if len(self._settled) >= 64:
                self._settled.clear()
            found = self._settled[key] = [
                intern_params({k: at(v, sizes, device) for k, v in step.params.items()})
                for step in self.graph.steps
            ]
        return found

    def __str__(self) -> str:
        """Format the graph, one line per value."""
        graph = self.graph
        kinds = itertools.chain(
            (f"input {x.dtype.name}{_listed(x.shape)}" for x in graph.inputs),
            (
                f"constant {_shown(c.number)} {c.dtype.name}{_listed(c.shape)}"
                for c in graph.constants
            ),
            (
                f"state {n} {self.state[n].dtype.name}{list(self.state[n].shape)}"
                for n in graph.state
            ),
            (
                f"{s.op.name}({', '.join(f'%{r}' for r in s.args)})"
                + "".join(f" {k}={_shown(v)}" for k, v in s.params.items())
                for s in graph.steps
            ),
        )
        lines = [f"%{k} = {text}" for k, text in enumerate(kinds)]
        lines += [f"state {name} <- %{r}" for name, r in graph.writes]
        return "\n".join([*lines, "return " + ", ".join(f"%{r}" for r in graph.outputs)])

    def __repr__(self) -> str:
        sizes = ", ".join(self.graph.bounds) or "none"
        return f"<ExportedProgram of {len(self.graph.steps)} ops, unknown sizes: {sizes}>"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_shown, value)) + ("," if len(value) == 1 else "") + ")"
    return (
        value
        if isinstance(value, str)
        else str(value)
        if isinstance(value, Formula)
        else repr(value)
    )


def _listed(shape: Sequence[Any]) -> str:
    return "[" + ", ".join(map(_shown, shape)) + "]"

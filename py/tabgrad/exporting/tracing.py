"""Traces a function at one choice of its unknown sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt, tree
from tabgrad.core.errors import ExportError
from tabgrad.core.op import REGISTRY, Op
from tabgrad.core.shape import Shape
from tabgrad.core.spec import Params, intern_params, spec
from tabgrad.core.trace import MODE, Box, Mode
from tabgrad.exporting.formulas import Sizes
from tabgrad.exporting.specs import TensorSpec
from tabgrad.hosts.devices import Device, get_default_device
from tabgrad.tensor import reading
from tabgrad.tensor.aliasing import replace
from tabgrad.transforms.branches import CondCall
from tabgrad.transforms.control import ScanCall
from tabgrad.transforms.levels import all_refreshed
from tabgrad.transforms.program import Trace, TracedProgram

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor

VIEWS: dict[str, Callable[[Shape], dict[str, Any]]] = {
    "slice": lambda s: {"starts": (0,) * len(s), "stops": s, "steps": (1,) * len(s)},
    "reshape": lambda shape: {"shape": shape},
    "expand": lambda shape: {"shape": shape},
}
"""For each view op, the parameters with which it changes nothing."""


class ExportTrace(Trace):
    """Records every op inside, also those on parameters and constants.

    Each use of a constant is captured separately, because numbers that are equal at one size may differ at
    others.
    """

    def __init__(self, device: Device) -> None:
        super().__init__("export")
        self.device = device
        self.before: dict[int, tuple[Any, Any]] = {}

    def inner(self) -> Mode:
        """Return the mode inside: ops that would run on a device are recorded."""
        return super().inner().replace(around=self.around, device=self.device)

    def around(self, run: object, op: Op, args: tuple[Any, ...], params: Params, mode: Mode) -> Any:
        """Record an op on tensors that no level owns."""
        return self.process(op, args, params)

    def ref(self, x: Box) -> int:
        """Return the number of a tensor in the program."""
        if x.owner is not self:
            self.before.setdefault(id(x), (x, x.value))
            if filling(x) is not None:
                self.captured.append(x)
                return ~(len(self.captured) - 1)
        return super().ref(x)

    def call(self, call: Any, args: list[Any]) -> list[Any]:
        """Record a call as the ops it consists of, if those have the call's derivatives."""
        if isinstance(call, ScanCall):
            return call.unrolled(args)
        # the plain form of a branch, which selects from both results, has the derivatives of the branch
        if not isinstance(call, CondCall) and MODE.get().grad:
            raise ExportError(
                f"export: {call.name} has rules of its own, which a static graph can't hold; write it with "
                "ops, or call it under no_grad(), where its derivative is zero"
            )
        outs: list[Any] = call.plain(args)
        return outs

    def draw(self, make: Callable[..., Any], shape: tuple[int, ...]) -> Any:
        """Record a random draw; each run of the graph draws new numbers."""
        y = self.tracer(spec(shape, dt.uint32), self.device)
        op = REGISTRY["random_bits"]
        self.steps.append((op, intern_params({"shape": shape}), (), y.value, 1))
        return y

    def written(self) -> list[Tensor]:
        """Return the outer tensors that were written to."""
        return [x for x, _ in self.before.values() if x.owner is self]

    def restore(self) -> None:
        """Restore the values of the outer tensors that were written to."""
        for x, value in self.before.values():
            if x.owner is self:
                replace(x, value)
                x.owner = None
                if x.alias is not None:
                    x.alias.owner = None


class Sample:
    """One trace of a function at these sizes; its program returns outputs, then values of `written`."""

    def __init__(self, fn: Callable[..., Any], specs: tree.Tree, sizes: Sizes) -> None:
        self.sizes = sizes
        leaves, structure = tree.flatten(specs)
        device = next((d for d in map(device_of_spec, leaves) if d is not None), None)
        trace = ExportTrace(device or get_default_device())
        try:
            with trace.inside():
                inputs = [tracer(trace, s, sizes) for s in leaves]
                out = all_refreshed(fn(*tree.unflatten(structure, inputs)))
            outs, self.out_structure = tree.flatten(out)
            for y in outs:
                if not isinstance(y, Box):
                    kind = type(y).__name__
                    raise ExportError(
                        f"export: the function must return tensors, it returned {kind}"
                    )
            self.written = trace.written()
            numbers = [x.value for x in inputs if isinstance(x, Box)]
            self.program = TracedProgram(trace, numbers, [*outs, *self.written])
        finally:
            trace.restore()
        self.out_specs = self.program.out_specs[: len(outs)]
        drop_idle_views(self.program)


def drop_idle_views(program: TracedProgram) -> None:
    """Remove the views that change nothing from a trace."""
    same: dict[int, int] = {}
    steps = []
    for op, params, refs, out, count in program.steps:
        refs = tuple([same.get(r, r) for r in refs])
        if op.name in VIEWS:
            at = refs[0]
            before = program.captured[~at].spec if at < 0 else program.specs[at]
            if program.specs[out] is before:
                same[out] = at
                continue
        steps.append((op, params, refs, out, count))
    program.steps = steps
    program.outputs = tuple([same.get(r, r) for r in program.outputs])


def device_of_spec(s: object) -> Device | None:
    """Return the device of an argument, if it has one."""
    return s.device if isinstance(s, TensorSpec | Box) else None


def tracer(trace: ExportTrace, s: object, sizes: Sizes) -> Any:
    """Make the argument of a trace for a leaf of the specs."""
    if isinstance(s, Box):
        return trace.tracer(s.spec, s.device)
    if not isinstance(s, TensorSpec):
        return s
    shape = tuple([sizes[n] if isinstance(n, str) else n for n in s.shape])
    return trace.tracer(spec(shape, trace.device.canonical(s.dtype)), trace.device)


def filling(x: Box) -> complex | None:
    """Return the number that fills a constant; None for a tensor with data."""
    if x.owner is not None or x.tracked:
        return None
    return x.device.backend.filling(x.value, x.spec)


def same_data(each: Sequence[Tensor]) -> bool:
    """Whether tensors that each trace has made have the same elements."""
    first = each[0]
    if any(x.spec is not first.spec or x.tracked for x in each):
        return False
    data = bytes(reading.data(first, "export"))
    return all(bytes(reading.data(x, "export")) == data for x in each[1:])

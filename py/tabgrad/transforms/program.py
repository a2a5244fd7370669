"""Tracing: a function recorded once as a list of steps, which run again without its Python code.

A program offers what loops, branches and solvers need: the tensors it captures, maps of cotangents back and of
tangents forward, and its application to each element of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core.errors import TransformError
from tabgrad.core.op import REGISTRY, Op
from tabgrad.core.spec import NO_PARAMS, Params, Spec
from tabgrad.core.trace import MODE, Box, Mode, bind, using, wrap, zeros_like
from tabgrad.transforms.autograd import Autograd, pullback
from tabgrad.transforms.calls import LevelCall, apply
from tabgrad.transforms.jvp import Forward
from tabgrad.transforms.levels import Level
from tabgrad.transforms.node import edge, leaf_node
from tabgrad.transforms.vmap import Batch
from tabgrad.transforms.vmapped import per_element

Ref = int
"""The number of an input or of a step's result, from 0; ~k for captured tensor k."""


class Trace(Level):
    """The interpreter of tracers: it computes nothing and records the ops applied to them.

    The payload of a tracer is its number. A tensor that is not a tracer is captured: it becomes a further input
    of the program. `draws` makes the random tensors that are asked for; None refuses them.
    """

    def __init__(self, name: str, draws: Callable[..., Any] | None = None) -> None:
        super().__init__()
        self.name = name
        self.draws = draws
        self.count = 0
        self.steps: list[tuple[Any, Any, tuple[Ref, ...], int, int]] = []
        self.specs: list[Spec] = []
        self.captured: list[Any] = []
        self._places: dict[int, int] = {}

    def inner(self) -> Mode:
        """The mode inside, where random draws ask this level first; only a no_grad() inside holds."""
        return super().inner().replace(grad=True, draw=self)

    def below(self, mode: Mode) -> Mode:
        """The mode of the level below, where random draws ask the same level as outside."""
        return super().below(mode).replace(draw=self.outer.draw, grad=mode.grad and self.outer.grad)

    def tracer(self, spec: Spec, device: Any) -> Any:
        """Make a new tracer: an input, or the result of the step being recorded."""
        self.count += 1
        self.specs.append(spec)
        return wrap(self.count - 1, spec, device, self)

    def ref(self, x: Box) -> Ref:
        """Get the number of a tensor in the program; a tensor from outside is captured."""
        if x.owner is self:
            found: int = x.value
            return found
        k = self._places.get(id(x))
        if k is None:
            k = self._places[id(x)] = len(self.captured)
            self.captured.append(x)
        return ~k

    def process(self, op: Op, args: tuple[Any, ...], params: Params) -> Any:
        """Record `op`."""
        refs = tuple([self.ref(a) for a in args])
        spec = op.infer(tuple([a.spec for a in args]), params)
        y = self.tracer(spec, args[0].device)
        self.steps.append((op, params, refs, y.value, 1))
        if not MODE.get().grad and op.differentiable:
            # an op under no_grad() must stay without a gradient when the program is differentiated
            stop = REGISTRY["stop_gradient"]
            hidden = self.tracer(spec, args[0].device)
            self.steps.append((stop, NO_PARAMS, (y.value,), hidden.value, 1))
            return hidden
        return y

    def call(self, call: LevelCall, args: list[Any]) -> list[Any]:
        """Record a call with several outputs."""
        refs = tuple([self.ref(a) if isinstance(a, Box) else _Static(a) for a in args])
        device = next(a.device for a in args if isinstance(a, Box))
        with using(self.outer):
            inner = Trace(self.name, lambda make, shape: make(shape))
            with inner.inside():
                stand_ins = [
                    inner.tracer(a.spec, a.device) if isinstance(a, Box) else a for a in args
                ]
                shapes = call.plain(stand_ins)
        first = self.count
        outs = [self.tracer(y.spec, device) if isinstance(y, Box) else y for y in shapes]
        self.steps.append((call, None, refs, first, self.count - first))  # type: ignore[arg-type]
        return outs

    def draw(self, make: Callable[[tuple[int, ...]], Any], shape: tuple[int, ...]) -> Any:
        """Make a tracer of the random tensor that `make(shape)` draws in each repetition."""
        if self.draws is None:
            raise TransformError(
                f"{self.name}: random numbers can't be drawn inside, where the number of repetitions is not "
                "known; draw them before, or use func.scan"
            )
        return self.draws(make, shape)


class _Static:
    """An argument of a call that is no tensor."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class TracedProgram:
    """A traced function: `run(inputs, captured)` gives its outputs. `inputs` are the numbers of its inputs."""

    def __init__(self, trace: Trace, inputs: Sequence[int], outputs: Sequence[Any]) -> None:
        self.name = trace.name
        self.inputs = tuple(inputs)
        self.captured = trace.captured
        self.outputs = tuple([trace.ref(y) for y in outputs])
        self.specs = trace.specs
        self.out_specs = tuple([y.spec for y in outputs])
        self.count = trace.count
        self.steps = self._needed(trace.steps)

    def _needed(self, steps: list[Any]) -> list[Any]:
        used = {r for r in self.outputs if r >= 0}
        kept = []
        for step in reversed(steps):
            _, _, refs, first, count = step
            if any(k in used for k in range(first, first + count)):
                kept.append(step)
                used.update([r for r in refs if isinstance(r, int) and r >= 0])
        return kept[::-1]

    def run(self, inputs: Sequence[Any], captured: Sequence[Any]) -> list[Any]:
        """Apply the steps to Tensors of any level."""
        values: list[Any] = [None] * self.count
        for k, x in zip(self.inputs, inputs, strict=True):
            values[k] = x

        def get(r: Any) -> Any:
            if isinstance(r, _Static):
                return r.value
            return values[r] if r >= 0 else captured[~r]

        for op, params, refs, first, count in self.steps:
            args = [get(r) for r in refs]
            if isinstance(op, LevelCall):
                outs = [y for y in apply(op.again(), args) if isinstance(y, Box)]
                values[first : first + count] = outs
            else:
                values[first] = bind(op, tuple(args), params)
        return [get(r) for r in self.outputs]

    def ready(self) -> bool:
        """Test whether the program consists of ops only, so that it can become one op."""
        return not any(isinstance(step[0], LevelCall) for step in self.steps)

    def pull(
        self, inputs: list[Any], captured: list[Any], cts: Sequence[Any], wanted: Sequence[bool]
    ) -> list[Any]:
        """Map cotangents of the outputs to those of the inputs and of the captured tensors `wanted`.

        They are zeros where nothing flows to a tensor of a float dtype, None for other dtypes.
        """
        n = len(inputs)
        chosen = [v for v, w in zip(captured, wanted, strict=True) if w]

        def run(xs: list[Any]) -> list[Any]:
            rest = iter(xs[n:])
            return self.run(
                xs[:n], [next(rest) if w else v for v, w in zip(captured, wanted, strict=True)]
            )

        xs = [*inputs, *chosen]
        return [
            zeros_like(x) if g is None and x.spec.dtype.is_differentiable else g
            for x, g in zip(xs, pulled(run, xs, cts), strict=True)
        ]

    def push(
        self,
        inputs: list[Any],
        captured: list[Any],
        moving: Sequence[Any],
        dcaptured: Sequence[Any],
    ) -> tuple[list[Any], list[Any]]:
        """Compute the outputs and their tangents, given those of the inputs and of the captured tensors."""
        n = len(inputs)
        return pushed(
            lambda xs: self.run(xs[:n], xs[n:]), [*inputs, *captured], [*moving, *dcaptured]
        )

    def each(
        self, level: Batch, inputs: Sequence[Any], dims: Sequence[Any], captured: Sequence[Any],
        captured_dims: Sequence[Any],
    ) -> list[Any]:  # fmt: skip
        """Apply the program to each element of the batch of `level`; outputs have the batch axis in front."""
        n = len(inputs)
        return per_element(
            level,
            lambda xs: self.run(xs[:n], xs[n:]),
            [*inputs, *captured],
            [*dims, *captured_dims],
        )


def traced(name: str, fn: Callable[[list[Any]], list[Any]], like: Sequence[Any]) -> TracedProgram:
    """Trace fn(leaves) -> leaves for leaves with the Specs of the tensors `like`."""
    trace = Trace(name)
    with trace.inside():
        tracers = [trace.tracer(x.spec, x.device) for x in like]
        outs = fn(tracers)
    return TracedProgram(trace, [t.value for t in tracers], outs)


def floats(tensors: Sequence[Any]) -> list[bool]:
    """Tell which tensors have a dtype that carries gradients."""
    return [x.spec.dtype.is_differentiable for x in tensors]


def scattered(values: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    """Put the values in the places of the flags that are set, None elsewhere."""
    rest = iter(values)
    return [next(rest) if flag else None for flag in flags]


def pulled(
    fn: Callable[[list[Any]], list[Any]], inputs: list[Any], cts: Sequence[Any]
) -> list[Any]:
    """Pull cotangents of fn(inputs) back to `inputs`, None where nothing flows.

    None among `cts` is zero; inputs and outputs of other dtypes count as constants.
    """
    level = Autograd()
    with level.inside():
        lifted = [level.lift(x) for x in inputs]
        nodes = [leaf_node(x) if f else None for x, f in zip(lifted, floats(inputs), strict=True)]
        outs = fn(lifted)
    ends = [edge(y, level) if ct is not None else None for y, ct in zip(outs, cts, strict=True)]
    pairs = [(n, ct) for n, ct in zip(ends, cts, strict=True) if n is not None]
    return pullback(
        [n for n, _ in pairs], [ct for _, ct in pairs], nodes, False, False, lowered=True
    )


def pushed(
    fn: Callable[[list[Any]], list[Any]], inputs: list[Any], tangents: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """Compute fn(inputs) and its tangents: zeros where a float output has none, None for other dtypes."""
    level = Forward()
    with level.inside():
        outs = fn(
            [x if t is None else level.lift(x, t) for x, t in zip(inputs, tangents, strict=True)]
        )
    parts = [level.parts(y) for y in outs]
    moved = [zeros_like(y) if t is None and y.spec.dtype.is_differentiable else t for y, t in parts]
    return [y for y, _ in parts], moved

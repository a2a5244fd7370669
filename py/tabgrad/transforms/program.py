"""Tracing: a function recorded once as a list of steps, which can be run again without its Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core.errors import TransformError
from tabgrad.core.op import REGISTRY, Op
from tabgrad.core.spec import NO_PARAMS, Params, Spec
from tabgrad.core.trace import MODE, Box, Mode, bind, using, wrap
from tabgrad.transforms.calls import Call, apply
from tabgrad.transforms.levels import Level

Ref = int
"""An input or the result of a step from 0; ~k for captured tensor k."""


class Trace(Level):
    """The interpreter of tracers: computes nothing, records what happens to them.

    The payload of a tracer is its number. A tensor that is no tracer is captured: it becomes an input of the
    program of its own. `draws` makes the random tensors that are asked for, None refuses them.
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
        """Return the mode inside, where draws ask this level first; only a no_grad() inside counts."""
        return super().inner().replace(grad=True, draw=self)

    def below(self, mode: Mode) -> Mode:
        """Return the mode of the level below, where draws ask whom they asked outside."""
        return super().below(mode).replace(draw=self.outer.draw, grad=mode.grad and self.outer.grad)

    def tracer(self, spec: Spec, device: Any) -> Any:
        """Return a new tracer: an input, or the result of the step being recorded."""
        self.count += 1
        self.specs.append(spec)
        return wrap(self.count - 1, spec, device, self)

    def ref(self, x: Any) -> Ref:
        """Return the number of a tensor in the program."""
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
            # what no_grad() hides in the function must stay hidden when the program is differentiated
            stop = REGISTRY["stop_gradient"]
            hidden = self.tracer(spec, args[0].device)
            self.steps.append((stop, NO_PARAMS, (y.value,), hidden.value, 1))
            return hidden
        return y

    def call(self, call: Call, args: list[Any]) -> list[Any]:
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
        """Return a tracer of the random tensor that `make(shape)` draws in each repetition."""
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


class Program:
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
        """Return the outputs as Tensors of whatever level the inputs have."""
        values: list[Any] = [None] * self.count
        for k, x in zip(self.inputs, inputs, strict=True):
            values[k] = x

        def get(r: Any) -> Any:
            if isinstance(r, _Static):
                return r.value
            return values[r] if r >= 0 else captured[~r]

        for op, params, refs, first, count in self.steps:
            args = [get(r) for r in refs]
            if isinstance(op, Call):
                outs = [y for y in apply(op.again(), args) if isinstance(y, Box)]
                values[first : first + count] = outs
            else:
                values[first] = bind(op, tuple(args), params)
        return [get(r) for r in self.outputs]

    def ready(self) -> bool:
        """Whether the program is made of ops only, so that it can be one op."""
        return not any(isinstance(step[0], Call) for step in self.steps)

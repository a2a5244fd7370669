"""Transposing a jvp: how an op that states only its forward derivative gets its reverse one.

The jvp of an op is linear in the tangent. It is run once with a tangent that has no value, which records
the linear ops the tangent meets; the record is then walked backwards through their own vjps.
"""

from __future__ import annotations

from typing import Any

from tabgrad.core.errors import GradientError
from tabgrad.core.families import ShapeOnly, accumulate
from tabgrad.core.op import Op
from tabgrad.core.spec import Params
from tabgrad.core.trace import MODE, bind, using, wrap


class Linear:
    """The interpreter of linear tracers: computes nothing, records what happens to them.

    The payload of a tracer is its number in `steps`; a step is (op, params, args), None for an input.
    """

    def __init__(self, level: int) -> None:
        self.level = level
        self.steps: list[tuple[Op, Params, tuple[Any, ...]] | None] = []

    def tracer(self, spec: Any, device: Any) -> Any:
        """Return a tensor of this spec that stands for an unknown tangent."""
        self.steps.append(None)
        return wrap(len(self.steps) - 1, spec, device, self)

    def process(self, op: Op, args: tuple[Any, ...], params: Params) -> Any:
        """Record `op`, which must be linear in the tracers among `args`."""
        spec = op.infer(tuple(a.spec for a in args), params)
        self.steps.append((op, params, args))
        return wrap(len(self.steps) - 1, spec, args[0].device, self)


def transpose_jvp(op: Op, ct: Any, needs: Any, inputs: Any, y: Any, params: Params) -> tuple[Any, ...]:
    """Return the cotangents of the inputs of `op` from its jvp rule."""
    mode = MODE.get()
    trace = Linear(len(mode.levels) + 1)
    with using(mode.replace(levels=(*mode.levels, trace))):
        tangents = [trace.tracer(x.spec, x.device) if n else None for x, n in zip(inputs, needs, strict=True)]
        out = op.jvp(inputs, tangents, y, params)
    if out is None or out.owner is not trace:
        return (None,) * len(inputs)
    cts: list[Any] = [None] * len(trace.steps)
    cts[out.value] = ct
    for i in range(out.value, -1, -1):
        step = trace.steps[i]
        if step is not None and cts[i] is not None:
            _step_back(trace, step, cts[i], cts)
    return tuple(None if t is None else cts[t.value] for t in tangents)


def _step_back(trace: Linear, step: Any, ct: Any, cts: list[Any]) -> None:
    op, params, args = step
    needs = tuple(a.owner is trace for a in args)
    known = [ShapeOnly(a.spec, a.device) if n else a for a, n in zip(args, needs, strict=True)]
    found = vjp(op, ct, needs, known, None, params)
    for a, n, c in zip(args, needs, found, strict=True):
        if n:
            cts[a.value] = accumulate(cts[a.value], c)


def vjp(op: Op, ct: Any, needs: Any, inputs: Any, y: Any, params: Params) -> tuple[Any, ...]:
    """Return the cotangents of the inputs of `op`: by its own rule, else by transposing its jvp."""
    if op.vjp is not None:
        result: tuple[Any, ...] = op.vjp(ct, needs, inputs, y, params)
        return result
    if not op.differentiable:
        raise GradientError(f"{op.name}: has no derivative; use .detach() on its input")
    return transpose_jvp(op, ct, needs, inputs, y, params)


__all__ = ["Linear", "bind", "transpose_jvp", "vjp"]

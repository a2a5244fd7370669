"""Transposing a jvp: the reverse derivative of an op that states only its forward one.

The jvp of an op is linear in the tangent. It is run once with a tangent that has no value, which records
the linear ops the tangent meets; the record is then walked backwards through their own vjps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabgrad.core.errors import GradientError, TransformError
from tabgrad.core.families import KernelOp
from tabgrad.core.op import Op
from tabgrad.core.promotion import accumulate
from tabgrad.core.spec import Params, ShapeOnly, Spec
from tabgrad.core.trace import MODE, Box, Mode, bind, wrap, zeros_like
from tabgrad.transforms.levels import Level
from tabgrad.transforms.saving import frozen


class Linear(Level):
    """The interpreter of linear tracers: it computes nothing and records the ops applied to them.

    The payload of a tracer is its number in `steps`; a step is (op, params, args), None for an input.
    `lasting` says that the steps are run after the user's code has gone on, and may have written to `args`.
    """

    name = "the transposition of a derivative"

    def __init__(self, outer: Mode | None = None, lasting: bool = False) -> None:
        super().__init__(outer)
        self.lasting = lasting
        self.steps: list[tuple[Op, Params, tuple[Any, ...]] | None] = []

    def tracer(self, spec: Spec, device: Any) -> Any:
        """Make a tensor of this spec that stands for an unknown tangent."""
        self.steps.append(None)
        return wrap(len(self.steps) - 1, spec, device, self)

    def process(self, op: Op, args: tuple[Any, ...], params: Params) -> Any:
        """Record `op`, which must be linear in the tracers among `args`."""
        self.check(op, args)
        spec = op.infer(tuple([a.spec for a in args]), params)
        # a tracer that is written to becomes another: the step keeps what it was
        args = tuple([frozen(a) if self.lasting or a.owner is self else a for a in args])
        self.steps.append((op, params, args))
        return wrap(len(self.steps) - 1, spec, args[0].device, self)

    def at(self, number: int) -> Any:
        """Make the tracer of a step again."""
        step = self.steps[number]
        assert step is not None
        op, params, args = step
        return wrap(number, op.infer(tuple([a.spec for a in args]), params), args[0].device, self)

    def check(self, op: Op, args: tuple[Any, ...]) -> None:
        """Raise TransformError if `op` is not linear in the tracers: its derivative reads one."""
        mine = tuple([a.owner is self for a in args])
        if op.linear and isinstance(op, KernelOp) and op.saved_always is None:
            return
        read, reads_output = op.saves(mine)
        affine = op.name in ("add", "sub") and False in mine
        if affine or reads_output or any(m and r for m, r in zip(mine, read, strict=True)):
            raise TransformError(
                f"{self.name}: the rule must be linear in what it is given, but {op.name} is not; "
                "use a rule that is linear, state the op's own transpose, or differentiate in the other mode"
            )

    def replay(
        self, inputs: Sequence[Any], values: Sequence[Any], outputs: Sequence[Any]
    ) -> list[Any]:
        """Compute the values of the tracers `outputs` from `values` of the tracers `inputs`, None being zero.

        An output that does not depend on a tracer is returned as it is.
        """
        known: list[Any] = [None] * len(self.steps)
        for x, value in zip(inputs, values, strict=True):
            known[x.value] = value
        mine = [y is not None and y.owner is self for y in outputs]
        last = max([y.value for y, own in zip(outputs, mine, strict=True) if own], default=-1)
        given = {x.value for x in inputs}
        for i, step in enumerate(self.steps[: last + 1]):
            if step is not None and i not in given:
                known[i] = self._step(step, known)
        return [known[y.value] if own else y for y, own in zip(outputs, mine, strict=True)]

    def _step(self, step: Any, known: list[Any]) -> Any:
        op, params, args = step
        found = [known[a.value] if a.owner is self else a for a in args]
        if all(f is None for f, a in zip(found, args, strict=True) if a.owner is self):
            return None
        filled = tuple(
            [zeros_like(a) if f is None else f for f, a in zip(found, args, strict=True)]
        )
        return bind(op, filled, params)

    def transpose(
        self, inputs: Sequence[Any], outputs: Sequence[Any], cts: Sequence[Any]
    ) -> list[Any]:
        """Walk back: map cotangents of `outputs` to those of the tracers `inputs`, None being zero."""
        found: list[Any] = [None] * len(self.steps)
        last = -1
        for y, ct in zip(outputs, cts, strict=True):
            if y is not None and y.owner is self and ct is not None:
                found[y.value] = accumulate(found[y.value], ct)
                last = max(last, y.value)
        given = {t.value for t in inputs if t is not None}
        for i in range(last, min(given, default=last), -1):
            step = self.steps[i]
            if step is not None and found[i] is not None and i not in given:
                self._step_back(step, found[i], found)
        return [None if t is None else found[t.value] for t in inputs]

    def _step_back(self, step: Any, ct: Box, cts: list[Any]) -> None:
        op, params, args = step
        needs = tuple([a.owner is self for a in args])
        known = [ShapeOnly(a.spec, a.device) if n else a for a, n in zip(args, needs, strict=True)]
        for a, n, c in zip(args, needs, vjp(op, ct, needs, known, None, params), strict=True):
            if n:
                cts[a.value] = accumulate(cts[a.value], c)


def transpose_jvp(
    op: Op, ct: Box, needs: Sequence[bool], inputs: Sequence[Any], y: Any, params: Params
) -> tuple[Any, ...]:
    """Compute the cotangents of the inputs of `op` from its jvp rule."""
    trace = Linear(MODE.get())
    with trace.inside():
        tangents = [
            trace.tracer(x.spec, x.device) if n else None
            for x, n in zip(inputs, needs, strict=True)
        ]
        out = op.jvp(inputs, tangents, y, params)
    cts = tuple(trace.transpose(tangents, [out], [ct]))
    # the steps hold tensors of the trace, which hold the trace: they would wait for the collector of cycles
    trace.steps.clear()
    return cts


def vjp(
    op: Op, ct: Box, needs: Sequence[bool], inputs: Sequence[Any], y: Any, params: Params
) -> tuple[Any, ...]:
    """Compute the cotangents of the inputs of `op`: by its own rule, else by transposing its jvp."""
    if op.vjp is not None:
        result: tuple[Any, ...] = op.vjp(ct, needs, inputs, y, params)
        return result
    if not op.differentiable:
        raise GradientError(f"{op.name}: has no derivative; use .detach() on its input")
    return transpose_jvp(op, ct, needs, inputs, y, params)


__all__ = ["Linear", "transpose_jvp", "vjp"]

"""Ops with several results on their way down the interpreter stack: one call, one node of the tape."""

from __future__ import annotations

from typing import Any

from tabgrad.core.several import Several, computed_once
from tabgrad.core.spec import Params
from tabgrad.core.trace import MODE, Mode, bind, using
from tabgrad.transforms.calls import Call, apply, lift_outputs, lower_all, lowered_call
from tabgrad.transforms.custom import batch_parts, snapshot, tied, wants
from tabgrad.transforms.linear import Linear
from tabgrad.transforms.node import Node
from tabgrad.transforms.tape import record_call


class SeveralCall(Call):
    """One application of an op with several results."""

    def __init__(self, op: Several, params: Params) -> None:
        self.op, self.params = op, params
        self.name = op.name
        self.node_name = "".join(word.capitalize() for word in op.name.split("_")) + "Backward0"

    def plain(self, args: list[Any]) -> list[Any]:
        """Return the results as parts, each an op of its own."""
        return [bind(part, tuple(args), self.params) for part in self.op.parts]

    def at_base(self, args: list[Any], mode: Mode) -> list[Any]:
        """Run or record the parts, and put the call on the tape."""
        with using(mode.replace(grad=False)), computed_once():
            outs = self.plain(args)
        return self.recorded(args, outs, None) if self.wanted(args, None, mode) else outs

    def at_autograd(self, level: Any, args: list[Any], mode: Mode) -> list[Any]:
        """Apply the call below, and record it here."""
        low = lowered_call(self, level, lower_all(level, args), mode)
        if not self.wanted(args, level, mode):
            return low
        return self.recorded(args, lift_outputs(level, low), level)

    def wanted(self, args: list[Any], owner: Any, mode: Mode) -> bool:
        """Return whether the call is to be recorded at the level `owner`."""
        return self.op.differentiable and wants(args, owner, mode)

    def recorded(self, args: list[Any], outs: list[Any], owner: Any) -> list[Any]:
        """Return the results, tied to one node of the tape."""
        kept = ([snapshot(a, owner) for a in args], [snapshot(y, owner) for y in outs])
        record_call(self, args, outs, owner, kept)
        return outs

    def apply(
        self, node: Node, cts: list[Any], needs: Any, lowered: bool, graph: bool
    ) -> list[Any]:
        """Return the cotangents of the inputs; a graph of them goes through the op again, on tied inputs."""
        inputs, ys = node.kept
        primals = tied(inputs, node, graph)
        if lowered:
            primals = [p.value for p in primals]
            ys = [y.value for y in ys]
        elif graph:
            ys = self.op.bind(*primals, **self.params)
        if self.op.pull is not None:
            found: list[Any] = list(self.op.pull(cts, needs, primals, tuple(ys), **self.params))
            return found
        return self.transposed(cts, needs, primals, tuple(ys))

    def transposed(self, cts: Any, needs: Any, primals: Any, ys: Any) -> list[Any]:
        """Return the cotangents of the inputs from the rule for tangents."""
        trace = Linear(MODE.get())
        with trace.inside():
            tracers = [
                trace.tracer(p.spec, p.device) if need else None
                for p, need in zip(primals, needs, strict=True)
            ]
            outs = self.op.jvp(primals, tracers, ys, self.params)
        found = trace.transpose(tracers, outs, cts)
        trace.steps.clear()
        return found

    def at_forward(self, level: Any, args: list[Any], mode: Mode) -> list[Any]:
        """Apply the op to the primals and its rule to the tangents; record the call if it is tracked."""
        parts = [level.parts(a) for a in args]
        primals, tangents = [p for p, _ in parts], [t for _, t in parts]
        with using(level.below(mode)):
            ys = tuple(apply(self, primals))
            if not self.op.differentiable or all(t is None for t in tangents):
                return list(ys)
            moved = self.op.jvp(primals, tangents, ys, self.params)
        if not self.wanted(args, level, mode):
            return [y if t is None else level.lift(y, t) for y, t in zip(ys, moved, strict=True)]
        outs = [level.lift(y, t) for y, t in zip(ys, moved, strict=True)]
        return self.recorded(args, outs, level)

    def at_batch(self, level: Any, args: list[Any], mode: Mode) -> list[Any]:
        """Apply the batching rule below."""
        low, dims = batch_parts(level, args)
        with using(level.below(mode)):
            ys = self.op.batch(level.size, low, dims, self.params)
        return [level.lift(y, 0) for y in ys]

    def at_level(self, level: Any, args: list[Any], mode: Mode) -> list[Any]:
        """A level that traces records the parts."""
        with using(level.entered(MODE.get())):
            return self.plain(args)


def applied(op: Several, args: tuple[Any, ...], params: Params) -> Any:
    """Apply an op with several results through the interpreter stack."""
    for a in args:
        if a.alias is not None:
            a.alias.refresh(a)
    return tuple(apply(SeveralCall(op, params), list(args)))

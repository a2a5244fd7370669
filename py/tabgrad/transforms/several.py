"""Ops with several results in the interpreter stack: each application is one call and one node of the tape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tabgrad.core.several import Several, computed_once
from tabgrad.core.spec import Params
from tabgrad.core.trace import MODE, Box, Interpreter, Mode, bind, using
from tabgrad.transforms.calls import RuledCall, apply
from tabgrad.transforms.jvp import Forward
from tabgrad.transforms.levels import Level
from tabgrad.transforms.linear import Linear
from tabgrad.transforms.vmap import Batch


class SeveralCall(RuledCall):
    """One application of an op with several results."""

    keeps_outputs = True

    def __init__(self, op: Several, params: Params) -> None:
        self.op, self.params = op, params
        self.name = op.name
        self.node_name = "".join(word.capitalize() for word in op.name.split("_")) + "Backward0"

    def plain(self, args: list[Any]) -> list[Any]:
        """Compute each result by an op of its own."""
        return [bind(part, tuple(args), self.params) for part in self.op.parts]

    def run(self, args: list[Any]) -> list[Any]:
        """Run or record the ops of the results."""
        with using(MODE.get().replace(grad=False)), computed_once():
            return self.plain(args)

    def recorded_at(self, args: list[Any], owner: Interpreter | None, mode: Mode) -> bool:
        """Test whether the call is to be recorded at the level `owner`."""
        return self.op.differentiable and super().recorded_at(args, owner, mode)

    def pull(
        self, args: list[Any], kept: list[Any], cts: list[Any], needs: Sequence[bool]
    ) -> list[Any]:
        """Apply the reverse rule, or transpose the forward rule."""
        ys = tuple(kept)
        if self.op.pull is not None:
            found: list[Any] = list(self.op.pull(cts, needs, args, ys, **self.params))
            return found
        trace = Linear(MODE.get())
        with trace.inside():
            tracers = [
                trace.tracer(p.spec, p.device) if need else None
                for p, need in zip(args, needs, strict=True)
            ]
            outs = self.op.jvp(args, tracers, ys, self.params)
        found = trace.transpose(tracers, outs, cts)
        trace.steps.clear()
        return found

    def push(self, primals: list[Any], tangents: list[Any]) -> tuple[list[Any], list[Any]]:
        """Apply the op to the primals and its rule to the tangents."""
        ys = apply(self, primals)
        if not self.op.differentiable or all(t is None for t in tangents):
            return ys, [None] * len(ys)
        if self.op.push is not None and determined(primals, tangents):
            ys, moved = self.op.push(primals, tangents, tuple(ys), **self.params)
            return list(ys), list(moved)
        return ys, list(self.op.jvp(primals, tangents, tuple(ys), self.params))

    def batch(
        self, level: Batch, args: list[Any], dims: list[Any]
    ) -> tuple[list[Any], Sequence[int | None]]:
        """Apply the batching rule."""
        ys = list(self.op.batch(level.size, args, dims, self.params))
        return ys, [0] * len(ys)

    def at_level(self, level: Level, args: list[Any], mode: Mode) -> list[Any]:
        """Record an op for each result at a level that traces."""
        with using(level.entered(MODE.get())):
            return self.plain(args)


def determined(primals: Sequence[Any], tangents: Sequence[Any]) -> bool:
    """Test whether tangents may choose among results: they have values, and are the only ones.

    Primals that have tangents of another level have made that choice already.
    """
    return not any(isinstance(s, Linear) for t in tangents for s in _owners(t)) and not any(
        isinstance(s, Forward) for x in primals for s in _owners(x)
    )


def _owners(x: Any) -> Iterator[Interpreter]:
    """Yield the levels that a tensor is of, from the innermost out."""
    while isinstance(x, Box) and x.owner is not None:
        yield x.owner
        x = x.value[0] if isinstance(x.value, tuple) else x.value


def applied(op: Several, args: tuple[Any, ...], params: Params) -> Any:
    """Apply an op with several results through the interpreter stack."""
    for a in args:
        if a.alias is not None:
            a.alias.refresh(a)
    return tuple(apply(SeveralCall(op, params), list(args)))

"""Forward mode: the interpreter whose tensors carry a tangent beside the primal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core.op import Op
from tabgrad.core.spec import Params
from tabgrad.core.trace import MODE, Box, Mode, bind, using, wrap, zeros_like
from tabgrad.core.undoing import give
from tabgrad.transforms.levels import Level
from tabgrad.transforms.node import Node
from tabgrad.transforms.saving import frozen
from tabgrad.transforms.tape import record, record_call


class Forward(Level):
    """One level of forward mode: the payload of its tensors is (primal, tangent), both of the level below.

    Its tensors can be tracked as those of the base can, so reverse mode runs over forward mode.
    """

    name = "func.jvp"
    rewrites = True

    def lower(self, x: Box) -> Any:
        """Take the primal of `x`."""
        return self.parts(x)[0]

    def lift(self, primal: Box, tangent: Box | None) -> Any:
        """Make a tensor of this level from copies of the present values of these parts."""
        return self.tie(frozen(primal), None if tangent is None else frozen(tangent))

    def tie(self, primal: Box, tangent: Box | None) -> Any:
        """Make a tensor of this level from these parts themselves: a write to it is a write to them."""
        return wrap((primal, tangent), primal.spec, primal.device, self)

    def rewrite(self, x: Box, y: Box, write: Callable[[Any, Any], Any]) -> None:
        """Write the primal and the tangent of `y` to those of `x`, zeros if only `x` has a tangent."""
        primal, tangent = x.value
        new, moving = self.parts(y)
        with using(self.below(self.entered(MODE.get()))):
            write(primal, new)
            if tangent is not None:
                write(tangent, zeros_like(tangent) if moving is None else moving)
            elif moving is not None:
                tangent = frozen(moving)
        x.value = primal, tangent

    def parts(self, x: Box) -> tuple[Any, Any]:
        """Split `x` into its primal and its tangent, None if that is zero."""
        if x.owner is self:
            primal, tangent = x.value
            return primal, tangent
        return x, None

    def joined(self, args: Sequence[Any]) -> Sequence[Any]:
        """Make `args` that are part of a graph below part of the graph of this level."""
        return args

    def process(self, op: Op, args: tuple[Any, ...], params: Params) -> Any:
        """Apply `op` to the primals and its jvp to the tangents; without a tangent the result stays below."""
        mode = self.entered(MODE.get())
        parts = [a.value if a.owner is self else (a, None) for a in args]
        primals = tuple([p[0] for p in parts])
        token = MODE.set(self.below(mode))
        try:
            y = bind(op, primals, params)
            tangent = None
            tangents = [p[1] for p in parts]
            moving = any(t is not None for t in tangents)
            if moving and op.differentiable and y.spec.dtype.is_differentiable:
                tangent = op.jvp(primals, tangents, y, params)
                if any(tangent is t for t in tangents):
                    # the result has a tangent of its own to write to
                    tangent = frozen(tangent)
        finally:
            MODE.reset(token)
        if tangent is None:
            return y
        out = wrap((y, tangent), y.spec, y.device, self)
        if mode.grad:
            record(op, params, args, tuple(parts), tuple([a.spec for a in args]), out, self, mode)
        return out


class Dual(Forward):
    """The level of a dual_level(): its tensors are part of the graphs of the levels below.

    A tensor tracked below is tracked here too, so `.backward()` inside gives gradients with tangents. A tensor
    that was made outside and is written to inside has a tangent until the level ends.
    """

    name = "forward_ad.dual_level()"
    walks = True

    def __init__(self, outer: Mode | None = None) -> None:
        super().__init__(outer)
        self.leaves: list[Any] = []
        self.written: dict[int, Any] = {}

    def dual(self, primal: Box, tangent: Box | None) -> Any:
        """Make a tensor of these parts, whose gradient flows on to `primal`."""
        x = self.tie(primal, tangent) if tangent is not None else self.lift(primal, None)
        if primal.tracked and MODE.get().grad:
            record_call(PASS, [primal], [x], primal.owner)
        return x

    def joined(self, args: Sequence[Any]) -> Sequence[Any]:
        """Make tensors that are tracked below tracked here too."""
        if not MODE.get().grad:
            return args
        return [
            self.dual(a, None) if isinstance(a, Box) and a.tracked and a.owner is not self else a
            for a in args
        ]

    def process(self, op: Op, args: tuple[Any, ...], params: Params) -> Any:
        """Apply `op`; arguments tracked below are tracked here too."""
        return super().process(op, tuple(self.joined(args)), params)

    def wrote(self, x: Box) -> None:
        """Remember that `x`, a tensor from outside, is about to take a dual value."""
        self.written[id(x)] = x

    def restore(self) -> None:
        """Replace the value of each tensor that was written to by its primal."""
        for x in self.written.values():
            if x.owner is self:
                self.outlive(x)
                give(x, x.value, x.owner)
        self.written.clear()

    def outlive(self, x: Box) -> None:
        """Turn a tensor of this level into its primal, with the primal's place in the graph."""
        y = x.value[0]
        x.value, x.owner, x.tracked, x.node = y.value, y.owner, y.tracked, y.node

    def close(self) -> None:
        """End the level: written tensors, and the `.grad` of leaves, lose their tangents."""
        self.restore()
        for ref in self.leaves:
            leaf = ref()
            if leaf is not None and leaf._grad is not None and leaf._grad.owner is self:
                leaf._grad = leaf._grad.value[0]


class Pass:
    """The rule of a node that hands its cotangent on unchanged."""

    node_name = "MakeDualBackward0"

    def apply(
        self, node: Node, cts: list[Any], needs: Sequence[bool], lowered: bool, graph: bool
    ) -> list[Any]:
        """Hand the cotangent on."""
        return cts


PASS = Pass()

"""Functions of leaves as functions of batched leaves: how vmap goes through rules written for one element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabgrad.core.op import REGISTRY
from tabgrad.core.trace import Box
from tabgrad.transforms.vmap import Batch


class BatchedFunctions:
    """Makes functions of leaves into functions of batched leaves, each with a batching level of its own."""

    def __init__(self, level: Batch, dims: Sequence[Any]) -> None:
        self.size, self.randomness, self.dims = level.size, level.randomness, list(dims)

    def lift(self, level: Batch, leaves: Sequence[Any], dims: Sequence[Any]) -> list[Any]:
        """Return the leaves with their batch axes hidden."""
        return [
            x if d is None or not isinstance(x, Box) else level.lift(x, d)
            for x, d in zip(leaves, dims, strict=True)
        ]

    def lower(self, level: Batch, leaves: Sequence[Any]) -> list[Any]:
        """Return the leaves with their batch axes in front."""
        return [level.lower(y, 0) if isinstance(y, Box) else y for y in leaves]

    def plain(self, fn: Any) -> Any:
        """Return the batched form of fn(leaves) -> leaves."""

        def call(leaves: Sequence[Any]) -> list[Any]:
            level = Batch(self.size, self.randomness)
            with level.inside():
                outs = fn(self.lift(level, leaves, self.dims))
            return self.lower(level, outs)

        return call

    def forward(self, fwd: Any) -> Any:
        """Return the batched form of fwd(leaves) -> (leaves, (residual leaves, structure))."""

        def call(leaves: Sequence[Any]) -> Any:
            level = Batch(self.size, self.randomness)
            with level.inside():
                outs, (residuals, its) = fwd(self.lift(level, leaves, self.dims))
            flags = tuple(0 if isinstance(r, Box) and r.owner is level else None for r in residuals)
            low = [
                r if d is None else level.lower(r, 0) for r, d in zip(residuals, flags, strict=True)
            ]
            return self.lower(level, outs), (low, (its, flags))

        return call

    def backward(self, bwd: Any) -> Any:
        """Return the batched form of bwd((residual leaves, structure), cts) -> leaves."""

        def call(residuals: Any, cts: Sequence[Any]) -> list[Any]:
            low, (its, flags) = residuals
            level = Batch(self.size, self.randomness)
            with level.inside():
                lifted = self.lift(level, low, flags)
                found = bwd((lifted, its), self.lift(level, cts, [0] * len(cts)))
            return [self.reduced(level, g, d) for g, d in zip(found, self.dims, strict=True)]

        return call

    def reduced(self, level: Batch, g: Any, dim: int | None) -> Any:
        """Return a gradient below `level`: summed over the batch where all elements share the argument."""
        if g is None or not isinstance(g, Box):
            return g
        if dim is not None:
            return level.lower(g, dim)
        return REGISTRY["reduce_sum"].bind(level.lower(g, 0), axes=(0,))

    def pushed(self, rule: Any) -> Any:
        """Return the batched form of rule(primals, tangents) -> (outputs, tangents)."""

        def call(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
            level = Batch(self.size, self.randomness)
            with level.inside():
                outs, ts = rule(
                    self.lift(level, primals, self.dims), self.lift(level, tangents, self.dims)
                )
            return self.lower(level, outs), self.lower(level, ts)

        return call

"""Functions of matrices with derivatives of their own, which read the results as well as the arguments.

A formula keeps its results for a backward, so that nothing is factored twice. All of its tensors have the same
batch axes in front. Where an argument is a factor of another one, the rules may give the derivative to either:
it is the other's tangent or cotangent that they leave out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core.families import to_front
from tabgrad.core.trace import MODE, Box, Mode, using
from tabgrad.transforms.calls import RuledCall, apply
from tabgrad.transforms.levels import Level
from tabgrad.transforms.vmap import Batch

Rule = Callable[..., Any]


class Formula:
    """A function of tensors and static parameters, by `formula`."""

    def __init__(self, fun: Rule, derivative: Rule, pull: Rule, name: str) -> None:
        self.fun, self.derivative, self.pull, self.name = fun, derivative, pull, name
        self.__doc__ = fun.__doc__

    def __call__(self, *args: Any, **params: Any) -> Any:
        outs = apply(_Call(self, params), list(args))
        return outs[0] if len(outs) == 1 else tuple(outs)


def formula(derivative: Rule, pull: Rule) -> Callable[[Rule], Formula]:
    """Declare a function of tensors with rules of its own.

    `derivative(primals, tangents, ys, **params)` returns the tangents of the results, where a tangent of None
    is zero; `pull(cts, primals, ys, **params)` the cotangents of the arguments.
    """
    return lambda fun: Formula(fun, derivative, pull, fun.__name__.strip("_"))


class _Call(RuledCall):
    """One application of a formula."""

    keeps_outputs = True

    def __init__(self, of: Formula, params: dict[str, Any]) -> None:
        self.of, self.params = of, params
        self.name = of.name
        self.node_name = "".join(word.capitalize() for word in of.name.split("_")) + "Backward0"

    def plain(self, args: list[Any]) -> list[Any]:
        """Compute the results by ops."""
        found = self.of.fun(*args, **self.params)
        return [found] if isinstance(found, Box) else list(found)

    def run(self, args: list[Any]) -> list[Any]:
        """Compute the results, and record nothing."""
        with using(MODE.get().replace(grad=False)):
            return self.plain(args)

    def pull(
        self, args: list[Any], kept: list[Any], cts: list[Any], needs: Sequence[bool]
    ) -> list[Any]:
        """Apply the reverse rule."""
        found = list(self.of.pull(cts, args, kept, **self.params))
        return [g if n else None for g, n in zip(found, needs, strict=True)]

    def push(self, primals: list[Any], tangents: list[Any]) -> tuple[list[Any], list[Any]]:
        """Apply the function, and its derivative to the tangents."""
        ys = apply(self, primals)
        if all(t is None for t in tangents):
            return ys, [None] * len(ys)
        return ys, list(self.of.derivative(primals, tangents, ys, **self.params))

    def batch(
        self, level: Batch, args: list[Any], dims: list[Any]
    ) -> tuple[list[Any], Sequence[int | None]]:
        """Apply the function to arguments with the batch axis in front."""
        given = [to_front(x, d, level.size) for x, d in zip(args, dims, strict=True)]
        outs = apply(self, given)
        return outs, [0] * len(outs)

    def at_level(self, level: Level, args: list[Any], mode: Mode) -> list[Any]:
        """Record the call at a level that traces; tracers of tangents go through the function itself."""
        return super().at_level(level, args, mode) if hasattr(level, "call") else self.plain(args)


__all__ = ["Formula", "formula"]

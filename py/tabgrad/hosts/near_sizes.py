"""Programs that are computed at several sizes share kernels, though nobody has compiled them.

The first sizes of a program get kernels of their own. Sizes that are near to them share other kernels, in which
what varies is a uniform word (`lower/dynamic.py`). Sizes far from these begin anew, since choices for small
sizes are bad ones for large.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabgrad.core.spec import Spec
from tabgrad.lower.dynamic import Dynamic
from tabgrad.lower.ir import RawNode

NEAR = 4
"""Sizes up to so many times as large share kernels."""

Shapes = tuple[tuple[int, ...], ...]


class NearSizes:
    """The sizes that programs were lowered for first, and what those near to them share."""

    def __init__(self) -> None:
        self.known: dict[Any, dict[Shapes, Dynamic]] = {}

    def sharing(
        self, raw: Sequence[RawNode], wanted: tuple[int, ...], moving: frozenset[int]
    ) -> Dynamic | None:
        """Return what a plan shares with those for sizes near to its own; None if it is the first of them."""
        shapes = tuple([node[3].shape for node in raw])
        groups = self.known.setdefault((form(raw), wanted, moving), {})
        for first, dynamic in groups.items():
            if first == shapes:
                return None
            if near(first, shapes):
                changed = {n for a, b in zip(first, shapes, strict=True) for n in changes(a, b)}
                dynamic.sizes = frozenset(changed)
                return dynamic
        groups[shapes] = Dynamic()
        return None

    def forget(self, *what: str) -> None:
        """Let choices of these kinds be made anew."""
        for groups in self.known.values():
            for dynamic in groups.values():
                dynamic.forget(*what)


def form(raw: Sequence[RawNode]) -> Any:
    """Describe a program without its sizes."""
    return tuple([sizeless(*node) for node in raw])


def sizeless(op: Any, params: Any, srcs: tuple[int, ...], its: Spec) -> Any:
    """Describe a node without sizes; a view has no other parameters that count."""
    fixed = None
    if op is not None and op.family == "composed":
        op = op.sizeless
    elif op is not None and op.family != "view" and params:
        fixed = tuple([(k, v) for k, v in params.items() if k != "shape"])
    return op, srcs, its.dtype, len(its.shape), fixed


def near(first: Shapes, shapes: Shapes) -> bool:
    """Whether all sizes are near to those of the same axes in `first`."""
    return all(
        a == b or (min(a, b) > 1 and max(a, b) <= NEAR * min(a, b))
        for one, other in zip(first, shapes, strict=True)
        if one != other
        for a, b in zip(one, other, strict=True)
    )


def changes(one: tuple[int, ...], other: tuple[int, ...]) -> list[int]:
    """Return the sizes of `other` that are not those of `one`."""
    return [b for a, b in zip(one, other, strict=True) if a != b] if one != other else []

"""Pieces of a cat that are written straight to their places in it, so that the cat needs no kernel."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from tabgrad.core.spec import NO_PARAMS
from tabgrad.lower.ir import COPY, FULL, RESHAPE, Node, Program
from tabgrad.lower.limits import Limits
from tabgrad.lower.record import record_of

CONE = 64
"""The most nodes that are looked through for what pieces have in common."""


def join_in_place(
    p: Program, apart: frozenset[Node] = frozenset(), limits: Limits | None = None
) -> dict[Node, tuple[Node, int]]:
    """Let the ops that make the pieces of a cat write straight into it: of each long one, and, if `limits` of
    the device are given, of those short ones whose pieces one kernel makes.

    Returns, for each piece, the cat and the offset in it, in elements. A piece that can't be written in
    place (an input, a view that moves elements, a piece of two cats, one of `apart`) is copied.
    """
    inside: dict[Node, tuple[Node, int]] = {}
    short = _short(p, apart, limits) if limits is not None else set()
    for cat in [n for n in p.nodes if _joins(n) or n in short]:
        pieces = []
        at = 0
        for s in cat.srcs:
            piece = _base(s)
            alone = cat not in short or (_alone(piece, cat, p) and _is_expression(piece))
            its_own = piece in short or _in_place(piece)
            if piece in inside or piece in apart or not alone or not its_own:
                piece = p._add(COPY, NO_PARAMS, (s,), s.spec, -1)
            if cat in short:
                piece.rows = _length(s, cat), _length(cat, cat)
            inside[piece] = (cat, at)
            pieces.append(piece)
            at += s.spec.size if cat not in short else _length(s, cat)
        cat.srcs = tuple(pieces)
    if inside:
        p.reorder()
    return inside


def _base(n: Node) -> Node:
    while n.op is RESHAPE:
        n = n.srcs[0]
    return n


def _in_place(n: Node) -> bool:
    if n.op is None or n.op is FULL or n.family == "view":
        return False
    return not _joins(n)


def _joins(n: Node) -> bool:
    record = record_of(n)
    return record is not None and record.pieces and record.heavy(n)


def _axis(cat: Node) -> int:
    axis: Any = cat.params["axis"]
    return axis


def _length(n: Node, cat: Node) -> int:
    """Count the elements of `n` that lie side by side in a cat."""
    return math.prod(n.shape[_axis(cat) :])


def _is_expression(n: Node) -> bool:
    """Test whether a kernel that stores element by element makes a node."""
    return n.op is not FULL and n.family in ("elementwise", "reduction", "bilinear")


def _alone(piece: Node, cat: Node, p: Program) -> bool:
    """Test whether a cat alone reads a piece, through views that don't move elements."""
    n = piece
    while n is not cat:
        if len(n.users) != 1 or any(n is o for o in p.outputs):
            return False
        n = n.users[0]
    return True


# -- short cats ------------------------------------------------------------------------------------


def _short(p: Program, apart: frozenset[Node], limits: Limits) -> set[Node]:
    """Find the cats of few pieces, stored in any case, whose pieces one kernel may make.

    The index of an element of a short cat chooses between the pieces, which needs a kernel over all elements of
    the cat. What makes the pieces, all of one size, runs over those of one piece, and can often store them too.
    """
    found = set[Node]()
    for n in p.nodes:
        if n.name == "cat" and not _joins(n) and n not in apart and _is_stored(n, p):
            inside = (
                not limits.binding or n.spec.size * max(n.spec.dtype.itemsize, 4) <= limits.binding
            )
            if inside and p.decide("pieces", lambda n=n: _of_one_kernel(n)):  # type: ignore[misc]
                found.add(n)
    return found


def _is_stored(cat: Node, p: Program) -> bool:
    """Test whether a cat has a buffer however it is made: as an output, an operand of a product, or a piece."""
    stack: list[Node] = [cat]
    while stack:
        n = stack.pop()
        if any(n is o for o in p.outputs) or any(
            u.family == "bilinear" or _joins(u) for u in n.users
        ):
            return True
        stack += [u for u in n.users if u.family == "view"]
    return False


def _of_one_kernel(cat: Node) -> bool:
    """Test whether all pieces of a cat have one size, and are made of values that they have in common."""
    pieces = [_base(s) for s in cat.srcs]
    size = pieces[0].spec.size
    if not size or any(s.spec.size != size or not _is_expression(s) for s in pieces):
        return False
    cones = [_cone([s]) for s in pieces]
    joined = cones.pop()
    while cones:
        near = next((c for c in cones if c & joined), None)
        if near is None:
            return False
        cones.remove(near)
        joined |= near
    return True


def _cone(roots: Iterable[Node]) -> set[int]:
    """Collect the nodes of one size that a value is computed from element by element."""
    stack, seen = list(roots), set[int]()
    size = stack[0].spec.size
    while stack and len(seen) < CONE:
        n = stack.pop()
        if n.spec.size != size or n.op is FULL or n.id in seen:
            continue
        seen.add(n.id)
        if n.family == "elementwise" or n.op is RESHAPE:
            stack += n.srcs
    return seen

"""What a plan is known by, and the numbers that are no part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabgrad.lower.ir import FULL, place_of

if TYPE_CHECKING:
    from tabgrad.core.graph import Graph


def structure(graph: Graph, order: list[int], wanted: list[int]) -> tuple[Any, tuple[int, ...]]:
    """Return the key of a plan: the nodes `order`, and the wanted ones by their positions in it.

    A constant that stands in the order once for each use has as many positions.
    """
    ops, srcs, params, specs = graph.op, graph.srcs, graph.params, graph.spec
    at: dict[int, int] = {}
    uses: dict[int, list[int]] = {}
    raw = []
    for k, n in enumerate(order):
        op = ops[n]
        if op is FULL:
            uses.setdefault(n, []).append(k)
        places = [uses[s].pop(0) if uses.get(s) else at[s] for s in srcs[n]]
        raw.append((op, params[n], tuple(places), specs[n]))
        at[n] = k
    return tuple(raw), tuple([at[n] for n in wanted])


def constant_of(graph: Graph, order: list[int], number: int) -> Any:
    """Return a constant of a plan: the value of a node, or one that is inside of it."""
    at, n = place_of(number)
    if n < 0:
        return graph.aux[order[at]]
    its: Any = graph.op[order[at]]
    return its.numbers[n]

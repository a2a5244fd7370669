"""The size of expressions: how much a kernel computes for one element of a node, if nothing is stored."""

from __future__ import annotations

from tabgrad.lower.group import in_blocks
from tabgrad.lower.ir import FULL, Node

MAX_OPS = 96
"""Ops a kernel may hold: compilers slow down, and one peer's give up, on longer ones."""
MAX_VALUES = 3 * MAX_OPS
"""Values a kernel may compute for one element: views count, and what is needed at two indices counts twice."""
MAX_NESTED = 16
"""Blocks inside blocks: printing recurses into each, and WGSL promises no more than 127 levels of braces."""


class Measure:
    """The sizes of all expressions, where the `stored` are read and not computed.

    `same` has, as bits, the nodes that are computed at the index of a node, `moved` how many values a node
    that changes the index, or has two, computes at others; `values` is how many there are in all, `nested`
    how deep its blocks are.
    """

    def __init__(self, nodes: list[Node], stored: set[int]) -> None:
        self.stored = stored
        self.moving = sum(1 << n.id for n in nodes if n.family != "elementwise")
        self.same: dict[int, int] = {}
        self.moved: dict[int, int] = {}
        self.values: dict[int, int] = {}
        self.nested: dict[int, int] = {}

    def inlined(self, n: Node) -> list[Node]:
        """Return the sources that are computed where `n` is."""
        return [s for s in n.srcs if s.id not in self.stored and s.op is not FULL]

    def size(self, n: Node) -> float:
        """Return the size of the expression of `n` as a part of what a kernel may hold: 1 is all."""
        return max(self.values[n.id] / MAX_VALUES, self.nested[n.id] / MAX_NESTED)

    def shorten(self, n: Node) -> None:
        """Measure `n`, whose sources have been measured; store values below it until a kernel may hold it."""
        self.measure(n)
        while self.size(n) > 1:
            path = [max(self.inlined(n), key=self.size)]
            while path[-1].family == "view" and self.inlined(path[-1]):
                path.append(path[-1].srcs[0])
            if path[-1].family == "view":
                del path[1:]
            # Below views, not above them: what expands a value has more elements than that.
            self.stored.add(path.pop().id)
            for v in (*reversed(path), n):
                self.measure(v)

    def measure(self, n: Node) -> None:
        """Note the size of the expression of `n`."""
        at, moved, nested = n.id, 0, 0
        same = 1 << at
        moves = n.family != "elementwise"
        for s in n.srcs:
            if s.id not in self.stored and s.op is not FULL:
                nested = max(nested, self.nested[s.id])
                if moves:
                    moved += self.values[s.id]
                else:
                    same |= self.same[s.id]
        self.moved[at] = moved
        values = same.bit_count()
        moving = same & self.moving
        while moving:
            low = moving & -moving
            values += self.moved[low.bit_length() - 1]
            moving ^= low
        self.same[at] = same
        self.values[at] = values
        self.nested[at] = nested + in_blocks(n)

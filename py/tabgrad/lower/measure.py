"""The size of expressions: the work of a kernel for one element of a node, if nothing more is stored."""

from __future__ import annotations

from tabgrad.lower.group import in_blocks
from tabgrad.lower.ir import FULL, Node

MAX_OPS = 96
"""Ops a kernel may hold: compilers are slow on longer kernels, or give up."""
MAX_VALUES = 3 * MAX_OPS
"""Values a kernel may compute for one element: views count, and a value at two indices counts twice."""
MAX_NESTED = 16
"""Nested blocks: printing recurses into each, and WGSL promises no more than 127 levels of braces."""


class Measure:
    """The sizes of all expressions, in which `stored` nodes are read and not computed.

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
        """List the sources that are computed in the same kernel as `n`."""
        return [s for s in n.srcs if s.id not in self.stored and s.op is not FULL]

    def size(self, n: Node) -> float:
        """Compute the size of the expression of `n` as a fraction of what a kernel may hold."""
        return max(self.values[n.id] / MAX_VALUES, self.nested[n.id] / MAX_NESTED)

    def shorten(self, n: Node) -> None:
        """Measure `n`, whose sources have been measured; store values below it until it fits a kernel."""
        self.measure(n)
        while self.size(n) > 1:
            path = [max(self.inlined(n), key=self.size)]
            while path[-1].family == "view" and self.inlined(path[-1]):
                path.append(path[-1].srcs[0])
            if path[-1].family == "view":
                del path[1:]
            # Below views, not above them: an expanded value has more elements.
            self.stored.add(path.pop().id)
            for v in (*reversed(path), n):
                self.measure(v)

    def measure(self, n: Node) -> None:
        """Compute and keep the size of the expression of `n`."""
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

"""Shared buffers: how many a kernel binds, where pieces of a cat lie in one, and temporaries of a group may."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tabgrad.lower.group import Group, is_heavy
from tabgrad.lower.ir import FULL, Node, Program
from tabgrad.lower.limits import Limits

MOST = 1 << 20
"""The most elements of a buffer that temporaries share, all of which live as long as the last of them."""
WORD = 4
"""The bytes of an element of a shared buffer: kernels write neighbours of smaller ones together."""


class Sharing:
    """Counts what groups bind. `inside` gives the cat that a piece lies in, `kept` are nodes with a place of
    their own, `of` the groups by their members; `readers` are the groups that load a node."""

    def __init__(
        self, p: Program, limits: Limits, inside: Mapping[Node, tuple[Node, int]],
        kept: Collection[int], of: Mapping[int, Group],
    ) -> None:  # fmt: skip
        self.limits = limits
        self.inside = inside
        self.of = of
        self.needed = {o.id for o in p.outputs} | set(kept)
        self.readers: dict[int, set[Group]] = {}
        self.free: dict[int, bool] = {}

    def joined(self, g: Group) -> None:
        """Note what a new group loads."""
        for i in g.loads:
            self.readers.setdefault(i, set()).add(g)

    def left(self, g: Group) -> None:
        """Forget what a group loads, which another has taken in."""
        for i in g.loads:
            self.readers[i].discard(g)

    def written(self, g: Group, old: Collection[Group]) -> list[Node]:
        """List the members that a group, made of `old` ones, must write: others read them."""
        return [
            m
            for m in g.members
            if m.id in self.needed or any(r not in old for r in self.readers.get(m.id, ()))
        ]

    def binds_at_most(self, most: int, g: Group, old: Collection[Group] = ()) -> bool:
        """Test whether a group, made of `old` ones, binds at most so many buffers; if need be, its temporaries
        share one from now on, and so do those of each group that it reads."""
        if len(g.loads) + len(g.members) + g.checks <= most:
            return True
        writes = self.written(g, old)
        if self.count(g, writes, ()) <= most:
            return True
        makers = {id(h): h for s in g.loads.values() if (h := self.of.get(s.id)) is not None}
        tight = [h for h in (g, *makers.values()) if not h.packed]
        tight = [h for h in tight if self.may_pack(h, writes if h is g else h.members)]
        if not tight or self.count(g, writes, tight) > most:
            return False
        for h in tight:
            h.packed = True
        return True

    def count(self, g: Group, writes: list[Node], tight: Collection[Group]) -> int:
        """Count the buffers of a group, if the temporaries of each of the `tight` groups share one."""
        homes = {self.home(m, g, tight) for m in writes}
        homes |= {self.home(s, self.of.get(s.id), tight) for s in g.loads.values()}
        return len(homes) + g.checks

    def home(self, n: Node, g: Group | None, tight: Collection[Group]) -> Any:
        """Tell the buffer of a node, which group `g` makes."""
        if n in self.inside:
            while n in self.inside:
                n = self.inside[n][0]
        elif g is not None and (g.packed or g in tight) and self.may_share(n):
            return id(g), n.spec.dtype
        return n.id

    def may_share(self, n: Node) -> bool:
        """Test whether a node may lie beside others of its group: not what a host or an op with a kernel of
        its own takes whole."""
        found = self.free.get(n.id)
        if found is None:
            whole = n.id in self.needed or n in self.inside or n.op is None or n.op is FULL
            found = self.free[n.id] = (
                not whole
                and n.spec.dtype.itemsize == WORD
                and n.spec.size > 0
                and not self.read_whole(n)
            )
        return found

    def read_whole(self, n: Node) -> bool:
        """Test whether a kernel that is no map, reduction or product reads a node."""
        stack = list(n.users)
        while stack:
            u = stack.pop()
            if u.family == "view":
                stack += u.users
            elif u.family not in ("elementwise", "reduction", "bilinear") and is_heavy(u):
                return True
        return False

    def may_pack(self, g: Group, writes: list[Node]) -> bool:
        """Test whether a group has several temporaries that may share a buffer, which is not large."""
        if g.kind == "library":
            return False
        shared = [m for m in writes if self.may_share(m)]
        most = min(MOST, self.limits.binding // WORD or MOST)
        return len(shared) > 1 and self.limits.decide(
            "packed", lambda: sum(padded(m) for m in shared) <= most
        )

    def together(self, g: Group, needed: Collection[int]) -> list[list[Node]]:
        """List the members of a group that share a buffer, by their dtypes."""
        kinds: dict[Any, list[Node]] = {}
        for m in g.members if g.packed else ():
            if m.id in needed and self.may_share(m):
                kinds.setdefault(m.spec.dtype, []).append(m)
        return [members for members in kinds.values() if len(members) > 1]


def padded(n: Node) -> int:
    """Count the elements that a node takes in a shared buffer: the next one begins at a vector of four."""
    return -(-n.spec.size // 4) * 4


__all__ = ["Sharing", "padded"]

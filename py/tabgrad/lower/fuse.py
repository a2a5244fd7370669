"""Fusion: grouping the nodes of a program into kernels.

Every value that gets a buffer of its own (`stored.py`) starts a group. Groups are merged while that saves
a dispatch: a reduction with the element-wise work before and after it, a product with its epilogue, several
reductions of the same rows, outputs over the same domain. Whether a merge can be one kernel is tried out
symbolically (`placing.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from tabgrad.core.several import Part
from tabgrad.lower.group import Group, is_heavy
from tabgrad.lower.ir import Node, Program
from tabgrad.lower.limits import Limits
from tabgrad.lower.placing import load_all, place_members
from tabgrad.lower.sharing import Sharing
from tabgrad.lower.stored import choose_stored

NOWHERE: Mapping[Node, tuple[Node, int]] = {}


LARGE = 1 << 20
"""A group that is the last to read so many elements runs as soon as it can."""


def promptly(p: Program, groups: list[Group], of: dict[int, Group]) -> list[Group]:
    """Move groups forward that free much more memory than their results take."""
    sizes = {i: n.spec.size for g in groups for i, n in g.loads.items() if i in of}
    if not p.decide("promptly", lambda: max(sizes.values(), default=0) >= LARGE):
        return groups
    readers: dict[int, list[Group]] = {i: [] for i in sizes}
    for g in groups:
        for i in g.loads:
            if i in readers:
                readers[i].append(g)
    outputs = {o.id for o in p.outputs}
    left = {i: len(found) for i, found in readers.items()}
    out: list[Group] = []
    done: set[int] = set()

    def frees(g: Group) -> bool:
        last = sum(sizes[i] for i in g.loads if left.get(i) == 1 and i not in outputs)
        made = sum(m.spec.size for m in g.members if m.id in sizes or m.id in outputs)
        return last >= max(LARGE, 2 * made)

    for start in groups:
        stack = [start]
        while stack:
            g = stack.pop()
            if id(g) in done or any(i in of and id(of[i]) not in done for i in g.loads):
                continue
            done.add(id(g))
            out.append(g)
            near = [i for i in (*g.loads, *(m.id for m in g.members)) if i in readers]
            for i in g.loads:
                if i in left:
                    left[i] -= 1
            stack += [r for i in reversed(near) for r in reversed(readers[i]) if frees(r)]
    return out


class Fuser:
    """Groups the nodes of one program. `stored` always have buffers, `calls` are routines. Kernels of
    several ops bind at most `buffers`, if that is less than the limit of the device. `inside` are the
    pieces of cats."""

    def __init__(
        self, p: Program, limits: Limits, stored: Iterable[int] = (), calls: Iterable[int] = (),
        buffers: int = 0, inside: Mapping[Node, tuple[Node, int]] = NOWHERE,
    ) -> None:  # fmt: skip
        self.p = p
        self.calls = frozenset(calls)
        self.limits = limits
        self.buffers = buffers or limits.buffers
        self.stored: set[int] = set(stored)
        self.of: dict[int, Group] = {}
        self.line: dict[int, Group] = {}
        self.applications: dict[Any, Node] = {}
        self.told: tuple[Any, ...] = ()
        self.sharing = Sharing(p, limits, inside, self.stored, self.of)

    def run(self) -> list[Group]:
        """Fuse the program, and return the groups in an order in which they can run."""
        choose_stored(self.p, self.limits, self.stored, self.buffers)
        for n in self.p.nodes:
            if n.id in self.stored and n.op is not None:
                self.start(n)
        self.merge_all()
        self.join_siblings()
        return promptly(self.p, self.ordered(), self.of)

    # -- groups ------------------------------------------------------------------------------------

    def start(self, n: Node) -> None:
        """Give a stored node a group of its own."""
        if n.family == "reduction" and n.id not in self.calls:
            axes: Any = n.params["axes"]
            group = Group("row", n.srcs[0].shape, axes, [n])
        elif n.family == "bilinear" and n.id not in self.calls:
            group = Group("product", n.shape, (), [n])
        elif is_heavy(n) or n.id in self.calls:
            first = self.sibling(n)
            if first is not n:
                self.of[n.id] = self.of[first.id]
                self.of[n.id].members.append(n)
                return
            group = Group("library", n.shape, (), [n])
        else:
            group = Group("map", n.shape, (), [n])
        assert self.can_be_one(group), n
        self.of[n.id] = self.line[n.id] = group
        self.sharing.joined(group)
        group.place = n.id

    def sibling(self, n: Node) -> Node:
        """Find the first result of the application that computes `n`; for most ops it is `n` itself."""
        if not isinstance(n.op, Part):
            return n
        key = (n.op.several, n.params, *(s.id for s in n.srcs))
        first = self.applications.setdefault(key, n)
        if first is not n:
            first.siblings.append(n)
            n.siblings = first.siblings
        return first

    def can_be_one(self, g: Group, *old: Group) -> bool:
        """Find the index of every member and the loads of the group, which is made of `old` ones; give False
        if it can't be one kernel."""
        if g.kind == "library":
            load_all(g, self.stored)
            return True
        most = self.limits.buffers if len(g.members) == 1 else self.buffers
        return place_members(g, self.stored) and self.sharing.binds_at_most(most, g, old)

    # -- merging -----------------------------------------------------------------------------------

    def merge_all(self) -> None:
        """Merge each group with those it reads, as long as they can be one kernel."""
        for n in self.p.nodes:
            group = self.of.get(n.id)
            if group is None:
                continue
            tried: set[int] = set()
            again = True
            while again:
                again = False
                for source in sorted(group.loads.values(), key=lambda s: -s.id):
                    producer = self.of.get(source.id)
                    if producer is None or producer is group or id(producer) in tried:
                        continue
                    tried.add(id(producer))
                    merged = self.merged(producer, group)
                    if merged is not None:
                        self.replace((producer, group), merged)
                        group, again, tried = merged, True, set()
                        break

    def merged(self, a: Group, b: Group) -> Group | None:
        """Merge `a` and `b` into one group, if that can be one kernel."""
        kinds = (a.kind, b.kind)
        if (
            "library" in kinds
            or kinds.count("product") == 2
            or ("product" in kinds and "row" in kinds)
        ):
            return None
        members = sorted({m.id: m for m in (*a.members, *b.members)}.values(), key=lambda m: m.id)
        if len(members) > 2 * self.limits.buffers or not self.fits(a, b) or self.between(a, b):
            return None
        lead = a if a.kind in ("product", "row") or b.kind == "map" else b
        group = Group(lead.kind, lead.shape, lead.axes, members)
        group.first = lead.first
        group.packed = a.packed or b.packed
        return group if self.can_be_one(group, a, b) else None

    def fits(self, a: Group, b: Group) -> bool:
        """Test whether two groups can run over one domain."""
        if a.kind == b.kind == "row":
            return (a.shape, a.axes) == (b.shape, b.axes) and self.rows_fit(a)
        if a.kind == b.kind == "map":
            return math.prod(a.shape) == math.prod(b.shape)
        row = a if a.kind == "row" else b if b.kind == "row" else None
        if row is not None:
            other = b if row is a else a
            size = math.prod(other.shape)
            if size == row.rows:
                return True
            return size == math.prod(row.shape) and self.rows_fit(row)
        product = a if a.kind == "product" else b
        other = b if product is a else a
        return product is a and math.prod(other.shape) == product.heavies[0].spec.size

    def rows_fit(self, g: Group) -> bool:
        """Test whether one thread or workgroup can do a whole row."""
        return self.limits.decide(
            "rows fit", lambda: g.rows >= 32 or g.row_size <= 1024 or not self.limits.software
        )

    def between(self, a: Group, b: Group) -> bool:
        """Test whether some other group must run after `a` and before `b` (or `b` before `a`)."""
        last = max(a, b, key=lambda g: g.place)
        waiting = set(self.waiting(a, b))
        return any(self.of.get(s) in waiting for s in last.loads)

    def waiting(self, a: Group, b: Group) -> list[Group]:
        """List the groups between two in line that must run after the first of them."""
        first, last = sorted((a, b), key=lambda g: g.place)
        if self.told[:2] == (
            first,
            last,
        ):  # the question before a merge is asked again by the merge
            return self.told[2]
        found = {first: None}
        for place in range(first.place + 1, last.place):
            g = self.line.get(place)
            if g is not None and not found.keys().isdisjoint(map(self.of.get, g.loads)):
                found[g] = None
        self.told = (first, last, list(found)[1:])
        return self.told[2]

    def replace(self, old: tuple[Group, Group], new: Group) -> None:
        """Put a merged group in the place of two; groups that must run after it stay behind it in line."""
        first, last = sorted(g.place for g in old)
        waiting = self.waiting(*old)
        self.told = ()
        places = [i for i in range(first, last + 1) if i in self.line]
        behind = set(waiting)
        others = [self.line[i] for i in places[1:-1]]
        order = [*(g for g in others if g not in behind), new, *waiting]
        del self.line[last]
        for place, g in zip(places, order, strict=False):
            g.place = place
            self.line[place] = g
        for m in new.members:
            self.of[m.id] = new
        for g in old:
            self.sharing.left(g)
        self.sharing.joined(new)

    def join_siblings(self) -> None:
        """Merge groups over one domain that read the same nodes, or write pieces of one cat, and don't wait for
        each other."""
        readers: dict[int, list[Group]] = {}
        for g in self.line.values():
            if g.kind in ("map", "row"):
                for s in self.near(g):
                    readers.setdefault(s, []).append(g)
        apart: set[tuple[Group, Group]] = set()
        shared = list(reversed(readers))
        while shared:
            pair = self.sibling_pair(readers[shared.pop()][:8], apart)
            if pair is not None:
                old, new = pair
                self.replace(old, new)
                now = self.near(new)
                for s in dict.fromkeys((*self.near(old[0]), *self.near(old[1]))):
                    kept = [g for g in readers[s] if g not in old]
                    readers[s] = [*kept, new] if s in now else kept
                    shared.append(s)

    def near(self, g: Group) -> list[int]:
        """List what a group has to do with: the nodes it reads, and the cats that it writes pieces of."""
        homes = (self.sharing.inside.get(m) for m in g.members)
        return [*g.loads, *(~home[0].id for home in homes if home is not None)]

    def sibling_pair(self, sharing: list[Group], apart: set[tuple[Group, Group]]) -> Any:
        """Find two of these groups that can be merged, and their merger; `apart` are pairs that can't."""
        for i, a in enumerate(sharing):
            for b in sharing[i + 1 :]:
                same = a.kind == b.kind and (
                    a.kind == "row" or math.prod(a.shape) == math.prod(b.shape)
                )
                if same and (a, b) not in apart:
                    merged = self.merged(a, b) if self.fits(a, b) else None
                    if merged is not None:
                        return (a, b), merged
                    apart.add((a, b))
        return None

    # -- the result --------------------------------------------------------------------------------

    def ordered(self) -> list[Group]:
        """Sort the groups, each after those it reads."""
        done: set[int] = set()
        out: list[Group] = []
        for start in sorted(self.line.values(), key=lambda g: max(m.id for m in g.members)):
            stack = [(start, False)]
            while stack:
                g, ready = stack.pop()
                if id(g) in done:
                    continue
                if ready:
                    done.add(id(g))
                    out.append(g)
                    continue
                stack.append((g, True))
                stack.extend(
                    (self.of[s], False)
                    for s in g.loads
                    if s in self.of and id(self.of[s]) not in done
                )
        return out

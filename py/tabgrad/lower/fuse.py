"""Where one kernel ends and the next begins.

First it is decided which nodes get a buffer of their own; every one of them starts a group. Groups are then
merged while that saves a dispatch: a reduction with the element-wise work before and after it, a product
with its epilogue, several reductions of the same rows, outputs over the same domain. A merge is tried out
symbolically: each value that a group keeps in registers must be asked for at the one index it is at.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any

from tabgrad.core.several import Part
from tabgrad.lower.group import (
    Group,
    Limits,
    forward_index,
    in_blocks,
    is_heavy,
    operand_index,
    product_index,
    sources,
    weight,
)
from tabgrad.lower.index import Expr, flatten, unflatten, var
from tabgrad.lower.ir import FULL, Node, Program
from tabgrad.lower.measure import MAX_NESTED, MAX_OPS, MAX_VALUES, Measure
from tabgrad.lower.record import CHEAP, notes_errors, record_of

MAX_RESHAPES = 8
"""Reshapes through which a heavy op reads in place: a product writes its index out, and each may double it."""


class Mismatch(Exception):
    """A value of the group was asked for at another index than the one it is at."""


class Fuser:
    """Groups the nodes of one program. `stored` have buffers in any case, `calls` are routines. Kernels of
    several ops bind at most `buffers`, where that is less than what the device lets them."""

    def __init__(
        self, p: Program, limits: Limits, stored: Iterable[int] = (), calls: Iterable[int] = (),
        buffers: int = 0,
    ) -> None:  # fmt: skip
        self.p = p
        self.calls = frozenset(calls)
        self.limits = limits
        self.buffers = buffers or limits.buffers
        self.stored: set[int] = set(stored)
        self.of: dict[int, Group] = {}
        self.line: dict[int, Group] = {}
        self.applications: dict[Any, Node] = {}

    def run(self) -> list[Group]:
        """Return the groups in an order in which they can run."""
        self.choose()
        for n in self.p.nodes:
            if n.id in self.stored and n.op is not None:
                self.start(n)
        self.merge_all()
        self.join_siblings()
        return self.ordered()

    # -- which nodes get a buffer ------------------------------------------------------------------

    def choose(self) -> None:
        """Fill `stored`."""
        stored = self.stored
        stored.update(n.id for n in self.p.inputs)
        stored.update(n.id for n in self.p.outputs)
        for n in self.p.nodes:
            if is_heavy(n):
                stored.add(n.id)
                if n.family != "reduction":
                    for s in n.srcs:
                        if getattr(n.op, "whole", False) and s.op is not FULL:
                            stored.add(s.id)
                        self.store_operand(s)
                continue
            record = record_of(n)
            if record is None:
                continue
            if record.buried is not None:
                self.store_operand(n.srcs[0], record.buried)
            if record.alone is not None and record.alone(n):
                stored.add(n.id)
        self.store_shared(self.cut())
        self.bind()

    def store_operand(self, n: Node, most: int = 0) -> None:
        """Store what a heavy op reads, unless it is only a view or a cast of something stored."""
        operand, reshapes = n, 0
        while n.family == "view" or n.name == "cast" or notes_errors(n):
            reshapes += n.name == "reshape"
            n = n.srcs[0]
        if reshapes > MAX_RESHAPES:
            self.stored.add(operand.id)
        elif n.family in ("elementwise", "kernel") and n.op is not FULL and weight(n) > most:
            self.stored.add(n.id)

    def cut(self) -> dict[int, int]:
        """Store values where an expression would grow too long; return the ops inlined in each node."""
        measure = Measure(self.p.nodes, self.stored)
        masks: dict[int, int] = {}
        for n in self.p.nodes:
            measure.shorten(n)
            mask = 1 << n.id if weight(n) else 0
            for s in n.srcs:
                if s.id not in self.stored:
                    mask |= masks[s.id]
            if mask.bit_count() > MAX_OPS and n.family != "view":
                self.stored.add(n.id)
            masks[n.id] = mask
        return masks

    def bind(self) -> None:
        """Store more until kernels can bind what they read: what one reader stores, another has to load."""
        before = -1
        while before != len(self.stored):
            before = len(self.stored)
            loads: dict[int, int] = {}
            for n in self.p.nodes:
                loads[n.id] = self.few_loads(n, loads)

    def few_loads(self, n: Node, loads: dict[int, int]) -> int:
        """Return the stored nodes an expression reads, as bits; store parts of it until they are few."""

        def read_by(s: Node) -> int:
            s = self.base(s)
            return 1 << s.id if s.id in self.stored else loads[s.id]

        while True:
            total = 0
            for s in n.srcs:
                total |= read_by(s)
            if notes_errors(n):
                total |= 1 << len(self.p.nodes)  # the buffer of errors
            if total.bit_count() < self.buffers:
                return total
            worst = max(n.srcs, key=lambda s: read_by(s).bit_count())
            if read_by(worst).bit_count() <= 1:
                return total
            self.stored.add(self.base(worst).id)

    def base(self, n: Node) -> Node:
        """Return what a chain of views looks at."""
        while n.family == "view" and n.id not in self.stored:
            n = n.srcs[0]
        return n

    def store_shared(self, masks: dict[int, int]) -> None:
        """Store a value that several groups would compute, unless it is cheap."""
        nodes = self.p.nodes
        roots: dict[int, frozenset[int]] = {}
        for n in reversed(nodes):
            if n.id in self.stored:
                roots[n.id] = frozenset((n.id,))
                continue
            found = frozenset().union(*(roots[u.id] for u in n.users)) if n.users else frozenset()
            if n.family in ("elementwise", "kernel") and n.op is not FULL:
                repeated = self.limits.settle("repeated", functools.partial(self.repeated, n))
                dear = CHEAP if len(found) > 1 else 8 if repeated else MAX_OPS * 8
                if dear < MAX_OPS * 8 and self.total(masks[n.id]) > dear:
                    self.stored.add(n.id)
                    found = frozenset((n.id,))
            roots[n.id] = found

    def repeated(self, n: Node) -> bool:
        """Whether each element of a value is read many times."""
        size = n.spec.size
        return size > 1 and any(u.name == "expand" and u.spec.size >= 4 * size for u in n.users)

    def total(self, mask: int) -> int:
        """Return the instructions of the ops in a mask."""
        out = 0
        while mask:
            low = mask & -mask
            out += weight(self.p.nodes[low.bit_length() - 1])
            mask ^= low
        return out

    # -- groups ------------------------------------------------------------------------------------

    def start(self, n: Node) -> None:
        """Give a stored node a group of its own."""
        if n.family == "reduction":
            axes: Any = n.params["axes"]
            group = Group("row", n.srcs[0].shape, axes, [n])
        elif n.family == "bilinear" and n.id not in self.calls:
            group = Group("product", n.shape, (), [n])
        elif is_heavy(n):
            first = self.sibling(n)
            if first is not n:
                self.of[n.id] = self.line[n.id] = self.of[first.id]
                self.of[n.id].members.append(n)
                return
            group = Group("library", n.shape, (), [n])
        else:
            group = Group("map", n.shape, (), [n])
        assert self.settle(group), n
        self.of[n.id] = self.line[n.id] = group
        group.place = n.id

    def sibling(self, n: Node) -> Node:
        """Return the first result that the application has whose result `n` is: `n` itself, as a rule."""
        if not isinstance(n.op, Part):
            return n
        key = (n.op.several, n.params, *(s.id for s in n.srcs))
        first = self.applications.setdefault(key, n)
        if first is not n:
            first.siblings.append(n)
            n.siblings = first.siblings
        return first

    def settle(self, g: Group) -> bool:
        """Find the index of every member and what the group loads; False where it can't be one kernel."""
        if g.kind == "library":
            n = g.members[0]
            for s in n.srcs:
                self.reach(g, s, tuple(var(f"x{i}", m) for i, m in enumerate(s.shape)), set())
            return True
        for h in g.heavies:
            g.index[h.id] = product_index(h) if g.kind == "product" else g.outer_index()
        if not g.heavies:
            g.index[g.first.id] = g.full_index()
        try:
            seen: set[Any] = set()
            for h in g.heavies:
                for s, index in self.operands(g, h):
                    self.reach(g, s, index, seen)
            for m in g.members:
                if m.id not in g.index or not is_heavy(m):
                    self.place(g, m, seen)
        except Mismatch:
            return False
        most = self.limits.buffers if len(g.members) == 1 else self.buffers
        return len(g.loads) + len(g.members) + g.checks <= most

    def operands(self, g: Group, h: Node) -> list[tuple[Node, tuple[Expr, ...]]]:
        """Return what a heavy member reads at one step of its loop."""
        if h.family == "bilinear":
            return [(h.srcs[0], operand_index(h, False)), (h.srcs[1], operand_index(h, True))]
        return [(h.srcs[0], g.full_index())]

    def place(self, g: Group, m: Node, seen: set[Any]) -> None:
        """Find the index at which an element-wise member is computed."""
        for index in self.candidates(g, m):
            try:
                trial = set(seen)
                loads = dict(g.loads)
                for s, i in sources(m, index):
                    self.reach(g, s, i, trial)
            except Mismatch:
                g.loads = loads
                continue
            g.index[m.id] = index
            seen |= trial
            return
        raise Mismatch

    def candidates(self, g: Group, m: Node) -> list[tuple[Expr, ...]]:
        """Return indices at which `m` may be computed, the likeliest first."""
        out = []
        if m.id in g.index:
            return [g.index[m.id]]
        if g.kind != "product" and m.shape == g.shape:
            out.append(g.full_index())
        path = self.path_index(g, m) or self.read_index(g, m)
        if path is not None:
            out.append(path)
        if g.kind == "product":
            h = g.heavies[0]
            if m.spec.size == h.spec.size:
                out.append(unflatten(flatten(g.index[h.id], h.shape), m.shape))
        else:
            if m.spec.size == math.prod(g.shape):
                out.append(unflatten(flatten(g.full_index(), g.shape), m.shape))
            if m.spec.size == g.rows and g.axes:
                out.append(unflatten(var("g", g.rows), m.shape))
        return out

    def path_index(self, g: Group, m: Node) -> tuple[Expr, ...] | None:
        """Return the index of `m` that follows from a placed member it is made of."""
        stack: list[tuple[Node, tuple[Node, ...]]] = [(m, ())]
        seen = {m.id}
        while stack:
            n, path = stack.pop()
            if n.id in g.index and n is not m:
                return forward_index(g.index[n.id], n.shape, path)
            if n is not m and n.id in self.stored and all(n is not k for k in g.members):
                continue
            steps = (n, *path) if n.name in ("reshape", "permute") else path
            if n.family == "elementwise" or n.name in ("reshape", "permute"):
                for s in n.srcs:
                    if s.id not in seen and s.op is not FULL:
                        seen.add(s.id)
                        stack.append((s, steps))
        return None

    def read_index(self, g: Group, m: Node) -> tuple[Expr, ...] | None:
        """Return the index at which a reduction of the group reads `m`, if it reads all of it once."""
        for h in g.heavies if g.kind == "row" else ():
            stack = [(h.srcs[0], g.full_index())]
            seen: set[int] = set()
            while stack:
                n, index = stack.pop()
                if n is m:
                    return index
                if (
                    n.id > m.id
                    and n.id not in seen
                    and (n.family == "elementwise" or n.name in ("reshape", "permute", "flip"))
                ):
                    seen.add(n.id)
                    stack.extend(sources(n, index))
        return None

    def reach(self, g: Group, n: Node, index: tuple[Expr, ...], seen: set[Any]) -> None:
        """Walk what element `index` of `n` is made of; raise Mismatch where the group can't compute it."""
        stack: list[tuple[Node, tuple[Expr, ...], Any, int]] = [(n, index, None, 0)]
        members = {m.id for m in g.members}
        while stack:
            n, index, block, depth = stack.pop()
            key = (n.id, index, block)
            if n.op is FULL or key in seen:
                continue
            if n.id in members and is_heavy(n):
                if g.index.get(n.id) != index:
                    raise Mismatch
                continue
            if n.op is None or (n.id in self.stored and n.id not in members):
                g.loads[n.id] = n
                continue
            seen.add(key)
            if notes_errors(n):
                g.checks = 1
            below = sources(n, index)
            if in_blocks(n):
                depth += 1
                # What one block computes another can't read: there it is computed again.
                stack.extend((s, i, (key, k), depth) for k, (s, i) in enumerate(below))
            else:
                stack.extend((s, i, block, depth) for s, i in below)
            if len(seen) > MAX_VALUES or depth > MAX_NESTED:
                raise Mismatch

    # -- merging -----------------------------------------------------------------------------------

    def merge_all(self) -> None:
        """Merge each group with those it reads, as long as that works."""
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
        """Return one group that does the work of `a` and then `b`, if there is one."""
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
        return group if self.settle(group) else None

    def fits(self, a: Group, b: Group) -> bool:
        """Whether the domains can agree."""
        if a.kind == b.kind == "row":
            return (a.shape, a.axes) == (b.shape, b.axes) and self.rows_bear(a)
        if a.kind == b.kind == "map":
            return math.prod(a.shape) == math.prod(b.shape)
        row = a if a.kind == "row" else b if b.kind == "row" else None
        if row is not None:
            other = b if row is a else a
            size = math.prod(other.shape)
            if size == row.rows:
                return True
            return size == math.prod(row.shape) and self.rows_bear(row)
        product = a if a.kind == "product" else b
        other = b if product is a else a
        return product is a and math.prod(other.shape) == product.heavies[0].spec.size

    def rows_bear(self, g: Group) -> bool:
        """Whether whole rows can be left to one thread or workgroup each."""
        return self.limits.settle(
            "rows bear", lambda: g.rows >= 32 or g.row_size <= 1024 or not self.limits.software
        )

    def between(self, a: Group, b: Group) -> bool:
        """Whether some other group must run after `a` and before `b` (or `b` before `a`)."""
        last = max(a, b, key=lambda g: g.place)
        waiting = self.waiting(a, b)
        return any(self.of.get(s) in waiting for s in last.loads)

    def waiting(self, a: Group, b: Group) -> list[Group]:
        """Return the groups in line between two that must run after the first of them."""
        first, last = sorted((a, b), key=lambda g: g.place)
        found = {first: None}
        for place in range(first.place + 1, last.place):
            g = self.line.get(place)
            if g is not None and any(self.of.get(s) in found for s in g.loads):
                found[g] = None
        return list(found)[1:]

    def replace(self, old: tuple[Group, Group], new: Group) -> None:
        """Put a merged group in the place of two; what must run after it stays behind it in line."""
        first, last = sorted(g.place for g in old)
        waiting = self.waiting(*old)
        places = [i for i in range(first, last + 1) if i in self.line]
        others = [self.line[i] for i in places[1:-1]]
        order = [*(g for g in others if g not in waiting), new, *waiting]
        del self.line[last]
        for place, g in zip(places, order, strict=False):
            g.place = place
            self.line[place] = g
        for m in new.members:
            self.of[m.id] = new

    def join_siblings(self) -> None:
        """Merge groups over one domain that read the same things and don't wait for each other."""
        readers: dict[int, list[Group]] = {}
        for g in self.line.values():
            if g.kind in ("map", "row"):
                for s in g.loads:
                    readers.setdefault(s, []).append(g)
        apart: set[tuple[Group, Group]] = set()
        shared = list(reversed(readers))
        while shared:
            pair = self.sibling_pair(readers[shared.pop()][:8], apart)
            if pair is not None:
                old, new = pair
                self.replace(old, new)
                for s in old[0].loads | old[1].loads:
                    kept = [g for g in readers[s] if g not in old]
                    readers[s] = [*kept, new] if s in new.loads else kept
                    shared.append(s)

    def sibling_pair(self, sharing: list[Group], apart: set[tuple[Group, Group]]) -> Any:
        """Return two of these groups that can be one, and that one; `apart` are those that can't."""
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
        """Return the groups, each after those it reads."""
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

"""Printing a group as a kernel: its text, its bindings, and its number of workgroups."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from tabgrad.lower import products, repeat
from tabgrad.lower.accumulate import Accumulator
from tabgrad.lower.across import Joining
from tabgrad.lower.dialect import FOURS, U32, Dialect
from tabgrad.lower.emit import Emitter
from tabgrad.lower.group import Group, product_dims
from tabgrad.lower.index import Expr, var
from tabgrad.lower.ir import Node
from tabgrad.lower.jam import Fours, Jam, settled
from tabgrad.lower.kernel import BLOCK, TURNS, Kernel, grid_of
from tabgrad.lower.limits import Limits
from tabgrad.lower.record import call_of, record_of
from tabgrad.lower.row_threads import ONE, RowThreads, row_threads
from tabgrad.lower.tokens import Size
from tabgrad.lower.windows import NONE, PART, Cut, Part, TooLarge, Windows

WORKGROUPS = 8
"""The workgroups that few long lines are spread over on a software adapter."""
SMALL_BLOCK = 8
"""The fewest threads of a workgroup: as many as a processor computes at once."""


class KernelPrinter:
    """Prints the kernels of one plan."""

    def __init__(
        self, dialect: Dialect, limits: Limits, stored: set[int], places: dict[int, tuple[int, int]],
        windows: Windows = NONE,
    ) -> None:  # fmt: skip
        self.d = dialect
        self.limits = limits
        self.stored = stored
        self.places = places
        self.windows = windows
        self.fours: Fours | None = None

    def kernels(self, g: Group, needed: set[int]) -> list[Kernel]:
        """Print the kernel of a group, in parts if it must be cut; `needed` are the members that must be
        written to their buffers."""
        self.fours = None
        writes = [m for m in g.members if m.id in needed]
        e = Emitter(self.d, g.members, self.stored, self.places, self.windows)
        large = any(self.places[i][0] in self.windows for i in (*g.loads, *(m.id for m in writes)))
        if self.limits.dynamic is not None:
            e.far = 1
        if g.kind == "product":
            tiled = products.tiled(self, g, e, writes, large)
            return tiled or [self.plain_product(g, e, writes)]
        lanes = ONE if g.kind == "library" else self.lanes(g)
        count = self.count(g)
        if large:
            unit = BLOCK if lanes == ONE else 1
            e.cut = Cut(self.windows, "g", count, unit)
        if g.kind == "library":
            return self.line_kernel(g.members[0], e)
        if lanes == ONE:
            return self.threads(g, e, writes)
        return self.workgroups(g, e, writes, lanes)

    def count(self, g: Group) -> int:
        """Count the threads, or workgroups, of a group."""
        if g.kind == "library":
            return threads_of(g.members[0])
        return g.rows if g.kind == "row" else math.prod(g.shape)

    def lanes(self, g: Group) -> RowThreads:
        """Choose how many threads share a row."""
        if g.kind == "map" or g.row_size <= 16 or (g.rows >= 65536 and g.row_size <= 64):
            return ONE
        if self.limits.software and g.row_size * (len(phases(g)) + 1) <= TURNS:
            return ONE
        return self.limits.decide("lanes", lambda: row_threads(g, self.limits))

    # -- one thread an element or a row ------------------------------------------------------------

    def threads(self, g: Group, e: Emitter, writes: list[Node]) -> list[Kernel]:
        """Print a kernel in which each thread computes one element of a map, or one row."""
        count = self.count(g)
        if g.kind == "map" and self.limits.software and e.cut is None:
            return [self.spread(e, count, lambda: self.write(g, e, writes))]
        if g.kind == "row" and self.limits.software and e.cut is None and self.d.templates:
            return [self.jammed(g, e, count, writes)]
        block = self.block(count) if e.cut is None else BLOCK
        grid = grid_of(math.ceil(count / block))
        self.thread_index(e, grid, count, block)
        if g.kind == "map":
            self.write(g, e, writes)
        else:
            self.rows(g, e, writes, "0u", 1)
        return self.parts(e, grid, block)

    def jammed(self, g: Group, e: Emitter, count: int, writes: list[Node]) -> Kernel:
        """Print rows of which a thread of a software adapter has one, or several that share what they load."""
        changed = {self.places[m.id][0] for m in writes}
        reads = {self.places[i][0] for i in g.loads}
        fixed, names = self.limits.dynamic is None, dict[str, str]()
        e.quarters = fixed
        self.fours = (
            self.by_four(e, names, changed, len(changed | reads) + g.checks) if fixed else None
        )
        e.open("", "g", guarded=True)
        self.rows(g, e, writes, "0u", 1)
        lines = e.scope.lines
        made = None
        if self.fours and repeat.size(lines) <= repeat.JAMMED and count >= repeat.MANY:
            if count % repeat.ROWS == 0 or not changed & reads:
                made = Jam(repeat.ROWS, count, self.fours).written(lines)
        each = repeat.ROWS if made else 1
        block = self.block(math.ceil(count / each))
        grid = grid_of(math.ceil(count / (block * each)))

        def written(lines: list[str]) -> list[str]:
            name, d = "g_four" if made else "g", self.d
            group = d.group_x if grid[1] == 1 else f"({d.group_y} * {Size(grid[0])} + {d.group_x})"
            head = [d.let(name, U32, f"{group} * {block}u + {d.lane}")]
            if made:
                head.append(d.let("g_first", U32, f"g_four * {each}u"))
            first = "g_first" if made else "g"
            return [*head, f"if ({first} >= {Size(count)}) {{ return; }}", *(made or lines)]

        e.close(written)
        settled(e, names)
        e.count, e.each = count, block * each
        return self.finish(e, grid, block)

    def by_four(self, e: Emitter, names: dict[str, str], changed: set[int], bound: int) -> Fours:
        """Return what gives the name by which a buffer is read four elements at a time, and notes it in
        `names`; a kernel that has `bound` buffers without these can bind more, if it does not change them."""

        def name(buffer: str) -> str:
            slot, _, dtype = e.access[int(buffer[1:])]
            if buffer not in names:
                room = bound + len(names) < self.limits.buffers
                if slot in changed or dtype not in FOURS or slot in self.windows or not room:
                    return ""
                names[buffer] = e.bind_fours(slot, dtype)
            return names[buffer]

        return name

    def block(self, count: int) -> int:
        """Choose the threads of a workgroup in which each works alone: few, where a software adapter with
        several cores would have one workgroup for few long lines."""
        if not self.limits.software:
            return BLOCK
        groups = count // WORKGROUPS
        return self.limits.decide(
            "block", lambda: min(BLOCK, max(SMALL_BLOCK, 1 << groups.bit_length() >> 1))
        )

    def spread(self, e: Emitter, count: int, emit: Callable[[], None]) -> Kernel:
        """Print a map, of which `emit` emits element `g`; a thread may compute several side by side."""
        share = repeat.Share(self.d, self.limits, count)
        e.open("", "g")
        emit()
        share.twice = not e.checks and not any(slot in e.read for slot, _ in e.written)
        e.close(share.written)
        e.count, e.each = count, share.each
        return self.finish(e, share.grid, share.block)

    def part_index(self, e: Emitter, tail: str) -> None:
        """Declare `g` in a kernel that does a part of the work, and let threads without work return."""
        d = self.d
        e.line(d.let("g_part", U32, f"({d.group_y} * part_across() + {d.group_x}){tail}"))
        e.line("if (g_part >= part_count()) { return; }")
        e.line(d.let("g", U32, "g_part + part_start()"))

    def thread_index(
        self, e: Emitter, grid: tuple[int, int, int], count: int, block: int = BLOCK
    ) -> None:
        """Declare `g`, the number of the thread, and let threads without work return."""
        d = self.d
        if e.cut is not None:
            self.part_index(e, f" * {BLOCK}u + {d.lane}")
            return
        group = d.group_x if grid[1] == 1 else f"({d.group_y} * {Size(grid[0])} + {d.group_x})"
        e.line(d.let("g", U32, f"{group} * {block}u + {d.lane}"))
        e.guard("g", count, block)

    def rows(self, g: Group, e: Emitter, writes: list[Node], start: str, step: int) -> None:
        """Emit the loops of a row group: one for each phase of reductions, and one for what waits for all of
        these; each member is written in the first loop that can."""
        r = var("r", g.row_size)
        full = [m for m in writes if any(x.uses("r") for x in g.index[m.id])]
        if g.row_size == 1:
            full = [m for m in writes if not any(m is h for h in g.heavies)]
        rest = [m for m in writes if m not in full]
        steps = phases(g)
        after = {h.id: i for i, phase in enumerate(steps, 1) for h in phase}
        turn = {m.id: self.turn(g, m, after) for m in full}
        for i, phase in enumerate(steps):
            its = [m for m in full if turn[m.id] == i]
            self.phase(g, e, phase, its, r, start, step)
            if self.limits.software:
                e.held |= {m.id: g.index[m.id] for m in its}
        full = [m for m in full if turn[m.id] == len(steps)]
        if full:
            e.open("", "r")
            self.write(g, e, full)
            e.close(self.loop("r", start, g.row_size, step))
        if rest and step > 1:
            e.open(f"if ({self.d.lane} == 0u) {{", guarded=True)
        self.write(g, e, rest)
        if rest and step > 1:
            e.close()

    def loop(
        self, name: str, start: str, size: int, step: int = 1
    ) -> Callable[[list[str]], list[str]]:
        """Return what writes a loop over `name`, given the lines of its block."""
        fours = self.fours if step == 1 and start == "0u" else None
        return partial(repeat.loop, self.d, self.limits, name, (start, size, step), fours)

    def turn(self, g: Group, m: Node, after: dict[int, int]) -> int:
        """Find the loop that can write a member first: the one `after` all reductions of its group that it
        depends on."""
        inside = {x.id for x in g.members}
        stack, seen, turn = [m], {m.id}, 0
        while stack:
            for s in stack.pop().srcs:
                if s.id in after:
                    turn = max(turn, after[s.id])
                elif s.id not in seen and (s.id in inside or s.id not in self.stored):
                    seen.add(s.id)
                    stack.append(s)
        return turn

    def phase(
        self,
        g: Group,
        e: Emitter,
        heavies: list[Node],
        members: list[Node],
        r: Expr,
        start: str,
        step: int,
    ) -> None:
        """Emit one loop for reductions that don't depend on each other, which writes some `members` too."""
        accs = [Accumulator(e, h, g.row_size) for h in heavies]
        e.open("", "r")
        for acc in accs:
            acc.turn(e, e.value(acc.h.srcs[0], g.full_index()))
        self.write(g, e, members)
        e.close(self.loop("r", start, g.row_size, step))
        for acc in accs:
            acc.settle(e)
            if step > 1:
                self.joining.join(e, acc)
            e.scope.values[acc.h.id, g.index[acc.h.id]] = acc.result()

    # -- one workgroup a row -----------------------------------------------------------------------

    def workgroups(
        self, g: Group, e: Emitter, writes: list[Node], lanes: RowThreads
    ) -> list[Kernel]:
        """Print a kernel in which the threads of a workgroup share each row."""
        d = self.d
        grid = grid_of(g.rows)
        self.joining = Joining(*lanes)
        folded = d.group_x if grid[1] == 1 else f"{d.group_y} * {Size(grid[0])} + {d.group_x}"
        if e.cut is not None:
            self.part_index(e, "")
        else:
            e.line(d.let("g", U32, folded))
            if grid[0] * grid[1] > g.rows:
                e.guard("g", g.rows, 1)
        self.rows(g, e, writes, d.lane, lanes.threads)
        return self.parts(e, grid, lanes.threads, self.joining.shared)

    # -- one element after the other ---------------------------------------------------------------

    def plain_product(self, g: Group, e: Emitter, writes: list[Node]) -> Kernel:
        """Print a product with one thread for each element, for operands that no host's routine can read."""
        count = math.prod(product_dims(g.heavies[0])[:3])
        grid = grid_of(math.ceil(count / BLOCK))
        self.thread_index(e, grid, count)
        self.one_product(g, e, writes, "acc")
        return self.finish(e, grid, BLOCK)

    def one_product(self, g: Group, e: Emitter, writes: list[Node], acc: str) -> None:
        """Emit element `g` of a product, added up in a variable `acc`."""
        d, h = self.d, g.heavies[0]
        _, m, n, k = product_dims(h)
        i, j = f"g / {Size(n)} % {Size(m)}", f"g % {Size(n)}"
        for name, at in (("b", f"g / {Size(m * n)}"), ("i", i), ("j", j)):
            e.line(d.let(name, U32, at))
        e.scope.variables.update("bij")
        kind = d.compute_type(h.spec.dtype)
        e.line(d.var(acc, kind, d.literal(0, kind)))
        e.open("", "k")
        left, right = (e.value(s, index) for s, index in g.operands(h))
        e.line(f"{acc} = {acc} + {d.times(left, right, kind)};")
        e.close(self.loop("k", "0u", k))
        e.scope.values[h.id, g.index[h.id]] = d.narrow(acc, h.spec.dtype)
        self.write(g, e, writes)

    def write(self, g: Group, e: Emitter, writes: list[Node]) -> None:
        """Emit the store of each member, at the index at which it is computed."""
        for m in writes:
            e.store(m, g.index[m.id], e.value(m, g.index[m.id]))

    # -- packaging ---------------------------------------------------------------------------------

    def line_kernel(self, n: Node, e: Emitter) -> list[Kernel]:
        """Print a kernel in which each thread walks one line of the input (or computes one element)."""
        count = threads_of(n)
        block = self.block(count) if e.cut is None else BLOCK
        grid = grid_of(math.ceil(count / block))
        self.thread_index(e, grid, count, block)
        record = record_of(n)
        assert record is not None
        assert record.line is not None
        record.line(e, call_of(n), count)
        return self.parts(e, grid, block)

    def parts(
        self, e: Emitter, grid: tuple[int, int, int], size: int, shared: Sequence[str] = ()
    ) -> list[Kernel]:
        """Package the kernel whose main has been emitted, once for each of its parts if it is cut."""
        if e.cut is None:
            return [self.finish(e, grid, size, shared)]
        made = []
        for part in self.cut(e):
            grid = grid_of(math.ceil(part.count / e.cut.unit))
            e.cut.take(e, part, grid[0])
            e.count, e.each = part.count, e.cut.unit
            made.append(self.finish(e, grid, size, [*shared, PART]))
        return made

    def cut(self, e: Emitter) -> list[Part]:
        """Find the parts of a kernel; raise TooLarge if none are small enough."""
        assert e.cut is not None
        made = e.cut.parts(e, self.limits.buffers)
        if not made:
            k = self.package(e, "", (1, 1, 1))
            raise TooLarge(k.ops, k.origins, max(self.windows.sizes[slot] for slot in k.slots))
        return made

    def finish(
        self, e: Emitter, grid: tuple[int, int, int], size: int, shared: Sequence[str] = ()
    ) -> Kernel:
        """Package the kernel whose main has been emitted."""
        source = self.d.module(e.bindings(), shared, size, e.scope.lines)
        return self.package(e, source, grid, self.d.overrides(size))

    def package(
        self, e: Emitter, source: str, grid: tuple[int, int, int],
        overrides: tuple[tuple[str, float], ...] = (),
    ) -> Kernel:  # fmt: skip
        """Make a kernel of this text."""
        label = "+".join(m.name for m in e.nodes[:6]) + ("+..." if len(e.nodes) > 6 else "")
        letters = "".join(b.access * max(b.windows, 1) for b in e.bindings())
        slots, spans = e.bound()
        parts = list(dict.fromkeys((*e.seen, *e.nodes)))
        return Kernel(
            label, source, letters, slots, grid, overrides, e.uniforms,
            tuple(dict.fromkeys(m.name for m in parts if m.family != "view")),
            tuple(dict.fromkeys(m.origin for m in parts)), words=e.own, spans=spans, work=e.work(),
        )  # fmt: skip


def threads_of(n: Node) -> int:
    """Count the threads of an op with a loop of its own."""
    record = record_of(n)
    assert record is not None
    assert record.threads is not None
    return record.threads(call_of(n))


def phases(g: Group) -> list[list[Node]]:
    """Sort the reductions of a row group into steps, each after those it depends on."""
    inside = {h.id for h in g.heavies}
    around = {h.id: h for h in g.heavies}
    stack = list(g.heavies)
    while stack:
        for s in stack.pop().srcs:
            if s.id not in around and s.id >= min(inside):
                around[s.id] = s
                stack.append(s)
    depth: dict[int, int] = {}
    for i in sorted(around):
        below = max((depth.get(s.id, 0) for s in around[i].srcs), default=0)
        depth[i] = below + (i in inside)
    steps: dict[int, list[Node]] = {}
    for h in g.heavies:
        steps.setdefault(depth[h.id], []).append(h)
    return [steps[k] for k in sorted(steps)]


__all__ = ["KernelPrinter", "phases"]

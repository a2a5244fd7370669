"""From a group to a kernel: the text, what it binds, and how many workgroups it takes."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from tabgrad.lower import library, tiles
from tabgrad.lower.dialect import U32, Dialect
from tabgrad.lower.emit import Emitter, Scope, arg_better
from tabgrad.lower.group import Group, Limits, operand_index, product_dims
from tabgrad.lower.index import Expr, condition, flatten, separate, text, var
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import BLOCK, TURNS, Kernel, grid_of
from tabgrad.lower.parts import NONE, Cut, Part, TooLarge, Windows
from tabgrad.lower.record import record_of

SELDOM = 4
"""Runs that a product is taken to have where a large tile would take too long to compile."""


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

    def kernels(self, g: Group, needed: set[int]) -> list[Kernel]:
        """Return the kernel of a group, in parts where it must be cut; `needed` are the members that must be
        written to their buffers."""
        writes = [m for m in g.members if m.id in needed]
        e = Emitter(self.d, g, self.stored, self.places, self.windows)
        large = any(self.places[i][0] in self.windows for i in (*g.loads, *(m.id for m in writes)))
        if self.limits.dynamic is not None:
            e.far = 1
        if g.kind == "product":
            return self.product(g, e, writes, large)
        lanes = 1 if g.kind == "library" else self.lanes(g)
        count = self.count(g)
        if large:
            unit = BLOCK if lanes == 1 else 1
            e.cut = Cut(self.windows, "g", count, unit)
        if g.kind == "library":
            return self.lines(g.members[0], e)
        if lanes == 1:
            return self.threads(g, e, writes)
        return self.workgroups(g, e, writes, lanes)

    def count(self, g: Group) -> int:
        """Return how many threads, or workgroups, the group takes."""
        if g.kind == "library":
            return threads_of(g.members[0])
        return g.rows if g.kind == "row" else math.prod(g.shape)

    def lanes(self, g: Group) -> int:
        """Return how many threads share a row."""
        if g.kind == "map" or g.row_size <= 16 or (g.rows >= 65536 and g.row_size <= 64):
            return 1
        if self.limits.software and g.row_size * (len(phases(g)) + 1) <= TURNS:
            return 1
        return self.limits.settle(
            "lanes",
            lambda: int(min(self.limits.threads, 256, 2 ** math.ceil(math.log2(g.row_size)))),
        )

    # -- one thread an element or a row ------------------------------------------------------------

    def threads(self, g: Group, e: Emitter, writes: list[Node]) -> list[Kernel]:
        """A kernel in which every thread has an element of a map, or a row, to itself."""
        count = self.count(g)
        grid = grid_of(math.ceil(count / BLOCK))
        self.thread_index(e, grid, count)
        if g.kind == "map":
            for m in writes:
                e.store(m, g.index[m.id], e.value(m, g.index[m.id]))
        else:
            self.rows(g, e, writes, "0u", "1u")
        return self.parts(g, e, grid, BLOCK, [])

    def part_index(self, e: Emitter, tail: str) -> None:
        """Declare `g` in a kernel that does a part of the work, and leave where there is none for it."""
        d = self.d
        e.line(d.let("g_part", U32, f"({d.group_y} * part_across() + {d.group_x}){tail}"))
        e.line("if (g_part >= part_count()) { return; }")
        e.line(d.let("g", U32, "g_part + part_start()"))

    def thread_index(self, e: Emitter, grid: tuple[int, int, int], count: int) -> None:
        """Declare `g`, the number of the thread, and leave where there is no work for it."""
        d = self.d
        if e.cut is not None:
            self.part_index(e, f" * {BLOCK}u + {d.lane}")
            return
        group = d.group_x if grid[1] == 1 else f"({d.group_y} * {grid[0]}u + {d.group_x})"
        e.line(d.let("g", U32, f"{group} * {BLOCK}u + {d.lane}"))
        e.line(f"if (g >= {count}u) {{ return; }}")

    def rows(self, g: Group, e: Emitter, writes: list[Node], start: str, step: str) -> None:
        """Emit the loops of a row group: one for each phase of reductions, the last one with the writes."""
        r = var("r", g.row_size)
        full = [m for m in writes if any(x.uses("r") for x in g.index[m.id])]
        if g.row_size == 1:
            full = [m for m in writes if not any(m is h for h in g.heavies)]
        early = [m for m in full if not self.waits(g, m)]
        rest = [m for m in writes if m not in full]
        full = [m for m in full if m not in early]
        for phase in phases(g):
            self.phase(g, e, phase, early, r, start, step)
            early = []
        if full:
            e.open(self.d.loop("r", start, f"{g.row_size}u", step), "r")
            for m in full:
                e.store(m, g.index[m.id], e.value(m, g.index[m.id]))
            e.close()
        if rest and step != "1u":
            e.open(f"if ({self.d.lane} == 0u) {{", guarded=True)
        for m in rest:
            e.store(m, g.index[m.id], e.value(m, g.index[m.id]))
        if rest and step != "1u":
            e.close()

    def waits(self, g: Group, m: Node) -> bool:
        """Whether a member is made of a reduction of its group."""
        inside = {x.id for x in g.members}
        heavies = {x.id for x in g.heavies}
        stack, seen = [m], {m.id}
        while stack:
            for s in stack.pop().srcs:
                if s.id in heavies:
                    return True
                if s.id not in seen and (s.id in inside or s.id not in self.stored):
                    seen.add(s.id)
                    stack.append(s)
        return False

    def phase(
        self,
        g: Group,
        e: Emitter,
        heavies: list[Node],
        early: list[Node],
        r: Expr,
        start: str,
        step: str,
    ) -> None:
        """Emit one loop of the reductions that don't wait for each other; it stores what waits for none."""
        d = self.d
        accs = []
        for h in heavies:
            kind = d.compute_type(h.srcs[0].spec.dtype)
            acc = e.name()
            e.line(d.var(acc, kind, d.literal(e.identity(h), kind)))
            at = ""
            if is_arg(h):
                at = e.name()
                e.line(d.var(at, U32, f"{g.row_size}u"))
            accs.append((h, acc, at, kind))
        e.open(d.loop("r", start, f"{g.row_size}u", step), "r")
        for h, acc, at, _ in accs:
            value = e.value(h.srcs[0], g.full_index())
            if at:
                better = arg_better(d, h, acc, at, value, "r")
                e.line(f"if ({better} || {at} == {g.row_size}u) {{ {acc} = {value}; {at} = r; }}")
            else:
                for statement in e.combine(h, acc, value):
                    e.line(statement)
        for m in early:
            e.store(m, g.index[m.id], e.value(m, g.index[m.id]))
        e.close()
        for h, acc, at, kind in accs:
            if step != "1u":
                self.across(e, h, acc, at, kind)
            result = d.convert(at, U32, d.compute_type(h.spec.dtype)) if at else acc
            e.scope.values[h.id, g.index[h.id]] = result

    # -- one workgroup a row -----------------------------------------------------------------------

    def workgroups(self, g: Group, e: Emitter, writes: list[Node], lanes: int) -> list[Kernel]:
        """A kernel in which the threads of a workgroup share each row."""
        d = self.d
        grid = grid_of(g.rows)
        self.size = lanes
        self.shared: list[str] = []
        folded = d.group_x if grid[1] == 1 else f"{d.group_y} * {grid[0]}u + {d.group_x}"
        if e.cut is not None:
            self.part_index(e, "")
        else:
            e.line(d.let("g", U32, folded))
            if grid[0] * grid[1] > g.rows:
                e.line(f"if (g >= {g.rows}u) {{ return; }}")
        self.rows(g, e, writes, d.lane, f"{lanes}u")
        return self.parts(g, e, grid, lanes, self.shared)

    def across(self, e: Emitter, h: Node, acc: str, at: str, kind: str) -> None:
        """Emit the tree that brings the accumulators of a workgroup together."""
        d, lane = self.d, self.d.lane
        name = f"sh{len(self.shared)}"
        self.shared.append(d.shared(name, kind, self.size))
        place = f"sh{len(self.shared)}" if at else ""
        if at:
            self.shared.append(d.shared(place, U32, self.size))
        put, take = partial(d.into_shared, kind=kind), partial(d.from_shared, kind=kind)
        e.line(f"{name}[{lane}] = {put(acc)};")
        if at:
            e.line(f"{place}[{lane}] = {at};")
        e.line(d.barrier)
        half = self.size // 2
        while half:
            other = e.name()
            e.line(f"if ({lane} < {half}u) {{")
            e.line("  " + d.let(other, kind, take(f"{name}[{lane} + {half}u]")))
            if at:
                spot = e.name()
                e.line("  " + d.let(spot, U32, f"{place}[{lane} + {half}u]"))
                e.line(
                    f"  if ({arg_better(d, h, acc, at, other, spot)}) {{ {acc} = {other}; {at} = {spot}; }}"
                )
                e.line(f"  {place}[{lane}] = {at};")
            else:
                for statement in e.combine(h, acc, other):
                    e.line("  " + statement)
            e.line(f"  {name}[{lane}] = {put(acc)};")
            e.line("}")
            e.line(d.barrier)
            half //= 2
        e.line(f"{acc} = {take(f'{name}[0]')};")
        if at:
            e.line(f"{at} = {place}[0];")

    # -- products ----------------------------------------------------------------------------------

    def product(self, g: Group, e: Emitter, writes: list[Node], large: bool) -> list[Kernel]:
        """A matrix product with its prologues read in place and its epilogue applied before the store."""
        h = g.heavies[0]
        name = "matmul_direct" if self.limits.software else "matmul"
        if not self.d.templates or name not in library.kernel_names():
            return [self.plain_product(g, e, writes)]
        b, m, n, k = product_dims(h)
        if large:
            e.cut = Cut(self.windows, "b", b, 1) if b > 1 else Cut(self.windows, "i", m, 1)
        left, right = h.srcs
        blocks = {
            "load_lhs": self.split(e, g, left, "lhs") or self.operand(e, g, left, "lhs"),
            "load_rhs": self.split(e, g, right, "rhs") or self.operand(e, g, right, "rhs"),
            "store": self.epilogue(e, g, h, writes),
        }
        if e.cut is None:
            return [self.tiled(g, e, name, blocks, (b, m, n, k))]
        made = []
        blocks = {which: e.cut.shifted(text) for which, text in blocks.items()}
        for part in self.cut(g, e):
            e.cut.take(e, part, 0)
            dims = (part.count, m, n, k) if b > 1 else (b, part.count, n, k)
            made.append(self.tiled(g, e, name, blocks, dims))
        return made

    def tiled(
        self, g: Group, e: Emitter, name: str, blocks: dict[str, str], dims: tuple[int, int, int, int]
    ) -> Kernel:  # fmt: skip
        """A product of these sizes whose operands are read, and whose elements are stored, by `blocks`."""
        b, m, n, k = dims
        blocks = {
            **blocks,
            "dims": f"const BATCH = {b}u;\nconst M = {m}u;\nconst N = {n}u;\nconst K = {k}u;\n",
            "bindings": self.d.bindings(e.bindings(), e.words),
        }
        if e.cut is not None:
            blocks["bindings"] += e.cut.functions(self.d)
        hoisted = tiles.hoisting(blocks)
        # an operand read through conditions is inlined at every load of the tile: large ones never compile
        runs = self.limits.runs if len(hoisted) == 2 else min(self.limits.runs, SELDOM)
        tile = self.limits.settle("tile", lambda: tiles.chosen(name, dims, self.limits.quads, runs))
        if k // tile.depth > TURNS:
            tile = tiles.chosen(name, dims, self.limits.quads, runs)
        any_k = self.limits.dynamic is not None
        blocks["tile"], groups = tiles.written(tile, dims, hoisted, any_k)
        source = library.kernel(name).with_blocks(
            blocks, self.d.compute_type(g.heavies[0].spec.dtype)
        )
        return self.package(g, e, source, grid_of(b * groups))

    def split(self, e: Emitter, g: Group, n: Node, side: str) -> str:
        """Return the functions that read an operand at a sum of two parts of its index, if it is one.

        One part is that of the row (or column) and one that of the step of k: a thread computes the first
        once. Behind the place come the tests of views that pad, each a sum that must be less than a size.
        """
        index: tuple[Expr, ...] = operand_index(g.heavies[0], side == "rhs")
        tests: list[tuple[Expr, int]] = []
        while n.family == "view" and n.id not in self.stored:
            index, conditions = n.op.index(index, n.srcs[0].shape, **n.params)
            tests += [
                (c - lo, hi - lo) for c, lo, hi in conditions if condition(c, lo, hi) is not True
            ]
            n = n.srcs[0]
        if n.id not in self.stored or len(tests) > 3:
            return ""
        own, other = ("i", "row") if side == "lhs" else ("j", "column")
        parts = [separate(c, own, "k") for c in (flatten(index, n.shape), *(c for c, _ in tests))]
        if None in parts:
            return ""
        name, offset = e.buffer(n, "r")
        e.noted(n, flatten(index, n.shape) + offset)
        kind = f"vec{len(parts)}u" if tests else "u32"
        place = f"({other} + step).x" if tests else f"{other} + step"
        read = self.d.load(
            name, place + (f" + {offset}u" if offset else "") + e.shift(n), n.spec.dtype
        )
        if tests:
            # Where a test fails the place is any number, and a load from outside of a buffer is harmless.
            inside = (f"({other} + step).{'yzw'[i]} < {size}u" for i, (_, size) in enumerate(tests))
            read = f"select(elem(), {read}, {' && '.join(inside)})"
        order = (
            f"{other}: {kind}, step: {kind}" if side == "lhs" else f"step: {kind}, {other}: {kind}"
        )
        first = ", ".join(
            e.place(p[0], text) if i == 0 else text(p[0]) for i, p in enumerate(parts) if p
        )
        second = ", ".join(text(p[1]) for p in parts if p)
        return (
            f"fn {side}_{other}(b: u32, {own}: u32) -> {kind} {{ return {kind}({first}); }}\n"
            f"fn {side}_step(b: u32, k: u32) -> {kind} {{ return {kind}({second}); }}\n"
            f"fn load_{side}({order}) -> elem {{ return {read}; }}\n"
        )

    def operand(self, e: Emitter, g: Group, n: Node, side: str) -> str:
        """Return the function that reads one element of an operand."""
        index = operand_index(g.heavies[0], side == "rhs")
        body = self.function(e, lambda: f"return {e.value(n, index)};")
        arguments = "b: u32, i: u32, k: u32" if side == "lhs" else "b: u32, k: u32, j: u32"
        return f"fn load_{side}({arguments}) -> elem {{\n{body}}}\n"

    def epilogue(self, e: Emitter, g: Group, h: Node, writes: list[Node]) -> str:
        """Return the function that takes one finished element."""

        def emit() -> str:
            e.scope.values[h.id, g.index[h.id]] = self.d.narrow("acc", h.spec.dtype)
            for m in writes:
                e.store(m, g.index[m.id], e.value(m, g.index[m.id]))
            return ""

        return f"fn store(b: u32, i: u32, j: u32, acc: elem) {{\n{self.function(e, emit)}}}\n"

    def function(self, e: Emitter, emit: Any) -> str:
        """Return the lines of a function whose arguments are the index variables."""
        outside, e.scopes = e.scopes, [Scope("", set(), False)]
        last = emit()
        lines = [*e.scope.lines, *([last] if last else [])]
        e.scopes = outside
        return "".join(f"  {line}\n" for line in lines)

    def plain_product(self, g: Group, e: Emitter, writes: list[Node]) -> Kernel:
        """A product with one thread an element, where the host's routine can't read the operands in place."""
        h = g.heavies[0]
        b, m, n, k = product_dims(h)
        count = b * m * n
        grid = grid_of(math.ceil(count / BLOCK))
        self.thread_index(e, grid, count)
        for name, at in (("b", f"g / {m * n}u"), ("i", f"g / {n}u % {m}u"), ("j", f"g % {n}u")):
            e.line(self.d.let(name, U32, at))
        kind = self.d.compute_type(h.spec.dtype)
        e.line(self.d.var("acc", kind, self.d.literal(0, kind)))
        e.open(self.d.loop("k", "0u", f"{k}u", "1u"), "k")
        (left, li), (right, ri) = operands(h)
        e.line(f"acc = acc + {e.value(left, li)} * {e.value(right, ri)};")
        e.close()
        e.scope.values[h.id, g.index[h.id]] = self.d.narrow("acc", h.spec.dtype)
        for m_ in writes:
            e.store(m_, g.index[m_.id], e.value(m_, g.index[m_.id]))
        return self.finish(g, e, grid, BLOCK, [])

    # -- packaging ---------------------------------------------------------------------------------

    def lines(self, n: Node, e: Emitter) -> list[Kernel]:
        """A kernel in which every thread walks a line of the input (or has an element) to itself."""
        count = threads_of(n)
        grid = grid_of(math.ceil(count / BLOCK))
        self.thread_index(e, grid, count)
        record = record_of(n)
        assert record is not None
        assert record.line is not None
        record.line(e, n, count)
        return self.parts(None, e, grid, BLOCK, [], n)

    def parts(
        self, g: Group | None, e: Emitter, grid: tuple[int, int, int], size: int, shared: list[str],
        n: Node | None = None,
    ) -> list[Kernel]:  # fmt: skip
        """Return the kernel whose main has been emitted, once for each of its parts if it is cut."""
        if e.cut is None:
            return [self.finish(g, e, grid, size, shared, n)]
        made = []
        for part in self.cut(g, e, n):
            grid = grid_of(math.ceil(part.count / e.cut.unit))
            e.cut.take(e, part, grid[0])
            made.append(self.finish(g, e, grid, size, [*shared, e.cut.functions(self.d)], n))
        return made

    def cut(self, g: Group | None, e: Emitter, n: Node | None = None) -> list[Part]:
        """Return the parts of a kernel; raise TooLarge where none are small enough."""
        assert e.cut is not None
        made = e.cut.parts(e, self.limits.buffers)
        if not made:
            k = self.package(g, e, "", (1, 1, 1), (), n)
            raise TooLarge(k.ops, k.origins, max(self.windows.sizes[slot] for slot in k.slots))
        return made

    def finish(
        self,
        g: Group | None,
        e: Emitter,
        grid: tuple[int, int, int],
        size: int,
        shared: list[str],
        n: Node | None = None,
    ) -> Kernel:
        """Return the kernel whose main has been emitted."""
        source = self.d.module(e.bindings(), e.words, shared, size, e.scope.lines)
        return self.package(g, e, source, grid, self.d.overrides(size), n)

    def package(
        self, g: Group | None, e: Emitter, source: str, grid: tuple[int, int, int],
        overrides: tuple[tuple[str, float], ...] = (), n: Node | None = None,
    ) -> Kernel:  # fmt: skip
        """Return a kernel of this text."""
        members = g.members if g else n.siblings if n else []
        label = "+".join(m.name for m in members[:6]) + ("+..." if len(members) > 6 else "")
        letters = "".join(b.access * max(b.windows, 1) for b in e.bindings())
        letters += "u" if e.words else ""
        slots, spans = e.bound()
        parts = list(dict.fromkeys((*e.seen, *members)))
        return Kernel(
            label, source, letters, slots, grid, overrides, e.uniforms,
            tuple(dict.fromkeys(m.name for m in parts if m.family != "view")),
            tuple(dict.fromkeys(m.origin for m in parts)), words=e.own, spans=spans,
        )  # fmt: skip


def threads_of(n: Node) -> int:
    """Return how many threads an op with a loop of its own takes."""
    record = record_of(n)
    assert record is not None
    assert record.threads is not None
    return record.threads(n)


def phases(g: Group) -> list[list[Node]]:
    """Return the reductions of a row group in steps, each after those it depends on."""
    level: dict[int, int] = {}
    inside = {h.id for h in g.heavies}
    lowest = min((h.id for h in g.heavies), default=0)
    depth: dict[int, int] = {}

    def deepest(n: Node) -> int:
        stack = [n]
        while stack:
            top = stack[-1]
            if top.id in depth or top.id < lowest:
                depth.setdefault(top.id, 0)
                stack.pop()
                continue
            waiting = [s for s in top.srcs if s.id not in depth]
            if waiting:
                stack.extend(waiting)
                continue
            below = max((depth[s.id] for s in top.srcs), default=0)
            depth[top.id] = below + (1 if top.id in inside else 0)
            stack.pop()
        return depth[n.id]

    for h in g.heavies:
        level[h.id] = deepest(h)
    steps: dict[int, list[Node]] = {}
    for h in g.heavies:
        steps.setdefault(level[h.id], []).append(h)
    return [steps[k] for k in sorted(steps)]


def is_arg(h: Node) -> bool:
    """Whether a reduction gives a place instead of a value."""
    return h.op.kind in ("argmax", "argmin")


def operands(h: Node) -> Any:
    """Return the operands of a product and the indices at which it reads them."""
    return (h.srcs[0], operand_index(h, False)), (h.srcs[1], operand_index(h, True))


__all__ = ["BLOCK", "TURNS", "Kernel", "KernelPrinter", "grid_of"]

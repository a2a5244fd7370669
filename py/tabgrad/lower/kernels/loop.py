"""The `loop` op: a loop inside one workgroup. Its body is fused like any program; its groups follow each other
between barriers, and pass values through memory that the workgroup shares."""

from __future__ import annotations

import math
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.spec import NO_PARAMS
from tabgrad.lower import checks, verify
from tabgrad.lower.dialect import U32
from tabgrad.lower.emit import Emitter, Index
from tabgrad.lower.fuse import Fuser
from tabgrad.lower.group import Group, in_pieces, product_dims
from tabgrad.lower.ir import COPY, FULL, Node, Program
from tabgrad.lower.kernel import TURNS, Kernel
from tabgrad.lower.limits import Limits
from tabgrad.lower.pieces import join_in_place
from tabgrad.lower.printer import KernelPrinter, phases
from tabgrad.lower.record import Record, Scratch, register
from tabgrad.lower.simplify import make
from tabgrad.lower.tokens import Size

SHARED = 12288
"""Bytes of workgroup memory that a loop may take; values beyond that go to a buffer."""
LONG = 1 << 20
"""Turns that a thread of a GPU makes in one dispatch: a system may stop a longer one."""


class Loop:
    """One loop op: its body as a program in groups, and the places of its values."""

    def __init__(self, printer: KernelPrinter, n: Node) -> None:
        self.printer, self.n = printer, n
        self.body: Any = n.params["body"]
        self.length: int = n.params["length"]  # type: ignore[assignment]
        self.p, self.inputs = self._program()
        self.pieces = join_in_place(self.p)
        limits = Limits(64, printer.limits.software, False, printer.limits.threads)
        fuser = Fuser(self.p, limits, {m.id for m in self.pieces})
        groups = fuser.run()
        verify.program(
            self.p, [o.spec for o in self.p.outputs], [c for c, _ in self.pieces.values()]
        )
        verify.groups(self.p, groups, fuser.stored)
        self.groups = [g for g in groups if any(m.spec.size for m in g.members)]
        self.stored = fuser.stored
        self.inside = KernelPrinter(printer.d, printer.limits, fuser.stored, {})
        self.threads = self._threads()

    def _program(self) -> tuple[Program, list[Node]]:
        body = self.body
        p = Program()
        made: dict[int, Node] = {k: p.input(body.specs[k]) for k in (*body.inputs, *body.captured)}
        inputs = list(made.values())
        for op, params, refs, out in body.steps:
            made[out] = make(p, op, params, tuple(made[r] for r in refs))
        taken: set[int] = set()
        for k in body.outputs:
            node = made[k]
            if node.op is None or node.op is FULL or node.family == "view" or node.id in taken:
                node = p._add(COPY, NO_PARAMS, (node,), node.spec, -1)
            taken.add(node.id)
            p.outputs.append(node)
        p.finish()
        return p, inputs

    def _threads(self) -> int:
        """Choose the number of threads of the workgroup: as many as the widest group keeps busy."""
        widest = max([self.count(g) for g in self.groups], default=1)
        most = 64 if self.printer.limits.software else 256
        return int(min(most, max(32, 2 ** math.ceil(math.log2(max(widest, 1))))))

    def count(self, g: Group) -> int:
        """Count the elements or rows of a group."""
        return g.rows if g.kind == "row" else math.prod(g.shape)

    def turns(self) -> int:
        """Count the turns of inner loops that a thread makes in one repetition."""
        total = 1
        for g in self.groups:
            inner = 0
            if g.kind == "product":
                inner = product_dims(g.heavies[0])[3]
            elif g.kind == "row":
                last = any(x.uses("r") for m in g.members for x in g.index[m.id])
                inner = g.row_size * (len(phases(g)) + last)
            count = self.count(g)
            rounds = math.ceil(count / self.threads)
            total += rounds * (inner + (count > self.threads))
        return total


class LoopEmitter(Emitter):
    """Prints inside a repetition, where the places of rows and stacked outputs move with it."""

    def __init__(self, loop: Loop) -> None:
        outer = loop.printer
        super().__init__(outer.d, loop.n.siblings, loop.stored, {}, outer.windows)
        self.loop = loop
        self.moving: dict[int, int] = {}
        self.shared: dict[int, str] = {}
        self.outer_of: dict[int, Node] = {}

    def enter(self, g: Group) -> None:
        """Begin to print a group."""
        self.members = {m.id for m in g.members}

    def buffer(self, n: Node, mode: str) -> tuple[str, int]:
        """Find the memory that holds `n`: its name, and the position in it at which `n` begins."""
        slot, offset = self.places[n.id]
        if slot in self.shared:
            return self.shared[slot], offset
        return super().buffer(n, mode)

    def take(self, n: Node) -> str:
        """Write the reading of element `g` of `n`."""
        name, offset = self.buffer(n, "r")
        return self.d.load(name, f"g + {Size(offset)}", n.spec.dtype)

    def put(self, n: Node, value: str) -> None:
        """Write to element `g` of `n`."""
        name, offset = self.buffer(n, "w")
        self.line(self.d.store(name, f"g + {Size(offset)}", value, n.spec.dtype))

    def origin(self, n: Node) -> int:
        """Give the raw node of the loop, because nodes inside were not recorded one by one."""
        return self.loop.n.origin

    def load(self, n: Node, index: Index, mode: str = "r") -> str:
        """Write the reading of element `index` of a stored node; a constant has no buffer."""
        source = self.outer_of.get(n.id)
        if source is not None and source.op is FULL:
            return self.constant(source)
        return super().load(n, index, mode)

    def spot(self, n: Node, index: Index, offset: int) -> str:
        """Write the position of an element in its buffer."""
        at = super().spot(n, index, offset)
        size = self.moving.get(n.id)
        return at if size is None else f"{at} + s * {Size(size)}"


def _passes(printer: KernelPrinter, n: Node, scratch: Scratch) -> list[Kernel]:
    """Make the kernels of a loop: one, or several that each continue where the one before stopped."""
    loop = Loop(printer, n)
    turns = loop.turns()
    most = max(1, (TURNS - 64 if printer.limits.software else LONG) // turns)
    starts = list(range(0, loop.length, most)) or [0]
    home = _Home(loop, scratch, keep=len(starts) > 1)
    return [home.kernel(t, min(t + most, loop.length)) for t in starts]


class _Home:
    """The memory of a loop: values shared in the workgroup, and values that must outlive a dispatch."""

    def __init__(self, loop: Loop, scratch: Scratch, keep: bool) -> None:
        self.loop = loop
        carries = loop.body.carries
        self.inputs = loop.inputs
        self.out_slot, self.out_offset = loop.printer.places[loop.n.id]
        self.sizes: dict[dt.DType, int] = {}
        self.spots: dict[int, tuple[dt.DType, int]] = {}
        for node in self.inputs[:carries]:
            self._spot(node)
        # a piece of a long cat lies inside it
        for node in [m for g in loop.groups for m in g.members]:
            self._put(node)
        total = sum(4 * n for n in self.sizes.values())
        self.slots: dict[dt.DType, int] = {}
        if total > SHARED:
            self.slots = {
                d: scratch(max(4, loop.printer.d.words("f32") * 8 * n))
                for d, n in self.sizes.items()
            }
        self.kept = (
            scratch(max(4, 8 * sum(x.spec.size for x in self.inputs[:carries]))) if keep else -1
        )

    def _put(self, node: Node) -> None:
        if node.id in self.spots or not self._needed(node):
            return
        home = self.loop.pieces.get(node)
        if home is None:
            self._spot(node)
            return
        cat, at = home
        self._put(cat)
        kind, base = self.spots[cat.id]
        self.spots[node.id] = (kind, base + at)

    def _needed(self, node: Node) -> bool:
        stacked = self.loop.p.outputs[self.loop.body.carries :]
        return (
            not any(node is o for o in stacked)
            or any(u for u in node.users)
            or node in self.loop.pieces
        )

    def _spot(self, node: Node) -> None:
        at = self.sizes.get(node.spec.dtype, 0)
        self.spots[node.id] = (node.spec.dtype, at)
        self.sizes[node.spec.dtype] = at + node.spec.size

    def emitter(self) -> tuple[LoopEmitter, list[str]]:
        """Make an emitter that knows all places, and the declarations of the shared memory."""
        loop = self.loop
        d, body, n = loop.printer.d, loop.body, loop.n
        e = LoopEmitter(loop)
        if checks.ERRORS in loop.printer.places:
            e.places[checks.ERRORS] = loop.printer.places[checks.ERRORS]
        shared = []
        fake: dict[dt.DType, int] = {}
        for i, (kind, size) in enumerate(self.sizes.items()):
            if kind in self.slots:
                fake[kind] = self.slots[kind]
            else:
                fake[kind] = -2 - i
                e.shared[-2 - i] = f"m{i}"
                shared.append(d.shared(f"m{i}", d.compute_type(kind), max(size, 1)))
        for node_id, (kind, at) in self.spots.items():
            e.places[node_id] = (fake[kind], at)
        for k, node in enumerate(self.inputs):
            if k < body.carries:
                continue
            which, at = body.places[k]
            source = n.srcs[which]
            e.outer_of[node.id] = source
            if source.op is not FULL:
                slot, offset = loop.printer.places[source.id]
                e.places[node.id] = (slot, offset + at)
            if k < len(body.inputs):
                e.moving[node.id] = node.spec.size
        at = self.out_offset + body.sizes()[0]
        for o in loop.p.outputs[body.carries :]:
            if o.id not in self.spots:
                e.places[o.id] = (self.out_slot, at)
                e.moving[o.id] = o.spec.size
            at += loop.length * o.spec.size
        return e, shared

    def kernel(self, start: int, stop: int) -> Kernel:
        """Make the dispatch that does repetitions start to stop - 1."""
        loop = self.loop
        d = loop.printer.d
        e, shared = self.emitter()
        self.carry_in(e, start == 0)
        self.barrier(e)
        e.open(d.loop("t", f"{Size(start)}", f"{Size(stop)}", "1u"), "t", guarded=True)
        e.line(d.let("s", U32, f"{Size(loop.length - 1)} - t" if loop.n.params["reverse"] else "t"))
        for g in loop.groups:
            if not in_pieces(g):
                self.group(e, g)
                self.barrier(e)
        self.stack(e)
        self.turn(e)
        self.barrier(e)
        e.close()
        self.carry_out(e, stop == loop.length)
        e.written.clear()  # each repetition writes at places of its own
        source = d.module(e.bindings(), shared, loop.threads, e.scope.lines)
        return loop.printer.package(e, source, (1, 1, 1), d.overrides(loop.threads))

    def barrier(self, e: LoopEmitter) -> None:
        """Emit a barrier, after which every thread sees what the others have written."""
        d = self.loop.printer.d
        for statement in (d.storage_barrier if self.slots else "", d.barrier):
            if statement:
                e.line(statement)

    def each(self, e: LoopEmitter, count: int) -> None:
        """Open the loop in which the threads share `count` elements."""
        d = self.loop.printer.d
        if count <= self.loop.threads:
            e.open(f"if ({d.lane} < {Size(count)}) {{", "g", guarded=True)
            e.line(d.let("g", U32, d.lane))
        else:
            e.open(
                d.loop("g", d.lane, f"{Size(count)}", f"{self.loop.threads}u"), "g", guarded=True
            )

    def group(self, e: LoopEmitter, g: Group) -> None:
        """Emit the work of one group, whose elements or rows the threads share."""
        e.enter(g)
        writes = [m for m in g.members if m.id in e.places]
        self.each(e, self.loop.count(g))
        if g.kind == "row":
            self.loop.inside.rows(g, e, writes, "0u", 1)
        elif g.kind == "product":
            self.loop.inside.one_product(g, e, writes, e.name())
        else:
            self.loop.inside.write(g, e, writes)
        e.close()

    def stack(self, e: LoopEmitter) -> None:
        """Copy stacked outputs that are also read inside the loop from shared memory to the output."""
        body = self.loop.body
        at = self.out_offset + body.sizes()[0]
        for o in self.loop.p.outputs[body.carries :]:
            if o.id in self.spots and o.spec.size:
                self.each(e, o.spec.size)
                self.write(e, f"g + {Size(at)} + s * {Size(o.spec.size)}", e.take(o))
                e.close()
            at += self.loop.length * o.spec.size

    def write(self, e: LoopEmitter, place: str, value: str) -> None:
        """Write an element of the loop's output."""
        dtype = self.loop.n.spec.dtype
        name = e.bind(self.out_slot, "w", dtype)
        e.line(self.loop.printer.d.store(name, place, value, dtype))

    def turn(self, e: LoopEmitter) -> None:
        """Copy the new carry over the old one, for the next repetition."""
        body = self.loop.body
        for old, new in zip(self.inputs[: body.carries], self.loop.p.outputs, strict=False):
            if not old.spec.size:
                continue
            self.each(e, old.spec.size)
            e.put(old, e.take(new))
            e.close()

    def carry_in(self, e: LoopEmitter, first: bool) -> None:
        """Copy the carry to shared memory: from the operands, or from the buffer of the dispatch before."""
        d = self.loop.printer.d
        body, n = self.loop.body, self.loop.n
        kept = 0
        for k, node in enumerate(self.inputs[: body.carries]):
            if not node.spec.size:
                continue
            self.each(e, node.spec.size)
            if first:
                which, at = body.places[k]
                source = n.srcs[which]
                if source.op is FULL:
                    value = e.constant(source)
                else:
                    slot, offset = self.loop.printer.places[source.id]
                    name = e.bind(slot, "r", node.spec.dtype)
                    value = d.load(name, f"g + {Size(offset + at)}", node.spec.dtype)
            else:
                name = e.bind(self.kept, "r", node.spec.dtype)
                value = d.load(name, f"g + {Size(kept)}", node.spec.dtype)
            e.put(node, value)
            e.close()
            kept += node.spec.size

    def carry_out(self, e: LoopEmitter, last: bool) -> None:
        """Copy the carry to a buffer for the next dispatch, or to the output."""
        d = self.loop.printer.d
        at = 0
        for node in self.inputs[: self.loop.body.carries]:
            if not node.spec.size:
                continue
            self.each(e, node.spec.size)
            value = e.take(node)
            if last:
                self.write(e, f"g + {Size(self.out_offset + at)}", value)
            else:
                kept = e.bind(self.kept, "w", node.spec.dtype)
                e.line(d.store(kept, f"g + {Size(at)}", value, node.spec.dtype))
            e.close()
            at += node.spec.size


register(Record(op="loop", passes=_passes))

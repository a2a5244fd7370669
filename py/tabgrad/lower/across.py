"""How the threads of a workgroup join what each has found of a row: by a tree in workgroup memory, or by
operations of subgroups.

The tree waits at a barrier for each of its steps. With subgroups there are two barriers: each subgroup goes
through all that was found, one number a thread, and joins the numbers of its threads in one instruction; what
the subgroup of the first thread has is the result. A thread's place in its subgroup is counted, so this is
right for any size of subgroups, whichever threads are in one. Sums have another order than those of the tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tabgrad.core import dtype as dt
from tabgrad.lower.accumulate import Accumulator, identity, is_arg
from tabgrad.lower.dialect import BOOL, F32, U32, Dialect
from tabgrad.lower.emit import Emitter
from tabgrad.lower.group import Group
from tabgrad.lower.ir import Node

JOINS = {"sum": "Add", "prod": "Mul", "max": "Max", "min": "Min", "argmax": "Max", "argmin": "Min"}
"""What the function of subgroups is called for a kind of reduction."""
NONE = "0xffffffffu"
"""A place that no element has."""


def joins_by_subgroups(g: Group) -> bool:
    """Whether there is a function of subgroups for all reductions of a group."""
    return all(_joins(h) for h in g.heavies)


def _joins(h: Node) -> bool:
    dtype = h.srcs[0].spec.dtype
    if dtype is dt.bool_:
        return not is_arg(h)
    return not dtype.is_complex or h.op.kind == "sum"


class Joining:
    """Emits the joins of a kernel whose workgroups have `size` threads; `shared` declares what they use."""

    def __init__(self, size: int, subgroups: bool) -> None:
        self.size, self.subgroups = size, subgroups
        self.shared: list[str] = []

    def join(self, e: Emitter, a: Accumulator) -> None:
        """Emit what makes an accumulator the same in all threads."""
        room = self.size + self.subgroups
        name = self.declare(e, a.kind, room)
        place = self.declare(e, U32, room) if a.place else ""
        self.put(e, a, name, place, e.d.lane)
        e.line(e.d.barrier)
        (self.by_subgroups if self.subgroups else self.tree)(e, a, name, place)
        last = f"{self.size}" if self.subgroups else "0"
        e.line(f"{a.value} = {e.d.from_shared(f'{name}[{last}]', a.kind)};")
        if place:
            e.line(f"{a.place} = {place}[{last}];")

    def declare(self, e: Emitter, kind: str, room: int) -> str:
        """Declare workgroup memory for so many numbers."""
        name = f"sh{len(self.shared)}"
        self.shared.append(e.d.shared(name, kind, room))
        return name

    def put(self, e: Emitter, a: Accumulator, name: str, place: str, at: str) -> None:
        """Emit the stores of what a thread has."""
        for line in _stores(e.d, a, name, place, at):
            e.line(line)

    def tree(self, e: Emitter, a: Accumulator, name: str, place: str) -> None:
        """Emit the steps of a tree."""
        d, lane = e.d, e.d.lane
        take = partial(d.from_shared, kind=a.kind)
        half = self.size // 2
        while half:
            other, spot = e.name(), e.name() if place else ""
            e.line(f"if ({lane} < {half}u) {{")
            e.line("  " + d.let(other, a.kind, take(f"{name}[{lane} + {half}u]")))
            if place:
                e.line("  " + d.let(spot, U32, f"{place}[{lane} + {half}u]"))
            for statement in [*a.join(e, other, spot), *_stores(d, a, name, place, lane)]:
                e.line("  " + statement)
            e.line("}")
            e.line(d.barrier)
            half //= 2

    def by_subgroups(self, e: Emitter, a: Accumulator, name: str, place: str) -> None:
        """Emit the loop of each subgroup over all that was found, and the join of its threads."""
        d = e.d
        count, rank, turn, at = (e.name() for _ in range(4))
        other, spot = e.name(), e.name() if place else ""
        e.line(d.let(count, U32, "subgroupAdd(1u)"))
        e.line(d.let(rank, U32, "subgroupExclusiveAdd(1u)"))
        e.line(f"{a.value} = {d.literal(identity(a.h), a.kind)};")
        if place:
            e.line(f"{a.place} = {NONE};")
        lines = [
            d.let(at, U32, f"{turn} + {rank}"),
            f"if ({at} < {self.size}u) {{",
            "  " + d.let(other, a.kind, d.from_shared(f"{name}[{at}]", a.kind)),
            *(["  " + d.let(spot, U32, f"{place}[{at}]")] if place else []),
            *("  " + line for line in a.join(e, other, spot)),
            "}",
        ]
        e.line(d.loop(turn, "0u", f"{self.size}u", count))
        for line in lines:
            e.line("  " + line)
        e.line("}")
        for line in _joined(e, a):
            e.line(line)
        e.line(f"if ({d.lane} == 0u) {{")
        for line in _stores(d, a, name, place, f"{self.size}u"):
            e.line("  " + line)
        e.line("}")
        e.line(d.barrier)


def _stores(d: Dialect, a: Accumulator, name: str, place: str, at: str) -> list[str]:
    """Write the stores of what a thread has."""
    spots = [f"{place}[{at}] = {a.place};"] if place else []
    return [*spots, f"{name}[{at}] = {d.into_shared(a.value, a.kind)};"]


def _joined(e: Emitter, a: Accumulator) -> Sequence[str]:
    """Write the statements that join the accumulators of a subgroup.

    A nan is no operand of an extreme: what hardware makes of it differs.
    """
    d, kind, value = e.d, a.h.op.kind, a.value
    if a.kind == BOOL:
        return [f"{value} = subgroup{'Any' if kind in ('any', 'max') else 'All'}({value});"]
    join = f"subgroup{JOINS[kind]}"
    if kind in ("sum", "prod"):
        return [f"{value} = {join}({value});"]
    extreme = f"{join}({value})"
    lines = []
    nan = any_nan = ""
    if a.kind == F32:
        nan, any_nan, number = e.name(), e.name(), e.name()
        start = d.literal(identity(a.h), a.kind)
        lines += [
            d.let(nan, BOOL, f"is_nan({value})"),
            d.let(any_nan, BOOL, f"subgroupAny({nan})"),
            d.let(number, a.kind, d.choose(nan, start, value)),
        ]
        extreme = f"{join}({number})"
    best = e.name()
    lines.append(d.let(best, a.kind, extreme))
    if a.place:
        here = f"{value} == {best}"
        here = d.choose(any_nan, nan, here) if nan else here
        lines.append(f"{a.place} = subgroupMin({d.choose(here, a.place, NONE)});")
    result = d.choose(any_nan, "nan()", best) if nan else best
    return [*lines, f"{value} = {result};"]


__all__ = ["Joining", "joins_by_subgroups"]

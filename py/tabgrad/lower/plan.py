"""The finished plan: kernels in order, the slots they bind, and the places of the outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import tabgrad.lower.convolutions
import tabgrad.lower.kernels
import tabgrad.lower.long_rows  # noqa: F401 (rewrites; the records of ops with a loop of their own)
from tabgrad.core.spec import Spec
from tabgrad.lower import checks, routines, verify
from tabgrad.lower.dialect import Dialect
from tabgrad.lower.fuse import Fuser
from tabgrad.lower.group import Group, in_pieces
from tabgrad.lower.ir import Node, Program, RawNode
from tabgrad.lower.kernel import Kernel, numbered
from tabgrad.lower.limits import Limits
from tabgrad.lower.memory import Memory
from tabgrad.lower.pieces import join_in_place
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.record import call_of, record_of
from tabgrad.lower.simplify import build
from tabgrad.lower.sums import join_products
from tabgrad.lower.variants import Asked
from tabgrad.lower.windows import TooLarge, Windows


@dataclass
class Plan:
    """The result of lowering a graph. It holds no buffers: slots are bound to buffers when it runs.

    Slots 0 to `inputs` - 1 are the inputs; `nbytes` has the size of each slot; `outputs` gives the (slot,
    offset in elements, spec) of each; `temporaries` maps the other slots to the (first, last) kernel
    that uses them; `errors` is the slot of the device's buffer of errors, -1 where no index is checked.
    `uniforms` are the (constant, compute type) of the uniform words, kernel after kernel; -1 - n stands for
    the number n, a Site for the number of that site. `asked` has the choices among variants of kernels.
    """

    kernels: list[Kernel]
    inputs: int
    nbytes: list[int]
    outputs: list[tuple[int, int, Spec]]
    temporaries: dict[int, tuple[int, int]]
    uniforms: list[tuple[Any, str]]
    errors: int = -1
    asked: Mapping[str, Asked] = field(default_factory=dict)

    @property
    def output_slots(self) -> list[int]:
        """The slots that must outlive the plan."""
        return sorted({slot for slot, _, _ in self.outputs})

    def __str__(self) -> str:
        lines = [
            f"{i:3} {k.label} {k.grid} {k.bindings} {k.slots}" for i, k in enumerate(self.kernels)
        ]
        return "\n".join(lines)


FEWER = (4, 2)
"""Smaller limits of buffers for fusion, tried in turn if kernels reach too much memory at once."""


def lower(
    raw: Sequence[RawNode], wanted: Sequence[int], dialect: Dialect, limits: Limits,
    moving: frozenset[int] = frozenset(),
) -> Plan:  # fmt: skip
    """Make the plan that computes the nodes at positions `wanted` of the recorded nodes `raw`.

    Slices of inputs at positions `moving` become inputs whose offset is given at each run. TooLarge is
    raised if a kernel reaches more of its buffers than the device binds, however it is cut.
    """
    for buffers in (limits.buffers, *FEWER):
        try:
            return _lower(raw, wanted, dialect, limits, moving, buffers)
        except TooLarge as error:
            found = error
    raise found


def _lower(
    raw: Sequence[RawNode], wanted: Sequence[int], dialect: Dialect, limits: Limits,
    moving: frozenset[int], buffers: int,
) -> Plan:  # fmt: skip
    if limits.dynamic is not None:
        limits.dynamic.begin(raw, wanted)
    if limits.choices is not None:
        limits.choices.begin()
    specs = [raw[i][3] for i in wanted]
    p = build(raw, wanted, moving, limits.decide, limits.pick, limits.software)
    join_products(p)
    verify.program(p, specs)
    calls = routines.choose(p, limits)
    alone = routines.apart(calls)
    inside = join_in_place(p, alone, limits)
    verify.program(p, specs, (*calls, *(cat for cat, _ in inside.values())))
    kept = {n.id for n in (*inside, *alone)}
    fuser = Fuser(p, limits, kept, {n.id for n in calls}, buffers, inside)
    groups = fuser.run()
    verify.groups(p, groups, fuser.stored)
    needed = {o.id for o in p.outputs} | kept
    for g in groups:
        needed.update(g.loads)
    memory = Memory(p, dialect, inside)
    if checks.needed(p):
        memory.places[checks.ERRORS] = (memory.scratch(checks.NBYTES), 0)
    for g in groups:
        for members in fuser.sharing.together(g, needed):
            memory.side_by_side(members)
        for m in g.members:
            if m.id in needed:
                memory.place(m)
    verify.memory(p, memory, needed)
    windows = Windows(memory.bytes, limits.binding)
    printer = KernelPrinter(dialect, limits, fuser.stored, memory.places, windows)
    kernels: list[Kernel] = []
    for g in groups:
        call = calls.get(g.first)
        made = called(call, g.first, memory) if call else printed(printer, g, needed, memory)
        check_windows(made, windows, limits)
        written(made, kernels, dialect, limits)
    plan = Plan(
        kernels,
        len(p.inputs),
        memory.bytes,
        [(*memory.places[o.id], spec) for o, spec in zip(p.outputs, specs, strict=True)],
        _lifetimes(p, kernels, memory),
        [u for k in kernels for u in k.uniforms],
        memory.places.get(checks.ERRORS, (-1, 0))[0],
        limits.choices.asked if limits.choices is not None else {},
    )
    verify.plan(plan, dialect, limits, memory.empty)
    verify.stores(p, kernels, memory, needed)
    return plan


def printed(printer: KernelPrinter, g: Group, needed: set[int], memory: Memory) -> list[Kernel]:
    """Make the kernels of a group: none for a cat written piece by piece, several for long rows."""
    first = g.members[0]
    if not any(m.spec.size for m in g.members) or in_pieces(g):
        return []
    record = record_of(first) if g.kind == "library" else None
    several = record.passes if record is not None else None
    made = several(printer, call_of(first), memory.scratch) if several else []
    return numbered(made or printer.kernels(g, needed))


def written(
    made: Sequence[Kernel], kernels: list[Kernel], dialect: Dialect, limits: Limits
) -> None:
    """Write out the texts of the next kernels of a plan."""
    for k in made:
        lifted = limits.dynamic.lifted(len(kernels), k) if limits.dynamic else ()
        kernels.append(k.written(dialect, lifted))
        if limits.printed is not None:
            limits.printed(kernels[-1])


def check_windows(kernels: list[Kernel], windows: Windows, limits: Limits) -> None:
    """Raise TooLarge if a kernel binds more than the device allows."""
    for k in kernels:
        large = max(k.slots, key=windows.sizes.__getitem__, default=-1)
        if large in windows and (not k.spans or len(k.slots) > limits.buffers):
            raise TooLarge(k.ops, k.origins, windows.sizes[large])


def called(call: routines.Call, n: Node, memory: Memory) -> list[Kernel]:
    """Make the call of a routine a step of a plan; none where another call writes the result."""
    if not call.name:
        return []
    slots = [memory.places[m.id][0] for m in call.operands]
    if call.results:
        places = {m.op.index: memory.places[m.id][0] for m in n.siblings if m.id in memory.places}
        for i, spec in enumerate(call.results):
            slots.append(places[i] if i in places and spec.size else memory.spare(spec))
    else:
        slots += [memory.places[m.id][0] for m in (n, call.besides) if m is not None]
    bindings = "r" * len(call.operands) + "w" * (len(slots) - len(call.operands))
    k = Kernel(call.name, "", bindings, slots, (1, 1, 1), routine=call.name, words=call.words)
    names, origins = zip((n.name, n.origin), *call.joined, strict=True)
    return [replace(k, ops=names, origins=tuple(dict.fromkeys(origins)))]


def _lifetimes(p: Program, kernels: list[Kernel], memory: Memory) -> dict[int, tuple[int, int]]:
    kept = {memory.places[o.id][0] for o in p.outputs}
    kept.add(memory.places.get(checks.ERRORS, (-1, 0))[0])
    spans: dict[int, tuple[int, int]] = {}
    for i, k in enumerate(kernels):
        for slot in k.slots:
            if slot >= len(p.inputs) and slot not in kept:
                spans[slot] = (spans.get(slot, (i, i))[0], i)
    return spans

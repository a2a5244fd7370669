"""Kernels that a user wrote: their text runs as it is, after copies of operands inside other buffers."""

from __future__ import annotations

import math
from typing import Any

from tabgrad.core.errors import DeviceError
from tabgrad.core.op import USER_KERNEL
from tabgrad.lower.emit import Emitter
from tabgrad.lower.index import unflatten, var
from tabgrad.lower.ir import FULL, Node
from tabgrad.lower.kernel import BLOCK, Kernel, grid_of
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.record import Record, Scratch, register


def _passes(printer: KernelPrinter, n: Node, scratch: Scratch) -> list[Kernel]:
    """Make the dispatch of a user's kernel, with the copies it needs before and after."""
    op: Any = n.op
    language = printer.d.name
    source = op.sources.get(language)
    if source is None:
        raise DeviceError(
            f"{n.name}: has no {language} source; it has {', '.join(op.sources) or 'none'}"
        )
    before: list[Kernel] = []
    after: list[Kernel] = []
    slots = []
    for s in n.srcs:
        if s.op is FULL or printer.places[s.id][1]:
            slot = scratch(printer.d.nbytes(s.spec.dtype, s.spec.size))
            before.append(_copy(printer, s, printer.places.get(s.id), (slot, 0)))
        else:
            slot = printer.places[s.id][0]
        slots.append(slot)
    out, offset = printer.places[n.id]
    if offset:
        slot = scratch(printer.d.nbytes(n.spec.dtype, n.spec.size))
        after.append(_copy(printer, n, (slot, 0), (out, offset)))
        out = slot
    shapes = [s.shape for s in n.srcs]
    given = op.constants(*shapes, **n.params) if op.constants else {}
    overrides = tuple((name, float(value)) for name, value in sorted(given.items()))
    grid = tuple(op.workgroups(*shapes, **n.params))
    grid = (*grid, 1, 1)[:3]
    middle = Kernel(
        n.name,
        source,
        "r" * len(slots) + "w",
        [*slots, out],
        grid,
        overrides,
        [],
        (n.name,),
        (n.origin,),
        verbatim=True,
    )
    return [*before, middle, *after]


def _copy(printer: KernelPrinter, n: Node, source: Any, target: tuple[int, int]) -> Kernel:
    """Make a kernel that copies `n` from one place to another, or fills it with a constant."""
    count = math.prod(n.shape)
    places = {n.id: source} if source else {}
    e = Emitter(printer.d, n.siblings, {n.id}, places, printer.windows)
    grid = grid_of(math.ceil(count / BLOCK))
    printer.thread_index(e, grid, count)
    index = unflatten(var("g", count), n.shape)
    value = e.value(n, index) if n.op is FULL else e.load(n, index)
    e.places[n.id] = target
    e.store(n, index, value)
    return printer.finish(e, grid, BLOCK)


register(Record(op=USER_KERNEL, passes=_passes))

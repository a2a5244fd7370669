"""scatter and scatter_add: elements of a source are put by index into a copy of the target, in order."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.lower.dialect import U32
from tabgrad.lower.emit import Emitter
from tabgrad.lower.index import text, unflatten, var
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import BLOCK, TURNS, Kernel, grid_of
from tabgrad.lower.limits import Limits
from tabgrad.lower.line_kernels import FEW, LONG_SCAN, emitter, extent, line_count, line_index
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.record import CHEAP, Record, Scratch, register
from tabgrad.lower.tokens import Size, Word
from tabgrad.lower.windows import Cut


def _line(e: Emitter, n: Node, count: int, *, adds: bool) -> None:
    """Copy the line of the target, then place the elements of the source in order."""
    d = e.d
    axis: Any = n.params["axis"]
    x, index, _ = n.srcs
    size = x.shape[axis]
    e.open(d.loop("t", "0u", f"{Size(size)}", "1u"), "t")
    at = line_index(n, var("t", size))
    e.store(n, at, e.value(x, at))
    e.close()
    e.open(d.loop("s", "0u", f"{Size(index.shape[axis])}", "1u"), "s")
    _place(e, n, adds)
    e.close()


def _place(e: Emitter, n: Node, adds: bool, line: str = "g") -> None:
    """Place element `s` of a line of the source."""
    d = e.d
    axis: Any = n.params["axis"]
    _, index, src = n.srcs
    size = n.shape[axis]
    place = line_index(n, var("s", index.shape[axis]), line)
    spot = d.convert(e.value(index, place), d.compute_type(index.spec.dtype), U32)
    to = e.computed_index(spot, size)
    value = e.value(src, place)
    e.open(f"if ({text(to)} < {Size(size)}) {{", guarded=True)
    target = line_index(n, to, line)
    if adds:
        sign = "||" if n.spec.dtype is dt.bool_ else "+"
        value = d.narrow(f"({e.load(n, target, 'w')} {sign} {value})", n.spec.dtype)
    e.store(n, target, value)
    e.close()


def _apart(n: Node, limits: Limits, large: bool) -> bool:
    """Test whether a scatter copies the target and places the source in separate kernels: so that neither
    takes long, all cores copy, or none binds all of a `large` target beside all of its copy."""
    axis: Any = n.params["axis"]
    rows, length = extent(n)
    if rows and (large or length + n.srcs[1].shape[axis] > TURNS):
        return True
    return 0 < rows <= FEW and (rows * length > COPIES if limits.software else length > LONG_SCAN)


COPIES = 1 << 15
"""The most elements of a target that one kernel copies, and places the source in, on a software adapter."""


def _side_by_side(rows: int, limits: Limits) -> int:
    """Choose how many lines a thread takes: several on a processor, which then reads an index for all
    lines once."""
    return 4 if limits.software and rows % 4 == 0 and rows >= ENOUGH else 1


ENOUGH = 32
"""The fewest lines that keep a processor busy when a thread takes several."""


def _copied(printer: KernelPrinter, n: Node, large: bool) -> list[Kernel]:
    """Make the kernels that copy the target."""
    x, e, count = n.srcs[0], emitter(printer, n), n.spec.size
    at = unflatten(var("g", count), n.shape)
    if not large:
        return [printer.spread(e, count, lambda: e.store(n, at, e.value(x, at)))]
    e.cut = Cut(printer.windows, "g", count, BLOCK)
    grid = grid_of(math.ceil(count / BLOCK))
    printer.thread_index(e, grid, count)
    e.store(n, at, e.value(x, at))
    return printer.parts(e, grid, BLOCK)


def _passes(printer: KernelPrinter, n: Node, scratch: Scratch, *, adds: bool) -> list[Kernel]:
    """Make the kernel that copies the target, and those that place TURNS elements of the source each."""
    large = printer.places[n.id][0] in printer.windows
    axis: Any = n.params["axis"]
    if not large and n.srcs[1].shape[axis] > LONG_SCAN:
        from tabgrad.lower.scattered import placed  # few programs place so much

        made = placed(printer, n, scratch, adds=adds)
        if made:
            return [*_copied(printer, n, large), *made]
    if not _apart(n, printer.limits, large):
        return []
    rows, _ = extent(n)
    side = printer.limits.decide("lines", lambda: _side_by_side(rows, printer.limits))
    threads = rows // side
    block = printer.block(threads)
    grid = grid_of(math.ceil(threads / block))
    sources = n.srcs[1].shape[axis]
    e = emitter(printer, n)
    printer.thread_index(e, grid, threads, block)
    lines = [f"g{i}" for i in range(side)] if side > 1 else ["g"]
    for i, line in enumerate(lines if side > 1 else ()):
        e.line(e.d.let(line, U32, f"g * {side}u + {i}u"))
        e.scope.variables.add(line)
    several = sources > TURNS
    bounds = (f"{Word(0)}", f"{Word(1)}") if several else ("0u", f"{Size(sources)}")
    e.open(e.d.loop("s", *bounds, "1u"), "s")
    for line in lines:
        _place(e, n, adds, line)
    e.close(None if several else printer.loop("s", "0u", sources))
    k = printer.finish(e, grid, block)
    if not several:
        return [*_copied(printer, n, large), k]
    return _copied(printer, n, large) + [
        replace(k, words=(start, min(start + TURNS, sources))) for start in range(0, sources, TURNS)
    ]


register(
    *(
        Record(
            op=op,
            threads=line_count,
            line=partial(_line, adds=adds),
            passes=partial(_passes, adds=adds),
            adds_up=adds,
            buried=2 * CHEAP,  # each element of the source is read once
        )
        for op, adds in (("scatter", False), ("scatter_add", True))
    )
)

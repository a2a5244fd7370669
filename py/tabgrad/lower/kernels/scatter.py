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
from tabgrad.lower.record import Record, Scratch, register
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
    _place(e, n, "0u", f"{Size(index.shape[axis])}", adds)


def _place(e: Emitter, n: Node, start: str, stop: str, adds: bool) -> None:
    """Place the elements of the source from `start` on, one after the other."""
    d = e.d
    axis: Any = n.params["axis"]
    _, index, src = n.srcs
    size = n.shape[axis]
    e.open(d.loop("s", start, stop, "1u"), "s")
    place = line_index(n, var("s", index.shape[axis]))
    spot = d.convert(e.value(index, place), d.compute_type(index.spec.dtype), U32)
    to = e.computed_index(spot, size)
    value = e.value(src, place)
    e.open(f"if ({text(to)} < {Size(size)}) {{", guarded=True)
    target = line_index(n, to)
    if adds:
        sign = "||" if n.spec.dtype is dt.bool_ else "+"
        value = d.narrow(f"({e.load(n, target, 'w')} {sign} {value})", n.spec.dtype)
    e.store(n, target, value)
    e.close()
    e.close()


def _apart(n: Node, limits: Limits, large: bool) -> bool:
    """Test whether a scatter copies the target and places the source in separate kernels: so that
    neither takes long, or binds all of a `large` target beside all of its copy."""
    axis: Any = n.params["axis"]
    rows, length = extent(n)
    if rows and (large or length + n.srcs[1].shape[axis] > TURNS):
        return True
    return not limits.software and 0 < rows <= FEW and length > LONG_SCAN


def _passes(printer: KernelPrinter, n: Node, scratch: Scratch, *, adds: bool) -> list[Kernel]:
    """Make the kernel that copies the target, and those that place TURNS elements of the source each."""
    large = printer.places[n.id][0] in printer.windows
    if not _apart(n, printer.limits, large):
        return []
    axis: Any = n.params["axis"]
    x, index, _ = n.srcs
    e = emitter(printer, n)
    if large:
        e.cut = Cut(printer.windows, "g", n.spec.size, BLOCK)
    grid = grid_of(math.ceil(n.spec.size / BLOCK))
    printer.thread_index(e, grid, n.spec.size)
    at = unflatten(var("g", n.spec.size), n.shape)
    e.store(n, at, e.value(x, at))
    made = printer.parts(e, grid, BLOCK)
    rows, _ = extent(n)
    grid = grid_of(math.ceil(rows / BLOCK))
    e = emitter(printer, n)
    printer.thread_index(e, grid, rows)
    _place(e, n, f"{Word(0)}", f"{Word(1)}", adds)
    k = printer.finish(e, grid, BLOCK)
    sources = index.shape[axis]
    return made + [
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
        )
        for op, adds in (("scatter", False), ("scatter_add", True))
    )
)

"""Scatters with a thread for each element of the source, where there are too few lines to keep a GPU busy.

Integers are added atomically: their sum is the same in any order. Other elements are sorted by their index
first, so that those for one place are combined in their order, as one thread for each line does.
"""

from __future__ import annotations

import math
import re
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.lower import library, radix
from tabgrad.lower.dialect import BOOL, FLAGS, PARTS, U32
from tabgrad.lower.emit import Emitter
from tabgrad.lower.index import flatten, text, unflatten, var
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.limits import Limits
from tabgrad.lower.line_kernels import FEW, LONG_SCAN, LineKernels, emitter, extent, size_functions
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.record import Scratch
from tabgrad.lower.tokens import Size

ONE_SPAN = 8192
"""The most elements of a line that one workgroup sorts."""
IDLE = 8
"""With fewer lines, the threads of a processor that compute side by side are not all busy."""
WORDS = (dt.int32, dt.uint32, dt.int64, dt.uint64)


def placed(printer: KernelPrinter, n: Node, scratch: Scratch, *, adds: bool) -> list[Kernel]:
    """Make the kernels that place the source in a copy of the target; none where a thread for each line
    is better or there is no other way."""
    if not _worth(n, printer.limits):
        return []
    if adds and n.spec.dtype in WORDS:
        return _atomic(printer, n)
    ordered = printer.d.templates and not printer.limits.software
    return _ordered(printer, n, scratch, adds) if ordered else []


def _worth(n: Node, limits: Limits) -> bool:
    """Test whether lines are so few, and so much is placed in each, that a thread for each is slow."""
    axis: Any = n.params["axis"]
    rows, _ = extent(n)
    return rows < (IDLE if limits.software else FEW) and n.srcs[1].shape[axis] > LONG_SCAN


# -- integers --------------------------------------------------------------------------------------


def _atomic(printer: KernelPrinter, n: Node) -> list[Kernel]:
    """Make the kernel in which each thread adds one element."""
    e = emitter(printer, n)
    slot = printer.places[n.id][0]
    k = printer.spread(e, n.srcs[1].spec.size, lambda: _add(e, n, slot))
    # a source that lies in the same buffer would have to be read atomically as well
    return [] if any(at == slot and kind is not _bound(e, n) for at, _, kind in e.access) else [k]


def _bound(e: Emitter, n: Node) -> Any:
    """Find the dtype as which the target is bound: two words of CUDA are cast where they are added."""
    return FLAGS if e.d.words(e.d.compute_type(n.spec.dtype)) == 1 else n.spec.dtype


def _add(e: Emitter, n: Node, slot: int) -> None:
    d = e.d
    axis: Any = n.params["axis"]
    _, index, src = n.srcs
    at = unflatten(var("g", index.spec.size), index.shape)
    spot = d.convert(e.value(index, at), d.compute_type(index.spec.dtype), U32)
    to = e.computed_index(spot, n.shape[axis])
    value = e.value(src, at)
    e.open(f"if ({text(to)} < {Size(n.shape[axis])}) {{", guarded=True)
    target = tuple(to if i == axis else q for i, q in enumerate(at))
    name = e.bind(slot, "w", _bound(e, n))
    e.written.append((slot, flatten(target, n.shape) + e.places[n.id][1]))
    place = f"&{name}[{e.spot(n, target, e.places[n.id][1])}]"
    if not d.templates:
        word = "unsigned int" if _bound(e, n) is FLAGS else "unsigned long long"
        place, value = f"({word}*){place}", f"({word})({value})"
    else:
        value = d.bits(value, d.compute_type(n.spec.dtype), U32)
    e.line(f"atomicAdd({place}, {value});")
    e.close()


# -- in order --------------------------------------------------------------------------------------


def _ordered(printer: KernelPrinter, n: Node, scratch: Scratch, adds: bool) -> list[Kernel]:
    """Make the kernels that sort the source by its index, and place the elements of one index one by one."""
    axis: Any = n.params["axis"]
    rows, size = extent(n)
    count = n.srcs[1].shape[axis]
    lines = LineKernels(printer, n, emitter(printer, n))
    if lines.kind() == BOOL or lines.kind() in PARTS:
        return []
    load_key = _load_key(lines)
    # one index for all lines is sorted once
    sorted_rows = rows if re.search(r"\brow\b", load_key.split("\n", 1)[1]) else 1
    spans = 1 if count <= ONE_SPAN else math.ceil(count / 2048)
    run = math.ceil(count / (spans * 128))
    shape = radix.Shape(128, 4, math.ceil(count / (run * 128)), run)
    nbytes = radix.work_bytes(sorted_rows, count, shape)
    if printer.limits.binding and nbytes > printer.limits.binding:
        return []
    line = "row * length() + " if sorted_rows > 1 else ""
    load = f"(row: u32, i: u32) -> u32 {{ return order[{line}i]; }}\n"
    order = scratch(4 * sorted_rows * count)
    blocks = {
        "load_key": load_key,
        "load_place": f"fn load_place{load}",
        "store_place": f"fn store_place(row: u32, i: u32, place: u32) {{ order[{line}i] = place; }}\n",
    }
    sizes = (sorted_rows, count, size.bit_length())
    made = radix.passes(lines, blocks, sizes, shape, scratch, order)
    last = _runs(LineKernels(printer, n, emitter(printer, n)), f"fn load_order{load}", order, adds)
    return [*made, last] if len(last.slots) < printer.limits.buffers else []


def _load_key(lines: LineKernels) -> str:
    """Write the index of an element of the source; all that are out of range are the first one that is."""
    n, e, d = lines.n, lines.e, lines.printer.d
    axis: Any = n.params["axis"]
    index = n.srcs[1]
    place = lines.index(var("place", index.shape[axis]))

    def key() -> str:
        found = d.convert(e.value(index, place), d.compute_type(index.spec.dtype), U32)
        return f"return min({found}, {Size(n.shape[axis])});"

    return lines.function("load_key(row: u32, place: u32) -> u32", key)


def _runs(lines: LineKernels, load_order: str, order: int, adds: bool) -> Kernel:
    """Make the kernel that goes over the elements of each index."""
    n, e, d = lines.n, lines.e, lines.printer.d
    axis: Any = n.params["axis"]
    rows, size = extent(n)
    src = n.srcs[2]
    count = src.shape[axis]
    place, target = (lines.index(var("place", most)) for most in (count, size))
    head = "(row: u32, place: u32"

    def store() -> str:
        e.store(n, target, "acc")
        return ""

    total = d.narrow("(acc + value)", n.spec.dtype) if adds else "value"
    blocks = {
        "dims": size_functions(rows=rows, length=count, size=size),
        "load_key": _load_key(lines),
        "load_order": load_order,
        "load_value": lines.function(f"load_value{head}) -> elem", lambda: f"return {e.value(src, place)};"),
        "load_out": lines.function(f"load_out{head}) -> elem", lambda: f"return {e.load(n, target, 'w')};"),
        "store_out": lines.function(f"store_out{head}, acc: elem)", store),
        "combine": f"fn combine(acc: elem, value: elem) -> elem {{ return {total}; }}\n",
    }  # fmt: skip
    blocks["bindings"] = d.bindings(e.bindings()) + radix.declared(lines, "order")
    source = library.kernel("runs").with_blocks(blocks, lines.stored())
    return radix.with_slots(lines.kernel(source, math.ceil(rows * count / 64), {}), (order,))

"""Running combinations along a line: sums, linear recurrences, log-sum-exps.

One thread walks a line, or workgroups share it: each scans a span, then the totals of the spans are scanned,
then each span goes on from the total before it. CUDA sums long lines by a routine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.lower import library
from tabgrad.lower.dialect import PARTS
from tabgrad.lower.emit import Emitter
from tabgrad.lower.ir import Node, Program
from tabgrad.lower.kernel import Kernel, grid_of
from tabgrad.lower.line_kernels import (
    FEW,
    LONG_SCAN,
    LineKernels,
    emitter,
    extent,
    line_count,
    scans_apart,
    size_functions,
    step_of,
    walk,
)
from tabgrad.lower.passes import scan_span
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.record import Index, Record, Scratch, register
from tabgrad.lower.routines import DTYPES, Call, dense, swap
from tabgrad.lower.row_threads import RowThreads
from tabgrad.lower.simplify import apply
from tabgrad.lower.tokens import UNIFORMS
from tabgrad.lower.variants import size_class

THREADS = 64
"""The threads of a workgroup by default."""
COUNTS = (32, 64, 128, 256)
"""The numbers of threads to choose from."""
BY_SUBGROUPS = """\
var<workgroup> width: u32;
fn join_found(local: u32) {
  let count = subgroupAdd(1u);
  let rank = subgroupExclusiveAdd(1u);
  let first = subgroupMin(local) == 0u;
  if (local == 0u) { width = count; }
  let step = workgroupUniformLoad(&width);
  var before = identity();
  for (var start = 0u; start < THREADS; start += step) {
    let place = start + rank;
    let mine = first && place < THREADS;
    var own = identity();
    if (mine) { own = found[place]; }
    let sum = before + subgroupInclusiveAdd(own);
    before += subgroupAdd(own);
    if (mine) { found[place] = sum; }
  }
  workgroupBarrier();
}
"""
"""The block `join` for sums: the subgroup of the first thread goes through all, as many at once as it has
threads; the others turn with it and touch nothing. Places in subgroups are counted, as in `across.py`."""


def scan_threads(lines: LineKernels, adds: bool) -> RowThreads:
    """Choose the threads of a workgroup: as measured on the adapter, else THREADS without subgroups."""
    n, limits = lines.n, lines.printer.limits
    rows, length = extent(n)

    def variants() -> list[RowThreads]:
        plain = [RowThreads(count) for count in COUNTS if count <= limits.threads]
        return [*plain, *(RowThreads(count, True) for count, _ in plain if limits.quads and adds)]

    sizes = f"{size_class(rows, 1 << 20)} {size_class(length, 1 << 20)}"
    question = f"threads of a scan {n.name} {n.spec.dtype.name} {sizes}"
    return limits.decide(
        "scan", lambda: limits.pick(question, n.origin, variants, lambda: RowThreads(THREADS))
    )


@dataclass(kw_only=True)
class Combination:
    """The combination of a scan: its element type and the functions that replace blocks of the kernel `scan`.

    `load` turns the operands' values at place `i` into an element, `result` an element into the value stored.
    `adds` says that two elements are combined by `+`, for which there are functions of subgroups.
    """

    elem: str
    nbytes: int
    identity: str
    combine: str
    load: Callable[[list[str]], str]
    result: str = "acc"
    declare: str = ""
    adds: bool = False


def passes(lines: LineKernels, how: Combination, scratch: Scratch) -> list[Kernel]:
    """Make the passes of a scan: one over lines that fit a span, else totals, their scan, and the spans."""
    n, e, d = lines.n, lines.e, lines.printer.d
    rows, length = extent(n)
    threads = scan_threads(lines, how.adds)
    span = scan_span(length, threads.threads)
    spans = -(-length // span)
    at = lines.index(step_of(n, "i", length))

    def store() -> str:
        result = how.result
        e.store(n, at, d.narrow(result, n.spec.dtype) if d.is_narrow(n.spec.dtype) else result)
        return ""

    blocks = {
        "dims": _dims(rows, length, span, threads),
        "load": lines.function(
            "load(row: u32, i: u32) -> elem",
            lambda: f"return {how.load([e.value(s, at) for s in n.srcs])};",
        ),
        "store": lines.function("store(row: u32, i: u32, acc: elem)", store),
        "combine": (
            f"fn identity() -> elem {{ return {how.identity}; }}\n"
            f"fn combine(a: elem, b: elem) -> elem {{\n  {how.combine}\n}}\n"
        ),
    }
    blocks |= {"join": BY_SUBGROUPS} if threads.subgroups else {}
    if spans == 1:
        source = _assemble(how, {**blocks, "totals": NO_TOTALS}, _declared(lines, False))
        return [lines.kernel(source, rows, {"PASS": 0.0})]
    totals, before = (scratch(rows * spans * how.nbytes) for _ in range(2))
    source = _assemble(how, blocks, _declared(lines, True))
    first, last = (_with_totals(lines.kernel(source, rows * spans, {"PASS": p}), slot) for p, slot in
                   ((1.0, totals), (2.0, before)))  # fmt: skip
    return [
        first,
        _totals_kernel(lines, how, (rows, spans), (totals, before), blocks["combine"], threads),
        last,
    ]


NO_TOTALS = (
    "fn total_before(row: u32, span: u32) -> elem { return identity(); }\n"
    "fn store_total(row: u32, span: u32, acc: elem) { }\n"
)


def _dims(rows: int, length: int, span: int, threads: RowThreads) -> str:
    """Declare the sizes of one scan."""
    fixed = f"const SPAN = {span}u;\nconst THREADS = {threads.threads}u;\n"
    return size_functions(rows=rows, length=length) + fixed


def _assemble(how: Combination, blocks: dict[str, str], bindings: str) -> str:
    """Assemble the text of a scan."""
    return library.kernel("scan").with_blocks(
        {**blocks, "bindings": how.declare + bindings}, how.elem
    )


def _declared(lines: LineKernels, totals: bool) -> str:
    """Declare the bindings of a scan; the totals come after the op's own buffers."""
    text: str = lines.printer.d.bindings(lines.e.bindings())
    if totals:
        at = len(lines.e.bound()[0])
        text += f"@group(0) @binding({at}) var<storage, read_write> totals: array<elem>;\n"
    return text


def _with_totals(k: Kernel, slot: int) -> Kernel:
    """Make a kernel that also binds the buffer in `slot`."""
    spans = (*k.spans, None) if k.spans else ()
    return replace(k, bindings=f"{k.bindings}w", slots=[*k.slots, slot], spans=spans)


def _totals_kernel(
    lines: LineKernels,
    how: Combination,
    extents: tuple[int, int],
    slots: tuple[int, int],
    combine: str,
    threads: RowThreads,
) -> Kernel:
    """Make the kernel that scans the totals of the spans."""
    rows, spans = extents
    span = threads.threads * -(-spans // threads.threads)
    bindings = (
        "@group(0) @binding(0) var<storage, read> totals: array<elem>;\n"
        "@group(0) @binding(1) var<storage, read_write> before: array<elem>;"
        f"{UNIFORMS}\n"
    )
    blocks = {
        "dims": _dims(rows, spans, span, threads),
        "load": "fn load(row: u32, i: u32) -> elem { return totals[row * length() + i]; }\n",
        "store": "fn store(row: u32, i: u32, acc: elem) { before[row * length() + i] = acc; }\n",
        "combine": combine,
        "totals": NO_TOTALS,
    }
    blocks |= {"join": BY_SUBGROUPS} if threads.subgroups else {}
    source = _assemble(how, blocks, bindings)
    own = Kernel(
        f"{lines.n.name} of totals", source, "rw", list(slots), grid_of(rows), (("PASS", 0.0),)
    )
    return replace(own, ops=(lines.n.name,), origins=(lines.n.origin,))


Step = Callable[[Emitter, Node, Index, str, str], list[str]]
"""The statements that combine the value of a step with `acc`, given (e, n, index, value, compute type)."""


def scan(
    op: str, combination: Callable[[LineKernels], Combination], line: Callable[[Emitter, Node, int], None],
    routine: Any = None, adds_up: bool = True,
) -> Record:  # fmt: skip
    """Make the record of a running combination."""

    def several(printer: KernelPrinter, n: Node, scratch: Scratch) -> list[Kernel]:
        if not printer.d.templates or not scans_apart(n, printer.limits):
            return []
        lines = LineKernels(printer, n, emitter(printer, n))
        return passes(lines, combination(lines), scratch)

    return Record(
        op=op, threads=line_count, line=line, passes=several, routine=routine, adds_up=adds_up
    )


def _running(e: Emitter, n: Node, count: int, *, start: float, step: Step) -> None:
    """Walk a line with an accumulator."""
    d = e.d
    kind = d.compute_type(n.spec.dtype)
    e.line(d.var("acc", kind, d.literal(start, kind)))
    at = walk(e, n)
    for statement in step(e, n, at, e.value(n.srcs[-1], at), kind):
        e.line(statement)
    e.line(f"acc = {d.narrow('acc', n.spec.dtype)};")
    e.store(n, at, "acc")
    e.close()


# -- sums ------------------------------------------------------------------------------------------


def _sum(lines: LineKernels) -> Combination:
    return Combination(
        elem=lines.stored(),
        nbytes=max(lines.n.spec.dtype.itemsize, 4),
        identity=lines.zero(),
        combine="return a + b;",
        load=lambda v: v[0],
        adds=True,
    )


def _add(e: Emitter, n: Node, at: Index, value: str, kind: str) -> list[str]:
    return [f"acc = acc + {value};"]


def _routine(p: Program, n: Node) -> tuple[Node, Call] | None:
    """Make the call of a running sum over a few long lines; a sum from the end takes a flipped copy."""
    rows, length = extent(n)
    axis: Any = n.params["axis"]
    dtype = n.spec.dtype
    if length <= LONG_SCAN or rows > FEW or dtype in (dt.bfloat16, dt.bool_):
        return None
    if n.params["reverse"]:
        flipped = apply(p, "flip", n.srcs[0], axes=(axis,))
        forward = apply(p, "cumsum", flipped, axis=axis, reverse=False)
        swap(p, n, apply(p, "flip", forward, axes=(axis,)))
        n = forward
    outer = math.prod(n.shape[:axis])
    words = (DTYPES.index(dtype.name), outer, length, n.spec.size // (outer * length))
    return n, Call("cumsum", (dense(p, n.srcs[0]),), words)


# -- linear recurrences ----------------------------------------------------------------------------


def _recurrence(lines: LineKernels) -> Combination:
    d, kind, zero = lines.printer.d, lines.kind(), lines.zero()
    one, pairs = d.literal(1, kind), kind in PARTS
    # A zero stays zero, though the product of many factors may have overflowed.
    nothing = f"all(a.y == {zero})" if pairs else f"a.y == {zero}"
    step = f"select({d.times('b.x', 'a.y', kind)} + b.y, b.y, {nothing})"
    return Combination(
        elem="Step" if pairs else f"vec2<{kind}>",
        nbytes=16 if pairs else 8,
        identity=f"elem({one}, {zero})",
        combine=f"return elem({d.times('a.x', 'b.x', kind)}, {step});",
        load=lambda v: f"elem(select({v[0]}, {zero}, i == 0u), {v[1]})",
        result="acc.y",
        declare=f"struct Step {{ x: {lines.stored()}, y: {lines.stored()} }}\n" if pairs else "",
    )


def _multiply_add(e: Emitter, n: Node, at: Index, value: str, kind: str) -> list[str]:
    first = e.d.literal(0, kind)
    factor = e.value(n.srcs[0], at)
    return [
        f"if (t == 0u) {{ acc = {first}; }} else {{ acc = {e.d.times(factor, 'acc', kind)}; }}",
        f"acc = acc + {value};",
    ]


# -- log-sum-exps ----------------------------------------------------------------------------------


def _log_sum_exp(lines: LineKernels) -> Combination:
    kind = lines.kind()
    return Combination(
        elem=lines.stored(),
        nbytes=8 if kind in PARTS else 4,
        identity=lines.printer.d.literal(-math.inf, kind),
        combine=f"return logaddexp_{kind}(b, a);",
        load=lambda v: v[0],
    )


def _logaddexp(e: Emitter, n: Node, at: Index, value: str, kind: str) -> list[str]:
    return [f"acc = logaddexp_{kind}({value}, acc);"]


register(
    scan("cumsum", _sum, partial(_running, start=0, step=_add), _routine),
    scan("linear_scan", _recurrence, partial(_running, start=0, step=_multiply_add)),
    scan("logcumsumexp", _log_sum_exp, partial(_running, start=-math.inf, step=_logaddexp)),
)

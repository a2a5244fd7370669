"""Long lines: sorts, scans and scatters with several threads to a line, in several dispatches if need be.

`lines.py` prints the same ops with one thread a line, or an element to rank: less work for short lines.
CUDA sorts and scans with routines, see `routines.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tabgrad.core.shape import without
from tabgrad.lower import library, loops, user
from tabgrad.lower.dialect import BOOL, F32, I32, U32
from tabgrad.lower.emit import Emitter, Scope
from tabgrad.lower.group import Limits
from tabgrad.lower.index import Expr, unflatten, var
from tabgrad.lower.ir import Node
from tabgrad.lower.kernels import BLOCK, TURNS, Kernel, KernelPrinter, grid_of
from tabgrad.lower.lines import place_sources
from tabgrad.lower.passes import scan_span, sort_block, sort_passes

LONG_SORT = 256
"""Rows to this length are sorted by counting for each element those before it."""
LONG_SCAN = 128
"""On a GPU, a few lines longer than this are scanned by workgroups."""
LONG_SCAN_SOFTWARE = TURNS // 2
"""The same on a processor, which has few cores and reads everything twice for this: only what one thread
couldn't finish."""
FEW = 8192
"""Lines up to this many leave a GPU idle if each has only one thread."""
SCAN_THREADS = 64
SCANS = ("cumsum", "linear_scan", "logcumsumexp", "running_extreme")


def kernels(printer: KernelPrinter, n: Node, scratch: Callable[[int], int]) -> list[Kernel]:
    """Return the kernels of `n` if its lines are long, else none; `scratch` makes a slot of so many bytes."""
    if n.name == "loop":
        return loops.kernels(printer, n, scratch)
    if hasattr(n.op, "sources"):
        return user.kernels(printer, n, scratch)
    if n.name in ("scatter", "scatter_add"):
        return scatter(printer, n) if scatters_apart(n, printer.limits) else []
    if printer.d.name == "wgsl" and is_long(n, printer.limits):
        lines = Lines(printer, n, emitter(printer, n))
        return sort(lines) if n.name == "argsort" else scan(lines, scratch)
    return []


def is_long(n: Node, limits: Limits) -> bool:
    """Whether `n` is a sort or a scan for which workgroups pay."""
    if n.name != "argsort" and n.name not in SCANS:
        return False
    rows, length = extent(n)
    if not rows * length:
        return False
    if n.name == "argsort":
        return length > LONG_SORT
    if limits.software:
        return length > LONG_SCAN_SOFTWARE
    return rows <= FEW and length > LONG_SCAN


def scatters_apart(n: Node, limits: Limits) -> bool:
    """Whether a scatter first copies the target, with a thread an element, and then places the source."""
    axis: Any = n.params["axis"]
    rows, length = extent(n)
    if rows and length + n.srcs[1].shape[axis] > TURNS:
        return True
    return not limits.software and 0 < rows <= FEW and length > LONG_SCAN


def extent(n: Node) -> tuple[int, int]:
    """Return how many lines `n` has along its axis, and their length."""
    axis: Any = n.params["axis"]
    length = n.shape[axis]
    return (n.spec.size // length if length else 0), length


def emitter(printer: KernelPrinter, n: Node) -> Emitter:
    """Return an emitter for the kernels of `n`."""
    e = Emitter(printer.d, None, printer.stored, printer.places, printer.windows)
    e.members = {n.id}
    return e


@dataclass
class Lines:
    """What the kernels of one op share."""

    printer: KernelPrinter
    n: Node
    e: Emitter

    def index(self, at: Expr) -> tuple[Expr, ...]:
        """Return the index of element `at` of line `row`."""
        axis: Any = self.n.params["axis"]
        rows, _ = extent(self.n)
        outer = unflatten(var("row", rows), without(self.n.shape, (axis,)))
        return (*outer[:axis], at, *outer[axis:])

    def function(self, head: str, emit: Callable[[], str]) -> str:
        """Return a function whose body is what `emit` prints, and returns last."""
        e = self.e
        outside, e.scopes = e.scopes, [Scope("", set(), False)]
        last = emit()
        lines = [*e.scope.lines, *([last] if last else [])]
        e.scopes = outside
        return f"fn {head} {{\n" + "".join(f"  {line}\n" for line in lines) + "}\n"

    def kernel(self, source: str, groups: int, overrides: dict[str, float]) -> Kernel:
        """Return one dispatch."""
        return self.printer.package(
            None, self.e, source, grid_of(groups), tuple(overrides.items()), self.n
        )


# -- sorting ---------------------------------------------------------------------------------------


def sort(lines: Lines) -> list[Kernel]:
    """Return the passes of a bitonic sort of places."""
    n, e, d = lines.n, lines.e, lines.printer.d
    (x,) = n.srcs
    rows, length = extent(n)
    block = sort_block(length, min(256, lines.printer.limits.threads))
    kind = d.compute_type(n.spec.dtype)
    place = lines.index(var("place", length))
    i = lines.index(var("i", length))

    def key() -> str:
        value = e.value(x, place)
        return (
            f"return {sort_key(d.compute_type(x.spec.dtype), value, bool(n.params['descending']))};"
        )

    def store() -> str:
        e.store(n, i, d.convert("place", U32, kind))
        return ""

    blocks = {
        "dims": f"const ROWS = {rows}u;\nconst LENGTH = {length}u;\nconst BLOCK = {block}u;\n",
        "load_key": lines.function("load_key(row: u32, place: u32) -> u32", key),
        "store_place": lines.function("store_place(row: u32, i: u32, place: u32)", store),
        "load_place": lines.function(
            "load_place(row: u32, i: u32) -> u32",
            lambda: f"return {d.convert(e.reload(n, i), kind, U32)};",
        ),
    }
    passes = list(sort_passes(rows, length, block))
    size, stride = "0u", "0u"
    if len(passes) > 1:
        size, stride = d.uniform(e.words, U32), d.uniform(e.words + 1, U32)
        e.words += 2
    blocks["params"] = (
        f"fn size() -> u32 {{ return {size}; }}\nfn stride() -> u32 {{ return {stride}; }}\n"
    )
    blocks["bindings"] = d.bindings(e.bindings(), e.words)
    source = library.kernel("sort").with_blocks(blocks)
    made = [(one, lines.kernel(source, one.groups, {"PASS": float(one.step)})) for one in passes]
    return [replace(k, words=one.words if len(passes) > 1 else ()) for one, k in made]


def sort_key(kind: str, value: str, descending: bool) -> str:
    """Return the unsigned integer that sorts as a value of compute type `kind` does."""
    key = {
        F32: f"sort_key_f32({value})",
        I32: f"sort_key_i32({value})",
        U32: value,
        BOOL: f"select(0u, 1u, {value})",
    }[kind]
    return f"~{key}" if descending else key


# -- scattering -----------------------------------------------------------------------------------


def scatter(printer: KernelPrinter, n: Node) -> list[Kernel]:
    """Return the kernel that copies the target, and those that place the source in turns of TURNS elements."""
    axis: Any = n.params["axis"]
    d, (x, index, _) = printer.d, n.srcs
    e = emitter(printer, n)
    grid = grid_of(math.ceil(n.spec.size / BLOCK))
    printer.thread_index(e, grid, n.spec.size)
    at = unflatten(var("g", n.spec.size), n.shape)
    e.store(n, at, e.value(x, at))
    made = [printer.finish(None, e, grid, BLOCK, [], n)]
    rows, _ = extent(n)
    grid = grid_of(math.ceil(rows / BLOCK))
    words = 0
    # The bounds of a turn follow the words of the constants, whose number the first printing tells.
    for _ in range(2):
        e = emitter(printer, n)
        printer.thread_index(e, grid, rows)
        place_sources(d, n, e, rows, d.uniform(words, U32), d.uniform(words + 1, U32))
        words = e.words
    e.words += 2
    k = printer.finish(None, e, grid, BLOCK, [], n)
    sources = index.shape[axis]
    return made + [
        replace(k, words=(start, min(start + TURNS, sources))) for start in range(0, sources, TURNS)
    ]


# -- scanning --------------------------------------------------------------------------------------


@dataclass
class Combination:
    """How a scan combines: its element type and the functions that replace blocks of `scan`.

    `load` turns the operands' values at place `i` into an element, `result` an element into the value stored.
    """

    elem: str
    nbytes: int
    identity: str
    combine: str
    load: Callable[[list[str]], str]
    result: str = "acc"
    declare: str = ""


def combination(lines: Lines) -> Combination:
    """Return what the scan `lines.n` combines."""
    d, n = lines.printer.d, lines.n
    kind = d.compute_type(n.srcs[-1].spec.dtype)
    zero, one = (d.literal(v, kind) for v in (0, 1)) if kind != BOOL else ("0u", "1u")
    if n.name == "cumsum":
        return Combination(kind, 4, zero, "return a + b;", lambda v: v[0])
    if n.name == "logcumsumexp":
        return Combination(kind, 4, "-inf()", f"return logaddexp_{kind}(a, b);", lambda v: v[0])
    if n.name == "linear_scan":
        # What is zero stays so, though the product of many factors may have overflowed.
        step = f"select(b.x * a.y + b.y, b.y, a.y == {zero})"
        return Combination(
            f"vec2<{kind}>", 8, f"elem({one}, {zero})", f"return elem(a.x * b.x, {step});",
            lambda v: f"elem(select({v[0]}, {zero}, i == 0u), {v[1]})", "acc.y",
        )  # fmt: skip
    stored = U32 if kind == BOOL else kind
    sign = "<=" if n.params["least"] else ">="
    nans = (
        "if (is_nan(b.best)) { return b; }\n  if (is_nan(a.best)) { return a; }\n  "
        if kind == F32
        else ""
    )
    return Combination(
        "Best", 8, f"elem({zero}, 0xffffffffu)",
        "if (a.place == 0xffffffffu) { return b; }\n  if (b.place == 0xffffffffu) { return a; }\n  "
        f"{nans}if (b.best {sign} a.best) {{ return b; }}\n  return a;",
        lambda v: f"elem({f'select(0u, 1u, {v[0]})' if kind == BOOL else v[0]}, i)",
        d.convert("acc.place", U32, d.compute_type(n.spec.dtype)),
        f"struct Best {{ best: {stored}, place: u32 }}\n",
    )  # fmt: skip


def scan(lines: Lines, scratch: Callable[[int], int]) -> list[Kernel]:
    """Return the passes of a scan: one over lines that fit a span, else totals, their scan, and the spans."""
    n, e, d = lines.n, lines.e, lines.printer.d
    how = combination(lines)
    rows, length = extent(n)
    span = scan_span(length, SCAN_THREADS)
    spans = -(-length // span)
    step = var("i", length)
    at = lines.index((length - 1) - step if n.params.get("reverse") else step)

    def store() -> str:
        result = how.result
        e.store(n, at, d.narrow(result, n.spec.dtype) if d.is_narrow(n.spec.dtype) else result)
        return ""

    blocks = {
        "dims": dims(rows, length, span),
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
    if spans == 1:
        source = assemble(how, {**blocks, "totals": NO_TOTALS}, declared(lines, False))
        return [lines.kernel(source, rows, {"PASS": 0.0})]
    totals, before = (scratch(rows * spans * how.nbytes) for _ in range(2))
    source = assemble(how, blocks, declared(lines, True))
    first, last = (with_totals(lines.kernel(source, rows * spans, {"PASS": p}), slot) for p, slot in
                   ((1.0, totals), (2.0, before)))  # fmt: skip
    return [
        first,
        totals_kernel(lines, how, (rows, spans), (totals, before), blocks["combine"]),
        last,
    ]


NO_TOTALS = (
    "fn total_before(row: u32, span: u32) -> elem { return identity(); }\n"
    "fn store_total(row: u32, span: u32, acc: elem) { }\n"
)


def dims(rows: int, length: int, span: int) -> str:
    """Return the constants of one scan."""
    sizes = {"ROWS": rows, "LENGTH": length, "SPAN": span, "THREADS": SCAN_THREADS}
    return "".join(f"const {name} = {size}u;\n" for name, size in sizes.items())


def assemble(how: Combination, blocks: dict[str, str], bindings: str) -> str:
    """Return the text of a scan."""
    return library.kernel("scan").with_blocks(
        {**blocks, "bindings": how.declare + bindings}, how.elem
    )


def declared(lines: Lines, totals: bool) -> str:
    """Return the bindings of a scan; the totals come after the op's own buffers and before the uniforms."""
    e, d = lines.e, lines.printer.d
    text: str = d.bindings(e.bindings(), 0)
    at = len(e.bound()[0])
    if totals:
        text += f"@group(0) @binding({at}) var<storage, read_write> totals: array<elem>;\n"
        at += 1
    if e.words:
        text += f"@group(0) @binding({at}) var<uniform> u: array<vec4<u32>, {-(-e.words // 4)}>;\n"
    return text


def with_totals(k: Kernel, slot: int) -> Kernel:
    """Return a kernel that binds one more buffer, before its uniforms."""
    tail = "u" if k.bindings.endswith("u") else ""
    spans = (*k.spans, None) if k.spans else ()
    bindings = k.bindings.removesuffix("u") + "w" + tail
    return replace(k, bindings=bindings, slots=[*k.slots, slot], spans=spans)


def totals_kernel(
    lines: Lines, how: Combination, extents: tuple[int, int], slots: tuple[int, int], combine: str
) -> Kernel:
    """Return the kernel that scans the totals of the spans."""
    rows, spans = extents
    bindings = (
        "@group(0) @binding(0) var<storage, read> totals: array<elem>;\n"
        "@group(0) @binding(1) var<storage, read_write> before: array<elem>;\n"
    )
    blocks = {
        "dims": dims(rows, spans, SCAN_THREADS * -(-spans // SCAN_THREADS)),
        "load": "fn load(row: u32, i: u32) -> elem { return totals[row * LENGTH + i]; }\n",
        "store": "fn store(row: u32, i: u32, acc: elem) { before[row * LENGTH + i] = acc; }\n",
        "combine": combine,
        "totals": NO_TOTALS,
    }
    source = assemble(how, blocks, bindings)
    own = Kernel(
        f"{lines.n.name} of totals", source, "rw", list(slots), grid_of(rows), (("PASS", 0.0),)
    )
    return replace(own, ops=(lines.n.name,), origins=(lines.n.origin,))


__all__ = ["kernels"]

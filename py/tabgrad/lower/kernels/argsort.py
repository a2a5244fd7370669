"""argsort: short lines by rank; long ones by a bitonic network, digits (`lower/radix.py`), or a routine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.lower import library
from tabgrad.lower.dialect import BOOL, F32, I32, U32, Dialect
from tabgrad.lower.emit import Emitter
from tabgrad.lower.index import text, unflatten, var
from tabgrad.lower.ir import Node, Program
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.line_kernels import LineKernels, emitter, extent, size_functions
from tabgrad.lower.passes import sort_passes
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.record import Record, Scratch, register
from tabgrad.lower.routines import DTYPES, Call, dense, swap
from tabgrad.lower.simplify import apply
from tabgrad.lower.tokens import Size, Word

LONG = 256
"""The longest line that is sorted by rank: by counting the elements that come before each one."""


def _line(e: Emitter, n: Node, count: int) -> None:
    """Compute the rank of an element: the number of elements before it; equal ones keep their order."""
    d = e.d
    axis: Any = n.params["axis"]
    (x,) = n.srcs
    size = x.shape[axis]
    index = unflatten(var("g", count), x.shape)
    mine = e.value(x, index)
    e.line(d.var("rank", U32, "0u"))
    e.line(d.let("own", U32, text(index[axis])))
    e.open(d.loop("t", "0u", f"{Size(size)}", "1u"), "t")
    other = e.value(x, tuple(var("t", size) if i == axis else q for i, q in enumerate(index)))
    e.line(f"if ({_before(n, other, mine)}) {{ rank = rank + 1u; }}")
    e.close()
    rank = e.computed_index("rank", size)
    target = tuple(rank if i == axis else q for i, q in enumerate(index))
    e.store(n, target, d.convert("own", U32, d.compute_type(n.spec.dtype)))


def _before(n: Node, other: str, mine: str) -> str:
    """Write the test whether `other` at t comes before `mine` at `own`; a nan counts as the largest."""
    dtype = n.srcs[0].spec.dtype
    down = bool(n.params["descending"])
    same = f"({other} == {mine})"
    if dtype is dt.bool_:
        less = f"({other} && !{mine})" if down else f"(!{other} && {mine})"
    else:
        less = f"({other} {'>' if down else '<'} {mine})"
    if dtype.is_floating_point:
        a, b = (other, mine) if down else (mine, other)
        less = f"({less} || (is_nan({a}) && !is_nan({b})))"
        same = f"({same} || (is_nan({other}) && is_nan({mine})))"
    return f"{less} || ({same} && t < own)"


def _passes(printer: KernelPrinter, n: Node, scratch: Scratch) -> list[Kernel]:
    """Make the passes of a sort of long lines, in a language with kernel templates."""
    rows, length = extent(n)
    if not printer.d.templates or not rows or length <= LONG:
        return []
    from tabgrad.lower.radix import Network, radix, sort_of  # few programs sort long lines

    lines = LineKernels(printer, n, emitter(printer, n))
    how, blocks = sort_of(n, printer.limits), _blocks(lines)
    if isinstance(how, Network):
        return _bitonic(lines, blocks, how.block)
    return radix(lines, blocks, how, scratch)


def _blocks(lines: LineKernels) -> dict[str, str]:
    """Write how keys are read, and places read and written."""
    n, e, d = lines.n, lines.e, lines.printer.d
    (x,) = n.srcs
    _, length = extent(n)
    kind = d.compute_type(n.spec.dtype)
    place = lines.index(var("place", length))
    i = lines.index(var("i", length))

    def key() -> str:
        return (
            f"return {_sort_key(d, x.spec.dtype, e.value(x, place), bool(n.params['descending']))};"
        )

    def store() -> str:
        e.store(n, i, d.convert("place", U32, kind))
        return ""

    return {
        "load_key": lines.function("load_key(row: u32, place: u32) -> u32", key),
        "store_place": lines.function("store_place(row: u32, i: u32, place: u32)", store),
        "load_place": lines.function(
            "load_place(row: u32, i: u32) -> u32",
            lambda: f"return {d.convert(e.load(n, i, 'w'), kind, U32)};",
        ),
    }


def _bitonic(lines: LineKernels, blocks: dict[str, str], block: int) -> list[Kernel]:
    """Make the passes of a bitonic sort of indices."""
    rows, length = extent(lines.n)
    blocks["dims"] = f"{size_functions(rows=rows, length=length)}const BLOCK = {block}u;\n"
    passes = list(sort_passes(rows, length, block))
    size, stride = "0u", "0u"
    if len(passes) > 1:
        size, stride = f"{Word(0)}", f"{Word(1)}"
    blocks["params"] = (
        f"fn size() -> u32 {{ return {size}; }}\nfn stride() -> u32 {{ return {stride}; }}\n"
    )
    blocks["bindings"] = lines.printer.d.bindings(lines.e.bindings())
    source = library.kernel("sort").with_blocks(blocks)
    made = [(one, lines.kernel(source, one.groups, {"PASS": float(one.step)})) for one in passes]
    return [replace(k, words=one.words if len(passes) > 1 else ()) for one, k in made]


def _sort_key(d: Dialect, dtype: dt.DType, value: str, descending: bool) -> str:
    """Write the unsigned integer that has the order of a value; of small integers the low bits have it."""
    key = {
        F32: f"sort_key_f32({value})",
        I32: f"sort_key_i32({value})",
        U32: value,
        BOOL: f"select(0u, 1u, {value})",
    }[d.compute_type(dtype)]
    if dtype in (dt.int8, dt.int16):
        key = f"({key} + {1 << 8 * dtype.itemsize - 1}u)"
    return f"~{key}" if descending else key


def _routine(p: Program, n: Node) -> tuple[Node, Call] | None:
    """Make the call of a long sort; it sorts a permuted copy along any axis but the last."""
    (x,) = n.srcs
    rows, length = extent(n)
    axis: Any = n.params["axis"]
    if length <= LONG or x.spec.dtype is dt.bfloat16:
        return None
    last = len(x.shape) - 1
    if axis != last:
        dims = (*(i for i in range(last + 1) if i != axis), axis)
        turned = apply(p, "permute", x, dims=dims)
        found = apply(p, "argsort", turned, **{**n.params, "axis": last})
        swap(p, n, apply(p, "permute", found, dims=tuple(dims.index(i) for i in range(last + 1))))
        n = found
    kind, out = (DTYPES.index(s.dtype.name) for s in (x.spec, n.spec))
    words = (kind, rows, length, int(bool(n.params["descending"])), out)
    return n, Call("argsort", (dense(p, n.srcs[0]),), words)


register(
    Record(
        op="argsort",
        threads=lambda n: n.spec.size,
        line=_line,
        passes=_passes,
        routine=_routine,
    )
)

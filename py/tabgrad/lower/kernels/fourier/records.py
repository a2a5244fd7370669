"""The records of the transforms: where elements come from, and where results go."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

from tabgrad.lower.index import Expr, var
from tabgrad.lower.ir import Node, Program
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.kernels.fourier.passes import End, Passes, packed, transformed
from tabgrad.lower.kernels.fourier.sums import length_of, line
from tabgrad.lower.line_kernels import LineKernels
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.record import Record, Scratch, register
from tabgrad.lower.routines import DTYPES, Call, dense


def _passes(printer: KernelPrinter, n: Node, scratch: Scratch) -> list[Kernel]:
    """Make the passes of a transform, in a language with kernel templates."""
    if not printer.d.templates:
        return []
    p = Passes(printer, n, scratch)
    {"fft": _complex, "rfft": _real, "irfft": _hermitian}[n.op.name](p)
    return p.kernels


ONCE, TWICE = 16, 4
"""The most instructions of an operand that is computed where it is read, once or twice."""
SHORT = 32
"""The longest line that is not worth the call of a routine."""
ELEMENT = "fn element(row: u32, i: u32) -> vec2f {"


def _beginning(element: Callable[[LineKernels], str]) -> End:
    """Begin with elements of the source."""

    def text(lines: LineKernels) -> str:
        return lines.function("element(row: u32, i: u32) -> vec2f", lambda: element(lines))

    return End(text)


def _ending(result: Callable[[LineKernels], None]) -> End:
    """End in the op's own buffer."""

    def text(lines: LineKernels) -> str:
        def emit() -> str:
            result(lines)
            return ""

        return lines.function("result(row: u32, o: u32, v: vec2f)", emit)

    return End(text)


def _value(lines: LineKernels, at: Expr) -> str:
    """Write the reading of an element of the source."""
    return lines.e.value(lines.n.srcs[0], lines.index(at))


def _scaled(value: str, scale: Any) -> str:
    return value if scale == 1 else f"{value} * {float(scale)!r}"


def _complex(p: Passes) -> None:
    n, length = p.n, length_of(p.n)
    inverse = bool(n.params["inverse"])

    def element(lines: LineKernels) -> str:
        value = _value(lines, var("i", length))
        return f"return {f'conjugate({value})' if inverse else value};"

    def result(lines: LineKernels) -> None:
        value = _scaled("conjugate(v)" if inverse else "v", n.params["scale"])
        lines.e.store(n, lines.index(var("o", length)), value)

    transformed(p, length, _beginning(element), _ending(result), length)


def _real(p: Passes) -> None:
    n, length = p.n, length_of(p.n)
    wanted = length // 2 + 1

    def result(lines: LineKernels) -> None:
        value = _scaled("v", n.params["scale"])
        if n.params["doubled"]:
            value = f"{value} * select(1.0, 2.0, o > 0u && 2u * o < {length}u)"
        lines.e.store(n, lines.index(var("o", wanted)), value)

    def single(lines: LineKernels) -> str:
        return f"return vec2f({_value(lines, var('i', length))}, 0.0);"

    def pair(lines: LineKernels) -> str:
        i = var("i", length // 2)
        return f"return vec2f({_value(lines, i * 2)}, {_value(lines, i * 2 + 1)});"

    if length % 2:
        transformed(p, length, _beginning(single), _ending(result), wanted)
    else:
        packed(p, length // 2, _beginning(pair), _ending(result))


def _hermitian(p: Passes) -> None:
    n, length, scale = p.n, length_of(p.n), p.n.params["scale"]
    half = length // 2

    def spectrum(lines: LineKernels) -> str:
        """Print the function of an element of the half that is given, whose ends are real."""

        def emit() -> str:
            value = _value(lines, var("k", half + 1))
            ends = f"k == 0u || k == {half}u" if length % 2 == 0 else "k == 0u"
            inner = f"{value} * 0.5" if n.params["halved"] else value
            return f"return select({inner}, vec2f({value}.x, 0.0), {ends});"

        return lines.function("spectrum(row: u32, k: u32) -> vec2f", emit)

    def whole(lines: LineKernels) -> str:
        first = f"if (i <= {half}u) {{ return conjugate(spectrum(row, i)); }}"
        return f"{spectrum(lines)}{ELEMENT} {first} return spectrum(row, {length}u - i); }}\n"

    def pair(lines: LineKernels) -> str:
        """Print the spectrum of pairs, conjugated: that of even elements, plus i times that of odd ones."""
        parts = f"let a = spectrum(row, i); let b = conjugate(spectrum(row, {half}u - i));"
        odd = f"let c = times(a - b, conjugate(unit(i, {length}u)));"
        made = "return vec2f(a.x + b.x - c.y, -(a.y + b.y + c.x));"
        return f"{spectrum(lines)}{ELEMENT} {parts} {odd} {made} }}\n"

    def single(lines: LineKernels) -> None:
        lines.e.store(n, lines.index(var("o", length)), _scaled("v.x", scale))

    def both(lines: LineKernels) -> None:
        o = var("o", half)
        lines.e.store(n, lines.index(o * 2), _scaled("v.x", scale))
        lines.e.store(n, lines.index(o * 2 + 1), _scaled("-v.y", scale))

    if length % 2:
        transformed(p, length, End(whole), _ending(single), length)
    else:
        transformed(p, half, End(pair), _ending(both), half)


def _routine(p: Program, n: Node) -> tuple[Node, Call] | None:
    """Make the call of a host's transform of lines that are not short."""
    (x,), length = n.srcs, length_of(n)
    if length <= SHORT:
        return None
    axis: Any = n.params["axis"]
    scale: Any = n.params["scale"]
    real = x if n.name == "rfft" else n
    outer, inner = math.prod(n.shape[:axis]), math.prod(n.shape[axis + 1 :])
    flag = any(n.params.get(k) for k in ("inverse", "doubled", "halved"))
    number = struct.unpack("<II", struct.pack("<d", scale))
    words = (DTYPES.index(real.spec.dtype.name), outer, length, inner, int(flag), *number)
    return n, Call(n.name, (dense(p, x),), words)


def _record(op: str, buried: int) -> Record:
    return Record(
        op=op,
        threads=lambda n: n.spec.size,
        line=line,
        passes=_passes,
        routine=_routine,
        buried=buried,
    )


register(_record("fft", ONCE), _record("irfft", TWICE), _record("rfft", ONCE))

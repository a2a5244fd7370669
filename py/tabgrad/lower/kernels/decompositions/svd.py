"""svd: the columns of a matrix are turned until they are orthogonal; their lengths are the singular values.

The vectors on the right are the product of the turns. Those on the left are the q of the turned columns, which
is orthonormal even where singular values are zero. A tall matrix is replaced by its r first.
"""

from __future__ import annotations

import math

from tabgrad.core import dtype as dt
from tabgrad.lower.emit import Emitter, Index
from tabgrad.lower.index import ZERO, var
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.kernels.decompositions import qr
from tabgrad.lower.kernels.decompositions.rotations import Sweeps, order, straighten
from tabgrad.lower.kernels.decompositions.steps import NB, Steps, without_templates
from tabgrad.lower.matrices import Matrices, value_of
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.record import Record, Scratch, register
from tabgrad.lower.tokens import Size

TALL = 2
"""A matrix with this many times more rows than columns is factored before it is turned."""


def _passes(printer: KernelPrinter, n: Node, scratch: Scratch) -> list[Kernel]:
    """Make the dispatches that find singular values and vectors; a wide matrix is turned on its side."""
    steps = Steps(printer, n, scratch)
    (x,) = n.srcs
    rows, columns = x.shape[-2:]
    k = min(rows, columns)
    kind = steps.dtype
    u, v = steps.result(0, rows, k, kind), steps.result(2, k, columns, kind).mT
    s = steps.result(1, k, 1)
    wide = rows < columns
    a = steps.scratch(max(rows, columns), k, kind)

    def stood(e: Emitter, index: Index) -> str:
        found = value_of(e, x, index)
        return f"conj_c64({found})" if wide and kind.is_complex else found

    steps.fill(stood, a.mT if wide else a)
    scale = _scaled(steps, a)
    if k > steps.words(NB) or (a.rows >= TALL * k and a.rows > steps.words(qr.HELD)):
        tau, top = steps.scratch(k, 1, kind), steps.scratch(k, k, kind)
        found = qr.reduce(steps, a, tau)
        qr.upper(steps, a, top)
        # the columns of the transpose of r are nearer to orthogonal ones: sides change places
        values, left, turns, failed = _square(steps, top.mH)
        first, right = (steps.scratch(a.rows, k, kind) for _ in range(2))
        qr.orthogonal(steps, found, first)
        steps.multiply(right, first, turns)
        if k > qr.MANY:
            askew, right = right, first
            straighten(steps, askew, right)
        wide = not wide
    else:
        values, left, right, failed = _square(steps, a)
    _finish(steps, (values, scale, failed), left, right, (u, s, v), wide)
    return steps.made


def _scaled(steps: Steps, a: Matrices) -> Matrices:
    """Multiply matrices by the power of two that brings their elements to 1, so that no square overflows."""
    most, scale = steps.scratch(a.columns, 1), steps.scratch(1, 1)

    def largest(e: Emitter, index: Index, m: Matrices) -> str:
        b, j, _ = index
        e.line(e.d.var("most", "f32", "0.0f"))
        e.open(e.d.loop("t", "0u", f"{Size(m.rows)}", "1u"), "t")
        found = m.load(e, (b, var("t", m.rows), j))
        if m.dtype.is_complex:
            e.line(f"let part = abs({found});")
            e.line("most = max(most, max(part.x, part.y));")
        else:
            e.line(f"most = max(most, abs({found}));")
        e.close()
        return "most"

    def power(e: Emitter, index: Index) -> str:
        bits = f"(bitcast<u32>({largest(e, index, most)}) >> 23u)"
        usual = f"{bits} > 0u && {bits} < 255u"
        return f"select(1.0f, bitcast<f32>(max(254u - min({bits}, 254u), 1u) << 23u), {usual})"

    steps.fill(lambda e, index: largest(e, index, a), most)
    steps.fill(power, scale)
    steps.fill(lambda e, i: f"{a.load(e, i)} * {scale.load(e, (i[0], ZERO, ZERO))}", a)
    return scale


Left = tuple[Matrices, Matrices]
"""Vectors on the left, and the matrices whose diagonals have the signs of the values."""


def _square(steps: Steps, a: Matrices) -> tuple[Matrices, Left, Matrices, Matrices]:
    """Add the dispatches for matrices that are scaled; return values, vectors, and where there are none."""
    m, n = a.rows, a.columns
    x = steps.scratch(m + n, n, a.dtype)
    top, turns = x.part(0, m, 0, n), x.below(m, 0)
    steps.fill(lambda e, index: a.load(e, index), top)
    steps.identity(turns)
    failed = Sweeps(steps, n).run(x, None, m)
    if n > steps.words(NB):
        # what was rounded in many turns is left out: the columns are those of a v again
        turned, x = turns, steps.scratch(m + n, n, a.dtype)
        top, turns = x.part(0, m, 0, n), x.below(m, 0)
        straighten(steps, turned, turns)
        steps.multiply(top, a, turns)
    lengths, values = steps.scratch(n, 1), steps.scratch(n, 1)
    sorted_ = steps.scratch(m + n, n, a.dtype)
    steps.reduce(lengths, top, top, "sqrt(sum)")
    order(steps, lengths, x, failed, (values, sorted_), descending=True)
    columns = sorted_.part(0, m, 0, n)
    q, tau = steps.scratch(m, n, a.dtype), steps.scratch(n, 1, a.dtype)
    if m <= steps.words(qr.HELD) and n <= NB:
        r = steps.scratch(n, n, a.dtype)
        qr.small(steps, columns, tau, {"q": q, "r": r})
    else:
        r = columns
        qr.orthogonal(steps, qr.reduce(steps, columns, tau), q)
    return values, (q, r), sorted_.below(m, 0), failed


def _finish(
    steps: Steps, of: tuple[Matrices, Matrices, Matrices], left: Left, right: Matrices,
    out: tuple[Matrices, Matrices, Matrices], wide: bool,
) -> None:  # fmt: skip
    """Add the dispatches that choose the signs, scale the values back, and write nan where it failed."""
    (values, scale, failed), (q, r), (u, s, v) = of, left, out
    if wide:
        u, v = v, u
    kind = steps.dtype
    signs = steps.scratch(s.rows, 1, kind)
    chosen = right if wide else q
    steps.fill(lambda e, index: (_phase if kind.is_complex else _sign)(e, index, chosen), signs)

    def checked(e: Emitter, index: Index, value: str, dtype: dt.DType = kind) -> str:
        bad = f"({failed.load(e, (index[0], ZERO, ZERO))} != 0)"
        return e.d.choose(bad, e.d.literal(math.nan, e.d.compute_type(dtype)), value)

    def signed(e: Emitter, index: Index, m: Matrices, other: bool) -> str:
        b, _, j = index
        found, sign = m.load(e, index), signs.load(e, (b, j, ZERO))
        on_r = r.load(e, (b, j, j))
        if kind.is_complex:
            found, on_r = f"mul_c64({found}, {sign})", f"({on_r}).x"
            # v is written as its adjoint
            value = f"conj_c64({found})" if other else found
        else:
            value = f"{found} * {sign}"
        if other:
            value += f" * {e.d.choose(f'{on_r} < 0.0', '-1.0f', '1.0f')}"
        return checked(e, index, value)

    steps.fill(lambda e, index: signed(e, index, q, wide), u)
    steps.fill(lambda e, index: signed(e, index, right, not wide), v)

    def unscaled(e: Emitter, index: Index) -> str:
        factor = scale.load(e, (index[0], ZERO, ZERO))
        return checked(e, index, f"{values.load(e, index)} / {factor}", dt.float32)

    steps.fill(unscaled, s)


def _along_column(e: Emitter, index: Index, m: Matrices, line: str) -> None:
    """Write a loop over the elements of column `j`, with `line` for each, in which {0} is the element."""
    b, j, _ = index
    e.open(e.d.loop("t", "0u", f"{Size(m.rows)}", "1u"), "t")
    e.line(line.format(m.load(e, (b, var("t", m.rows), j))))
    e.close()


def _sign(e: Emitter, index: Index, m: Matrices) -> str:
    """Write the sign that makes the first large element of column `j` positive."""
    d = e.d
    e.line(d.var("most", "f32", "0.0f"))
    e.line(d.var("sign", "f32", "0.0f"))
    _along_column(e, index, m, "most = max(most, abs({0}));")
    first = (
        "if (sign == 0.0 && abs({0}) >= 0.98 * most) {{ sign = select(1.0f, -1.0f, {0} < 0.0); }}"
    )
    _along_column(e, index, m, first)
    return "select(sign, 1.0f, sign == 0.0)"


def _phase(e: Emitter, index: Index, m: Matrices) -> str:
    """Write the number that makes the first large element of column `j` real and positive."""
    d = e.d
    e.line(d.var("most", "f32", "0.0f"))
    e.line(d.var("found", d.compute_type(m.dtype), "vec2f()"))
    _along_column(e, index, m, "most = max(most, abs_c64({0}));")
    first = (
        "if (found.x == 0.0 && found.y == 0.0 && abs_c64({0}) >= 0.98 * most) {{ found = {0}; }}"
    )
    _along_column(e, index, m, first)
    length = "max(abs_c64(found), 0x1p-126f)"
    return f"select(vec2f(1.0, 0.0), conj_c64(found) / {length}, most >= 0x1p-126f)"


register(Record(op="svd", passes=_passes, refusal=without_templates))

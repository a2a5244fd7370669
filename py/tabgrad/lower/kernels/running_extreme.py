"""running_extreme: the index of the extreme so far along a line."""

from __future__ import annotations

from tabgrad.core import dtype as dt
from tabgrad.lower.dialect import BOOL, F32, U32
from tabgrad.lower.emit import Emitter
from tabgrad.lower.ir import Node
from tabgrad.lower.kernels.scan import Combination, scan
from tabgrad.lower.line_kernels import LineKernels, walk
from tabgrad.lower.record import register


def _line(e: Emitter, n: Node, count: int) -> None:
    """Compute the index of the extreme so far: the latest of ties; a nan stays the extreme."""
    d = e.d
    (x,) = n.srcs
    kind = d.compute_type(x.spec.dtype)
    sign = "<=" if n.params["least"] else ">="
    e.line(d.var("best", kind, d.literal(0, kind)))
    e.line(d.var("place", U32, "0u"))
    at = walk(e, n)
    value = e.value(x, at)
    if x.spec.dtype is dt.bool_:
        wins = f"(!{value} || best)" if n.params["least"] else f"({value} || !best)"
    else:
        wins = f"{value} {sign} best"
    if x.spec.dtype.is_floating_point:
        wins += f" || is_nan({value})"
    e.line(f"if (t == 0u || {wins}) {{ best = {value}; place = t; }}")
    e.store(n, at, d.convert("place", U32, d.compute_type(n.spec.dtype)))
    e.close()


def _best(lines: LineKernels) -> Combination:
    d, n, kind = lines.printer.d, lines.n, lines.kind()
    stored = U32 if kind == BOOL else kind
    sign = "<=" if n.params["least"] else ">="
    nans = (
        "if (is_nan(b.best)) { return b; }\n  if (is_nan(a.best)) { return a; }\n  "
        if kind == F32
        else ""
    )
    return Combination(
        elem="Best",
        nbytes=8,
        identity=f"elem({lines.zero()}, 0xffffffffu)",
        combine="if (a.place == 0xffffffffu) { return b; }\n  if (b.place == 0xffffffffu) { return a; }\n  "
        f"{nans}if (b.best {sign} a.best) {{ return b; }}\n  return a;",
        load=lambda v: f"elem({f'select(0u, 1u, {v[0]})' if kind == BOOL else v[0]}, i)",
        result=d.convert("acc.place", U32, d.compute_type(n.spec.dtype)),
        declare=f"struct Best {{ best: {stored}, place: u32 }}\n",
    )


register(scan("running_extreme", _best, _line, adds_up=False))

"""A transform as sums, an element a thread: for languages without kernel templates."""

from __future__ import annotations

import math
from typing import Any

from tabgrad.lower.dialect import PARTS, U32
from tabgrad.lower.emit import Emitter
from tabgrad.lower.index import text, unflatten, var
from tabgrad.lower.ir import Node
from tabgrad.lower.tokens import Size


def length_of(n: Node) -> int:
    """Return how many elements a transform is of, the whole spectrum of a half one."""
    axis: Any = n.params["axis"]
    return n.shape[axis] if n.op.name == "irfft" else n.srcs[0].shape[axis]


def line(e: Emitter, n: Node, count: int) -> None:
    """Add up the terms of element `g`; the angles are reduced to half a circle in integers."""
    d, (x,), length = e.d, n.srcs, length_of(n)
    axis: Any = n.params["axis"]
    kind = d.compute_type(n.spec.dtype)
    real = PARTS.get(kind, kind)
    index = unflatten(var("g", count), n.shape)
    e.line(d.let("k", U32, text(index[axis])))
    e.line(d.var("acc", kind, d.literal(0, kind)))
    e.line(d.var("m", U32, "0u"))
    size = x.shape[axis]
    e.open(d.loop("t", "0u", f"{Size(size)}", "1u"), "t")
    value = e.value(x, tuple(var("t", size) if i == axis else q for i, q in enumerate(index)))
    part = d.literal(2 * math.pi / length, real)
    left = d.convert(f"({Size(length)} - m)", U32, real)
    near = d.choose(f"2u * m > {Size(length)}", f"-{left}", d.convert("m", U32, real))
    angle = e.let(real, f"{near} * {part}")
    c, s = e.let(real, f"cos_{real}({angle})"), e.let(real, f"sin_{real}({angle})")
    e.line(f"acc = acc + {term(n, kind, value, c, s)};")
    e.line(f"m = m + k; if (m >= {Size(length)}) {{ m = m - {Size(length)}; }}")
    e.close()
    e.store(n, index, scaled(n, kind, real, d.literal(n.params["scale"], real)))


def term(n: Node, kind: str, value: str, c: str, s: str) -> str:
    """Write a term, given the cosine and sine of its angle."""
    if n.op.name == "irfft":
        twice = "1" if n.params["halved"] else "2"
        ends = f"t == 0u || 2u * t == {Size(length_of(n))}"
        return f"(({ends}) ? {value}.x * {c} : {twice} * ({value}.x * {c} - {value}.y * {s}))"
    if n.op.name == "rfft":
        return f"{kind}_of({value} * {c}, -({value} * {s}))"
    return f"mul_{kind}({value}, {kind}_of({c}, {'' if n.params['inverse'] else '-'}{s}))"


def scaled(n: Node, kind: str, real: str, scale: str) -> str:
    """Write the sum times the scale."""
    if n.op.name == "irfft":
        return f"acc * {scale}"
    twice = ""
    if n.op.name == "rfft" and n.params["doubled"]:
        twice = f" * ((k > 0u && 2u * k < {Size(length_of(n))}) ? 2 : 1)"
    return f"{kind}_of(acc.x * {scale}{twice}, acc.y * {scale}{twice})"

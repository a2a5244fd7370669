"""as_real and as_complex: a complex number and its two parts, read where they are needed."""

from __future__ import annotations

from tabgrad.lower.emit import Emitter
from tabgrad.lower.index import const
from tabgrad.lower.ir import Node
from tabgrad.lower.record import Index, Record, register


def _real(e: Emitter, n: Node, index: Index, kind: str) -> str:
    value = e.value(n.srcs[0], index[:-1])
    place = e.simple(index[-1])
    if not place.terms:
        return e.let(kind, f"{value}.{'xy'[place.const]}")
    return e.let(kind, e.d.choose(f"({e.at(place)}) == 0u", f"{value}.x", f"{value}.y"))


def _parts(n: Node, index: Index) -> list[tuple[Node, Index]]:
    return [(n.srcs[0], (*index, const(k))) for k in (0, 1)]


def _complex(e: Emitter, n: Node, index: Index, kind: str) -> str:
    parts = [e.value(s, at) for s, at in _parts(n, index)]
    return e.let(kind, e.d.pair(*parts))


register(
    Record(
        op="as_real",
        heavy=lambda n: False,
        weight=1,
        sources=lambda n, index: [(n.srcs[0], index[:-1])],
        element=_real,
    ),
    Record(op="as_complex", heavy=lambda n: False, weight=1, sources=_parts, element=_complex),
)

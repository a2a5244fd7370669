"""cat: few pieces are chosen between at each read, many pieces are written side by side."""

from __future__ import annotations

from typing import Any

from tabgrad.lower.emit import Emitter
from tabgrad.lower.index import condition
from tabgrad.lower.ir import Node
from tabgrad.lower.record import Index, Record, register
from tabgrad.lower.simplify import SMALL


def _sources(n: Node, index: Index) -> list[tuple[Node, Index]]:
    axis: Any = n.params["axis"]
    out, start = [], 0
    for s in n.srcs:
        out.append((s, tuple(e - start if i == axis else e for i, e in enumerate(index))))
        start += s.shape[axis]
    return out


def _element(e: Emitter, n: Node, index: Index, kind: str) -> str:
    axis: Any = n.params["axis"]
    name = e.name()
    e.line(e.d.var(name, kind, e.d.literal(0, kind)))
    for s, inner in _sources(n, index):
        test = condition(e.simple(inner[axis]), 0, s.shape[axis])
        if test is False:
            continue
        e.open("{" if test is True else f"if ({test}) {{", guarded=True)
        e.line(f"{name} = {e.value(s, inner)};")
        e.close()
    return name


register(
    Record(
        op="cat",
        heavy=lambda n: len(n.srcs) > SMALL or n.srcs[0].rows is not None,
        weight=2,
        blocks=True,
        sources=_sources,
        element=_element,
        pieces=True,
    )
)

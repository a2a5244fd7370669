"""checked: an index, counted from the front; an index out of range is noted in the buffer of errors."""

from __future__ import annotations

from tabgrad.lower import checks
from tabgrad.lower.emit import Emitter
from tabgrad.lower.ir import Node
from tabgrad.lower.record import Index, Record, register


def _element(e: Emitter, n: Node, index: Index, kind: str) -> str:
    return checks.emit(e, n, e.value(n.srcs[0], index), kind)


register(
    Record(
        op="checked",
        heavy=lambda n: False,
        checks=True,
        sources=lambda n, index: [(s, index) for s in n.srcs],
        element=_element,
    )
)

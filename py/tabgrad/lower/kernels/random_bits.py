"""random_bits: a word for each element, computed from a key, the number of the call, and the index."""

from __future__ import annotations

from tabgrad.lower.emit import Emitter
from tabgrad.lower.index import flatten
from tabgrad.lower.ir import Node
from tabgrad.lower.record import Index, Record, register


def _element(e: Emitter, n: Node, index: Index, kind: str) -> str:
    key, call = (e.value(s, ()) for s in n.srcs)
    at = flatten(index, n.shape)
    place = e.at(at)
    if not at.terms:
        # LLVM may never finish compiling branches on a random number that all threads share: a zero
        # of unknown value makes it a number of each thread.
        place += f" + ({e.d.lane} & {e.number(0)})"
    return e.let(kind, f"random_bits({key}, {call}, {place})")


register(
    Record(
        op="random_bits",
        heavy=lambda n: False,
        weight=8,
        alone=lambda n: n.spec.size == 1,
        sources=lambda n, index: [(s, ()) for s in n.srcs],
        element=_element,
    )
)

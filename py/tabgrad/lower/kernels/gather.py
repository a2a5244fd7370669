"""gather: the elements at an index, read where they are needed."""

from __future__ import annotations

from typing import Any

from tabgrad.lower.dialect import U32
from tabgrad.lower.emit import Emitter
from tabgrad.lower.index import ZERO, text, var
from tabgrad.lower.ir import Node
from tabgrad.lower.record import CHEAP, Index, Record, register
from tabgrad.lower.tokens import Size


def _sources(n: Node, index: Index) -> list[tuple[Node, Index]]:
    axis: Any = n.params["axis"]
    x, at = n.srcs
    opaque = var(f"at{n.id}_{hash(index)}", x.shape[axis])
    return [(at, index), (x, tuple(opaque if i == axis else e for i, e in enumerate(index)))]


def _element(e: Emitter, n: Node, index: Index, kind: str) -> str:
    axis: Any = n.params["axis"]
    x, where = n.srcs
    at = e.value(where, index)
    size = x.shape[axis]
    place = e.computed_index(e.d.convert(at, e.d.compute_type(where.spec.dtype), U32), size)
    # along an axis of one element the others are where `_sources` says: a value of the same kernel
    inner = tuple((place if size > 1 else ZERO) if i == axis else q for i, q in enumerate(index))
    test = f"{text(place)} < {Size(size)}"
    if not e.d.robust:
        return e.guarded(test, x, inner, kind)
    # Not `if`: if one index serves all threads, LLVM may never finish compiling a branch in a loop that
    # depends on a random number.
    return e.let(kind, e.d.choose(test, e.value(x, inner), e.d.literal(0, kind)))


register(
    Record(
        op="gather",
        heavy=lambda n: False,
        weight=1,
        blocks=True,
        buried=CHEAP,
        sources=_sources,
        element=_element,
    )
)

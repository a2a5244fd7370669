"""A toy op whose two results differ in shape: half a vector, and the vector times 0, 1, 2, ..."""

from __future__ import annotations

from typing import Any

import numpy as np

import tabgrad as tg
from tabgrad.core.dtype import float32
from tabgrad.core.op import REGISTRY
from tabgrad.core.several import several
from tabgrad.core.spec import spec
from tabgrad.lower.dialect import F32, U32
from tabgrad.lower.index import var
from tabgrad.lower.record import RECORDS, Record, register, results
from tabgrad.lower.tokens import Size


def declare() -> Any:
    """Declare the op and register how it is lowered; return it."""
    register(Record(op="outer2", threads=lambda n: n.spec.size, line=line))

    @several(
        results=2,
        infer=lambda x, *, size: (x, spec((*x.shape, size), float32)),
        derivative=None,
        batching=lambda n, args, dims, *, size: outer2.bind(tg.movedim(args[0], dims[0], 0), size=size),
        samples=lambda: iter([(((3,),), {"size": 4})]),
    )  # fmt: skip
    def outer2(x, *, size):
        """Return x / 2, and x times 0 to size - 1."""
        return x / 2, x[..., None] * np.arange(size, dtype="float32")

    return outer2


def forget() -> None:
    """Take the op out of the registry again."""
    for name in ("outer2", "outer2.0", "outer2.1"):
        del REGISTRY.ops[name]
    del RECORDS["outer2"]


def line(e: Any, n: Any, count: int) -> None:
    """One thread makes one half, and one row."""
    (x,) = n.srcs
    at = (var("g", count),)
    value = e.value(x, at)
    half, outer = results(e, n)
    if half is not None:
        e.store(half, at, f"{value} / 2.0f")
    if outer is not None:
        size = outer.shape[-1]
        e.open(e.d.loop("t", "0u", f"{Size(size)}", "1u"), "t")
        e.store(outer, (*at, var("t", size)), f"{value} * {e.d.convert('t', U32, F32)}")
        e.close()

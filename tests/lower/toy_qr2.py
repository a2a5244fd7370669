"""A toy op with two results, a declaration and a record: the QR factors of 2 × 2 matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

import tabgrad as tg
from tabgrad.core.families import to_front
from tabgrad.core.op import REGISTRY
from tabgrad.core.several import several
from tabgrad.core.shape import size
from tabgrad.lower.index import const, unflatten, var
from tabgrad.lower.record import RECORDS, Record, register, results


def inverse(r: Any) -> Any:
    """Return the inverse of upper triangular matrices [..., 2, 2]."""
    a, b, d = r[..., 0, 0], r[..., 0, 1], r[..., 1, 1]
    rows = [[1 / a, -b / (a * d)], [b * 0, 1 / d]]
    return tg.stack([tg.stack(row, -1) for row in rows], -2)


def derivative(primals: Any, tangents: Any, ys: Any) -> Any:
    """X = Qᵀ dA R⁻¹; its strictly lower part tells how Q turns."""
    (da,), (q, r) = tangents, ys
    x = q.mT @ da @ inverse(r)
    low = x.tril(-1)
    turn = low - low.mT
    return q @ turn, (x - turn) @ r


def declare() -> Any:
    """Declare the op and register how it is lowered; return it."""
    register(Record(op="qr2", threads=lambda n: size(n.shape[:-2]), line=line))

    @several(
        results=2,
        infer=lambda x: (x, x),
        derivative=derivative,
        batching=lambda n, args, dims: qr2.bind(to_front(args[0], dims[0], n)),
        samples=lambda: iter([(((3, 2, 2),), {}), (((2, 2),), {})]),
    )
    def qr2(x):
        """Return Q and R of matrices [..., 2, 2]."""
        a, b, c, d = x[..., 0, 0], x[..., 0, 1], x[..., 1, 0], x[..., 1, 1]
        s = np.hypot(a, c)
        q = np.stack([np.stack([a / s, -c / s], -1), np.stack([c / s, a / s], -1)], -2)
        corner, last = (a * b + c * d) / s, (a * d - b * c) / s
        return q, np.stack([np.stack([s, corner], -1), np.stack([0 * s, last], -1)], -2)

    return qr2


def forget() -> None:
    """Take the op out of the registry again: the tests of all ops are not for a toy."""
    for name in ("qr2", "qr2.0", "qr2.1"):
        del REGISTRY.ops[name]
    del RECORDS["qr2"]


def line(e: Any, n: Any, count: int) -> None:
    """One thread factors one matrix."""
    (x,) = n.srcs
    lead = unflatten(var("g", count), x.shape[:-2])
    at = {(i, j): (*lead, const(i), const(j)) for i in (0, 1) for j in (0, 1)}
    a, b, c, d = (e.value(x, at[k]) for k in ((0, 0), (0, 1), (1, 0), (1, 1)))
    s = e.let("f32", f"sqrt({a} * {a} + {c} * {c})")
    q, r = results(e, n)
    made = {
        q: (f"{a} / {s}", f"-{c} / {s}", f"{c} / {s}", f"{a} / {s}"),
        r: (
            s,
            f"({a} * {b} + {c} * {d}) / {s}",
            e.d.literal(0, "f32"),
            f"({a} * {d} - {b} * {c}) / {s}",
        ),
    }
    for y, texts in made.items():
        if y is not None:
            for k, text in zip(at, texts, strict=True):
                e.store(y, at[k], text)

"""matmul: products that a host's library computes; the printer makes the kernels of the others."""

from __future__ import annotations

import math
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.lower.group import operand_index, product_dims
from tabgrad.lower.index import var
from tabgrad.lower.ir import FULL, Node, Program
from tabgrad.lower.limits import EPILOGUE
from tabgrad.lower.record import Record, register
from tabgrad.lower.routines import DTYPES, Call, bottom, copied

DTYPED = (dt.float16, dt.bfloat16, dt.float32, dt.float64, dt.complex64, dt.complex128)
LARGE = 1 << 18
"""Products of fewer multiplications are printed: such a kernel includes their epilogue."""


FEW = 128
"""The most steps of a product that tensor cores compute in a kernel though the host has a routine."""


def _printed(p: Program, n: Node, limits: Any) -> bool:
    """Test whether a product is better printed, for tensor cores, than computed by the host's library.

    That is assumed of few steps, whose time goes into reading and writing, if the results need not be read
    again by what follows, or an operand need not be copied to lie as the library wants it.
    """
    if not limits.tensor_cores or product_dims(n)[3] > FEW:
        return False
    from tabgrad.lower import epilogues
    from tabgrad.lower.tensor_cores import suits

    batch, *sizes = product_dims(n)
    if batch == 1 and epilogues.suits(n, sizes, limits) and epilogues.followed(p, n, limits):
        return False
    followed = any(u.family == "elementwise" for u in n.users)
    return (
        followed
        or any(x.family == "view" and _matrix(n, x, s) is None for s, x in enumerate(n.srcs))
    ) and suits(n, limits)


def _joined(p: Program, n: Node, call: Call, limits: Any) -> tuple[Call, Node | None]:
    """Let the library do more in the same call, if the host has a routine for that."""
    if EPILOGUE not in limits.routines:
        return call, None
    from tabgrad.lower.epilogues import joined

    return joined(p, n, call, limits)


def _routine(p: Program, n: Node) -> tuple[Node, Call] | None:
    """Make the call of a product, if it is large and its operands are stored or can be copied."""
    batch, rows, columns, inner = product_dims(n)
    if n.spec.dtype not in DTYPED or batch * rows * columns * inner < LARGE:
        return None
    found = [_matrix(n, x, side) for side, x in enumerate(n.srcs)]
    for x, place in zip(n.srcs, found, strict=True):
        if place is None and x.spec.size > _looked_at(x):
            return None
    places = [
        place or (copied(p, x), 0, math.prod(x.shape[-2:]) if batch > 1 else 0)
        for x, place in zip(n.srcs, found, strict=True)
    ]
    (left, flip_left, left_step), (right, flip_right, right_step) = places
    kind, flags = DTYPES.index(n.spec.dtype.name), flip_left | flip_right << 1
    words = (kind, batch, rows, columns, inner, flags, left_step, right_step)
    return n, Call("matmul", (left, right), words)


def _matrix(n: Node, x: Node, side: int) -> tuple[Node, int, int] | None:
    """Find (buffer, whether it is stored transposed, elements between matrices) of an operand."""
    batch, rows, columns, inner = product_dims(n)
    found = bottom(x, operand_index(n, side == 1))
    if found is None:
        return None
    base, place = found
    k, b = var("k", inner), var("b", batch)
    i, size = (var("j", columns), columns) if side else (var("i", rows), rows)
    for flip in (0, 1):
        # The left operand is stored (i, k) and the right one (k, j), unless they are flipped.
        inside = i * inner + k if flip == side else k * size + i
        rest = place - inside
        if rest == 0:
            return base, flip, 0
        step = rest.terms[0][1] if rest.terms else 0
        if step > 0 and rest == b * step:
            return base, flip, step
    return None


def _looked_at(n: Node) -> int:
    """Count the elements under a chain of views."""
    while n.family == "view":
        n = n.srcs[0]
    return 0 if n.op is FULL else n.spec.size


register(Record(op="matmul", routine=_routine, printed=_printed, joined=_joined))

"""The derivatives of decompositions, written with ops of matrices.

Where eigenvalues or singular values coincide but for rounding, their vectors are any basis of one space. The
rules take them as not turning among themselves there: finite, and right for a loss that depends on the space
alone. What a loss does with the choice of these vectors has no derivative, and counts as nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.families import conjugate
from tabgrad.core.op import REGISTRY
from tabgrad.core.promotion import accumulate
from tabgrad.core.trace import MODE
from tabgrad.ops.elementwise import (
    abs_,
    add,
    cast,
    mul,
    neg,
    sqrt,
    square,
    stop_gradient,
    sub,
    where,
)  # fmt: skip
from tabgrad.ops.indexing import cat, gather, iota
from tabgrad.ops.linalg import matmul, transposed
from tabgrad.ops.reduction import reduce_sum
from tabgrad.ops.rounding import eq, ge, le, lt
from tabgrad.ops.view import expand, part, reshape

if TYPE_CHECKING:
    from tabgrad.core.op import Needs, Operands, Tangents
    from tabgrad.tensor import Tensor

EPSILON = {4: 2.0**-23, 8: 2.0**-52}
"""The distance of 1 to the next number, by the bytes of a real number."""
GAP = 8.0
"""Values count as one within this times √n roundings of the largest."""
PHASE = 1e-2
"""How much a loss may depend on what a vector does not determine."""


# -- matrices --------------------------------------------------------------------------------------


def adjoint(x: Tensor) -> Tensor:
    """Return the conjugate transposes."""
    return conjugate(transposed(x))


def _kept(x: Tensor, keep: Callable[[Any, Any], Tensor], offset: int) -> Any:
    """Return `x` where keep(column, row + offset), and zeros elsewhere."""
    m, n = x.spec.shape[-2:]
    kind = x.device.index_dtype
    row = reshape.bind(iota(m, kind, x.device), shape=(m, 1))
    return where(keep(iota(n, kind, x.device), add(row, offset)), x, 0)


def lower(x: Tensor, offset: int = 0) -> Tensor:
    """Return the lower triangles, up to diagonal `offset`."""
    found: Tensor = _kept(x, le, offset)
    return found


def upper(x: Tensor, offset: int = 0) -> Tensor:
    """Return the upper triangles, from diagonal `offset` on."""
    found: Tensor = _kept(x, ge, offset)
    return found


def _half(x: Tensor) -> Any:
    """Return the lower triangles with half of the diagonal: half(x) + half(x)ᴴ is Hermitian."""
    return add(_kept(x, lt, 0), mul(_kept(x, eq, 0), 0.5))


def diagonal(x: Tensor) -> Any:
    """Return the diagonals of square matrices."""
    return reduce_sum.bind(_kept(x, eq, 0), axes=(len(x.spec.shape) - 1,))


def on_diagonal(x: Tensor) -> Any:
    """Return the matrices that have the lines of `x` as their diagonals."""
    n = x.spec.shape[-1]
    return _kept(expand.bind(row(x), shape=(*x.spec.shape, n)), eq, 0)


def row(x: Tensor) -> Tensor:
    """Return the lines of `x` as matrices of one row, whose elements are factors of columns."""
    return reshape.bind(x, shape=(*x.spec.shape[:-1], 1, x.spec.shape[-1]))


def column(x: Tensor) -> Tensor:
    """Return the lines of `x` as matrices of one column."""
    return reshape.bind(x, shape=(*x.spec.shape, 1))


def _real(x: Tensor) -> Tensor:
    return cast.bind(x, dtype=dt.real_of(x.spec.dtype)) if x.spec.dtype.is_complex else x


def as_dtype(x: Tensor, dtype: dt.DType) -> Tensor:
    """Return `x` in a dtype that holds its values."""
    return x if x.spec.dtype is dtype else cast.bind(x, dtype=dtype)


def length(x: Tensor) -> Any:
    """Return absolute values, as constants."""
    x = stop_gradient.bind(x)
    if not x.spec.dtype.is_complex:
        return abs_(x)
    return sqrt(add(square(_real(x)), square(_real(mul(x, -1j)))))


def readable(x: Tensor) -> bool:
    """Test whether the value of `x` is there, so that it may decide what is done."""
    return x.owner is None and x.device.type == "cpu" and MODE.get().capture is None


def rows(x: Tensor, start: int, stop: int) -> Tensor:
    """Return some rows of matrices."""
    return part(x, len(x.spec.shape) - 2, start, stop)


def columns(x: Tensor, start: int, stop: int) -> Tensor:
    """Return some columns of matrices."""
    return part(x, len(x.spec.shape) - 1, start, stop)


def solve_left(a: Tensor, b: Tensor, *, upper: bool, unit: bool = False) -> Tensor:
    """Solve a x = b with a triangle of `a`."""
    found: Tensor = REGISTRY["triangular_solve"].bind(a, b, upper=upper, unit=unit)
    return found


def solve_right(a: Tensor, b: Tensor, *, upper: bool, unit: bool = False) -> Tensor:
    """Solve x a = b with a triangle of `a`."""
    return transposed(solve_left(transposed(a), transposed(b), upper=not upper, unit=unit))


def permuted(x: Tensor, order: Tensor) -> Tensor:
    """Return the rows of `x` in an order, one for each matrix."""
    shape = x.spec.shape
    index = expand.bind(column(order), shape=(*order.spec.shape, shape[-1]))
    return gather.bind(x, index, axis=len(shape) - 2)


def solve_general(a: Tensor, b: Tensor) -> Tensor:
    """Solve a x = b with square matrices."""
    packed, pivots, _ = REGISTRY["lu"].bind(a)
    order = REGISTRY["lu_permutation"].bind(pivots, rows=a.spec.shape[-1])
    found = solve_left(packed, permuted(b, order), upper=False, unit=True)
    return solve_left(packed, found, upper=True)


# -- Cholesky, triangles, LU, QR -------------------------------------------------------------------


def cholesky(primals: Operands, tangents: Tangents, ys: Any) -> Any:
    """dL = L half(L⁻¹ dA L⁻ᴴ); of dA the lower triangle is read, as of A."""
    (da,), (low, _) = tangents, ys
    assert da is not None
    change = _half(da)
    one = solve_left(low, add(change, adjoint(change)), upper=False)
    both = solve_left(low, adjoint(one), upper=False)
    return matmul.bind(low, _half(both)), None


def triangular_solve(
    primals: Operands, tangents: Tangents, x: Tensor, *, upper: bool, unit: bool
) -> Any:
    """dx = a⁻¹ (db - da x)."""
    (a, _), (da, db) = primals, tangents
    if da is not None:
        db = accumulate(db, neg.bind(matmul.bind(_triangle(da, upper, unit), x)))
    assert db is not None
    return solve_left(a, db, upper=upper, unit=unit)


def _triangle(x: Tensor, is_upper: bool, unit: bool) -> Tensor:
    return upper(x, int(unit)) if is_upper else lower(x, -int(unit))


def triangular_solve_transpose(
    ct: Tensor, needs: Needs, inputs: Operands, x: Any, *, upper: bool, unit: bool
) -> Any:
    """The cotangent of b is a⁻ᴴ ct, that of a its product with -xᴴ."""
    moved = solve_left(adjoint(inputs[0]), ct, upper=not upper, unit=unit)
    if not needs[0]:
        return None, moved
    change = neg.bind(matmul.bind(moved, adjoint(x)))
    return _triangle(change, upper, unit), moved if needs[1] else None


def lu(primals: Operands, tangents: Tangents, ys: Any) -> Any:
    """With X = L⁻¹ Pᵀ dA U⁻¹: dL = L lower(X), dU = upper(X) U; what is left of L and U follows."""
    (da,), (packed, pivots, _) = tangents, ys
    assert da is not None
    m, n = packed.spec.shape[-2:]
    k = min(m, n)
    da = permuted(da, REGISTRY["lu_permutation"].bind(pivots, rows=m))
    first = columns(rows(packed, 0, k), 0, k)
    one = solve_left(first, columns(rows(da, 0, k), 0, k), upper=False, unit=True)
    x = solve_right(first, one, upper=True)
    low, high = lower(x, -1), upper(x)
    unit = add(lower(first, -1), _kept(where(eq(first, first), 1, 1), eq, 0))
    change = add(matmul.bind(as_dtype(unit, da.spec.dtype), low), matmul.bind(high, upper(first)))
    if m > n:
        rest = solve_right(first, rows(da, k, m), upper=True)
        rest = sub(rest, matmul.bind(rows(packed, k, m), high))
        change = cat.bind(change, rest, axis=len(packed.spec.shape) - 2)
    elif n > m:
        rest = solve_left(first, columns(da, k, n), upper=False, unit=True)
        rest = sub(rest, matmul.bind(low, columns(packed, k, n)))
        change = cat.bind(change, rest, axis=len(packed.spec.shape) - 1)
    return change, None, None


def qr(primals: Operands, tangents: Tangents, ys: Any) -> Any:
    """The strictly lower part of Qᴴ dA R⁻¹ tells how Q turns; of more columns than rows the first do."""
    (da,), (q, r) = tangents, ys
    assert da is not None
    m, n = da.spec.shape[-2:]
    first = columns(r, 0, m) if n > m else r
    x = solve_right(first, columns(da, 0, m) if n > m else da, upper=True)
    inside = matmul.bind(adjoint(q), x)
    low = lower(inside, -1)
    turn = sub(low, adjoint(low))
    if q.spec.dtype.is_complex:
        # the diagonal of R stays real: Q turns each column by what is imaginary
        whole = _kept(inside, eq, 0)
        turn = add(turn, mul(sub(whole, adjoint(whole)), 0.5))
    dr = matmul.bind(sub(inside, turn), first)
    if n > m:
        rest = matmul.bind(adjoint(q), columns(da, m, n))
        rest = sub(rest, matmul.bind(turn, columns(r, m, n)))
        return matmul.bind(q, turn), cat.bind(dr, rest, axis=len(r.spec.shape) - 1)
    dq = matmul.bind(q, turn)
    return (add(dq, sub(x, matmul.bind(q, inside))) if m > n else dq), dr

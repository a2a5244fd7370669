"""The derivatives of decompositions, written with ops of matrices.

Where eigenvalues or singular values coincide but for rounding, their vectors are any basis of one space. The
rules take them as not turning among themselves there: finite, and right for a loss that depends on the space
alone. What a loss does with the choice of these vectors has no derivative, and counts as nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import GradientError
from tabgrad.core.families import conjugate
from tabgrad.core.op import REGISTRY
from tabgrad.core.promotion import accumulate
from tabgrad.core.trace import MODE
from tabgrad.ops.elementwise import (
    abs_,
    add,
    cast,
    div,
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
from tabgrad.ops.reduction import reduce_max, reduce_sum
from tabgrad.ops.rounding import eq, ge, gt, le, lt
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


# -- eigenvalues, singular values ------------------------------------------------------------------


def _inverse_gaps(values: Tensor) -> Any:
    """Return 1 / (values[j] - values[i]) at [i, j], and 0 where the two count as one."""
    gap = sub(row(values), column(values))
    n = values.spec.shape[-1]
    if not values.spec.size:
        return gap
    apart = _apart(length(gap), length(values), math.sqrt(n))
    return where(apart, div(1, where(apart, gap, 1)), 0)


def length(x: Tensor) -> Any:
    """Return absolute values, as constants."""
    x = stop_gradient.bind(x)
    if not x.spec.dtype.is_complex:
        return abs_(x)
    return sqrt(add(square(_real(x)), square(_real(mul(x, -1j)))))


def _apart(size: Any, values: Any, factor: float) -> Any:
    """Test, for each matrix, which sizes are more than some roundings of the largest of `values`."""
    least = GAP * factor * EPSILON[values.spec.dtype.itemsize]
    bound = mul(reduce_max.bind(values, axes=(len(values.spec.shape) - 1,)), least)
    more = len(size.spec.shape) - len(bound.spec.shape)
    return gt(size, reshape.bind(bound, shape=(*bound.spec.shape, *[1] * more)))


def readable(x: Tensor) -> bool:
    """Test whether the value of `x` is there, so that it may decide what is done."""
    return x.owner is None and x.device.type == "cpu" and MODE.get().capture is None


def _check_phase(name: str, what: str, x: Tensor) -> None:
    """Raise GradientError if the diagonal of `x`, how a loss changes with phases of vectors, is not real."""
    if not x.spec.dtype.is_complex or not x.spec.size or not readable(x):
        return
    phases = abs_(_real(mul(diagonal(stop_gradient.bind(x)), -1j)))
    if float(phases.max().item()) > PHASE:
        raise GradientError(
            f"{name}: The {what} in the complex case are specified up to multiplication by e^{{i phi}}. The "
            "specified loss function depends on this quantity, so it is ill-defined; use a loss that does not"
        )


def eigh(primals: Operands, tangents: Tangents, ys: Any) -> Any:
    """With X = Vᴴ dA V: dw is its diagonal, dV = V (X / gaps)."""
    (da,), (w, v) = tangents, ys
    assert da is not None
    change = _half(da)
    x = matmul.bind(matmul.bind(adjoint(v), add(change, adjoint(change))), v)
    turn = mul(x, as_dtype(_inverse_gaps(w), x.spec.dtype))
    return _real(diagonal(x)), matmul.bind(v, turn)


def eigh_pull(cts: Sequence[Any], needs: Needs, inputs: Operands, ys: Any) -> Any:
    """The transpose of `eigh`."""
    (gw, gv), (w, v) = cts, ys
    dtype = v.spec.dtype
    g: Any = None
    if gv is not None:
        g = matmul.bind(adjoint(v), gv)
        _check_phase("linalg_eigh_backward", "eigenvectors", g)
        g = mul(g, as_dtype(_inverse_gaps(w), dtype))
    if gw is not None:
        g = accumulate(g, on_diagonal(as_dtype(gw, dtype)))
    whole = matmul.bind(matmul.bind(v, g), adjoint(v))
    return (_half(add(whole, adjoint(whole))),)


def _inverse_sums(s: Tensor) -> Any:
    total = add(row(s), column(s))
    if not s.spec.size:
        return total
    positive = _apart(length(total), length(s), 0.0)
    return where(positive, div(1, where(positive, total, 1)), 0)


def _inverse(s: Tensor) -> Any:
    """Return 1 / s, and 0 where `s` counts as zero."""
    if not s.spec.size:
        return s
    positive = _apart(length(s), length(s), 1.0)
    return where(positive, div(1, where(positive, s, 1)), 0)


def _hermitian(x: Tensor) -> Any:
    return mul(add(x, adjoint(x)), 0.5)


def _skew(x: Tensor) -> Any:
    return mul(sub(x, adjoint(x)), 0.5)


def _outside(q: Tensor, x: Tensor) -> Any:
    """Return what is left of the columns of `x` outside the space of the columns of `q`."""
    return sub(x, matmul.bind(q, matmul.bind(adjoint(q), x)))


def svd(primals: Operands, tangents: Tangents, ys: Any) -> Any:
    """With X = Uᴴ dA V: dS is its real diagonal; U and V turn by its Hermitian part over the gaps, and by
    plus and minus its skew part over the sums of singular values."""
    (da,), (u, s, vh) = tangents, ys
    assert da is not None
    dtype, v = u.spec.dtype, adjoint(vh)
    m, n = da.spec.shape[-2:]
    right = matmul.bind(da, v)
    x = matmul.bind(adjoint(u), right)
    even = mul(_hermitian(x), as_dtype(_inverse_gaps(s), dtype))
    odd = mul(_skew(x), as_dtype(_inverse_sums(s), dtype))
    du, dv = matmul.bind(u, add(even, odd)), matmul.bind(v, sub(even, odd))
    inverse = row(as_dtype(_inverse(s), dtype))
    if m > n:
        du = add(du, _outside(u, mul(right, inverse)))
    elif n > m:
        dv = add(dv, _outside(v, mul(matmul.bind(adjoint(da), u), inverse)))
    return du, _real(diagonal(x)), adjoint(dv)


def svd_pull(cts: Sequence[Any], needs: Needs, inputs: Operands, ys: Any) -> Any:
    """The transpose of `svd`."""
    (gu, gs, gvh), (u, s, vh) = cts, ys
    dtype, v = u.spec.dtype, adjoint(vh)
    m, n = u.spec.shape[-2], vh.spec.shape[-1]
    gv = None if gvh is None else adjoint(gvh)
    left = None if gu is None else matmul.bind(adjoint(u), gu)
    right = None if gv is None else matmul.bind(adjoint(v), gv)
    both = accumulate(left, right)
    g: Any = None if gs is None else on_diagonal(as_dtype(gs, dtype))
    if both is not None:
        _check_phase("svd_backward", "singular vectors", both)
        odd = left if right is None else accumulate(left, neg.bind(right))
        g = accumulate(g, _hermitian(mul(both, as_dtype(_inverse_gaps(s), dtype))))
        g = accumulate(g, _skew(mul(odd, as_dtype(_inverse_sums(s), dtype))))
    found = matmul.bind(matmul.bind(u, g), vh)
    inverse = row(as_dtype(_inverse(s), dtype))
    if gu is not None and m > n:
        found = add(found, matmul.bind(_outside(u, mul(gu, inverse)), vh))
    if gv is not None and n > m:
        found = add(found, matmul.bind(u, adjoint(_outside(v, mul(gv, inverse)))))
    return (found,)


def eig(primals: Operands, tangents: Tangents, ys: Any) -> Any:
    """With X = V⁻¹ dA V: dw is its diagonal, V changes by V (X / gaps), and its columns keep their length."""
    (da,), (w, v) = tangents, ys
    assert da is not None
    dtype = v.spec.dtype
    x = solve_general(v, matmul.bind(as_dtype(da, dtype), v))
    change = matmul.bind(v, mul(x, _inverse_gaps(w)))
    growth = _real(diagonal(matmul.bind(adjoint(v), change)))
    return diagonal(x), sub(change, mul(v, row(as_dtype(growth, dtype))))


def eig_pull(cts: Sequence[Any], needs: Needs, inputs: Operands, ys: Any) -> Any:
    """The transpose of `eig`."""
    (gw, gv), (w, v), (a,) = cts, ys, inputs
    g: Any = None
    if gv is not None:
        g = matmul.bind(adjoint(v), gv)
        _check_phase("linalg_eig_backward", "eigenvectors", g)
        growth = as_dtype(_real(diagonal(g)), v.spec.dtype)
        square = matmul.bind(adjoint(v), v)
        g = mul(sub(g, mul(square, row(growth))), conjugate(_inverse_gaps(w)))
    if gw is not None:
        g = accumulate(g, on_diagonal(gw))
    found = solve_general(adjoint(v), matmul.bind(g, adjoint(v)))
    return (as_dtype(found, a.spec.dtype),)

"""Determinants, and how they change: right for singular matrices, too."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import GradientError
from tabgrad.core.promotion import accumulate
from tabgrad.core.trace import zeros_like
from tabgrad.linalg import return_types
from tabgrad.linalg.arguments import matrices
from tabgrad.linalg.factoring import identity
from tabgrad.linalg.formulas import formula
from tabgrad.linalg.solving import solved
from tabgrad.ops import decompositions as ops, elementwise as e, view as v
from tabgrad.ops.decomposition_rules import (
    EPSILON,
    adjoint,
    as_dtype,
    column,
    diagonal,
    length,
    on_diagonal,
    readable,
    row,
)  # fmt: skip
from tabgrad.ops.indexing import iota
from tabgrad.ops.linalg import matmul, transposed
from tabgrad.ops.reduction import reduce_max, reduce_prod, reduce_sum
from tabgrad.ops.rounding import eq, le, ne
from tabgrad.tensor import Tensor
from tabgrad.tensor.public import takes_out


def _last(x: Any) -> tuple[int, ...]:
    return (len(x.spec.shape) - 1,)


def _parity(pivots: Tensor, dtype: dt.DType) -> Any:
    """Return -1 for an odd number of rows that changed places, else 1."""
    n = pivots.spec.shape[-1]
    moved = ne(pivots, e.add(iota(n, dt.int32, pivots.device), 1))
    count = reduce_sum.bind(e.cast.bind(moved, dtype=dt.int32), axes=_last(pivots))
    odd = e.remainder(count, 2)
    return e.cast.bind(e.sub(1, e.mul(odd, 2)), dtype=dtype)


def _parts(name: str, A: Tensor) -> tuple[Any, Any, Any]:
    """Return L and U in one matrix, the order of rows, and the sign of their permutation."""
    matrices(name, A, square=True)
    packed, pivots, _ = ops.lu.bind(A)
    order = ops.lu_permutation.bind(pivots, rows=A.spec.shape[-1])
    return packed, order, _parity(pivots, A.spec.dtype)


def _product(x: Any) -> Any:
    return reduce_prod.bind(x, axes=_last(x))


def _inner(x: Any, y: Any) -> Any:
    """Return tr(x y) of each matrix."""
    both = e.mul(x, transposed(y))
    return reduce_sum.bind(both, axes=(len(both.spec.shape) - 2, len(both.spec.shape) - 1))


def _scaled(factor: Any, x: Any) -> Any:
    return e.mul(column(column(factor)), x)


# -- the adjugate: the derivative of the determinant -----------------------------------------------


def _is_singular(packed: Tensor) -> Any:
    """Test which matrices are singular, or so nearly that half of the digits of an inverse are lost."""
    size = length(diagonal(packed))
    largest = reduce_max.bind(size, axes=_last(size))
    least = e.neg.bind(reduce_max.bind(e.neg.bind(size), axes=_last(size)))
    return le(least, e.mul(largest, math.sqrt(EPSILON[size.spec.dtype.itemsize])))


def _either(packed: Tensor, by_values: Callable[[], Any], by_factors: Callable[[], Any]) -> Any:
    """Return what singular values say of singular matrices, and what the factors say of others."""
    if not packed.spec.size:
        return by_factors()
    singular = _is_singular(packed)
    if readable(packed):
        return by_values() if bool(singular.any().item()) else by_factors()
    return e.where(column(column(singular)), by_values(), by_factors())


def _adjugate_derivative(primals: Any, tangents: Any, ys: Any) -> Any:
    a, packed, order, _ = primals
    da = tangents[0]
    if da is None:
        return [None]

    def by_factors() -> Any:
        z = solved(a, packed, order, da, turned=False)
        return e.sub(_scaled(_trace(z), ys[0]), matmul.bind(z, ys[0]))

    return [_either(packed, lambda: _change_of_adjugate(a, da), by_factors)]


def _trace(x: Any) -> Any:
    return reduce_sum.bind(diagonal(x), axes=_last(diagonal(x)))


def _adjugate_pull(cts: Any, primals: Any, ys: Any) -> Any:
    (g,), (a, packed, order, _) = cts, primals

    def by_factors() -> Any:
        back = adjoint(ys[0])
        one = v.expand.bind(identity(a, a.spec.shape[-1]), shape=a.spec.shape)
        whole = _scaled(_inner(g, back), one)
        moved = e.sub(whole, matmul.bind(g, back))
        return solved(a, packed, order, moved, turned=True)

    def by_values() -> Any:
        # the form is symmetric in da and what it is multiplied with
        return adjoint(_change_of_adjugate(a, adjoint(g)))

    return _either(packed, by_values, by_factors), None, None, None


@formula(derivative=_adjugate_derivative, pull=_adjugate_pull)
def _adjugate(a: Tensor, packed: Tensor, order: Tensor, sign: Tensor) -> Any:
    """Return det(a) a⁻¹ from the factors of `a`; a pivot that is zero counts as one rounding of the largest."""
    if not a.spec.size:
        return e.copy.bind(a)
    d = diagonal(packed)
    size = length(d)
    least = EPSILON[size.spec.dtype.itemsize]
    tiny = e.mul(reduce_max.bind(size, axes=_last(size)), least)
    # a matrix of zeros, too
    tiny = column(e.where(eq(tiny, 0), least, tiny))
    zero = eq(d, 0)
    whole = e.where(zero, as_dtype(tiny, d.spec.dtype), d)
    changed = e.add(packed, on_diagonal(e.where(zero, whole, 0)))
    one = v.expand.bind(identity(a, a.spec.shape[-1]), shape=a.spec.shape)
    inverse = solved.fun(a, changed, order, one, turned=False)
    return _scaled(e.mul(sign, _product(whole)), inverse)


def _check_third(a: Tensor) -> None:
    if readable(a):
        raise GradientError(
            "linalg.det: a third derivative at a singular matrix is not implemented; move the matrix a little"
        )


def _third_derivative(primals: Any, tangents: Any, ys: Any) -> Any:
    _check_third(primals[0])
    return [e.mul(ys[0], float("nan"))]


def _third_pull(cts: Any, primals: Any, ys: Any) -> Any:
    """Return nan for a matrix that has a cotangent: those that are not singular have none."""
    _check_third(primals[0])
    size = length(cts[0])
    some = reduce_max.bind(size, axes=(len(size.spec.shape) - 2, len(size.spec.shape) - 1))
    unknown = column(column(e.where(eq(some, 0), 0, float("nan"))))
    unknown = v.expand.bind(as_dtype(unknown, cts[0].spec.dtype), shape=cts[0].spec.shape)
    return unknown, unknown


@formula(derivative=_third_derivative, pull=_third_pull)
def _change_of_adjugate(a: Tensor, da: Tensor) -> Any:
    """Return how the adjugate of singular matrices changes, by products of all singular values but two."""
    u, s, vh = ops.svd.bind(a)
    phase = e.mul(_determinant_of(u), _determinant_of(vh))
    x = matmul.bind(matmul.bind(adjoint(u), da), adjoint(vh))
    others = as_dtype(_other_products(s), x.spec.dtype)
    across = matmul.bind(others, column(diagonal(x)))
    z = e.sub(on_diagonal(v.reshape.bind(across, shape=across.spec.shape[:-1])), e.mul(others, x))
    return _scaled(phase, matmul.bind(matmul.bind(adjoint(vh), z), adjoint(u)))


def _other_products(s: Tensor) -> Any:
    """Return, at [i, j], the products of all singular values but number i and number j; 0 on the diagonal."""
    n = s.spec.shape[-1]
    lead = s.spec.shape[:-1]
    place = iota(n, s.device.index_dtype, s.device)
    beside = ne(row(place), column(place))
    if s.device.type != "cpu":
        # nothing is stored of the cubes
        own = e.where(eq(row(place), column(place)), 1, v.expand.bind(row(s), shape=(*lead, n, n)))
        pairs = v.expand.bind(v.reshape.bind(own, shape=(*lead, n, 1, n)), shape=(*lead, n, n, n))
        other = v.reshape.bind(eq(row(place), column(place)), shape=(1, n, n))
        found = reduce_prod.bind(e.where(other, 1, pairs), axes=(len(lead) + 2,))
        return e.where(beside, found, 0)
    wide = e.cast.bind(s, dtype=dt.float64)
    logs = e.log(e.where(eq(wide, 0), 1e-250, wide))
    rest = e.sub(
        column(column(reduce_sum.bind(logs, axes=_last(logs)))), e.add(row(logs), column(logs))
    )
    return e.cast.bind(e.where(beside, e.exp(rest), 0), dtype=s.spec.dtype)


def _determinant_of(x: Tensor) -> Any:
    packed, _, sign = _parts("linalg.det", x)
    return e.mul(sign, _product(diagonal(packed)))


# -- determinants ----------------------------------------------------------------------------------


def _determinant_derivative(primals: Any, tangents: Any, ys: Any) -> Any:
    da = tangents[0]
    return [None if da is None else _inner(_adjugate(*primals), da)]


def _determinant_pull(cts: Any, primals: Any, ys: Any) -> Any:
    return _scaled(cts[0], adjoint(_adjugate(*primals))), None, None, None


@formula(derivative=_determinant_derivative, pull=_determinant_pull)
def _determinant(a: Tensor, packed: Tensor, order: Tensor, sign: Tensor) -> Any:
    """Return the determinant of `a` from its factors, which have no derivative of their own."""
    return e.mul(sign, _product(diagonal(packed)))


@takes_out
def det(A: Tensor) -> Tensor:
    """Return the determinants of square matrices; the derivative at a singular one is right as well.

    >>> import tabgrad as tg
    >>> tg.linalg.det(tg.tensor([[2.0, 1.0], [0.0, 3.0]], device="cpu"))
    tensor(6.)
    """
    return _det("linalg.det", A)


def _det(name: str, A: Tensor) -> Any:
    return _determinant(A, *_parts(name, A))


def _size_derivative(primals: Any, tangents: Any, ys: Any) -> Any:
    a, packed, order, _ = primals
    if tangents[0] is None:
        return [None, None]
    change = _trace(solved(a, packed, order, tangents[0], turned=False))
    if not a.spec.dtype.is_complex:
        return [None, change]
    real = e.cast.bind(change, dtype=dt.real_of(a.spec.dtype))
    return [e.mul(ys[0], e.sub(change, real)), real]


def _size_pull(cts: Any, primals: Any, ys: Any) -> Any:
    a, packed, order, _ = primals
    g: Any = None if cts[1] is None else as_dtype(cts[1], a.spec.dtype)
    if cts[0] is not None and a.spec.dtype.is_complex:
        turn = e.mul(cts[0], e.conj(ys[0]))
        real = e.cast.bind(turn, dtype=dt.real_of(a.spec.dtype))
        g = accumulate(g, e.sub(turn, real))
    if g is None:
        return zeros_like(a), None, None, None
    one = v.expand.bind(identity(a, a.spec.shape[-1]), shape=a.spec.shape)
    return solved(a, packed, order, _scaled(g, one), turned=True), None, None, None


@formula(derivative=_size_derivative, pull=_size_pull)
def _size(a: Tensor, packed: Tensor, order: Tensor, sign: Tensor) -> Any:
    """Return the sign and the logarithm of the size of the determinant of `a` from its factors."""
    turn, size = _polar(diagonal(packed))
    return e.mul(sign, _product(turn)), reduce_sum.bind(size, axes=_last(size))


def _polar(d: Any) -> tuple[Any, Any]:
    """Return d / |d|, 0 where d is 0, and log |d|."""
    if not d.spec.dtype.is_complex:
        return e.sign(d), e.log(e.abs_(d))
    size = length(d)
    zero = eq(size, 0)
    # of length about 1, so that no square overflows
    near = e.div(d, as_dtype(e.where(zero, 1, size), d.spec.dtype))
    parts = [e.cast.bind(x, dtype=size.spec.dtype) for x in (near, e.mul(near, -1j))]
    rest = e.add(e.square(parts[0]), e.square(parts[1]))
    turn = e.div(near, as_dtype(e.sqrt(e.where(zero, 1, rest)), d.spec.dtype))
    return turn, e.add(e.log(size), e.mul(e.log(e.where(zero, 1, rest)), 0.5))


@takes_out
def slogdet(A: Tensor) -> return_types.linalg_slogdet:
    """Return the sign of the determinants (of length 1 if complex), and the logarithm of their absolute values.

    A singular matrix has 0 and -inf, and no derivative.

    >>> import tabgrad as tg
    >>> tg.linalg.slogdet(tg.tensor([[1.0, 2.0], [3.0, 4.0]], device="cpu")).sign
    tensor(-1.)
    """
    return return_types.linalg_slogdet(*_size(A, *_parts("linalg.slogdet", A)))


def logdet(input: Tensor) -> Tensor:
    """Return the logarithm of the determinants of square matrices: nan for a negative one.

    >>> import tabgrad as tg
    >>> tg.logdet(tg.eye(2, device="cpu"))
    tensor(0.)
    """
    sign, size = _size(input, *_parts("logdet", input))
    if input.spec.dtype.is_complex:
        return e.add(e.log(sign), size)
    return e.where(eq(sign, -1), float("nan"), size)


__all__ = ["det", "logdet", "slogdet"]

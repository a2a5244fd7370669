"""Factors of matrices: Cholesky, LU and QR."""

from __future__ import annotations

from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DTypeError, GradientError, ShapeError
from tabgrad.linalg import return_types
from tabgrad.linalg.arguments import hermitian, matrices, verified
from tabgrad.linalg.formulas import Formula
from tabgrad.ops import decompositions as ops, elementwise as e, view as v
from tabgrad.ops.checked import within
from tabgrad.ops.decomposition_rules import (
    adjoint,
    column,
    columns,
    lower,
    row,
    rows,
    solve_left,
    upper,
)  # fmt: skip
from tabgrad.ops.indexing import cat, iota
from tabgrad.ops.linalg import matmul
from tabgrad.ops.rounding import eq
from tabgrad.tensor import Tensor, creation
from tabgrad.tensor.public import takes_out
from tabgrad.tensor.ranges import eye

NOT_POSITIVE = (
    "{element}The factorization could not be completed because the input is not positive-definite (the leading "
    "minor of order {info} is not positive-definite)."
)
ZERO_PIVOT = (
    "U[{info},{info}] is zero and using it on lu_solve would result in a division by zero. If you still want "
    "to perform the factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)"
)


def identity(x: Tensor, n: int, m: int | None = None) -> Tensor:
    """Return a unit matrix, or the first `m` columns of one, beside `x`."""
    return eye(n, m, dtype=x.spec.dtype, device=x.device)


def unsaid(name: str, why: str, fun: Any) -> Formula:
    """Return `fun` as a function whose derivative is refused when it is asked for."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise GradientError(f"{name}: {why}")

    return Formula(fun, refuse, refuse, name.rpartition(".")[2])


# -- Cholesky --------------------------------------------------------------------------------------


def cholesky_of(name: str, x: Tensor, is_upper: bool) -> tuple[Any, Any]:
    """Return the factors of checked matrices, and what was found out about them."""
    matrices(name, x, square=True)
    x = hermitian(x)
    low, info = ops.cholesky.bind(adjoint(x) if is_upper else x)
    return adjoint(low) if is_upper else low, info


def positive(name: str, x: Tensor, is_upper: bool) -> Any:
    """Return the factors of matrices, all of which must be positive definite."""
    found, info = cholesky_of(name, x, is_upper)
    return verified(f"{name}: {NOT_POSITIVE}", info, found)


@takes_out
def cholesky(input: Tensor, *, upper: bool = False) -> Tensor:
    """Return L with L Lᴴ = input for Hermitian positive definite matrices; with `upper` U with Uᴴ U = input.

    One triangle is read, the lower one unless `upper`. LinAlgError names the first leading minor that is
    not positive definite; on a GPU the next read raises it.

    >>> import tabgrad as tg
    >>> tg.linalg.cholesky(tg.tensor([[4.0, 2.0], [2.0, 2.0]], device="cpu"))
    tensor([[2., 0.],
            [1., 1.]])
    """
    found: Tensor = positive("linalg.cholesky", input, upper)
    return found


@takes_out
def cholesky_ex(
    input: Tensor, *, upper: bool = False, check_errors: bool = False
) -> return_types.linalg_cholesky_ex:
    """Return the factors of `cholesky`, and info: 0, or the first leading minor that is not positive definite.

    The factor of such a matrix is nan; with `check_errors` it raises LinAlgError.

    >>> import tabgrad as tg
    >>> tg.linalg.cholesky_ex(-tg.eye(2, device="cpu")).info
    tensor(1, dtype=tabgrad.int32)
    """
    found, info = cholesky_of("linalg.cholesky", input, upper)
    if check_errors:
        found = verified(f"linalg.cholesky_ex: {NOT_POSITIVE}", info, found)
    return return_types.linalg_cholesky_ex(found, info)


# -- LU --------------------------------------------------------------------------------------------


def _lu(name: str, x: Tensor, pivot: bool) -> Any:
    if isinstance(x, Tensor) and len(x.spec.shape) < 2:
        raise ShapeError(
            f"{name}: Expected tensor with 2 or more dimensions. Got size: {list(x.spec.shape)} instead"
        )
    matrices(name, x)
    if not pivot:
        raise ArgumentError(f"{name}: LU without pivoting is not implemented; leave pivot=True")
    return ops.lu.bind(x)


def permutation_matrix(pivots: Tensor, m: int, dtype: dt.DType) -> Any:
    """Return P with A = P L U."""
    order = ops.lu_permutation.bind(pivots, rows=m)
    place = v.reshape.bind(iota(m, order.spec.dtype, order.device), shape=(m, 1))
    return e.cast.bind(eq(row(order), place), dtype=dtype)


def triangles(packed: Tensor) -> tuple[Any, Any]:
    """Return L and U from one matrix that holds both."""
    m, n = packed.spec.shape[-2:]
    k = min(m, n)
    return e.add(lower(columns(packed, 0, k), -1), identity(packed, m, k)), upper(
        rows(packed, 0, k)
    )


@takes_out
def lu(A: Tensor, *, pivot: bool = True) -> return_types.linalg_lu:
    """Return P, L and U with A = P L U: a permutation, lower triangular with ones, upper triangular.

    >>> import tabgrad as tg
    >>> P, L, U = tg.linalg.lu(tg.tensor([[1.0, 2.0], [2.0, 2.0]], device="cpu"))
    >>> L
    tensor([[1.0000, 0.0000],
            [0.5000, 1.0000]])
    """
    packed, pivots, _ = _lu("linalg.lu", A, pivot)
    found = permutation_matrix(pivots, A.spec.shape[-2], A.spec.dtype)
    return return_types.linalg_lu(found, *triangles(packed))


@takes_out
def lu_factor(A: Tensor, *, pivot: bool = True) -> return_types.linalg_lu_factor:
    """Return L and U in one matrix, and the pivots, for `lu_solve`. LinAlgError says that a pivot is zero.

    >>> import tabgrad as tg
    >>> A = tg.tensor([[1.0, 2.0], [2.0, 2.0]], device="cpu")
    >>> tg.linalg.lu_solve(*tg.linalg.lu_factor(A), tg.ones(2, 1, device="cpu"))
    tensor([[0.0000],
            [0.5000]])
    """
    packed, pivots, info = _lu("linalg.lu_factor", A, pivot)
    packed = verified(f"torch.linalg.lu_factor: {ZERO_PIVOT}", info, packed)
    return return_types.linalg_lu_factor(packed, pivots)


@takes_out
def lu_factor_ex(
    A: Tensor, *, pivot: bool = True, check_errors: bool = False
) -> return_types.linalg_lu_factor_ex:
    """Return what `lu_factor` returns, and info: the first pivot that is zero, counted from 1, else 0.

    >>> import tabgrad as tg
    >>> tg.linalg.lu_factor_ex(tg.zeros(2, 2, device="cpu")).info
    tensor(1, dtype=tabgrad.int32)
    """
    packed, pivots, info = _lu("linalg.lu_factor", A, pivot)
    if check_errors:
        packed = verified(f"torch.linalg.lu_factor_ex: {ZERO_PIVOT}", info, packed)
    return return_types.linalg_lu_factor_ex(packed, pivots, info)


@takes_out
def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> return_types.lu_unpack:
    """Return P, L and U of what `linalg.lu_factor` returned; what is not asked for is empty.

    >>> import tabgrad as tg
    >>> P, L, U = tg.lu_unpack(*tg.linalg.lu_factor(2 * tg.eye(2, device="cpu")))
    >>> U
    tensor([[2., 0.],
            [0., 2.]])
    """
    empty = creation.filled((0,), 0, LU_data.spec.dtype, LU_data.device)
    if len(LU_data.spec.shape) < 2:
        raise ShapeError(
            "torch.lu_unpack: The input tensor LU_data must have at least 2 dimensions, got "
            f"{LU_data.spec.shape}"
        )
    P: Any = empty
    if unpack_pivots:
        m, n = LU_data.spec.shape[-2:]
        if LU_pivots.spec.dtype is not dt.int32:
            raise DTypeError(
                "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype, got "
                f"{LU_pivots.spec.dtype!r}"
            )
        if LU_pivots.spec.shape != (*LU_data.spec.shape[:-2], min(m, n)):
            raise ShapeError(
                f"torch.lu_unpack: pivots of shape {LU_pivots.spec.shape} do not fit matrices "
                f"{LU_data.spec.shape}"
            )
        # counted from 0, as an index of the rows
        checked = e.add(within("lu_unpack", e.sub(LU_pivots, 1), m), 1)
        P = permutation_matrix(checked, m, LU_data.spec.dtype)
    L, U = triangles(LU_data) if unpack_data else (empty, empty)
    return return_types.lu_unpack(P, L, U)


# -- QR --------------------------------------------------------------------------------------------


def reflections(packed: Tensor, tau: Tensor) -> tuple[Any, Any]:
    """Return the vectors v of reflections, and T with Q = I - V T⁻¹ diag(tau) Vᴴ: upper, with ones."""
    k = tau.spec.shape[-1]
    m = packed.spec.shape[-2]
    vectors = e.add(lower(columns(packed, 0, k), -1), identity(packed, m, k))
    return vectors, e.mul(column(tau), matmul.bind(adjoint(vectors), vectors))


def orthogonal(packed: Tensor, tau: Tensor, n: int) -> Any:
    """Return the first `n` columns of the product of reflections."""
    vectors, t = reflections(packed, tau)
    right = e.mul(column(tau), adjoint(rows(vectors, 0, n)))
    change = matmul.bind(vectors, solve_left(t, right, upper=True, unit=True))
    return e.sub(identity(packed, packed.spec.shape[-2], n), change)


def _complete(x: Tensor) -> tuple[Any, Any]:
    m, n = x.spec.shape[-2:]
    packed, tau = ops.geqrf.bind(x)
    zeros = creation.filled((*x.spec.shape[:-2], m - n, n), 0, x.spec.dtype, x.device)
    r = cat.bind(upper(rows(packed, 0, n)), zeros, axis=len(x.spec.shape) - 2)
    return orthogonal(packed, tau, m), r


_complete_qr = unsaid(
    "linalg.qr",
    "The QR decomposition is not differentiable when mode='complete' and nrows > ncols; use mode='reduced'",
    _complete,
)
_geqrf = unsaid(
    "geqrf", "the derivative for 'geqrf' is not implemented; use linalg.qr", ops.geqrf.bind
)


def qr_of(name: str, x: Tensor, mode: str) -> tuple[Any, Any]:
    """Return Q and R; Q is empty with mode "r"."""
    matrices(name, x)
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or "
            "'complete'"
        )
    m, n = x.spec.shape[-2:]
    if mode == "complete" and m > n:
        found: tuple[Any, Any] = _complete_qr(x)
        return found
    q, r = ops.qr.bind(x)
    return creation.filled((0,), 0, x.spec.dtype, x.device) if mode == "r" else q, r


@takes_out
def qr(A: Tensor, mode: str = "reduced") -> return_types.linalg_qr:
    """Return Q with orthonormal columns and R, upper triangular, with A = Q R.

    Of an m by n matrix Q has min(m, n) columns, m with mode "complete"; with "r" it is empty. A derivative
    needs the first columns, as many as there are rows, to be independent; "complete" has none if m > n.

    >>> import tabgrad as tg
    >>> Q, R = tg.linalg.qr(tg.tensor([[3.0, 1.0], [4.0, 2.0]], device="cpu"))
    >>> tg.allclose(Q.mT @ Q, tg.eye(2, device="cpu"), atol=1e-6)
    True
    """
    return return_types.linalg_qr(*qr_of("linalg.qr", A, mode))


@takes_out
def geqrf(input: Tensor) -> return_types.geqrf:
    """Return R and, below its diagonal, the reflections whose product is Q, and their factors tau.

    This is LAPACK's form; `ormqr` and `orgqr` take it. It has no derivative: use `linalg.qr`.

    >>> import tabgrad as tg
    >>> a, tau = tg.geqrf(tg.eye(2, device="cpu"))
    >>> tau
    tensor([0., 0.])
    """
    if isinstance(input, Tensor) and len(input.spec.shape) < 2:
        raise ShapeError(
            f"torch.geqrf: input must have at least 2 dimensions, got shape {input.spec.shape}"
        )
    matrices("geqrf", input)
    return return_types.geqrf(*_geqrf(input))


def _check_reflections(name: str, x: Tensor, tau: Tensor) -> None:
    shape, given = x.spec.shape, tau.spec.shape
    if len(shape) < 2:
        raise ShapeError(f"{name}: input must have at least 2 dimensions, got shape {shape}")
    matrices(name, x)
    if tau.spec.dtype is not x.spec.dtype:
        raise DTypeError(
            f"{name}: tau dtype {tau.spec.dtype.title} does not match input dtype {x.spec.dtype.title}"
        )
    if len(given) != len(shape) - 1 or given[:-1] != shape[:-2]:
        raise ShapeError(
            f"{name}: Expected tau to have one dimension less than input, and its batch, but got tau of shape "
            f"{given} for input of shape {shape}"
        )


@takes_out
def householder_product(input: Tensor, tau: Tensor) -> Tensor:
    """Return the first columns, as many as there are, of the product of the reflections I - tau v vᴴ.

    The vectors v are the columns below the diagonal, where each has a 1 that is not read.

    >>> import tabgrad as tg
    >>> A = tg.tensor([[3.0, 1.0], [4.0, 2.0]], device="cpu")
    >>> tg.allclose(tg.linalg.householder_product(*tg.geqrf(A)), tg.linalg.qr(A).Q, atol=1e-6)
    True
    """
    name = "torch.linalg.householder_product"
    _check_reflections(name, input, tau)
    m, n = input.spec.shape[-2:]
    for least, most, text in (
        (n, m, "input.shape[-2] must be greater than or equal to input.shape[-1]"),
        (tau.spec.shape[-1], n, "input.shape[-1] must be greater than or equal to tau.shape[-1]"),
    ):
        if least > most:
            raise ShapeError(f"{name}: {text}, got {input.spec.shape} and {tau.spec.shape}")
    found: Tensor = orthogonal(input, tau, n)
    return found


@takes_out
def orgqr(input: Tensor, input2: Tensor) -> Tensor:
    """Return `linalg.householder_product(input, tau)`."""
    return householder_product(input, input2)


@takes_out
def ormqr(
    input: Tensor, input2: Tensor, input3: Tensor, left: bool = True, transpose: bool = False
) -> Tensor:
    """Return Q @ other for the product Q of the reflections that `geqrf` gave.

    With `transpose` Qᴴ takes the place of Q; if not `left` it is multiplied from the right.

    >>> import tabgrad as tg
    >>> A = tg.tensor([[3.0, 1.0], [4.0, 2.0]], device="cpu")
    >>> R = tg.ormqr(*tg.geqrf(A), A, transpose=True)
    >>> tg.allclose(R, tg.linalg.qr(A).R, atol=1e-6)
    True
    """
    name = "torch.ormqr"
    _check_reflections(name, input, input2)
    if len(input3.spec.shape) < 2:
        raise ShapeError(f"{name}: input3 must have at least 2 dimensions, got {input3.spec.shape}")
    if input3.spec.dtype is not input.spec.dtype:
        raise DTypeError(
            f"{name}: Expected input and input3 to have the same dtype, but input has dtype "
            f"{input.spec.dtype.title} and input3 has dtype {input3.spec.dtype.title}"
        )
    m, n = input.spec.shape[-2:]
    if input3.spec.shape[-2 if left else -1] != m:
        raise ShapeError(
            f"{name}: input3.shape[{-2 if left else -1}] must be equal to input.shape[-2], got "
            f"{input3.spec.shape} and {input.spec.shape}"
        )
    if input2.spec.shape[-1] > min(m, n):
        raise ShapeError(
            f"{name}: input2.shape[-1] must be at most min(input.shape[-2], input.shape[-1]), got "
            f"{input2.spec.shape} and {input.spec.shape}"
        )
    if input3.spec.shape[:-2] != input.spec.shape[:-2]:
        raise ShapeError(
            f"{name}: batch dimensions of input3 and input must be equal, got {input3.spec.shape} and "
            f"{input.spec.shape}"
        )
    return _reflected(input, input2, input3 if left else adjoint(input3), left, left == transpose)


def _reflected(packed: Tensor, tau: Tensor, x: Tensor, left: bool, turned: bool) -> Any:
    """Return Q x, or Qᴴ x if `turned`; the adjoint of it if not `left`."""
    vectors, t = reflections(packed, tau)
    inside = matmul.bind(adjoint(vectors), x)
    if turned:
        factor = adjoint(row(tau))
        inside = e.mul(factor, solve_left(adjoint(t), inside, upper=False, unit=True))
    else:
        inside = solve_left(t, e.mul(column(tau), inside), upper=True, unit=True)
    found = e.sub(x, matmul.bind(vectors, inside))
    return found if left else adjoint(found)


__all__ = [
    "cholesky", "cholesky_ex", "geqrf", "householder_product", "lu", "lu_factor", "lu_factor_ex", "lu_unpack",
    "orgqr", "ormqr", "qr",
]  # fmt: skip

"""Systems of equations: general, triangular, and the inverses that they give."""

from __future__ import annotations

import math
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError
from tabgrad.core.forms import form
from tabgrad.core.promotion import accumulate
from tabgrad.core.shape import axis_of, needs_rank
from tabgrad.linalg import return_types
from tabgrad.linalg.arguments import equal_batches, matrices, one_dtype, verified
from tabgrad.linalg.factoring import identity
from tabgrad.linalg.formulas import formula
from tabgrad.ops import decompositions as ops, elementwise as e, lapack, view as v
from tabgrad.ops.checked import within
from tabgrad.ops.decomposition_rules import adjoint, column, permuted, solve_left
from tabgrad.ops.indexing import iota, scatter
from tabgrad.ops.linalg import matmul
from tabgrad.tensor import Tensor
from tabgrad.tensor.chained import chained
from tabgrad.tensor.public import takes_out

SMALL = 64
"""The most rows of a matrix with which LAPACK solves at once where no derivative is asked for."""
REALS = (dt.float32, dt.float64)
SINGULAR = "{element}The solver failed because the input matrix is singular."
NO_INVERSE = (
    "{element}The diagonal element {info} is zero, the inversion could not be completed because the input "
    "matrix is singular."
)


# -- general matrices ------------------------------------------------------------------------------


def _derivative(primals: Any, tangents: Any, ys: Any, *, turned: bool) -> Any:
    a, packed, order, _ = primals
    da, _, _, db = tangents
    if da is not None:
        change = matmul.bind(adjoint(da) if turned else da, ys[0])
        db = accumulate(db, e.neg.bind(change))
    return [None if db is None else solved(a, packed, order, db, turned=turned)]


def _pull(cts: Any, primals: Any, ys: Any, *, turned: bool) -> Any:
    a, packed, order, _ = primals
    moved = solved(a, packed, order, cts[0], turned=not turned)
    change = matmul.bind(ys[0], adjoint(moved)) if turned else matmul.bind(moved, adjoint(ys[0]))
    return e.neg.bind(change), None, None, moved


@formula(derivative=_derivative, pull=_pull)
def solved(a: Tensor, packed: Tensor, order: Tensor, b: Tensor, *, turned: bool) -> Any:
    """Solve a x = b, or aᴴ x = b if `turned`, with factors of `a`, which have no derivative of their own."""
    if not turned:
        x = solve_left(packed, permuted(b, order), upper=False, unit=True)
        return solve_left(packed, x, upper=True)
    back = adjoint(packed)
    x = solve_left(back, b, upper=False)
    x = solve_left(back, x, upper=True, unit=True)
    places = v.expand.bind(
        iota(order.spec.shape[-1], dt.int32, order.device), shape=order.spec.shape
    )
    inverse = scatter.bind(order, order, places, axis=len(order.spec.shape) - 1)
    return permuted(x, inverse)


def factored(a: Tensor) -> tuple[Any, Any, Any]:
    """Return L and U in one matrix, the order of the rows, and info."""
    packed, pivots, info = ops.lu.bind(a)
    return packed, ops.lu_permutation.bind(pivots, rows=a.spec.shape[-1]), info


def check_fit(name: str, a: Tensor, b: Tensor, left: bool) -> None:
    """Raise unless the equation with the square matrices `a` makes sense."""
    one_dtype(name, a, b)
    shape, given = a.spec.shape, b.spec.shape
    if len(given) < 2:
        raise ShapeError(f"{name}: The input tensor B must have at least 2 dimensions, got {given}")
    if given[-2 if left else -1] != shape[-1]:
        raise ShapeError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
            f"({shape[-2]}x{shape[-1]} and {given[-2]}x{given[-1]})"
        )


def solve_of(name: str, A: Tensor, B: Tensor, left: bool) -> tuple[Any, Any]:
    """Return the solution and info."""
    matrices(name, A, square=True)
    one_dtype(name, A, B)
    if not len(B.spec.shape):
        raise ShapeError(f"{name}: B must have at least 1 dimension, got a scalar")
    shape, given = A.spec.shape, B.spec.shape
    vectors = len(given) == 1 or (len(given) == len(shape) - 1 and given == shape[:-1])
    b = column(B) if vectors else B
    check_fit(name, A, b, left)
    packed, order, info = factored(A)
    # factored before they are repeated for the batch of b
    a, packed, order, b = equal_batches(name, A, packed, column(order), b)
    order = v.reshape.bind(order, shape=order.spec.shape[:-1])
    # x a = b is aᴴ xᴴ = bᴴ
    x = solved(a, packed, order, b if left else adjoint(b), turned=not left)
    x = x if left else adjoint(x)
    return v.reshape.bind(x, shape=x.spec.shape[:-1]) if vectors else x, info


@form(like=1)
def one_solution(a: Any, b: Any) -> Any:
    """Solve one small system by LAPACK."""
    return lapack.one("solve1" if b.ndim == 1 else "solve", a, b)


@form()
def one_inverse(a: Any) -> Any:
    """Invert one small matrix by LAPACK."""
    return lapack.one("inv", a)


def _is_small(A: Any) -> bool:
    """Whether LAPACK solves with the one matrix at once."""
    shape = A.spec.shape
    return len(shape) == 2 and 0 < shape[0] == shape[1] <= SMALL and A.spec.dtype in REALS


@takes_out
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """Return X with A X = B, or X A = B if not `left`. LinAlgError says that A is singular.

    B is a vector if it has one dim, or vectors if it has A's shape without the last dim; else matrices. Batches
    broadcast.

    >>> import tabgrad as tg
    >>> A = tg.tensor([[2.0, 0.0], [0.0, 4.0]], device="cpu")
    >>> tg.linalg.solve(A, tg.ones(2, device="cpu"))
    tensor([0.5000, 0.2500])
    """
    if left and B.spec.dtype is A.spec.dtype and 0 < len(B.spec.shape) < 3 and _is_small(A):
        if B.spec.shape[0] == A.spec.shape[0]:
            found: Tensor | None = one_solution.compute(A, B)
            if found is not None:
                return found
    return _solve(A, B, left)


@chained
def _solve(A: Tensor, B: Tensor, left: bool) -> Tensor:
    found, info = solve_of("linalg.solve", A, B, left)
    whole: Tensor = _verified(f"torch.linalg.solve: {SINGULAR}", info, found)
    return whole


def _verified(text: str, info: Tensor, x: Any) -> Any:
    """Return `x` if no matrix is singular; vectors count as columns."""
    if len(x.spec.shape) > len(info.spec.shape) + 1:
        return verified(text, info, x)
    return v.reshape.bind(verified(text, info, column(x)), shape=x.spec.shape)


@takes_out
def solve_ex(
    A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False
) -> return_types.linalg_solve_ex:
    """Return what `solve` returns, and info: the first pivot that is zero, counted from 1, else 0.

    The solution with a singular matrix has inf and nan; with `check_errors` it raises LinAlgError.

    >>> import tabgrad as tg
    >>> tg.linalg.solve_ex(tg.zeros(2, 2, device="cpu"), tg.ones(2, device="cpu")).info
    tensor(1, dtype=tabgrad.int32)
    """
    found, info = solve_of("linalg.solve", A, B, left)
    if check_errors:
        found = _verified(f"torch.linalg.solve_ex: {SINGULAR}", info, found)
    return return_types.linalg_solve_ex(found, info)


def _inverse_pull(cts: Any, primals: Any, ys: Any) -> Any:
    back = adjoint(ys[0])
    return e.neg.bind(matmul.bind(matmul.bind(back, cts[0]), back)), None, None


@formula(
    derivative=lambda primals, tangents, ys: [
        None
        if tangents[0] is None
        else e.neg.bind(matmul.bind(matmul.bind(ys[0], tangents[0]), ys[0]))
    ],
    pull=_inverse_pull,
)
def _inverse(a: Tensor, packed: Tensor, order: Tensor) -> Any:
    """Return the inverse of `a` from its factors, which have no derivative of their own."""
    one = v.expand.bind(identity(a, a.spec.shape[-1]), shape=a.spec.shape)
    return solved.fun(a, packed, order, one, turned=False)


def inverse_of(name: str, A: Tensor) -> tuple[Any, Any]:
    """Return the inverses of checked matrices, and info."""
    matrices(name, A, square=True)
    packed, order, info = factored(A)
    return _inverse(A, packed, order), info


@takes_out
def inv(A: Tensor) -> Tensor:
    """Return the inverse of square matrices; LinAlgError says that one is singular.

    `solve` is faster and more exact where the inverse is only multiplied.

    >>> import tabgrad as tg
    >>> tg.linalg.inv(tg.tensor([[2.0, 0.0], [0.0, 4.0]], device="cpu"))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    found: Tensor | None = one_inverse.compute(A) if _is_small(A) else None
    return _inv(A) if found is None else found


@chained
def _inv(A: Tensor) -> Tensor:
    found, info = inverse_of("linalg.inv", A)
    whole: Tensor = verified(f"linalg.inv: {NO_INVERSE}", info, found)
    return whole


@takes_out
def inverse(input: Tensor) -> Tensor:
    """Return `linalg.inv(input)`."""
    return inv(input)


@takes_out
def inv_ex(A: Tensor, *, check_errors: bool = False) -> return_types.linalg_inv_ex:
    """Return what `inv` returns, and info: the first pivot that is zero, counted from 1, else 0.

    The inverse of a singular matrix has inf and nan; with `check_errors` it raises LinAlgError.

    >>> import tabgrad as tg
    >>> tg.linalg.inv_ex(tg.zeros(2, 2, device="cpu")).info
    tensor(1, dtype=tabgrad.int32)
    """
    found, info = inverse_of("linalg.inv", A)
    if check_errors:
        found = verified(f"linalg.inv_ex: {NO_INVERSE}", info, found)
    return return_types.linalg_inv_ex(found, info)


@takes_out
def lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """Return X with A X = B for what `lu_factor` returned for A; X A = B if not `left`, Aᴴ X = B if `adjoint`.

    >>> import tabgrad as tg
    >>> LU, pivots = tg.linalg.lu_factor(2 * tg.eye(2, device="cpu"))
    >>> tg.linalg.lu_solve(LU, pivots, tg.ones(2, 1, device="cpu"))
    tensor([[0.5000],
            [0.5000]])
    """
    found: Tensor = lu_solve_of(LU, pivots, B, left, adjoint)
    return found


def lu_solve_of(LU: Tensor, pivots: Tensor, B: Tensor, left: bool, turned: bool) -> Any:
    """Solve with factors, which have the derivative."""
    name = "linalg.lu_solve"
    matrices(name, LU, square=True)
    if pivots.spec.dtype is not dt.int32:
        raise DTypeError(
            f"{name}: pivots should be a Tensor of scalar type torch.int32, got {pivots.spec.dtype!r}"
        )
    one_dtype(name, LU, B, ("LU", "B"))
    check_fit(name, LU, B, left)
    if pivots.spec.shape[-1:] != LU.spec.shape[-1:]:
        raise ShapeError(
            f"{name}: Number of pivots per batch should be same as the dimension of the matrix, got "
            f"{pivots.spec.shape} for {LU.spec.shape}"
        )
    if pivots.spec.shape != LU.spec.shape[:-1]:
        raise ShapeError(
            f"{name}: Expected LU.shape[:-1] and pivots.shape to be the same, but got pivots with shape "
            f"{pivots.spec.shape} instead of {LU.spec.shape[:-1]}"
        )
    n = LU.spec.shape[-1]
    pivots = e.add(within("lu_solve", e.sub(pivots, 1), n), 1)
    packed, order, b = equal_batches(name, LU, column(pivots), B)
    order = ops.lu_permutation.bind(v.reshape.bind(order, shape=order.spec.shape[:-1]), rows=n)
    x = solved.fun(packed, packed, order, b if left else adjoint(b), turned=turned == left)
    return x if left else adjoint(x)


# -- triangular matrices ---------------------------------------------------------------------------


@takes_out
def solve_triangular(
    input: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """Return X with input @ X = B, or X @ input = B if not `left`, for one triangle; the other one is not read.

    With `unitriangular` the diagonal counts as ones. A zero on it gives inf and nan, and no error. Batches
    broadcast.

    >>> import tabgrad as tg
    >>> A = tg.tensor([[2.0, 0.0], [1.0, 1.0]], device="cpu")
    >>> tg.linalg.solve_triangular(A, tg.ones(2, 1, device="cpu"), upper=False)
    tensor([[0.5000],
            [0.5000]])
    """
    name = "linalg.solve_triangular"
    matrices(name, input, square=True)
    check_fit(name, input, B, left)
    a, b = equal_batches(name, input, B)
    if left:
        return solve_left(a, b, upper=upper, unit=unitriangular)
    found: Tensor = adjoint(solve_left(adjoint(a), adjoint(b), upper=not upper, unit=unitriangular))
    return found


@takes_out
def triangular_solve(
    input: Tensor,
    A: Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> return_types.triangular_solve:
    """Return X with A X = input for one triangle of A, or with its transpose, and A; an older function.

    >>> import tabgrad as tg
    >>> x, _ = tg.triangular_solve(tg.ones(2, 1, device="cpu"), 2 * tg.eye(2, device="cpu"))
    >>> x
    tensor([[0.5000],
            [0.5000]])
    """
    name = "torch.triangular_solve"
    for what, x in (("b", input), ("A", A)):
        if len(x.spec.shape) < 2:
            raise ShapeError(
                f"{name}: Expected {what} to have at least 2 dimensions, but it has {len(x.spec.shape)} "
                "dimensions instead"
            )
    matrices(name, A, square=True)
    one_dtype(name, input, A, ("b", "A"))
    shape, given = A.spec.shape, input.spec.shape
    if given[-2] != shape[-1]:
        raise ShapeError(
            f"Incompatible matrix sizes for triangular_solve: each A matrix is {shape[-2]} by {shape[-1]} but "
            f"each b matrix is {given[-2]} by {given[-1]}"
        )
    b, a = equal_batches(name, input, A)
    used = (
        v.permute.bind(a, dims=(*range(len(a.spec.shape) - 2), *_last_two(a))) if transpose else a
    )
    x = solve_left(used, b, upper=upper != transpose, unit=unitriangular)
    return return_types.triangular_solve(x, e.copy.bind(a))


def _last_two(x: Tensor) -> tuple[int, int]:
    return len(x.spec.shape) - 1, len(x.spec.shape) - 2


@takes_out
def cholesky_solve(input: Tensor, input2: Tensor, upper: bool = False) -> Tensor:
    """Return X with L Lᴴ X = input for L = input2, or Uᴴ U X = input with `upper`.

    >>> import tabgrad as tg
    >>> L = tg.linalg.cholesky(4 * tg.eye(2, device="cpu"))
    >>> tg.cholesky_solve(tg.ones(2, 1, device="cpu"), L)
    tensor([[0.2500],
            [0.2500]])
    """
    if len(input.spec.shape) < 2:
        raise ShapeError(
            f"b should have at least 2 dimensions, but has {len(input.spec.shape)} dimensions instead"
        )
    matrices("cholesky_solve", input2, square=True)
    one_dtype("cholesky_solve", input, input2, ("b", "A"))
    shape, given = input2.spec.shape, input.spec.shape
    if given[-2] != shape[-1]:
        raise ShapeError(
            f"Incompatible matrix sizes for cholesky_solve: each A matrix is {shape[-2]} by {shape[-1]} but "
            f"each b matrix is {given[-2]} by {given[-1]}"
        )
    b, low = equal_batches("cholesky_solve", input, input2)
    if upper:
        low = adjoint(low)
    return solve_left(adjoint(low), solve_left(low, b, upper=False), upper=True)


@takes_out
def cholesky_inverse(input: Tensor, upper: bool = False) -> Tensor:
    """Return the inverse of L Lᴴ for L = input, or of Uᴴ U with `upper`.

    >>> import tabgrad as tg
    >>> tg.cholesky_inverse(2 * tg.eye(2, device="cpu"))
    tensor([[0.2500, 0.0000],
            [0.0000, 0.2500]])
    """
    matrices("cholesky_inverse", input, square=True)
    low = adjoint(input) if upper else input
    one = v.expand.bind(identity(input, input.spec.shape[-1]), shape=input.spec.shape)
    half = solve_left(low, one, upper=False)
    found: Tensor = matmul.bind(adjoint(half), half)
    return found


# -- tensors as matrices ---------------------------------------------------------------------------


@takes_out
def tensorsolve(input: Tensor, other: Tensor, dims: Any = None) -> Tensor:
    """Return X with tensordot(input, X, X.ndim) = other; the `dims` of the first are moved to its end before.

    >>> import tabgrad as tg
    >>> A = tg.eye(4, device="cpu").reshape(2, 2, 4)
    >>> tg.linalg.tensorsolve(A, tg.ones(2, 2, device="cpu"))
    tensor([1., 1., 1., 1.])
    """
    rank = len(input.spec.shape)
    if dims is not None:
        moved = [axis_of("linalg.tensorsolve", d, input.spec.shape) for d in dims]
        order = (*(i for i in range(rank) if i not in moved), *moved)
        input = v.permute.bind(input, dims=order)
    count = len(other.spec.shape)
    rows, rest = math.prod(input.spec.shape[:count]), input.spec.shape[count:]
    if math.prod(rest) != rows:
        raise ShapeError(
            "linalg.tensorsolve: Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
            f"prod(self.shape[:other.ndim]), but got {math.prod(rest)} != {rows}"
        )
    x = solve(
        v.reshape.bind(input, shape=(rows, rows)), v.reshape.bind(other, shape=(other.spec.size,))
    )
    return v.reshape.bind(x, shape=rest)


@takes_out
def tensorinv(input: Tensor, ind: int = 2) -> Tensor:
    """Return the inverse of the map tensordot(input, ., ind): the last dims become the first of the result.

    >>> import tabgrad as tg
    >>> tuple(tg.linalg.tensorinv(tg.eye(4, device="cpu").reshape(2, 2, 4)).shape)
    (4, 2, 2)
    """
    if ind <= 0:
        raise ArgumentError(f"Expected a strictly positive integer for 'ind', but got {ind}")
    needs_rank("linalg.tensorinv", input.spec.shape, ind)
    first, last = input.spec.shape[:ind], input.spec.shape[ind:]
    n = math.prod(first)
    if math.prod(last) != n:
        raise ShapeError(
            "linalg.tensorinv: Expected self to satisfy the requirement prod(self.shape[ind:]) == "
            f"prod(self.shape[:ind]), but got {math.prod(last)} != {n}"
        )
    return v.reshape.bind(inv(v.reshape.bind(input, shape=(n, n))), shape=(*last, *first))


__all__ = [
    "cholesky_inverse", "cholesky_solve", "inv", "inv_ex", "inverse", "lu_solve", "solve", "solve_ex",
    "solve_triangular", "tensorinv", "tensorsolve", "triangular_solve",
]  # fmt: skip

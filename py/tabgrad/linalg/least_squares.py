"""What singular values tell: pseudo-inverses, ranks, condition numbers, the best solution where none fits."""

from __future__ import annotations

from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError
from tabgrad.core.promotion import accumulate
from tabgrad.core.spec import spec
from tabgrad.core.trace import Box, constant
from tabgrad.linalg import return_types
from tabgrad.linalg.arguments import (
    equal_batches,
    hermitian as as_hermitian,
    matrices,
    one_dtype,
    verified,
)  # fmt: skip
from tabgrad.linalg.factoring import identity
from tabgrad.linalg.formulas import formula
from tabgrad.linalg.norms import matrix_norm
from tabgrad.linalg.solving import inv_ex
from tabgrad.linalg.spectra import eigh_of, svd_of, values_of
from tabgrad.ops import decompositions as ops, elementwise as e, view as v
from tabgrad.ops.decomposition_rules import (
    EPSILON,
    adjoint,
    as_dtype,
    column,
    diagonal,
    length,
    lower,
    readable,
    row,
    rows,
    solve_left,
)  # fmt: skip
from tabgrad.ops.linalg import matmul
from tabgrad.ops.reduction import reduce_any, reduce_max, reduce_sum
from tabgrad.ops.rounding import eq, gt
from tabgrad.tensor import Tensor, creation
from tabgrad.tensor.public import takes_out

DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


# -- tolerances ------------------------------------------------------------------------------------


def _tolerances(name: str, A: Tensor, atol: Any, rtol: Any) -> tuple[Any, Any]:
    """Return the absolute and the relative tolerance of each matrix."""
    real = dt.real_of(A.spec.dtype)
    if rtol is None:
        given = atol is not None and (isinstance(atol, Box) or atol > 0)
        rtol = 0.0 if given else EPSILON[real.itemsize] * max(A.spec.shape[-2:])
    lead = spec(A.spec.shape[:-2], real)
    found = []
    for what, x in (("atol", 0.0 if atol is None else atol), ("rtol", rtol)):
        if not isinstance(x, Box):
            found.append(constant(float(x), lead, A.device))
            continue
        if x.spec.dtype.is_complex:
            raise DTypeError(
                f"{name}: {what} tensor of complex type is not supported. Got {x.spec.dtype.title}"
            )
        given_: Any = x
        found.append(v.expand.bind(as_dtype(given_, real), shape=lead.shape))
    return found[0], found[1]


def _large(s: Any, atol: Any, rtol: Any) -> Any:
    """Test which singular values, all positive, are above the tolerance."""
    if not s.spec.size:
        return gt(s, 0)
    top = reduce_max.bind(s, axes=(len(s.spec.shape) - 1,))
    relative = e.mul(rtol, top)
    return gt(s, column(e.where(gt(atol, relative), atol, relative)))


# -- pseudo-inverses -------------------------------------------------------------------------------


def _outside(p: Any, a: Any) -> tuple[Any, Any]:
    """Return what is left of x outside the columns of `a`, and outside its rows, as functions of x."""
    return (
        lambda x: e.sub(x, matmul.bind(a, matmul.bind(p, x))),
        lambda x: e.sub(x, matmul.bind(p, matmul.bind(a, x))),
    )


def change_of_pinv(a: Any, p: Any, da: Any) -> Any:
    """Return the derivative of the pseudo-inverse along `da`, while the rank stays the same."""
    columns_, rows_ = _outside(p, a)
    back, t = adjoint(p), adjoint(da)
    first = matmul.bind(matmul.bind(p, da), p)
    # x (I - a p) is the adjoint of (I - a p) xᴴ
    second = matmul.bind(p, matmul.bind(back, adjoint(columns_(adjoint(t)))))
    third = matmul.bind(rows_(matmul.bind(t, back)), p)
    return e.sub(e.add(second, third), first)


def pull_of_pinv(a: Any, p: Any, g: Any) -> Any:
    """Return the cotangent of `a` for that of its pseudo-inverse."""
    columns_, rows_ = _outside(p, a)
    back, t = adjoint(p), adjoint(g)
    first = matmul.bind(matmul.bind(back, g), back)
    second = matmul.bind(matmul.bind(columns_(t), p), back)
    third = adjoint(rows_(matmul.bind(matmul.bind(g, back), p)))
    return e.sub(e.add(second, third), first)


@formula(
    derivative=lambda primals, tangents, ys, *, hermitian: [
        None if tangents[0] is None else change_of_pinv(primals[0], ys[0], tangents[0])
    ],
    pull=lambda cts, primals, ys, *, hermitian: [
        pull_of_pinv(primals[0], ys[0], cts[0]), None, None,
    ],
)  # fmt: skip
def _pinv(a: Tensor, atol: Tensor, rtol: Tensor, *, hermitian: bool) -> Any:
    """Return the pseudo-inverses; singular values up to the tolerance count as zero."""
    if hermitian:
        w, u = eigh_of(a, "L")
        size, vh = e.abs_(w), adjoint(u)
    else:
        u, w, vh = svd_of(a)
        size = w
    keep = _large(size, atol, rtol)
    inverse = e.where(keep, e.div(1, e.where(keep, w, 1)), 0)
    return matmul.bind(e.mul(adjoint(vh), row(as_dtype(inverse, a.spec.dtype))), adjoint(u))


@takes_out
def pinv(
    input: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Tensor:
    """Return the pseudo-inverses of matrices.

    Singular values up to max(atol, rtol * the largest one) count as zero; `rcond` is an older name of `rtol`.
    By default that is rounding: eps * max(m, n). With `hermitian` the lower triangle is read. The derivative
    is that of matrices whose rank stays the same.

    >>> import tabgrad as tg
    >>> tg.linalg.pinv(tg.tensor([[2.0], [0.0]], device="cpu"))
    tensor([[0.5000, 0.0000]])
    """
    if (
        len(input.spec.shape) < 2
        or input.spec.dtype.category < dt.FLOAT
        or input.spec.dtype in dt.HALVES
    ):
        raise DTypeError(
            f"linalg.pinv({input.spec.dtype.title}{{{list(input.spec.shape)}}}): expected a tensor with 2 or "
            "more dimensions of float, double, cfloat or cdouble types"
        )
    if hermitian:
        matrices("linalg.eigh", input, square=True)
        low = as_hermitian(input)
        # what is not read counts as what it stands for
        input = e.add(lower(low), adjoint(lower(low, -1)))
    tolerances = _tolerances("torch.linalg.pinv", input, atol, rtol if rcond is None else rcond)
    found: Tensor = _pinv(input, *tolerances, hermitian=hermitian)
    return found


def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """Return `linalg.pinv` with a relative tolerance of `rcond`.

    >>> import tabgrad as tg
    >>> tg.pinverse(tg.tensor([[2.0], [0.0]], device="cpu"))
    tensor([[0.5000, 0.0000]])
    """
    return pinv(input, rcond)


@takes_out
def matrix_rank(
    input: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Tensor:
    """Return how many singular values are above max(atol, rtol * the largest one); `tol` is an older `atol`.

    By default that is rounding: eps * max(m, n) of the largest. With `hermitian` the lower triangle is read.

    >>> import tabgrad as tg
    >>> tg.linalg.matrix_rank(tg.ones(2, 2, device="cpu"))
    tensor(1)
    """
    name = "torch.linalg.matrix_rank"
    matrices(name, input)
    if tol is not None:
        atol, rtol = tol, 0.0
    input = e.stop_gradient.bind(input)
    if hermitian:
        s = e.abs_(eigh_of(input, "L", vectors=False)[0])
    else:
        s = values_of(name, input)
    kept = _large(s, *_tolerances(name, input, atol, rtol))
    number = e.cast.bind(kept, dtype=input.device.index_dtype)
    return reduce_sum.bind(number, axes=(len(s.spec.shape) - 1,))


@takes_out
def cond(input: Tensor, p: Any = None) -> Tensor:
    """Return the condition numbers: the norm of a matrix times that of its inverse.

    Of the norm `p`, which is 2 by default; 2 and -2 are for matrices that are not square, too. A singular
    matrix has inf.

    >>> import tabgrad as tg
    >>> tg.linalg.cond(tg.tensor([[4.0, 0.0], [0.0, 2.0]], device="cpu"))
    tensor(2.)
    """
    if len(input.spec.shape) < 2:
        raise ShapeError(
            f"linalg.cond: The input tensor must have at least 2 dimensions, got {input.spec.shape}"
        )
    inf = float("inf")
    if p is not None and p not in ("fro", "nuc", inf, -inf, 1, -1, 2, -2):
        raise ArgumentError(
            f"linalg.cond got an invalid norm type: {p}; expected None, 'fro', 'nuc', inf, -inf, 1, -1, 2 or -2"
        )
    if p is not None and p not in (2, -2):
        matrices(f"linalg.cond(ord={p})", input, square=True)
    else:
        matrices("linalg.cond", input)
    if not input.spec.size:
        return creation.filled(
            input.spec.shape[:-2], 0.0, dt.real_of(input.spec.dtype), input.device
        )
    if p in (None, 2, -2):
        s = values_of("linalg.cond", input)
        first, last = s[..., 0], s[..., -1]
        return e.div(last, first) if p == -2 else e.div(first, last)
    inverse, info = inv_ex(input)
    singular = gt(info, 0)
    inverse = e.where(column(column(singular)), inf, inverse)
    return e.where(singular, inf, e.mul(matrix_norm(input, p), matrix_norm(inverse, p)))


# -- least squares ---------------------------------------------------------------------------------


def _inverse(a: Any, rcond: Any, driver: str) -> Any:
    """Return the pseudo-inverses that a driver solves with."""
    if driver != "gels":
        return _pinv(a, e.mul(rcond, 0), rcond, hermitian=False)
    m = a.spec.shape[-2]
    one = v.expand.bind(identity(a, m), shape=(*a.spec.shape[:-2], m, m))
    return _best(a, one, rcond, driver=driver)


def _best_derivative(primals: Any, tangents: Any, ys: Any, *, driver: str) -> Any:
    (a, b, rcond), (da, db, _) = primals, tangents
    p = _inverse(a, rcond, driver)
    change = None if db is None else matmul.bind(p, db)
    if da is not None:
        change = accumulate(change, matmul.bind(change_of_pinv(a, p, da), b))
    return [change]


def _best_pull(cts: Any, primals: Any, ys: Any, *, driver: str) -> Any:
    (g,), (a, b, rcond) = cts, primals
    p = _inverse(a, rcond, driver)
    return pull_of_pinv(a, p, matmul.bind(g, adjoint(b))), matmul.bind(adjoint(p), g), None


@formula(derivative=_best_derivative, pull=_best_pull)
def _best(a: Tensor, b: Tensor, rcond: Tensor, *, driver: str) -> Any:
    """Return the shortest of the solutions x for which a x is nearest to b."""
    m, n = a.spec.shape[-2:]
    if driver == "gels":
        q, r = ops.qr.bind(a if m >= n else adjoint(a))
        if m >= n:
            return solve_left(r, matmul.bind(adjoint(q), b), upper=True)
        return matmul.bind(q, solve_left(adjoint(r), b, upper=False))
    u, s, vh = svd_of(a)
    keep = _large(s, e.mul(rcond, 0), rcond)
    inverse = column(as_dtype(e.where(keep, e.div(1, e.where(keep, s, 1)), 0), a.spec.dtype))
    return matmul.bind(adjoint(vh), e.mul(inverse, matmul.bind(adjoint(u), b)))


def _check_least(A: Tensor, B: Tensor, driver: str | None) -> bool:
    """Raise for arguments that do not fit; return whether B is vectors."""
    name = "torch.linalg.lstsq"
    shape, given = A.spec.shape, B.spec.shape
    if len(shape) < 2:
        raise ShapeError(f"{name}: input must have at least 2 dimensions, got {shape}")
    if not given:
        raise ShapeError(f"{name}: other must have at least 1 dimension, got a scalar")
    one_dtype(name, A, B, ("input", "other"))
    matrices(name, A)
    if driver is not None and driver not in DRIVERS:
        raise ArgumentError(
            f"{name}: parameter `driver` should be one of ({', '.join(DRIVERS)}), got {driver!r}"
        )
    vectors = len(given) == 1 or (len(given) == len(shape) - 1 and given == shape[:-1])
    if len(given) != len(shape) - vectors:
        raise ShapeError(
            f"{name}: other must be matrices with as many dimensions as input, or vectors with one less and "
            f"the batch sizes of input, got {shape} and {given}"
        )
    if given[-1 if vectors else -2] != shape[-2]:
        raise ShapeError(
            f"{name}: input.size(-2) should match other.size({-1 if vectors else -2}), got {shape} and {given}"
        )
    return vectors


@takes_out
def lstsq(
    input: Tensor, b: Tensor, rcond: float | None = None, *, driver: str | None = None
) -> return_types.linalg_lstsq:
    """Return the X for which input @ X is nearest to b: the shortest one if there are several.

    `driver` is "gelsy" by default; it, "gelsd" and "gelss" take singular values, of which those up to `rcond`
    times the largest (by default rounding) count as zero; "gels" takes QR factors, and A must have full rank.
    The other results are the squared residuals of columns, if m > n and the rank is full, the rank, and the
    singular values; what a driver does not compute is empty. On a lazy device the rank is not looked at.

    >>> import tabgrad as tg
    >>> A = tg.tensor([[1.0], [1.0]], device="cpu")
    >>> tg.linalg.lstsq(A, tg.tensor([[1.0], [3.0]], device="cpu")).solution.round(decimals=3)
    tensor([[2.]])
    """
    vectors = _check_least(input, b, driver)
    driver = driver or "gelsy"
    a, b = equal_batches("torch.linalg.lstsq", input, column(b) if vectors else b)
    m, n = a.spec.shape[-2:]
    real = dt.real_of(a.spec.dtype)
    least = EPSILON[real.itemsize] * max(m, n) if rcond is None or rcond < 0 else float(rcond)
    tolerance = constant(least, spec(a.spec.shape[:-2], real), a.device)
    x = _best(a, b, tolerance, driver=driver)
    empty = creation.filled((0,), 0, real, a.device)
    ranks: Any = creation.filled((0,), 0, a.device.index_dtype, a.device)
    values: Any = empty
    if driver == "gels":
        x = _full_rank(a, x)
    else:
        s = values_of("torch.linalg.lstsq", e.stop_gradient.bind(a))
        kept = e.cast.bind(_large(s, e.mul(tolerance, 0), tolerance), dtype=a.device.index_dtype)
        ranks = reduce_sum.bind(kept, axes=(len(s.spec.shape) - 1,))
        values = empty if driver == "gelsy" else s
    residuals: Any = empty
    if m > n and driver != "gelsy" and (driver == "gels" or _all_full(ranks, n)):
        error = length_of(e.sub(matmul.bind(a, x), b))
        residuals = reduce_sum.bind(error, axes=(len(error.spec.shape) - 2,))
    x = v.reshape.bind(x, shape=x.spec.shape[:-1]) if vectors else x
    return return_types.linalg_lstsq(x, residuals, ranks, values)


def length_of(x: Any) -> Any:
    """Return the squares of absolute values."""
    if not x.spec.dtype.is_complex:
        return e.square(x)
    return e.cast.bind(e.mul(x, e.conj(x)), dtype=dt.real_of(x.spec.dtype))


def _all_full(ranks: Tensor, n: int) -> bool:
    return not readable(ranks) or bool(eq(ranks, n).all().item())


def _full_rank(a: Tensor, x: Any) -> Any:
    """Return the solution by QR factors if no diagonal element is zero."""
    m, n = a.spec.shape[-2:]
    if not a.spec.size:
        return x
    a = e.stop_gradient.bind(a)
    d = length(diagonal(rows(ops.qr.bind(a if m >= n else adjoint(a))[1], 0, min(m, n))))
    failed = reduce_any.bind(eq(d, 0), axes=(len(d.spec.shape) - 1,))
    text = (
        "torch.linalg.lstsq: {element}The least squares solution could not be computed because the input "
        "matrix does not have full rank; use another driver"
    )
    return verified(text, e.cast.bind(failed, dtype=dt.int32), x)


__all__ = ["cond", "lstsq", "matrix_rank", "pinv", "pinverse"]

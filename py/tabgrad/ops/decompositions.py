"""A late room: decompositions of matrices, and solving with triangles. The last two axes are a matrix.

Failures are results: an `info` of each matrix, or nan. What raises for them is a check in `linalg`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError, ShapeError
from tabgrad.core.families import kernel, to_front
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Array, Operand, same_dtype
from tabgrad.core.several import several
from tabgrad.core.shape import Shape
from tabgrad.core.spec import Spec, spec
from tabgrad.ops import (
    decomposition_rules as rules,
    decompositions_numpy as numpy_,
    ldl_numpy,
    spectrum_rules as spectra,
)
from tabgrad.ops.view import permute, reshape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tabgrad.core.op import Operands
    from tabgrad.tensor import Tensor

DTYPES = (dt.float32, dt.float64, dt.complex64, dt.complex128)


def _sizes(name: str, x: Spec, square: bool = False) -> tuple[Shape, int, int]:
    """Return the batch axes and the sizes of matrices, or raise."""
    if x.dtype not in DTYPES:
        raise DTypeError(f"{name}: is for float32, float64 and complex matrices, got {x.dtype!r}")
    if len(x.shape) < 2 or (square and x.shape[-1] != x.shape[-2]):
        raise ShapeError(f"{name}: expected {'square ' if square else ''}matrices, got {x.shape}")
    return x.shape[:-2], x.shape[-2], x.shape[-1]


def _batched(op: Callable[[], Any]) -> Any:
    """Return the batching rule of an op of one operand, for which batch axes are in front."""
    return lambda n, args, dims, **params: op().bind(to_front(args[0], dims[0], n), **params)


def _empty(specs: Any) -> Any:
    """Return results without elements, and those of matrices without any."""
    return tuple(np.zeros(s.shape, s.dtype.name) for s in specs)


def _of(x: Array) -> Spec:
    return spec(x.shape, dt.by_name(x.dtype.name))


# -- Cholesky --------------------------------------------------------------------------------------


def _cholesky_specs(a: Spec) -> tuple[Spec, Spec]:
    lead, _, _ = _sizes("cholesky", a, square=True)
    return a, spec(lead, dt.int32)


@several(
    results=2,
    infer=_cholesky_specs,
    derivative=rules.cholesky,
    batching=_batched(lambda: cholesky),
    samples=lambda: iter([((("definite", (3, 3)),), {}), ((("definite", (2, 4, 4)),), {})]),
)
def cholesky(a: Operand) -> Any:
    """Factor Hermitian positive definite matrices, of which the lower triangle is read, as L Lᴴ.

    The results are L, with zeros above, and info as int32: 0, or the order of the first leading minor that is
    not positive definite, counted from 1. L is nan throughout for such a matrix.
    """
    return numpy_.cholesky(a) if a.size else _empty(_cholesky_specs(_of(a)))


# -- triangles -------------------------------------------------------------------------------------


def _solved_spec(a: Spec, b: Spec, *, upper: bool, unit: bool) -> Spec:
    lead, n, _ = _sizes("triangular_solve", a, square=True)
    same_dtype("triangular_solve", (a, b))
    if len(b.shape) != len(a.shape) or b.shape[:-1] != (*lead, n):
        raise ShapeError(f"triangular_solve: {a.shape} and {b.shape} do not fit")
    return b


def _solved_batch(
    n: int, args: Operands, dims: Sequence[int | None], *, upper: bool, unit: bool
) -> Tensor:
    a, b = args
    if dims[0] is not None:
        a, b = (to_front(x, d, n) for x, d in zip(args, dims, strict=True))
        return triangular_solve.bind(a, b, upper=upper, unit=unit)
    # one matrix for all: the batch joins the columns
    b = to_front(b, dims[1], n)
    shape = b.spec.shape
    rank = len(shape)
    joined = permute.bind(b, dims=(*range(1, rank), 0))
    joined = reshape.bind(joined, shape=(*shape[1:-1], shape[-1] * n))
    x = triangular_solve.bind(a, joined, upper=upper, unit=unit)
    x = reshape.bind(x, shape=(*shape[1:], n))
    return permute.bind(x, dims=(rank - 1, *range(rank - 1)))


def _solved_samples() -> Iterator[Any]:
    for upper in (False, True):
        yield (("triangle", (3, 3)), (3, 2)), {"upper": upper, "unit": False}
    yield (("triangle", (2, 3, 3)), (2, 3, 1)), {"upper": False, "unit": True}


@kernel(
    infer=_solved_spec,
    derivative=rules.triangular_solve,
    transpose=rules.triangular_solve_transpose,
    batching=_solved_batch,
    samples=_solved_samples,
)
def triangular_solve(a: Operand, b: Operand, *, upper: bool, unit: bool) -> Array:
    """Solve a x = b with one triangle of `a`; `unit` says that its diagonal is ones, and is not read.

    The other triangle is never read. A zero on the diagonal gives inf and nan, as a division does.
    """
    return numpy_.triangular_solve(a, b, upper, unit) if b.size else np.zeros_like(b)


# -- LU --------------------------------------------------------------------------------------------


def _lu_specs(a: Spec) -> tuple[Spec, Spec, Spec]:
    lead, m, n = _sizes("lu", a)
    return a, spec((*lead, min(m, n)), dt.int32), spec(lead, dt.int32)


@several(
    results=3,
    infer=_lu_specs,
    derivative=rules.lu,
    batching=_batched(lambda: lu),
    samples=lambda: iter([(((3, 3),), {}), (((2, 4, 2),), {}), (((2, 3),), {})]),
)
def lu(a: Operand) -> Any:
    """Factor matrices as P L U, with the largest pivot of each column.

    The results are L and U in one matrix (the ones on the diagonal of L are left out), the pivots as int32
    (row i was swapped with row pivots[i] - 1, in this order), and info as int32: the first pivot that is
    zero, counted from 1, else 0.
    """
    return numpy_.lu(a) if a.size else _empty(_lu_specs(_of(a)))


def _permutation_spec(pivots: Spec, *, rows: int) -> Spec:
    if not pivots.shape or pivots.dtype.category != dt.INT or rows < pivots.shape[-1]:
        raise ShapeError(f"lu_permutation: {pivots} can't be pivots of {rows} rows")
    return spec((*pivots.shape[:-1], rows), dt.int32)


@kernel(
    infer=_permutation_spec,
    derivative=None,
    batching=_batched(lambda: lu_permutation),
    samples=lambda: iter([((("index", (3,), 5),), {"rows": 5}), ((("index", (2, 3), 3),), {"rows": 3})]),
)  # fmt: skip
def lu_permutation(pivots: Operand, *, rows: int) -> Array:
    """Compute the permutation p of the pivots of `lu`: row i of L U is row p[i] of the matrix.

    A pivot below 1 or above `rows` counts as the nearest that is possible.
    """
    return numpy_.permutation(pivots, rows)


# -- QR --------------------------------------------------------------------------------------------


def _geqrf_specs(a: Spec) -> tuple[Spec, Spec]:
    lead, m, n = _sizes("geqrf", a)
    return a, spec((*lead, min(m, n)), a.dtype)


@several(
    results=2,
    infer=_geqrf_specs,
    derivative=None,
    batching=_batched(lambda: geqrf),
    samples=lambda: iter([(((3, 2),), {}), (((2, 2, 4),), {}), (((3, 3),), {})]),
)
def geqrf(a: Operand) -> Any:
    """Factor matrices as Q R by reflections, and keep these as LAPACK does.

    The results are R with the reflections below its diagonal (each has a 1 there, left out), and their factors
    tau: Q is the product of I - tau v vᴴ.
    """
    if not a.size:
        return _empty(_geqrf_specs(_of(a)))
    h, tau = np.linalg.qr(a, "raw")
    return np.swapaxes(h, -1, -2), tau


def _qr_specs(a: Spec) -> tuple[Spec, Spec]:
    lead, m, n = _sizes("qr", a)
    k = min(m, n)
    return spec((*lead, m, k), a.dtype), spec((*lead, k, n), a.dtype)


@several(
    results=2,
    infer=_qr_specs,
    derivative=rules.qr,
    batching=_batched(lambda: qr),
    samples=lambda: iter([(((3, 2),), {}), (((2, 2, 4),), {}), (((3, 3),), {})]),
)
def qr(a: Operand) -> Any:
    """Factor [m, n] matrices as Q [m, k] with orthonormal columns times R [k, n] upper triangular, k the less.

    The diagonal of R is real, with the signs that reflections give it (see `geqrf`).
    """
    return np.linalg.qr(a) if a.size else _empty(_qr_specs(_of(a)))


# -- eigenvalues, singular values ------------------------------------------------------------------


def _eigh_specs(a: Spec) -> tuple[Spec, Spec]:
    lead, n, _ = _sizes("eigh", a, square=True)
    return spec((*lead, n), dt.real_of(a.dtype)), a


@several(
    results=2,
    infer=_eigh_specs,
    derivative=spectra.eigh,
    pull=spectra.eigh_pull,
    push=spectra.eigh_push,
    batching=_batched(lambda: eigh),
    samples=lambda: iter([(((3, 3),), {}), (((2, 4, 4),), {})]),
)
def eigh(a: Operand) -> Any:
    """Find the eigenvalues of Hermitian matrices, ascending, and their vectors as the columns of a matrix.

    The lower triangle is read. The first of the largest components of a vector is real and positive. The
    results are nan where there are none.
    """
    return numpy_.attempted(numpy_.eigh, a) if a.size else _empty(_eigh_specs(_of(a)))


def _svd_specs(a: Spec) -> tuple[Spec, Spec, Spec]:
    lead, m, n = _sizes("svd", a)
    k = min(m, n)
    real = dt.real_of(a.dtype)
    return spec((*lead, m, k), a.dtype), spec((*lead, k), real), spec((*lead, k, n), a.dtype)


@several(
    results=3,
    infer=_svd_specs,
    derivative=spectra.svd,
    pull=spectra.svd_pull,
    push=spectra.svd_push,
    batching=_batched(lambda: svd),
    samples=lambda: iter([(((3, 2),), {}), (((2, 2, 4),), {}), (((3, 3),), {})]),
)
def svd(a: Operand) -> Any:
    """Factor [m, n] matrices as U [m, k] times the singular values S [k], descending, times Vᴴ [k, n].

    The first of the largest components of a column of U is real and positive. The results are nan where
    there are none.
    """
    return numpy_.attempted(numpy_.svd, a) if a.size else _empty(_svd_specs(_of(a)))


def _eig_specs(a: Spec) -> tuple[Spec, Spec]:
    lead, n, _ = _sizes("eig", a, square=True)
    kind = a.dtype if a.dtype.is_complex else dt.complex_of(a.dtype)
    return spec((*lead, n), kind), spec(a.shape, kind)


@several(
    results=2,
    infer=_eig_specs,
    derivative=spectra.eig,
    pull=spectra.eig_pull,
    batching=_batched(lambda: eig),
    samples=lambda: iter([(((3, 3),), {}), (((2, 4, 4),), {})]),
)
def eig(a: Operand) -> Any:
    """Find the eigenvalues of square matrices, and their vectors of length 1 as the columns of a matrix.

    The results are complex, and nan where there are none.
    """
    return numpy_.attempted(numpy_.eig, a) if a.size else _empty(_eig_specs(_of(a)))


# -- LDL, which only NumPy computes ----------------------------------------------------------------


def _ldl_specs(a: Spec, *, hermitian: bool) -> tuple[Spec, Spec, Spec]:
    lead, n, _ = _sizes("ldl", a, square=True)
    return a, spec((*lead, n), dt.int32), spec(lead, dt.int32)


@several(
    results=3,
    infer=_ldl_specs,
    derivative=None,
    batching=_batched(lambda: ldl),
    samples=lambda: iter([(((3, 3),), {"hermitian": False}), (((2, 4, 4),), {"hermitian": True})]),
)
def ldl(a: Operand, *, hermitian: bool) -> Any:
    """Factor symmetric or Hermitian matrices, of which the lower triangle is read, as L D Lᵀ or L D Lᴴ.

    The results are L and D in one lower triangle, the pivots as LAPACK counts them (a pair of equal negative
    ones is a block of two), and info: the first block of D that is zero, counted from 1, else 0.
    """
    return (
        ldl_numpy.factor(a, hermitian)
        if a.size
        else _empty(_ldl_specs(_of(a), hermitian=hermitian))
    )


def _ldl_solved_spec(ld: Spec, pivots: Spec, b: Spec, *, hermitian: bool) -> Spec:
    lead, n, _ = _sizes("ldl_solve", ld, square=True)
    same_dtype("ldl_solve", (ld, b))
    if pivots.shape != (*lead, n) or pivots.dtype.category != dt.INT or b.shape[:-1] != (*lead, n):
        raise ShapeError(f"ldl_solve: {ld}, {pivots} and {b} do not fit")
    return b


@kernel(
    infer=_ldl_solved_spec,
    derivative=None,
    batching=lambda n, args, dims, *, hermitian: ldl_solve.bind(
        *(to_front(x, d, n) for x, d in zip(args, dims, strict=True)), hermitian=hermitian
    ),
    samples=lambda: iter(
        [((("triangle", (3, 3)), ("index", (3,), 3), (3, 2)), {"hermitian": False})]
    ),
)
def ldl_solve(ld: Operand, pivots: Operand, b: Operand, *, hermitian: bool) -> Array:
    """Solve a x = b with what `ldl` returned for `a`."""
    return ldl_numpy.solve(ld, pivots, b, hermitian) if b.size else np.zeros_like(b)


__all__ = [
    "cholesky", "eig", "eigh", "geqrf", "ldl", "ldl_solve", "lu", "lu_permutation", "qr", "svd",
    "triangular_solve",
]  # fmt: skip

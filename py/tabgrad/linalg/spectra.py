"""Eigenvalues and singular values."""

from __future__ import annotations

from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError
from tabgrad.linalg import return_types
from tabgrad.linalg.arguments import hermitian, matrices, verified
from tabgrad.linalg.factoring import orthogonal
from tabgrad.linalg.formulas import formula
from tabgrad.linalg.on_host import moved, on_host
from tabgrad.ops import decompositions as ops, elementwise as e, spectrum_rules
from tabgrad.ops.decomposition_rules import adjoint, column, columns
from tabgrad.ops.indexing import cat
from tabgrad.ops.reduction import reduce_any
from tabgrad.ops.rounding import isnan
from tabgrad.tensor import Tensor
from tabgrad.tensor.public import takes_out

NOT_FINITE = "{element}The algorithm failed to converge because the input matrix contained non-finite values."


def _found(name: str, values: Any, *vectors: Any) -> Any:
    """Return eigenvalues or singular values, and vectors, if they exist: if no value is nan."""
    if not values.spec.size:
        return (values, *vectors)
    failed = reduce_any.bind(isnan(values), axes=(len(values.spec.shape) - 1,))
    info = e.cast.bind(failed, dtype=dt.int32)
    found = verified(f"{name}: {NOT_FINITE}", info, column(values), *vectors)
    if not vectors:
        return (_flat(found),)
    return (_flat(found[0]), *found[1:])


def _flat(x: Any) -> Any:
    return x.squeeze(-1)


# -- Hermitian matrices ----------------------------------------------------------------------------


def eigh_of(A: Tensor, UPLO: str, vectors: bool = True) -> Any:
    """Return ascending eigenvalues and vectors of checked matrices."""
    matrices("linalg.eigh", A, square=True)
    if UPLO.upper() not in ("L", "U"):
        raise ArgumentError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    x = hermitian(A)
    w, v = ops.eigh.bind(adjoint(x) if UPLO.upper() == "U" else x)
    return _found("linalg.eigh", w, v) if vectors else _found("linalg.eigh", w)


@takes_out
def eigh(input: Tensor, UPLO: str = "L") -> return_types.linalg_eigh:
    """Return the eigenvalues of Hermitian matrices, ascending, and their vectors as columns.

    One triangle is read, the lower one unless UPLO is "U". A vector has length 1, and the first of its largest
    components is positive. LinAlgError is raised for nan.

    Where eigenvalues coincide but for rounding, their vectors are any basis of one space, and the
    derivative of a loss that does not depend on that choice is right, or nan where it can't be known. In
    reverse mode it is right for a loss of the eigenvalues alone that treats them alike, and for a loss of
    the vectors alone; for a loss of both, such as V f(w) Vᴴ, it is nan. In forward mode it is right for all
    of these, and the vectors are those to which the tangent leads (degenerate perturbation theory).

    >>> import tabgrad as tg
    >>> tg.linalg.eigh(tg.tensor([[2.0, 1.0], [1.0, 2.0]], device="cpu")).eigenvalues
    tensor([1., 3.])
    """
    return return_types.linalg_eigh(*eigh_of(input, UPLO))


@takes_out
def eigvalsh(input: Tensor, UPLO: str = "L") -> Tensor:
    """Return the eigenvalues of Hermitian matrices, ascending; see `eigh`.

    >>> import tabgrad as tg
    >>> tg.linalg.eigvalsh(tg.tensor([[2.0, 1.0], [1.0, 2.0]], device="cpu"))
    tensor([1., 3.])
    """
    (found,) = eigh_of(input, UPLO, vectors=False)
    result: Tensor = found
    return result


# -- general matrices ------------------------------------------------------------------------------


@formula(
    derivative=spectrum_rules.eig,
    pull=lambda cts, primals, ys: spectrum_rules.eig_pull(cts, (True,), primals, ys),
)
def _eig_on_host(A: Tensor) -> Any:
    """Return eigenvalues and vectors; their derivatives run where the matrices are."""
    return moved(ops.eig.bind, A)


def _eig(name: str, A: Tensor) -> tuple[Any, Any]:
    matrices(name, A, square=True)
    w, v = on_host(name, ops.eig.bind if A.device.type == "cpu" else _eig_on_host, A)
    if not w.spec.size:
        return w, v
    failed = reduce_any.bind(
        isnan(e.cast.bind(w, dtype=dt.real_of(w.spec.dtype))), axes=(len(w.spec.shape) - 1,)
    )
    text = "torch.linalg.eig: {element}input tensor should not contain infs or NaNs."
    found: tuple[Any, Any] = verified(text, e.cast.bind(failed, dtype=dt.int32), column(w), v)
    return _flat(found[0]), found[1]


@takes_out
def eig(input: Tensor) -> return_types.linalg_eig:
    """Return the eigenvalues of square matrices, in no order, and their vectors of length 1 as columns.

    Both are complex. A derivative needs a loss that does not depend on the phase of a vector, and a matrix
    that has as many vectors as rows: else it is nan. Where eigenvalues coincide it is right for a loss of
    the eigenvalues alone that treats them alike, and nan for one of both. It runs on `cpu` for tensors of
    any device, with one warning.

    >>> import tabgrad as tg
    >>> tg.linalg.eig(tg.tensor([[2.0, 0.0], [0.0, 3.0]], device="cpu")).eigenvalues
    tensor([2.+0.j, 3.+0.j])
    """
    return return_types.linalg_eig(*_eig("linalg.eig", input))


@takes_out
def eigvals(input: Tensor) -> Tensor:
    """Return the eigenvalues of square matrices, which are complex, in no order; see `eig`.

    >>> import tabgrad as tg
    >>> tg.linalg.eigvals(tg.tensor([[2.0, 0.0], [0.0, 3.0]], device="cpu"))
    tensor([2.+0.j, 3.+0.j])
    """
    found: Tensor = _eig("linalg.eigvals", input)[0]
    return found


# -- singular values -------------------------------------------------------------------------------


def svd_of(A: Tensor) -> Any:
    """Return U, S and Vh, reduced, of checked matrices."""
    matrices("linalg.svd", A)
    u, s, vh = ops.svd.bind(A)
    s, u, vh = _found("linalg.svd", s, u, vh)
    return u, s, vh


def _check_driver(driver: str | None) -> None:
    if driver is not None:
        raise ArgumentError(
            "torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER "
            "backend; leave it out"
        )


def completed(q: Tensor) -> Tensor:
    """Return orthonormal columns with more of them, so that there are as many as rows."""
    m, k = q.spec.shape[-2:]
    if m == k:
        return q
    packed, tau = ops.geqrf.bind(e.stop_gradient.bind(q))
    more = orthogonal(packed, tau, m)
    return cat.bind(q, columns(more, k, m), axis=len(q.spec.shape) - 1)


def _full(u: Tensor, vh: Tensor) -> tuple[Any, Any]:
    m, n = u.spec.shape[-2], vh.spec.shape[-1]
    return completed(u) if m > n else u, adjoint(completed(adjoint(vh))) if n > m else vh


@takes_out
def svd(
    A: Tensor, full_matrices: bool = True, *, driver: str | None = None
) -> return_types.linalg_svd:
    """Return U, S and Vh with A = U diag(S) Vh: orthonormal columns and rows, singular values descending.

    If not `full_matrices`, U and Vh have only the min(m, n) columns and rows that belong to singular values.
    The first of the largest components of a column of U is positive. LinAlgError is raised for nan.

    Where singular values coincide, the derivative is right, or nan where it can't be known, as that of
    `eigh`: for a loss of both values and vectors, such as U f(S) Vh, it is right in forward mode alone, and
    of zeros only if the matrix is square. Further columns have no derivative.

    >>> import tabgrad as tg
    >>> tg.linalg.svd(tg.tensor([[0.0, 2.0], [1.0, 0.0]], device="cpu")).S
    tensor([2., 1.])
    """
    _check_driver(driver)
    u, s, vh = svd_of(A)
    if full_matrices:
        u, vh = _full(u, vh)
    return return_types.linalg_svd(u, s, vh)


@takes_out
def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """Return the singular values, descending.

    >>> import tabgrad as tg
    >>> tg.linalg.svdvals(tg.tensor([[0.0, 2.0], [1.0, 0.0]], device="cpu"))
    tensor([2., 1.])
    """
    _check_driver(driver)
    return values_of("linalg.svd", A)


def values_of(name: str, A: Tensor) -> Any:
    """Return the singular values of checked matrices."""
    matrices(name, A)
    return _found("linalg.svd", ops.svd.bind(A)[1])[0]


__all__ = ["eig", "eigh", "eigvals", "eigvalsh", "svd", "svdvals"]

"""The functions of matrices that PyTorch has at its root, and its methods; many are older than `linalg`."""

from __future__ import annotations

from typing import Any

from tabgrad.core.errors import ArgumentError
from tabgrad.linalg import determinants, factoring, return_types, solving, spectra
from tabgrad.linalg.determinants import logdet
from tabgrad.linalg.factoring import geqrf, lu_unpack, orgqr, ormqr
from tabgrad.linalg.least_squares import pinverse
from tabgrad.linalg.low_rank import pca_lowrank, svd_lowrank
from tabgrad.linalg.matrices import chain_matmul, matrix_exp, matrix_power, vander
from tabgrad.linalg.norms import frobenius_norm, nuclear_norm
from tabgrad.linalg.solving import cholesky_inverse, cholesky_solve, inverse, triangular_solve
from tabgrad.ops.decomposition_rules import adjoint
from tabgrad.tensor import Tensor, creation
from tabgrad.tensor.public import publish, takes_out


@takes_out
def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """Return the factors of `linalg.cholesky`.

    >>> import tabgrad as tg
    >>> tg.cholesky(4 * tg.eye(2, device="cpu"))
    tensor([[2., 0.],
            [0., 2.]])
    """
    found: Tensor = factoring.positive("cholesky", input, upper)
    return found


def det(input: Tensor) -> Tensor:
    """Return `linalg.det(input)`.

    >>> import tabgrad as tg
    >>> tg.det(2 * tg.eye(2, device="cpu"))
    tensor(4.)
    """
    return determinants.det(input)


@takes_out
def slogdet(input: Tensor) -> return_types.slogdet:
    """Return what `linalg.slogdet` returns.

    >>> import tabgrad as tg
    >>> tg.slogdet(-tg.eye(3, device="cpu")).sign
    tensor(-1.)
    """
    return return_types.slogdet(*determinants.slogdet(input))


def lu(A: Tensor, pivot: bool = True, get_infos: bool = False) -> tuple[Tensor, ...]:
    """Return L and U in one matrix, and the pivots: `linalg.lu_factor_ex`, with info if `get_infos`.

    LinAlgError says that a pivot is zero, unless `get_infos`.

    >>> import tabgrad as tg
    >>> tg.lu(2 * tg.eye(2, device="cpu"))[1]
    tensor([1, 2], dtype=tabgrad.int32)
    """
    found = factoring.lu_factor_ex(A, pivot=pivot, check_errors=not get_infos)
    return tuple(found) if get_infos else tuple(found[:2])


@takes_out
def lu_solve(input: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """Return the solution of `linalg.lu_solve`, whose arguments have another order.

    >>> import tabgrad as tg
    >>> tg.lu_solve(tg.ones(2, 1, device="cpu"), *tg.lu(2 * tg.eye(2, device="cpu")))
    tensor([[0.5000],
            [0.5000]])
    """
    found: Tensor = solving.lu_solve_of(LU_data, LU_pivots, input, True, False)
    return found


@takes_out
def qr(input: Tensor, some: bool = True) -> return_types.qr:
    """Return the factors of `linalg.qr`: reduced, or complete if not `some`.

    >>> import tabgrad as tg
    >>> tuple(tg.qr(tg.ones(3, 1, device="cpu"), some=False).Q.shape)
    (3, 3)
    """
    return return_types.qr(*factoring.qr_of("linalg.qr", input, "reduced" if some else "complete"))


@takes_out
def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> return_types.svd:
    """Return U, S and V of `linalg.svd`: V, not Vᴴ. With `some` they are reduced.

    If not `compute_uv` U and V are zeros, and square.

    >>> import tabgrad as tg
    >>> tuple(tg.svd(tg.ones(3, 1, device="cpu")).U.shape)
    (3, 1)
    """
    m, n = input.spec.shape[-2:] if len(input.spec.shape) > 1 else (0, 0)
    if not compute_uv:
        s = spectra.svdvals(input)
        lead, dtype, device = input.spec.shape[:-2], input.spec.dtype, input.device
        u, v = (creation.filled((*lead, k, k), 0, dtype, device) for k in (m, n))
        return return_types.svd(u, s, v)
    u, s, vh = spectra.svd(input, full_matrices=not some)
    return return_types.svd(u, s, adjoint(vh))


def _gone(name: str, x: Any, why: str) -> Exception:
    """Return the error of a function that PyTorch has removed."""
    if not isinstance(x, Tensor):
        return TypeError(f"{name}(): argument 'input' must be Tensor, not {type(x).__name__}")
    return ArgumentError(
        f"{name}: This function was deprecated since version 1.9 and is now removed. {why}"
    )


def symeig(
    input: Tensor, eigenvectors: bool = False, upper: bool = True, *, out: Any = None
) -> Any:
    """Raise: PyTorch has removed this function, and has `linalg.eigh`, which reads the lower triangle."""
    raise _gone(
        "symeig",
        input,
        "Use linalg.eigh, which reads the lower triangle by default, not the upper one.",
    )


def eig(self: Tensor, eigenvectors: bool = False, *, e: Any = None, v: Any = None) -> Any:
    """Raise: PyTorch has removed this function, and has `linalg.eig`."""
    raise _gone("eig", self, "Use linalg.eig, which returns complex tensors.")


def lstsq(input: Tensor, A: Tensor, *, out: Any = None) -> Any:
    """Raise: PyTorch has removed this function, and has `linalg.lstsq`."""
    raise _gone("lstsq", input, "Use linalg.lstsq, whose arguments have the other order.")


def solve(input: Tensor, A: Tensor, *, out: Any = None) -> Any:
    """Raise: PyTorch has removed this function, and has `linalg.solve`."""
    raise _gone("solve", input, "Use linalg.solve, whose arguments have the other order.")


def matrix_rank(input: Tensor, tol: Any = None, symmetric: bool = False, *, out: Any = None) -> Any:
    """Raise: PyTorch has removed this function, and has `linalg.matrix_rank`."""
    raise _gone("matrix_rank", input, "Use linalg.matrix_rank.")


class MatrixMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    cholesky = cholesky
    cholesky_inverse = cholesky_inverse
    cholesky_solve = cholesky_solve
    det = det
    geqrf = geqrf
    inverse = inverse
    logdet = logdet
    lu = lu
    lu_solve = lu_solve
    matrix_exp = matrix_exp
    matrix_power = matrix_power
    orgqr = orgqr
    ormqr = ormqr
    pinverse = pinverse
    qr = qr
    slogdet = slogdet
    svd = svd
    triangular_solve = triangular_solve

    def eig(self, eigenvectors: bool = False) -> Any:
        """Raise: PyTorch has removed this method."""
        return eig(self, eigenvectors)  # type: ignore[arg-type]

    def lstsq(self, other: Tensor) -> Any:
        """Raise: PyTorch has removed this method."""
        return lstsq(self, other)  # type: ignore[arg-type]

    def solve(self, other: Tensor) -> Any:
        """Raise: PyTorch has removed this method."""
        return solve(self, other)  # type: ignore[arg-type]

    def symeig(self, eigenvectors: bool = False) -> Any:
        """Raise: PyTorch has removed this method."""
        return symeig(self, eigenvectors)  # type: ignore[arg-type]


__all__ = [
    "chain_matmul", "cholesky", "cholesky_inverse", "cholesky_solve", "det", "eig", "frobenius_norm",
    "geqrf", "inverse", "logdet", "lstsq", "lu", "lu_solve", "lu_unpack", "matrix_exp", "matrix_power",
    "matrix_rank", "nuclear_norm", "orgqr", "ormqr", "pca_lowrank", "pinverse", "qr", "slogdet", "solve",
    "svd", "svd_lowrank", "symeig", "triangular_solve", "vander",
]  # fmt: skip

publish(globals())

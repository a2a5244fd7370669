"""Linear algebra, by the standard's names."""

from __future__ import annotations

from typing import Any, NamedTuple

import tabgrad as tg
from tabgrad.array_api.arranging import matrix_transpose as matrix_transpose
from tabgrad.array_api.reductions import (
    matmul as matmul,
    sum as _sum,
    tensordot as tensordot,
    vecdot as vecdot,
)  # fmt: skip
from tabgrad.linalg import (
    det as det,
    eig as eig,
    eigh as eigh,
    eigvals as eigvals,
    eigvalsh as eigvalsh,
    inv as inv,
    matrix_power as matrix_power,
    slogdet as slogdet,
    svdvals as svdvals,
)  # fmt: skip

Tensor = tg.Tensor


class SVDResult(NamedTuple):
    """The factors of a singular value decomposition."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def cholesky(x: Tensor, /, *, upper: bool = False) -> Tensor:
    """Return the triangular factor of positive definite matrices."""
    return tg.linalg.cholesky(x, upper=upper)


def cross(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """Return cross products of vectors of three elements along an axis."""
    return tg.linalg.cross(x1, x2, dim=axis)


def diagonal(x: Tensor, /, *, offset: int = 0) -> Tensor:
    """Return the diagonals of matrices."""
    return tg.diagonal(x, offset, -2, -1)


def trace(x: Tensor, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """Return the sums of the diagonals of matrices."""
    return _sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def outer(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Return the products of all pairs of two vectors' elements."""
    return tg.outer(x1, x2)


def matrix_norm(x: Tensor, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """Return norms of matrices."""
    return tg.linalg.matrix_norm(x, ord, keepdim=keepdims)


def vector_norm(x: Tensor, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Tensor:
    """Return norms of vectors along axes."""
    if axis == ():
        return tg.abs(x) if ord != 0 else (x != 0).to(tg.abs(x).dtype)
    return tg.linalg.vector_norm(x, ord, axis, keepdim=keepdims)


def matrix_rank(x: Tensor, /, *, rtol: Any = None) -> Tensor:
    """Return the numbers of singular values above `rtol` times the largest one."""
    return tg.linalg.matrix_rank(x, rtol=rtol)


def pinv(x: Tensor, /, *, rtol: Any = None) -> Tensor:
    """Return the pseudo-inverses of matrices."""
    return tg.linalg.pinv(x, rtol=rtol)


def qr(x: Tensor, /, *, mode: str = "reduced") -> Any:
    """Return orthogonal and triangular factors: Q, R."""
    return tg.linalg.qr(x, mode=mode)


def solve(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Solve linear systems: only an array of one axis is a vector."""
    if x2.ndim == 1:
        return tg.linalg.solve(x1, x2.unsqueeze(-1)).squeeze(-1)
    batch = tg.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    return tg.linalg.solve(x1.expand(*batch, *x1.shape[-2:]), x2.expand(*batch, *x2.shape[-2:]))


def svd(x: Tensor, /, *, full_matrices: bool = True) -> SVDResult:
    """Return the factors U, S, Vh of matrices."""
    return SVDResult(*tg.linalg.svd(x, full_matrices=full_matrices))


__all__ = [
    "cholesky", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "inv", "matmul",
    "matrix_norm", "matrix_power", "matrix_rank", "matrix_transpose", "outer", "pinv", "qr", "slogdet",
    "solve", "svd", "svdvals", "tensordot", "trace", "vecdot", "vector_norm",
]  # fmt: skip

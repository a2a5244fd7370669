"""Singular values of matrices of nearly low rank, by random projections (Halko, Martinsson, Tropp 2011)."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.core.errors import ArgumentError
from tabgrad.linalg.arguments import matrices
from tabgrad.linalg.factoring import qr
from tabgrad.linalg.spectra import svd

Tensor = tg.Tensor


def _basis(A: Tensor, q: int, niter: int) -> Tensor:
    """Return `q` orthonormal columns that nearly span the columns of A."""
    found = tg.randn(A.shape[-1], q, dtype=A.dtype, device=A.device)
    columns = qr(A @ found).Q
    for _ in range(niter):
        columns = qr(A @ qr(A.mH @ columns).Q).Q
    return columns


def svd_lowrank(
    A: Tensor, q: int | None = 6, niter: int = 2, M: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return U, S and V with A - M ≈ U diag(S) Vᴴ, of `q` columns; V, not Vᴴ. Without M it counts as zeros.

    `q` should be somewhat larger than the rank; `niter` more products make it more exact. The projection is
    random: `manual_seed` makes it the same again. `linalg.svd` is exact.

    >>> import tabgrad as tg
    >>> U, S, V = tg.svd_lowrank(tg.ones(5, 4, device="cpu"), q=2)
    >>> tg.allclose(U * S @ V.mT, tg.ones(5, 4, device="cpu"), atol=1e-5)
    True
    """
    matrices("svd_lowrank", A)
    x: Tensor = A if M is None else A - M
    m, n = x.shape[-2:]
    q = 6 if q is None else q
    if not 0 <= q <= min(m, n) or niter < 0:
        raise ArgumentError(
            f"svd_lowrank: q(={q}) must be non-negative and at most min(m, n)={min(m, n)}, niter(={niter}) "
            "non-negative"
        )
    wide = m < n
    if wide:
        x = x.mH
    columns: Any = _basis(x, q, niter)
    u, s, vh = svd(columns.mH @ x, full_matrices=False)
    u, v = columns @ u, vh.mH
    return (v, s, u) if wide else (u, s, v)


def pca_lowrank(
    A: Tensor, q: int | None = None, center: bool = True, niter: int = 2
) -> tuple[Tensor, Tensor, Tensor]:
    """Return U, S and V of `svd_lowrank` for the rows of A as samples, less their mean with `center`.

    The columns of V are the principal directions, and S² / (m - 1) the variances along them. `q` is
    min(6, m, n) by default.

    >>> import tabgrad as tg
    >>> samples = tg.tensor([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]], device="cpu")
    >>> tg.pca_lowrank(samples, q=1)[1].round(decimals=3)
    tensor([3.1620])
    """
    matrices("pca_lowrank", A)
    m, n = A.shape[-2:]
    q = min(6, m, n) if q is None else q
    if not 0 <= q <= min(m, n):
        raise ArgumentError(
            f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}"
        )
    if niter < 0:
        raise ArgumentError(f"niter(={niter}) must be non-negative integer")
    return svd_lowrank(A - A.mean(-2, keepdim=True) if center else A, q, niter)


__all__ = ["pca_lowrank", "svd_lowrank"]

"""The named tuples that functions of matrices with several results return."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tabgrad.tensor.return_types import show_as_pytorch

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


class linalg_cholesky_ex(NamedTuple):
    """What `linalg.cholesky_ex` returns."""

    L: Tensor
    info: Tensor


class linalg_eig(NamedTuple):
    """What `linalg.eig` returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class linalg_eigh(NamedTuple):
    """What `linalg.eigh` returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class linalg_inv_ex(NamedTuple):
    """What `linalg.inv_ex` returns."""

    inverse: Tensor
    info: Tensor


class linalg_ldl_factor(NamedTuple):
    """What `linalg.ldl_factor` returns."""

    LD: Tensor
    pivots: Tensor


class linalg_ldl_factor_ex(NamedTuple):
    """What `linalg.ldl_factor_ex` returns."""

    LD: Tensor
    pivots: Tensor
    info: Tensor


class linalg_lstsq(NamedTuple):
    """What `linalg.lstsq` returns."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


class linalg_lu(NamedTuple):
    """What `linalg.lu` returns."""

    P: Tensor
    L: Tensor
    U: Tensor


class linalg_lu_factor(NamedTuple):
    """What `linalg.lu_factor` returns."""

    LU: Tensor
    pivots: Tensor


class linalg_lu_factor_ex(NamedTuple):
    """What `linalg.lu_factor_ex` returns."""

    LU: Tensor
    pivots: Tensor
    info: Tensor


class linalg_qr(NamedTuple):
    """What `linalg.qr` returns."""

    Q: Tensor
    R: Tensor


class linalg_slogdet(NamedTuple):
    """What `linalg.slogdet` returns."""

    sign: Tensor
    logabsdet: Tensor


class linalg_solve_ex(NamedTuple):
    """What `linalg.solve_ex` returns."""

    result: Tensor
    info: Tensor


class linalg_svd(NamedTuple):
    """What `linalg.svd` returns."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class geqrf(NamedTuple):
    """What `geqrf` returns."""

    a: Tensor
    tau: Tensor


class lu_unpack(NamedTuple):
    """What `lu_unpack` returns."""

    P: Tensor
    L: Tensor
    U: Tensor


class qr(NamedTuple):
    """What `qr` returns."""

    Q: Tensor
    R: Tensor


class slogdet(NamedTuple):
    """What `slogdet` returns."""

    sign: Tensor
    logabsdet: Tensor


class svd(NamedTuple):
    """What `svd` returns."""

    U: Tensor
    S: Tensor
    V: Tensor


class triangular_solve(NamedTuple):
    """What `triangular_solve` returns."""

    solution: Tensor
    cloned_coefficient: Tensor


show_as_pytorch(globals())

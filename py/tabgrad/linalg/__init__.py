"""Linear algebra; PyTorch's `linalg`."""

import typing as _typing

from tabgrad.core.errors import LinAlgError as LinAlgError
from tabgrad.core.submodules import missing_from as _missing_from
from tabgrad.linalg.determinants import det as det, slogdet as slogdet
from tabgrad.linalg.factoring import (
    cholesky as cholesky,
    cholesky_ex as cholesky_ex,
    householder_product as householder_product,
    lu as lu,
    lu_factor as lu_factor,
    lu_factor_ex as lu_factor_ex,
    qr as qr,
)  # fmt: skip
from tabgrad.linalg.ldl import (
    ldl_factor as ldl_factor,
    ldl_factor_ex as ldl_factor_ex,
    ldl_solve as ldl_solve,
)
from tabgrad.linalg.least_squares import (
    cond as cond,
    lstsq as lstsq,
    matrix_rank as matrix_rank,
    pinv as pinv,
)
from tabgrad.linalg.matrices import matrix_exp as matrix_exp, matrix_power as matrix_power
from tabgrad.linalg.norms import (
    matrix_norm as matrix_norm,
    norm as norm,
    vector_norm as vector_norm,
)
from tabgrad.linalg.products import (
    cross as cross,
    diagonal as diagonal,
    multi_dot as multi_dot,
    vander as vander,
    vecdot as vecdot,
)
from tabgrad.linalg.solving import (
    inv as inv,
    inv_ex as inv_ex,
    lu_solve as lu_solve,
    solve as solve,
    solve_ex as solve_ex,
    solve_triangular as solve_triangular,
    tensorinv as tensorinv,
    tensorsolve as tensorsolve,
)  # fmt: skip
from tabgrad.linalg.spectra import (
    eig as eig,
    eigh as eigh,
    eigvals as eigvals,
    eigvalsh as eigvalsh,
    svd as svd,
    svdvals as svdvals,
)  # fmt: skip
from tabgrad.tensor.linear import matmul as matmul
from tabgrad.tensor.public import publish as _publish

_publish(globals())

if not _typing.TYPE_CHECKING:
    __getattr__ = _missing_from(__name__)

"""The functions of matrices that PyTorch has at its root."""

from __future__ import annotations

from tabgrad.linalg.matrices import chain_matmul, matrix_exp, matrix_power, vander
from tabgrad.tensor.public import publish


class MatrixMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    matrix_exp = matrix_exp
    matrix_power = matrix_power


__all__ = ["chain_matmul", "matrix_exp", "matrix_power", "vander"]

publish(globals())

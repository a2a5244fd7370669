"""The functions of matrices that PyTorch has at its root."""

from __future__ import annotations

from tabgrad.linalg.matrices import chain_matmul, matrix_exp, matrix_power, vander
from tabgrad.tensor.public import publish

__all__ = ["chain_matmul", "matrix_exp", "matrix_power", "vander"]

publish(globals())

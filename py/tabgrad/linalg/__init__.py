"""Linear algebra; PyTorch's `linalg`. Decompositions are not here yet."""

from tabgrad.linalg.norms import (
    cross as cross,
    matrix_norm as matrix_norm,
    norm as norm,
    vector_norm as vector_norm,
)
from tabgrad.tensor.linear import matmul as matmul
from tabgrad.tensor.public import publish as _publish

_publish(globals())

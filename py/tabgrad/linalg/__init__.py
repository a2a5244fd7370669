"""Linear algebra; PyTorch's `linalg`. Decompositions are not here yet."""

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
from tabgrad.tensor.linear import matmul as matmul
from tabgrad.tensor.public import publish as _publish

_publish(globals())

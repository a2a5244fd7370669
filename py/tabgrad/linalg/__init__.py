"""Linear algebra; PyTorch's `linalg`. Decompositions are not here yet."""

from tabgrad.functions import linear as _linear
from tabgrad.functions.out import with_out as _with_out
from tabgrad.linalg import norms as _norms

cross = _with_out(_linear.cross, module=__name__)
matmul = _with_out(_linear.matmul, module=__name__)
matrix_norm = _with_out(_norms.matrix_norm, module=__name__)
norm = _with_out(_norms.norm, module=__name__)
vector_norm = _with_out(_norms.vector_norm, module=__name__)

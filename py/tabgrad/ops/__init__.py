"""Declarations of the ops. Importing this package fills the registry."""

from tabgrad.core.op import REGISTRY
from tabgrad.ops import (
    bits,
    checked,
    conv,
    elementwise,
    indexing,
    linalg,
    loop,
    random,
    reduction,
    rounding,
    scan,
    sorting,
    special,
    strided,
    trigonometry,
    view,
)  # fmt: skip

# Late rooms: ops that few programs need, imported when one of them is asked for.
REGISTRY.add_room("tabgrad.ops.attention", "attention")
REGISTRY.add_room("tabgrad.ops.attention_gradient", "attention_gradient")
REGISTRY.add_room(
    "tabgrad.ops.decompositions",
    "cholesky", "eig", "eigh", "geqrf", "ldl", "ldl_solve", "lu", "lu_permutation", "qr", "svd",
    "triangular_solve",
)  # fmt: skip
REGISTRY.add_room("tabgrad.ops.fourier", "fft", "irfft", "rfft")
REGISTRY.add_room(
    "tabgrad.ops.parts", "complex", "real", "imag", "magnitude", "as_real", "as_complex"
)

REGISTRY.freeze()

__all__ = [
    "bits", "checked", "conv", "elementwise", "indexing", "linalg", "loop", "random", "reduction", "rounding",
    "scan", "sorting", "special", "strided", "trigonometry", "view",
]  # fmt: skip

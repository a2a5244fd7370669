"""Products of matrices."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from tabgrad.core.errors import ShapeError
from tabgrad.core.families import bilinear, to_front
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Array, Ints, Operand
from tabgrad.core.spec import Params, intern_params
from tabgrad.core.trace import bind
from tabgrad.ops.view import permute, reshape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tabgrad.core.op import Operands
    from tabgrad.tensor import Tensor

LONG, FEW = 4096, 16
"""At most FEW sums of more than LONG products are taken in float64: BLAS adds up long sums in
float32, and float64 takes too long for many."""


def transposed(x: Tensor) -> Tensor:
    """Swap the last two axes of `x`."""
    return bind(permute, (x,), _swapped(len(x.spec.shape)))


@cache
def _swapped(n: int) -> Params:
    return intern_params({"dims": (*range(n - 2), n - 1, n - 2)})


def _matmul_shape(x: Ints, y: Ints) -> Ints:
    if x[-1] != y[-2]:
        sizes = " and ".join(["x".join(map(str, s)) for s in (x, y)])
        raise ShapeError(
            f"matmul: mat1 and mat2 shapes cannot be multiplied ({sizes}): inner sizes differ, "
            f"{x[-1]} is not {y[-2]}"
        )
    if x[:-2] != y[:-2]:
        raise ShapeError(f"matmul: batch sizes differ: {x} @ {y}; expand first")
    return (*x[:-1], y[-1])


def _matmul_batch(n: int, args: Operands, dims: Sequence[int | None]) -> Tensor:
    x, y = args
    if dims[1] is None and len(x.spec.shape) == 3:
        # one matrix on the right: the batch joins the rows
        x = to_front(x, dims[0], n)
        _, m, k = x.spec.shape
        out = matmul.bind(reshape.bind(x, shape=(n * m, k)), y)
        return reshape.bind(out, shape=(n, m, y.spec.shape[-1]))
    return matmul.bind(*(to_front(a, d, n) for a, d in zip(args, dims, strict=True)))


@bilinear(
    shape=_matmul_shape,
    lhs=lambda ct, _x, y: matmul.bind(ct, transposed(y)),
    rhs=lambda ct, x, _y: matmul.bind(transposed(x), ct),
    batching=_matmul_batch,
    kinds="iufc",
    samples=((((3, 4), (4, 2)), {}), (((2, 3, 4), (2, 4, 5)), {})),
)
def matmul(x: Operand, y: Operand) -> Array:
    """Compute the matrix product over the last two axes; the other axes are batch axes of equal sizes."""
    if x.shape[-1] > LONG and x.dtype.char in "fF" and x.shape[-2] * y.shape[-1] <= FEW:
        wide = np.promote_types(x.dtype, np.float64)
        return np.matmul(x.astype(wide), y.astype(wide)).astype(x.dtype)
    return np.matmul(x, y)

"""Norms of vectors and matrices."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.tensor import linear
from tabgrad.tensor.public import takes_out

Tensor = tg.Tensor


@takes_out
def vector_norm(
    input: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Return the p-norm of the elements over `dim`, p being `ord`; inf is the largest absolute value.

    >>> import tabgrad as tg
    >>> tg.linalg.vector_norm(tg.tensor([3.0, 4.0], device="cpu"))
    tensor(5.)
    """
    return tg.norm(input, ord, dim, keepdim, dtype=dtype)


@takes_out
def matrix_norm(
    input: Tensor,
    ord: Any = "fro",
    dim: tuple[int, int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor:
    """Return the norm of matrices: "fro", or 1, -1, inf, -inf (largest or smallest sum of a column or row).

    >>> import tabgrad as tg
    >>> tg.linalg.matrix_norm(tg.tensor([[1.0, 2.0], [3.0, 4.0]], device="cpu"), 1)
    tensor(6.)
    """
    if ord == "fro":
        return tg.norm(input, 2, dim, keepdim, dtype=dtype)
    if ord not in (1, -1, tg.inf, -tg.inf):
        raise ValueError(f"linalg.matrix_norm: expected 'fro', 1, -1, inf or -inf, got {ord!r}")
    rows, columns = (d % input.ndim for d in dim)
    first, second = (rows, columns) if abs(ord) == 1 else (columns, rows)
    if ord > 0 and not input.shape[second]:
        # the largest sum of none
        return input.abs().sum((rows, columns), keepdim=keepdim)
    sums = input.abs().sum(first, keepdim=True)
    best = sums.amax(second, keepdim=True) if ord > 0 else sums.amin(second, keepdim=True)
    return best if keepdim else best.squeeze((rows, columns))


@takes_out
def norm(
    input: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Return a vector norm for one dim (or none given with no `ord`), a matrix norm for two.

    >>> import tabgrad as tg
    >>> tg.linalg.norm(tg.tensor([[3.0, 0.0], [0.0, 4.0]], device="cpu"))
    tensor(5.)
    """
    if ord is None:
        return vector_norm(input, 2, dim, keepdim, dtype=dtype)
    if isinstance(dim, tuple) and len(dim) == 2:
        return matrix_norm(input, ord, dim, keepdim, dtype=dtype)
    if dim is None and input.ndim == 2:
        return matrix_norm(input, ord, keepdim=keepdim, dtype=dtype)
    return vector_norm(input, ord, dim, keepdim, dtype=dtype)


@takes_out
def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """Return the cross product of vectors of 3 along `dim`.

    >>> import tabgrad as tg
    >>> x, y, _ = tg.eye(3, device="cpu")
    >>> tg.linalg.cross(x, y)
    tensor([0., 0., 1.])
    """
    return linear.cross(input, other, dim)

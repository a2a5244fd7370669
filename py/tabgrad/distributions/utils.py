"""Functions that programs write laws of their own with; PyTorch's `distributions.utils`."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.distributions.arguments import (
    EULER as euler_constant,
    cached_property as lazy_property,
    clamped as clamp_probs,
    tensors,
    to_logits as probs_to_logits,
    to_probs as logits_to_probs,
)  # fmt: skip

Tensor = tg.Tensor


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Return all values as tensors of one shape; numbers take the dtype and device of the tensors.

    >>> import tabgrad as tg
    >>> broadcast_all(tg.zeros(2, device="cpu"), 1.0)
    (tensor([0., 0.]), tensor([1., 1.]))
    """
    return tuple(tensors(*values))


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """Return the lower triangle of matrices (..., n, n), row by row, as (..., count); `diag` shifts its edge.

    >>> import tabgrad as tg
    >>> tril_matrix_to_vec(tg.tensor([[1.0, 0.0], [2.0, 3.0]], device="cpu"))
    tensor([1., 2., 3.])
    """
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(f"tril_matrix_to_vec: expected diag from {-n} to {n - 1}, got {diag}")
    rows, columns = tg.tril_indices(n, n, diag, device=mat.device)
    return mat[..., rows, columns]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """Return the lower triangular matrices (..., n, n) of vectors of their elements, row by row.

    >>> import tabgrad as tg
    >>> vec_to_tril_matrix(tg.tensor([1.0, 2.0, 3.0], device="cpu"))
    tensor([[1., 0.],
            [2., 3.]])
    """
    count, n = vec.shape[-1], 0
    while (held := sum(max(0, min(n, row + 1 + diag)) for row in range(n))) < count:
        n += 1
    if held != count:
        raise ValueError(
            f"vec_to_tril_matrix: the lower triangle of no square matrix has {count} elements (diag={diag})"
        )
    rows, columns = tg.tril_indices(n, n, diag, device=vec.device)
    found = tg.zeros(*vec.shape[:-1], n, n, dtype=vec.dtype, device=vec.device)
    found[..., rows, columns] = vec
    return found


__all__ = [
    "broadcast_all", "clamp_probs", "euler_constant", "lazy_property", "logits_to_probs",
    "probs_to_logits", "tril_matrix_to_vec", "vec_to_tril_matrix",
]  # fmt: skip

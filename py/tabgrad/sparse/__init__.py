"""Sparse tensors; PyTorch's `sparse`.

A sparse tensor is index tensors and a dense tensor of values; all of its functions are made of the ops that
dense tensors have. Products are deterministic. Derivatives flow to the values and to dense operands.
"""

from __future__ import annotations

from typing import Any

from tabgrad.sparse import (
    methods as _methods,
    products as _products,
    reductions as _reductions,
    rows as rows,
)
from tabgrad.sparse.creation import (
    check_sparse_tensor_invariants as check_sparse_tensor_invariants,
    spdiags as spdiags,
)
from tabgrad.sparse.legacy import (
    ByteTensor as ByteTensor,
    CharTensor as CharTensor,
    DoubleTensor as DoubleTensor,
    FloatTensor as FloatTensor,
    HalfTensor as HalfTensor,
    IntTensor as IntTensor,
    LongTensor as LongTensor,
    ShortTensor as ShortTensor,
)
from tabgrad.sparse.tensor import is_sparse as _is_sparse
from tabgrad.tensor import Tensor
from tabgrad.tensor.public import publish as _publish, takes_out as _takes_out

__all__ = [
    "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor", "LongTensor",
    "ShortTensor", "addmm", "check_sparse_tensor_invariants", "log_softmax", "mm", "sampled_addmm",
    "softmax", "spdiags", "sum",
]  # fmt: skip


def mm(mat1: Tensor, mat2: Tensor, reduce: str = "sum") -> Any:
    """Return the product of a sparse matrix and a dense one, or of two sparse ones (which is sparse).

    >>> import tabgrad as tg
    >>> x = tg.eye(2, device="cpu").to_sparse()
    >>> tg.sparse.mm(x, tg.tensor([[1.0], [2.0]], device="cpu"))
    tensor([[1.],
            [2.]])
    """
    if reduce != "sum":
        raise NotImplementedError(f"sparse.mm: reduce must be 'sum' here, got {reduce!r}")
    return _products.mm(mat1, mat2)


def addmm(mat: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1.0, alpha: float = 1.0) -> Any:
    """Return beta · mat + alpha · (mat1 @ mat2) for a sparse `mat1`."""
    return _products.addmm(mat, mat1, mat2, beta=beta, alpha=alpha)


@_takes_out
def sampled_addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1.0, alpha: float = 1.0
) -> Any:
    """Return beta · input + alpha · (mat1 @ mat2), computed only where the CSR matrix `input` has elements."""
    return _products.sampled(input, mat1, mat2, beta, alpha)


def sum(input: Tensor, dim: Any = None, dtype: Any = None) -> Any:
    """Return the sum of all elements, or along dims: sparse as long as a sparse dim is left.

    >>> import tabgrad as tg
    >>> tg.sparse.sum(tg.eye(2, device="cpu").to_sparse(), 0).to_dense()
    tensor([1., 1.])
    """
    _check("sum", input)
    return _reductions.total(input, dim, dtype=dtype)


def softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Any:
    """Return the softmax along `dim`; what is not stored counts as -inf."""
    _check("softmax", input)
    return _reductions.softmax(input, dim, dtype)


def log_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Any:
    """Return the logarithm of the softmax along `dim`."""
    _check("log_softmax", input)
    return _reductions.log_softmax(input, dim, dtype)


def _check(name: str, x: Any) -> None:
    if not _is_sparse(x):
        raise NotImplementedError(
            f"sparse.{name}: expected a sparse tensor, got a dense {type(x).__name__}; use tg.{name}"
        )


_methods.close()
_publish(globals())

"""The functions of sparse tensors at the root, and the methods of dense tensors that make some."""

from __future__ import annotations

from typing import Any

from tabgrad.core.errors import SparseError
from tabgrad.sparse.creation import (
    sparse_bsc_tensor,
    sparse_bsr_tensor,
    sparse_compressed_tensor,
    sparse_coo_tensor,
    sparse_csc_tensor,
    sparse_csr_tensor,
    sparse_mask,
    to_dense,
    to_sparse,
    to_sparse_bsc,
    to_sparse_bsr,
    to_sparse_coo,
    to_sparse_csc,
    to_sparse_csr,
)
from tabgrad.sparse.products import hspmm, mm, smm, sspaddmm
from tabgrad.tensor.public import publish

spmm = dsmm = mm
saddmm = sspaddmm
hsmm = hspmm


def _strided(name: str, wanted: str) -> Any:
    def method(self: Any) -> Any:
        raise SparseError(f"{name} expected {wanted} tensor layout but got Strided")

    method.__name__ = method.__qualname__ = name
    method.__doc__ = "Raises: the tensor is dense; a sparse one has this method."
    return method


def _unsized(name: str) -> Any:
    def method(self: Any, size: Any, sparse_dim: int, dense_dim: int) -> Any:
        raise SparseError(f"{name} expected sparse coordinate tensor layout but got Strided")

    method.__name__ = method.__qualname__ = name
    method.__doc__ = "Raises: the tensor is dense; a sparse one has this method."
    return method


class SparseMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    ccol_indices = _strided("ccol_indices", "sparse column compressed")
    coalesce = _strided("coalesce", "sparse coordinate")
    col_indices = _strided("col_indices", "sparse row compressed")
    crow_indices = _strided("crow_indices", "sparse row compressed")
    indices = _strided("indices", "sparse coordinate")
    sparse_resize_ = _unsized("sparse_resize_")
    sparse_resize_and_clear_ = _unsized("sparse_resize_and_clear_")
    is_coalesced = _strided("is_coalesced", "sparse coordinate")
    row_indices = _strided("row_indices", "sparse column compressed")
    values = _strided("values", "sparse")
    smm = smm
    sparse_mask = sparse_mask
    sspaddmm = sspaddmm
    to_dense = to_dense
    to_sparse = to_sparse
    to_sparse_bsc = to_sparse_bsc
    to_sparse_bsr = to_sparse_bsr
    to_sparse_coo = to_sparse_coo
    to_sparse_csc = to_sparse_csc
    to_sparse_csr = to_sparse_csr

    @property
    def is_sparse(self) -> bool:
        """Whether the layout is tabgrad.sparse_coo."""
        return False

    @property
    def is_sparse_csr(self) -> bool:
        """Whether the layout is tabgrad.sparse_csr."""
        return False

    def sparse_dim(self) -> int:
        """Return the number of dims that have coordinates, 0 for a dense tensor."""
        return 0

    def dense_dim(self) -> int:
        """Return the number of dims that each stored element has: all those of a dense tensor."""
        return len(self.shape)  # type: ignore[attr-defined]


__all__ = [
    "dsmm", "hsmm", "hspmm", "saddmm", "smm", "sparse_bsc_tensor", "sparse_bsr_tensor",
    "sparse_compressed_tensor", "sparse_coo_tensor", "sparse_csc_tensor", "sparse_csr_tensor", "spmm",
    "sspaddmm",
]  # fmt: skip

publish(globals())

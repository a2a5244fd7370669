"""PyTorch's old constructors of sparse tensors: `sparse.FloatTensor` and the like."""

from __future__ import annotations

from typing import Any

from tabgrad.core.dtype import DType
from tabgrad.sparse.creation import sparse_coo_tensor
from tabgrad.sparse.tensor import is_sparse
from tabgrad.tensor.conversion import _TYPES as TYPES


class SparseType(type):
    """The class of `sparse.FloatTensor`: its instances are the sparse tensors of one dtype."""

    dtype: DType

    def __instancecheck__(cls, x: Any) -> bool:
        return is_sparse(x) and x.dtype is cls.dtype

    def __call__(cls, *args: Any, device: Any = None) -> Any:
        """Make a tensor of indices, values and perhaps a size, or an empty one of a size."""
        if args and isinstance(args[0], int):
            args = (args,)
        return sparse_coo_tensor(*args or ((0,),), dtype=cls.dtype, device=device)


def _made(name: str) -> SparseType:
    dtype = TYPES[name]
    doc = f"Return a sparse {dtype.name} tensor of indices and values: PyTorch's old constructor."
    its = {"dtype": dtype, "__doc__": doc, "__module__": "tabgrad.sparse"}
    return SparseType(name, (), its)


ByteTensor, CharTensor, DoubleTensor = (
    _made("ByteTensor"),
    _made("CharTensor"),
    _made("DoubleTensor"),
)
FloatTensor, HalfTensor, IntTensor = _made("FloatTensor"), _made("HalfTensor"), _made("IntTensor")
LongTensor, ShortTensor = _made("LongTensor"), _made("ShortTensor")

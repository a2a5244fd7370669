"""Views of the bits of a tensor as another dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabgrad.core.dtype import DType, as_dtype, complex64, float32
from tabgrad.core.errors import DTypeError
from tabgrad.core.op import REGISTRY
from tabgrad.core.shape import strides as row_major
from tabgrad.core.spec import NO_PARAMS, intern_params
from tabgrad.ops.bits import bitcast
from tabgrad.ops.view import reshape
from tabgrad.tensor import strides
from tabgrad.tensor.aliasing import View, detach, refreshed, reshaped, view

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


def view_as_dtype(x: Tensor, dtype: DType | type) -> Tensor:
    """Return a view of the bits of `x` as another dtype: the memory is the same, and so are later writes.

    Where the item sizes differ the last dim is so much longer or shorter. No derivative passes, but to
    the dtype that `x` has already. Devices have this among dtypes of 4 bytes, and between
    complex64 and float32.
    """
    new: DType = as_dtype(dtype)
    refreshed(x)
    old = x.spec.dtype
    if new is old:
        return view(reshape, x, intern_params({"shape": x.spec.shape}))
    pairs = (old, new) in ((complex64, float32), (float32, complex64))
    if x.device.type != "cpu" and not (pairs or old.itemsize == new.itemsize == 4):
        raise DTypeError(
            f"view: on {x.device} bits can be read among dtypes of 4 bytes (float32, int32, uint32), got "
            f"{old!r} as {new!r}; do it on the CPU: x.cpu().view({new!r}), or use .to({new!r}) for the values"
        )
    its = x.alias
    steps, offset = its.strides if its.__class__ is View else (row_major(x.spec.shape), 0)
    strides.as_dtype(x.spec.shape, steps, offset, old, new)
    # the bits share memory with the numbers, but no history, as in PyTorch
    if pairs and x.device.type != "cpu":
        return _paired(detach(x), new)
    return view(bitcast, detach(x) if old.is_differentiable else x, intern_params({"dtype": new}))


def _paired(x: Tensor, new: DType) -> Tensor:
    """Return complex numbers as twice as many real ones, or real ones as half as many complex ones."""
    *lead, n = x.spec.shape
    if new is float32:
        return reshaped(view(REGISTRY["as_real"], x, NO_PARAMS), (*lead, 2 * n))
    return view(REGISTRY["as_complex"], reshaped(x, (*lead, n // 2, 2)), NO_PARAMS)

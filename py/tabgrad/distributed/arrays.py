"""Values of tensors as NumPy arrays, which MPI sends and receives, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import tabgrad as tg
from tabgrad.core.lazy_numpy import np
from tabgrad.tensor.creation import upload
from tabgrad.tensor.reading import begin_data

Tensor = tg.Tensor


def numpy_dtype(dtype: tg.DType) -> Any:
    """Return the dtype of the array: bfloat16 travels as the 16 bits of each number."""
    return np.dtype("uint16" if dtype is tg.bfloat16 else dtype.name)


def begin(tensor: Tensor) -> Callable[[], Any]:
    """Ask the device for the values of a tensor; the result waits for them and returns an array of its own."""
    finish = begin_data(tensor, "distributed")
    shape, dtype = tuple(tensor.shape), numpy_dtype(tensor.dtype)
    return lambda: np.frombuffer(bytearray(finish()), dtype).reshape(shape)


def array_of(tensor: Tensor) -> Any:
    """Return the values of a tensor as an array of its own."""
    return begin(tensor)()


def empty_like(tensor: Tensor, *front: int) -> Any:
    """Return an array for values of such a tensor, with axes in front of it."""
    return np.empty((*front, *tensor.shape), numpy_dtype(tensor.dtype))


def write(tensor: Tensor, array: Any) -> None:
    """Give a tensor the values of an array of as many elements."""
    if not array.size:
        return
    data = memoryview(np.ascontiguousarray(array).reshape(-1)).cast("B")
    with tg.no_grad():
        tensor.detach().copy_(upload(data, tuple(tensor.shape), tensor.dtype, tensor.device))


def check(name: str, what: str, *tensors: Any) -> None:
    """Raise TypeError unless these are dense tensors that hold a value."""
    for x in tensors:
        if not isinstance(x, Tensor):
            raise TypeError(
                f"Invalid function argument. Expected parameter `{what}` of {name} to be of type torch.Tensor, "
                f"got {type(x).__name__}"
            )
        if x.layout is not tg.strided:
            raise ValueError(f"{name}: `{what}` is a sparse tensor; send x.to_dense()")


def check_alike(name: str, tensor: Tensor, others: Sequence[Tensor], count: int) -> None:
    """Raise ValueError unless there are `count` tensors like `tensor` in number of elements and dtype."""
    if len(others) != count:
        raise ValueError(f"{name}: expected a tensor for each of {count} ranks, got {len(others)}")
    for i, x in enumerate(others):
        check(name, "tensor_list", x)
        if x.dtype is not tensor.dtype or math.prod(x.shape) != math.prod(tensor.shape):
            raise ValueError(
                f"{name}: tensor {i} of the list is {x.dtype} {tuple(x.shape)}; expected it to be like the "
                f"tensor, {tensor.dtype} {tuple(tensor.shape)}"
            )


def stacked(parts: Sequence[Any]) -> Any:
    """Return the arrays one after the other, in one."""
    return np.ascontiguousarray(parts[0]) if len(parts) == 1 else np.stack(parts)

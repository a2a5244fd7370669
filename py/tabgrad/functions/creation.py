"""Tensors from numbers, lists, buffers and arrays, and filled ones."""

from __future__ import annotations

import math
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError
from tabgrad.core.spec import spec
from tabgrad.core.trace import Box, constant, wrap
from tabgrad.functions import literals
from tabgrad.hosts.devices import Device, device as device_of, get_default_device

Tensor = Any


def place(device: Any) -> Device:
    """Return the device of this name, the default one for None."""
    return get_default_device() if device is None else device_of(device)


def require(x: Any, requires_grad: bool) -> Any:
    """Return the new tensor `x`, made a leaf that wants gradients if asked for."""
    if requires_grad:
        x.requires_grad = True
    return x


def sizes(name: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    """Return the shape given as separate ints or as one sequence."""
    if len(size) == 1 and not hasattr(size[0], "__index__"):
        size = tuple(size[0])
    out = tuple([n.__index__() for n in size])
    for n in out:
        if n < 0:
            raise ValueError(f"{name}: sizes must not be negative, got {out}")
    return out


def upload(data: bytes, shape: tuple[int, ...], dtype: dt.DType, where: Device) -> Tensor:
    """Return a tensor of the row-major bytes `data`."""
    s = spec(shape, dtype)
    return wrap(where.backend.upload(data, s), s, where)


def tensor(
    data: Any, *, dtype: dt.DType | None = None, device: Any = None, requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Return a new tensor that holds a copy of `data`.

    `data` is a number, nested sequences of numbers or 0-d tensors, a tensor, a NumPy array, or anything
    with a buffer. Python floats become the default dtype and ints int64. Raises ValueError for ragged
    nesting and OverflowError for an integer that does not fit.

    >>> import tabgrad as tg
    >>> tg.tensor([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    if isinstance(data, Box):
        out = data.detach().clone().to(device=device, dtype=dtype)
        return require(out, requires_grad)
    where = place(device)
    asked = dtype is not None
    if isinstance(data, int | float | complex) and type(data) in (bool, int, float, complex):
        found = dtype or dt.scalar_dtype(data)
        target = where.canonical(found, asked)
        return require(upload(literals.encode([data], target), (), target, where), requires_grad)
    if hasattr(data, "__array_interface__") or hasattr(data, "__array__"):
        return require(from_array(data, dtype, where), requires_grad)
    if not literals.is_nested(data) or hasattr(data, "typecode"):
        return require(from_buffer(data, dtype, where), requires_grad)
    shape, leaves = literals.flatten(data)
    leaves = [plain(x) for x in leaves]
    target = where.canonical(dtype or literals.number_dtype(leaves), asked)
    return require(upload(literals.encode(leaves, target), shape, target, where), requires_grad)


def plain(x: Any) -> Any:
    """Return an element of a nested list as a Python number."""
    if type(x) in (bool, int, float, complex):
        return x
    if isinstance(x, bool | int | float | complex):
        return next(kind(x) for kind in (int, float, complex) if isinstance(x, kind))
    if hasattr(x, "item"):
        return x.item()
    raise TypeError(f"tensor: expected numbers in the nested sequence, got {type(x).__name__}")


def from_array(data: Any, dtype: dt.DType | None, where: Device) -> Tensor:
    """Return a tensor with a copy of a NumPy array's elements."""
    from tabgrad.core.numpy import np

    a = np.asarray(data)
    if a.dtype.kind not in "biufc" or a.dtype.name not in dt.NAMES:
        raise DTypeError(
            f"tensor: an array of dtype {a.dtype.name} has no tabgrad dtype; there are {', '.join(dt.NAMES)}"
        )
    target = where.canonical(dtype or dt.by_name(a.dtype.name), dtype is not None)
    if target is not dt.bfloat16:
        with np.errstate(all="ignore"):
            a = _fitting(np, a, target)
        return upload(a.tobytes(), a.shape, target, where)
    return upload(literals.encode(a.ravel().tolist(), target), a.shape, target, where)


def _fitting(np: Any, a: Any, target: dt.DType) -> Any:
    if a.dtype.kind in "iu" and target.category == dt.INT and a.size:
        limits = np.iinfo(target.name)
        low, high = int(a.min()), int(a.max())
        if low < int(limits.min) or high > int(limits.max):
            bad = low if low < int(limits.min) else high
            raise OverflowError(f"tensor: {bad} does not fit {target!r}")
    if a.dtype.kind == "c" and not target.is_complex:
        a = a.real
    return np.ascontiguousarray(a, dtype=target.name).reshape(a.shape)


def from_buffer(data: Any, dtype: dt.DType | None, where: Device) -> Tensor:
    """Return a tensor with a copy of a buffer's elements; its format gives dtype and shape."""
    try:
        view = memoryview(data)
    except TypeError:
        raise TypeError(
            f"tensor: expected a number, nested sequences, an array or a buffer, got {type(data).__name__}"
        ) from None
    found = literals.buffer_dtype(view)
    target = where.canonical(dtype or found, dtype is not None)
    shape = tuple(view.shape or ())
    raw = view.tobytes()
    if target is not found:
        raw = literals.encode(literals.decode(raw, found), target)
    return upload(raw, shape, target, where)


def full(
    size: Any, fill_value: Any, *, dtype: dt.DType | None = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a tensor of this size filled with `fill_value`, whose type gives the dtype."""
    return filled("full", sizes("full", (size,)), fill_value, dtype, device, requires_grad)


def filled(name: str, shape: Any, value: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    """Return a tensor filled with a Python number."""
    where = place(device)
    if isinstance(value, Box):
        value = value.item()
    target = where.canonical(dtype or dt.scalar_dtype(value), dtype is not None)
    s = spec(shape, target)
    # wrapped anew: remembered constants are shared, and a tensor of the user's can be written to
    return require(wrap(constant(fits(value, target), s, where).value, s, where), requires_grad)


def fits(value: Any, dtype: dt.DType) -> Any:
    """Return `value` as a number of the kind of `dtype`; raise OverflowError where an integer can't hold it."""
    if dtype.category == dt.INT:
        value = int(value)
        bits = 8 * dtype.itemsize
        low = -(1 << (bits - 1)) if dtype.signed else 0
        if not low <= value < low + (1 << bits):
            raise OverflowError(
                f"{value} does not fit {dtype!r}, which holds {low} to {low + (1 << bits) - 1}"
            )
        return value
    if dtype is dt.bool_:
        return bool(value)
    return complex(value) if dtype.is_complex else float(value)


def zeros(
    *size: Any, dtype: dt.DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return zeros of this size, in the default dtype unless told."""
    return filled("zeros", sizes("zeros", size), 0.0, dtype, device, requires_grad)


def ones(
    *size: Any, dtype: dt.DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return ones of this size, in the default dtype unless told."""
    return filled("ones", sizes("ones", size), 1.0, dtype, device, requires_grad)


__all__ = ["full", "math", "ones", "tensor", "zeros"]

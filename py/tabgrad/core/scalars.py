"""Python and NumPy numbers used with tensors: recognizing them, and converting them to a dtype."""

from __future__ import annotations

from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError, NumberRangeError

NUMBER = (bool, int, float, complex)

_LARGEST_SINGLE = 3.4028234663852886e38


def is_number(value: object) -> bool:
    """Whether `value` is a Python number, or a NumPy scalar or 0-d array that stands for one."""
    if isinstance(value, NUMBER):
        return True
    return hasattr(value, "__array_interface__") and getattr(value, "shape", None) == ()


def number(name: str, value: Any) -> Any:
    """Convert a NumPy scalar, a 0-d array or a 1-element tensor to a Python number."""
    if value.__class__ in NUMBER:
        return value
    for kind in (int, float, complex):
        if isinstance(value, kind):
            # numpy.float64 and its like: a subclass of Python's
            return kind(value)  # type: ignore[arg-type]
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{name}: expected a number, got {type(value).__name__}")


def limits(dtype: dt.DType) -> tuple[int, int]:
    """Return the smallest and the largest number of an integer dtype."""
    bits = 8 * dtype.itemsize
    low = -(1 << (bits - 1)) if dtype.signed else 0
    return low, low + (1 << bits) - 1


def fits(name: str, value: Any, dtype: dt.DType) -> Any:
    """Convert a Python number to one that a tensor of `dtype` can be filled with.

    Raises OverflowError for an integer out of range, and for inf or nan as an integer. As in PyTorch, a
    negative number of an unsigned dtype is taken modulo 2 ** bits if its size fits: -1 is 255 in uint8.
    """
    kind = value.__class__
    if kind is int and dtype.category == dt.INT:
        low, high = limits(dtype)
        if low <= value <= high:
            return value
    elif not isinstance(value, NUMBER):
        value = number(name, value)
    if dtype is dt.bool_:
        return bool(value)
    if dtype.is_complex:
        return complex(value)
    if isinstance(value, complex):
        raise DTypeError(f"{name}: a complex number can't become {dtype!r}")
    infinite = value != value or value in (float("inf"), float("-inf"))
    if dtype.category == dt.FLOAT:
        if dtype is dt.float32 and not infinite and abs(value) > _LARGEST_SINGLE:
            raise _overflow(name, value, dtype, f"whose largest number is {_LARGEST_SINGLE}")
        return float(value)
    low, high = limits(dtype)
    if infinite:
        raise _overflow(name, value, dtype, f"which holds {low} to {high}")
    whole = int(value)
    if low <= whole <= high:
        return whole
    if not dtype.signed and -high <= whole < 0:
        return whole & high
    raise _overflow(name, value, dtype, f"which holds {low} to {high}")


def _overflow(name: str, value: float, dtype: dt.DType, tail: str) -> NumberRangeError:
    return NumberRangeError(
        f"{name}: value cannot be converted to type {dtype.name} without overflow: {value} as {dtype.name}, "
        f"{tail}"
    )


def wrapped(name: str, value: int, dtype: dt.DType) -> int:
    """Reduce an integer operand of a tensor of integer `dtype` modulo 2 ** bits, as PyTorch does."""
    low, high = limits(dtype)
    if low <= value <= high:
        return value
    if not -(1 << 63) <= value < 1 << 64:
        raise NumberRangeError(
            f"{name}: int too big to convert: {value} is beyond the 64 bits of a number beside a tensor"
        )
    return (value - low & high - low) + low

"""Python and NumPy numbers beside tensors: what stands for one, and what a dtype makes of it."""

from __future__ import annotations

from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError, NumberRangeError

NUMBER = (bool, int, float, complex)

_LARGEST_SINGLE = 3.4028234663852886e38


def is_number(value: Any) -> bool:
    """Whether `value` is a Python number or stands for one, as NumPy's scalars and 0-d arrays do."""
    if isinstance(value, NUMBER):
        return True
    return hasattr(value, "__array_interface__") and getattr(value, "shape", None) == ()


def number(name: str, value: Any) -> Any:
    """Return a Python number from what stands for one: a NumPy scalar, a 0-d array, a 1-element tensor."""
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
    """Return the least and the greatest number of an integer dtype."""
    bits = 8 * dtype.itemsize
    low = -(1 << (bits - 1)) if dtype.signed else 0
    return low, low + (1 << bits) - 1


def fits(name: str, value: Any, dtype: dt.DType) -> Any:
    """Return a Python number as one that a tensor of `dtype` can be filled with.

    Raises OverflowError for an integer out of range, and for inf or nan as an integer. A negative number
    becomes unsigned modulo 2 ** bits where its size fits, as in PyTorch: -1 is 255 in uint8.
    """
    if not isinstance(value, NUMBER):
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


def _overflow(name: str, value: Any, dtype: dt.DType, tail: str) -> NumberRangeError:
    return NumberRangeError(
        f"{name}: value cannot be converted to type {dtype.name} without overflow: {value} as {dtype.name}, "
        f"{tail}"
    )


def wrapped(name: str, value: Any, dtype: dt.DType) -> Any:
    """Return a number that stands beside a tensor of the integer `dtype`: modulo 2 ** bits, as in PyTorch."""
    low, high = limits(dtype)
    if low <= value <= high:
        return value
    if not -(1 << 63) <= value < 1 << 64:
        raise NumberRangeError(
            f"{name}: int too big to convert: {value} is beyond the 64 bits of a number beside a tensor"
        )
    return (value - low & high - low) + low

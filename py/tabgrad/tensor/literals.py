"""Python numbers, lists and buffers as the bytes of a tensor, without NumPy."""

from __future__ import annotations

import array
import math
import struct
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError, NumberRangeError
from tabgrad.core.scalars import fits

CODES = {d: d.letter for d in dt.ALL if d.letter}
"""The `struct` letter of each dtype; bfloat16 and the complex ones have none."""

_ARRAY_CODES = {dtype: code for dtype, code in CODES.items() if code not in "?e"}


def is_nested(data: Any) -> bool:
    """Whether `data` is a sequence to go into: arrays with dims are, strings, bytes and tensors are not."""
    if isinstance(data, Sequence):
        return not isinstance(data, str | bytes | bytearray)
    return hasattr(data, "__array_interface__") and bool(getattr(data, "shape", ()))


def flatten(data: Any) -> tuple[tuple[int, ...], list[Any]]:
    """Return the shape and the leaves of nested sequences, row-major.

    Raises ValueError where the nesting is ragged.

    >>> flatten([[1, 2], [3, 4]])
    ((2, 2), [1, 2, 3, 4])
    """
    shape: list[int] = []
    level = [data]
    while level and is_nested(level[0]):
        n = len(level[0])
        below: list[Any] = []
        for item in level:
            if not is_nested(item):
                raise ValueError(
                    f"expected sequences at dim {len(shape)}, got {type(item).__name__} beside them"
                )
            if len(item) != n:
                raise ValueError(
                    f"expected sequence of length {n} at dim {len(shape)} (got {len(item)})"
                )
            below.extend(item)
        shape.append(n)
        level = below
    for item in level:
        if is_nested(item):
            raise ValueError(f"expected numbers at dim {len(shape)}, got a sequence beside them")
    return tuple(shape), level


_PLAIN = {bool, int, float, complex}


def all_numbers(leaves: Iterable[Any]) -> bool:
    """Whether all are plain Python numbers."""
    return set(map(type, leaves)) <= _PLAIN


def number_dtype(leaves: Iterable[Any]) -> dt.DType:
    """Return the dtype that Python numbers take together: bool < int64 < default float < complex."""
    kinds = {type(x) for x in leaves}
    if kinds <= {bool} and kinds:
        return dt.bool_
    if kinds <= {bool, int} and kinds:
        return dt.int64
    if complex in kinds:
        return dt.complex_of(dt.get_default_dtype())
    return dt.get_default_dtype()


def encode(leaves: Sequence[Any], dtype: dt.DType) -> bytes:
    """Return Python numbers as the bytes of `dtype`.

    Raises OverflowError for an integer that does not fit; a negative one wraps in an unsigned dtype. Floats
    are truncated to integers, as in PyTorch.
    """
    if dtype is dt.bool_:
        return bytes([bool(x) for x in leaves])
    if dtype.is_complex:
        pairs = [part for x in leaves for part in (complex(x).real, complex(x).imag)]
        return encode(pairs, dt.real_of(dtype))
    if dtype is dt.bfloat16:
        return _encode_bfloat16(leaves)
    try:
        if dtype.category == dt.INT:
            return _encode_ints(leaves, dtype)
        if dtype is dt.float16:
            return struct.pack(f"<{len(leaves)}e", *[_half(float(x)) for x in leaves])
        return array.array(CODES[dtype], leaves).tobytes()
    except TypeError:
        bad = next(x for x in leaves if not isinstance(x, int | float))
        raise TypeError(f"tensor: expected numbers, got {type(bad).__name__}") from None


def _encode_ints(leaves: Sequence[Any], dtype: dt.DType) -> bytes:
    code = _ARRAY_CODES[dtype]
    try:
        return array.array(code, leaves).tobytes()
    except (OverflowError, TypeError):
        return array.array(code, [_integer(x, dtype) for x in leaves]).tobytes()


def _integer(x: Any, dtype: dt.DType) -> int:
    if isinstance(x, float) and not dtype.signed and x <= -1.0:
        # PyTorch wraps negative integers, not negative floats
        raise NumberRangeError(
            f"tensor: value cannot be converted to type {dtype.name} without overflow: {x}"
        )
    return fits("tensor", x, dtype)


def _half(x: float) -> float:
    # struct refuses what rounds to infinity
    if -65520.0 < x < 65520.0 or x != x:
        return x
    return math.copysign(math.inf, x)


def _encode_bfloat16(leaves: Sequence[Any]) -> bytes:
    words = array.array("I", array.array("f", leaves).tobytes())
    out = array.array("H", bytes(2 * len(words)))
    for i, w in enumerate(words):
        nan = w & 0x7FFFFFFF > 0x7F800000
        out[i] = 0x7FC0 if nan else (w + 0x7FFF + (w >> 16 & 1)) >> 16
    return out.tobytes()


def decode(data: Any, dtype: dt.DType) -> list[Any]:
    """Return the elements of a buffer of `dtype` as Python numbers, in order."""
    view: Any = memoryview(data).cast("B")
    code = CODES.get(dtype)
    if code == "e":
        return list(struct.unpack(f"={len(view) // 2}e", view))
    if code is not None:
        return view.cast(code).tolist()
    if dtype is dt.bfloat16:
        words = array.array("I", [w << 16 for w in view.cast("H")])
        return list(array.array("f", words.tobytes()))
    parts = view.cast("f" if dtype is dt.complex64 else "d").tolist()
    return [complex(parts[i], parts[i + 1]) for i in range(0, len(parts), 2)]


def nest(flat: list[Any], shape: tuple[int, ...]) -> Any:
    """Return the elements as nested lists of this shape; a 0-d shape gives the element itself."""
    if not shape:
        return flat[0]
    for n in reversed(shape[1:]):
        if n == 0:
            return _empty(shape)
        flat = [flat[i : i + n] for i in range(0, len(flat), n)]
    return flat


def _empty(shape: tuple[int, ...]) -> Any:
    return [_empty(shape[1:]) for _ in range(shape[0])] if shape else None


_FORMATS = {code: dtype for dtype, code in CODES.items()} | {
    "l": dt.int64 if struct.calcsize("l") == 8 else dt.int32,
    "L": dt.uint64 if struct.calcsize("L") == 8 else dt.uint32,
    "Zf": dt.complex64,
    "Zd": dt.complex128,
}


def buffer_dtype(view: memoryview) -> dt.DType:
    """Return the dtype of a buffer's elements, from its `struct` format."""
    text = view.format.lstrip("@=" + ("<" if sys.byteorder == "little" else ">"))
    found = _FORMATS.get(text)
    if found is None:
        raise DTypeError(f"tensor: a buffer of format {view.format!r} has no dtype; cast it first")
    return found

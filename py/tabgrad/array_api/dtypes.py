"""Dtypes: casts, kinds and promotion."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad import can_cast as _can_cast, finfo as finfo, iinfo as iinfo

Tensor = tg.Tensor

_SIGNED = (tg.int8, tg.int16, tg.int32, tg.int64)
_UNSIGNED = (tg.uint8, tg.uint16, tg.uint32, tg.uint64)
_REAL = (tg.float16, tg.bfloat16, tg.float32, tg.float64)
_COMPLEX = (tg.complex64, tg.complex128)
KINDS = {
    "bool": (tg.bool,), "signed integer": _SIGNED, "unsigned integer": _UNSIGNED,
    "integral": _SIGNED + _UNSIGNED, "real floating": _REAL, "complex floating": _COMPLEX,
    "numeric": _SIGNED + _UNSIGNED + _REAL + _COMPLEX,
}  # fmt: skip


def astype(x: Tensor, dtype: tg.DType, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """Return `x` as a dtype, on a device if given; a copy unless `copy` is false and nothing changes."""
    if x.is_complex() and not dtype.is_complex:
        raise TypeError(
            f"astype: {x.dtype} has an imaginary part that {dtype} can't hold; use real(x)"
        )
    return x.to(device, dtype, copy=copy)


def isdtype(dtype: tg.DType, kind: Any) -> bool:
    """Return whether a dtype is of a kind: a dtype, the name of a kind, or a tuple of these."""
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, tg.DType):
        return dtype is kind
    if kind not in KINDS:
        raise ValueError(f"Unrecognized data type kind: {kind!r}; there are {', '.join(KINDS)}")
    return dtype in KINDS[kind]


def can_cast(from_: Tensor | tg.DType, to: tg.DType, /) -> bool:
    """Return whether promotion goes from a dtype, or that of an array, to another one."""
    source = from_.dtype if isinstance(from_, Tensor) else from_
    try:
        return tg.promote_types(source, to) is to
    except TypeError:
        return _can_cast(source, to)


def result_type(*arrays_and_dtypes: Any) -> tg.DType:
    """Return the dtype of arithmetic on arrays, dtypes and Python numbers, of which one is no number."""
    typed = [x.dtype if isinstance(x, Tensor) else x for x in arrays_and_dtypes if not _number(x)]
    if not typed:
        raise ValueError("at least one array or dtype is required")
    found = typed[0]
    for other in typed[1:]:
        found = tg.promote_types(found, other)
    for x in arrays_and_dtypes:
        if _number(x):
            found = tg.result_type(tg.empty(1, dtype=found, device="meta"), x)
    return found


def _number(x: Any) -> bool:
    return isinstance(x, bool | int | float | complex)


__all__ = ["astype", "can_cast", "finfo", "iinfo", "isdtype", "result_type"]

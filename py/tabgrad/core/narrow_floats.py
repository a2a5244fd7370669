"""The eight-bit dtypes by name: programs ask for them and for their limits, and no tensors have them."""

from __future__ import annotations

from typing import Any, Final

from tabgrad.core.dtype import FLOAT, DType

_MOST: dict[str, tuple[float, int, float]] = {
    "float8_e4m3fn": (0.125, -6, 448.0),
    "float8_e4m3fnuz": (0.125, -7, 240.0),
    "float8_e5m2": (0.25, -14, 57344.0),
    "float8_e5m2fnuz": (0.125, -15, 57344.0),
    "float8_e8m0fnu": (1.0, -127, 2.0**127),
}
"""What PyTorch calls eps, the smallest exponent of normal numbers, the largest number."""


class NarrowFloat(DType):
    """A dtype that no tensor can have here; everything that would make one raises DTypeError."""

    __slots__ = ()

    def __reduce__(self) -> tuple[object, ...]:
        return (by_name, (self.name,))


def _named(name: str) -> NarrowFloat:
    tail = name.removeprefix("float8_")
    code = {"e4m3fn": "F8_E4M3", "e5m2": "F8_E5M2", "e8m0fnu": "F8_E8M0"}.get(tail, "")
    return NarrowFloat(name, FLOAT, 1, 9, tail != "e8m0fnu", f"Float8_{tail}", code)


float8_e4m3fn: Final = _named("float8_e4m3fn")
float8_e4m3fnuz: Final = _named("float8_e4m3fnuz")
float8_e5m2: Final = _named("float8_e5m2")
float8_e5m2fnuz: Final = _named("float8_e5m2fnuz")
float8_e8m0fnu: Final = _named("float8_e8m0fnu")


def by_name(name: str) -> DType:
    """Return one of these dtypes.

    >>> by_name("float8_e5m2").itemsize
    1
    """
    found: DType = globals()[name]
    return found


def limits_of(dtype: DType) -> dict[str, Any]:
    """Return what `finfo` tells of one of these dtypes.

    >>> limits_of(float8_e4m3fn)["max"]
    448.0
    """
    eps, low, most = _MOST[dtype.name]
    least = 2.0**low if dtype.signed else most**-1
    return {
        "bits": 8,
        "dtype": dtype.name,
        "eps": eps,
        "max": most,
        "min": -most if dtype.signed else least,
        "tiny": least,
        "smallest_normal": least,
        "resolution": 1.0,
    }


__all__ = ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"]

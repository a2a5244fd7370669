"""What the numbers of a dtype can be: `finfo` and `iinfo`."""

from __future__ import annotations

from tabgrad.core import dtype as dt
from tabgrad.core.dtype import DType
from tabgrad.core.narrow_floats import NarrowFloat, limits_of
from tabgrad.core.scalars import limits

# bits of the fraction, and the smallest and largest exponents of normal numbers
_FLOATS = {
    dt.float16: (10, -14, 15), dt.bfloat16: (7, -126, 127), dt.float32: (23, -126, 127),
    dt.float64: (52, -1022, 1023),
}  # fmt: skip


class finfo:
    """Limits of a floating-point dtype, by default of the default dtype.

    >>> import tabgrad as tg
    >>> tg.finfo(tg.float32).eps == 2.0 ** -23
    True
    """

    bits: int
    dtype: str
    eps: float
    max: float
    min: float
    tiny: float
    smallest_normal: float
    resolution: float

    def __init__(self, type: DType | None = None) -> None:
        dtype = dt.real_of(type or dt.get_default_dtype())
        if isinstance(dtype, NarrowFloat):
            self.__dict__.update(limits_of(dtype))
            return
        if dtype not in _FLOATS:
            raise TypeError(
                f"finfo() requires a floating point input type, got {dtype!r}. Use iinfo"
            )
        fraction, low, high = _FLOATS[dtype]
        self.bits = 8 * dtype.itemsize
        self.dtype = dtype.name
        self.eps = 2.0**-fraction
        self.max = (2.0 - self.eps) * 2.0**high
        self.min = -self.max
        self.tiny = self.smallest_normal = 2.0**low
        self.resolution = 10.0 ** -int(fraction * 0.30103)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.tiny:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:
    """Limits of an integer dtype.

    >>> import tabgrad as tg
    >>> tg.iinfo(tg.int8).max
    127
    """

    def __init__(self, type: DType) -> None:
        if type.category != dt.INT:
            raise TypeError(f"iinfo() requires an integer input type, got {type!r}. Use finfo")
        self.bits = 8 * type.itemsize
        self.dtype = type.name
        self.min, self.max = limits(type)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


__all__ = ["finfo", "iinfo"]

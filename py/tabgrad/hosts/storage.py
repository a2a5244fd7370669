"""Converts elements to their form in buffers and back: WebGPU stores narrow dtypes in 32-bit words."""

from __future__ import annotations

import math
import struct
from array import array
from typing import Literal

from tabgrad.core import dtype as dt
from tabgrad.core.spec import Spec

NARROW: dict[dt.DType, Literal["B", "b", "H", "h"]] = {
    dt.bool_: "B",
    dt.uint8: "B",
    dt.int8: "b",
    dt.uint16: "H",
    dt.int16: "h",
}


def nearest(value: float, dtype: dt.DType) -> float:
    """Round `value` to the nearest number of a half-precision dtype, a tie to the even one."""
    code = "<e" if dtype is dt.float16 else "<f"
    try:
        found: float = struct.unpack(code, struct.pack(code, value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    if dtype is dt.float16 or not math.isfinite(found):
        return found
    (word,) = struct.unpack("<I", struct.pack("<f", found))
    near = (word + 0x7FFF + (word >> 16 & 1)) & 0xFFFF0000
    return float(struct.unpack("<f", struct.pack("<I", near))[0])


def to_storage(widens: bool, data: bytes, dtype: dt.DType) -> bytes | array[int]:
    """Convert row-major bytes of the dtype's own width to their stored form; see `Dialect.widens`."""
    if widens and dtype is dt.bfloat16:
        # a bfloat16 is the upper half of a float32
        return array("I", [w << 16 for w in memoryview(data).cast("B").cast("H")])
    code = NARROW.get(dtype)
    if not widens or code is None:
        return data
    narrow = memoryview(data).cast("B").cast(code)
    return array("i" if dtype.signed else "I", narrow.tolist())


def from_storage(widens: bool, data: bytes, spec: Spec) -> memoryview:
    """Convert stored bytes to row-major bytes of the dtype's own width."""
    if widens and spec.dtype is dt.bfloat16:
        words = memoryview(data).cast("B").cast("I")[: spec.size]
        return memoryview(array("H", [w >> 16 for w in words])).cast("B")
    code = NARROW.get(spec.dtype)
    if not widens or code is None:
        return memoryview(data).cast("B")[: spec.size * spec.dtype.itemsize]
    wide = memoryview(data).cast("B").cast("i" if spec.dtype.signed else "I")
    return memoryview(array(code, wide.tolist())).cast("B")

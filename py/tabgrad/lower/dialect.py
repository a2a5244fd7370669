"""The interface of kernel languages, which WGSL and CUDA C implement, and their common parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError

F32, I32, U32, BOOL, F64, I64, U64 = "f32", "i32", "u32", "bool", "f64", "i64", "u64"
C64, C128 = "c64", "c128"
"""The types values are computed in; buffers may store narrower ones."""
PARTS = {C64: F32, C128: F64}
"""The type of the two parts of a complex one: `x` is the real part, `y` the imaginary one."""


FLAGS: Any = "flags"
"""Stands for a dtype where words are bound that threads set at the same time."""
FOURS: dict[dt.DType, Any] = {
    dt.float32: "four float32", dt.bfloat16: "four float32", dt.float16: "four float16"
}  # fmt: skip
"""Stand for the dtypes that may be read four elements at a time."""


class Windowed(str):
    """The name of a buffer that is bound as windows; functions named after it (`_at`, `_put`) access it."""


class Binding(NamedTuple):
    """A buffer that a kernel binds, "r" or "w". A large one is bound as `windows`, of `each` elements all but
    the last, beginning at the element that the text `base` names."""

    name: str
    access: str
    dtype: dt.DType
    windows: int = 0
    each: int = 0
    base: str = ""


class Dialect:
    """A kernel language. Statements end up in one flat list of lines; blocks are `{` and `}` in both."""

    name = ""
    simplifies = False
    """True if a driver may apply rules of real numbers to floats."""

    robust = False
    """True if a load from outside of a buffer is harmless."""

    types: ClassVar[dict[str, str]] = {}
    """The language's names of the compute types it has."""

    widens = False
    """True if bools, narrow integers and bfloat16 take a word each in a buffer."""

    windows = False
    """True if a device limits the bytes of a buffer that one binding reaches."""

    float16 = ""
    """The feature that a device with float16 has."""

    templates = False
    """True if the kernels of `shaders/` are written in this language."""

    storage_barrier = ""
    """The statement after which the threads of a workgroup see what others wrote to buffers."""

    barrier = ""
    """The statement at which the threads of a workgroup wait for each other."""

    group_x = group_y = lane = ""
    """The place of the workgroup, and of the thread in it."""

    def compute_type(self, dtype: dt.DType) -> str:
        """Choose the type that values of `dtype` are computed in."""
        found = {
            dt.bool_: BOOL, dt.uint8: U32, dt.uint16: U32, dt.uint32: U32, dt.int8: I32, dt.int16: I32,
            dt.int32: I32, dt.float16: F32, dt.bfloat16: F32, dt.float32: F32, dt.float64: F64,
            dt.int64: I64, dt.uint64: U64, dt.complex64: C64, dt.complex128: C128,
        }.get(dtype)  # fmt: skip
        if found is None or found not in self.types:
            raise DTypeError(f"{self.name} has no {dtype.name}")
        return found

    def let(self, name: str, kind: str, value: str) -> str:
        """Declare a constant."""
        raise NotImplementedError

    def var(self, name: str, kind: str, value: str) -> str:
        """Declare a variable."""
        raise NotImplementedError

    def loop(self, name: str, start: str, stop: str, step: str) -> str:
        """Open a counting loop."""
        raise NotImplementedError

    def convert(self, value: str, source: str, target: str) -> str:
        """Convert between compute types."""
        raise NotImplementedError

    def bits(self, value: str, source: str, target: str) -> str:
        """Read the bits of a compute type as another's, F32, I32 or U32."""
        raise NotImplementedError

    def load(self, buffer: str, index: str, dtype: dt.DType) -> str:
        """Read an element of a buffer as its compute type."""
        raise NotImplementedError

    def store(self, buffer: str, index: str, value: str, dtype: dt.DType) -> str:
        """Write an element of a buffer."""
        raise NotImplementedError

    def uniform(self, word: int, kind: str) -> str:
        """Read a constant from the uniform words."""
        raise NotImplementedError

    def literal(self, value: Any, kind: str) -> str:
        """Write a number."""
        raise NotImplementedError

    def choose(self, test: str, yes: str, no: str) -> str:
        """Write a choice between two values."""
        raise NotImplementedError

    def pair(self, x: str, y: str) -> str:
        """Write the complex number of two parts."""
        raise NotImplementedError

    def times(self, x: str, y: str, kind: str) -> str:
        """Write a product; that of complex numbers is a function of the library."""
        return f"mul_{kind}({x}, {y})" if kind in PARTS else f"{x} * {y}"

    def flag(self, buffer: str, at: int, value: str, kind: str, site: str) -> list[str]:
        """Write `value`, an unsigned integer, at word `at` of a buffer of FLAGS and `site` in front, unless
        there is one; signed numbers reach to the second word."""
        raise NotImplementedError

    def nbytes(self, dtype: dt.DType, size: int) -> int:
        """Count the bytes of `size` elements in a buffer, padded to four."""
        return max(4, math.ceil(size * self.stored_bytes(dtype) / 4) * 4)

    def stored_bytes(self, dtype: dt.DType) -> int:
        """Count the bytes of an element in a buffer."""
        return dtype.itemsize

    def overrides(self, threads: int) -> tuple[tuple[str, float], ...]:
        """Give the override constants by which a launch sets the size of workgroups."""
        return ()

    def into_shared(self, value: str, kind: str) -> str:
        """Convert a value to the form in which shared memory holds it."""
        return value

    def from_shared(self, value: str, kind: str) -> str:
        """Convert a value from the form in which shared memory holds it."""
        return value

    def shared(self, name: str, kind: str, size: int) -> str:
        """Declare memory that the threads of a workgroup share."""
        raise NotImplementedError

    def bindings(self, bindings: list[Binding]) -> str:
        """Declare the buffers, followed by the field UNIFORMS."""
        raise NotImplementedError

    def uniforms(self, buffers: int, words: int) -> str:
        """Declare the uniform words, at least one, behind `buffers` buffers: the text of the field UNIFORMS."""
        raise NotImplementedError

    def module(
        self, bindings: list[Binding], shared: Sequence[str], size: int, body: list[str]
    ) -> str:
        """Write the text of a kernel; `body` holds the lines of its main function."""
        raise NotImplementedError

    def narrow(self, value: str, dtype: dt.DType) -> str:
        """Wrap a computed value to the range (or precision) of a dtype narrower than its compute type."""
        bits = dtype.itemsize * 8
        if dtype in (dt.uint8, dt.uint16):
            return f"({value} & {2**bits - 1}u)"
        if dtype in (dt.int8, dt.int16):
            return f"(({value} << {32 - bits}u) >> {32 - bits}u)"
        return value

    def is_narrow(self, dtype: dt.DType) -> bool:
        """Test whether `narrow` does anything for `dtype`."""
        return dtype in (dt.uint8, dt.uint16, dt.int8, dt.int16, dt.float16, dt.bfloat16)

    def words(self, kind: str) -> int:
        """Count the uniform words of a constant of a compute type."""
        return {F64: 2, I64: 2, U64: 2, C64: 2, C128: 4}.get(kind, 1)

    def code(self, op: Any, dtype: dt.DType) -> str:
        """Look up the scalar expression of an element-wise op for operands of `dtype`."""
        found: str | None = op.code_in(
            self.name, ("bool", "int", "float", "complex")[dtype.category]
        )
        if found is None:
            raise DTypeError(f"{op.name}: has no {self.name} code for {dtype.name}")
        return found


def pack_words(value: Any, kind: str) -> tuple[int, ...]:
    """Encode a Python number in the uniform words of a compute type."""
    import struct

    if kind in PARTS:
        parts = (
            pack_words(part, PARTS[kind]) for part in (complex(value).real, complex(value).imag)
        )
        return tuple(word for words in parts for word in words)
    if kind == F32:
        try:
            return (struct.unpack("<I", struct.pack("<f", value))[0],)
        except OverflowError:
            return (0x7F800000 if value > 0 else 0xFF800000,)
    if kind == F64:
        return struct.unpack("<II", struct.pack("<d", value))
    if kind in (I64, U64):
        v = int(value) & 0xFFFFFFFFFFFFFFFF
        return (v & 0xFFFFFFFF, v >> 32)
    return (int(value) & 0xFFFFFFFF,)

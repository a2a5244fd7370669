"""Dtypes and PyTorch's rules of promotion."""

from __future__ import annotations

from typing import Any, Final

from tabgrad.core.errors import DTypeError
from tabgrad.core.naming import Package
from tabgrad.core.settings import setting

BOOL, INT, FLOAT, COMPLEX = 0, 1, 2, 3
"""Categories, in the order of promotion."""


class DType:
    """An element type. Compare with `is`; the instances are module constants.

    `name` is also NumPy's name, except for `bfloat16`, which NumPy lacks. `itemsize` is in bytes; `rank` orders
    the dtypes of a category for promotion. `title` is the name in PyTorch's messages, `alias` PyTorch's short
    name, `code` the name in safetensors files, and `letter` that of `struct`; a missing name is empty.
    """

    __slots__ = (
        "alias", "category", "code", "itemsize", "letter", "name", "rank", "signed", "title",
    )  # fmt: skip

    def __init__(
        self, name: str, category: int, itemsize: int, rank: int, signed: bool, title: str, code: str = "",
        letter: str = "", alias: str = "",
    ) -> None:  # fmt: skip
        self.name, self.category, self.itemsize = name, category, itemsize
        self.rank, self.signed = rank, signed
        self.title, self.code, self.letter, self.alias = title, code, letter, alias

    @property
    def is_floating_point(self) -> bool:
        """Whether this is a real floating-point dtype."""
        return self.category == FLOAT

    @property
    def is_complex(self) -> bool:
        """Whether this is a complex dtype."""
        return self.category == COMPLEX

    @property
    def is_signed(self) -> bool:
        """Whether values can be negative."""
        return self.signed

    @property
    def is_differentiable(self) -> bool:
        """Whether tensors of this dtype can carry gradients."""
        return self.category >= FLOAT

    def to_complex(self) -> DType:
        """Return the complex dtype whose parts are of this one; DTypeError if there is none."""
        if self.is_complex:
            return self
        if self not in (float64, float32, bfloat16):
            raise DTypeError(f"to_complex: there is no complex dtype of {self!r}")
        return complex128 if self is float64 else complex64

    def to_real(self) -> DType:
        """Return the dtype of the parts of this one, which is itself unless it is complex."""
        if self.is_complex:
            return float64 if self is complex128 else float32
        return self

    def __repr__(self) -> str:
        return f"{Package.name}.{self.name}"

    def __reduce__(self) -> tuple[object, ...]:
        return (by_name, (self.name,))


bool_: Final = DType("bool", BOOL, 1, 0, False, "Bool", "BOOL", "?")
uint8: Final = DType("uint8", INT, 1, 1, False, "Byte", "U8", "B")
int8: Final = DType("int8", INT, 1, 2, True, "Char", "I8", "b")
uint16: Final = DType("uint16", INT, 2, 3, False, "UInt16", "U16", "H")
int16: Final = DType("int16", INT, 2, 4, True, "Short", "I16", "h", "short")
uint32: Final = DType("uint32", INT, 4, 5, False, "UInt32", "U32", "I")
int32: Final = DType("int32", INT, 4, 6, True, "Int", "I32", "i", "int")
uint64: Final = DType("uint64", INT, 8, 7, False, "UInt64", "U64", "Q")
int64: Final = DType("int64", INT, 8, 8, True, "Long", "I64", "q", "long")
float16: Final = DType("float16", FLOAT, 2, 10, True, "Half", "F16", "e", "half")
bfloat16: Final = DType("bfloat16", FLOAT, 2, 11, True, "BFloat16", "BF16")
float32: Final = DType("float32", FLOAT, 4, 12, True, "Float", "F32", "f", "float")
float64: Final = DType("float64", FLOAT, 8, 13, True, "Double", "F64", "d", "double")
complex64: Final = DType("complex64", COMPLEX, 8, 20, True, "ComplexFloat", "C64", alias="cfloat")
complex128: Final = DType("complex128", COMPLEX, 16, 21, True, "ComplexDouble", alias="cdouble")

ALL: Final = (
    bool_, uint8, int8, uint16, int16, uint32, int32, uint64, int64,
    float16, bfloat16, float32, float64, complex64, complex128,
)  # fmt: skip
NAMES: Final = {d.name: d for d in ALL}
ALIASES: Final = {d.alias: d for d in ALL if d.alias}

HALVES: Final = frozenset((float16, bfloat16))
"""Dtypes that are stored in 16 bits and computed in float32."""

NARROW: Final = {int64: int32, uint64: uint32, float64: float32, complex128: complex64}
"""The 32-bit dtype that replaces each 64-bit one on a device that lacks 64 bits."""


def by_name(name: str) -> DType:
    """Look up a dtype by name, PyTorch's short names included."""
    found = NAMES.get(name) or ALIASES.get(name)
    if found is None:
        raise DTypeError(f"dtype: no dtype is called {name!r}; there are {', '.join(NAMES)}")
    return found


_PYTHON: Final = {bool: bool_, int: int64, float: float64, complex: complex128}


def as_dtype(given: object) -> DType:
    """Convert Python's `bool`, `int`, `float` or `complex` to the dtype that it stands for; keep a dtype."""
    if given.__class__ is DType:
        return given
    if isinstance(given, DType):
        raise DTypeError(f"dtype: {given!r} is a name and limits only; use bfloat16 or float16")
    found = _PYTHON.get(given) if isinstance(given, type) else None
    if found is None:
        raise DTypeError(
            "dtype: expected a dtype as tabgrad.float32, or bool, int, float or complex, "
            f"got {given!r}"
        )
    return found


_PROMOTED: dict[tuple[DType, DType], DType] = {}


def promote(a: DType, b: DType) -> DType:
    """Return the dtype that holds the values of both, by PyTorch's table."""
    if a is b:
        return a
    a, b = as_dtype(a), as_dtype(b)
    found = _PROMOTED.get((a, b))
    if found is None:
        found = _PROMOTED[a, b] = _PROMOTED[b, a] = _promote(a, b)
    return found


def _promote(a: DType, b: DType) -> DType:
    low, high = (a, b) if (a.category, a.rank) < (b.category, b.rank) else (b, a)
    if low.category < high.category:
        if high is complex64 and low is float64:
            return complex128
        return high
    if high.category == FLOAT and {low, high} == {float16, bfloat16}:
        return float32
    if high.category == INT and low.signed != high.signed:
        return _mixed_signs(low, high)
    return high


def _mixed_signs(a: DType, b: DType) -> DType:
    signed, unsigned = (a, b) if a.signed else (b, a)
    if signed.itemsize > unsigned.itemsize:
        return signed
    wider = {1: int16, 2: int32, 4: int64}.get(unsigned.itemsize)
    if wider is None:
        raise DTypeError(
            f"promotion: no integer dtype holds both {a!r} and {b!r}; cast one of them"
        )
    return wider


@setting
class _Default:
    """The default floating-point dtype, changeable by `set_default_dtype`."""

    floating: DType = float32


def get_default_dtype() -> DType:
    """Return the dtype that Python floats become; `float32` unless it was set.

    >>> import tabgrad as tg
    >>> tg.get_default_dtype()
    tabgrad.float32
    """
    return _Default.floating


def set_default_dtype(d: DType, /) -> None:
    """Set the dtype that Python floats become: a floating-point dtype."""
    if d.__class__ is not DType or not d.is_floating_point:
        raise DTypeError(
            "invalid dtype object: only floating-point types are supported as the default type, "
            f"got {d!r}"
        )
    _Default.floating = d


def complex_of(dtype: DType) -> DType:
    """Return the complex dtype whose parts are `dtype`."""
    return complex128 if dtype is float64 else complex64


def real_of(dtype: DType) -> DType:
    """Return the dtype of the parts of a complex `dtype`, or any other dtype unchanged."""
    return {complex64: float32, complex128: float64}.get(dtype, dtype)


def scalar_dtype(value: Any) -> DType:
    """Return the dtype that a bare Python number becomes."""
    if isinstance(value, bool):
        return bool_
    if isinstance(value, int):
        return int64
    if isinstance(value, float):
        return _Default.floating
    if isinstance(value, complex):
        return complex_of(_Default.floating)
    if hasattr(value, "__array_interface__") and value.shape == ():
        return scalar_dtype(value.item())
    raise DTypeError(f"expected a Python number, got {type(value).__name__}")


def with_scalar(dtype: DType, value: object) -> DType:
    """Return the dtype of an op between a tensor of `dtype` and a Python number.

    A number raises the category but never the width: `float16` stays `float16` beside `2.5`.
    """
    category = scalar_dtype(value).category
    if category <= dtype.category:
        return dtype
    if category == FLOAT:
        return _Default.floating
    if category == COMPLEX:
        return complex_of(dtype if dtype.category == FLOAT else _Default.floating)
    return int64

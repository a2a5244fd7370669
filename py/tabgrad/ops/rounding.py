"""Rounding, comparisons, logic and bits: element-wise ops whose derivative is zero or does not exist."""

from __future__ import annotations

from tabgrad.core.families import elementwise
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Array, Operand

# -- rounding: the derivative is 0 wherever it exists, as in PyTorch -------------------------------


@elementwise(
    code={"float": "floor({x})", "int": "{x}"},
    derivative=lambda _x, _y: 0.0,
    integers="same",
    kinds="iuf",
    domain=(0.1, 0.9),
)
def floor(x: Operand) -> Array:
    """Compute the largest integer not above each element."""
    return np.floor(x)


@elementwise(
    code={"float": "ceil({x})", "int": "{x}"},
    derivative=lambda _x, _y: 0.0,
    integers="same",
    kinds="iuf",
    domain=(0.1, 0.9),
)
def ceil(x: Operand) -> Array:
    """Compute the smallest integer not below each element."""
    return np.ceil(x)


@elementwise(
    code={"float": "trunc({x})", "int": "{x}"},
    derivative=lambda _x, _y: 0.0,
    integers="same",
    kinds="iuf",
    domain=(0.1, 0.9),
)
def trunc(x: Operand) -> Array:
    """Drop the fraction of each element."""
    return np.trunc(x)


@elementwise(
    code={"float": "round_half_even_{f}({x})", "int": "{x}"},
    derivative=lambda _x, _y: 0.0,
    integers="same",
    kinds="iuf",
    domain=(0.1, 0.4),
)
def round_(x: Operand) -> Array:
    """Round to the nearest integer, a half to the even one."""
    return x.round()


@elementwise(
    code={"float": "trunc({x} / {y})"},
    derivative=(lambda _x, _y, _z: 0.0, lambda _x, _y, _z: 0.0),
    integers=None,
    kinds="f",
    domain=((0.6, 0.9), (0.5, 0.55)),
)
def trunc_divide(x: Operand, y: Operand) -> Array:
    """Compute the quotient rounded towards zero; its derivative is 0, also if the quotient is infinite."""
    return np.trunc(x / y)


# -- comparisons -----------------------------------------------------------------------------------


SAME = "(({x}.x == {y}.x) & ({x}.y == {y}.y))"
"""Whether complex numbers are equal, in both languages."""


@elementwise(
    code={
        "wgsl": "({x} == {y})", "cuda": "({x} == {y})", "complex": SAME,
    },
    derivative=None,
    result="bool",
    integers="same",
)  # fmt: skip
def eq(x: Operand, y: Operand) -> Array:
    """Test whether the elements are equal."""
    return x == y


@elementwise(
    code={"wgsl": "(!({x} == {y}))", "cuda": "({x} != {y})", "complex": f"(!{SAME})"},
    derivative=None,
    result="bool",
    integers="same",
)
def ne(x: Operand, y: Operand) -> Array:
    """Test whether the elements differ; nan differs from itself."""
    return x != y


@elementwise(
    code={"wgsl": "({x} < {y})", "cuda": "({x} < {y})", "bool": "(!{x} & {y})"},
    derivative=None,
    result="bool",
    integers="same",
    kinds="biuf",
)
def lt(x: Operand, y: Operand) -> Array:
    """Test whether x < y."""
    return x < y


@elementwise(
    code={"wgsl": "({x} <= {y})", "cuda": "({x} <= {y})", "bool": "(!{x} | {y})"},
    derivative=None,
    result="bool",
    integers="same",
    kinds="biuf",
)
def le(x: Operand, y: Operand) -> Array:
    """Test whether x <= y."""
    return x <= y


@elementwise(
    code={"wgsl": "({x} > {y})", "cuda": "({x} > {y})", "bool": "({x} & !{y})"},
    derivative=None,
    result="bool",
    integers="same",
    kinds="biuf",
)
def gt(x: Operand, y: Operand) -> Array:
    """Test whether x > y."""
    return x > y


@elementwise(
    code={"wgsl": "({x} >= {y})", "cuda": "({x} >= {y})", "bool": "({x} | !{y})"},
    derivative=None,
    result="bool",
    integers="same",
    kinds="biuf",
)
def ge(x: Operand, y: Operand) -> Array:
    """Test whether x >= y."""
    return x >= y


@elementwise(
    code={
        "float": "is_nan({x})",
        "int": "false",
        "bool": "false",
        "complex": "(is_nan({x}.x) | is_nan({x}.y))",
    },
    derivative=None,
    result="bool",
    integers="same",
)
def isnan(x: Operand) -> Array:
    """Test whether each element is not a number."""
    return np.isnan(x)


@elementwise(
    code={"float": "sign_bit({x})"}, derivative=None, result="bool", kinds="f", domain=(-2.0, 2.0)
)
def signbit(x: Operand) -> Array:
    """Test whether the sign bit of each element is set, for zeros and nans too."""
    return np.signbit(x)


@elementwise(
    code={
        "float": "is_inf({x})",
        "int": "false",
        "bool": "false",
        "complex": "(is_inf({x}.x) | is_inf({x}.y))",
    },
    derivative=None,
    result="bool",
    integers="same",
)
def isinf(x: Operand) -> Array:
    """Test whether each element is plus or minus infinity."""
    return np.isinf(x)


@elementwise(
    code={
        "float": "is_finite({x})",
        "int": "true",
        "bool": "true",
        "complex": "(is_finite({x}.x) & is_finite({x}.y))",
    },
    derivative=None,
    result="bool",
    integers="same",
)
def isfinite(x: Operand) -> Array:
    """Test whether each element is neither infinite nor nan."""
    return np.isfinite(x)


# -- logic and bits --------------------------------------------------------------------------------


@elementwise(
    code={"bool": "(!{x})", "int": "(~{x})"}, derivative=None, integers="same", kinds="biu"
)
def bitwise_not(x: Operand) -> Array:
    """Compute the complement of the bits; of a bool, the negation."""
    return np.invert(x)


@elementwise(
    code={"int": "gcd_{t}({x}, {y})"},
    derivative=None,
    integers="same",
    kinds="iu",
    domain=((-60, 60), (-60, 60)),
)
def gcd(x: Operand, y: Operand) -> Array:
    """Compute the greatest common divisors, which are not negative; gcd(0, 0) is 0."""
    return np.gcd(x, y)


@elementwise(
    code={"bool": "({x} & {y})", "int": "({x} & {y})"},
    derivative=None,
    integers="same",
    kinds="biu",
)
def bitwise_and(x: Operand, y: Operand) -> Array:
    """Compute the bits that are set in both."""
    return x & y


@elementwise(
    code={"bool": "({x} | {y})", "int": "({x} | {y})"},
    derivative=None,
    integers="same",
    kinds="biu",
)
def bitwise_or(x: Operand, y: Operand) -> Array:
    """Compute the bits that are set in either."""
    return x | y


@elementwise(
    code={"bool": "({x} != {y})", "int": "({x} ^ {y})"},
    derivative=None,
    integers="same",
    kinds="biu",
)
def bitwise_xor(x: Operand, y: Operand) -> Array:
    """Compute the bits that are set in one of the two."""
    return x ^ y


@elementwise(
    code="left_shift_{t}({x}, {y})",
    derivative=None,
    integers="same",
    kinds="iu",
    domain=((0, 9), (0, 5)),
)
def bitwise_left_shift(x: Operand, y: Operand) -> Array:
    """Move the bits `y` places up; the result is 0 if `y` is negative or at least the number of bits."""
    return np.left_shift(x, y)


@elementwise(
    code="right_shift_{t}({x}, {y})",
    derivative=None,
    integers="same",
    kinds="iu",
    domain=((0, 999), (0, 5)),
)
def bitwise_right_shift(x: Operand, y: Operand) -> Array:
    """Move the bits `y` places down; a signed integer keeps its sign.

    If `y` is negative or at least the number of bits, only the sign is left.
    """
    return np.right_shift(x, y)

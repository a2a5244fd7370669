"""Element-wise ops: one output element from the matching input elements."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tabgrad.core.dtype import INT, DType, bool_
from tabgrad.core.families import elementwise
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import REGISTRY, Array, Operand
from tabgrad.core.spec import spec
from tabgrad.core.trace import constant
from tabgrad.ops.rounding import eq, gt, lt, trunc

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor

REAL = "biuf"
FLOATS = "f"


# -- linear ----------------------------------------------------------------------------------------


@elementwise(code="{x}", along=lambda t, _x, _y: t, integers="same")
def copy(x: Operand) -> Array:
    """Copy `x` to memory of its own."""
    return x


@elementwise(code="{x}", along=lambda t, _x, _y: t, integers="same")
def barrier(x: Operand) -> Array:
    """Make `x` a new value, so that ops on it are computed even if the same ops on `x` have been."""
    return x


@elementwise(code="{x}", derivative=None, integers="same")
def stop_gradient(x: Operand) -> Array:
    """Make `x` a constant, through which no derivative of any mode or order passes."""
    return x


@elementwise(
    code="cast",
    # a tangent is cast to `dtype`, a cotangent back; only the dtype of x is read, so x is not saved
    along=lambda t, _x, _y, *, dtype: (
        cast.bind(t, dtype=dtype if t.spec.dtype is _x.spec.dtype else _x.spec.dtype)
        if dtype.is_differentiable
        else None
    ),
    integers="same",
)
def cast(x: Operand, *, dtype: DType) -> Array:
    """Convert `x` to `dtype`: floats to integers truncate, anything to bool is `x != 0`.

    A float that is too large, or nan, becomes the least int64 or int32, or 0 as an integer of 8 or 16
    bits; one that fits only 32 bits is taken modulo 2 ** bits. As uint32 a float is taken modulo 2 ** 32,
    and inf and nan become 0. All devices agree.
    """
    if x.dtype.kind == "c" and not dtype.is_complex and dtype is not bool_:
        x = x.real
    if x.dtype.kind == "f" and dtype.category == INT and dtype.name != "uint64":
        return _truncated(x, dtype)
    return x.astype(dtype.name)


def _truncated(x: Any, dtype: DType) -> Any:
    """Truncate floats to integers, with the same results on every processor."""
    bits = 63 if dtype.name in ("int64", "uint32", "uint8") else 31
    whole = "int32" if bits == 31 else "int64"
    if x.size and np.maximum.reduce(np.abs(x), None) < 2.0**bits:
        # nearly always
        return x.astype(whole).astype(dtype.name, copy=False)
    # float16 can't hold such a bound, and needs none except for its infinities
    inside = (
        np.isfinite(x) if x.dtype.itemsize == 2 else (np.trunc(x) >= -(2.0**bits)) & (x < 2.0**bits)
    )
    found = np.where(inside, x, 0).astype(whole)
    # a float out of range gives the least integer; a narrower dtype takes the last bits of that
    return np.where(inside, found, -(2**bits)).astype(dtype.name)


@elementwise(
    code={"wgsl": "{x}", "cuda": "{x}", "complex": "conj_{f}({x})"},
    along=lambda t, _x, _y: conj.bind(t),
    integers="same",
)
def conj(x: Operand) -> Array:
    """Compute the complex conjugates; real elements are unchanged."""
    return np.conj(x) if x.dtype.kind == "c" else x


@elementwise(
    code={
        "int": "({x} + {y})",
        "float": "({x} + {y})",
        "complex": "({x} + {y})",
        "bool": "({x} | {y})",
    },
    along=(lambda t, _x, _y, _z: t, lambda t, _x, _y, _z: t),
    integers="same",
)
def add(x: Operand, y: Operand) -> Array:
    """Compute the sum of the elements."""
    return x + y


@elementwise(
    code={"int": "({x} - {y})", "float": "({x} - {y})", "complex": "({x} - {y})"},
    along=(lambda t, _x, _y, _z: t, lambda t, _x, _y, _z: neg.bind(t)),
    integers="same",
    kinds="iufc",
)
def sub(x: Operand, y: Operand) -> Array:
    """Compute the difference of the elements."""
    return x - y


@elementwise(
    code={"int": "(0 - {x})", "float": "(-{x})", "complex": "(-{x})"},
    along=lambda t, _x, _y: neg.bind(t),
    integers="same",
    kinds="iufc",
)
def neg(x: Operand) -> Array:
    """Negate the elements."""
    return -x


@elementwise(
    code={
        "int": "({x} * {y})",
        "float": "({x} * {y})",
        "complex": "mul_{f}({x}, {y})",
        "bool": "({x} & {y})",
    },
    along=(lambda t, _x, y, _z: mul.bind(t, y), lambda t, x, _y, _z: mul.bind(t, x)),
    integers="same",
)
def mul(x: Operand, y: Operand) -> Array:
    """Compute the product of the elements."""
    return x * y


@elementwise(
    code={
        language + kind: code
        for language, code in (
            ("wgsl", "select({y}, {x}, {cond})"),
            ("cuda", "({cond} ? {x} : {y})"),
        )
        for kind in ("", " complex")
    },
    along=(
        None,
        lambda t, cond, _x, _y, _z: where(cond, t, 0),
        lambda t, cond, _x, _y, _z: where(cond, 0, t),
    ),
    integers="same",
)
def where(cond: Operand, x: Operand, y: Operand) -> Array:
    """Select `x` where `cond` holds and `y` elsewhere."""
    return np.where(cond, x, y)


def attached(y: Tensor, x: Tensor) -> Tensor:
    """Make `y` depend on `x`, which broadcasts to it, with derivative 0: a gradient is zeros, not None."""
    return where(constant(False, spec(y.spec.shape, bool_), y.device), x, y)


# -- arithmetic ------------------------------------------------------------------------------------


@elementwise(
    code={"float": "({x} / {y})", "complex": "div_{f}({x}, {y})"},
    along=(
        lambda t, _x, y, _z: div.bind(t, y),
        # not t / y first, which is infinite if y is small
        lambda t, _x, y, z: neg.bind(mul.bind(t, div.bind(z, y))),
    ),
    domain=((-2.0, 2.0), (0.5, 2.0)),
)
def div(x: Operand, y: Operand) -> Array:
    """Compute the quotient of the elements; integers divide as floats."""
    return x / y


def _check_divisor(x: Any, y: Any) -> None:
    if x.dtype.kind in "iu" and not y.all():
        raise RuntimeError(
            "ZeroDivisionError: an integer was divided by 0; divide floats, or choose another divisor "
            "with where() first"
        )


@elementwise(
    code={"float": "floor_divide_{f}({x}, {y})", "int": "floor_divide_{t}({x}, {y})"},
    derivative=(lambda _x, _y, _z: 0.0, lambda _x, _y, _z: 0.0),
    integers="same",
    kinds="iuf",
    domain=((-9.0, 9.0), (0.5, 3.0)),
)
def floor_divide(x: Operand, y: Operand) -> Array:
    """Compute the quotient rounded towards minus infinity.

    An integer divided by 0 raises on `cpu`, as in PyTorch; elsewhere it gives 0.
    """
    _check_divisor(x, y)
    return np.floor_divide(x, y)


@elementwise(
    code={"float": "remainder_{f}({x}, {y})", "int": "remainder_{t}({x}, {y})"},
    derivative=(lambda _x, _y, _z: 1.0, lambda x, y, _z: -floor_divide(x, y)),
    integers="same",
    kinds="iuf",
    domain=((0.6, 0.9), (1.0, 2.0)),
)
def remainder(x: Operand, y: Operand) -> Array:
    """Compute the remainder of floor division; it has the sign of `y`, a zero that of `x`.

    An integer modulo 0 raises on `cpu`, as in PyTorch; elsewhere it gives 0.
    """
    _check_divisor(x, y)
    if x.dtype.kind != "f":
        return np.remainder(x, y)
    rest = np.fmod(x, y)
    return np.where((rest != 0) & ((rest < 0) != (y < 0)), rest + y, rest)


@elementwise(
    code={"float": "fmod_{f}({x}, {y})", "int": "fmod_{t}({x}, {y})"},
    derivative=(lambda _x, _y, _z: 1.0, lambda x, y, _z: -trunc(x / y)),
    integers="same",
    kinds="iuf",
    domain=((0.6, 0.9), (1.0, 2.0)),
)
def fmod(x: Operand, y: Operand) -> Array:
    """Compute the remainder of division rounded towards zero; it has the sign of `x`.

    An integer modulo 0 raises on `cpu`, as in PyTorch; elsewhere it gives 0.
    """
    _check_divisor(x, y)
    return np.fmod(x, y)


@elementwise(
    code={"float": "pow_{f}({x}, {y})", "int": "pow_{t}({x}, {y})"},
    derivative=(
        lambda x, y, _z: where(y == 0, 0, y * pow_(x, where(y == 0, 1, y - 1))),
        lambda x, y, z: where(
            x == 0,
            where(z == 0, x * 0, where(y == 0, x * 0, stop_gradient(z) * -math.inf)),
            z * log(where(x == 0, 1, x)),
        ),
    ),
    integers="same",
    kinds="iufc",
    domain=((0.3, 2.0), (-2.0, 2.0)),
)
def pow_(x: Operand, y: Operand) -> Array:
    """Compute `x` to the power of `y`. The derivative by `y` at x = 0 is 0 for y >= 0, as in PyTorch.

    An integer to a negative power is 1 / x ** -y rounded towards zero: 0, 1 or -1.
    """
    if y.dtype.kind != "i" or not (y < 0).any():
        return np.power(x, y)
    inverse = np.where(x == 1, 1, np.where(x == -1, 1 - 2 * (y & 1), 0)).astype(x.dtype)
    return np.where(y < 0, inverse, np.power(x, np.maximum(y, 0)))


@elementwise(
    code={"int": "({x} * {x})", "float": "({x} * {x})", "complex": "mul_{f}({x}, {x})"},
    along=lambda t, x, _y: (t * 2) * x,
    integers="same",
    kinds="iufc",
)
def square(x: Operand) -> Array:
    """Compute the squares."""
    return x * x


@elementwise(
    code={"float": "(1.0 / {x})", "complex": "reciprocal_{f}({x})"},
    derivative=lambda _x, y: -(y * y),
    domain=(0.5, 2.0),
)
def reciprocal(x: Operand) -> Array:
    """Compute 1/x."""
    return 1 / x


@elementwise(
    code={"wgsl": "abs({x})", "cuda float": "fabs({x})", "cuda int": "({x} < 0 ? -{x} : {x})"},
    derivative=lambda x, _y: sign(x),
    integers="same",
    kinds="iuf",
)
def abs_(x: Operand) -> Array:
    """Compute the absolute values; the derivative at 0 is 0."""
    return np.abs(x)


@elementwise(
    code={
        "float": "sign_{f}({x})",
        "wgsl int": "({t}({x} > {t}(0)) - {t}({x} < {t}(0)))",
        "cuda int": "(({x} > 0) - ({x} < 0))",
    },
    derivative=lambda _x, _y: 0.0,
    integers="same",
    kinds="iuf",
    domain=(0.5, 2.0),
)
def sign(x: Operand) -> Array:
    """Compute -1, 0 or 1 by the sign of each element, 0 for nan."""
    return np.where(x == x, np.sign(x), 0)


def _winner(t: Tensor, loses: Tensor, ties: Tensor) -> Tensor:
    # with a nan, neither operand loses
    return where(loses, 0, where(ties, t * 0.5, t))


@elementwise(
    code={"float": "max_{f}({x}, {y})", "int": "max({x}, {y})", "bool": "({x} | {y})"},
    along=(
        lambda t, x, y, _z: _winner(t, lt(x, y), eq(x, y)),
        lambda t, x, y, _z: _winner(t, gt(x, y), eq(x, y)),
    ),
    integers="same",
    kinds=REAL,
)
def maximum(x: Operand, y: Operand) -> Array:
    """Compute the larger of the elements, nan where either is; a tie shares the derivative equally."""
    return np.maximum(x, y)


@elementwise(
    code={"float": "min_{f}({x}, {y})", "int": "min({x}, {y})", "bool": "({x} & {y})"},
    along=(
        lambda t, x, y, _z: _winner(t, gt(x, y), eq(x, y)),
        lambda t, x, y, _z: _winner(t, lt(x, y), eq(x, y)),
    ),
    integers="same",
    kinds=REAL,
)
def minimum(x: Operand, y: Operand) -> Array:
    """Compute the smaller of the elements, nan where either is; a tie shares the derivative equally."""
    return np.minimum(x, y)


# -- exponentials and logarithms -------------------------------------------------------------------


@elementwise(code="exp_{f}({x})", derivative=lambda _x, y: y)
def exp(x: Operand) -> Array:
    """Compute e to the power of each element."""
    return np.exp(x)


@elementwise(code="exp2_{f}({x})", derivative=lambda _x, y: y * math.log(2))
def exp2(x: Operand) -> Array:
    """Compute 2 to the power of each element."""
    return np.exp2(x)


@elementwise(code="expm1_{f}({x})", derivative=lambda x, _y: exp(x))
def expm1(x: Operand) -> Array:
    """Compute exp(x) - 1, accurate near 0."""
    return np.expm1(x)


@elementwise(code="log_{f}({x})", derivative=lambda x, _y: 1 / x, domain=(0.3, 3.0))
def log(x: Operand) -> Array:
    """Compute the natural logarithm."""
    return np.log(x)


@elementwise(
    code="log2_{f}({x})", derivative=lambda x, _y: 1 / (x * math.log(2)), domain=(0.3, 3.0)
)
def log2(x: Operand) -> Array:
    """Compute the logarithm to base 2."""
    return np.log2(x)


@elementwise(
    code="log10_{f}({x})", derivative=lambda x, _y: 1 / (x * math.log(10)), domain=(0.3, 3.0)
)
def log10(x: Operand) -> Array:
    """Compute the logarithm to base 10."""
    return np.log10(x)


@elementwise(code="log1p_{f}({x})", derivative=lambda x, _y: 1 / (1 + x), domain=(-0.7, 3.0))
def log1p(x: Operand) -> Array:
    """Compute ln(1 + x), accurate near 0."""
    return np.log1p(x)


def _share(x: Tensor) -> Tensor:
    return REGISTRY["sigmoid"].bind(x)


@elementwise(
    code="logaddexp_{f}({x}, {y})",
    # not exp(x - result), which is inf - inf at inf
    derivative=(lambda x, y, _z: _share(x - y), lambda x, y, _z: _share(y - x)),
    integers=None,
    kinds=FLOATS,
)
def logaddexp(x: Operand, y: Operand) -> Array:
    """Compute ln(exp(x) + exp(y)) without overflow."""
    return np.logaddexp(x, y)


@elementwise(
    code={"float": "sqrt({x})", "complex": "sqrt_{f}({x})"},
    derivative=lambda _x, y: 0.5 / y,
    domain=(0.3, 3.0),
)
def sqrt(x: Operand) -> Array:
    """Compute the square root."""
    return np.sqrt(x)


@elementwise(
    code={"wgsl": "inverseSqrt({x})", "cuda": "rsqrt({x})", "complex": "rsqrt_{f}({x})"},
    # not y / x: the root of -0.0 is negative
    derivative=lambda _x, y: -0.5 * (y * y * y),
    domain=(0.3, 3.0),
)
def rsqrt(x: Operand) -> Array:
    """Compute 1 / sqrt(x)."""
    return 1 / np.sqrt(x)

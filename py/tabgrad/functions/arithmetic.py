"""Element-wise mathematics: where PyTorch's signature is more than the primitive's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError
from tabgrad.core.number import fits, is_number, number
from tabgrad.core.promotion import call, cast, needs_float, result_dtype, widened
from tabgrad.core.spec import NO_PARAMS
from tabgrad.core.trace import Box, bind, operand
from tabgrad.functions.arguments import floating
from tabgrad.ops import elementwise as e, rounding as r, special as s
from tabgrad.ops.composite import activations

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor

FLOAT = dt.FLOAT


def unary(op: Any, name: str = "") -> Callable[[Tensor], Tensor]:
    """Return the function `name` of one tensor that applies `op`."""

    floats = "f" in op.kinds

    def front(input: Tensor) -> Tensor:
        if floats and isinstance(input, Box) and input.spec.dtype.category == FLOAT:
            return bind(op, (input,), NO_PARAMS)
        return call(op, input)

    return _named(front, op, name)


def binary(op: Any, name: str = "") -> Callable[[Tensor, Any], Tensor]:
    """Return the function `name` of two tensors or numbers that applies `op`."""
    plain = op.kinds == "biufc"

    def front(input: Any, other: Any) -> Any:
        if plain and other.__class__ is float and isinstance(input, Box):
            want = input.spec
            if want.dtype.category >= FLOAT and want.dtype not in dt.HALVES:
                return bind(op, (input, operand(other, want, input.device)), NO_PARAMS)
        return call(op, input, other)

    return _named(front, op, name)


def _dividing(op: Any) -> Callable[[Tensor, Any], Tensor]:
    """Return `binary(op)` that refuses to divide integers by the number 0 on every device."""
    plain = binary(op)

    def front(input: Any, other: Any) -> Any:
        if not isinstance(other, Box) and not other and result_dtype(input, other).category < FLOAT:
            raise RuntimeError(
                f"ZeroDivisionError: {op.name} of integers by 0; divide by 0.0 for inf and nan"
            )
        return plain(input, other)

    return _named(front, op, "")


def _named(front: Any, op: Any, name: str) -> Any:
    front.__name__ = front.__qualname__ = name or op.name
    front.__doc__ = op.__doc__
    return front


# -- one operand -----------------------------------------------------------------------------------

acos = arccos = unary(e.acos)
acosh = arccosh = unary(e.acosh)
asin = arcsin = unary(e.asin)
asinh = arcsinh = unary(e.asinh)
atan = arctan = unary(e.atan)
atanh = arctanh = unary(e.atanh)
ceil = unary(r.ceil)
cos = unary(e.cos)
cosh = unary(e.cosh)
erf = unary(s.erf)
erfc = unary(s.erfc)
erfinv = unary(s.erfinv)
exp = unary(e.exp)
exp2 = unary(e.exp2)
expm1 = unary(e.expm1)
floor = unary(r.floor)
lgamma = unary(s.lgamma)
digamma = unary(s.digamma)
log = unary(e.log)
log10 = unary(e.log10)
log1p = unary(e.log1p)
log2 = unary(e.log2)
neg = negative = unary(e.neg)
reciprocal = unary(e.reciprocal)
relu = unary(s.relu)
rsqrt = unary(e.rsqrt)
sigmoid = unary(s.sigmoid)
sin = unary(e.sin)
sinh = unary(e.sinh)
sqrt = unary(e.sqrt)
tan = unary(e.tan)
tanh = unary(e.tanh)
trunc = fix = unary(r.trunc)


def abs(input: Tensor) -> Tensor:
    """Return the absolute values; the derivative at 0 is 0."""
    return call(e.abs_, input)


absolute = abs


def square(input: Tensor) -> Tensor:
    """Return the squares; of bools as integers."""
    if input.spec.dtype is dt.bool_:
        input = cast(input, input.device.canonical(dt.int64))
    return call(e.square, input)


def sign(input: Tensor) -> Tensor:
    """Return -1, 0 or 1 by the sign of each element."""
    return e.copy.bind(input) if input.spec.dtype is dt.bool_ else call(e.sign, input)


sgn = sign


def conj(input: Tensor) -> Tensor:
    """Return the complex conjugates; a real tensor is returned itself.

    In PyTorch the conjugate of complex numbers is a view, here it has values of its own.

    >>> import tabgrad as tg
    >>> tg.conj(tg.tensor([1 + 2j], device="cpu"))
    tensor([1.-2.j])
    """
    return e.conj.bind(input) if input.spec.dtype.is_complex else input


def positive(input: Tensor) -> Tensor:
    """Return `input`; raises for bool."""
    if input.spec.dtype is dt.bool_:
        raise DTypeError("positive: not defined for bool")
    return input


@widened
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """Return the nearest multiple of 10 ** -decimals, a half to the even one.

    >>> import tabgrad as tg
    >>> tg.round(tg.tensor([0.5, 1.5, 2.5], device="cpu"))
    tensor([0., 2., 2.])
    """
    if not decimals or input.spec.dtype.category < FLOAT:
        return call(r.round_, input)
    scale = 10.0 ** math.fabs(decimals)
    if decimals > 0:
        return div(call(r.round_, mul(input, scale)), scale)
    return mul(call(r.round_, div(input, scale)), scale)


@widened
def frac(input: Tensor) -> Tensor:
    """Return each element without its integer part, with its sign."""
    needs_float("frac", input)
    return sub(input, trunc(input))


def deg2rad(input: Tensor) -> Tensor:
    """Return degrees as radians."""
    return mul(floating("deg2rad", input), math.pi / 180)


def rad2deg(input: Tensor) -> Tensor:
    """Return radians as degrees."""
    return mul(floating("rad2deg", input), 180 / math.pi)


@widened
def sinc(input: Tensor) -> Tensor:
    """Return sin(πx) / (πx), 1 at 0."""
    return s.sinc(floating("sinc", input))


def nan_to_num(
    input: Tensor,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:
    """Return `input` with nan, inf and -inf replaced: by 0, the largest and the smallest number unless told."""
    if input.spec.dtype.category < FLOAT:
        return e.copy(input)
    top = dt_max(input.spec.dtype)
    x = e.where(r.isnan(input), 0.0 if nan is None else nan, input)
    x = e.where(r.eq(x, math.inf), top if posinf is None else posinf, x)
    return e.where(r.eq(x, -math.inf), -top if neginf is None else neginf, x)


_LARGEST = {dt.float16: 65504.0, dt.bfloat16: 3.3895313892515355e38, dt.float32: 3.4028234663852886e38,
            dt.float64: 1.7976931348623157e308}  # fmt: skip


def dt_max(dtype: dt.DType) -> float:
    """Return the largest finite number of a floating-point dtype."""
    return _LARGEST[dt.real_of(dtype)]


def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """Return log(x / (1 - x)); `eps` first clamps to [eps, 1 - eps]."""
    return activations.logit(floating("logit", input), eps)


# -- two operands ----------------------------------------------------------------------------------

mul = multiply = binary(e.mul)
maximum = binary(e.maximum)
minimum = binary(e.minimum)
atan2 = arctan2 = binary(e.atan2)
remainder = _dividing(e.remainder)
fmod = _dividing(e.fmod)
floor_divide = _dividing(e.floor_divide)
logaddexp = binary(e.logaddexp)
xlogy = binary(s.xlogy)
bitwise_and = binary(r.bitwise_and)
bitwise_or = binary(r.bitwise_or)
bitwise_xor = binary(r.bitwise_xor)
bitwise_not = unary(r.bitwise_not)
bitwise_left_shift = binary(r.bitwise_left_shift)
bitwise_right_shift = binary(r.bitwise_right_shift)

_add, _sub, _div = binary(e.add), binary(e.sub), binary(e.div)


def _scaled(name: str, input: Any, other: Any, alpha: Any) -> Any:
    alpha = number(name, alpha)
    if not isinstance(other, Box):
        return number(name, other) * alpha
    scaled: Any = other
    if isinstance(alpha, float) and isinstance(input, Box):
        if result_dtype(input, other).category < FLOAT:
            raise DTypeError(
                f"{name}: For integral input tensors, argument alpha must not be a floating point number."
            )
    dtype = scaled.spec.dtype
    if dtype.category < FLOAT and not isinstance(alpha, float):
        return mul(scaled, fits(name, alpha, dtype))
    return mul(scaled, alpha)


def add(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """Return input + alpha * other.

    >>> import tabgrad as tg
    >>> tg.add(tg.tensor([1, 2], device="cpu"), 10, alpha=2)
    tensor([21, 22])
    """
    return _add(input, other if alpha == 1 else _scaled("add", input, other, alpha))


def sub(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """Return input - alpha * other."""
    if alpha != 1:
        other = _scaled("sub", input, other, alpha)
    _no_bools(input, other)
    return _sub(input, other)


def _no_bools(*operands: Any) -> None:
    for x in operands:
        if isinstance(x, bool) or (isinstance(x, Box) and x.spec.dtype is dt.bool_):
            raise DTypeError(
                "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to "
                "invert a mask, use the `~` or `logical_not()` operator instead; bools differ by `^`."
            )


def rsub(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """Return other - alpha * input."""
    _no_bools(input, other)
    return call(e.sub, other, input if alpha == 1 else mul(input, alpha))


def div(input: Tensor, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """Return input / other; `rounding_mode` "floor" or "trunc" rounds the quotient and keeps integers.

    >>> import tabgrad as tg
    >>> tg.div(tg.tensor([7, -7], device="cpu"), 2, rounding_mode="trunc")
    tensor([ 3, -3])
    """
    if rounding_mode is None:
        return _div(input, other)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode != "trunc":
        raise RuntimeError(
            f"div: expected rounding_mode to be one of None, 'trunc', or 'floor', got {rounding_mode!r}"
        )
    if result_dtype(input, other).category >= FLOAT:
        return trunc(_div(input, other))
    return floor_divide(call(e.sub, input, fmod(input, other)), other)


subtract, divide, true_divide = sub, div, div

_POWERS: dict[float, Callable[[Any], Any]] = {
    2: square, 0.5: sqrt, -1: reciprocal, -0.5: rsqrt, 1: unary(e.copy), 3: lambda x: mul(mul(x, x), x),
}  # fmt: skip


def pow(input: Any, exponent: Any) -> Tensor:
    """Return input ** exponent; one of them may be a number.

    Raises RuntimeError for an integer tensor to a negative integer power.

    >>> import tabgrad as tg
    >>> tg.pow(tg.tensor([1.0, 2.0], device="cpu"), 3)
    tensor([1., 8.])
    """
    if is_number(exponent):
        exponent = number("pow", exponent)
    if isinstance(exponent, int | float) and isinstance(input, Box):
        whole = input.spec.dtype.category < FLOAT
        if whole and isinstance(exponent, int):
            if exponent < 0:
                raise RuntimeError("pow: Integers to negative integer powers are not allowed.")
            if input.spec.dtype is dt.bool_ and not isinstance(exponent, bool):
                input = cast(input, input.device.canonical(dt.int64))
            exponent = fits("pow", exponent, input.spec.dtype)
            return call(e.square, input) if exponent == 2 else call(e.pow_, input, exponent)
        short = _POWERS.get(exponent)
        if short is not None:
            base: Any = input
            return short(cast(base, dt.get_default_dtype()) if whole else base)
    return call(e.pow_, input, exponent)


def float_power(input: Any, exponent: Any) -> Tensor:
    """Return input ** exponent in double precision, or the device's widest float."""
    where = next(x.device for x in (input, exponent) if isinstance(x, Box))
    wide = where.canonical(dt.float64)
    ready = [cast(x, wide) if isinstance(x, Box) else x for x in (input, exponent)]
    return pow(*ready)


def fmax(input: Tensor, other: Any) -> Tensor:
    """Return the larger of the elements; where one is nan, the other. Of equal ones it is `input`."""
    first = r.ge(input, other)
    if isinstance(other, Box) and other.spec.dtype.category >= FLOAT:
        first = bitwise_or(first, r.isnan(other))
    return e.where(first, input, other)


def fmin(input: Tensor, other: Any) -> Tensor:
    """Return the smaller of the elements; where one is nan, the other. Of equal ones it is `input`."""
    first = r.le(input, other)
    if isinstance(other, Box) and other.spec.dtype.category >= FLOAT:
        first = bitwise_or(first, r.isnan(other))
    return e.where(first, input, other)


@widened
def hypot(input: Tensor, other: Tensor) -> Tensor:
    """Return sqrt(x² + y²) without overflow on the way; it has no derivative at (0, 0): nan."""
    needs_float("hypot", input, other)
    x, y = input, other
    high = e.stop_gradient(maximum(abs(x), abs(y)))
    zero, infinite = r.eq(high, 0.0), r.bitwise_or(r.isinf(x), r.isinf(y))
    # no derivative depends on the scale
    scale = e.where(zero, 1.0, e.where(infinite, 1.0, high))
    square = _add(e.square(div(x, scale)), e.square(div(y, scale)))
    return e.where(infinite, math.inf, mul(scale, sqrt(square)))


def copysign(input: Tensor, other: Any) -> Tensor:
    """Return the size of `input` with the sign of `other`, whose zeros have one too."""
    x = floating("copysign", input)
    size = abs(x)
    if not isinstance(other, Box):
        return size if math.copysign(1.0, float(other)) > 0 else neg(size)
    return e.where(signbit(floating("copysign", other)), neg(size), size)


def signbit(input: Tensor) -> Tensor:
    """Return whether each element is negative, -0.0 and a nan with the sign set included."""
    return r.lt(input, 0) if input.spec.dtype.category < FLOAT else r.signbit.bind(input)


def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """Return 0 below zero, 1 above, and `values` at zero."""
    return e.where(r.eq(input, 0), values, cast(r.gt(input, 0), input.spec.dtype))


def ldexp(input: Tensor, other: Any) -> Tensor:
    """Return input * 2 ** other."""
    if not isinstance(other, Box):
        return mul(input, 2.0**other)
    return mul(input, call(e.exp2, cast(other, result_dtype(input, other, 1.0))))


@widened
def logaddexp2(input: Tensor, other: Tensor) -> Tensor:
    """Return log2(2 ** x + 2 ** y) without overflow."""
    scale = math.log(2)
    return div(logaddexp(mul(input, scale), mul(other, scale)), scale)

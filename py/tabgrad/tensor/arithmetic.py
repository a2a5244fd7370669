"""Element-wise mathematics of two tensors, or a tensor and a number."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError
from tabgrad.core.kinks import kinked
from tabgrad.core.promotion import call, cast, needs_real, result_dtype, widened
from tabgrad.core.scalars import fits, is_number, number
from tabgrad.core.trace import Box
from tabgrad.ops import elementwise as e, rounding as r, special as s, trigonometry
from tabgrad.tensor.arguments import floating
from tabgrad.tensor.elementary import abs, neg, reciprocal, rsqrt, signbit, sqrt, square
from tabgrad.tensor.fronts import binary, complex_numbers, dividing, unary
from tabgrad.tensor.inplace import in_place
from tabgrad.tensor.public import takes_out

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Number

FLOAT = dt.FLOAT


mul = multiply = binary(e.mul)
maximum = binary(e.maximum)
minimum = binary(e.minimum)
atan2 = arctan2 = binary(trigonometry.atan2)
remainder = dividing(e.remainder)
fmod = dividing(e.fmod)
gcd = binary(r.gcd)
floor_divide = dividing(e.floor_divide)
_logaddexp = binary(e.logaddexp)
xlogy = binary(s.xlogy)
bitwise_and = binary(r.bitwise_and)
bitwise_or = binary(r.bitwise_or)
bitwise_xor = binary(r.bitwise_xor)
bitwise_left_shift = binary(r.bitwise_left_shift)
bitwise_right_shift = binary(r.bitwise_right_shift)

_add, _sub, _div = binary(e.add), binary(e.sub), binary(e.div)


def _scaled(
    name: str, input: Tensor | Number, other: Tensor | Number, alpha: Any
) -> Tensor | Number:
    alpha = number(name, alpha)
    if not isinstance(other, Box):
        return number(name, other) * alpha
    if isinstance(alpha, float) and isinstance(input, Box):
        if result_dtype(input, other).category < FLOAT:
            raise DTypeError(
                f"{name}: For integral input tensors, argument alpha must not be a floating point number."
            )
    dtype = other.spec.dtype
    if dtype.category < FLOAT and not isinstance(alpha, float):
        return mul(other, fits(name, alpha, dtype))
    return mul(other, alpha)


@takes_out
def add(input: Tensor, other: Tensor | Number, *, alpha: Number = 1) -> Tensor:
    """Return input + alpha * other.

    >>> import tabgrad as tg
    >>> tg.add(tg.tensor([1, 2], device="cpu"), 10, alpha=2)
    tensor([21, 22])
    """
    return _add(input, other if alpha == 1 else _scaled("add", input, other, alpha))


@takes_out
def sub(input: Tensor, other: Tensor | Number, *, alpha: Number = 1) -> Tensor:
    """Return input - alpha * other."""
    if alpha != 1:
        other = _scaled("sub", input, other, alpha)
    _no_bools(input, other)
    return _sub(input, other)


def _no_bools(*operands: Tensor | Number) -> None:
    for x in operands:
        if isinstance(x, bool) or (isinstance(x, Box) and x.spec.dtype is dt.bool_):
            raise DTypeError(
                "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to "
                "invert a mask, use the `~` or `logical_not()` operator instead; bools differ by `^`."
            )


def rsub(input: Tensor, other: Tensor | Number, *, alpha: Number = 1) -> Tensor:
    """Return other - alpha * input."""
    _no_bools(input, other)
    return call(e.sub, other, input if alpha == 1 else mul(input, alpha))


@takes_out
def div(input: Tensor, other: Tensor | Number, *, rounding_mode: str | None = None) -> Tensor:
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
        return call(r.trunc_divide, input, other)
    return floor_divide(call(e.sub, input, fmod(input, other)), other)


subtract, divide = sub, div


@takes_out
def true_divide(input: Tensor, other: Tensor | Number) -> Tensor:
    """Return input / other."""
    return div(input, other)


_POWERS: dict[float, Callable[[Any], Any]] = {
    2: square, 0.5: sqrt, -1: reciprocal, -0.5: rsqrt, 1: kinked(unary(e.copy)), 3: lambda x: mul(mul(x, x), x),
}  # fmt: skip


@takes_out
def pow(input: Tensor | Number, exponent: Tensor | Number) -> Tensor:
    """Return input ** exponent; one of them may be a number.

    Raises RuntimeError for an integer tensor to a negative integer power.

    >>> import tabgrad as tg
    >>> tg.pow(tg.tensor([1.0, 2.0], device="cpu"), 3)
    tensor([1., 8.])
    """
    if is_number(exponent):
        exponent = number("pow", exponent)
    if isinstance(exponent, int | float) and isinstance(input, Box):
        base = input
        whole = base.spec.dtype.category < FLOAT
        if whole and isinstance(exponent, int):
            if exponent < 0:
                raise RuntimeError("pow: Integers to negative integer powers are not allowed.")
            if base.spec.dtype is dt.bool_ and isinstance(exponent, bool):
                return bitwise_or(base, not exponent)
            if base.spec.dtype is dt.bool_:
                base = cast(base, base.device.canonical(dt.int64))
            exponent = fits("pow", exponent, base.spec.dtype)
            return call(e.square, base) if exponent == 2 else call(e.pow_, base, exponent)
        short = _POWERS.get(exponent)
        if short is not None:
            return short(cast(base, dt.get_default_dtype()) if whole else base)
    return call(e.pow_, input, exponent)


@takes_out
def float_power(input: Tensor | Number, exponent: Tensor | Number) -> Tensor:
    """Return input ** exponent in double precision, or the device's widest float."""
    where = next(x.device for x in (input, exponent) if isinstance(x, Box))
    complex_too = result_dtype(input, exponent).is_complex
    wide = where.canonical(dt.complex128 if complex_too else dt.float64)
    ready = [cast(x, wide) if isinstance(x, Box) else x for x in (input, exponent)]
    return pow(*ready)


@takes_out
def lcm(input: Tensor, other: Tensor | Number) -> Tensor:
    """Return the least common multiples, which are not negative; with 0 it is 0."""
    divisor = gcd(input, other)
    safe = e.where(r.eq(divisor, 0), 1, divisor)
    return e.abs_(mul(floor_divide(input, safe), other))


@takes_out
def fmax(input: Tensor, other: Tensor | Number) -> Tensor:
    """Return the larger of two elements. If one is nan the other is taken, and of equal ones `input`."""
    return _first_if(r.ge(input, other), input, other)


@takes_out
def fmin(input: Tensor, other: Tensor | Number) -> Tensor:
    """Return the smaller of two elements. If one is nan the other is taken, and of equal ones `input`."""
    return _first_if(r.le(input, other), input, other)


def _first_if(holds: Tensor, input: Tensor, other: Tensor | Number) -> Tensor:
    """Return `input` where the condition holds or `other` is nan, and `other` elsewhere."""
    if isinstance(other, Box) and other.spec.dtype.category >= FLOAT:
        holds = bitwise_or(holds, r.isnan(other))
    return e.where(holds, input, other)


@takes_out
@widened
def hypot(input: Tensor, other: Tensor) -> Tensor:
    """Return sqrt(x² + y²) without overflow on the way; it has no derivative at (0, 0): nan."""
    needs_real("hypot", input, other)
    high = e.stop_gradient(maximum(abs(input), abs(other)))
    zero, infinite = r.eq(high, 0.0), r.bitwise_or(r.isinf(input), r.isinf(other))
    # beside an infinity a finite number has no effect
    x, y = (e.where(infinite, e.where(r.isfinite(n), 0, n), n) for n in (input, other))
    # the result does not depend on the scale, so neither do derivatives
    scale = e.where(zero, 1.0, e.where(infinite, 1.0, high))
    square = _add(e.square(div(x, scale)), e.square(div(y, scale)))
    return e.where(infinite, math.inf, mul(scale, sqrt(square)))


@takes_out
def copysign(input: Tensor, other: Tensor | float) -> Tensor:
    """Return the magnitudes of `input` with the signs of `other`; zeros have a sign, too."""
    x = floating("copysign", input)
    size = abs(x)
    if not isinstance(other, Box):
        return size if math.copysign(1.0, other) > 0 else neg(size)
    other = floating("copysign", other)
    return e.attached(e.where(signbit(other), neg(size), size), other)


@takes_out
def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """Return 0 below zero, 1 above, and `values`, of the same dtype, at zero."""
    if input.spec.dtype is not values.spec.dtype:
        raise DTypeError(
            "heaviside is not yet implemented for tensors with different dtypes: got "
            f"{input.spec.dtype!r} and {values.spec.dtype!r}; cast one of them with .to(dtype)"
        )
    return e.where(r.eq(input, 0), values, cast(r.gt(input, 0), input.spec.dtype))


@takes_out
def ldexp(input: Tensor, other: Tensor | Number) -> Tensor:
    """Return input * 2 ** other, in three steps, for 2 ** other alone may be outside of the dtype."""
    dtype = result_dtype(input, other, 1.0)
    most = {dt.float16: 14.0, dt.float64: 1022.0, dt.complex128: 1022.0}.get(dtype, 126.0)
    rest: Any = cast(other, dtype) if isinstance(other, Box) else other
    for _ in range(3):
        if isinstance(other, Box):
            part: Any = minimum(maximum(rest, -most), most)
            input = mul(input, call(e.exp2, part))
            rest = sub(rest, part)
        else:
            part = min(max(rest, -most), most)
            input = mul(input, 2.0**part)
            rest -= part
    return input


@takes_out
def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """Return ln(exp(x) + exp(y)) without overflow."""
    if isinstance(other, Box) and result_dtype(input, other).is_complex:
        return complex_numbers().logaddexp(input, other)
    return _logaddexp(input, other)


@takes_out
@widened
def logaddexp2(input: Tensor, other: Tensor) -> Tensor:
    """Return log2(2 ** x + 2 ** y) without overflow."""
    needs_real("logaddexp2", input, other)
    scale = math.log(2)
    return div(logaddexp(mul(input, scale), mul(other, scale)), scale)


class ArithmeticMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    add, add_ = add, in_place(add)
    atan2, atan2_ = atan2, in_place(atan2)
    bitwise_and, bitwise_and_ = bitwise_and, in_place(bitwise_and)
    bitwise_left_shift, bitwise_left_shift_ = bitwise_left_shift, in_place(bitwise_left_shift)
    bitwise_or, bitwise_or_ = bitwise_or, in_place(bitwise_or)
    bitwise_right_shift, bitwise_right_shift_ = bitwise_right_shift, in_place(bitwise_right_shift)
    bitwise_xor, bitwise_xor_ = bitwise_xor, in_place(bitwise_xor)
    copysign, copysign_ = copysign, in_place(copysign)
    div, div_ = div, in_place(div)
    divide, divide_ = divide, in_place(divide)
    float_power, float_power_ = float_power, in_place(float_power)
    floor_divide, floor_divide_ = floor_divide, in_place(floor_divide)
    fmax = fmax
    fmin = fmin
    fmod, fmod_ = fmod, in_place(fmod)
    gcd, gcd_ = gcd, in_place(gcd)
    lcm, lcm_ = lcm, in_place(lcm)
    heaviside, heaviside_ = heaviside, in_place(heaviside)
    hypot, hypot_ = hypot, in_place(hypot)
    ldexp, ldexp_ = ldexp, in_place(ldexp)
    logaddexp = logaddexp
    logaddexp2 = logaddexp2
    maximum = maximum
    minimum = minimum
    mul, mul_ = mul, in_place(mul)
    pow, pow_ = pow, in_place(pow)
    remainder, remainder_ = remainder, in_place(remainder)
    rsub = rsub
    sub, sub_ = sub, in_place(sub)
    subtract, subtract_ = subtract, in_place(subtract)
    true_divide, true_divide_ = true_divide, in_place(true_divide)
    xlogy, xlogy_ = xlogy, in_place(xlogy)
    arctan2, arctan2_ = atan2, atan2_
    multiply, multiply_ = mul, mul_


__all__ = [
    "add", "arctan2", "atan2", "bitwise_and", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift",
    "bitwise_xor", "copysign", "div", "divide", "float_power", "floor_divide", "fmax", "fmin", "fmod", "gcd",
    "heaviside", "hypot", "lcm", "ldexp", "logaddexp", "logaddexp2", "maximum", "minimum", "mul", "multiply",
    "pow", "remainder", "rsub", "sub", "subtract", "true_divide", "xlogy",
]  # fmt: skip

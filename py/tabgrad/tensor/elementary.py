"""Element-wise mathematics of one tensor: roots, exponentials, angles, rounding, signs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError
from tabgrad.core.op import REGISTRY
from tabgrad.core.promotion import call, cast, needs_float, widened
from tabgrad.ops import elementwise as e, rounding as r, special as s, trigonometry
from tabgrad.tensor.aliasing import conjugate
from tabgrad.tensor.arguments import floating, real
from tabgrad.tensor.fronts import complex_numbers, plain_unary, unary
from tabgrad.tensor.inplace import in_place
from tabgrad.tensor.public import takes_out

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor

FLOAT = dt.FLOAT


acos = arccos = unary(trigonometry.acos)
acosh = arccosh = unary(trigonometry.acosh)
asin = arcsin = unary(trigonometry.asin)
asinh = arcsinh = unary(trigonometry.asinh)
atan = arctan = unary(trigonometry.atan)
atanh = arctanh = unary(trigonometry.atanh)
bitwise_not = unary(r.bitwise_not)
ceil = unary(r.ceil)
cos = unary(trigonometry.cos)
cosh = unary(trigonometry.cosh)
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
relu = plain_unary(s.relu)
rsqrt = unary(e.rsqrt)
sigmoid = unary(s.sigmoid)
sin = unary(trigonometry.sin)
sinh = unary(trigonometry.sinh)
sqrt = unary(e.sqrt)
tan = unary(trigonometry.tan)
tanh = unary(trigonometry.tanh)
trunc = fix = unary(r.trunc)


@takes_out
def abs(input: Tensor) -> Tensor:
    """Return the absolute values, real ones of complex numbers; the derivative at 0 is 0."""
    if input.spec.dtype.is_complex:
        return REGISTRY["magnitude"].bind(input)
    return call(e.abs_, input)


absolute = abs


def abs_method(input: Tensor) -> Tensor:
    """Return the absolute values of a real tensor."""
    if input.spec.dtype.is_complex:
        raise RuntimeError("In-place abs is not supported for complex tensors; use abs()")
    return abs(input)


@takes_out
def square(input: Tensor) -> Tensor:
    """Return the squares; of bools as integers."""
    if input.spec.dtype is dt.bool_:
        input = cast(input, input.device.canonical(dt.int64))
    return call(e.square, input)


def squared_size(x: Tensor) -> Tensor:
    """Return |x| ** 2, a real number."""
    return complex_numbers().squared_size(x) if x.spec.dtype.is_complex else square(x)


@takes_out
def sign(input: Tensor) -> Tensor:
    """Return -1, 0 or 1 by the sign of each element."""
    return e.copy.bind(input) if input.spec.dtype is dt.bool_ else call(e.sign, input)


@takes_out
def sgn(input: Tensor) -> Tensor:
    """Return the sign of each element; of a complex one the number divided by its absolute value."""
    return complex_numbers().sgn(input) if input.spec.dtype.is_complex else sign(input)


def conj(input: Tensor) -> Tensor:
    """Return the complex conjugates as a view; a real tensor is returned itself.

    >>> import tabgrad as tg
    >>> x = tg.tensor([1 + 2j], device="cpu")
    >>> tg.conj(x)
    tensor([1.-2.j])
    >>> tg.conj(x)[0] = 3j
    >>> x
    tensor([0.-3.j])
    """
    return conjugate(input) if input.spec.dtype.is_complex else input


def positive(input: Tensor) -> Tensor:
    """Return `input`; raises for bool."""
    if input.spec.dtype is dt.bool_:
        raise DTypeError("positive: not defined for bool")
    return input


@takes_out
@widened
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """Return the nearest multiple of 10 ** -decimals, a half to the even one.

    >>> import tabgrad as tg
    >>> tg.round(tg.tensor([0.5, 1.5, 2.5], device="cpu"))
    tensor([0., 2., 2.])
    """
    if not decimals:
        return call(r.round_, input)
    if input.spec.dtype.category < FLOAT:
        raise DTypeError(
            f"round: decimals are for floating-point tensors, got {input.spec.dtype!r}"
        )
    scale = 10.0 ** math.fabs(decimals)
    if decimals > 0:
        return e.div(call(r.round_, e.mul(input, scale)), scale)
    return e.mul(call(r.round_, e.div(input, scale)), scale)


@takes_out
@widened
def frac(input: Tensor) -> Tensor:
    """Return the fractional part of each element, with its sign."""
    needs_float("frac", input)
    return e.sub(input, trunc(input))


@takes_out
def deg2rad(input: Tensor) -> Tensor:
    """Return degrees as radians."""
    real("deg2rad", input)
    return e.mul(floating("deg2rad", input), math.pi / 180)


@takes_out
def rad2deg(input: Tensor) -> Tensor:
    """Return radians as degrees."""
    real("rad2deg", input)
    return e.mul(floating("rad2deg", input), 180 / math.pi)


@takes_out
@widened
def sinc(input: Tensor) -> Tensor:
    """Return sin(πx) / (πx), 1 at 0; a series near 0 keeps its derivatives right there."""
    u = e.mul(floating("sinc", input), math.pi)
    near = r.lt(squared_size(u), 0.25)
    squared = square(e.where(near, u, 0))
    series = 1 / math.factorial(13)
    for n in (11, 9, 7, 5, 3, 1):
        series = e.add(e.mul(squared, series), (-1) ** (n // 2) / math.factorial(n))
    safe = e.where(near, 1, u)
    return e.where(near, series, e.div(sin(safe), safe))


@takes_out
def nan_to_num(
    input: Tensor, nan: float | None = None, posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:  # fmt: skip
    """Replace nan, inf and -inf, by default by 0, the largest and the smallest number."""
    if input.spec.dtype.category < FLOAT:
        return e.copy(input)
    if input.spec.dtype.is_complex:
        room = complex_numbers()
        re, im = (
            nan_to_num(part, nan, posinf, neginf) for part in (room.real(input), room.imag(input))
        )
        return room.complex(re, im)
    from tabgrad.tensor.type_info import finfo

    top = finfo(input.spec.dtype).max
    x = e.where(r.isnan(input), 0.0 if nan is None else nan, input)
    x = e.where(r.eq(x, math.inf), top if posinf is None else posinf, x)
    return e.where(r.eq(x, -math.inf), -top if neginf is None else neginf, x)


@takes_out
@widened
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """Return ln(p / (1 - p)); with `eps` the input is first kept in [eps, 1 - eps].

    On those bounds the derivative is that of the function, beyond them 0. At 0 and 1 it is infinite, and
    without `eps` beyond them nan, as the value is.
    """
    x = floating("logit", input)
    if eps is None:
        x = e.add(x, e.where(r.bitwise_or(r.lt(x, 0), r.gt(x, 1)), math.nan, 0))
    else:
        # the lower bound comes first, in case the bounds have crossed
        x = e.where(r.lt(x, eps), eps, e.where(r.gt(x, 1 - eps), 1 - eps, x))
    return e.sub(log(x), log1p(neg(x)))


@takes_out
def signbit(input: Tensor) -> Tensor:
    """Return whether each element is negative, -0.0 and a nan with the sign set included."""
    real("signbit", input)
    return r.lt(input, 0) if input.spec.dtype.category < FLOAT else r.signbit.bind(input)


class ElementaryMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    abs, abs_ = abs, in_place(abs_method)
    acos, acos_ = acos, in_place(acos)
    acosh, acosh_ = acosh, in_place(acosh)
    asin, asin_ = asin, in_place(asin)
    asinh, asinh_ = asinh, in_place(asinh)
    atan, atan_ = atan, in_place(atan)
    atanh, atanh_ = atanh, in_place(atanh)
    bitwise_not, bitwise_not_ = bitwise_not, in_place(bitwise_not)
    ceil, ceil_ = ceil, in_place(ceil)
    conj = conj
    cos, cos_ = cos, in_place(cos)
    cosh, cosh_ = cosh, in_place(cosh)
    deg2rad, deg2rad_ = deg2rad, in_place(deg2rad)
    digamma, digamma_ = digamma, in_place(digamma)
    erf, erf_ = erf, in_place(erf)
    erfc, erfc_ = erfc, in_place(erfc)
    erfinv, erfinv_ = erfinv, in_place(erfinv)
    exp, exp_ = exp, in_place(exp)
    exp2, exp2_ = exp2, in_place(exp2)
    expm1, expm1_ = expm1, in_place(expm1)
    floor, floor_ = floor, in_place(floor)
    frac, frac_ = frac, in_place(frac)
    lgamma, lgamma_ = lgamma, in_place(lgamma)
    log, log_ = log, in_place(log)
    log10, log10_ = log10, in_place(log10)
    log1p, log1p_ = log1p, in_place(log1p)
    log2, log2_ = log2, in_place(log2)
    logit, logit_ = logit, in_place(logit)
    nan_to_num, nan_to_num_ = nan_to_num, in_place(nan_to_num)
    neg, neg_ = neg, in_place(neg)
    positive = positive
    rad2deg, rad2deg_ = rad2deg, in_place(rad2deg)
    reciprocal, reciprocal_ = reciprocal, in_place(reciprocal)
    relu, relu_ = relu, in_place(relu)
    round, round_ = round, in_place(round)
    rsqrt, rsqrt_ = rsqrt, in_place(rsqrt)
    sigmoid, sigmoid_ = sigmoid, in_place(sigmoid)
    sign, sign_ = sign, in_place(sign)
    signbit = signbit
    sin, sin_ = sin, in_place(sin)
    sinc, sinc_ = sinc, in_place(sinc)
    sinh, sinh_ = sinh, in_place(sinh)
    sqrt, sqrt_ = sqrt, in_place(sqrt)
    square, square_ = square, in_place(square)
    tan, tan_ = tan, in_place(tan)
    tanh, tanh_ = tanh, in_place(tanh)
    trunc, trunc_ = trunc, in_place(trunc)
    absolute, absolute_ = abs, abs_
    arccos, arccos_ = acos, acos_
    arccosh, arccosh_ = acosh, acosh_
    arcsin, arcsin_ = asin, asin_
    arcsinh, arcsinh_ = asinh, asinh_
    arctan, arctan_ = atan, atan_
    arctanh, arctanh_ = atanh, atanh_
    fix, fix_ = trunc, trunc_
    negative, negative_ = neg, neg_
    sgn, sgn_ = sgn, in_place(sgn)


__all__ = [
    "abs", "absolute", "acos", "acosh", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "asin",
    "asinh", "atan", "atanh", "bitwise_not", "ceil", "conj", "cos", "cosh", "deg2rad", "digamma", "erf",
    "erfc", "erfinv", "exp", "exp2", "expm1", "fix", "floor", "frac", "lgamma", "log", "log1p", "log2",
    "log10", "logit", "nan_to_num", "neg", "negative", "positive", "rad2deg", "reciprocal", "relu", "round",
    "rsqrt", "sgn", "sigmoid", "sign", "signbit", "sin", "sinc", "sinh", "sqrt", "square", "tan", "tanh",
    "trunc",
]  # fmt: skip

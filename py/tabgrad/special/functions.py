"""The functions of `special` that are not at home in `tensor`: Bessel functions, zeta, the normal law."""

from __future__ import annotations

import math
from typing import Any

from tabgrad.core.dtype import DType, get_default_dtype
from tabgrad.core.errors import ArgumentError, DTypeError
from tabgrad.core.promotion import cast, together, widened
from tabgrad.core.shape import broadcast
from tabgrad.core.trace import Box, constant
from tabgrad.ops import special
from tabgrad.ops.elementwise import (
    abs_,
    add,
    div,
    exp,
    expm1,
    log,
    log1p,
    mul,
    neg,
    pow_,
    rsqrt,
    square,
    sub,
    where,
)
from tabgrad.ops.indexing import cat, iota
from tabgrad.ops.reduction import reduce_sum
from tabgrad.ops.rounding import ceil, eq, floor, gt, isnan, lt
from tabgrad.ops.special import erfc, lgamma, polygamma as derivative_of_digamma
from tabgrad.ops.trigonometry import cos  # fmt: skip
from tabgrad.ops.view import expand, part, reshape, spread
from tabgrad.tensor import Tensor, softmax as of_rows
from tabgrad.tensor.public import takes_out
from tabgrad.transforms.custom import custom_jvp

POINTS = 64
"""Of the half circle. The trapezoidal rule converges like exp(-2 POINTS^2 / x)."""
LARGE = 150.0
"""From here the asymptotic series (DLMF 10.40.1) is exact to 1e-17."""


def _scaled_bessel(order: int, x: Any) -> Any:
    """Return exp(-|x|) I_n(x) for n = 0 or 1: the mean of exp(x cos t - |x|) cos(n t) over a half circle."""
    a = abs_(x)
    near = where(lt(a, LARGE), x, 0)
    shape = (*a.spec.shape, POINTS)
    last = len(shape) - 1
    # midpoints of the half circle
    turn = mul(
        add(cast(iota(POINTS, a.device.index_dtype, a.device), a.spec.dtype), 0.5), math.pi / POINTS
    )
    c = cos(turn)
    wide = spread.bind(near, shape=shape, axes=(last,))
    cosines = spread.bind(c, shape=shape, axes=tuple(range(last)))
    terms = exp(sub(mul(wide, cosines), abs_(wide)))
    if order:
        # near 0 without the constant, which the cosines cancel but for its rounding
        tiny = lt(abs_(wide), 1)
        turned = mul(where(tiny, wide, 0), cosines)
        terms = where(tiny, mul(exp(neg(abs_(wide))), expm1(turned)), terms)
        terms = mul(terms, cosines)
    small = mul(reduce_sum.bind(terms, axes=(last,)), 1 / POINTS)
    v = where(lt(a, LARGE), LARGE, a)
    series: Any = 0.0
    coefficient, power = 1.0, None
    for k in range(1, 10):
        coefficient *= -(4 * order * order - (2 * k - 1) ** 2) / (8 * k)
        power = div(1, v) if power is None else div(power, v)
        series = add(mul(power, coefficient), series)
    large = mul(mul(add(series, 1), rsqrt(v)), 1 / math.sqrt(2 * math.pi))
    if order:
        large = where(lt(x, 0), neg(large), large)
    return where(lt(a, LARGE), small, large)


def real(name: str, x: Any) -> Any:
    if x.spec.dtype.is_complex:
        raise DTypeError(f"{name}: not defined for {x.spec.dtype!r}")
    return x if x.spec.dtype.is_floating_point else cast(x, get_default_dtype())


@custom_jvp
def _i0(x: Any) -> Any:
    return mul(exp(abs_(x)), _scaled_bessel(0, x))


@custom_jvp
def _i1(x: Any) -> Any:
    return mul(exp(abs_(x)), _scaled_bessel(1, x))


def _i1_slope(x: Any) -> Any:
    """Return I_0(x) - I_1(x) / x (DLMF 10.29.2), scaled until both terms are finite; below 1 its series."""
    a = abs_(x)
    small = lt(a, 1)
    z = square(mul(where(small, x, 0), 0.5))
    near: Any = 0.0
    for k in range(9, -1, -1):
        near = add(mul(z, near), (2 * k + 1) / (2 * k + 2) / math.factorial(k) ** 2)
    rest = div(_scaled_bessel(1, x), where(small, 1, x))
    return where(small, near, mul(exp(where(small, 1, a)), sub(_scaled_bessel(0, x), rest)))


# not of the mean over a half circle, whose terms cancel near 0
_i0.defjvps(lambda t, _y, x: mul(t, _i1(x)))
_i1.defjvps(lambda t, _y, x: mul(t, _i1_slope(x)))


@takes_out
@widened
def i0e(input: Tensor) -> Tensor:
    """Return exp(-|x|) I_0(x), the scaled modified Bessel function."""
    return _scaled_bessel(0, real("i0e", input))


@takes_out
@widened
def i0(input: Tensor) -> Tensor:
    """Return the modified Bessel function of the first kind of order 0."""
    return _i0(real("i0", input))


@takes_out
@widened
def i1e(input: Tensor) -> Tensor:
    """Return exp(-|x|) I_1(x), the scaled modified Bessel function."""
    return _scaled_bessel(1, real("i1e", input))


@takes_out
@widened
def i1(input: Tensor) -> Tensor:
    """Return the modified Bessel function of the first kind of order 1."""
    return _i1(real("i1", input))


@takes_out
@widened
def zeta(input: Any, other: Any) -> Tensor:
    """Return the Hurwitz zeta function ζ(s, q), the sum over k of (k + q)^-s; s is `input` > 1, q `other`.

    Where q < 0, s must be an integer, by which there is no derivative: nan. At s = 1 and where a term is 1 / 0
    it is inf, for s < 1 nan.
    """
    s, q = input, other
    if not isinstance(s, Box):
        s = constant(float(s), q.spec, q.device)
    if not isinstance(q, Box):
        q = constant(float(q), s.spec, s.device)
    s, q = (real("zeta", t) for t in together("zeta", s, q))
    shape = broadcast("zeta", s.spec.shape, q.spec.shape)
    s, q = (t if t.spec.shape == shape else expand.bind(t, shape=shape) for t in (s, q))
    q = where(eq(q, -math.inf), -1, q)
    above, gap = gt(q, 0), sub(q, floor(q))
    plain = where(above, True, eq(gap, 0))
    # the terms of both signs, and what those of q < 0 do not reach: one kernel for three sums
    starts = (where(above, q, gap), where(plain, 1, sub(ceil(q), q)), where(plain, 1, sub(1, q)))
    first, low, rest = _hurwitz(s, starts)
    turned = mul(pow_(-1, where(plain, 2, s)), sub(low, rest))
    total = where(plain, first, add(first, turned))
    return where(eq(s, 1), where(isnan(q), math.nan, math.inf), where(gt(s, 1), total, math.nan))


def _hurwitz(s: Any, starts: tuple[Any, ...]) -> list[Any]:
    """Return the zeta function of `s` from each start of 0 or more: ten terms, then DLMF 25.11.28."""
    shape = s.spec.shape
    n = len(starts)
    q = cat.bind(*(reshape.bind(q, shape=(1, *shape)) for q in starts), axis=0)
    s = expand.bind(s, shape=(n, *shape))
    total = pow_(q, neg(s))
    for k in range(1, 10):
        total = add(total, pow_(add(q, k), neg(s)))
    v = add(q, 10)
    power = pow_(v, neg(s))
    total = add(total, add(div(mul(power, v), sub(s, 1)), mul(power, 0.5)))
    factor = div(mul(power, s), v)
    for k, bernoulli in enumerate((1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730), 1):
        total = add(total, mul(factor, bernoulli / math.factorial(2 * k)))
        factor = div(mul(factor, mul(add(s, 2 * k - 1), add(s, 2 * k))), square(v))
    return [reshape.bind(part(total, 0, i, i + 1), shape=shape) for i in range(n)]


@takes_out
@widened
def ndtr(input: Tensor) -> Tensor:
    """Return the probability that a standard normal variable is below `x`."""
    return mul(erfc(mul(real("ndtr", input), -math.sqrt(0.5))), 0.5)


@takes_out
@widened
def log_ndtr(input: Tensor) -> Tensor:
    """Return ln(ndtr(x)), accurate far in the lower tail."""
    x = real("log_ndtr", input)
    far = -30.0 if x.spec.dtype.itemsize == 8 else -9.0
    tail = lt(x, far)
    near = where(tail, 0, x)
    v = where(tail, x, far)
    z = div(1, square(v))
    series = add(mul(z, add(mul(z, add(mul(z, add(mul(z, 105), -15)), 3)), -1)), 1)
    below = sub(log(div(series, neg(v))), add(mul(square(v), 0.5), 0.5 * math.log(2 * math.pi)))
    lower = where(gt(near, 0), neg(near), near)
    p = ndtr(lower)
    upper = gt(near, 0)
    return where(tail, below, where(upper, log1p(neg(p)), log(where(upper, 0.5, p))))


@takes_out
@widened
def multigammaln(input: Tensor, p: int) -> Tensor:
    """Return the logarithm of the multivariate gamma function of dimension `p`, for inputs > (p - 1) / 2."""
    if p < 1:
        raise ArgumentError(f"multigammaln: p must be at least 1, got {p}")
    total: Any = lgamma(input)
    for j in range(1, p):
        total = add(total, lgamma(sub(input, j / 2)))
    return add(total, p * (p - 1) / 4 * math.log(math.pi))


@takes_out
def xlog1py(input: Any, other: Any) -> Tensor:
    """Return x * ln(1 + y), 0 where x is 0."""
    return special.xlog1py(input, other)


@takes_out
def entr(input: Tensor) -> Tensor:
    """Return -x * ln(x); 0 at 0, where the slope is infinite, -inf below."""
    return special.entr(input)


@takes_out
def polygamma(n: int, input: Tensor) -> Tensor:
    """Return the `n`-th derivative of digamma, by a series (DLMF 5.15.8)."""
    return derivative_of_digamma(n, input)


def softmax(input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """Return exp(x) / sum(exp(x)) along `dim`; `dtype` casts first."""
    return of_rows.softmax(input, dim, dtype)


def log_softmax(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """Return log(softmax(x)) along `dim`, accurate where the softmax is tiny."""
    return of_rows.log_softmax(input, dim, dtype)


__all__ = [
    "entr",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "log_ndtr",
    "log_softmax",
    "multigammaln",
    "ndtr",
    "polygamma",
    "softmax",
    "xlog1py",
    "zeta",
]  # fmt: skip

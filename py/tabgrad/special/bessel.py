"""Bessel functions of both kinds, plain and modified, of orders 0 and 1; Airy's function.

Within 8 (within 2, if modified) each is a power series in x * x, with the logarithm and the pole of the second
kind beside it; beyond, amplitude and phase are series in 1 / x (DLMF 10.17, 10.40).
"""

from __future__ import annotations

import math
from typing import Any

from tabgrad.core.promotion import widened
from tabgrad.ops.elementwise import (
    abs_,
    add,
    div,
    exp,
    log,
    mul,
    neg,
    reciprocal,
    rsqrt,
    sqrt,
    square,
    sub,
    where,
)
from tabgrad.ops.rounding import eq, gt, isinf, le, lt
from tabgrad.ops.trigonometry import cos, sin  # fmt: skip
from tabgrad.special import series as fits
from tabgrad.special.functions import i0, i1, real
from tabgrad.special.series import series
from tabgrad.tensor import Tensor
from tabgrad.tensor.public import takes_out
from tabgrad.transforms.custom import custom_jvp

EDGE = 8.0
"""Where the series in x and in 1 / x meet."""


def _far(order: int, second: bool, x: Any) -> Any:
    """Return J_n or Y_n for x >= EDGE, by DLMF 10.17.3 and 10.17.4."""
    inverse = div(EDGE, x)
    t = sub(mul(square(inverse), 2), 1)
    p = series((fits.P0, fits.P1)[order], t)
    q = mul(series((fits.Q0, fits.Q1)[order], t), mul(inverse, 1 / EDGE))
    c, s = cos(x), sin(x)
    # of x - pi/4 or x - 3 pi/4, which rounding would cost digits
    if order:
        c, s = sub(s, c), neg(add(s, c))
    else:
        c, s = add(c, s), sub(s, c)
    wave = add(mul(p, s), mul(q, c)) if second else sub(mul(p, c), mul(q, s))
    return mul(mul(wave, rsqrt(x)), 1 / math.sqrt(math.pi))


def _near(x: Any) -> Any:
    return sub(mul(square(mul(x, 1 / EDGE)), 2), 1)


def _first(order: int, x: Any) -> Any:
    a = abs_(x)
    inside = lt(a, EDGE)
    near = where(inside, x, 0)
    small = series((fits.J0, fits.J1)[order], _near(near))
    large = _far(order, False, where(inside, EDGE, a))
    if order:
        small, large = mul(small, near), where(lt(x, 0), neg(large), large)
    return where(inside, small, large)


def _second(order: int, x: Any) -> Any:
    inside = lt(x, EDGE)
    near = where(inside, x, 1)
    t = _near(near)
    smooth = series((fits.Y0, fits.Y1)[order], t)
    j = series((fits.J0, fits.J1)[order], t)
    pole: Any = 0.0
    if order:
        smooth, j, pole = mul(smooth, near), mul(j, near), reciprocal(near)
    small = add(smooth, mul(sub(mul(log(near), j), pole), 2 / math.pi))
    y = where(inside, small, _far(order, True, where(inside, EDGE, x)))
    return where(eq(x, 0), -math.inf, where(lt(x, 0), math.nan, y))


def _scaled_far(order: int, x: Any) -> Any:
    """Return exp(x) K_n(x) for x >= 2."""
    return mul(series((fits.K0_LARGE, fits.K1_LARGE)[order], sub(div(4, x), 1)), rsqrt(x))


def _modified_second(order: int, scaled: bool, x: Any) -> Any:
    inside = le(x, 2)
    near = where(inside, x, 1)
    t = sub(mul(square(near), 0.5), 1)
    smooth = series((fits.K0, fits.K1)[order], t)
    i = series((fits.I0, fits.I1)[order], t)
    logarithm = log(mul(near, 0.5))
    if order:
        small = add(div(smooth, near), mul(logarithm, mul(i, near)))
    else:
        small = sub(smooth, mul(logarithm, i))
    far = where(inside, 2, x)
    large = _scaled_far(order, far)
    if scaled:
        small = mul(small, exp(near))
    else:
        large = mul(large, exp(neg(far)))
    y = where(inside, small, large)
    return where(eq(x, 0), math.inf, where(lt(x, 0), math.nan, y))


@custom_jvp
def _j0(x: Any) -> Any:
    return _first(0, x)


@custom_jvp
def _j1(x: Any) -> Any:
    return _first(1, x)


@custom_jvp
def _y0(x: Any) -> Any:
    return _second(0, x)


@custom_jvp
def _y1(x: Any) -> Any:
    return _second(1, x)


@custom_jvp
def _k0(x: Any) -> Any:
    return _modified_second(0, False, x)


@custom_jvp
def _k1(x: Any) -> Any:
    return _modified_second(1, False, x)


@custom_jvp
def _scaled_k0(x: Any) -> Any:
    return _modified_second(0, True, x)


@custom_jvp
def _scaled_k1(x: Any) -> Any:
    return _modified_second(1, True, x)


def _over(y: Any, x: Any, at_zero: float) -> Any:
    """Return y / x, and its limit at 0."""
    origin = eq(x, 0)
    return where(origin, at_zero, div(y, where(origin, 1, x)))


# DLMF 10.6.2, 10.29.3
_j0.defjvps(lambda t, _y, x: neg(mul(t, _j1(x))))
_j1.defjvps(lambda t, y, x: mul(t, sub(_j0(x), _over(y, x, 0.5))))
_y0.defjvps(lambda t, _y, x: neg(mul(t, _y1(x))))
_y1.defjvps(lambda t, y, x: mul(t, sub(_y0(x), _over(y, x, -math.inf))))
_k0.defjvps(lambda t, _y, x: neg(mul(t, _k1(x))))
_k1.defjvps(lambda t, y, x: neg(mul(t, add(_k0(x), _over(y, x, math.inf)))))
_scaled_k0.defjvps(lambda t, y, x: mul(t, sub(y, _scaled_k1(x))))
_scaled_k1.defjvps(lambda t, y, x: mul(t, sub(sub(y, _scaled_k0(x)), _over(y, x, math.inf))))


def _scaled_second(order: int, x: Any) -> Any:
    """Return exp(x) K_n(x). Beyond 2 its slope is that of the series: the terms of the rule nearly cancel."""
    beyond = gt(x, 2)
    near = (_scaled_k1 if order else _scaled_k0)(where(beyond, 2, x))
    return where(beyond, _scaled_far(order, where(beyond, x, 2)), near)


@takes_out
@widened
def bessel_j0(input: Tensor) -> Tensor:
    """Return the Bessel function of the first kind of order 0, to 8 units of rounding of 1.

    >>> import tabgrad as tg
    >>> tg.special.bessel_j0(tg.tensor([0.0, 1.0, 10.0]))
    tensor([ 1.0000,  0.7652, -0.2459])
    """
    return _j0(real("bessel_j0", input))


@takes_out
@widened
def bessel_j1(input: Tensor) -> Tensor:
    """Return the Bessel function of the first kind of order 1, to 8 units of rounding of 1.

    >>> import tabgrad as tg
    >>> tg.special.bessel_j1(tg.tensor([0.0, 1.0, 10.0]))
    tensor([0.0000, 0.4401, 0.0435])
    """
    return _j1(real("bessel_j1", input))


@takes_out
@widened
def bessel_y0(input: Tensor) -> Tensor:
    """Return the Bessel function of the second kind of order 0, to 12 units of rounding of 1; nan below 0.

    >>> import tabgrad as tg
    >>> tg.special.bessel_y0(tg.tensor([0.0, 1.0, 10.0]))
    tensor([  -inf, 0.0883, 0.0557])
    """
    return _y0(real("bessel_y0", input))


@takes_out
@widened
def bessel_y1(input: Tensor) -> Tensor:
    """Return the Bessel function of the second kind of order 1, to 12 units of rounding of 1; nan below 0.

    >>> import tabgrad as tg
    >>> tg.special.bessel_y1(tg.tensor([0.0, 1.0, 10.0]))
    tensor([   -inf, -0.7812,  0.2490])
    """
    return _y1(real("bessel_y1", input))


@takes_out
def modified_bessel_i0(input: Tensor) -> Tensor:
    """Return the modified Bessel function of the first kind of order 0, as `i0` does.

    >>> import tabgrad as tg
    >>> tg.special.modified_bessel_i0(tg.tensor([0.0, 1.0, -2.0]))
    tensor([1.0000, 1.2661, 2.2796])
    """
    return i0(input)


@takes_out
def modified_bessel_i1(input: Tensor) -> Tensor:
    """Return the modified Bessel function of the first kind of order 1, as `i1` does.

    >>> import tabgrad as tg
    >>> tg.special.modified_bessel_i1(tg.tensor([0.0, 1.0, -2.0]))
    tensor([ 0.0000,  0.5652, -1.5906])
    """
    return i1(input)


@takes_out
@widened
def modified_bessel_k0(input: Tensor) -> Tensor:
    """Return the modified Bessel function of the second kind of order 0, to 8 units of rounding.

    >>> import tabgrad as tg
    >>> tg.special.modified_bessel_k0(tg.tensor([0.0, 1.0, 2.0]))
    tensor([   inf, 0.4210, 0.1139])
    """
    return _k0(real("modified_bessel_k0", input))


@takes_out
@widened
def modified_bessel_k1(input: Tensor) -> Tensor:
    """Return the modified Bessel function of the second kind of order 1, to 8 units of rounding.

    >>> import tabgrad as tg
    >>> tg.special.modified_bessel_k1(tg.tensor([0.0, 1.0, 2.0]))
    tensor([   inf, 0.6019, 0.1399])
    """
    return _k1(real("modified_bessel_k1", input))


@takes_out
@widened
def scaled_modified_bessel_k0(x: Tensor) -> Tensor:
    """Return exp(x) K_0(x), to 8 units in the last place; nan below 0.

    >>> import tabgrad as tg
    >>> tg.special.scaled_modified_bessel_k0(tg.tensor([0.0, 1.0, 2.0]))
    tensor([   inf, 1.1445, 0.8416])
    """
    return _scaled_second(0, real("scaled_modified_bessel_k0", x))


@takes_out
@widened
def scaled_modified_bessel_k1(x: Tensor) -> Tensor:
    """Return exp(x) K_1(x), to 8 units in the last place; nan below 0.

    >>> import tabgrad as tg
    >>> tg.special.scaled_modified_bessel_k1(tg.tensor([0.0, 1.0, 2.0]))
    tensor([   inf, 1.6362, 1.0335])
    """
    return _scaled_second(1, real("scaled_modified_bessel_k1", x))


@takes_out
@widened
def spherical_bessel_j0(x: Tensor) -> Tensor:
    """Return sin(x) / x, the spherical Bessel function of the first kind of order 0; 1 at 0.

    >>> import tabgrad as tg
    >>> tg.special.spherical_bessel_j0(tg.tensor([0.0, 1.0, -2.0]))
    tensor([1.0000, 0.8415, 0.4546])
    """
    x = real("spherical_bessel_j0", x)
    small = lt(abs_(x), 0.5)
    z = square(where(small, x, 0))
    near: Any = 1.0
    for k in range(7, 0, -1):
        near = add(mul(mul(z, near), -1 / (2 * k * (2 * k + 1))), 1)
    far = where(small, 1, x)
    endless = isinf(x)
    return where(small, near, where(endless, 0, div(sin(where(endless, 1, far)), far)))


def _zeta(x: Any) -> Any:
    """Return x^(3/2) * 2/3."""
    return mul(mul(x, sqrt(x)), 2 / 3)


@takes_out
@widened
def airy_ai(x: Tensor) -> Tensor:
    """Return the Airy function Ai, to 8 units of rounding of 1 and of the phase |x|^1.5.

    >>> import tabgrad as tg
    >>> tg.special.airy_ai(tg.tensor([0.0, 1.0, -5.0]))
    tensor([0.3550, 0.1353, 0.3508])
    """
    x = real("airy_ai", x)
    right, left = gt(x, 2), lt(x, -4)
    middle = where(right, 0, where(left, 0, x))
    y = series(fits.AIRY, mul(add(middle, 1), 1 / 3))
    # DLMF 9.7.5 and 9.7.9, as sums of Chebyshev polynomials
    high = where(right, x, 2)
    z = _zeta(high)
    tail = mul(exp(neg(z)), series(fits.AIRY_RIGHT, sub(div(2 * _ZETA_2, z), 1)))
    tail = mul(tail, rsqrt(sqrt(high)))
    low = where(left, neg(x), 4)
    z = _zeta(low)
    t = sub(mul(square(div(_ZETA_4, z)), 2), 1)
    c, s = cos(z), sin(z)
    wave = mul(series(fits.AIRY_LEFT_P, t), add(s, c))
    wave = sub(wave, mul(div(series(fits.AIRY_LEFT_Q, t), z), sub(c, s)))
    wave = mul(mul(wave, rsqrt(sqrt(low))), math.sqrt(0.5))
    return where(right, tail, where(left, wave, y))


_ZETA_2, _ZETA_4 = 2**2.5 / 3, 16 / 3

__all__ = [
    "airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "modified_bessel_i0", "modified_bessel_i1",
    "modified_bessel_k0", "modified_bessel_k1", "scaled_modified_bessel_k0", "scaled_modified_bessel_k1",
    "spherical_bessel_j0",
]  # fmt: skip

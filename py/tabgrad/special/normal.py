"""Functions about the normal law: the scaled complementary error function, quantiles."""

from __future__ import annotations

import math
from typing import Any

from tabgrad.core.promotion import widened
from tabgrad.ops.elementwise import (
    add,
    div,
    exp,
    log,
    mul,
    neg,
    reciprocal,
    sqrt,
    square,
    sub,
    where,
)
from tabgrad.ops.rounding import eq, ge, gt, isinf, lt, round_
from tabgrad.special import series as fits
from tabgrad.special.functions import real
from tabgrad.special.series import series
from tabgrad.tensor import Tensor
from tabgrad.tensor.public import takes_out
from tabgrad.transforms.custom import custom_jvp


@custom_jvp
def _exp_of_square(w: Any) -> Any:
    # w * w = h * h + (w - h) * (w + h), the first product exact: its error would be multiplied by w * w;
    # beyond 30 it overflows anyway
    h = mul(round_(mul(where(gt(w, 30), 0, w), 16)), 1 / 16)
    return mul(exp(square(h)), exp(mul(sub(w, h), add(w, h))))


# not of the factors, whose slopes are infinities of both signs before the power is
_exp_of_square.defjvps(lambda t, y, w: mul(t, mul(mul(w, 2), y)))


@takes_out
@widened
def erfcx(input: Tensor) -> Tensor:
    """Return exp(x^2) erfc(x), which neither underflows nor cancels for large x, to 8 units in the last place.

    >>> import tabgrad as tg
    >>> tg.special.erfcx(tg.tensor([0.0, 1.0, -1.0]))
    tensor([1.0000, 0.4276, 5.0090])
    """
    x = real("erfcx", input)
    negative = lt(x, 0)
    a = where(negative, neg(x), x)
    endless = isinf(a)
    v = where(endless, 1, a)
    # (v - 3) / (v + 3), and 1 / (1 + 2 v) without overflow
    t = sub(1, div(6, add(v, 3)))
    y = where(endless, 0, div(mul(series(fits.ERFCX, t), 0.5), add(v, 0.5)))
    return where(negative, sub(mul(_exp_of_square(where(negative, a, 0)), 2), y), y)


@custom_jvp
def _quantile(p: Any) -> Any:
    lower = lt(p, 0.5)
    q = where(lower, p, sub(1, p))
    centre = gt(q, 0.14)
    y = sub(where(centre, p, 0.5), 0.5)
    middle = mul(y, series(fits.NORMAL_CENTRE, sub(mul(square(mul(y, 1 / 0.375)), 2), 1)))
    inner = where(centre, 0.125, where(gt(q, 0), q, 0.125))
    w = sqrt(mul(log(inner), -2))
    far = gt(w, 8)
    inverse = reciprocal(w)
    near = _between(where(far, 0.125, inverse), 1 / 8, 1 / 1.95)
    # at the least numbers of float64 w is 38.6
    distant = _between(where(far, inverse, 0.125), 1 / 39, 1 / 8)
    rest = where(far, series(fits.NORMAL_FAR, distant), series(fits.NORMAL_TAIL, near))
    tail = sub(w, mul(add(log(w), rest), inverse))
    tail = where(eq(q, 0), math.inf, tail)
    x = where(centre, middle, where(lower, neg(tail), tail))
    return where(ge(q, 0), x, math.nan)


def _between(z: Any, low: float, high: float) -> Any:
    """Return `z` mapped from [low, high] to [-1, 1]."""
    return mul(sub(z, (low + high) / 2), 2 / (high - low))


_quantile.defjvps(lambda t, y, _p: mul(t, mul(exp(mul(square(y), 0.5)), math.sqrt(2 * math.pi))))


@takes_out
@widened
def ndtri(input: Tensor) -> Tensor:
    """Return the number below which a standard normal variable is with probability `p`, the inverse of `ndtr`.

    To 8 units in the last place; infinite at 0 and 1, nan beyond.

    >>> import tabgrad as tg
    >>> tg.special.ndtri(tg.tensor([0.5, 0.975, 0.0]))
    tensor([0.0000, 1.9600,   -inf])
    """
    return _quantile(real("ndtri", input))


__all__ = ["erfcx", "ndtri"]

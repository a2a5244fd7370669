"""The regularized incomplete gamma functions.

Both are x^a exp(-x) / gamma(a) times an integral along v = |ln(t / x)|, whose integrand is smooth and falls from its
end: a fixed Gauss rule over as far as it counts (from DLMF 8.2). Where x < 1 and x > a the upper one goes by a power
series, so that it keeps its digits where it nearly vanishes. To 1e-13 absolute in float64, 4e-6 in float32.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from tabgrad.core.errors import GradientError
from tabgrad.core.promotion import cast, expand, needs_float, result_dtype, widened
from tabgrad.core.shape import broadcast
from tabgrad.core.trace import Box, constant
from tabgrad.ops.elementwise import (
    abs_,
    add,
    div,
    exp,
    expm1,
    log,
    maximum,
    mul,
    neg,
    reciprocal,
    rsqrt,
    sqrt,
    square,
    sub,
    where,
)
from tabgrad.ops.indexing import iota
from tabgrad.ops.reduction import reduce_sum
from tabgrad.ops.rounding import eq, ge, gt, isinf, isnan, le, lt
from tabgrad.ops.special import lgamma
from tabgrad.ops.view import spread
from tabgrad.special import series as fits
from tabgrad.special.series import series
from tabgrad.tensor import Tensor
from tabgrad.tensor.public import takes_out
from tabgrad.transforms.custom import custom_jvp

RAISED = 8
"""By which the lower function's `a` is raised, term by term, so that its integrand has one scale."""


@functools.cache
def _gauss(count: int) -> tuple[list[float], list[float]]:
    """Return nodes and weights of the Gauss-Legendre rule on [0, 1], by Newton's method."""
    nodes, weights = [], []
    for i in range(count):
        z = math.cos(math.pi * (i + 0.75) / (count + 0.5))
        for _ in range(8):
            p, q = 1.0, z
            for k in range(1, count):
                p, q = q, ((2 * k + 1) * z * q - k * p) / (k + 1)
            slope = count * (z * q - p) / (z * z - 1)
            z -= q / slope
        nodes.append((1 + z) / 2)
        weights.append(1 / ((1 - z * z) * slope * slope))
    return nodes, weights


def _beyond(v: Any, double: bool) -> Any:
    """Return exp(v) - 1 - v, accurate near 0."""
    near = lt(abs_(v), 1)
    u = where(near, v, 0)
    total: Any = 1 / math.factorial(20 if double else 12)
    for k in range(19 if double else 11, 1, -1):
        total = add(mul(u, total), 1 / math.factorial(k))
    w = where(near, 1, v)
    return where(near, mul(square(u), total), sub(expm1(w), w))


def _integral(slope: Any, curve: Any, sign: int) -> Any:
    """Return the integral over v >= 0 of exp(-slope v - curve (exp(u) - 1 - u)), u = sign v, slope >= 0."""
    double = slope.spec.dtype.itemsize == 8
    # where the exponent is -reach or less, because exp(u) - 1 - u >= v^2 / 2, or v^2 / (2 + 2/3 v) for u = -v
    reach = 40.0 if double else 20.0
    if sign > 0:
        high = div(2 * reach, add(slope, sqrt(add(square(slope), mul(curve, 2 * reach)))))
    else:
        lead = add(mul(slope, 1 / 3), mul(curve, 0.5))
        middle = sub(slope, reach / 3)
        root = sqrt(add(square(middle), mul(lead, 4 * reach)))
        steep = gt(middle, 0)
        high = where(
            steep,
            div(2 * reach, add(where(steep, middle, 1), root)),
            div(sub(root, middle), mul(lead, 2)),
        )
    rule = _gauss(48 if double else 24)
    shape = (*slope.spec.shape, len(rule[0]))
    last = len(shape) - 1
    nodes, weights = (
        spread.bind(
            tensor(r, dtype=slope.spec.dtype, device=slope.device),
            shape=shape,
            axes=tuple(range(last)),
        )
        for r in rule
    )
    a, c, h = (spread.bind(t, shape=shape, axes=(last,)) for t in (slope, curve, high))
    v = mul(h, nodes)
    terms = exp(neg(add(mul(a, v), mul(c, _beyond(mul(v, sign), double)))))
    return mul(reduce_sum.bind(mul(terms, weights), axes=(last,)), high)


def _prefix(a: Any, x: Any) -> Any:
    """Return x^a exp(-x) / gamma(a + 1), for large `a` by Stirling's series and ln(x / a) + 1 - x / a."""
    small = lt(a, 8)
    b = where(small, 8, a)
    u = div(sub(x, b), b)
    near = lt(abs_(u), 0.5)
    close = mul(square(u), series(fits.LOG1P, mul(where(near, u, 0), 2)))
    exponent = where(near, close, sub(sub(log(x), log(b)), u))
    rest = series(fits.STIRLING, sub(mul(square(div(8, b)), 2), 1))
    large = mul(exp(sub(mul(b, exponent), div(rest, b))), rsqrt(mul(b, 2 * math.pi)))
    c = where(small, a, 1)
    return where(small, exp(sub(sub(mul(c, log(x)), x), lgamma(add(c, 1)))), large)


def _lower(a: Any, x: Any) -> Any:
    """Return P(a, x) for x <= a or x < 1."""
    raised = add(a, RAISED)
    total = mul(_integral(sub(raised, x), x, -1), raised)
    for k in range(RAISED, 0, -1):
        total = add(mul(total, div(x, add(a, k))), 1)
    return mul(_prefix(a, x), total)


def _upper_of_small(a: Any, x: Any) -> Any:
    """Return Q(a, x) for a <= 1 and x < 1, by DLMF 8.7.3."""
    power = mul(a, sub(log(x), series(fits.LGAMMA, sub(mul(a, 2), 1))))
    total: Any = 0.0
    term: Any = 1.0
    for n in range(1, 19):
        term = mul(x, -1 / n) if n == 1 else mul(mul(term, x), -1 / n)
        total = add(div(term, add(a, n)), total)
    return neg(add(expm1(power), mul(exp(power), mul(a, total))))


def _regularized(upper: bool, a: Any, x: Any) -> Any:
    inner = where(gt(a, 0), where(gt(x, 0), where(isinf(a), False, gt(math.inf, x)), False), False)
    b, y = where(inner, a, 1), where(inner, x, 1)
    below = where(le(y, b), True, lt(y, 1))
    little = where(lt(y, 1), le(b, 1), False)
    lower = _lower(where(below, b, 1), where(below, y, 1))
    c, z = where(below, 1, b), where(below, 2, y)
    other = mul(mul(_prefix(c, z), c), _integral(sub(z, c), z, 1))
    if upper:
        small = _upper_of_small(where(little, b, 1), where(little, y, 0.5))
        value = where(little, small, where(below, sub(1, lower), other))
    else:
        value = where(below, lower, sub(1, other))
    # at the edges it is 0 or 1, but where both arguments are 0 or infinite
    empty = where(eq(x, 0), gt(a, 0), where(isinf(a), gt(math.inf, x), False))
    full = where(eq(a, 0), gt(x, 0), where(isinf(x), gt(math.inf, a), False))
    edge = where(empty, float(upper), where(full, float(not upper), math.nan))
    proper = where(ge(a, 0), ge(x, 0), False)
    return where(inner, value, where(proper, edge, math.nan))


@custom_jvp
def _p(a: Any, x: Any) -> Any:
    return _regularized(False, a, x)


@custom_jvp
def _q(a: Any, x: Any) -> Any:
    return _regularized(True, a, x)


def _slope(sign: float) -> tuple[Any, Any]:
    def by_a(_t: Any, _y: Any, _a: Any, _x: Any) -> Any:
        return None

    def by_x(t: Any, _y: Any, a: Any, x: Any) -> Any:
        power = exp(sub(sub(mul(sub(a, 1), log(x)), x), lgamma(a)))
        return mul(t, mul(power, sign))

    return by_a, by_x

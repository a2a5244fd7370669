"""The regularized incomplete gamma functions, to 1e-14 in float64 and 2e-6 in float32.

Both are x^a exp(-x) / gamma(a) times an integral along v = |ln(t / x)|, whose integrand is smooth and falls
from its end: a fixed Gauss rule over as far as it counts (from DLMF 8.2). Where x < 1 and a <= 1 the upper one
goes by a power series, so that it keeps its digits where it nearly vanishes.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from tabgrad.core.errors import DTypeError, GradientError
from tabgrad.core.promotion import (
    cast,
    expand,
    needs_float,
    result_dtype,
    together,
    widened,
)
from tabgrad.core.shape import broadcast
from tabgrad.core.trace import Box
from tabgrad.ops.elementwise import (
    abs_,
    add,
    div,
    exp,
    expm1,
    log,
    minimum,
    mul,
    neg,
    rsqrt,
    sqrt,
    square,
    sub,
    where,
)
from tabgrad.ops.reduction import reduce_sum
from tabgrad.ops.rounding import eq, ge, gt, isinf, le, lt
from tabgrad.ops.special import lgamma
from tabgrad.ops.view import spread
from tabgrad.special import series as fits
from tabgrad.special.series import series
from tabgrad.tensor import Tensor
from tabgrad.tensor.creation import tensor
from tabgrad.tensor.public import takes_out
from tabgrad.transforms.custom import custom_jvp, custom_vjp

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


def _beyond(c: Any, v: Any, double: bool) -> Any:
    """Return c (exp(v) - 1 - v), accurate near 0, and where v * v would underflow."""
    near = lt(abs_(v), 1)
    u = where(near, v, 0)
    total: Any = 1 / math.factorial(20 if double else 12)
    for k in range(19 if double else 11, 1, -1):
        total = add(mul(u, total), 1 / math.factorial(k))
    w = where(near, 1, v)
    return where(near, mul(mul(mul(c, u), u), total), mul(c, sub(expm1(w), w)))


def _integral(slope: Any, curve: Any, sign: int, offset: Any = None) -> Any:
    """Return the integral over v >= 0 of exp(-slope v - curve (exp(u) - 1 - u)), u = sign v, slope >= 0.

    With an `offset` the integrand is also multiplied by v + offset.
    """
    double = slope.spec.dtype.itemsize == 8
    # where the exponent is -reach or less, because exp(u) - 1 - u >= v^2 / 2, or v^2 / (2 + 2/3 v) for u = -v
    reach = 40.0 if double else 20.0
    if sign > 0:
        root = mul(sqrt(add(mul(slope, div(slope, curve)), 2 * reach)), sqrt(curve))
        high = div(2 * reach, add(slope, root))
        # because it is v^4 / 24 or more, too
        high = minimum(high, sqrt(sqrt(div(24 * reach, curve))))
    else:
        lead = add(mul(slope, 1 / 3), mul(curve, 0.5))
        middle = sub(slope, reach / 3)
        root = mul(sqrt(add(mul(middle, div(middle, lead)), 4 * reach)), sqrt(lead))
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
    terms = exp(neg(add(mul(a, v), _beyond(c, mul(v, sign), double))))
    if offset is not None:
        terms = mul(terms, add(v, spread.bind(offset, shape=shape, axes=(last,))))
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
    large = mul(exp(sub(mul(b, exponent), div(rest, b))), mul(rsqrt(b), 1 / math.sqrt(2 * math.pi)))
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
    inner = where(gt(a, 0), where(gt(x, 0), where(isinf(a), False, lt(x, math.inf)), False), False)
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
    empty = where(eq(x, 0), gt(a, 0), where(isinf(a), lt(x, math.inf), False))
    full = where(eq(a, 0), gt(x, 0), where(isinf(x), lt(a, math.inf), False))
    edge = where(empty, float(upper), where(full, float(not upper), math.nan))
    proper = where(ge(a, 0), ge(x, 0), False)
    return where(inner, value, where(proper, edge, math.nan))


@custom_jvp
def _p(a: Any, x: Any) -> Any:
    return _regularized(False, a, x)


@custom_jvp
def _q(a: Any, x: Any) -> Any:
    return _regularized(True, a, x)


@custom_vjp
def _without_slope(a: Any) -> Any:
    return a


def _refuse(_saved: Any, _ct: Any) -> Any:
    raise GradientError(
        "gammainc and gammaincc have no derivative by their first argument; detach it, or ask for the "
        "gradient by the second alone"
    )


_without_slope.defvjp(lambda a: (a, None), _refuse)


def _density(t: Any, _y: Any, a: Any, x: Any) -> Any:
    return mul(t, exp(sub(sub(mul(sub(a, 1), log(x)), x), lgamma(a))))


def _refused(t: Any, *_values: Any) -> Any:
    """Return a slope by a that leads to `_without_slope`, which refuses it."""
    return mul(t, 0)


_p.defjvps(_refused, _density)
_q.defjvps(_refused, lambda t, y, a, x: neg(_density(t, y, a, x)))


def _arguments(name: str, a: Any, x: Any) -> tuple[Any, Any]:
    """Return both with one floating dtype and one shape."""
    for t, which in ((a, "input"), (x, "other")):
        if not isinstance(t, Box):
            raise TypeError(
                f"{name}(): expected a tensor for {which}, got {type(t).__name__}; make it a tensor"
            )
    a, x = together(name, a, x)
    needs_float(name, a, x, any_of=True)
    dtype = result_dtype(a, x)
    if dtype.is_complex:
        raise DTypeError(f"{name}: not defined for {dtype!r}; take the real part")
    shape = broadcast(name, a.spec.shape, x.spec.shape)
    return _without_slope(expand(cast(a, dtype), shape)), expand(cast(x, dtype), shape)


@widened
def lower(name: str, a: Any, x: Any) -> Any:
    """Return P(a, x) for the function that messages name."""
    return _p(*_arguments(name, a, x))


@widened
def upper(name: str, a: Any, x: Any) -> Any:
    """Return Q(a, x) for the function that messages name."""
    return _q(*_arguments(name, a, x))


@takes_out
def gammainc(input: Tensor, other: Tensor) -> Tensor:
    """Return the regularized lower incomplete gamma function P(a, x), `input` being a, `other` x.

    There is no derivative by a.

    >>> import tabgrad as tg
    >>> tg.special.gammainc(tg.tensor([1.0, 2.0, 4.0]), tg.tensor([1.0, 2.0, 3.0]))
    tensor([0.6321, 0.5940, 0.3528])
    """
    return lower("gammainc", input, other)


@takes_out
def gammaincc(input: Tensor, other: Tensor) -> Tensor:
    """Return the regularized upper incomplete gamma function Q(a, x) = 1 - P(a, x).

    There is no derivative by a, which is `input`; `other` is x.

    >>> import tabgrad as tg
    >>> tg.special.gammaincc(tg.tensor([1.0, 2.0, 4.0]), tg.tensor([1.0, 2.0, 3.0]))
    tensor([0.3679, 0.4060, 0.6472])
    """
    return upper("gammaincc", input, other)


__all__ = ["gammainc", "gammaincc"]

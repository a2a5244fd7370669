"""Special functions and activations, element by element.

A function is an op of its own for its accuracy, or because training calls it in every layer: an op keeps one
tensor for its derivative where a chain of five ops would keep five.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tabgrad.core.dtype import FLOAT, get_default_dtype
from tabgrad.core.errors import ArgumentError
from tabgrad.core.families import elementwise
from tabgrad.core.lazy_numpy import Late, np
from tabgrad.core.op import Array, Operand
from tabgrad.core.promotion import cast, widened
from tabgrad.ops.elementwise import (
    abs_,
    add,
    div,
    exp,
    log,
    log1p,
    maximum,
    mul,
    neg,
    reciprocal,
    sign,
    square,
    stop_gradient,
    sub,
    where,
)
from tabgrad.ops.rounding import eq, ge, gt, le, lt, round_
from tabgrad.ops.trigonometry import cos, sin

oracle: Any = Late("tabgrad.ops.special_numpy")
if TYPE_CHECKING:
    from tabgrad.tensor import Tensor

SQRT_HALF = math.sqrt(0.5)
TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)
INVERSE_SQRT_2PI = 1 / math.sqrt(2 * math.pi)


# -- the error function ----------------------------------------------------------------------------


@elementwise(
    code="erf_{f}({x})",
    derivative=lambda x, _y: mul(exp(neg(square(x))), TWO_OVER_SQRT_PI),
    kinds="f",
)
def erf(x: Operand) -> Array:
    """Compute the error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    return oracle.erf(x)


@elementwise(
    code="erfc_{f}({x})",
    derivative=lambda x, _y: mul(exp(neg(square(x))), -TWO_OVER_SQRT_PI),
    kinds="f",
)
def erfc(x: Operand) -> Array:
    """Compute 1 - erf(x), accurate for large x."""
    return oracle.erfc(x)


@elementwise(
    code="erfinv_{f}({x})",
    derivative=lambda _x, y: mul(exp(square(y)), 1 / TWO_OVER_SQRT_PI),
    kinds="f",
    domain=(-0.9, 0.9),
)
def erfinv(x: Operand) -> Array:
    """Compute the inverse of the error function; -1 and 1 give infinities, anything beyond nan."""
    return oracle.erfinv(x)


# -- the gamma function ----------------------------------------------------------------------------


@elementwise(
    code="lgamma_{f}({x})", derivative=lambda x, _y: digamma(x), kinds="f", domain=(0.3, 4.0)
)
def lgamma(x: Operand) -> Array:
    """Compute the logarithm of the absolute value of the gamma function."""
    return oracle.lgamma(x)


@elementwise(
    code="digamma_{f}({x})", derivative=lambda x, _y: trigamma(x), kinds="f", domain=(0.3, 4.0)
)
def digamma(x: Operand) -> Array:
    """Compute the derivative of lgamma; nan at the negative integers."""
    return oracle.digamma(x)


@elementwise(
    code="trigamma_{f}({x})", derivative=lambda x, _y: polygamma(2, x), kinds="f", domain=(0.3, 4.0)
)
def trigamma(x: Operand) -> Array:
    """Compute the second derivative of lgamma."""
    return oracle.trigamma(x)


@widened
def polygamma(n: int, x: Tensor) -> Tensor:
    """Compute the n-th derivative of digamma at `x`; a pole gives the infinity on its right.

    It takes ten steps of the recurrence, the asymptotic series DLMF 5.15.8, and for x <= 0 reflection 5.15.6.
    """
    if n < 0:
        raise ArgumentError(f"polygamma(n, x) does not support negative n, got {n}")
    if n < 2:
        return trigamma(x) if n else digamma(x)
    x = cast(x, get_default_dtype()) if x.spec.dtype.category < FLOAT else x
    negative = le(x, 0)
    y = _polygamma_of_positive(n, where(negative, sub(1, x), x))
    gap = where(negative, sub(x, round_(x)), 1)
    pole = eq(gap, 0)
    cotangent = _cotangent(where(negative, where(pole, 0.25, gap), 0.25))
    reflected = sub(mul(y, (-1.0) ** n), _cotangent_derivative(n, cotangent))
    first = _power(reciprocal(where(pole, gap, 1)), n + 1)
    reflected = where(pole, mul(first, (-1.0) ** (n + 1) * math.factorial(n)), reflected)
    return where(negative, reflected, y)


def _cotangent(r: Any) -> Any:
    """Compute cot(pi r) for 0 < |r| <= 0.5, exactly 0 at a half."""
    size = abs_(r)
    steep = gt(size, 0.25)
    u = mul(where(steep, sub(0.5, size), size), math.pi)
    t = div(sin(u), cos(u))
    return mul(sign(r), where(steep, t, reciprocal(where(steep, 1, t))))


def _power(x: Any, k: int) -> Any:
    """Raise `x` to a power of 1 or more in few products: a kernel of many `pow` compiles for minutes."""
    if k == 1:
        return x
    half = square(_power(x, k // 2))
    return mul(half, x) if k % 2 else half


def _polygamma_of_positive(n: int, x: Any) -> Any:
    total = _power(reciprocal(x), n + 1)
    for k in range(1, 10):
        total = add(total, _power(reciprocal(add(x, k)), n + 1))
    inverse = reciprocal(add(x, 10))
    lead = _power(inverse, n)
    tail = add(mul(lead, 1 / n), mul(mul(lead, inverse), 0.5))
    shrink = square(inverse)
    power = mul(lead, shrink)
    for k, bernoulli in enumerate((1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730), 1):
        factor = bernoulli * math.prod(range(n + 1, n + 2 * k)) / math.factorial(2 * k)
        tail = add(tail, mul(power, factor))
        power = mul(power, shrink)
    return mul(add(total, tail), (-1.0) ** (n + 1) * math.factorial(n))


def _cotangent_derivative(n: int, c: Any) -> Any:
    """Compute pi times the n-th derivative of cot(pi x), a polynomial in c = cot(pi x)."""
    polynomial = [0.0, math.pi]
    for _ in range(n):
        new = [0.0] * (len(polynomial) + 1)
        for k, a in enumerate(polynomial[1:], 1):
            new[k - 1] -= math.pi * k * a
            new[k + 1] -= math.pi * k * a
        polynomial = new
    y = polynomial[-1]
    for a in reversed(polynomial[:-1]):
        y = add(mul(c, y), a)
    return y


# -- products with logarithms ----------------------------------------------------------------------


@elementwise(
    code={
        "wgsl": "select({x} * log_{f}({y}), 0.0, ({x} == 0.0) & !is_nan({y}))",
        "cuda": "({x} == 0 && !is_nan({y}) ? 0 : {x} * log_{f}({y}))",
    },
    derivative=(
        lambda x, y, _z: where(eq(x, 0), where(le(y, 0), 0, log(y)), log(y)),
        lambda x, y, _z: div(x, y),
    ),
    kinds="f",
    domain=((0.2, 2.0), (0.3, 3.0)),
)
def xlogy(x: Operand, y: Operand) -> Array:
    """Compute x * ln(y), 0 where x is 0."""
    return np.where((x == 0) & ~np.isnan(y), x.dtype.type(0), x * np.log(y))


@elementwise(
    code={
        "wgsl": "select({x} * log1p_{f}({y}), 0.0, ({x} == 0.0) & !is_nan({y}))",
        "cuda": "({x} == 0 && !is_nan({y}) ? 0 : {x} * log1p_{f}({y}))",
    },
    derivative=(
        lambda x, y, _z: where(eq(x, 0), where(le(y, -1), 0, log1p(y)), log1p(y)),
        lambda x, y, _z: div(x, add(y, 1)),
    ),
    kinds="f",
    domain=((0.2, 2.0), (-0.7, 3.0)),
)
def xlog1py(x: Operand, y: Operand) -> Array:
    """Compute x * ln(1 + y), 0 where x is 0."""
    return np.where((x == 0) & ~np.isnan(y), x.dtype.type(0), x * np.log1p(y))


@elementwise(
    code={"wgsl": "sqrt({x})", "cuda": "sqrt({x})"},
    derivative=lambda _x, y: where(eq(y, 0), 0, div(0.5, y)),
    kinds="f",
    domain=(0.3, 3.0),
)
def radius(x: Operand) -> Array:
    """Compute the root of `x`, a sum of squares. At 0 the derivative is 0, the second derivative nan."""
    return np.sqrt(x)


@elementwise(
    code={
        "wgsl": "select(select(0.0, -inf(), {x} < 0.0), -{x} * log_{f}({x}), ({x} > 0.0) | is_nan({x}))",
        "cuda": "({x} > 0 || is_nan({x}) ? -{x} * log_{f}({x}) : ({x} < 0 ? -inf() : 0))",
    },
    derivative=lambda x, _y: neg(add(log(x), 1)),
    kinds="f",
    domain=(0.2, 2.0),
)
def entr(x: Operand) -> Array:
    """Compute -x * ln(x); 0 at 0, where the slope is infinite, -inf below."""
    inner = np.where(x > 0, x, 1)
    return np.where(x > 0, -inner * np.log(inner), np.where(x < 0, -np.inf, x * 0)).astype(x.dtype)


@elementwise(
    code={
        "wgsl": "(({y} - 1.0) * max_{f}(log1p_{f}(-{x}), -100.0) - {y} * max_{f}(log_{f}({x}), -100.0))",
        "cuda": "(({y} - 1) * max_{f}(log1p_{f}(-{x}), -100.0) - {y} * max_{f}(log_{f}({x}), -100.0))",
    },
    derivative=(
        lambda x, y, _z: _coin_slope(x, y),
        lambda x, _y, _z: sub(log1p(neg(x)), log(x)),
    ),
    kinds="f",
    domain=((0.1, 0.9), (0.1, 0.9)),
)
def coin_entropy(x: Operand, y: Operand) -> Array:
    """Compute -(y ln(x) + (1 - y) ln(1 - x)), the binary cross-entropy; logarithms stop at -100.

    The derivative by x divides by x (1 - x), at least 1e-12: it is 0 where x and y are both 0 or both 1.
    That by y is infinite where x is 0 or 1.
    """
    rest, own = np.maximum(np.log1p(-x), -100), np.maximum(np.log(x), -100)
    return (y - 1) * rest - y * own


def _coin_slope(x: Tensor, y: Tensor) -> Tensor:
    """Compute (x - y) / m, where m is x (1 - x), at least 1e-12; its slope is (x² + y - 2 x y) / m²."""
    own = mul(x, sub(1, x))
    least = maximum(own, 1e-12)
    moves = add(own, stop_gradient(sub(least, own)))
    # the part of the slope that the bound on m would lose
    rest = mul(sub(x, stop_gradient(x)), stop_gradient(div(sub(own, least), square(least))))
    return add(div(sub(x, y), moves), rest)


# -- orthogonal polynomials: the degree is cut to an integer; 0 below 0, nan above 65,535 -----------


def _polynomial(name: str) -> Callable[[Callable[..., Array]], Any]:
    return elementwise(
        code=name + "_{f}({x}, {n})", derivative=None, kinds="f", domain=((-1.0, 1.0), (0.0, 6.0))
    )


@_polynomial("hermite_h")
def hermite_h(x: Operand, n: Operand) -> Array:
    """Return the Hermite polynomial of physicists."""
    return oracle.recurrence(n, 2 * x, lambda k, p, q: 2 * (x * q - k * p))


@_polynomial("hermite_he")
def hermite_he(x: Operand, n: Operand) -> Array:
    """Return the Hermite polynomial of probabilists."""
    return oracle.recurrence(n, x, lambda k, p, q: x * q - k * p)


@_polynomial("laguerre")
def laguerre(x: Operand, n: Operand) -> Array:
    """Return Laguerre's polynomial."""
    return oracle.recurrence(n, 1 - x, lambda k, p, q: ((2 * k + 1 - x) * q - k * p) / (k + 1))


@_polynomial("legendre")
def legendre(x: Operand, n: Operand) -> Array:
    """Return Legendre's polynomial."""
    return oracle.recurrence(n, x, lambda k, p, q: ((2 * k + 1) * x * q - k * p) / (k + 1))


@elementwise(
    code="chebyshev_{f}({x}, {first}, {n})",
    derivative=None,
    kinds="f",
    domain=((-1.0, 1.0), (-1.0, 1.0), (0.0, 6.0)),
)
def chebyshev(x: Operand, first: Operand, n: Operand) -> Array:
    """Return the polynomial of Chebyshev's recurrence that begins with 1 and `first`."""
    return oracle.recurrence(n, first, lambda _k, p, q: 2 * x * q - p)


# -- sigmoid and its relatives ---------------------------------------------------------------------


@elementwise(code="sigmoid_{f}({x})", derivative=lambda _x, y: mul(y, sub(1, y)), kinds="fc")
def sigmoid(x: Operand) -> Array:
    """Compute 1 / (1 + exp(-x)), without overflow."""
    return oracle.sigmoid(x)


@elementwise(code="softplus_{f}({x})", derivative=lambda x, _y: sigmoid(x), kinds="f")
def softplus(x: Operand) -> Array:
    """Compute ln(1 + exp(x)), without overflow."""
    return np.logaddexp(x, 0)


@elementwise(
    code="({x} * sigmoid_{f}({x}))", derivative=lambda x, _y: _silu_slope(x, sigmoid(x)), kinds="f"
)
def silu(x: Operand) -> Array:
    """Compute x * sigmoid(x)."""
    return x * oracle.sigmoid(x)


def _silu_slope(x: Tensor, s: Tensor) -> Tensor:
    # not from the result, which half precision has rounded: the two terms nearly cancel at -1.28
    return add(s, mul(mul(x, s), sub(1, s)))


@elementwise(
    code="(0.5 * {x} * erfc_{f}({x} * -0.70710678118654752))",
    derivative=lambda x, _y: _gelu_slope(x),
    kinds="f",
)
def gelu_erf(x: Operand) -> Array:
    """Compute x times the normal distribution function of x."""
    return 0.5 * x * oracle.erfc(x * -SQRT_HALF)


def _gelu_slope(x: Tensor) -> Tensor:
    share = mul(erfc(mul(x, -SQRT_HALF)), 0.5)
    return add(share, mul(x, mul(exp(mul(square(x), -0.5)), INVERSE_SQRT_2PI)))


GELU_A, GELU_B = 2 * math.sqrt(2 / math.pi), 0.044715


@elementwise(
    code="({x} * sigmoid_{f}({x} * (1.5957691216057308 + 0.071354816272600249 * {x} * {x})))",
    derivative=lambda x, _y: _gelu_tanh_slope(x),
    kinds="f",
)
def gelu_tanh(x: Operand) -> Array:
    """Compute x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))) / 2, an approximation of `gelu_erf`."""
    return x * oracle.sigmoid(x * (GELU_A + GELU_A * GELU_B * x * x))


def _gelu_tanh_slope(x: Tensor) -> Tensor:
    # with s the sigmoid of u(x): (x s)' = s + x s (1 - s) u'
    squared = square(x)
    s = sigmoid(mul(x, add(mul(squared, GELU_A * GELU_B), GELU_A)))
    slope = add(mul(squared, 3 * GELU_A * GELU_B), GELU_A)
    return add(s, mul(mul(mul(x, s), sub(1, s)), slope))


@elementwise(
    code={"float": "max_{f}({x}, 0.0)", "int": "max({x}, {x} * 0)"},
    along=lambda t, _x, y: where(le(y, 0), 0, t),
    integers="same",
    kinds="iuf",
    domain=(0.2, 2.0),
)
def relu(x: Operand) -> Array:
    """Compute max(x, 0); the derivative at 0 is 0, and 1 at nan."""
    return np.maximum(x, 0)


relu.kinked = True


@elementwise(
    code={"float": "max_{f}({x}, {y})", "int": "max({x}, {y})", "bool": "({x} | {y})"},
    along=(lambda t, x, y, _z: where(ge(x, y), t, 0), lambda t, x, y, _z: where(lt(x, y), t, 0)),
    integers="same",
    kinds="biuf",
)
def at_least(x: Operand, y: Operand) -> Array:
    """Compute the larger of `x` and a bound. The bound gets the derivative if `x` is less; a nan gets none."""
    return np.maximum(x, y)


@elementwise(
    code={"float": "min_{f}({x}, {y})", "int": "min({x}, {y})", "bool": "({x} & {y})"},
    along=(lambda t, x, y, _z: where(le(x, y), t, 0), lambda t, x, y, _z: where(gt(x, y), t, 0)),
    integers="same",
    kinds="biuf",
)
def at_most(x: Operand, y: Operand) -> Array:
    """Compute the smaller of `x` and a bound. The bound gets the derivative if `x` is more; a nan gets none."""
    return np.minimum(x, y)


def _blend_code(form: str) -> str:
    near, far = "{x} + {weight} * ({y} - {x})", "{y} - ({y} - {x}) * (1 - {weight})"
    return form.format(far=far, near=near)


@elementwise(
    code={
        "wgsl": _blend_code("select({far}, {near}, abs({{weight}}) < 0.5)"),
        "cuda": _blend_code("(fabs({{weight}}) < 0.5f ? {near} : {far})"),
    },
    along=(
        lambda t, _x, _y, weight, _z: mul(t, sub(1, weight)),
        lambda t, _x, _y, weight, _z: mul(t, weight),
        lambda t, x, y, _weight, _z: mul(t, sub(y, x)),
    ),
    kinds="f",
)
def blend(x: Operand, y: Operand, weight: Operand) -> Array:
    """Compute x + weight * (y - x), from the nearer end, so that a weight of 1 gives exactly `y`."""
    gap = y - x
    return np.where(np.abs(weight) < 0.5, x + weight * gap, y - gap * (1 - weight))


__all__ = [
    "at_least", "at_most", "blend", "chebyshev", "coin_entropy", "digamma", "entr", "erf", "erfc",
    "erfinv", "gelu_erf", "gelu_tanh", "hermite_h", "hermite_he", "laguerre", "legendre", "lgamma",
    "polygamma", "relu", "sigmoid", "silu", "softplus", "trigamma", "xlog1py", "xlogy",
]  # fmt: skip

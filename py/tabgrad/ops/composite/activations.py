"""Activations that are made of other ops."""

from __future__ import annotations

import math
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError
from tabgrad.core.kinks import kinked
from tabgrad.core.number import fits
from tabgrad.core.promotion import needs_float, same_dtype, widened
from tabgrad.core.shape import axis_index
from tabgrad.ops.composite.norms import along
from tabgrad.ops.elementwise import (
    abs_,
    add,
    div,
    expm1,
    log,
    log1p,
    mul,
    neg,
    stop_gradient,
    sub,
    tanh,
    where,
)
from tabgrad.ops.rounding import bitwise_or, gt, isnan, le, lt
from tabgrad.ops.special import (
    at_least,
    at_most,
    gelu_erf,
    gelu_tanh,
    relu,
    sigmoid,
    silu,
    softplus,
)
from tabgrad.ops.view import part, reshape

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def gelu(input: Any, approximate: str = "none") -> Any:
    """Return x times the normal distribution function of x; "tanh" approximates it.

    >>> import tabgrad as tg
    >>> tg.nn.functional.gelu(tg.tensor([1.0], device="cpu"))
    tensor([0.8413])
    """
    needs_float("gelu", input)
    if approximate not in ("none", "tanh"):
        raise ArgumentError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return gelu_erf(input) if approximate == "none" else gelu_tanh(input)


@widened
def elu(input: Any, alpha: float = 1.0) -> Any:
    """Return x where positive, alpha * (exp(x) - 1) elsewhere."""
    needs_float("elu", input)
    return where(le(input, 0), mul(expm1(_not_above_zero(input)), alpha), input)


def _not_above_zero(x: Any) -> Any:
    """Return min(x, 0) with the derivative 1 at 0: exponential units are smooth there."""
    return where(le(x, 0), x, 0)


def _unless_nan(x: Any, y: Any) -> Any:
    """Return `y`, but nan where `x` is, with no derivative by it."""
    return where(isnan(x), stop_gradient(x), y) if x.spec.dtype.is_floating_point else y


@widened
def selu(input: Any) -> Any:
    """Return the self-normalising exponential unit."""
    needs_float("selu", input)
    return mul(elu(input, _SELU_ALPHA), _SELU_SCALE)


@widened
def celu(input: Any, alpha: float = 1.0) -> Any:
    """Return max(0, x) + min(0, alpha * (exp(x / alpha) - 1))."""
    needs_float("celu", input)
    if alpha == 0:
        raise ArgumentError("ZeroDivisionError: alpha cannot be 0 for CELU")
    below = mul(expm1(mul(_not_above_zero(input), 1 / alpha)), alpha)
    return where(le(input, 0), below, input)


@kinked
@widened
def leaky_relu(input: Any, negative_slope: float = 0.01) -> Any:
    """Return x where positive, negative_slope * x elsewhere."""
    needs_float("leaky_relu", input)
    return where(gt(input, 0), input, mul(input, negative_slope))


@kinked
@widened
def prelu(input: Any, weight: Any) -> Any:
    """Return x where positive, weight * x elsewhere; `weight` has one element or one for each channel."""
    same_dtype("prelu: Type promoting not supported.", input, weight)
    shape = input.spec.shape
    if weight.spec.size != 1:
        if not shape:
            raise ShapeError(
                f"Not allow zero-dim input tensor: prelu got {weight.spec.size} parameters for it; give one"
            )
        channels = shape[1] if len(shape) > 1 else 1
        if weight.spec.shape != (channels,):
            raise ShapeError(
                f"prelu: weight must have 1 element or one for each of the {channels} channels of {shape}, "
                f"got {weight.spec.shape}"
            )
        weight = along(weight, input, 1)
    elif len(weight.spec.shape) > len(shape):
        weight = reshape.bind(weight, shape=())
    return where(gt(input, 0), input, mul(input, weight))


def relu6(input: Any) -> Any:
    """Return min(max(x, 0), 6)."""
    return hardtanh(input, 0.0, 6.0)


@kinked
def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """Return x kept between the bounds, as integers for integers; the derivative is 0 at them and beyond."""
    dtype = input.spec.dtype
    if dtype.category == dt.BOOL:
        raise DTypeError("Bool inputs not supported for hardtanh; cast the input with .to(dtype)")
    if dtype.category == dt.INT:
        min_val, max_val = int(min_val), int(max_val)
        if min_val < 0 and not dtype.signed:
            raise DTypeError(
                "cannot do hardtanh on an unsigned type with negative limits: "
                f"got {dtype!r} and {min_val}"
            )
    if max_val < min_val:
        raise ArgumentError(
            f"hardtanh: min_val cannot be greater than max_val, got {min_val} and {max_val}"
        )
    upper = where(lt(input, max_val), input, max_val)
    return where(gt(input, min_val), upper, _unless_nan(input, min_val))


@kinked
@widened
def hardsigmoid(input: Any) -> Any:
    """Return x / 6 + 1/2, kept between 0 and 1."""
    needs_float("hardsigmoid", input)
    return mul(hardtanh(add(input, 3), 0.0, 6.0), 1 / 6)


@widened
def hardswish(input: Any) -> Any:
    """Return x * hardsigmoid(x)."""
    needs_float("hardswish", input)
    low, high = gt(input, -3), lt(input, 3)
    x = where(low, where(high, input, 0), 0)
    inside = mul(x, mul(add(x, 3), 1 / 6))
    return where(high, where(low, inside, mul(input, 0)), input)


@kinked
def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """Return x where |x| > lambd, 0 elsewhere."""
    needs_float("hardshrink", input)
    return where(gt(abs_(input), lambd), input, _unless_nan(input, 0))


@kinked
@widened
def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """Return x moved by lambd towards 0, and 0 within lambd of it."""
    needs_float("softshrink", input)
    if lambd < 0:
        raise ArgumentError(f"softshrink: lambd must not be negative, got {lambd}")
    below = where(lt(input, -lambd), add(input, lambd), _unless_nan(input, 0))
    return where(gt(input, lambd), sub(input, lambd), below)


@widened
def tanhshrink(input: Any) -> Any:
    """Return x - tanh(x)."""
    return sub(input, tanh(input))


@widened
def softsign(input: Any) -> Any:
    """Return x / (1 + |x|)."""
    return div(input, add(abs_(input), 1))


@kinked
def threshold(input: Any, threshold: float, value: float) -> Any:
    """Return `value` where x is at most `threshold`, x elsewhere; numbers take the dtype of x."""
    if input.spec.dtype.category == dt.BOOL:
        needs_float("threshold", input)
    threshold, value = (fits("threshold", n, input.spec.dtype) for n in (threshold, value))
    return where(le(input, threshold), value, input)


@widened
def logsigmoid(input: Any) -> Any:
    """Return ln(sigmoid(x)), without overflow."""
    needs_float("logsigmoid", input)
    return sub(0, softplus(neg(input)))


@widened
def scaled_softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """Return ln(1 + exp(beta x)) / beta, and x itself where beta x is above `threshold`."""
    needs_float("softplus", input)
    scaled = input if beta == 1 else mul(input, beta)
    y = softplus(scaled)
    return where(gt(scaled, threshold), input, y if beta == 1 else mul(y, 1 / beta))


@widened
def mish(input: Any) -> Any:
    """Return x * tanh(softplus(x))."""
    needs_float("mish", input)
    return mul(input, tanh(softplus(input)))


@widened
def logit(input: Any, eps: float | None = None) -> Any:
    """Return ln(p / (1 - p)); with `eps` the input is first kept in [eps, 1 - eps].

    On those bounds the derivative is that of the function, beyond them 0. At 0 and 1 it is infinite, and
    without `eps` beyond them nan, as the value is.
    """
    if eps is None:
        input = add(input, where(bitwise_or(lt(input, 0), gt(input, 1)), math.nan, 0))
    else:
        # where the bounds have crossed, the lower one is asked first
        input = where(lt(input, eps), eps, at_most(input, 1 - eps))
    return sub(log(input), log1p(neg(input)))


def above_zero(x: Any) -> Any:
    """Return max(x, 0) with the derivative 1 at 0, as margins have it."""
    return at_least(x, 0)


def _halves(name: str, input: Any, dim: int) -> tuple[Any, Any]:
    shape = input.spec.shape
    axis = axis_index(name, dim, len(shape))
    if not shape or shape[axis] % 2:
        raise ShapeError(f"{name}: dim {dim} of {shape} must be even, to be split into two halves")
    n = shape[axis] // 2
    return part(input, axis, 0, n), part(input, axis, n, 2 * n)


@widened
def glu(input: Any, dim: int = -1) -> Any:
    """Return a * sigmoid(b) for the two halves a and b of `dim`."""
    needs_float("glu", input)
    a, b = _halves("glu", input, dim)
    return mul(a, sigmoid(b))


@widened
def swiglu(input: Any, dim: int = -1) -> Any:
    """Return silu(a) * b for the two halves a and b of `dim`."""
    a, b = _halves("swiglu", input, dim)
    return mul(silu(a), b)


@widened
def geglu(input: Any, dim: int = -1, approximate: str = "none") -> Any:
    """Return gelu(a) * b for the two halves a and b of `dim`."""
    a, b = _halves("geglu", input, dim)
    return mul(gelu(a, approximate), b)


@widened
def reglu(input: Any, dim: int = -1) -> Any:
    """Return relu(a) * b for the two halves a and b of `dim`."""
    a, b = _halves("reglu", input, dim)
    return mul(relu(a), b)


__all__ = [
    "celu", "elu", "geglu", "gelu", "glu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh",
    "leaky_relu", "logit", "logsigmoid", "mish", "prelu", "reglu", "relu", "relu6",
    "scaled_softplus", "selu", "sigmoid", "silu", "softplus", "softshrink", "softsign", "swiglu",
    "tanhshrink", "threshold",
]  # fmt: skip

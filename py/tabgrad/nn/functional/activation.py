"""Activations. With `inplace` the result is written to the input."""

from __future__ import annotations

from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.dtype import DType
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError, SparseError
from tabgrad.core.kinks import kinked
from tabgrad.core.promotion import needs_float, same_dtype, widened
from tabgrad.core.scalars import fits
from tabgrad.core.shape import axis_index
from tabgrad.nn.functional.normalization import along
from tabgrad.ops.elementwise import abs_, add, div, expm1, mul, neg, stop_gradient, sub, where
from tabgrad.ops.rounding import eq, gt, isnan, le, lt
from tabgrad.ops.special import (
    at_least,
    gelu_erf,
    gelu_tanh,
    relu as relu_op,
    sigmoid,
    silu as silu_op,
    softplus as softplus_op,
)
from tabgrad.ops.trigonometry import tanh
from tabgrad.ops.view import part, reshape
from tabgrad.tensor import Tensor, softmax as of_rows
from tabgrad.tensor.chained import chained
from tabgrad.tensor.public import sparse_form

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def into(input: Tensor, y: Tensor, inplace: bool) -> Tensor:
    """Write `y` to `input` if `inplace`, and return the tensor that holds the result."""
    return input.copy_(y) if inplace else y


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Compute max(x, 0); the derivative at 0 is 0.

    >>> import tabgrad as tg
    >>> tg.nn.functional.relu(tg.tensor([-1.0, 2.0], device="cpu"))
    tensor([0., 2.])
    """
    try:
        return into(input, relu_op(input), inplace)
    except SparseError as error:
        found: Tensor = sparse_form(relu, error, (input, inplace), {})
        return found


def relu_(input: Tensor) -> Tensor:
    """Do what `relu` does, in place."""
    return relu(input, True)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Compute x * sigmoid(x)."""
    needs_float("silu", input)
    y = mul(input, sigmoid(input)) if input.spec.dtype.is_complex else silu_op(input)
    return into(input, y, inplace)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """Compute x times the normal distribution function of x; "tanh" approximates it.

    >>> import tabgrad as tg
    >>> tg.nn.functional.gelu(tg.tensor([1.0], device="cpu"))
    tensor([0.8413])
    """
    needs_float("gelu", input)
    if approximate not in ("none", "tanh"):
        raise ArgumentError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return gelu_erf(input) if approximate == "none" else gelu_tanh(input)


@chained
@widened
def _elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    needs_float("elu", input)
    below = mul(expm1(_not_above_zero(input)), alpha)
    # at 0 the slope is alpha, and the second derivative 0
    return where(lt(input, 0), below, where(eq(input, 0), mul(input, alpha), input))


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Compute x where positive, alpha * (exp(x) - 1) elsewhere."""
    return into(input, _elu(input, alpha), inplace)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """Do what `elu` does, in place."""
    return elu(input, alpha, True)


def _not_above_zero(x: Tensor) -> Tensor:
    """Compute min(x, 0), which keeps exponentials in range where their result is not used."""
    return where(lt(x, 0), x, 0)


def _unless_nan(x: Tensor, y: float) -> Tensor | float:
    """Make `y` nan where `x` is nan, without a derivative by `x`."""
    return where(isnan(x), stop_gradient(x), y) if x.spec.dtype.is_floating_point else y


@chained
@widened
def _selu(input: Tensor) -> Tensor:
    needs_float("selu", input)
    return mul(_elu(input, _SELU_ALPHA), _SELU_SCALE)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Compute the self-normalising exponential unit."""
    return into(input, _selu(input), inplace)


def selu_(input: Tensor) -> Tensor:
    """Do what `selu` does, in place."""
    return selu(input, True)


@chained
@widened
def _celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    needs_float("celu", input)
    if alpha == 0:
        raise ArgumentError("ZeroDivisionError: alpha cannot be 0 for CELU")
    below = mul(expm1(mul(_not_above_zero(input), 1 / alpha)), alpha)
    return where(lt(input, 0), below, input)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Compute max(0, x) + min(0, alpha * (exp(x / alpha) - 1))."""
    return into(input, _celu(input, alpha), inplace)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """Do what `celu` does, in place."""
    return celu(input, alpha, True)


@kinked
@chained
@widened
def _leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    needs_float("leaky_relu", input)
    return where(gt(input, 0), input, mul(input, negative_slope))


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Compute x where positive, negative_slope * x elsewhere."""
    return into(input, _leaky_relu(input, negative_slope), inplace)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """Do what `leaky_relu` does, in place."""
    return leaky_relu(input, negative_slope, True)


@kinked
@chained
@widened
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Compute x where positive, weight * x elsewhere; `weight` has one element or one for each channel."""
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


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """Compute min(max(x, 0), 6)."""
    return into(input, _hardtanh(input, 0.0, 6.0), inplace)


@kinked
def _hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
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


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """Clamp x between the bounds, as integers for integers; the derivative is 0 at the bounds and beyond."""
    return into(input, _hardtanh(input, min_val, max_val), inplace)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """Do what `hardtanh` does, in place."""
    return hardtanh(input, min_val, max_val, True)


@kinked
@chained
@widened
def _hardsigmoid(input: Tensor) -> Tensor:
    needs_float("hardsigmoid", input)
    return mul(_hardtanh(add(input, 3), 0.0, 6.0), 1 / 6)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Compute x / 6 + 1/2, clamped between 0 and 1."""
    return into(input, _hardsigmoid(input), inplace)


@chained
@widened
def _hardswish(input: Tensor) -> Tensor:
    needs_float("hardswish", input)
    low, high = gt(input, -3), lt(input, 3)
    x = where(low, where(high, input, 0), 0)
    inside = mul(x, mul(add(x, 3), 1 / 6))
    return where(high, where(low, inside, mul(input, 0)), input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """Compute x * hardsigmoid(x)."""
    return into(input, _hardswish(input), inplace)


@kinked
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Compute x where |x| > lambd, 0 elsewhere."""
    needs_float("hardshrink", input)
    return where(gt(abs_(input), lambd), input, _unless_nan(input, 0))


@kinked
@chained
@widened
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Compute x moved by lambd towards 0, and 0 within lambd of it."""
    needs_float("softshrink", input)
    if lambd < 0:
        raise ArgumentError(f"softshrink: lambd must not be negative, got {lambd}")
    below = where(lt(input, -lambd), add(input, lambd), _unless_nan(input, 0))
    return where(gt(input, lambd), sub(input, lambd), below)


@chained
@widened
def tanhshrink(input: Tensor) -> Tensor:
    """Compute x - tanh(x)."""
    return sub(input, tanh(input))


@chained
@widened
def softsign(input: Tensor) -> Tensor:
    """Compute x / (1 + |x|)."""
    return div(input, add(input.abs(), 1))


@kinked
def _threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    if input.spec.dtype.category == dt.BOOL:
        needs_float("threshold", input)
    threshold, value = (fits("threshold", n, input.spec.dtype) for n in (threshold, value))
    return where(le(input, threshold), value, input)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """Select `value` where x is at most `threshold`, x elsewhere; numbers take the dtype of x."""
    return into(input, _threshold(input, threshold, value), inplace)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """Do what `threshold` does, in place."""
    return into(input, _threshold(input, threshold, value), True)


@chained
@widened
def logsigmoid(input: Tensor) -> Tensor:
    """Compute ln(sigmoid(x)), without overflow."""
    needs_float("logsigmoid", input)
    return sub(0, softplus_op(neg(input)))


@chained
@widened
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Compute ln(1 + exp(beta x)) / beta, and x itself where beta x is above `threshold`."""
    needs_float("softplus", input)
    scaled = input if beta == 1 else mul(input, beta)
    y = softplus_op(scaled)
    return where(gt(scaled, threshold), input, y if beta == 1 else mul(y, 1 / beta))


@chained
@widened
def _mish(input: Tensor) -> Tensor:
    needs_float("mish", input)
    return mul(input, tanh(softplus_op(input)))


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """Compute x * tanh(softplus_op(x))."""
    return into(input, _mish(input), inplace)


def above_zero(x: Tensor) -> Tensor:
    """Compute max(x, 0) with the derivative 1 at 0, which margin losses need."""
    return at_least(x, 0)


def _halves(name: str, input: Tensor, dim: int) -> tuple[Any, Any]:
    shape = input.spec.shape
    axis = axis_index(name, dim, len(shape))
    if not shape or shape[axis] % 2:
        raise ShapeError(f"{name}: dim {dim} of {shape} must be even, to be split into two halves")
    n = shape[axis] // 2
    return part(input, axis, 0, n), part(input, axis, n, 2 * n)


@chained
@widened
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Compute a * sigmoid(b) for the two halves a and b of `dim`."""
    needs_float("glu", input)
    a, b = _halves("glu", input, dim)
    return mul(a, sigmoid(b))


@chained
@widened
def swiglu(input: Tensor, dim: int = -1) -> Tensor:
    """Compute silu(a) * b for the two halves a and b of `dim`."""
    a, b = _halves("swiglu", input, dim)
    return mul(silu_op(a), b)


@chained
@widened
def geglu(input: Tensor, dim: int = -1, approximate: str = "none") -> Tensor:
    """Compute gelu(a) * b for the two halves a and b of `dim`."""
    a, b = _halves("geglu", input, dim)
    return mul(gelu(a, approximate), b)


@chained
@widened
def reglu(input: Tensor, dim: int = -1) -> Tensor:
    """Compute relu(a) * b for the two halves a and b of `dim`."""
    a, b = _halves("reglu", input, dim)
    return mul(relu_op(a), b)


def _chosen(input: Tensor, dim: int | None) -> int:
    """Choose the dim: `dim`, or PyTorch's choice if it is None."""
    if dim is not None:
        return dim
    return 0 if input.ndim in (0, 1, 3) else 1


def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """Compute exp(x) / sum(exp(x)) along `dim`; `dtype` casts first."""
    return of_rows.softmax(input, _chosen(input, dim), dtype)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """Compute log(softmax(x)) along `dim`, accurate where the softmax is tiny."""
    return of_rows.log_softmax(input, _chosen(input, dim), dtype)


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """Compute softmax(-x) along `dim`."""
    return of_rows.softmax(-input, _chosen(input, dim), dtype)


__all__ = [
    "celu", "celu_", "elu", "elu_", "geglu", "gelu", "glu", "hardshrink", "hardsigmoid", "hardswish",
    "hardtanh", "hardtanh_", "leaky_relu", "leaky_relu_", "log_softmax", "logsigmoid", "mish", "prelu",
    "reglu", "relu", "relu6", "relu_", "selu", "selu_", "silu", "softmax", "softmin", "softplus",
    "softshrink", "softsign", "swiglu", "tanhshrink", "threshold", "threshold_",
]  # fmt: skip

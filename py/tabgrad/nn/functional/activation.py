"""Activations. Where PyTorch has `inplace`, the input takes the result as its new value."""

from __future__ import annotations

from typing import Any

from tabgrad.core.dtype import DType
from tabgrad.core.promotion import needs_float
from tabgrad.ops.composite import activations as a, rows
from tabgrad.ops.elementwise import tanh as tanh_op
from tabgrad.ops.special import relu as relu_op, sigmoid as sigmoid_op, silu as silu_op
from tabgrad.tensor import Tensor


def _into(input: Tensor, y: Any, inplace: bool) -> Any:
    return input.copy_(y) if inplace else y


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return max(x, 0); the derivative at 0 is 0.

    >>> import tabgrad as tg
    >>> tg.nn.functional.relu(tg.tensor([-1.0, 2.0], device="cpu"))
    tensor([0., 2.])
    """
    return _into(input, relu_op(input), inplace)


def sigmoid(input: Tensor) -> Tensor:
    """Return 1 / (1 + exp(-x)), without overflow."""
    return sigmoid_op(input)


def tanh(input: Tensor) -> Tensor:
    """Return the hyperbolic tangent."""
    return tanh_op(input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return x * sigmoid(x)."""
    needs_float("silu", input)
    return _into(input, silu_op(input), inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return x * tanh(softplus(x))."""
    return _into(input, a.mish(input), inplace)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return x where positive, alpha * (exp(x) - 1) elsewhere."""
    return _into(input, a.elu(input, alpha), inplace)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return the self-normalising exponential unit."""
    return _into(input, a.selu(input), inplace)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return max(0, x) + min(0, alpha * (exp(x / alpha) - 1))."""
    return _into(input, a.celu(input, alpha), inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Return x where positive, negative_slope * x elsewhere."""
    return _into(input, a.leaky_relu(input, negative_slope), inplace)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """Return min(max(x, 0), 6)."""
    return _into(input, a.relu6(input), inplace)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """Return x kept between the bounds; the derivative is 0 at them and beyond."""
    return _into(input, a.hardtanh(input, min_val, max_val), inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Return x / 6 + 1/2, kept between 0 and 1."""
    return _into(input, a.hardsigmoid(input), inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return x * hardsigmoid(x)."""
    return _into(input, a.hardswish(input), inplace)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """Return x where it is above `threshold`, `value` elsewhere."""
    return _into(input, a.threshold(input, threshold, value), inplace)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Return ln(1 + exp(beta x)) / beta, and x itself where beta x is above `threshold`."""
    return a.scaled_softplus(input, beta, threshold)


def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """Return exp(x) / sum(exp(x)) along `dim`; `dtype` casts first."""
    return rows.softmax(input, dim, dtype)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """Return log(softmax(x)) along `dim`, accurate where the softmax is tiny."""
    return rows.log_softmax(input, dim, dtype)


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """Return softmax(-x) along `dim`."""
    return rows.softmin(input, dim, dtype)

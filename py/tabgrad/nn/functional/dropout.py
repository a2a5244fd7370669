"""Dropout and other functions that draw random numbers."""

from __future__ import annotations

import tabgrad as tg
from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, ShapeError
from tabgrad.core.promotion import needs_float
from tabgrad.core.spec import spec
from tabgrad.core.tensor_arguments import of_tensors
from tabgrad.core.trace import constant
from tabgrad.nn.functional.activation import into, leaky_relu
from tabgrad.ops.elementwise import add, div, log, maximum, mul, neg, stop_gradient, sub, where
from tabgrad.ops.indexing import iota_along
from tabgrad.ops.reduction import argmax, keep
from tabgrad.ops.rounding import eq, ge
from tabgrad.ops.view import expand
from tabgrad.tensor import Tensor
from tabgrad.tensor.generator import of_words
from tabgrad.tensor.sampling import uniform_of
from tabgrad.tensor.softmax import softmax


def _check(name: str, p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"{name}: dropout probability has to be between 0 and 1, but got {p}")


def _kept(x: Tensor, p: float, shape: tuple[int, ...]) -> Tensor:
    """Draw a mask that is True with probability 1 - p: one draw of `shape`, repeated over `x`."""
    needs_float("dropout", x)
    u = tg.rand(*shape, dtype=dt.float32, device=x.device)
    mask = ge(u, p)
    return mask if shape == x.spec.shape else expand.bind(mask, shape=x.spec.shape)


@of_tensors
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element of `input` with probability `p`, and scale the others by 1 / (1 - p).

    >>> import tabgrad as tg
    >>> tg.nn.functional.dropout(tg.ones(3, device="cpu"), 0.5, training=False)
    tensor([1., 1., 1.])
    """
    _check("dropout", p)
    if not training or p == 0.0:
        return input
    if p == 1.0:
        return into(input, mul(input, 0), inplace)
    needs_float("dropout", input)
    return into(input, _dropped(input.spec.shape, None, input.device, input, p), inplace)


@of_words
def _dropped(words: Tensor, x: Tensor, p: float) -> Tensor:
    mask = ge(uniform_of(words, dt.float32), p)
    return where(mask, mul(x, 1 / (1 - p)), 0)


def _channels(name: str, input: Tensor, n: int, p: float, training: bool, inplace: bool) -> Tensor:
    _check(name, p)
    shape = input.spec.shape
    if len(shape) not in (n + 1, n + 2):
        raise ShapeError(f"{name}: expected an input of {n + 1} or {n + 2} dimensions, got {shape}")
    if not training or p == 0.0:
        return input
    lead = shape[: len(shape) - n]
    mask = _kept(input, p, (*lead, *(1,) * n))
    factor = 0.0 if p == 1.0 else 1 / (1 - p)
    return into(input, where(mask, mul(input, factor), 0), inplace)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of `input` [N, C, L] (or [C, L])."""
    return _channels("dropout1d", input, 1, p, training, inplace)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of `input` [N, C, H, W] (or [C, H, W])."""
    return _channels("dropout2d", input, 2, p, training, inplace)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of `input` [N, C, D, H, W] (or [C, D, H, W])."""
    return _channels("dropout3d", input, 3, p, training, inplace)


def feature_dropout(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of `input` [N, C, ...]."""
    shape = input.spec.shape
    if len(shape) < 2:
        raise ShapeError(
            f"feature_dropout: Feature dropout requires at least 2 dimensions in the input, got {shape}"
        )
    return _channels("feature_dropout", input, len(shape) - 2, p, training, inplace)


_ALPHA = -1.7580993408473766
"""The value of a dropped element: the lower limit of selu."""


def _alpha(
    input: Tensor, p: float, shape: tuple[int, ...], training: bool, inplace: bool
) -> Tensor:
    if not training or p == 0.0:
        return input
    if p == 1.0:
        return into(input, mul(input, 0.0), inplace)
    a = 1 / ((1 - p) * (1 + p * _ALPHA * _ALPHA)) ** 0.5
    y = where(_kept(input, p, shape), input, _ALPHA)
    return into(input, add(mul(y, a), -a * p * _ALPHA), inplace)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Drop elements of `input` and keep its mean and variance, for selu networks."""
    _check("alpha_dropout", p)
    return _alpha(input, p, input.spec.shape, training, inplace)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Apply `alpha_dropout` to whole channels of `input` [N, C, ...]."""
    _check("feature_alpha_dropout", p)
    shape = input.spec.shape
    if len(shape) < 2:
        raise ShapeError(f"feature_alpha_dropout: expected an input [N, C, ...], got {shape}")
    return _alpha(input, p, (*shape[:2], *(1,) * (len(shape) - 2)), training, inplace)


def random_leaky_relu(
    input: Tensor, lower: float, upper: float, training: bool, generator: tg.Generator | None = None
) -> Tensor:
    """Compute x where it is positive, and x times a slope elsewhere: random in training, else the mean."""
    needs_float("rrelu", input)
    if upper < lower:
        raise ArgumentError(f"rrelu: lower {lower} must not exceed upper {upper}")
    if training:
        u = tg.rand(*input.spec.shape, dtype=dt.float32, device=input.device, generator=generator)
        slope = add(mul(u, upper - lower), lower).to(input.dtype)
    else:
        slope = (lower + upper) / 2
    return leaky_relu(input, slope)


def rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
    inplace: bool = False,
) -> Tensor:  # fmt: skip
    """Compute x where it is positive, and x times a slope elsewhere: random in training, else the mean."""
    return into(input, random_leaky_relu(input, lower, upper, training), inplace)


def rrelu_(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False
) -> Tensor:
    """Do what `rrelu` does, in place."""
    return rrelu(input, lower, upper, training, True)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """Draw a sample of the Gumbel-softmax distribution of temperature `tau` along `dim`.

    With `hard` the sample is one-hot, with the derivative of the soft sample.
    """
    needs_float("gumbel_softmax", logits)
    u = tg.rand(*logits.spec.shape, dtype=dt.float32, device=logits.device)
    # u is below 1, so 1 - u is never 0; the floor keeps the outer logarithm finite
    wait = maximum(neg(log(sub(1, u))), 1e-20)
    soft = softmax(div(sub(logits, log(wait)), tau), dim)
    if not hard:
        return soft
    axis = dim % len(soft.spec.shape)
    best = argmax.bind(stop_gradient(soft), axes=(axis,), dtype=soft.device.index_dtype)
    one = constant(1, spec(soft.spec.shape, soft.spec.dtype), soft.device)
    hot = where(eq(keep(best, soft, (axis,)), iota_along(soft, axis)), one, 0)
    return add(sub(hot, stop_gradient(soft)), soft)


__all__ = [
    "alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout",
    "gumbel_softmax", "rrelu", "rrelu_",
]  # fmt: skip

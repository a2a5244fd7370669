"""Losses of predictions against targets, with PyTorch's reductions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError, warn
from tabgrad.core.kinks import kinked
from tabgrad.core.promotion import needs_float, needs_real, same_dtype, widened
from tabgrad.core.shape import axis_of
from tabgrad.core.spec import ShapeOnly, spec
from tabgrad.core.trace import Box, constant
from tabgrad.nn.functional.normalization import along
from tabgrad.ops.checked import confined, within
from tabgrad.ops.elementwise import (
    abs_,
    add,
    cast,
    div,
    exp,
    log,
    maximum,
    mul,
    neg,
    square,
    stop_gradient,
    sub,
    where,
)  # fmt: skip
from tabgrad.ops.indexing import iota
from tabgrad.ops.reduction import keep, reduce_sum
from tabgrad.ops.rounding import eq, ge, gt
from tabgrad.ops.special import coin_entropy, softplus, xlogy
from tabgrad.ops.view import expand, reshape
from tabgrad.tensor.chained import chained
from tabgrad.tensor.softmax import top

if TYPE_CHECKING:
    from tabgrad.core.dtype import DType
    from tabgrad.core.op import Ints
    from tabgrad.tensor import Tensor


def legacy_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """Translate PyTorch's old pair of flags to a reduction; keep `reduction` if neither is given."""
    if size_average is None and reduce is None:
        if reduction not in ("none", "mean", "sum"):
            raise ArgumentError(f"reduction: expected 'none', 'mean' or 'sum', got {reduction!r}")
        return reduction
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """Reduce a loss to its mean or sum, or keep it."""
    if reduction == "none":
        return loss
    if reduction not in ("mean", "sum"):
        raise ArgumentError(f"reduction: expected 'none', 'mean' or 'sum', got {reduction!r}")
    if reduction == "mean":
        needs_float(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or "
            "complex dtype.",
            loss,
        )
    total = reduce_sum.bind(loss, axes=tuple(range(len(loss.spec.shape))))
    if reduction == "sum":
        return total
    n = loss.spec.size
    # not by a product with nan: compilers may replace 0 times anything by 0
    return mul(total, 1 / n) if n else add(total, math.nan)


def _weighted_mean(loss: Tensor, weight: Tensor, reduction: str) -> Tensor:
    if reduction != "mean":
        return reduced(loss, reduction)
    return div(_total(loss), _total(weight))


def _total(x: Tensor) -> Tensor:
    return reduce_sum.bind(x, axes=tuple(range(len(x.spec.shape))))


# -- classes ---------------------------------------------------------------------------------------


def _class_axis(name: str, input: Tensor, target: Tensor) -> int:
    shape = input.spec.shape
    axis = 0 if len(shape) == 1 else 1
    if not shape or target.spec.shape != shape[:axis] + shape[axis + 1 :]:
        raise ShapeError(
            f"{name}: class indices for an input {shape} must have its shape without the class dim {axis}, "
            f"got {target.spec.shape}"
        )
    return axis


def _checked(
    name: str, target: Tensor, input: Tensor | ShapeOnly, axis: int, ignore_index: int
) -> Tensor:
    target = class_indices(name, target)
    return within(name, target, input.spec.shape[axis], what="target", ignore=ignore_index)


def class_indices(name: str, target: Tensor) -> Tensor:
    """Cast class indices to the device's index dtype; int64 and uint8 are indices."""
    kind = target.device.index_dtype
    if target.spec.dtype is kind:
        return target
    if target.spec.dtype not in (dt.int64, dt.uint8):
        raise DTypeError(
            f"{name}: expected target dtype to be Long or Byte, but got "
            f"{target.spec.dtype.title}; cast the class indices with .long()"
        )
    return cast.bind(target, dtype=kind)


@chained
def _told(
    name: str, target: Tensor, shape: Ints, axis: int, ignore_index: int, counted: DType | None
) -> tuple[Tensor, ...]:
    """Return what a loss over classes needs of its target, which takes no derivative.

    That is the checked target, the mask of its classes, where it is ignored, and with a dtype for it the number
    of those that are not.
    """
    kind = ShapeOnly(spec(shape, dt.bool_), target.device)
    target = _checked(name, target, kind, axis, ignore_index)
    mask, ignored = one_hot_mask(kind, target, axis), eq(target, ignore_index)
    if counted is None:
        return target, mask, ignored
    one = constant(1, spec(target.spec.shape, counted), target.device)
    return target, mask, ignored, _total(where(ignored, 0, one))


def one_hot_mask(input: Any, target: Tensor, axis: int) -> Tensor:
    """Compare the coordinate along `axis` with the target, which takes no indexed read."""
    shape = input.spec.shape
    line = iota(shape[axis], target.spec.dtype, input.device)
    return eq(along(line, input, axis), keep(target, input, (axis,)))


def _picked(x: Tensor, mask: Tensor, axis: int) -> Tensor:
    return reduce_sum.bind(where(mask, x, 0), axes=(axis,))


def _class_weights(
    input: Tensor, mask: Tensor, ignored: Tensor, axis: int, weight: Tensor
) -> Tensor:
    """Look up the weight of each target, 0 for an ignored one."""
    if weight.spec.shape != (input.spec.shape[axis],):
        raise ShapeError(
            f"loss: weight must have one element for each of the {input.spec.shape[axis]} classes, "
            f"got {weight.spec.shape}"
        )
    return where(ignored, 0, _picked(along(weight, input, axis), mask, axis))


@kinked
@chained
@widened(autocast=True, cpu=True)
def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Compute the negative log-likelihood of class indices, given log-probabilities [N, C, ...] or [C].

    The mean is weighted, and leaves ignored targets out. A target outside [0, C) that is not `ignore_index`
    raises.
    """
    needs_real("nll_loss", input)
    reduction = legacy_reduction(size_average, reduce, reduction)
    axis = _class_axis("nll_loss", input, target)
    counted = input.spec.dtype if weight is None and reduction == "mean" else None
    _, mask, ignored, *count = _told(
        "nll_loss", target, input.spec.shape, axis, ignore_index, counted
    )
    loss = where(ignored, 0, neg(_picked(input, mask, axis)))
    if weight is not None:
        factor = _class_weights(input, mask, ignored, axis, weight)
        return _weighted_mean(mul.bind(loss, factor), factor, reduction)
    return div(_total(loss), count[0]) if count else reduced(loss, reduction)


@chained
@widened(autocast=True, cpu=True)
def cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """Compute the cross-entropy of logits [N, C, ...] or [C] against class indices or class probabilities.

    Probabilities have the shape of the input and a floating dtype. The mean over indices is weighted, and
    leaves targets equal to `ignore_index` out; an index outside [0, C) raises. `label_smoothing` mixes the
    target with the uniform distribution.

    >>> import tabgrad as tg
    >>> logits = tg.tensor([[0.0, 0.0], [0.0, 0.0]], device="cpu")
    >>> tg.nn.functional.cross_entropy(logits, tg.tensor([0, 1], device="cpu"))
    tensor(0.6931)
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ArgumentError(
            f"cross_entropy: label_smoothing must be from 0 to 1, got {label_smoothing}"
        )
    if not input.spec.dtype.is_floating_point:
        raise DTypeError(f"cross_entropy: expected floating-point logits, got {input.spec.dtype!r}")
    axis = axis_of("cross_entropy", 0 if len(input.spec.shape) == 1 else 1, input.spec.shape)
    if target.spec.shape == input.spec.shape and target.spec.dtype.is_floating_point:
        return _against_probabilities(input, target, axis, weight, reduction, label_smoothing)
    axis = _class_axis("cross_entropy", input, target)
    counted = input.spec.dtype if weight is None and reduction == "mean" else None
    _, mask, ignored, *count = _told(
        "cross_entropy", target, input.spec.shape, axis, ignore_index, counted
    )
    z = sub.bind(input, top(input, (axis,))) if input.spec.size else input
    total = log(reduce_sum.bind(exp(z), axes=(axis,)))
    loss = where(ignored, 0, sub.bind(total, _picked(z, mask, axis)))
    if weight is not None:
        factor = _class_weights(input, mask, ignored, axis, weight)
        loss = mul.bind(loss, factor)
    if label_smoothing:
        smooth = where(ignored, 0, _smoothing(z, total, axis, weight))
        classes = input.spec.shape[axis]
        loss = add(
            mul(loss, 1 - label_smoothing), mul(smooth, label_smoothing / (classes or math.nan))
        )
    if weight is not None:
        return _weighted_mean(loss, factor, reduction)
    return div(_total(loss), count[0]) if count else reduced(loss, reduction)


def _smoothing(z: Tensor, total: Tensor, axis: int, weight: Tensor | None) -> Tensor:
    """Compute minus the (weighted) sum of the log-probabilities z - total over the classes."""
    every = sub.bind(keep(total, z, (axis,)), z)
    return reduce_sum.bind(
        every if weight is None else mul.bind(every, along(weight, z, axis)), axes=(axis,)
    )


def _against_probabilities(
    input: Tensor, target: Tensor, axis: int, weight: Tensor | None, reduction: str,
    smoothing: float,
) -> Tensor:  # fmt: skip
    classes = input.spec.shape[axis]
    if smoothing:
        target = add(mul(target, 1 - smoothing), smoothing / (classes or math.nan))
    z = sub.bind(input, top(input, (axis,))) if input.spec.size else input
    total = log(reduce_sum.bind(exp(z), axes=(axis,)))
    every = mul(sub.bind(keep(total, z, (axis,)), z), target)
    if weight is not None:
        every = mul.bind(every, along(weight, input, axis))
    loss = reduce_sum.bind(every, axes=(axis,))
    if reduction != "mean":
        return reduced(loss, reduction)
    return _per_row(loss, input.spec.size // max(1, classes))


def _per_row(loss: Tensor, rows: int) -> Tensor:
    """Compute the sum of a loss divided by the number of rows, nan without rows."""
    total = reduced(loss, "sum")
    return div(total, rows) if rows else add(total, math.nan)


# -- element by element ----------------------------------------------------------------------------


def _weighed(input: Tensor, loss: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return loss
    if weight.spec.shape != input.spec.shape:
        raise ShapeError(
            f"Weights and input must have the same size, got {weight.spec.shape} and {input.spec.shape}"
        )
    return mul(loss, weight)


def _elementwise_loss(
    input: Tensor, loss: Tensor, weight: Tensor | None, size_average: bool | None, reduce: bool | None,
    reduction: str,
) -> Tensor:  # fmt: skip
    reduction = legacy_reduction(size_average, reduce, reduction)
    loss = _weighed(input, loss, weight)
    if weight is None or reduction != "mean":
        return reduced(loss, reduction)
    shape = loss.spec.shape
    wide = weight if weight.spec.shape == shape else expand.bind(weight, shape=shape)
    return _weighted_mean(loss, wide, "mean")


@chained
@widened(autocast=True, cpu=True)
def mse_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Compute the squared difference, its (weighted) mean or sum."""
    needs_real("mse_loss", input, target, any_of=True)
    _tell_of_broadcast(input, target)
    return _elementwise_loss(
        input, square(sub(input, target)), weight, size_average, reduce, reduction
    )


@chained
@widened(autocast=True, cpu=True)
def l1_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Compute the absolute difference, its (weighted) mean or sum."""
    _tell_of_broadcast(input, target)
    return _elementwise_loss(
        input, sub(input, target).abs(), weight, size_average, reduce, reduction
    )


@chained
@widened(autocast=True, cpu=True)
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Compute half the squared difference up to `delta`, and delta * (|d| - delta / 2) beyond.

    `weight` has the shape of `input`. The mean is over the elements; it is not divided by the weights.
    """
    needs_float("huber_loss", input)
    _tell_of_broadcast(input, target)
    if delta <= 0:
        raise ArgumentError(f"huber_loss: delta must be positive, got {delta}")
    gap = sub(input, target)
    d = abs_(gap)
    far = ge(d, delta)
    near = mul(square(where(far, 0, gap)), 0.5)
    loss = where(far, mul(sub(d, 0.5 * delta), delta), near)
    return reduced(_weighed(input, loss, weight), reduction)


@chained
@widened(autocast=True, cpu=True)
def smooth_l1_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", beta: float = 1.0,
) -> Tensor:  # fmt: skip
    """Compute d^2 / (2 beta) up to a difference of `beta`, and |d| - beta / 2 beyond."""
    if beta < 0:
        raise ArgumentError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    if beta == 0:
        return l1_loss(input, target, size_average, reduce, reduction)
    needs_float("smooth_l1_loss", input, target, any_of=True)
    _tell_of_broadcast(input, target)
    gap = sub(input, target)
    d = abs_(gap)
    far = ge(d, beta)
    loss = where(far, sub(d, 0.5 * beta), mul(square(where(far, 0, gap)), 0.5 / beta))
    return _elementwise_loss(input, loss, None, size_average, reduce, reduction)


def _one_shape(name: str, input: Tensor, target: Tensor) -> None:
    if input.spec.shape != target.spec.shape:
        shapes = f"Target size ({target.shape}) must be the same as input size ({input.shape})"
        raise ShapeError(f"{shapes}: {name} does not broadcast")


def _tell_of_broadcast(input: Tensor, target: Tensor) -> None:
    """Warn of a loss of each number with each: (n,) and (n, 1) is seldom meant."""
    if input.spec.shape != target.spec.shape:
        warn(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}). This "
            "will likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
        )


@chained
@widened(autocast=True, cpu=True)
def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Compute -(t log(p) + (1 - t) log(1 - p)) for probabilities p; logarithms stop at -100."""
    needs_float("binary_cross_entropy", input)
    same_dtype("binary_cross_entropy: the target must be as the input.", input, target)
    reduction = legacy_reduction(size_average, reduce, reduction)
    _one_shape("binary_cross_entropy", input, target)
    input, target = (
        confined(
            x, rule="from 0 to 1",
            message=f"binary_cross_entropy: all elements of {what} should be between 0 and 1",
        )
        for x, what in ((input, "input"), (target, "target"))
    )  # fmt: skip
    loss = coin_entropy(input, target)
    return reduced(loss if weight is None else mul(loss, weight), reduction)


@chained
@widened(autocast=True, cpu=True)
def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", pos_weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Compute the binary cross-entropy of sigmoid(input), without overflow; `pos_weight` scales positives."""
    needs_float("binary_cross_entropy_with_logits", input, target)
    reduction = legacy_reduction(size_average, reduce, reduction)
    _one_shape("binary_cross_entropy_with_logits", input, target)
    tail = softplus(neg(input))
    if pos_weight is not None:
        tail = mul(add(mul(sub(pos_weight, 1), target), 1), tail)
    loss = add(mul(sub(1, target), input), tail)
    return reduced(loss if weight is None else mul(loss, weight), reduction)


@chained
@widened(autocast=True, cpu=True)
def kl_div(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", log_target: bool = False,
) -> Tensor:  # fmt: skip
    """Compute target * (log(target) - input) for log-probabilities `input`; "batchmean" divides by the rows."""
    needs_real("kl_div: Integral inputs not supported.", input, target)
    if reduction != "batchmean":
        reduction = legacy_reduction(size_average, reduce, reduction)
    if log_target:
        loss = mul(exp(target), sub(target, input))
    else:
        loss = sub(xlogy(target, target), mul(target, input))
    if reduction == "batchmean":
        return _per_row(loss, loss.spec.shape[0] if loss.spec.shape else 1)
    return reduced(loss, reduction)


@chained
@widened(autocast=True, cpu=True)
def poisson_nll_loss(
    input: Tensor, target: Tensor, log_input: bool = True, full: bool = False,
    size_average: bool | None = None, eps: float = 1e-8, reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Compute the negative log-likelihood of counts under a Poisson law; `full` adds Stirling's term."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if log_input:
        loss = sub(exp(input), mul(target, input))
    else:
        loss = sub(input, mul(target, log(add(input, eps))))
    if full:
        safe = where(gt(target, 1), target, 1)
        term = add(sub(mul(safe, log(safe)), safe), mul(log(mul(safe, 2 * math.pi)), 0.5))
        loss = add(loss, where(gt(target, 1), term, 0))
    return reduced(loss, reduction)


@chained
@widened(autocast=True)
def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Tensor | float, full: bool = False, eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Compute the negative log-likelihood of `target` under Gaussians of mean `input` and variance `var`."""
    needs_float("gaussian_nll_loss", input)
    message = "gaussian_nll_loss: var has negative entry/entries"
    if isinstance(var, Box):
        v = confined(var, rule="not negative", message=message)
    else:
        if var < 0:
            raise ArgumentError(f"{message}: {var}")
        v = constant(var, input.spec, input.device)
    if v.spec.shape != input.spec.shape and v.spec.shape == input.spec.shape[:-1]:
        v = reshape.bind(v, shape=(*v.spec.shape, 1))
    # the floor has no derivative
    v = add(v, stop_gradient(sub(maximum(v, eps), v)))
    loss = mul(add(log(v), div(square(sub(input, target)), v)), 0.5)
    if full:
        loss = add(loss, 0.5 * math.log(2 * math.pi))
    return reduced(loss, reduction)


__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "gaussian_nll_loss",
    "huber_loss", "kl_div", "l1_loss", "mse_loss", "nll_loss", "poisson_nll_loss", "smooth_l1_loss",
]  # fmt: skip

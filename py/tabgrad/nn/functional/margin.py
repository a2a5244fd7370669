"""Losses for margins and for similarity."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tabgrad.core.dtype import FLOAT, bool_, get_default_dtype
from tabgrad.core.errors import ArgumentError, ShapeError
from tabgrad.core.promotion import long_only, needs_float, widened
from tabgrad.core.shape import axis_of
from tabgrad.core.spec import spec
from tabgrad.core.trace import constant
from tabgrad.nn.functional.activation import above_zero, logsigmoid
from tabgrad.nn.functional.distance import pairwise_distance
from tabgrad.nn.functional.loss import legacy_reduction, one_hot_mask, reduced
from tabgrad.nn.functional.normalization import along, mean
from tabgrad.ops.checked import within
from tabgrad.ops.elementwise import add, cast, div, minimum, mul, neg, sqrt, square, sub, where
from tabgrad.ops.indexing import gather, scatter
from tabgrad.ops.reduction import reduce_sum
from tabgrad.ops.rounding import eq, lt
from tabgrad.ops.scan import cumsum
from tabgrad.ops.special import relu, softplus
from tabgrad.ops.view import part, reshape
from tabgrad.tensor.chained import chained

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


@chained
@widened(autocast=True, cpu=True)
def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0,
    size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Compute max(0, -target * (input1 - input2) + margin); `target` is 1 or -1."""
    if not len(input1.spec.shape) == len(input2.spec.shape) == len(target.spec.shape):
        raise ShapeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"{input1.spec.shape}, {input2.spec.shape} and {target.spec.shape}"
        )
    loss = above_zero(add(mul(target, sub(input2, input1)), margin))
    return reduced(loss, legacy_reduction(size_average, reduce, reduction))


@chained
@widened(autocast=True, cpu=True)
def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Compute the input where the target is 1, and max(0, margin - input) where it is -1."""
    far = where(eq(target, 1), 0, above_zero(sub(margin, input)))
    loss = add(far, where(eq(target, -1), 0, input))
    return reduced(loss, legacy_reduction(size_average, reduce, reduction))


@chained
@widened(autocast=True, cpu=True)
def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Compute ln(1 + exp(-target * input)); `target` is 1 or -1."""
    needs_float("soft_margin_loss", input)
    loss = softplus(neg(mul(target, input)))
    return reduced(loss, legacy_reduction(size_average, reduce, reduction))


@chained
@widened(first=True, autocast=True, cpu=True)
def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0,
    size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Compute 1 - cos where the target is 1, and max(0, cos - margin) where it is -1."""
    last = len(input1.spec.shape) - 1
    if last > 1 or input1.spec.shape != input2.spec.shape:
        raise ShapeError(
            f"cosine_embedding_loss: expected two inputs [N, D] or [D], got {input1.spec.shape} and "
            f"{input2.spec.shape}"
        )
    tiny = 1e-12
    kinds = (input1.spec.dtype, input2.spec.dtype)
    if all(kind.category < FLOAT for kind in kinds):
        input1, input2 = (cast.bind(x, dtype=get_default_dtype()) for x in (input1, input2))
    product = reduce_sum.bind(mul(input1, input2), axes=(last,))
    norms = [add(reduce_sum.bind(square(x), axes=(last,)), tiny) for x in (input1, input2)]
    cosine = div(product, sqrt(mul(*norms)))
    loss = where(eq(target, 1), sub(1, cosine), 0)
    loss = add(loss, where(eq(target, -1), above_zero(sub(cosine, margin)), 0))
    return reduced(loss, legacy_reduction(size_average, reduce, reduction))


@chained
@widened(autocast=True, cpu=True)
def triplet_margin_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2,
    eps: float = 1e-6, swap: bool = False, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Compute max(0, d(anchor, positive) - d(anchor, negative) + margin) with the p-norm distance."""
    if not len(anchor.spec.shape) == len(positive.spec.shape) == len(negative.spec.shape):
        raise ShapeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, "
            f"but got {anchor.spec.shape}, {positive.spec.shape} and {negative.spec.shape}"
        )
    if margin <= 0:
        raise ArgumentError(f"margin must be greater than 0, got {margin}")
    return triplet_margin_with_distance_loss(
        anchor, positive, negative, distance_function=lambda a, b: pairwise_distance(a, b, p, eps),
        margin=margin, swap=swap, reduction=legacy_reduction(size_average, reduce, reduction),
    )  # fmt: skip


@chained
@widened(autocast=True)
def triplet_margin_with_distance_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, *,
    distance_function: Callable[[Any, Any], Any] | None = None, margin: float = 1.0,
    swap: bool = False, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Compute the triplet loss with a distance of your own; `swap` takes the nearer of two negatives."""
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced(above_zero(add(sub(near, far), margin)), reduction)


@chained
@widened(autocast=True, cpu=True)
def multi_margin_loss(
    input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0, weight: Tensor | None = None,
    size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Compute the mean over the classes of max(0, margin - x[target] + x[class])^p, the target left out."""
    needs_float("multi_margin_loss", input)
    if p not in (1, 2):
        raise ArgumentError(f"multi_margin_loss: p must be 1 or 2, got {p}")
    if not input.spec.shape:
        input = reshape.bind(input, shape=(1,))
    axis = len(input.spec.shape) - 1
    if target.spec.shape not in (input.spec.shape[:axis], (1,) * (not axis)):
        raise ShapeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples: "
            f"got {target.spec.shape} for an input {input.spec.shape}"
        )
    long_only("multi_margin_loss", target)
    if not axis:
        target = reshape.bind(target, shape=())
    target = within("multi_margin_loss", target, input.spec.shape[axis], what="target")
    mask = one_hot_mask(input, target, axis)
    own = reduce_sum.bind(where(mask, input, 0), axes=(axis,))
    own = reshape.bind(own, shape=(*own.spec.shape, 1))
    gap = relu(add(sub(input, own), margin))
    gap = gap if p == 1 else square(gap)
    if weight is not None:
        chosen = reduce_sum.bind(where(mask, along(weight, input, axis), 0), axes=(axis,))
        gap = mul(gap, reshape.bind(chosen, shape=own.spec.shape))
    loss = reduce_sum.bind(where(mask, 0, gap), axes=(axis,))
    loss = mul(loss, 1 / input.spec.shape[axis])
    return reduced(loss, legacy_reduction(size_average, reduce, reduction))


@chained
@widened(autocast=True, cpu=True)
def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Compute the mean over pairs of max(0, 1 - (x[label] - x[other])); labels end at the first -1."""
    needs_float("multilabel_margin_loss", input)
    rows = input
    if len(input.spec.shape) < 2:
        rows = reshape.bind(input, shape=(1, input.spec.size))
    n, c = rows.spec.shape
    if target.spec.shape != input.spec.shape:
        raise ShapeError(
            f"multilabel_margin_loss: inconsistent target size: {target.spec.shape} for input of size: "
            f"{input.spec.shape}"
        )
    long_only("multilabel_margin_loss", target)
    target = within("multilabel_margin_loss", target, c, what="target", ignore=-1)
    target = reshape.bind(target, shape=(n, c))
    from tabgrad.nn.functional.class_pairs import hinges

    kind = input.device.index_dtype
    ended = cumsum.bind(cast.bind(lt(target, 0), dtype=kind), axis=1, reverse=False)
    listed = eq(ended, 0)
    # others[n, c]: no listed label names class c; what is not listed goes to a column that is cut off
    room = constant(True, spec((n, c + 1), bool_), input.device)
    no = constant(False, spec((n, c), bool_), input.device)
    others = part(scatter.bind(room, where(listed, target, c), no, axis=1), 1, 0, c)
    picked = gather.bind(rows, cast(where(listed, target, 0), dtype=kind), axis=1)
    loss = mul(hinges(rows, picked, listed, others), 1 / c)
    loss = loss if len(input.spec.shape) == 2 else reshape.bind(loss, shape=())
    return reduced(loss, legacy_reduction(size_average, reduce, reduction))


@chained
@widened(autocast=True)
def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Compute the mean over the classes of the binary cross-entropy of sigmoid(input)."""
    needs_float("multilabel_soft_margin_loss", input)
    loss = neg(add(mul(target, logsigmoid(input)), mul(sub(1, target), logsigmoid(neg(input)))))
    loss = loss if weight is None else mul(loss, weight)
    loss = mean(loss, (axis_of("multilabel_soft_margin_loss", -1, loss.spec.shape),))
    return reduced(loss, legacy_reduction(size_average, reduce, reduction))


__all__ = [
    "cosine_embedding_loss", "hinge_embedding_loss", "margin_ranking_loss", "multi_margin_loss",
    "multilabel_margin_loss", "multilabel_soft_margin_loss", "soft_margin_loss", "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]  # fmt: skip

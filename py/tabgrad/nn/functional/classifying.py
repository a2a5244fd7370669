"""The cross entropy of a linear map: the last layer of a classifier, and its loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabgrad.core.errors import ArgumentError, ShapeError
from tabgrad.core.tensor_arguments import of_tensors
from tabgrad.nn.functional.linear import linear
from tabgrad.nn.functional.loss import cross_entropy
from tabgrad.ops.view import reshape
from tabgrad.tensor import Tensor

if TYPE_CHECKING:
    from tabgrad.nn.classifying import LinearCrossEntropyOptions


def _check(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    rank = len(input.spec.shape)
    if rank not in (1, 2):
        raise ShapeError(f"expected input with dimensionality 1 or 2, got {rank}")
    if len(weight.spec.shape) < 2:
        raise ShapeError(
            f"expected linear_weight with dimensionality at least 2, got {len(weight.spec.shape)}"
        )
    if input.spec.shape[-1] != weight.spec.shape[-1]:
        raise ShapeError(
            "expected equal input and linear_weight last dimensions (in_features), got "
            f"{input.spec.shape[-1]} and {weight.spec.shape[-1]}, respectively"
        )
    if bias is not None and bias.spec.shape != weight.spec.shape[:-1]:
        raise ShapeError(
            f"expected linear_bias shape {weight.spec.shape[:-1]}, got {bias.spec.shape}"
        )
    if len(weight.spec.shape) > 2 and rank == 1:
        raise ShapeError(
            f"K-dimensional loss defined by linear_weight shape {weight.spec.shape} requires batched input, "
            f"(N, {weight.spec.shape[-1]}), got unbatched input with shape {input.spec.shape}"
        )


@of_tensors
def linear_cross_entropy(
    input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias: Tensor | None = None,
    weight: Tensor | None = None, reduction: str = "mean", ignore_index: int | None = None,
    label_smoothing: float = 0.0, options: LinearCrossEntropyOptions | None = None,
) -> Tensor:  # fmt: skip
    """Compute cross_entropy(linear(input, linear_weight, linear_bias), target) of `input` [N, D] (or [D]).

    `linear_weight` is [C, D], or [C, d1, ..., D] for a loss with more dims. `options` say how PyTorch cuts the
    batch to save memory; here they change nothing.

    >>> import tabgrad as tg
    >>> x, w = tg.zeros(1, 2, device="cpu"), tg.zeros(2, 2, device="cpu")
    >>> tg.nn.functional.linear_cross_entropy(x, w, tg.tensor([0], device="cpu"))
    tensor(0.6931)
    """
    _check(input, linear_weight, linear_bias)
    classes, *more, width = linear_weight.spec.shape
    flat: Any = reshape.bind(linear_weight, shape=(linear_weight.spec.size // max(1, width), width))
    bias = None if linear_bias is None else reshape.bind(linear_bias, shape=flat.spec.shape[:1])
    logits = linear(input, flat, bias)
    logits = reshape.bind(logits, shape=(*input.spec.shape[:-1], classes, *more))
    if target.spec.shape == logits.spec.shape and ignore_index is not None:
        raise ArgumentError("ignore_index cannot be specified when target contains probabilities")
    return cross_entropy(
        logits, target, weight, ignore_index=-100 if ignore_index is None else ignore_index,
        reduction=reduction, label_smoothing=label_smoothing,
    )  # fmt: skip


__all__ = ["linear_cross_entropy"]

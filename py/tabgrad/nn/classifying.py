"""A linear layer and its cross entropy in one module."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad.nn.linear import Linear
from tabgrad.nn.module import Module

if TYPE_CHECKING:
    from tabgrad.core.dtype import DType
    from tabgrad.tensor.types import DeviceLike

Tensor = tg.Tensor
POLICIES = ("auto", "accurate", "balanced", "compact")


@dataclass(frozen=True)
class LinearCrossEntropyOptions:
    """How PyTorch cuts the batch of `linear_cross_entropy` to save memory: checked here, and without effect."""

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: DType | None = None

    def __post_init__(self) -> None:
        if self.acc_policy not in POLICIES:
            raise ValueError(
                f"invalid acc_policy: {self.acc_policy!r}; expected one of {', '.join(POLICIES)}"
            )
        if self.batch_chunk_size is not None and self.batch_chunk_size < 1:
            raise ValueError(
                f"batch_chunk_size must be positive int or None, got {self.batch_chunk_size!r}"
            )


class LinearCrossEntropyLoss(Module):
    """The cross entropy of `num_classes` classes from (N, in_features), with the weights of the linear map.

    With `out_features` each class has as many outputs, for a loss with more dims.
    """

    weight: Tensor | None

    def __init__(
        self, in_features: int, num_classes: int, *, out_features: tuple[int, ...] = (),
        bias: bool = False, device: DeviceLike | None = None, dtype: DType | None = None,
        reduction: str = "mean", weight: Tensor | None = None, ignore_index: int | None = None,
        label_smoothing: float = 0.0, options: LinearCrossEntropyOptions | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if weight is not None and tuple(weight.shape) != (num_classes,):
            raise RuntimeError(
                f"expected weight shape to be {(num_classes,)}, got {tuple(weight.shape)}"
            )
        if not 0 <= label_smoothing <= 1:
            raise RuntimeError(
                f"expected label_smoothing to be in range [0, 1], got {label_smoothing}"
            )
        self.num_classes = num_classes
        self.out_features = tuple(out_features)
        self.reduction = reduction
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.options = options
        self.register_buffer("weight", weight)
        sizes = f"in_features={in_features}, num_classes={num_classes}"
        self._told = f"{sizes}, out_features={out_features}, bias={bias}"
        rows = math.prod(self.out_features, start=num_classes)
        self.linear = Linear(in_features, rows, bias, device, dtype)

    def extra_repr(self) -> str:
        """Return the arguments."""
        names = ("reduction", "ignore_index", "label_smoothing", "options")
        return f"{self._told}, " + ", ".join(f"{n}={getattr(self, n)}" for n in names)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of class indices, or of probabilities."""
        shape = (self.num_classes, *self.out_features)
        rows = self.linear.weight.reshape(*shape, self.linear.in_features)
        bias = None if self.linear.bias is None else self.linear.bias.reshape(shape)
        return F.linear_cross_entropy(
            input, rows, target, linear_bias=bias, weight=self.weight,
            reduction=self.reduction, ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing, options=self.options,
        )  # fmt: skip

"""Losses. `reduction` is "mean" (the default, except where said), "sum" or "none"."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad.core.errors import warn
from tabgrad.nn.functional.loss import legacy_reduction
from tabgrad.nn.module import Layer, Optioned

if TYPE_CHECKING:
    from collections.abc import Sequence

Tensor = tg.Tensor


Old = bool | None
"""PyTorch's older pair of flags, `size_average` and `reduce`, stand for a `reduction` where either is given."""


class _Loss(Optioned):
    def __init__(
        self, size_average: Old = None, reduce: Old = None, reduction: str = "mean"
    ) -> None:
        super().__init__()
        if size_average is not None or reduce is not None:
            reduction = legacy_reduction(size_average, reduce, reduction)
        if reduction not in ("none", "mean", "sum", "batchmean"):
            raise ValueError(f"{reduction} is not a valid value for reduction")
        self.reduction = reduction


class _Targeted(_Loss):
    """The loss `_fn` of an input and a target, with the options that `_options` names."""

    _fn: ClassVar[Callable[..., Tensor]]

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compute the loss."""
        return type(self)._fn(input, target, reduction=self.reduction, **self._given())


class _Weighted(_Targeted):
    weight: Tensor | None

    def __init__(
        self, weight: Tensor | None = None, size_average: Old = None, reduce: Old = None,
        reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


class L1Loss(_Targeted):
    """|input − target|."""

    _fn = F.l1_loss


class MSELoss(_Targeted):
    """(input − target)².

    >>> import tabgrad as tg
    >>> x = tg.tensor([1.0, 3.0], device="cpu")
    >>> tg.nn.MSELoss()(x, tg.zeros(2, device="cpu"))
    tensor(5.)
    """

    _fn = F.mse_loss


class SmoothL1Loss(_Targeted):
    """½ d² / beta where d = |input − target| < beta, else d − ½ beta."""

    _fn, _options = F.smooth_l1_loss, ("beta",)

    def __init__(
        self, size_average: Old = None, reduce: Old = None, reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__(size_average, reduce, reduction)
        self.beta = beta


class HuberLoss(_Targeted):
    """½ d² where d = |input − target| < delta, else delta · (d − ½ delta)."""

    _fn, _options = F.huber_loss, ("delta",)

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta


class CrossEntropyLoss(_Weighted):
    """−log softmax(input)[target]: the classes are axis 1 of `input`, or its only axis.

    `target` holds class indices (N, ...), or class probabilities in the shape of `input`. `weight` is one
    number for each class; indices equal to `ignore_index` do not count; the mean is over the weights of
    the targets.

    >>> import tabgrad as tg
    >>> logits = tg.zeros(4, 10, device="cpu")
    >>> round(tg.nn.CrossEntropyLoss()(logits, tg.tensor([1, 2, 3, 4], device="cpu")).item(), 4)
    2.3026
    """

    _fn, _options = F.cross_entropy, ("weight", "ignore_index", "label_smoothing")

    def __init__(
        self, weight: Tensor | None = None, size_average: Old = None, ignore_index: int = -100,
        reduce: Old = None, reduction: str = "mean", label_smoothing: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing


class NLLLoss(_Weighted):
    """−input[target], `input` being log-probabilities with the classes on axis 1."""

    _fn, _options = F.nll_loss, ("weight", "ignore_index")

    def __init__(
        self, weight: Tensor | None = None, size_average: Old = None, ignore_index: int = -100,
        reduce: Old = None, reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index


class NLLLoss2d(NLLLoss):
    """`NLLLoss` by an old name, with a FutureWarning."""

    def __init__(
        self, weight: Tensor | None = None, size_average: Old = None, ignore_index: int = -100,
        reduce: Old = None, reduction: str = "mean",
    ) -> None:  # fmt: skip
        warn(
            "`NLLLoss2d` has been deprecated. Please use `NLLLoss` instead as a drop-in replacement.",
            FutureWarning,
        )
        super().__init__(weight, size_average, ignore_index, reduce, reduction)


class PoissonNLLLoss(_Loss):
    """exp(input) − target · input; without `log_input`, input − target · log(input + eps)."""

    def __init__(
        self, log_input: bool = True, full: bool = False, size_average: Old = None,
        eps: float = 1e-8, reduce: Old = None, reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(size_average, reduce, reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        """Compute the loss."""
        return F.poisson_nll_loss(
            log_input, target, log_input=self.log_input, full=self.full, eps=self.eps,
            reduction=self.reduction,
        )  # fmt: skip


class GaussianNLLLoss(_Loss):
    """½ (log max(var, eps) + (input − target)² / max(var, eps))."""

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor) -> Tensor:
        """Compute the loss."""
        return F.gaussian_nll_loss(
            input, target, var, full=self.full, eps=self.eps, reduction=self.reduction
        )


class KLDivLoss(_Targeted):
    """target · (log target − input), `input` being log-probabilities; "batchmean" divides by N."""

    _fn, _options = F.kl_div, ("log_target",)

    def __init__(
        self, size_average: Old = None, reduce: Old = None, reduction: str = "mean",
        log_target: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target


class BCELoss(_Weighted):
    """−(target · log input + (1 − target) · log(1 − input)), the logarithms kept above −100."""

    _fn, _options = F.binary_cross_entropy, ("weight",)


class BCEWithLogitsLoss(_Weighted):
    """BCELoss of sigmoid(input), without overflow; `pos_weight` weighs the positive targets."""

    _fn, _options = F.binary_cross_entropy_with_logits, ("weight", "pos_weight")

    pos_weight: Tensor | None

    def __init__(
        self, weight: Tensor | None = None, size_average: Old = None, reduce: Old = None,
        reduction: str = "mean", pos_weight: Tensor | None = None,
    ) -> None:  # fmt: skip
        super().__init__(weight, size_average, reduce, reduction)
        self.register_buffer("pos_weight", pos_weight)


class HingeEmbeddingLoss(_Targeted):
    """input where target is 1, max(0, margin − input) where it is −1."""

    _fn, _options = F.hinge_embedding_loss, ("margin",)

    def __init__(
        self, margin: float = 1.0, size_average: Old = None, reduce: Old = None,
        reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(size_average, reduce, reduction)
        self.margin = margin


class SoftMarginLoss(_Targeted):
    """log(1 + exp(−target · input)), targets being ±1."""

    _fn = F.soft_margin_loss


class MarginRankingLoss(_Loss):
    """max(0, −target · (input1 − input2) + margin)."""

    def __init__(
        self, margin: float = 0.0, size_average: Old = None, reduce: Old = None,
        reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """Compute the loss."""
        return F.margin_ranking_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class CosineEmbeddingLoss(_Loss):
    """1 − cos(input1, input2) where target is 1, max(0, cos − margin) where it is −1."""

    def __init__(
        self, margin: float = 0.0, size_average: Old = None, reduce: Old = None,
        reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """Compute the loss."""
        return F.cosine_embedding_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class MultiLabelSoftMarginLoss(_Weighted):
    """BCEWithLogitsLoss averaged over the classes (the last axis)."""

    _fn, _options = F.multilabel_soft_margin_loss, ("weight",)


class MultiLabelMarginLoss(_Targeted):
    """Σ max(0, 1 − (x[y] − x[i])) / C over classes y in the target (a list ended by −1) and i not in it."""

    _fn = F.multilabel_margin_loss


class MultiMarginLoss(_Weighted):
    """Σ max(0, margin − x[y] + x[i])ᵖ / C over the classes i other than the target y."""

    _fn, _options = F.multi_margin_loss, ("p", "margin", "weight")

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Tensor | None = None,
        size_average: Old = None, reduce: Old = None, reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(weight, size_average, reduce, reduction)
        self.p = p
        self.margin = margin


class TripletMarginLoss(_Loss):
    """max(0, d(anchor, positive) − d(anchor, negative) + margin), d being the p-norm of the difference."""

    def __init__(
        self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False,
        size_average: Old = None, reduce: Old = None, reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(size_average, reduce, reduction)
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Compute the loss."""
        return F.triplet_margin_loss(
            anchor, positive, negative, margin=self.margin, p=self.p, eps=self.eps, swap=self.swap,
            reduction=self.reduction,
        )  # fmt: skip


class TripletMarginWithDistanceLoss(_Loss):
    """TripletMarginLoss with a distance of your own."""

    def __init__(
        self, *, distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0, swap: bool = False, reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(reduction=reduction)
        self.distance_function = distance_function or F.pairwise_distance
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Compute the loss."""
        return F.triplet_margin_with_distance_loss(
            anchor, positive, negative, distance_function=self.distance_function,
            margin=self.margin, swap=self.swap, reduction=self.reduction,
        )  # fmt: skip


class CTCLoss(_Loss):
    """−log probability of the target sequences under frame-wise log-probabilities (T, N, C), with blanks."""

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(reduction=reduction)
        self.blank = blank
        self.zero_infinity = zero_infinity

    def forward(
        self, log_probs: Tensor, targets: Tensor, input_lengths: Tensor | Sequence[int],
        target_lengths: Tensor | Sequence[int],
    ) -> Tensor:  # fmt: skip
        """Compute the loss."""
        return F.ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction,
            self.zero_infinity,
        )  # fmt: skip


class CosineSimilarity(Layer):
    """x1 · x2 / (|x1| |x2|) along `dim`, the product of norms being at least `eps`."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Compute the similarities."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Layer):
    """The p-norm of x1 − x2 + eps over the last axis."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Compute the distances."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)

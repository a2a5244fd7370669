"""The adaptive softmax: classes in clusters by how often they occur."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad.nn.containers import ModuleList, Sequential
from tabgrad.nn.linear import Linear
from tabgrad.nn.module import Module

if TYPE_CHECKING:
    from tabgrad.core.dtype import DType
    from tabgrad.tensor.types import DeviceLike

Tensor = tg.Tensor


class ASMoutput(NamedTuple):
    """What an adaptive softmax gives: the log-probability of each target, and the mean of their negatives."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-probabilities of many classes, the rare ones in clusters of fewer features (Grave et al. 2017).

    Classes are sorted by how often they occur; `cutoffs` are where the clusters begin. The i-th cluster has
    in_features / div_value^i features. Called with inputs (N, in_features) and targets (N), or one of each, it
    gives a named tuple of the log-probabilities of the targets (`output`) and the mean of their negatives
    (`loss`). A target outside of the classes is an IndexError (on a GPU at the next read).

    >>> import tabgrad as tg
    >>> layer = tg.nn.AdaptiveLogSoftmaxWithLoss(8, 20, cutoffs=[4, 10], div_value=2.0, device="cpu")
    >>> layer.log_prob(tg.zeros(5, 8, device="cpu")).shape
    tabgrad.Size([5, 20])
    """

    def __init__(
        self, in_features: int, n_classes: int, cutoffs: Sequence[int], div_value: float = 4.0,
        head_bias: bool = False, device: DeviceLike | None = None, dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if (
            cutoffs != sorted(set(cutoffs))
            or cutoffs[0] <= 0
            or cutoffs[-1] > n_classes - 1
            or any(int(c) != c for c in cutoffs)
        ):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, "
                f"where each value is between 1 and n_classes-1 = {n_classes - 1}; got {cutoffs}"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, head_bias, device, dtype)
        self.tail = ModuleList()
        for i, (start, stop) in enumerate(pairwise(self.cutoffs)):
            size = int(in_features // (div_value ** (i + 1)))
            self.tail.append(
                Sequential(
                    Linear(in_features, size, False, device, dtype),
                    Linear(size, stop - start, False, device, dtype),
                )
            )

    def reset_parameters(self) -> None:
        """Draw new initial values of all layers."""
        self.head.reset_parameters()
        for cluster in self.tail:
            for layer in cluster:
                layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> ASMoutput:
        """Compute the log-probabilities of the targets, and the loss."""
        if target_.ndim > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if input_.ndim != target_.ndim + 1:
            raise RuntimeError(
                f"{target_.ndim}D target tensor expects {target_.ndim + 1}D input tensors, but found inputs "
                f"with size {tuple(input_.shape)}"
            )
        if target_.ndim and input_.shape[0] != target_.shape[0]:
            raise RuntimeError(
                "Input and target should have the same size in the batch dimension; got "
                f"{tuple(input_.shape)} and {tuple(target_.shape)}"
            )
        found = self.log_prob(input_).gather(-1, target_.unsqueeze(-1)).squeeze(-1)
        return ASMoutput(found, (-found).mean())

    def log_prob(self, input: Tensor) -> Tensor:
        """Return the log-probabilities of all classes, (N, n_classes)."""
        return self._get_full_log_prob(input, self.head(input))

    def _get_full_log_prob(self, input: Tensor, head_output: Tensor) -> Tensor:
        head = F.log_softmax(head_output, dim=-1)
        parts = [head[..., : self.shortlist_size]]
        for i, cluster in enumerate(self.tail):
            at = self.shortlist_size + i
            parts.append(F.log_softmax(cluster(input), dim=-1) + head[..., at : at + 1])
        return tg.cat(parts, dim=-1)

    def predict(self, input: Tensor) -> Tensor:
        """Return the most probable class of each row."""
        return self.log_prob(input).argmax(dim=-1)

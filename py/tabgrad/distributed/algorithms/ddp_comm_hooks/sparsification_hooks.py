"""The largest gradients alone, or some drawn at random; the others wait until they have grown.

Stich, Cordonnier, Jaggi: Sparsified SGD with Memory (2018).
"""

from __future__ import annotations

import math
from typing import Any

import tabgrad as tg
from tabgrad.distributed.algorithms.ddp_comm_hooks.feedback import Feedback
from tabgrad.distributed.algorithms.ddp_comm_hooks.sending import begin_all_gather, begin_all_reduce
from tabgrad.distributed.gradients import GradBucket
from tabgrad.futures import Future, collect_all

Tensor = tg.Tensor


class TopKState(Feedback):
    """The share of the gradients that is sent."""

    def __init__(
        self, process_group: Any = None, ratio: float = 0.1, use_error_feedback: bool = True
    ) -> None:
        super().__init__(process_group, use_error_feedback)
        if not 0 < ratio <= 1:
            raise ValueError(f"{type(self).__name__}: ratio is in (0, 1], not {ratio}")
        self.ratio = ratio

    def count(self, n: int) -> int:
        """Return how many of `n` numbers are sent."""
        return max(1, math.ceil(self.ratio * n))


class RandomKState(TopKState):
    """The share of the gradients that is sent, and the seed from which all processes draw the same ones."""

    def __init__(
        self, process_group: Any = None, ratio: float = 0.1, use_error_feedback: bool = True,
        random_seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(process_group, ratio, use_error_feedback)
        self.random_seed = random_seed
        self.draws = 0


def topk_hook(state: TopKState, bucket: GradBucket) -> Future[Any]:
    """Send the largest of the gradients: each process its own, as numbers with their places."""
    flat, group = state.corrected(bucket), state.group
    places = flat.abs().topk(state.count(flat.numel())).indices
    values = flat[places]
    state.keep(bucket, flat.index_fill(0, places, 0.0))
    group_places = begin_all_gather(group, places.to(tg.int32))
    group_values = begin_all_gather(group, values)

    def join(_: Any) -> Tensor:
        total = tg.zeros_like(flat)
        for where, value in zip(group_places.value(), group_values.value(), strict=True):
            total = total.index_add(0, where, value)
        return total / group.size()

    return collect_all([group_places, group_values]).then(join)


def randomk_hook(state: RandomKState, bucket: GradBucket) -> Future[Any]:
    """Send some of the gradients, the same on all processes, drawn anew each time."""
    flat, group = state.corrected(bucket), state.group
    generator = tg.Generator()
    generator.manual_seed(state.random_seed + state.draws)
    state.draws += 1
    order = tg.randperm(flat.numel(), generator=generator, device="cpu")
    places = order[: state.count(flat.numel())].to(flat.device)
    # NaN where any of the gradients is not finite, drawn or not; 0 otherwise
    values = flat[places] + (flat * 0.0).sum()
    state.keep(bucket, flat.index_fill(0, places, 0.0))
    return begin_all_reduce(group, values / group.size()).then(
        lambda future: tg.zeros_like(flat).index_add(0, places, future.value())
    )


__all__ = ["RandomKState", "TopKState", "randomk_hook", "topk_hook"]

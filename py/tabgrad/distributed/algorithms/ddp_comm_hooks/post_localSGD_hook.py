"""Gradients averaged within a subgroup only, once training has begun well: models are averaged instead.

Lin, Stich, Patel, Jaggi: Don't Use Large Mini-Batches, Use Local SGD (2018).
"""

from __future__ import annotations

from typing import Any

from tabgrad.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from tabgrad.distributed.algorithms.ddp_comm_hooks.feedback import Feedback
from tabgrad.distributed.gradients import GradBucket
from tabgrad.futures import Future


class PostLocalSGDState(Feedback):
    """The groups, and the step from which gradients stay in the subgroup."""

    subgroup: Any = None

    def __init__(
        self, process_group: Any, subgroup: Any, start_localSGD_iter: int,
        post_local_gradient_allreduce: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(process_group, False)
        self.subgroup = subgroup
        self.start_localSGD_iter = start_localSGD_iter
        self.post_local_gradient_allreduce = post_local_gradient_allreduce
        self.iter = 0

    def maybe_increase_iter(self, bucket: GradBucket) -> None:
        """Count the step once, at its last bucket."""
        if bucket.is_last():
            self.iter += 1


def post_localSGD_hook(state: PostLocalSGDState, bucket: GradBucket) -> Future[Any]:
    """Average the gradients over the group for the first steps, over the subgroup later.

    Without a subgroup, or with `post_local_gradient_allreduce=False`, later steps leave them as they are. A
    PeriodicModelAverager then averages the parameters.
    """
    local = state.iter >= state.start_localSGD_iter
    state.maybe_increase_iter(bucket)
    if not local:
        return allreduce_hook(state.group, bucket)
    if state.subgroup is None or not state.post_local_gradient_allreduce:
        found: Future[Any] = Future()
        found.set_result(bucket.buffer())
        return found
    return allreduce_hook(state.subgroup, bucket)


__all__ = ["PostLocalSGDState", "post_localSGD_hook"]

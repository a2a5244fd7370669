"""What hooks that lose something have in common: what was not sent is added to the next gradients."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.distributed.gradients import GradBucket
from tabgrad.distributed.group import group as groups

Tensor = tg.Tensor


class Feedback:
    """The state of a hook: the group, and for each bucket what was left out so far.

    `error_dict` is by number of bucket. Pickles and state dicts leave out the group: it is that of the process
    that loads them.
    """

    def __init__(self, process_group: Any = None, use_error_feedback: bool = True) -> None:
        self.process_group = process_group
        self.use_error_feedback = use_error_feedback
        self.error_dict: dict[int, Tensor] = {}

    @property
    def group(self) -> Any:
        """The group, or that of all processes."""
        return groups.WORLD if self.process_group is None else self.process_group

    def corrected(self, bucket: GradBucket) -> Tensor:
        """Return the gradients with what was left out before."""
        flat, error = bucket.buffer(), self.error_dict.get(bucket.index())
        if error is None or not self.use_error_feedback:
            return flat
        if error.shape != flat.shape:
            raise RuntimeError(
                f"{type(self).__name__}: bucket {bucket.index()} has {flat.numel()} numbers, and what was left "
                f"out of it {error.numel()}: register the hook before the first backward, on a model "
                "like the one saved"
            )
        return flat + error.to(flat.device)

    def keep(self, bucket: GradBucket, error: Tensor) -> None:
        """Keep what is left out now.

        What is not finite is not kept: the average has it, so that a GradScaler skips the step.
        """
        if self.use_error_feedback:
            error = tg.where(error.isfinite(), error, tg.zeros_like(error))
            self.error_dict[bucket.index()] = error

    def state_dict(self) -> dict[str, Any]:
        """Return all but the group."""
        return {k: v for k, v in self.__dict__.items() if k not in ("process_group", "subgroup")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.__dict__.update(state_dict)

    def __getstate__(self) -> dict[str, Any]:
        return self.state_dict()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.process_group = None
        self.load_state_dict(state)

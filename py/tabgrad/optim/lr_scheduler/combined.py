"""Schedules made of others, and the one that waits for a plateau."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.optim.lr_scheduler.base import LRScheduler, set_rate
from tabgrad.optim.optimizer import Optimizer

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


class _Several(LRScheduler):
    _schedulers: list[LRScheduler]

    def _check_some(self, schedulers: Sequence[LRScheduler]) -> None:
        if not schedulers:
            name = type(self).__name__
            raise ValueError(f"{name} expects at least one scheduler to be chained, got none")

    def _check(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler]) -> None:
        if any(s.optimizer is not optimizer for s in schedulers):
            name = type(self).__name__
            raise ValueError(f"{name} expects all schedulers to belong to the same optimizer")

    def state_dict(self) -> dict[str, Any]:
        """Return the state, with those of the schedules in it."""
        state = super().state_dict()
        del state["_schedulers"]
        state["_schedulers"] = [s.state_dict() for s in self._schedulers]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state dict."""
        rest = dict(state_dict)
        for s, own in zip(self._schedulers, rest.pop("_schedulers"), strict=True):
            s.load_state_dict(own)
        super().load_state_dict(rest)


class SequentialLR(_Several):
    """One schedule after the other: the next begins at each of `milestones`, with its own epoch 0."""

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int],
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        self._check_some(schedulers)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR expects {len(schedulers) - 1} milestones, one less than schedulers, "
                f"got {len(milestones)}"
            )
        self._check(optimizer, schedulers)
        self._schedulers = schedulers
        self._milestones = milestones
        self.optimizer = optimizer
        self.last_epoch = last_epoch + 1
        # every schedule took its first step when it was made; only that of the first one counts
        for group in optimizer.param_groups:
            set_rate(group, group["initial_lr"])
        self._undo(self)
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def _undo(self, schedule: LRScheduler) -> None:
        if isinstance(schedule, _Several):
            for s in schedule._schedulers:
                self._undo(s)
        else:
            schedule.last_epoch -= 1

    def step(self, epoch: int | None = None) -> None:
        """Go one step further."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        now = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            now._update_lr(0)
        else:
            now.step()
        self._last_lr = now.get_last_lr()


class ChainedScheduler(_Several):
    """Several schedules at once: each starts from the rate that the one before it set."""

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        self._check_some(schedulers)
        self.optimizer = optimizer or schedulers[0].optimizer
        self._check(self.optimizer, schedulers)
        self._schedulers = list(schedulers)
        self._last_lr = self._present()

    def step(self, epoch: int | None = None) -> None:
        """Go one step further."""
        for s in self._schedulers:
            s.step()
        self._last_lr = self._present()


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the rate by `factor` when a number has not improved for `patience` epochs.

    `step(metric)` takes the number; a tensor is read, since a decision depends on it. `threshold` is the least
    improvement that counts, relative or absolute; `cooldown` epochs pass before counting begins again.
    """

    def __init__(
        self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10,
        threshold: float = 1e-4, threshold_mode: str = "rel", cooldown: int = 0,
        min_lr: float | list[float] = 0, eps: float = 1e-8,
    ) -> None:  # fmt: skip
        if factor >= 1.0:
            raise ValueError("Factor should be < 1.0.")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown!")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown!")
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        groups = optimizer.param_groups
        several = list(min_lr) if isinstance(min_lr, (list, tuple)) else None
        if several is not None and len(several) != len(groups):
            raise ValueError(f"expected {len(groups)} min_lrs, got {len(several)}")
        self.factor = factor
        self.optimizer = optimizer
        self.default_min_lr: Any = None if several is not None else min_lr
        self.min_lrs: list[float] = (
            [min_lr] * len(groups) if several is None else several  # type: ignore[list-item]
        )
        self.patience, self.cooldown, self.eps = patience, cooldown, eps
        self.last_epoch = 0
        self._last_lr = self._present()
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self._reset()

    def _reset(self) -> None:
        self.best = self.mode_worse
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    @property
    def in_cooldown(self) -> bool:
        """Whether bad epochs are not counted now."""
        return self.cooldown_counter > 0

    def is_better(self, a: float, best: float) -> bool:
        """Whether `a` improves on `best`."""
        sign = -1 if self.mode == "min" else 1
        if self.threshold_mode == "rel":
            return sign * a > sign * best * (1 + sign * self.threshold)
        return sign * a > sign * best + self.threshold

    def _is_better(self, a: float, best: float) -> bool:
        return self.is_better(a, best)

    def step(self, metrics: float | Tensor, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take the number of an epoch."""
        current = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(current, self.best):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce_lr(self.last_epoch)
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._present()

    def _reduce_lr(self, epoch: int) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"The number of param groups in the `optimizer` ({len(groups)}) differs from when "
                    f"`ReduceLROnPlateau` was initialized ({len(self.min_lrs)}), usually due to a new param "
                    "group being added to the optimizer. Please modify the `min_lrs` field to match the length "
                    "of the `optimizer` param groups."
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, least in zip(groups, self.min_lrs, strict=True):
            old = float(group["lr"])
            new = max(old * self.factor, least)
            if old - new > self.eps:
                set_rate(group, new)

"""Schedules that rise and fall by batches, momentum going the other way (Smith 2017, Smith and Topin 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from tabgrad.optim.lr_scheduler.base import LRScheduler, set_rate
from tabgrad.optim.optimizer import Group, Optimizer

PerGroup = float | Sequence[float]


def _each(name: str, value: PerGroup, groups: list[Group]) -> list[float]:
    if isinstance(value, (list, tuple)):
        if len(value) != len(groups):
            raise ValueError(f"{name} must have the length {len(groups)}, got {len(value)}")
        return list(value)
    return [value] * len(groups)  # type: ignore[list-item]


def _set_momentum(group: Group, value: float) -> None:
    if "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value


def _uses_beta(optimizer: Optimizer) -> bool:
    """Whether an optimizer has its momentum in `betas`. Raises ValueError for one that has none."""
    if not {"momentum", "betas"} & set(optimizer.defaults):
        raise ValueError(
            "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
        )
    return "betas" in optimizer.defaults


def _begin(groups: list[Group], lows: list[float], highs: list[float]) -> None:
    for group, low, high in zip(groups, lows, highs, strict=True):
        _set_momentum(group, high)
        group["max_momentum"], group["base_momentum"] = high, low


class CyclicLR(LRScheduler):
    """Between `base_lr` and `max_lr` in triangles: `step_size_up` batches up, `step_size_down` down.

    `mode` "triangular2" halves the height after each cycle, "exp_range" multiplies it by gamma^batches;
    `scale_fn` replaces the mode: a function of the cycle or, by `scale_mode`, of the batch.
    """

    def __init__(
        self, optimizer: Optimizer, base_lr: PerGroup, max_lr: PerGroup, step_size_up: int = 2000,
        step_size_down: int | None = None, mode: str = "triangular", gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None, scale_mode: str = "cycle",
        cycle_momentum: bool = True, base_momentum: PerGroup = 0.8, max_momentum: PerGroup = 0.9,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        groups = optimizer.param_groups
        lows = _each("base_lr", base_lr, groups)
        if last_epoch == -1:
            for group, low in zip(groups, lows, strict=True):
                set_rate(group, low)
        self.max_lrs = _each("max_lr", max_lr, groups)
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError("mode is invalid and scale_fn is None")
        self.mode = mode
        self.gamma = gamma
        own = "iterations" if mode == "exp_range" else "cycle"
        self.scale_mode = own if scale_fn is None else scale_mode
        self._scale_fn_custom = scale_fn
        self._init_scale_fn()
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = _uses_beta(optimizer)
            self.base_momentums = _each("base_momentum", base_momentum, groups)
            self.max_momentums = _each("max_momentum", max_momentum, groups)
            if last_epoch == -1:
                _begin(groups, self.base_momentums, self.max_momentums)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lows

    def _init_scale_fn(self) -> None:
        """Do nothing; a subclass may choose `_scale_fn_custom` here."""

    def scale_fn(self, x: float) -> float:
        """The height of the cycle (or batch) `x`."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular2":
            return self._triangular2_scale_fn(x)
        return (
            self._exp_range_scale_fn(x)
            if self.mode == "exp_range"
            else self._triangular_scale_fn(x)
        )

    def _triangular_scale_fn(self, x: float) -> float:
        return 1.0

    def _triangular2_scale_fn(self, x: float) -> float:
        return 1 / (2.0 ** (x - 1))

    def _exp_range_scale_fn(self, x: float) -> float:
        return float(self.gamma**x)

    def get_lr(self) -> list[float]:
        """The rates of this batch; the momentum is set too."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1 + self.last_epoch / self.total_size - cycle
        rise = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            pairs = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (low, high) in zip(self.optimizer.param_groups, pairs, strict=True):
                _set_momentum(group, high - (high - low) * rise * scale)
        pairs = zip(self.base_lrs, self.max_lrs, strict=True)
        return [low + (high - low) * rise * scale for low, high in pairs]

    def state_dict(self) -> dict[str, Any]:
        """Return the state; of `scale_fn` that of a callable object."""
        state = super().state_dict()
        state.pop("_scale_fn_custom", None)
        fn = self._scale_fn_custom
        kept = fn is not None and not isinstance(fn, FunctionType)
        state["_scale_fn_custom"] = dict(fn.__dict__) if kept else None
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state dict."""
        rest = dict(state_dict)
        own = rest.pop("_scale_fn_custom", None)
        super().load_state_dict(rest)
        if own is not None and self._scale_fn_custom is not None:
            self._scale_fn_custom.__dict__.update(own)


class OneCycleLR(LRScheduler):
    """One cycle over the whole training: up to `max_lr`, down to far below the initial rate.

    The number of batches is `total_steps`, or epochs · steps_per_epoch. It begins at max_lr / div_factor,
    reaches max_lr after the share `pct_start`, and ends at a `final_div_factor`-th of where it began;
    `three_phase` goes back to the beginning first, in mirror image.
    """

    def __init__(
        self, optimizer: Optimizer, max_lr: PerGroup, total_steps: int | None = None,
        epochs: int | None = None, steps_per_epoch: int | None = None, pct_start: float = 0.3,
        anneal_strategy: str = "cos", cycle_momentum: bool = True,
        base_momentum: PerGroup = 0.85, max_momentum: PerGroup = 0.95, div_factor: float = 25.0,
        final_div_factor: float = 1e4, three_phase: bool = False, last_epoch: int = -1,
    ) -> None:  # fmt: skip
        self.total_steps = _steps(total_steps, epochs, steps_per_epoch)
        if not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        self._anneal_func_type = anneal_strategy
        groups = optimizer.param_groups
        if last_epoch == -1:
            for group, high in zip(groups, _each("max_lr", max_lr, groups), strict=True):
                group["initial_lr"] = high / div_factor
                group["max_lr"] = high
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = _uses_beta(optimizer)
            lows = _each("base_momentum", base_momentum, groups)
            highs = _each("max_momentum", max_momentum, groups)
            if last_epoch == -1:
                _begin(groups, lows, highs)
        super().__init__(optimizer, last_epoch)

    def _anneal_func(self, start: float, end: float, pct: float) -> float:
        if self._anneal_func_type == "linear":
            return self._annealing_linear(start, end, pct)
        return self._annealing_cos(start, end, pct)

    @staticmethod
    def _annealing_linear(start: float, end: float, pct: float) -> float:
        return (end - start) * pct + start

    @staticmethod
    def _annealing_cos(start: float, end: float, pct: float) -> float:
        return end + (start - end) / 2.0 * (math.cos(math.pi * pct) + 1)

    def _phase(self, at: int) -> tuple[float, dict[str, Any]]:
        """Return where the phase of batch `at` begins, and the phase."""
        begin = 0.0
        for phase in self._schedule_phases[:-1]:
            if at <= phase["end_step"]:
                return begin, phase
            begin = phase["end_step"]
        return begin, self._schedule_phases[-1]

    def get_lr(self) -> list[float]:
        """The rates of this batch; the momentum is set too."""
        at = self.last_epoch
        if at > self.total_steps:
            raise ValueError(
                f"Tried to step {at} times. The specified number of total steps is {self.total_steps}"
            )
        begin, phase = self._phase(at)
        share = (at - begin) / (phase["end_step"] - begin)
        rates = []
        for group in self.optimizer.param_groups:
            ends = group[phase["start_lr"]], group[phase["end_lr"]]
            rates.append(self._anneal_func(*ends, share))
            if self.cycle_momentum:
                ends = group[phase["start_momentum"]], group[phase["end_momentum"]]
                _set_momentum(group, self._anneal_func(*ends, share))
        return rates


def _steps(total: int | None, epochs: int | None, per_epoch: int | None) -> int:
    if total is None:
        if epochs is None or per_epoch is None:
            raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
        total = epochs * per_epoch
    if not isinstance(total, int) or total <= 0:
        raise ValueError(f"Expected positive integer total_steps, but got {total}")
    return total


def _phases(total: int, share: float, three: bool) -> list[dict[str, Any]]:
    """Return where each phase ends, and the names in a group of what it goes from and to."""
    up = ("initial_lr", "max_lr", "max_momentum", "base_momentum")
    top = float(share * total) - 1
    if not three:
        down = ("max_lr", "min_lr", "base_momentum", "max_momentum")
        return [_named(top, *up), _named(total - 1, *down)]
    back = ("max_lr", "initial_lr", "base_momentum", "max_momentum")
    out = ("initial_lr", "min_lr", "max_momentum", "max_momentum")
    return [_named(top, *up), _named(float(2 * share * total) - 2, *back), _named(total - 1, *out)]


def _named(*parts: Any) -> dict[str, Any]:
    names = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
    return dict(zip(names, parts, strict=True))

"""Parameters averaged over processes every few steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tabgrad as tg
from tabgrad.distributed.collectives import all_reduce
from tabgrad.distributed.group import group as groups

Tensor = tg.Tensor


class ModelAverager:
    """The base of averagers, which count the steps."""

    def __init__(self, process_group: Any = None) -> None:
        self.process_group = groups.WORLD if process_group is None else process_group
        self.step = 0

    def average_parameters(self, params: Any) -> None:
        """Count a step, and average if it is time."""
        raise NotImplementedError(f"{type(self).__name__} defines no average_parameters")


class PeriodicModelAverager(ModelAverager):
    """Averages the parameters every `period` steps, after `warmup_steps` in which gradients are averaged."""

    def __init__(self, period: int, warmup_steps: int = 0, process_group: Any = None) -> None:
        super().__init__(process_group)
        if warmup_steps < 0:
            raise ValueError("Arg ``warmup_steps`` must be a non-negative number.")
        if period < 1:
            raise ValueError("Arg ``period`` must be a positive value.")
        self.period, self.warmup_steps = period, warmup_steps

    def average_parameters(self, params: Iterable[Tensor] | Iterable[dict[str, Any]]) -> None:
        """Count a step, and average the parameters, or those of the groups of an optimizer, if it is time."""
        if self.step >= self.warmup_steps and (self.step - self.warmup_steps) % self.period == 0:
            average(params, self.process_group)
        self.step += 1


def average(params: Iterable[Any], process_group: Any) -> None:
    """Average the parameters over the processes of a group, in place."""
    found: list[Tensor] = []
    for given in params:
        found += given["params"] if isinstance(given, dict) else [given]
    kinds: dict[Any, list[Tensor]] = {}
    for p in found:
        kinds.setdefault((p.dtype, p.device), []).append(p)
    with tg.no_grad():
        for same in kinds.values():
            flat = tg.cat([p.detach().reshape(-1) for p in same]) / process_group.size()
            all_reduce(flat, group=process_group)
            for p, part in zip(same, flat.split([p.numel() for p in same]), strict=True):
                p.detach().copy_(part.reshape(p.shape))


__all__ = ["ModelAverager", "PeriodicModelAverager"]

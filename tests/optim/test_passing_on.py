"""An optimizer that wraps another without running the constructor of Optimizer, as accelerate's does."""

from __future__ import annotations

from typing import Any

import tabgrad as tg


class Wrapper(tg.optim.Optimizer):
    def __init__(self, optimizer: tg.optim.Optimizer) -> None:
        self.optimizer = optimizer

    @property
    def param_groups(self) -> Any:
        return self.optimizer.param_groups

    @property
    def defaults(self) -> Any:
        return self.optimizer.defaults

    def step(self, closure: Any = None) -> None:
        self.optimizer.step(closure)


def test_its_step_is_its_own_and_schedules_take_it() -> None:
    w = tg.nn.Parameter(tg.ones(2, device="cpu"))
    outer = Wrapper(tg.optim.SGD([w], lr=0.5))
    schedule = tg.optim.lr_scheduler.StepLR(outer, 1, 0.1)
    (w * w).sum().backward()
    outer.step()
    schedule.step()
    assert w.tolist() == [0, 0]
    assert outer.param_groups[0]["lr"] == 0.05

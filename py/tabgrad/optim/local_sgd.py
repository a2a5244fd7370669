"""An optimizer whose steps are followed by an average of the parameters: `torch.distributed.optim` has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tabgrad.distributed.algorithms.model_averaging.averagers import (
    ModelAverager,
    PeriodicModelAverager,
)
from tabgrad.optim.optimizer import Optimizer


class PostLocalSGDOptimizer(Optimizer):
    """Steps `optim`, then lets `averager` average the parameters; the count of steps is in the state dict."""

    def __init__(self, optim: Optimizer, averager: ModelAverager) -> None:
        self.optim = optim
        self.averager = averager
        super().__init__(optim.param_groups, optim.defaults)
        self.param_groups = optim.param_groups
        self.state = optim.state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change the parameters once, and average them if it is time."""
        loss = self.optim.step(closure)
        self.averager.average_parameters(self.param_groups)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or make them zero."""
        self.optim.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimizer, and the averager's count of steps."""
        found = self.optim.state_dict()
        found["step"] = self.averager.step
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        given = dict(state_dict)
        self.averager.step = int(given.pop("step", 0))
        self.optim.load_state_dict(given)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters to the optimizer."""
        if param_group not in self.optim.param_groups:
            self.optim.add_param_group(param_group)


__all__ = ["PeriodicModelAverager", "PostLocalSGDOptimizer"]

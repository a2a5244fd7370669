"""The base of learning-rate schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tabgrad as tg
from tabgrad.core.errors import warn
from tabgrad.optim.optimizer import Group, Optimizer

Tensor = tg.Tensor


def own(lr: float | Tensor) -> Any:
    """Return a learning rate to keep; a tensor is copied, as it changes in place."""
    return lr.detach().clone() if isinstance(lr, Tensor) else lr


def set_rate(group: Group, lr: float | Tensor) -> None:
    """Set the learning rate of a group; a tensor is written in place, as steps read it."""
    if isinstance(group["lr"], Tensor):
        with tg.no_grad():
            group["lr"].fill_(lr)
    else:
        group["lr"] = lr


class LRScheduler:
    """Sets the learning rate of each parameter group, once for each `step()`.

    A subclass defines `get_lr`, which may start from the group's present "lr", so that schedules can be
    chained. `last_epoch` counts the steps. Learning rates are numbers that a compiled step asks for anew,
    so changing them compiles nothing.
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", own(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming a "
                    "scheduler; load the optimizer's state dict first"
                )
        self.optimizer = optimizer
        self.base_lrs: list[Any] = [own(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_lr(self) -> list[float]:
        """Return the learning rates of the groups for the present `last_epoch`."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_lr")

    def _get_closed_form_lr(self) -> list[float] | None:
        """Return the learning rates as a function of `last_epoch` alone, None where there is none."""
        return None

    def get_last_lr(self) -> list[float]:
        """Return the learning rates that the last step set."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Go one step further, or to `epoch`."""
        if self._step_count == 1 and not getattr(self.optimizer, "_opt_called", True):
            warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`: call the optimizer first, "
                "else the first value of the learning rate is skipped",
                UserWarning,
            )
        self._step_count += 1
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._set(epoch is not None)

    def _set(self, closed: bool = False) -> None:
        """Set the learning rates of the present epoch, with `closed` by a closed form if there is one."""
        # a schedule may refuse to be asked for its rates outside of a step
        self._get_lr_called_within_step = True
        try:
            rates = self._get_closed_form_lr() if closed else None
            rates = self.get_lr() if rates is None else rates
        finally:
            self._get_lr_called_within_step = False
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            set_rate(group, lr)
        self._last_lr: list[Any] = self._present()

    def _present(self) -> list[float]:
        return [own(group["lr"]) for group in self.optimizer.param_groups]

    def _scaled(self, factor: float) -> list[float]:
        return [lr * factor for lr in self._present()]

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer and functions."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer" and not callable(v)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state dict."""
        self.__dict__.update(state_dict)


class Lambdas(LRScheduler):
    """The base of LambdaLR and MultiplicativeLR: one function, or one for each group."""

    def __init__(
        self, optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]], last_epoch: int = -1,
    ) -> None:  # fmt: skip
        groups = len(optimizer.param_groups)
        given = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * groups
        if len(given) != groups:
            raise ValueError(f"Expected {groups} lr_lambdas, but got {len(given)}")
        self.lr_lambdas = given
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the state; of the functions, that of the callable objects."""
        state = super().state_dict()
        del state["lr_lambdas"]
        state["lr_lambdas"] = [
            None if _is_function(fn) else dict(fn.__dict__) for fn in self.lr_lambdas
        ]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state dict."""
        rest = dict(state_dict)
        for fn, own in zip(self.lr_lambdas, rest.pop("lr_lambdas"), strict=True):
            if own is not None:
                fn.__dict__.update(own)
        super().load_state_dict(rest)


def _is_function(fn: Callable[..., Any]) -> bool:
    return type(fn).__name__ in ("function", "builtin_function_or_method", "method")

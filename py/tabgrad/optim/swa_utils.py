"""Averages of models while they are trained: stochastic weight averaging and exponential moving averages."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

import tabgrad as tg
from tabgrad.nn.module import Module
from tabgrad.optim.lr_scheduler.base import LRScheduler

if TYPE_CHECKING:
    from tabgrad.optim.optimizer import Optimizer
    from tabgrad.tensor.types import DeviceLike

Tensor = tg.Tensor


def _decay(decay: float) -> float:
    if decay < 0.0 or decay > 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."
        )
    return decay


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[[Any, Any, Any], None]:
    """Return the function that moves lists of averages towards parameters by 1 − `decay` of the way."""
    _decay(decay)

    def ema_update(ema_param_list: Any, current_param_list: Any, _: Any) -> None:
        with tg.no_grad():
            for mean, p in zip(ema_param_list, current_param_list, strict=True):
                mean.copy_(_moved(mean, p, 1 - decay))

    return ema_update


def get_swa_multi_avg_fn() -> Callable[[Any, Any, Any], None]:
    """Return the function that takes parameters into lists of means of `num_averaged` ones."""

    def swa_update(averaged_param_list: Any, current_param_list: Any, num_averaged: Any) -> None:
        with tg.no_grad():
            for mean, p in zip(averaged_param_list, current_param_list, strict=True):
                mean.copy_(_moved(mean, p, 1 / (num_averaged + 1)))

    return swa_update


def _moved(mean: Tensor, p: Tensor, part: Any) -> Tensor:
    """Return a mean that is moved towards `p` by a part of the way."""
    if isinstance(part, Tensor):
        part = part.to(mean.device)
    return mean + (p - mean) * part


def get_ema_avg_fn(decay: float = 0.999) -> Callable[[Any, Any, Any], Any]:
    """Return the function of an average and a parameter that gives the average of exponential weights."""
    _decay(decay)

    def ema_update(ema_param: Any, current_param: Any, num_averaged: Any) -> Any:
        with tg.no_grad():
            return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> Callable[[Any, Any, Any], Any]:
    """Return the function of an average, a parameter and a count that gives the average of equal weights."""

    def swa_update(averaged_param: Any, current_param: Any, num_averaged: Any) -> Any:
        with tg.no_grad():
            return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of the model's at each `update_parameters`.

    The averages are means, unless `avg_fn`, of one parameter, or `multi_avg_fn`, of all, makes others. Buffers
    are averaged too with `use_buffers`, else copied.

    >>> import tabgrad as tg
    >>> model = tg.nn.Linear(1, 1, device="cpu")
    >>> averaged = tg.optim.swa_utils.AveragedModel(model)
    >>> averaged.update_parameters(model)
    >>> averaged.n_averaged
    tensor(1)
    """

    n_averaged: Tensor

    def __init__(
        self, model: Module, device: DeviceLike | None = None,
        avg_fn: Callable[[Any, Any, Any], Any] | None = None,
        multi_avg_fn: Callable[[Any, Any, Any], None] | None = None, use_buffers: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        first = next(iter(self.module.parameters()), None)
        where = device if device is not None or first is None else first.device
        self.register_buffer("n_averaged", tg.tensor(0, device=where))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the averaged model."""
        return self.module(*args, **kwargs)

    def _pairs(self, model: Module) -> list[tuple[Tensor, Tensor]]:
        ours: list[Any] = list(self.module.parameters())
        theirs: list[Any] = list(model.parameters())
        if self.use_buffers:
            ours += self.module.buffers()
            theirs += model.buffers()
        return [(a.detach(), b.detach().to(a.device)) for a, b in zip(ours, theirs, strict=True)]

    def update_parameters(self, model: Module) -> None:
        """Take the present parameters of the model into the averages; the first ones are copied."""
        pairs = self._pairs(model)
        with tg.no_grad():
            if self.n_averaged.item() == 0:
                for mean, p in pairs:
                    mean.copy_(p)
            else:
                self._average(pairs)
            if not self.use_buffers:
                for b, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
                    b.detach().copy_(theirs.detach().to(b.device))
            self.n_averaged.add_(1)

    def _average(self, pairs: list[tuple[Tensor, Tensor]]) -> None:
        count = self.n_averaged
        if self.avg_fn is None:
            if self.multi_avg_fn is not None:
                self.multi_avg_fn([m for m, _ in pairs], [p for _, p in pairs], count)
                return
            floats = [(m, p) for m, p in pairs if m.is_floating_point() or m.is_complex()]
            get_swa_multi_avg_fn()([m for m, _ in floats], [p for _, p in floats], count)
            for mean, p in pairs:
                if not (mean.is_floating_point() or mean.is_complex()):
                    mean.copy_(mean + tg.div(p - mean, count + 1, rounding_mode="trunc"))
            return
        for mean, p in pairs:
            mean.copy_(self.avg_fn(mean, p, count.to(mean.device)))


def update_bn(loader: Iterable[Any], model: Module, device: DeviceLike | None = None) -> None:
    """Set the running means and variances of a model's batch norms to those of the data of one pass.

    A batch is the input of the model, or a list or tuple that begins with it.
    """
    norms: dict[Any, Any] = {}
    for m in model.modules():
        if hasattr(m, "running_mean") and hasattr(m, "momentum"):
            m.reset_running_stats()
            norms[m] = m.momentum
    if not norms:
        return
    was_training = model.training
    model.train()
    for m in norms:
        m.momentum = None
    try:
        for batch in loader:
            given = batch[0] if isinstance(batch, list | tuple) else batch
            model(given.to(device) if device is not None else given)
    finally:
        for m, momentum in norms.items():
            m.momentum = momentum
        model.train(was_training)


class SWALR(LRScheduler):
    """Anneals the learning rates to `swa_lr` in some epochs, along a line or half a cosine, and keeps them."""

    def __init__(
        self, optimizer: Optimizer, swa_lr: float | list[float], anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos", last_epoch: int = -1,
    ) -> None:  # fmt: skip
        groups = optimizer.param_groups
        rates = list(swa_lr) if isinstance(swa_lr, list | tuple) else [swa_lr] * len(groups)
        if len(rates) != len(groups):
            raise ValueError(
                f"swa_lr must have the same length as optimizer.param_groups: swa_lr has {len(rates)}, "
                f"optimizer.param_groups has {len(groups)}"
            )
        for rate, group in zip(rates, groups, strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must by one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _part(self, t: float) -> float:
        """Return how much of the way is gone after the part `t` of the time."""
        if self._anneal_strategy == "linear":
            return t
        return (1 - math.cos(math.pi * t)) / 2

    def get_lr(self) -> list[float]:
        """The rates of this epoch, from those of the last."""
        step, whole = self._step_count - 1, max(1, self.anneal_epochs)
        if self.anneal_epochs == 0:
            step = max(1, step)
        before = self._part(max(0, min(1, (step - 1) / whole)))
        now = self._part(max(0, min(1, step / whole)))
        rates = []
        for group in self.optimizer.param_groups:
            lr, goal = group["lr"], group["swa_lr"]
            start = goal if before == 1 else (lr - before * goal) / (1 - before)
            rates.append(goal * now + start * (1 - now))
        return rates


__all__ = [
    "SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn",
    "get_swa_multi_avg_fn", "update_bn",
]  # fmt: skip

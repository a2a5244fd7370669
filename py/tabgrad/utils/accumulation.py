"""Gradient accumulation: the gradients of one large batch from several small ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import tabgrad as tg
from tabgrad.core.capture import gradients_of
from tabgrad.core.errors import GradientError

if TYPE_CHECKING:
    from tabgrad.amp import GradScaler
    from tabgrad.optim.optimizer import Optimizer
    from tabgrad.tensor import Tensor


class GradientAccumulator:
    """Adds up the gradients of `steps` micro-batches, and then steps the optimizer.

    With `average` each loss counts 1/`steps`, so that losses which are means give the gradient of the mean over
    the whole batch. Call `flush` when the data ends within a set: it averages over the micro-batches so far. In
    a compiled step call `run`, or `backward` once for each micro-batch.

    >>> import tabgrad as tg
    >>> w = tg.tensor([1.0], device="cpu", requires_grad=True)
    >>> optimizer = tg.optim.SGD([w], lr=1.0)
    >>> accumulator = tg.utils.GradientAccumulator(optimizer, steps=2)
    >>> [accumulator.backward((w * x).sum()) for x in (1.0, 3.0)]
    [False, True]
    >>> w
    tensor([-1.], requires_grad=True)
    """

    def __init__(
        self, optimizer: Optimizer, steps: int, average: bool = True,
        scaler: GradScaler | None = None,
    ) -> None:  # fmt: skip
        if steps < 1:
            raise ValueError(f"GradientAccumulator: steps must be at least 1, got {steps}")
        self.optimizer = optimizer
        self.steps = steps
        self.average = average
        self.scaler = scaler
        self.count = 0
        self.before_step: list[Callable[[], Any]] = []
        """Called before each optimizer step, when the gradients are complete: the place to clip them."""

    def backward(self, loss: Tensor) -> bool:
        """Add the gradients of `loss`; return True if that completed the set and the optimizer stepped."""
        if self.count == 0:
            self.optimizer.zero_grad()
        scaled = loss / self.steps if self.average else loss
        (scaled if self.scaler is None else self.scaler.scale(scaled)).backward()
        self.count += 1
        if self.count < self.steps:
            return False
        self._step()
        return True

    def flush(self) -> bool:
        """Step with the micro-batches of an incomplete set; return True if there were any."""
        if self.count == 0:
            return False
        if self.average and self.count != self.steps:
            factor = self.steps / self.count
            with tg.no_grad():
                for grad in gradients_of(self.optimizer):
                    grad.mul_(factor)
        self._step()
        return True

    def _step(self) -> None:
        self.count = 0
        if self.scaler is not None and self.before_step:
            self.scaler.unscale_(self.optimizer)
        for hook in self.before_step:
            hook()
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()

    def run(self, loss_fn: Callable[..., Any], *batch: Tensor) -> Tensor:
        """Step the optimizer once with all micro-batches of `batch`, and return their mean loss.

        Each tensor of `batch` is cut along its first dim into `steps` equal parts; `loss_fn` gets one of each.
        It can be compiled: the micro-batches follow each other in one packet.

        >>> import tabgrad as tg
        >>> w = tg.tensor([1.0], device="cpu", requires_grad=True)
        >>> accumulator = tg.utils.GradientAccumulator(tg.optim.SGD([w], lr=1.0), steps=2)
        >>> accumulator.run(lambda x: (w * x).mean(), tg.tensor([1.0, 3.0], device="cpu"))
        tensor(2.)
        """
        if self.count:
            raise GradientError("GradientAccumulator.run: a set is incomplete; call flush() first")
        total = None
        for part in self._parts(batch):
            loss = loss_fn(*part)
            self.backward(loss)
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None
        return total / self.steps if self.average else total

    def _parts(self, batch: tuple[Any, ...]) -> Iterable[tuple[Any, ...]]:
        if not batch or any(x.shape[0] % self.steps for x in batch):
            sizes = [x.shape[0] for x in batch]
            raise ValueError(
                f"GradientAccumulator.run: the batch sizes {sizes} must be multiples of steps={self.steps}"
            )
        cut = [x.chunk(self.steps) for x in batch]
        return zip(*cut, strict=True)

    def state_dict(self) -> dict[str, Any]:
        """Save the number of micro-batches of the present set that are done."""
        return {"count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state that `state_dict` returned."""
        self.count = int(state_dict["count"])

"""Resilient propagation, and averaged gradient descent."""

from __future__ import annotations

import tabgrad as tg
from tabgrad.optim.counters import rounded
from tabgrad.optim.flat import Flat
from tabgrad.optim.optimizer import (
    Group,
    Optimizer,
    Params,
    check_lr,
    flags,
    nonnegative,
    number_of,
)  # fmt: skip
from tabgrad.optim.sgd import decayed

Tensor = tg.Tensor


class Rprop(Optimizer):
    """Steps of a size of their own for each element, by the sign of the gradient alone (Riedmiller and Braun
    1993).

    A size grows by etas[1] while the sign stays and shrinks by etas[0] when it changes, within
    `step_sizes`; after a change the element rests for one step.
    """

    _counters = ("step",)

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-2, etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50), *, capturable: bool = False,
        foreach: bool | None = None, maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        chosen = flags(
            foreach=foreach, maximize=maximize, differentiable=differentiable, capturable=capturable
        )
        check_lr(lr, chosen)
        if not 0 < etas[0] < 1 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, **chosen})

    def update(self, w: Tensor, g: Tensor, flat: Flat, group: Group) -> Tensor:
        """One step."""
        flat.count()
        less, more = group["etas"]
        first = 0.0 if "step_size" in flat.tensors else number_of(group["lr"])
        before, size = flat.tensor("prev"), flat.tensor("step_size", first)
        agreement = g * before
        # numbers in the dtype of the parameters: 1.2 is another number in float32
        one = tg.ones((), dtype=w.dtype, device=w.device)
        factor = tg.where(agreement > 0, one * more, tg.where(agreement < 0, one * less, one))
        size.copy_((size * factor).clamp(*group["step_sizes"]))
        g = tg.where(agreement < 0, 0.0, g)
        before.copy_(g)
        return w - g.sign() * size


class ASGD(Optimizer):
    """Gradient descent that also keeps the average `ax` of the parameters after step `t0` (Polyak and
    Juditsky 1992)."""

    _counters = ("step", "eta", "mu")

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-2, lambd: float = 1e-4, alpha: float = 0.75,
        t0: float = 1e6, weight_decay: float = 0, foreach: bool | None = None,
        maximize: bool = False, differentiable: bool = False, capturable: bool = False,
    ) -> None:  # fmt: skip
        chosen = flags(
            foreach=foreach, maximize=maximize, differentiable=differentiable, capturable=capturable
        )
        check_lr(lr, chosen)
        nonnegative(weight_decay=weight_decay)
        super().__init__(params, {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay,
            **chosen,
        })  # fmt: skip

    def update(self, w: Tensor, g: Tensor, flat: Flat, group: Group) -> Tensor:
        """One step."""
        g = decayed(w, g, flat, group)
        now = flat.numbers
        now.setdefault("step", 0)
        if "eta" not in now:
            now["eta"] = rounded(number_of(group["lr"]))
        now.setdefault("mu", 1.0)
        flat.count()
        average = flat.tensor("ax")
        eta = flat.number(lambda: now["eta"])
        w = w - flat.number(lambda: now["eta"] * group["lambd"]) * w - eta * g
        average.copy_(average + flat.number(lambda: now["mu"]) * (w - average))

        def advance() -> None:
            t, lr = now["step"], number_of(group["lr"])
            now["eta"] = rounded(lr / (1 + group["lambd"] * lr * t) ** group["alpha"])
            now["mu"] = rounded(1 / max(1, t - group["t0"]))

        flat.change(advance)
        return w

"""Steps scaled by sums and running means of squared gradients."""

from __future__ import annotations

import tabgrad as tg
from tabgrad.optim.flat import Flat
from tabgrad.optim.optimizer import Group, Optimizer, Params, check_lr, flags, nonnegative
from tabgrad.optim.sgd import decayed

Tensor = tg.Tensor


class Adagrad(Optimizer):
    """w ← w − lr_t · g / (√Σg² + eps), lr_t = lr / (1 + (t − 1) · lr_decay) (Duchi et al. 2011).

    Sparse gradients are taken without weight decay: other rows stay as they are.
    """

    _counters = ("step",)
    _sparse = True

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-2, lr_decay: float = 0,
        weight_decay: float = 0, initial_accumulator_value: float = 0, eps: float = 1e-10,
        foreach: bool | None = None, *, maximize: bool = False, differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:  # fmt: skip
        chosen = flags(
            foreach=foreach, maximize=maximize, differentiable=differentiable, fused=fused
        )
        check_lr(lr, chosen)
        nonnegative(lr_decay=lr_decay, weight_decay=weight_decay, epsilon=eps)
        nonnegative(initial_accumulator_value=initial_accumulator_value)
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, **chosen,
        })  # fmt: skip

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters with options of their own; their sums begin at once, as PyTorch's do."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for p in group["params"]:
            first = group["initial_accumulator_value"]
            self.state[p] = {"step": 0, "sum": tg.full_like(p, first, requires_grad=False)}

    def update(self, w: Tensor, g: Tensor, flat: Flat, group: Group) -> Tensor:
        """One step."""
        g = decayed(w, g, flat, group)
        flat.count()
        now = flat.numbers
        total = flat.tensor("sum", group["initial_accumulator_value"])
        total.copy_(total + g * g)
        rate = flat.rate(group, lambda lr: lr / (1 + (now["step"] - 1) * group["lr_decay"]))
        new = w - rate * (g / (total.sqrt() + group["eps"]))
        hit = flat.touched()
        return new if hit is None else tg.where(hit, new, w)


class Adadelta(Optimizer):
    """w ← w − lr · d, d = g · √(u + eps) / √(v + eps), u and v the running means of d² and g² (Zeiler
    2012)."""

    _counters = ("step",)

    def __init__(
        self, params: Params, lr: float | Tensor = 1.0, rho: float = 0.9, eps: float = 1e-6,
        weight_decay: float = 0, foreach: bool | None = None, *, capturable: bool = False,
        maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        chosen = flags(
            maximize=maximize, capturable=capturable, foreach=foreach, differentiable=differentiable
        )
        check_lr(lr, chosen)
        nonnegative(epsilon=eps, weight_decay=weight_decay)
        if not 0 <= rho <= 1:
            raise ValueError(f"Invalid rho value: {rho}")
        super().__init__(params, {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay,
            **chosen,
        })  # fmt: skip

    def update(self, w: Tensor, g: Tensor, flat: Flat, group: Group) -> Tensor:
        """One step."""
        g = decayed(w, g, flat, group)
        flat.count()
        rho, eps = group["rho"], group["eps"]
        v, u = flat.tensor("square_avg"), flat.tensor("acc_delta")
        v.copy_(rho * v + (1 - rho) * (g * g))
        delta = (u + eps).sqrt() / (v + eps).sqrt() * g
        u.copy_(rho * u + (1 - rho) * (delta * delta))
        return w - flat.rate(group, lambda lr: lr) * delta


class RMSprop(Optimizer):
    """w ← w − lr · g / (√v + eps), v the running mean of g² (Hinton 2012).

    `centered` subtracts the square of the running mean of g from v; `momentum` applies to the steps.
    """

    _counters = ("step",)

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
        weight_decay: float = 0, momentum: float = 0, centered: bool = False,
        capturable: bool = False, foreach: bool | None = None, maximize: bool = False,
        differentiable: bool = False,
    ) -> None:  # fmt: skip
        chosen = flags(
            capturable=capturable, foreach=foreach, maximize=maximize, differentiable=differentiable
        )
        check_lr(lr, chosen)
        nonnegative(epsilon=eps, weight_decay=weight_decay, momentum=momentum, alpha=alpha)
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, **chosen,
        })  # fmt: skip

    def update(self, w: Tensor, g: Tensor, flat: Flat, group: Group) -> Tensor:
        """One step."""
        g = decayed(w, g, flat, group)
        flat.count()
        alpha = group["alpha"]
        v = flat.tensor("square_avg")
        buffer = flat.tensor("momentum_buffer") if group["momentum"] else None
        v.copy_(alpha * v + (1 - alpha) * (g * g))
        variance = v
        if group["centered"]:
            mean = flat.tensor("grad_avg")
            mean.copy_(mean + (1 - alpha) * (g - mean))
            variance = v - mean * mean
        step = g / (variance.sqrt() + group["eps"])
        if buffer is not None:
            buffer.copy_(flat.number(lambda: group["momentum"]) * buffer + step)
            step = buffer
        return w - flat.rate(group, lambda lr: lr) * step

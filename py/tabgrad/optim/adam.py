"""Adam and its relatives: steps scaled by running moments of the gradient."""

from __future__ import annotations

import math
from typing import Any

import tabgrad as tg
from tabgrad.optim.counters import rounded
from tabgrad.optim.flat import Flat
from tabgrad.optim.optimizer import (
    Group,
    Optimizer,
    Params,
    check_lr,
    flags,
    fractions,
    nonnegative,
    number_of,
)
from tabgrad.optim.sgd import decayed, shrunk
from tabgrad.tensor.chained import chained

Tensor = tg.Tensor
Betas = tuple[Any, Any]
"""Two numbers, or two tensors of one element."""


def beta_of(flat: Flat, group: Group, i: int) -> float | Tensor:
    """Return beta number `i`, as a tensor if it is one in the group."""
    beta = group["betas"][i]
    return flat.option(beta) if isinstance(beta, Tensor) else beta


def betas_of(group: Group) -> Betas:
    """Return the betas as numbers; those that are tensors are read."""
    first, second = group["betas"]
    return number_of(first), number_of(second)


def check_betas(betas: tuple[Any, Any], chosen: dict[str, Any]) -> None:
    """Raise ValueError for betas that Adam does not accept."""
    tensors = [isinstance(b, Tensor) for b in betas]
    if any(tensors) and not all(tensors):
        raise ValueError("betas must be either both floats or both Tensors")
    for i, beta in enumerate(betas):
        if tensors[i] and chosen["foreach"] and not chosen["capturable"]:
            raise ValueError(
                f"betas[{i}] as a Tensor is not supported for capturable=False and foreach=True"
            )
        if tensors[i] and beta.numel() != 1:
            raise ValueError(f"Tensor betas[{i}] must be 1-element, got shape {tuple(beta.shape)}")


@chained
def _nearer(m: Tensor, g: Tensor, share: Tensor) -> Tensor:
    return m + share * (g - m)


@chained
def _mean_square(v: Tensor, g: Tensor, beta: Any, rest: Any) -> Tensor:
    return beta * v + rest * (g * g)


@chained
def _stepped(w: Tensor, m: Tensor, v: Tensor, size: Tensor, scale: Tensor, eps: float) -> Tensor:
    return w - size * (m / (v.sqrt() * scale + eps))


def moments(g: Tensor, flat: Flat, group: Group) -> tuple[Tensor, Tensor]:
    """Count the step and return the new running means of g and g²."""
    flat.count()
    m, v = flat.tensor("exp_avg"), flat.tensor("exp_avg_sq")
    beta2 = beta_of(flat, group, 1)
    if isinstance(group["betas"][0], Tensor):
        share: Any = 1 - beta_of(flat, group, 0)
    else:
        share = flat.number(lambda: 1 - group["betas"][0])
    m.copy_(_nearer(m, g, share))
    v.copy_(_mean_square(v, g, beta2, 1 - beta2))
    return m, v


def decay(w: Tensor, g: Tensor, flat: Flat, group: Group) -> tuple[Tensor, Tensor]:
    """Apply weight decay: to the parameters if the group says decoupled, else to the gradients."""
    if group["decoupled_weight_decay"]:
        return shrunk(w, flat, group), g
    return w, decayed(w, g, flat, group)


class Adam(Optimizer):
    """w ← w − lr · m̂ / (√v̂ + eps), m̂ and v̂ the bias-corrected running means of g and g² (Kingma and Ba
    2015).

    `amsgrad` uses the largest v so far (Reddi et al. 2018); `weight_decay` adds weight_decay · w to g.

    >>> import tabgrad as tg
    >>> w = tg.tensor([1.0, -2.0], device="cpu", requires_grad=True)
    >>> optimizer = tg.optim.Adam([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([ 0.5000, -1.5000], requires_grad=True)
    """

    _counters = ("step",)

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-3, betas: Betas = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, amsgrad: bool = False, *,
        foreach: bool | None = None, maximize: bool = False, capturable: bool = False,
        differentiable: bool = False, fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:  # fmt: skip
        chosen = flags(
            foreach=foreach, capturable=capturable, differentiable=differentiable, fused=fused
        )
        check_lr(lr, chosen, foreach=False)
        nonnegative(epsilon=eps, weight_decay=weight_decay)
        check_betas(betas, chosen)
        fractions("beta", betas)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "amsgrad": amsgrad, "maximize": maximize, **chosen,
            "decoupled_weight_decay": decoupled_weight_decay,
        })  # fmt: skip

    def update(self, w: Tensor, g: Tensor, flat: Flat, group: Group) -> Tensor:
        """One step."""
        w, g = decay(w, g, flat, group)
        m, v = moments(g, flat, group)
        if group["amsgrad"]:
            largest = flat.tensor("max_exp_avg_sq")
            largest.copy_(tg.maximum(largest, v))
            v = largest
        now = flat.numbers
        if isinstance(group["betas"][0], Tensor):
            t = flat.number(lambda: now["step"])
            scale = (1 - beta_of(flat, group, 1) ** t).rsqrt()
            size = flat.rate(group, lambda lr: lr) / (1 - beta_of(flat, group, 0) ** t)
        else:
            scale = flat.number(lambda: 1 / math.sqrt(1 - group["betas"][1] ** now["step"]))
            size = flat.rate(group, lambda lr: lr / (1 - group["betas"][0] ** now["step"]))
        return _stepped(w, m, v, size, scale, group["eps"])


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: w ← w − lr · weight_decay · w (Loshchilov and Hutter
    2019)."""

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-3, betas: Betas = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 1e-2, amsgrad: bool = False, *,
        maximize: bool = False, foreach: bool | None = None, capturable: bool = False,
        differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize,
            capturable=capturable, differentiable=differentiable, fused=fused,
            decoupled_weight_decay=True,
        )  # fmt: skip


class NAdam(Optimizer):
    """Adam with Nesterov momentum, whose weight follows a schedule (Dozat 2016)."""

    _counters = ("step", "mu_product")

    def __init__(
        self, params: Params, lr: float | Tensor = 2e-3, betas: Betas = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False, *, foreach: bool | None = None,
        maximize: bool = False, capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        chosen = flags(foreach=foreach, capturable=capturable, differentiable=differentiable)
        check_lr(lr, chosen)
        nonnegative(epsilon=eps, weight_decay=weight_decay, momentum_decay=momentum_decay)
        fractions("beta", betas)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, **chosen,
        })  # fmt: skip

    def update(self, w: Tensor, g: Tensor, flat: Flat, group: Group) -> Tensor:
        """One step."""
        w, g = decay(w, g, flat, group)
        m, v = moments(g, flat, group)
        now = flat.numbers

        def mu(t: float) -> float:
            return betas_of(group)[0] * (1 - 0.5 * 0.96 ** (t * group["momentum_decay"]))

        def advance() -> None:
            now["mu_product"] = rounded(now.get("mu_product", 1.0) * mu(now["step"]))

        def of_g(lr: float) -> float:
            return lr * (1 - mu(now["step"])) / (1 - now["mu_product"])

        def of_m(lr: float) -> float:
            after = mu(now["step"] + 1)
            return lr * after / (1 - now["mu_product"] * after)

        flat.change(advance)
        scale = flat.number(lambda: 1 / math.sqrt(1 - betas_of(group)[1] ** now["step"]))
        size = v.sqrt() * scale + group["eps"]
        return w - (flat.rate(group, of_g) * g + flat.rate(group, of_m) * m) / size


class RAdam(Optimizer):
    """Adam that begins as momentum, until the variance of its step sizes is known (Liu et al. 2020)."""

    _counters = ("step",)

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-3, betas: Betas = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, decoupled_weight_decay: bool = False, *,
        foreach: bool | None = None, maximize: bool = False, capturable: bool = False,
        differentiable: bool = False,
    ) -> None:  # fmt: skip
        chosen = flags(foreach=foreach, capturable=capturable, differentiable=differentiable)
        check_lr(lr, chosen)
        nonnegative(epsilon=eps, weight_decay=weight_decay)
        fractions("beta", betas)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "maximize": maximize, "foreach": chosen["foreach"], "capturable": chosen["capturable"],
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": chosen["differentiable"],
        })  # fmt: skip

    def update(self, w: Tensor, g: Tensor, flat: Flat, group: Group) -> Tensor:
        """One step."""
        w, g = decay(w, g, flat, group)
        m, v = moments(g, flat, group)
        now = flat.numbers

        def adaptive() -> float:
            t, beta2 = now["step"], betas_of(group)[1]
            last = 2 / (1 - beta2) - 1
            rho = last - 2 * t * beta2**t / (1 - beta2**t)
            if rho <= 5:
                return 0.0
            rectified = (rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho)
            return math.sqrt((1 - beta2**t) * rectified)

        def rate(lr: float) -> float:
            return lr / (1 - betas_of(group)[0] ** now["step"])

        # both kinds of step are in the formula, one times zero, as a replay takes no branches
        by_variance = flat.rate(group, lambda lr: rate(lr) * adaptive())
        plain = flat.rate(group, lambda lr: rate(lr) * (adaptive() == 0))
        return w - m * (by_variance / (v.sqrt() + group["eps"]) + plain)


class Adamax(Optimizer):
    """Adam with the running maximum of |g| in place of √v̂ (Kingma and Ba 2015)."""

    _counters = ("step",)

    def __init__(
        self, params: Params, lr: float | Tensor = 2e-3, betas: Betas = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, foreach: bool | None = None, *,
        maximize: bool = False, differentiable: bool = False, capturable: bool = False,
    ) -> None:  # fmt: skip
        chosen = flags(
            foreach=foreach, maximize=maximize, differentiable=differentiable, capturable=capturable
        )
        check_lr(lr, chosen)
        nonnegative(epsilon=eps, weight_decay=weight_decay)
        fractions("beta", betas)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            **chosen,
        })  # fmt: skip

    def update(self, w: Tensor, g: Tensor, flat: Flat, group: Group) -> Tensor:
        """One step."""
        g = decayed(w, g, flat, group)
        flat.count()
        m, largest = flat.tensor("exp_avg"), flat.tensor("exp_inf")
        m.copy_(m + flat.number(lambda: 1 - betas_of(group)[0]) * (g - m))
        largest.copy_(tg.maximum(beta_of(flat, group, 1) * largest, g.abs() + group["eps"]))
        now = flat.numbers
        size = flat.rate(group, lambda lr: lr / (1 - betas_of(group)[0] ** now["step"]))
        return w - size * (m / largest)

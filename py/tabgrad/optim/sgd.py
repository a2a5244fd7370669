"""Gradient descent with momentum."""

from __future__ import annotations

import tabgrad as tg
from tabgrad.optim.flat import Flat
from tabgrad.optim.optimizer import Group, Optimizer, Params, check_lr, flags, nonnegative
from tabgrad.tensor.chained import chained

Tensor = tg.Tensor


@chained
def combined(x: Tensor, y: Tensor, share: Tensor | float) -> Tensor:
    """Return x + share · y."""
    return x + share * y


@chained
def _without(w: Tensor, g: Tensor, share: Tensor) -> Tensor:
    return w - share * g


@chained
def _gathered(v: Tensor, g: Tensor, momentum: Tensor) -> Tensor:
    return momentum * v + g


def decayed(w: Tensor, g: Tensor, flat: Flat, group: Group) -> Tensor:
    """Return the gradient with that of ½ weight_decay |w|² added."""
    if not group["weight_decay"]:
        return g
    return combined(g, w, flat.number(lambda: group["weight_decay"]))


def shrunk(w: Tensor, flat: Flat, group: Group) -> Tensor:
    """Return the parameters after decoupled weight decay: w − lr · weight_decay · w."""
    if not group["weight_decay"]:
        return w
    return _without(w, w, flat.rate(group, lambda lr: lr * group["weight_decay"]))


class SGD(Optimizer):
    """w ← w − lr · v, with v ← momentum · v + (1 − dampening) · g and v = g in the first step.

    `nesterov` takes g + momentum · v instead of v; `weight_decay` adds weight_decay · w to g;
    `maximize` turns g around.

    >>> import tabgrad as tg
    >>> w = tg.tensor([1.0, 2.0], device="cpu", requires_grad=True)
    >>> optimizer = tg.optim.SGD([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0., 0.], requires_grad=True)

    Sparse gradients are taken without weight decay.
    """

    complex_too = True
    _sparse = True

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-3, momentum: float = 0, dampening: float = 0,
        weight_decay: float = 0, nesterov: bool = False, *, maximize: bool = False,
        foreach: bool | None = None, differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        chosen = flags(foreach=foreach, differentiable=differentiable, fused=fused)
        check_lr(lr, chosen)
        nonnegative(momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening,
            "weight_decay": weight_decay, "nesterov": nesterov, "maximize": maximize, **chosen,
        })  # fmt: skip

    def update(self, w: Tensor, g: Tensor, flat: Flat, group: Group) -> Tensor:
        """One step."""
        g = decayed(w, g, flat, group)
        if group["momentum"]:
            momentum = flat.number(lambda: group["momentum"])
            if group["dampening"]:
                now = flat.numbers
                now.setdefault("_step", int("momentum_buffer" in flat.tensors))
                flat.count("_step")
                # dampening begins after the first step, which a replay must not repeat
                share = flat.number(lambda: 1 - (now["_step"] > 1) * group["dampening"])
                g = share * g
            v = flat.tensor("momentum_buffer")
            v.copy_(_gathered(v, g, momentum))
            g = combined(g, v, momentum) if group["nesterov"] else v
        return _without(w, g, flat.rate(group, lambda lr: lr))

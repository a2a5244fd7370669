"""Adafactor: second moments of matrices as the product of a row and a column."""

from __future__ import annotations

import functools
import math
from typing import Any

import tabgrad as tg
from tabgrad.core.capture import guard, live_scalar, on_replay
from tabgrad.core.trace import MODE, using
from tabgrad.optim.counters import as_number
from tabgrad.optim.optimizer import (
    Closure,
    Group,
    Optimizer,
    Params,
    check_lr,
    flags,
    nonnegative,
    number_of,
)  # fmt: skip

Tensor = tg.Tensor


class Adafactor(Optimizer):
    """Steps relative to the size of the parameters, with factored second moments (Shazeer and Stern 2018).

    `eps` are the least variance (None: the machine epsilon) and the least size of a parameter; `d` bounds
    the size of an update; the running means forget at the rate step^beta2_decay.
    """

    _counters = ("step",)

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-2, beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3), d: float = 1.0, weight_decay: float = 0.0,
        *, foreach: bool | None = None, maximize: bool = False,
    ) -> None:  # fmt: skip
        chosen = flags(foreach=foreach)
        check_lr(lr, chosen)
        nonnegative(weight_decay=weight_decay)
        if beta2_decay > 0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if d < 1:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        super().__init__(params, {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d,
            "weight_decay": weight_decay, **chosen, "maximize": maximize,
        })  # fmt: skip

    def step(self, closure: Closure | None = None) -> Any:
        """Change the parameters once; return what `closure`, which computes the loss anew, returned."""
        loss = None
        if closure is not None:
            with tg.enable_grad():
                loss = closure()
        with tg.no_grad():
            for group in self.param_groups:
                guard(functools.partial(self._static, group))
                for p in group["params"]:
                    if p.grad is not None:
                        p.copy_(self._new(p, -p.grad if group["maximize"] else p.grad, group))
        return loss

    def _new(self, w: Tensor, g: Tensor, group: Group) -> Tensor:
        own = self.state[w]
        if not own:
            # outside of a capture: the state of a compiled step must exist before it
            with using(MODE.get().replace(capture=None)):
                own.update(_start(w))
        own["step"] = as_number("step", own["step"])
        on_replay(lambda: own.update(step=own["step"] + 1), own)
        number = functools.partial(live_scalar, dtype=w.dtype, device=w.device)
        eps1, eps2 = group["eps"]
        eps1 = tg.finfo(w.dtype).eps if eps1 is None else eps1
        root = math.sqrt(w.numel())
        share = number(lambda: own["step"] ** group["beta2_decay"])
        lr = group["lr"]
        if isinstance(lr, Tensor) and lr.device is w.device:
            lr = lr.reshape(()).to(w.dtype)
        else:
            lr = number(lambda: number_of(group["lr"]))
        rate = tg.minimum(lr, number(lambda: 1 / math.sqrt(own["step"])))
        size = (_norm(w) / root).clamp(min=eps2) * rate
        if group["weight_decay"]:
            w = w - lr * number(lambda: group["weight_decay"]) * w
        step = _variance(own, g, share, eps1).clamp(min=eps1 * eps1).rsqrt() * g
        return w - size / (_norm(step) / (root * group["d"])).clamp(min=1.0) * step


def _start(w: Tensor) -> dict[str, Any]:
    where: dict[str, Any] = {"dtype": w.dtype, "device": w.device}
    if w.ndim < 2:
        return {"step": 0, "variance": tg.zeros(w.shape, **where)}
    *batch, rows, columns = w.shape
    return {
        "step": 0,
        "row_var": tg.zeros((*batch, rows, 1), **where),
        "col_var": tg.zeros((*batch, 1, columns), **where),
    }


def _variance(own: dict[str, Any], g: Tensor, share: Tensor, eps: float) -> Tensor:
    square = g * g
    if g.ndim < 2:
        v: Tensor = own["variance"]
        v.copy_(v + share * (square - v))
        return v
    rows: Tensor = own["row_var"]
    columns: Tensor = own["col_var"]
    rows.copy_(rows + share * (square.mean(-1, keepdim=True) - rows))
    columns.copy_(columns + share * (square.mean(-2, keepdim=True) - columns))
    return rows @ columns / rows.mean(-2, keepdim=True).clamp(min=eps)


def _norm(x: Tensor) -> Tensor:
    return (x * x).sum().sqrt()

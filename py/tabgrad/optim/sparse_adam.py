"""Adam for sparse gradients."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.optim.flat import Flat
from tabgrad.optim.optimizer import Group, Optimizer, Params, fractions

Tensor = tg.Tensor


class SparseAdam(Optimizer):
    """Adam that changes only those rows of parameters and state that a sparse gradient has.

    The gradients are those of `Embedding(sparse=True)` and the like; a dense one raises RuntimeError.

    >>> import tabgrad as tg
    >>> table = tg.nn.Embedding(3, 1, sparse=True, device="cpu")
    >>> optimizer = tg.optim.SparseAdam(table.parameters(), lr=0.5)
    >>> before = table.weight.detach().clone()
    >>> table(tg.tensor([2], device="cpu")).sum().backward()
    >>> optimizer.step()
    >>> (before - table.weight.detach()).squeeze()
    tensor([0.0000, 0.0000, 0.5000])
    """

    _sparse = True

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, maximize: bool = False,
    ) -> None:  # fmt: skip
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        for name, value in (("learning rate", lr), ("epsilon value", eps)):
            if not value > 0:
                raise ValueError(f"Invalid {name}: {value}")
        fractions("beta", betas)
        defaults = {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize}
        super().__init__(params, defaults)

    def _check_params(self, given: list[Any]) -> None:
        places = [
            i for i, p in enumerate(given) if getattr(p, "layout", tg.strided) is not tg.strided
        ]
        if places:
            raise ValueError(
                f"Sparse params at indices {places}: SparseAdam requires dense parameter tensors"
            )
        super()._check_params(given)

    def update(self, w: Tensor, g: Tensor, flat: Flat, group: Group) -> Tensor:
        """One step."""
        if any(p._grad is not None and p._grad.layout is tg.strided for p in flat.params):
            raise RuntimeError(
                "SparseAdam does not support dense gradients, please consider Adam instead"
            )
        flat.count()
        now = flat.numbers
        first, second = group["betas"]
        hit = flat.touched()
        assert hit is not None
        m, v = flat.tensor("exp_avg"), flat.tensor("exp_avg_sq")
        m.copy_(tg.where(hit, m + (1 - first) * (g - m), m))
        v.copy_(tg.where(hit, v + (1 - second) * (g * g - v), v))

        def scaled(lr: float) -> float:
            t = now["step"]
            return float(lr * (1 - second**t) ** 0.5 / (1 - first**t))

        rate = flat.rate(group, scaled)
        return tg.where(hit, w - rate * (m / (v.sqrt() + group["eps"])), w)

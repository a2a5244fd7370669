"""Muon: momentum whose matrices are made orthogonal."""

from __future__ import annotations

import math

import tabgrad as tg
from tabgrad.optim.flat import Flat
from tabgrad.optim.optimizer import Group, Optimizer, Params, check_lr, nonnegative
from tabgrad.optim.sgd import shrunk

Tensor = tg.Tensor
Coefficients = tuple[float, float, float]


def orthogonalized(matrix: Tensor, coefficients: Coefficients, steps: int, eps: float) -> Tensor:
    """Return nearly U Vᵀ of a matrix U S Vᵀ, by a Newton–Schulz iteration of a quintic (Jordan et al. 2024)."""
    a, b, c = coefficients
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = x / (x * x).sum().sqrt().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x if wide else x.T


class Muon(Optimizer):
    """For weight matrices: w ← w − lr · r · orthogonalised momentum, with decoupled weight decay.

    `adjust_lr_fn` says what r is for an (A, B) matrix: "original" (also None) max(1, A/B)^½,
    "match_rms_adamw" 0.2 · max(A, B)^½. Everything that is not a matrix needs another optimizer.
    """

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-3, weight_decay: float = 0.1,
        momentum: float = 0.95, nesterov: bool = True,
        ns_coefficients: Coefficients = (3.4445, -4.7750, 2.0315), eps: float = 1e-7,
        ns_steps: int = 5, adjust_lr_fn: str | None = None,
    ) -> None:  # fmt: skip
        check_lr(lr, {})
        nonnegative(momentum=momentum, weight_decay=weight_decay)
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        if ns_steps >= 100:
            raise ValueError(f"ns_steps must be less than 100, got {ns_steps}")
        super().__init__(params, {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum,
            "nesterov": nesterov, "ns_coefficients": ns_coefficients, "eps": eps,
            "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn,
        })  # fmt: skip
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(
                        "Muon only supports 2D parameters whereas we found a parameter with size: "
                        f"{tuple(p.shape)}"
                    )

    def update(self, w: Tensor, g: Tensor, flat: Flat, group: Group) -> Tensor:
        """One step."""
        momentum = flat.number(lambda: group["momentum"])
        v = flat.tensor("momentum_buffer")
        v.copy_(g + momentum * (v - g))
        direction = g + momentum * (v - g) if group["nesterov"] else v
        lr = flat.rate(group, lambda lr: lr)
        moves = []
        for matrix in flat.split(direction):
            rows, columns = matrix.shape
            if group["adjust_lr_fn"] == "match_rms_adamw":
                scale = 0.2 * math.sqrt(max(rows, columns))
            else:
                scale = math.sqrt(max(1, rows / columns))
            orthogonal = orthogonalized(
                matrix, group["ns_coefficients"], group["ns_steps"], group["eps"]
            )
            moves.append((orthogonal * scale).reshape(-1))
        move = moves[0] if len(moves) == 1 else tg.cat(moves)
        return shrunk(w, flat, group) - lr * move

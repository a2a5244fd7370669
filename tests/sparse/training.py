"""Sparse gradients of embeddings, and steps of optimizers on them, with either library."""

from __future__ import annotations

from typing import Any

OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.05}), ("SGD", {"lr": 0.02, "momentum": 0.9}),
    ("SGD", {"lr": 0.02, "momentum": 0.5, "nesterov": True}),
    ("SGD", {"lr": 0.02, "momentum": 0.5, "dampening": 0.3}),
    ("Adagrad", {"lr": 0.1}), ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.2}),
    ("SparseAdam", {"lr": 0.05}), ("SparseAdam", {"lr": 0.05, "betas": (0.8, 0.9), "maximize": True}),
]  # fmt: skip

REFUSING: list[tuple[str, dict[str, Any]]] = [
    ("Adam", {}), ("AdamW", {}), ("RMSprop", {}), ("Adadelta", {}), ("Adamax", {}), ("NAdam", {}),
    ("RAdam", {}), ("Rprop", {}), ("ASGD", {}), ("SGD", {"weight_decay": 0.1}),
    ("Adagrad", {"weight_decay": 0.1}),
]  # fmt: skip

BAGS: list[dict[str, Any]] = [
    {"mode": "sum"}, {"mode": "mean"}, {"mode": "sum", "weighted": True}, {"mode": "sum", "padding_idx": 1},
]  # fmt: skip


def table(t: Any, device: str, **options: Any) -> Any:
    """Return an embedding whose gradient is sparse."""
    made = t.nn.Embedding(6, 3, sparse=True, device=device, **options)
    return filled(t, made, device)


def filled(t: Any, made: Any, device: str) -> Any:
    """Fill the table of a module with fixed numbers."""
    rows = [[((i * 7 + j * 3) % 11 - 5) / 4 for j in range(3)] for i in range(6)]
    made.weight.data.copy_(t.tensor(rows, device=device))
    return made


def loss(t: Any, rows: Any, device: str) -> Any:
    """Return a number that depends on all rows."""
    return (rows * rows * t.tensor([1.0, -0.5, 2.0], device=device)).sum()


def trained(
    t: Any, name: str, options: dict[str, Any], device: str, steps: int = 20
) -> list[float]:
    """Return the table after some steps, each of which reads other rows."""
    w = table(t, device, padding_idx=2)
    optimizer = getattr(t.optim, name)(w.parameters(), **options)
    for k in range(steps):
        optimizer.zero_grad()
        index = t.tensor([[(k * k + 3 * j) % 6 for j in range(4)]], device=device)
        loss(t, w(index), device).backward()
        assert w.weight.grad.is_sparse
        optimizer.step()
    return list(w.weight.detach().reshape(-1).tolist())


def bagged(t: Any, options: dict[str, Any], device: str) -> list[Any]:
    """Return the gradient of an EmbeddingBag: the rows of each element, and the table it stands for."""
    options = dict(options)
    weighted = options.pop("weighted", False)
    w = filled(t, t.nn.EmbeddingBag(6, 3, sparse=True, device=device, **options), device)
    index = t.tensor([0, 5, 1, 5, 2], device=device)
    weights = t.tensor([0.5, 2.0, -1.0, 1.5, 1.0], device=device) if weighted else None
    offsets = t.tensor([0, 2], device=device)
    loss(t, w(index, offsets, per_sample_weights=weights), device).backward()
    grad = w.weight.grad
    return [grad.is_sparse, grad.to_dense().tolist()]

"""The same seed gives the same bits, whatever adds up: scatters, reductions, products, a training."""

from __future__ import annotations

import struct
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn

pytestmark = pytest.mark.every_host


def bits(x: Any) -> bytes:
    """The bits of the elements of a float32 tensor."""
    flat = x.detach().reshape(-1).tolist()
    return struct.pack(f"{len(flat)}f", *flat)


def crowded(device: str) -> tuple[Any, Any]:
    """Values of very different sizes, so that every other order of adding shows, and seven places for them."""
    tg.manual_seed(7)
    values = tg.randn(2000, 3, device=device) * 10.0 ** tg.randint(-4, 5, (2000, 1), device=device)
    places = tg.randint(0, 7, (2000,), device=device)
    # read, so that the values are there and the programs below are kernels of their own
    assert len(values.tolist()) == len(places.tolist())
    return values, places


PROGRAMS = {
    "sum": lambda x, i: x.sum(),
    "sum over a dim": lambda x, i: x.sum(0),
    "index_add": lambda x, i: tg.zeros(7, 3, device=x.device).index_add(0, i, x),
    "scatter_add": lambda x, i: tg.zeros(7, 3, device=x.device).scatter_add(
        0, i[:, None].expand(2000, 3), x
    ),
    "index_put": lambda x, i: tg.zeros(7, 3, device=x.device).index_put((i,), x, accumulate=True),
    "scatter_reduce": lambda x, i: tg.ones(7, 3, device=x.device).scatter_reduce(
        0, i[:, None].expand(2000, 3), x, "mean"
    ),
    "index_select": lambda x, i: x.index_select(0, i) * 3.0,
    "embedding": lambda x, i: nn.functional.embedding(i, x).sin(),
    "matmul": lambda x, i: x.T @ x,
    "cumsum": lambda x, i: x.cumsum(0),
    "logsumexp": lambda x, i: x.logsumexp(0),
    "dropout": lambda x, i: nn.functional.dropout(x, 0.3),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients_repeat_bit_by_bit(name: str, device: str) -> None:
    runs = []
    for _ in range(3):
        x, places = crowded(device)
        x.requires_grad_()
        y = PROGRAMS[name](x * 1.5, places)
        ct = (tg.arange(y.numel(), device=device) % 7 - 3.5).reshape(y.shape)
        (g,) = tg.autograd.grad(y, x, ct)
        runs.append((bits(y), bits(g)))
    assert runs[0] == runs[1] == runs[2]


def trained(device: str) -> list[bytes]:
    tg.manual_seed(3)
    net = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3)).to(device)
    optimizer = tg.optim.Adam(net.parameters(), lr=0.05)
    x = tg.randn(32, 5, device=device)
    labels = tg.randint(0, 3, (32,), device=device)
    for _ in range(4):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), labels).backward()
        optimizer.step()
    return [bits(p) for p in net.parameters()]


def test_a_training_repeats_bit_by_bit(device: str) -> None:
    tg.use_deterministic_algorithms(True)
    try:
        assert trained(device) == trained(device)
    finally:
        tg.use_deterministic_algorithms(False)

"""What a compiled call depended on, once it was replaced, is not kept alive by the capture."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn, optim, profiler
from tabgrad.nn import functional as F

pytestmark = pytest.mark.one_host("wgpu")


def live() -> int:
    gc.collect()
    return profiler.memory().bytes


N = 64


def layer(device: str) -> Any:
    return nn.Linear(N, N, device=device)


def grown(do: Any, times: int = 3) -> int:
    """Return by how many bytes memory grows over that many calls, after three to settle."""
    for _ in range(2):
        do()
    before = live()
    for _ in range(times):
        do()
    return live() - before


def test_parameters_that_were_replaced(device: str) -> None:
    model = layer(device)
    x = tg.ones(2, N, device=device)
    f = tg.compile(lambda x: model(x).detach())
    g = tg.compile(lambda x: model(x).detach().sum())

    def do() -> None:
        model.load_state_dict(layer(device).state_dict(), assign=True)
        tg.testing.assert_close(f(x), model(x).detach())
        g(x)
        f(x)

    assert grown(do) < N * N * 4


@pytest.mark.parametrize("how", ["attribute", "tuple", "list", "dict", "global"])
def test_state_that_was_replaced(device: str, how: str) -> None:
    class Holder:
        pass

    holder: Any = Holder()
    put = {
        "attribute": lambda t: t, "tuple": lambda t: (t, t + 1), "list": lambda t: [t],
        "dict": lambda t: {"h": t}, "global": lambda t: t,
    }[how]  # fmt: skip

    def take() -> Any:
        return holder.h if how in ("attribute", "global") else next(iter(_values(holder.h)))

    def _values(h: Any) -> Any:
        return h.values() if isinstance(h, dict) else h

    f = tg.compile(lambda x: x + take())
    x = tg.ones(N, N, device=device)

    def do() -> None:
        holder.h = put(tg.rand(N, N, device=device))
        for _ in range(2):
            f(x)

    assert grown(do) < 2 * N * N * 4


def test_a_model_and_its_optimizer_that_were_replaced(device: str) -> None:
    x = tg.ones(2, N, device=device)
    model = layer(device)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)

    @tg.compile
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), x)
        loss.backward()
        optimizer.step()
        return loss.detach()

    gone = []

    def do() -> None:
        nonlocal model, optimizer
        gone.append(weakref.ref(model.weight))
        model = layer(device)
        optimizer = optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(3):
            step(x)

    assert grown(do) < 3 * N * N * 4
    assert [ref() for ref in gone[:-1]] == [None] * (len(gone) - 1)


def test_what_is_put_back_is_replayed_again(device: str) -> None:
    a, b = layer(device), layer(device)
    x = tg.ones(2, N, device=device)
    model = a
    f = tg.compile(lambda x: model(x).detach())
    for i in range(12):
        model = a if i % 2 else b
        tg.testing.assert_close(f(x), model(x).detach())
    assert f.traces <= 4

"""Recurrent training steps: how many kernels a step of the recurrence costs, and that the numbers are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad import nn
from tabgrad.nn import functional as F
from tests.grouped import grouped
from tests.lower import recorder
from tests.sampling import EVERY_CASE

Net = Callable[[Any, Any], Any]


def layer(kind: str, **options: Any) -> tuple[Any, Net]:
    return getattr(nn, kind)(3, 6, **options), lambda rnn, x: rnn(x)[0]


def cell(kind: str) -> tuple[Any, Net]:
    def run(rnn: Any, x: Any) -> Any:
        state = None
        for at in x:
            state = rnn(at, state)
        return state[0] if kind == "LSTMCell" else state

    return getattr(nn, kind)(3, 6), run


def by_hand() -> tuple[Any, Net]:
    def run(rnn: Any, x: Any) -> Any:
        h = tg.zeros(x.shape[1], 6, device=x.device)
        for at in x:
            h = tg.tanh(rnn[0](at) + rnn[1](h))
        return h

    return nn.ModuleList([nn.Linear(3, 6), nn.Linear(6, 6)]), run


def gated() -> tuple[Any, Net]:
    def run(rnn: Any, x: Any) -> Any:
        h = tg.zeros(x.shape[1], 6, device=x.device)
        for at in x:
            a, b = rnn(tg.cat([at, h], 1)).chunk(2, 1)
            h = h + (F.tanh(b) - h) * F.sigmoid(a)
        return h

    return nn.Linear(9, 12), run


def convolved(**options: Any) -> tuple[Any, Net]:
    def run(convs: Any, x: Any) -> Any:
        y = convs[0](x[:2].transpose(0, 1).unsqueeze(1))
        for _ in x:
            y = F.relu(y + convs[1](y))
        return y

    return nn.ModuleList([nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 3, **options)]), run


def summed() -> tuple[Any, Net]:
    def run(layer: Any, x: Any) -> Any:
        total = tg.zeros(x.shape[1], 6, device=x.device)
        for i in range(len(x)):
            total = tg.relu(layer(x[i]) @ layer.weight + total[:, :3]).repeat(1, 2)
        return total

    return nn.Linear(3, 6), run


def in_blocks() -> tuple[Any, Net]:
    """Attention, a block of four queries at a time."""

    def run(layer: Any, x: Any) -> Any:
        q, k, v = layer(x.transpose(0, 1)).chunk(3, -1)
        blocks = q.split(4, 1)
        return tg.cat([F.softmax(b @ k.transpose(1, 2), -1) @ v for b in blocks], 1)

    return nn.Linear(3, 18), run


NETS: dict[str, tuple[Callable[[], tuple[Any, Net]], int]] = {
    "LSTM": (lambda: layer("LSTM"), 3),
    "LSTM of two layers": (lambda: layer("LSTM", num_layers=2), 6),
    "GRU": (lambda: layer("GRU"), 3),
    "RNN": (lambda: layer("RNN"), 2),
    "LSTMCell": (lambda: cell("LSTMCell"), 3),
    "GRUCell": (lambda: cell("GRUCell"), 3),
    "by hand": (by_hand, 2),
    "gated": (gated, 5),
    "one convolution": (lambda: convolved(padding=1), 2),
    "one with a dilation": (lambda: convolved(padding=2, dilation=2), 2),
    "one with groups": (lambda: convolved(padding=1, groups=2), 3),
}
"""Networks, and how many dispatches one more step may cost, gradients and the optimizer included."""
CASES = [(name, batch) for name in NETS for batch in (1, 7)]
"""With a batch of one, products are outer ones."""


def trained(make: Any, device: Any, batch: int, steps: int, times: int = 1) -> list[Any]:
    tg.manual_seed(0)
    net, run = make()
    net, draw = net.to(device), np.random.default_rng(steps)
    x = tg.tensor(draw.uniform(-1, 1, (steps, batch, 3)).astype("f"), device=device)
    optimizer = tg.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(times):
        optimizer.zero_grad()
        loss = (run(net, x) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return [*losses, *(p.detach() for p in net.parameters()), *(p.grad for p in net.parameters())]


def dispatches(make: Any, batch: int, steps: int) -> int:
    device = recorder.device()
    trained(make, device, batch, steps)
    device.backend.flush()
    before = device.backend.counters.dispatches
    trained(make, device, batch, steps)
    device.backend.flush()
    return int(device.backend.counters.dispatches - before)


HALF = [case for i, case in enumerate(CASES) if i % 4 in (0, 3)]
"""One batch of each net; its neighbour has the other."""


@grouped("name, batch", CASES if EVERY_CASE else HALF)
def test_dispatches_of_one_more_step(name: str, batch: int) -> None:
    make, most = NETS[name]
    assert dispatches(make, batch, 11) - dispatches(make, batch, 9) <= 2 * most


LOOPS = {
    **{name: make for name, (make, _) in NETS.items()},
    "summed": summed,
    "in blocks": in_blocks,
}
MORE = 3
"""The texts that a recurrence of 16 steps may have more than one of 8: sums may take another way at a size."""


def texts(make: Any, batch: int, steps: int) -> int:
    device = recorder.device()
    trained(make, device, batch, steps)
    device.backend.flush()
    plans = [entry.plan for entry in device.backend.plans.values()]
    return len({(k.source, k.overrides) for plan in plans for k in plan.kernels})


@grouped("name", [*LOOPS])
def test_all_steps_share_their_texts(name: str) -> None:
    each = (1, 7) if EVERY_CASE else ((1, 7)[[*LOOPS].index(name) % 2],)
    for batch in each:
        few, many = (texts(LOOPS[name], batch, steps) for steps in (8, 16))
        assert many <= few + MORE


@pytest.mark.every_host
@grouped("name, batch", HALF)
def test_values_are_those_of_numpy_and_the_same_each_time(
    device: Any, name: str, batch: int
) -> None:
    make, _ = NETS[name]
    for steps in (2, 5):
        want, got, again = (trained(make, d, batch, steps, 2) for d in ("cpu", device, device))
        for a, b, c in zip(want, got, again, strict=True):
            a, b, c = (v.cpu().numpy() for v in (a, b, c))
            np.testing.assert_allclose(b, a, rtol=0, atol=4e-6 * max(np.abs(a).max(), 0.1))
            np.testing.assert_array_equal(b, c)

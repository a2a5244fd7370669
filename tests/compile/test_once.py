"""A training step compiles once: its second call has the kernels of the first, eagerly and compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn, optim
from tabgrad.nn import functional as F
from tests.grouped import grouped
from tests.lower import recorder

MODELS: dict[str, Callable[[], Any]] = {
    "norm": lambda: nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3)),
    "one parameter": lambda: nn.Linear(6, 3, bias=False),
    "frozen": lambda: nn.Sequential(nn.Linear(6, 8).requires_grad_(False), nn.Linear(8, 3)),
    "batch norm": lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)),
    "dropout": lambda: nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3), nn.Linear(8, 3)),
}
OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "Adam": lambda p: optim.Adam(p, lr=0.01),
    "amsgrad": lambda p: optim.AdamW(p, lr=0.01, amsgrad=True),
    "SGD": lambda p: optim.SGD(p, lr=0.01),
    "momentum": lambda p: optim.SGD(p, lr=0.01, momentum=0.9, dampening=0.1),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.01, initial_accumulator_value=0.1),
    "Adadelta": optim.Adadelta,
    "NAdam": optim.NAdam,
    "Adamax": optim.Adamax,
    "Rprop": optim.Rprop,
}


def steps(model: str, optimizer: str, compiled: bool) -> tuple[list[int], Any]:
    """Return how many plans and pipelines each of four steps has made, and the step."""
    where = recorder.device()
    with where:
        tg.manual_seed(0)
        net = MODELS[model]()
        o = OPTIMIZERS[optimizer](net.parameters())
        x, y = tg.tensor([[0.5] * 6] * 4), tg.tensor([0, 1, 2, 0])

        def step() -> Any:
            o.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            o.step()
            return loss.detach()

        run = tg.compile(step) if compiled else step
        c, made = where.backend.counters, []
        for _ in range(4):
            before = c.plans + c.pipelines
            run().tolist()
            made.append(c.plans + c.pipelines - before)
    return made, run


CASES = [
    *((m, "Adam", c) for m in MODELS for c in (False, True)),
    *(("norm", o, c) for o in OPTIMIZERS for c in (False, True)),
]


@grouped("model, optimizer, compiled", CASES)
def test_the_second_step_makes_nothing(model: str, optimizer: str, compiled: bool) -> None:
    made, run = steps(model, optimizer, compiled)
    assert made[0] > 0
    assert made[1:] == [0, 0, 0], made
    assert not compiled or run.traces == 1


@pytest.mark.every_host
def test_parameters_keep_their_values_and_their_sharing_when_they_are_moved(device: str) -> None:
    with tg.device(device):
        a, b = nn.Parameter(tg.arange(6.0).reshape(2, 3)), nn.Parameter(tg.full((3,), 2.0))
        lazy = nn.Parameter(tg.ones(2) * 3 + 1)
        sibling, version = a.detach(), a._version
        y = (a * b).sum()
        o = optim.SGD([a, b, lazy], lr=1.0)
        assert a._version == version
        y.backward()
        with tg.no_grad():
            b.mul_(2.0)
        assert [*a.tolist(), b.tolist(), lazy.tolist()] == [
            [0.0, 1.0, 2.0], [3.0, 4.0, 5.0], [4.0] * 3, [4.0, 4.0],
        ]  # fmt: skip
        o.step()
        assert a.tolist() == [[-2.0, -1.0, 0.0], [1.0, 2.0, 3.0]] == sibling.tolist()
        assert b.tolist() == [1.0, -1.0, -3.0]

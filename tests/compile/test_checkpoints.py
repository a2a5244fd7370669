"""Checkpoints inside compiled steps: the same gradients and random numbers as outside, replayed."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tabgrad.nn import functional as F
from tabgrad.utils.checkpoint import checkpoint, checkpoint_sequential, memory_budget

pytestmark = pytest.mark.every_host


def block(x: Any, w: Any, scale: float = 1.0) -> Any:
    return F.dropout((x @ w).tanh() * scale, 0.4)


def plain(x: Any, w: Any, v: Any) -> Any:
    return (block(block(x, w, scale=2.0), v) ** 2).sum()


def single(x: Any, w: Any, v: Any) -> Any:
    return (checkpoint(block, checkpoint(block, x, w, scale=2.0), v) ** 2).sum()


def nested(x: Any, w: Any, v: Any) -> Any:
    return checkpoint(lambda x: checkpoint(plain, x, w, v), x)


def sequence(x: Any, w: Any, v: Any) -> Any:
    layers = [lambda x: block(x, w, 2.0), lambda x: block(x, v)]
    return (checkpoint_sequential(layers, 2, x) ** 2).sum()


def budgeted(x: Any, w: Any, v: Any) -> Any:
    with memory_budget(100):
        return plain(x, w, v)


def values(device: str) -> list[Any]:
    def rows(n: int, m: int) -> list[list[float]]:
        return [[(-1) ** i * (1 + (i * m + j) % 5) / 5 for j in range(m)] for i in range(n)]

    return [tg.tensor(rows(n, m), device=device) for n, m in [(4, 5), (5, 3), (3, 2)]]


@pytest.mark.parametrize("form", [single, nested, sequence, budgeted], ids=lambda f: f.__name__)
def test_steps_are_those_of_the_plain_program(form: Any, device: str) -> None:
    x, w, v = values(device)
    weights = [w.requires_grad_(), v.requires_grad_()]

    def step(x: Any) -> Any:
        return tg.autograd.grad(form(x, *weights), weights)

    def expected(x: Any) -> Any:
        return tg.autograd.grad(plain(x, *weights), weights)

    compiled = tg.compile(step)
    for seed in range(4):
        results, states = [], []
        for run in (expected, compiled):
            tg.manual_seed(seed)
            results.append([g.tolist() for g in run(x * (1.0 + seed))])
            states.append(tg.get_rng_state().tolist())
        assert states[0] == states[1]
        for a, b in zip(*results, strict=True):
            assert b == [pytest.approx(row, abs=1e-5) for row in a]

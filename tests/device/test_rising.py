"""Eager programs that run often get the kernels of compiled ones; those at several sizes share kernels."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tabgrad.hosts.rising import FEW
from tests.lower import recorder


def product(where: Any, *sizes: int) -> Any:
    """Return the plan of a product of these sizes that runs now."""
    m, k, n = sizes
    with where:
        a, b = tg.tensor([[1.0] * k] * m), tg.tensor([[1.0] * n] * k)
        (a @ b).tolist()
    return recorder.last_plan(where)


def grids(plan: Any) -> list[Any]:
    return [(k.grid, k.source) for k in plan.kernels]


def test_a_plan_that_runs_often_takes_larger_tiles_when_all_are_compiled() -> None:
    where = recorder.device()
    host: Any = where.backend.host
    counters = where.backend.counters
    before = grids(product(where, 64, 64, 64))
    host.slow = 1
    for _ in range(FEW + 3):
        assert grids(product(where, 64, 64, 64)) == before
    assert len(host.soon) == 1
    plans, pipelines = counters.plans, counters.pipelines
    assert (plans, pipelines) == (1, 1)
    host.slow = 0
    after = grids(product(where, 64, 64, 64))
    assert after != before
    assert after[0][1] == host.soon[0].source
    product(where, 64, 64, 64)
    assert (counters.plans, counters.pipelines) == (2, 2)
    assert len(where.backend.plans) == 1
    # the compiled function has found the same kernels
    with where:
        a, b = tg.tensor([[1.0] * 64] * 64), tg.tensor([[1.0] * 64] * 64)
        tg.compile(lambda a, b: a @ b)(a, b).tolist()
    assert counters.pipelines == 2


def test_a_kernel_that_does_not_compile_changes_nothing() -> None:
    where = recorder.device()
    host: Any = where.backend.host
    before = grids(product(where, 64, 64, 64))
    host.slow = -1
    for _ in range(FEW + 3):
        assert grids(product(where, 64, 64, 64)) == before
    assert len(host.soon) == 1


def test_a_program_at_other_sizes_compiles_once_more_and_then_nothing() -> None:
    where = recorder.device()
    made = []
    for m in (32, 24, 17, 40, 9, 100):
        before = where.backend.counters.pipelines
        with where:
            x, w = tg.tensor([[0.5] * 6] * m), tg.tensor([[0.25] * 8] * 6, requires_grad=True)
            loss = (tg.softmax(x @ w, -1).log() ** 2).mean()
            loss.backward()
            loss.item()
            w.grad.tolist()
        made.append(where.backend.counters.pipelines - before)
    assert made[0] > 2
    assert made[2:] == [0] * 4, made


def test_sizes_far_from_others_choose_for_themselves() -> None:
    def threads(*sizes: int) -> list[Any]:
        where = recorder.device()
        with where:
            for n in sizes:
                tg.tensor([[1.0] * n] * 3).sum(1).tolist()
        return [k.overrides for k in recorder.last_plan(where).kernels]

    assert threads(7, 6, 3000) == threads(3000)


@pytest.mark.every_host
def test_results_stay_the_same_bits(device: str) -> None:
    with tg.device(device):
        tg.manual_seed(0)
        a, b = tg.randn(37, 45), tg.randn(45, 21)
        first = tg.tanh(a @ b).tolist()
        runs = [tg.tanh(a @ b).tolist() for _ in range(60)]
        assert all(y == first for y in runs)
        assert tg.compile(lambda a, b: tg.tanh(a @ b))(a, b).tolist() == first


def test_kernels_come_a_few_at_a_time() -> None:
    where = recorder.device()
    counters = where.backend.counters
    made = []
    with where:
        w = [tg.tensor([[0.5] * n] * 64) for n in (48, 64, 80, 96, 112)]
        x = tg.tensor([[1.0] * 64] * 64)
        for _ in range(FEW + 12):
            before = counters.pipelines
            sum((x @ v).sum() for v in w).item()
            made.append(counters.pipelines - before)
    assert max(made[1:]) == 2
    assert sum(made[1:]) == 5
    assert made[-3:] == [0, 0, 0]

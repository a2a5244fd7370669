"""Plans of shapes that don't come back are forgotten, with their pipelines; what still runs is kept."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tabgrad.compiler import compiled as compiling
from tabgrad.hosts import eviction
from tests.lower import recorder

MOST = 12


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction, "MOST_PLANS", MOST)


def test_plans_and_pipelines_stay_few() -> None:
    device = recorder.device()
    for n in range(1, 80):
        y = tg.ones(n, device=device).sin() * 2
        device.backend.flush()
        del y
    assert len(device.backend.plans) <= MOST
    assert len(device.backend.pipelines) <= MOST + 1
    assert len(device.backend.kernels) == len(device.backend.pipelines)


@pytest.mark.one_host("wgpu")
def test_what_was_forgotten_is_made_again(device: str) -> None:
    sums = [
        tg.ones(n, device=device).cumsum(0).sum().item() for n in (*range(1, 40), *range(1, 40))
    ]
    assert sums == [n * (n + 1) / 2 for n in (*range(1, 40), *range(1, 40))]


@pytest.mark.one_host("wgpu")
def test_a_compiled_call_keeps_its_plan(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "MOST_CALLS", 3)
    compiled: Any = tg.compile(lambda x: (x * 3 + 1).sum())
    kept = tg.ones(5, device=device)
    assert compiled(kept).item() == 20
    for n in range(6, 40):
        assert (tg.ones(n, device=device) * 2).sum().item() == 2 * n
    traces = compiled.traces
    assert compiled(kept).item() == 20
    assert compiled.traces == traces
    (known,) = compiled.known.values()
    (entry,) = known.entries
    stored = entry.plan.stored
    del entry, known
    assert stored.captured == 1
    for n in range(6, 40):
        assert compiled(tg.ones(n, device=device)).item() == 4 * n
    assert len(compiled.known) <= 3
    assert stored.captured == 0
    assert compiled(kept).item() == 20

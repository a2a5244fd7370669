"""A compiled call does what the call does, at every call."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn, optim
from tabgrad.core.errors import CaptureError
from tabgrad.nn import functional as F

pytestmark = pytest.mark.every_host


def build(device: str, dropout: float = 0.0) -> tuple[Any, Any]:
    tg.manual_seed(1)
    model = nn.Sequential(
        nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 3)
    ).to(device)
    return model, optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.1)


def batches(device: str, n: int) -> list[tuple[Any, Any]]:
    g = tg.Generator()
    g.manual_seed(5)
    return [
        (
            tg.randn(8, 6, generator=g, device=device),
            tg.randint(0, 3, (8,), generator=g, device=device),
        )
        for _ in range(n)
    ]


def train(
    device: str, wrap: Callable[[Any], Any], steps: int = 8, **options: Any
) -> tuple[list[float], Any, Any]:
    model, optimizer = build(device, **options)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, 0.8)

    @wrap
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    losses = []
    for x, y in batches(device, steps):
        losses.append(step(x, y).item())
        scheduler.step()
    return losses, model, step


def test_a_compiled_training_step_follows_the_eager_one(device: str) -> None:
    eager, model, _ = train(device, lambda fn: fn)
    compiled, twin, step = train(device, tg.compile)
    assert compiled == pytest.approx(eager, rel=2e-4)
    for a, b in zip(model.state_dict().values(), twin.state_dict().values(), strict=True):
        tg.testing.assert_close(a, b, rtol=2e-3, atol=2e-4)
    if device != "cpu":
        assert step.traces <= 3


def test_dropout_draws_anew_at_every_replay(device: str) -> None:
    tg.manual_seed(3)
    drop = nn.Dropout(0.5)
    draw = tg.compile(lambda x: drop(x))
    x = tg.ones(64, device=device)
    seen = {tuple(draw(x).tolist()) for _ in range(6)}
    assert len(seen) == 6


def test_dropout_draws_what_the_eager_call_draws(device: str) -> None:
    eager, _, _ = train(device, lambda fn: fn, dropout=0.4)
    compiled, _, _ = train(device, tg.compile, dropout=0.4)
    assert compiled == pytest.approx(eager, rel=2e-4)


def test_shapes_static_values_and_modes_are_guarded(device: str) -> None:
    drop = nn.Dropout(1.0)
    f = tg.compile(lambda x, k: drop(x) * k)
    assert f(tg.ones(3, device=device), 2).tolist() == [0, 0, 0]
    assert f(tg.ones(2, device=device), 2).tolist() == [0, 0]
    drop.eval()
    assert f(tg.ones(3, device=device), 2).tolist() == [2, 2, 2]
    assert f(tg.ones(3, device=device), 3).tolist() == [3, 3, 3]
    drop.train()
    assert f(tg.ones(3, device=device), 3).tolist() == [0, 0, 0]


def test_trees_of_results_and_constants_come_back(device: str) -> None:
    f = tg.compile(lambda x: {"a": x + 1, "b": (x.T, 5), "c": tg.zeros(2, device=device)})
    for i in range(4):
        out = f(tg.full((2, 3), float(i), device=device))
        assert out["a"].tolist() == [[i + 1.0] * 3] * 2
        assert out["b"][0].shape == (3, 2)
        assert out["b"][1] == 5
        assert out["c"].tolist() == [0, 0]


def test_buffers_change_and_results_of_earlier_calls_do_not(device: str) -> None:
    total = tg.zeros(2, device=device)

    def add(x: Any) -> Any:
        total.add_(x)
        return total * 10

    f = tg.compile(add)
    kept = [f(tg.ones(2, device=device)) for _ in range(5)]
    assert [k.tolist() for k in kept] == [[10.0 * i] * 2 for i in range(1, 6)]
    assert total.tolist() == [5, 5]
    total.zero_()
    assert f(tg.ones(2, device=device)).tolist() == [10, 10]


def test_gradients_accumulate_or_are_replaced_as_in_the_call(device: str) -> None:
    w = tg.ones(2, device=device, requires_grad=True)

    def back(x: Any) -> None:
        (w * x).sum().backward()

    f = tg.compile(back)
    for i in range(1, 6):
        f(tg.ones(2, device=device))
        assert w.grad.tolist() == [i, i]
    w.grad = None
    f(tg.ones(2, device=device))
    assert w.grad.tolist() == [1, 1]


def test_an_output_that_needs_its_gradient_runs_eagerly(device: str) -> None:
    w = tg.ones(2, device=device, requires_grad=True)
    f = tg.compile(lambda x: (w * x).sum())
    for i in range(1, 4):
        f(tg.full((2,), float(i), device=device)).backward()
    assert w.grad.tolist() == [6, 6]


def test_a_read_inside_runs_as_it_is_with_one_warning_that_names_the_line(device: str) -> None:
    f = tg.compile(lambda x: x * x.sum().item())
    x = tg.ones(2, device=device)
    if device == "cpu":  # there the function runs as it is
        assert f(x).tolist() == [2, 2]
        return
    with pytest.warns(UserWarning, match=r"reads a value \(item\) at .*test_compile\.py:\d+"):
        f(x)
    for i in range(1, 8):  # a second warning would be an error
        assert f(x * i).tolist() == [2 * i * i] * 2
    assert "reads a value" in str(f.explain(x))


def test_a_read_inside_raises_with_fullgraph_and_leaves_the_program_usable(device: str) -> None:
    f = tg.compile(lambda x: x * x.sum().item(), fullgraph=True)
    x = tg.ones(2, device=device)
    if device == "cpu":
        return
    for _ in range(3):
        with pytest.raises(CaptureError, match=r"item: .*test_compile\.py:\d+ reads a value"):
            f(x)
    assert (x + 1).tolist() == [2, 2]


def test_live_buffers_stay_and_dropped_results_free_theirs(device: str) -> None:
    _, _, step = train(device, tg.compile, steps=4)
    data = batches(device, 1)[0]
    for _ in range(5):
        step(*data)
    gc.collect()
    early = tg.profiler.memory().buffers
    for _ in range(60):
        step(*data)
    gc.collect()
    assert tg.profiler.memory().buffers <= early


def test_transforms_work_inside_and_outside(device: str) -> None:
    square = tg.compile(lambda x: (x * x).sum())
    x = tg.tensor([1.0, 2.0], device=device)
    assert tg.func.grad(square)(x).tolist() == [2, 4]
    gradient = tg.compile(tg.func.grad(lambda x: (x**3).sum()))
    for i in range(1, 4):
        assert gradient(x * i).tolist() == [3.0 * i * i, 12.0 * i * i]


def test_what_the_collector_takes_later_is_no_reason_to_trace_anew(device: str) -> None:
    w = tg.tensor([1.0, 2.0], device=device)

    def step(x: Any) -> Any:
        cycle: list[Any] = [tg.tensor(w), tg.zeros(2, device=device).add_(x)]
        cycle.append(cycle)
        return x * cycle[0]

    gc.collect()
    gc.disable()
    try:
        f: Any = tg.compile(step)
        x = tg.ones(2, device=device)
        f(x)
    finally:
        gc.enable()
    gc.collect()
    for i in range(1, 4):
        w.add_(1)
        assert f(x).tolist() == [1 + i, 2 + i]
    if device != "cpu":
        assert f.traces == 1


def test_what_the_collector_runs_is_no_part_of_a_call(device: str) -> None:
    def clock(phase: str, info: Any) -> None:
        time.perf_counter()

    def step(x: Any) -> Any:
        many = [[i] for i in range(500)]
        return x * 2 if many else x

    f: Any = tg.compile(step)
    before = gc.get_threshold()
    gc.callbacks.append(clock)
    gc.set_threshold(10)
    try:
        for i in range(3):
            assert f(tg.full((2,), float(i), device=device)).tolist() == [2 * i, 2 * i]
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(clock)
    assert gc.isenabled()
    if device != "cpu":
        assert f.traces == 1

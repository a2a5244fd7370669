"""What a program reads after each call of a compiled function is requested with the call."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.hosts.device import DeviceBackend
from tabgrad.hosts.devices import Device
from tabgrad.hosts.reads_ahead import MOST, OFTEN, SHORT
from tests.lower import recorder

LEARN = OFTEN + 1
"""After so many calls the reads are known."""
Function = Callable[[Any], Any]


@pytest.fixture
def where() -> Iterator[Device]:
    device = recorder.device()
    with device:
        yield device


def backend_of(where: Device) -> DeviceBackend:
    backend: DeviceBackend = where.backend
    return backend


def submits(where: Device, work: Callable[[], object]) -> int:
    before = backend_of(where).counters.submits
    work()
    return backend_of(where).counters.submits - before


def two(where: Device) -> tuple[Function, Any]:
    """Return a compiled function of two results, and an argument."""
    return tg.compile(lambda x: ((x * 2).sum(), x + 1)), tg.ones(6, device=where) + 1


def test_the_reads_of_a_step_are_one_packet_with_it(where: Device) -> None:
    f, x = two(where)

    def step() -> None:
        loss, y = f(x)
        loss.item()
        y[3].item()

    assert [submits(where, step) for _ in range(LEARN + 3)] == [4, 2, 2, 1, 1, 1]


def test_the_order_of_the_reads_is_free(where: Device) -> None:
    f, x = two(where)
    for turn in range(8):
        loss, y = f(x)
        sent = backend_of(where).counters.submits
        for part in (loss, y[3]) if turn % 2 else (y[3], loss):
            part.item()
        # the habit is a list: another order is another habit
        assert (backend_of(where).counters.submits == sent) is False
    for _ in range(LEARN):
        loss, y = f(x)
        loss.item(), y[3].item()
    loss, y = f(x)
    assert submits(where, lambda: (y[3].item(), loss.item())) == 0


def test_a_call_that_is_not_read_ends_the_habit(where: Device) -> None:
    f, x = two(where)
    ahead = backend_of(where).reads_ahead
    for _ in range(LEARN):
        f(x)[0].item()
    f(x)
    assert len(ahead.waiting) == 1
    f(x)
    assert not ahead.waiting
    assert submits(where, lambda: [f(x) for _ in range(5)]) == 0
    for _ in range(LEARN):
        assert not ahead.waiting
        f(x)[0].item()
    f(x)
    assert len(ahead.waiting) == 1


def test_now_and_then_is_no_habit(where: Device) -> None:
    f, x = two(where)
    for turn in range(30):
        loss, _ = f(x)
        assert not backend_of(where).reads_ahead.waiting
        if turn % 3 == 0:
            loss.item()


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda y: tg.cat([y] * 2).tolist(), id="computed from it"),
        pytest.param(lambda y: (y + 1, y[0].item()), id="beside what is recorded"),
        pytest.param(lambda y: y.tolist(), id="long"),
    ],
)
def test_what_would_gain_nothing_is_not_read_ahead(where: Device, read: Function) -> None:
    f, x = tg.compile(lambda x: x + 1), tg.ones(SHORT // 4 + 1, device=where) + 1
    for _ in range(8):
        y = f(x)
        assert not backend_of(where).reads_ahead.waiting
        kept = read(y)
    del kept


def test_functions_take_turns(where: Device) -> None:
    f, x = two(where)
    g = tg.compile(lambda x: x.exp().sum())

    def step() -> None:
        (loss, _), other = f(x), g(x)
        other.item()
        loss.item()

    assert [submits(where, step) for _ in range(LEARN + 3)][LEARN:] == [2, 2, 2]


def test_so_many_reads_and_no_more(where: Device) -> None:
    f, x = tg.compile(lambda x: x + 1), tg.ones(64, device=where) + 1
    backend = backend_of(where)
    for n in (MOST, MOST + 1):
        for _ in range(LEARN + 2):
            y = f(x)
            for i in range(n):
                y[i].item()
        f(x)
        assert len(backend.reads_ahead.waiting) == (n if n <= MOST else 0)
    functions = [tg.compile(lambda x, k=k: x * k) for k in range(2, 2 * MOST + 2)]
    for _ in range(LEARN + 2):
        for g in functions:
            g(x)[0].item()
    for g in functions:
        g(x)
    assert len(backend.reads_ahead.waiting) <= MOST
    assert len(backend.reads_ahead.runs) <= MOST


@pytest.mark.every_host
def test_any_reads_between_calls_have_the_values_of_now(device: str) -> None:
    rng = random.Random(0)
    for case in range(6):

        def step(x: Any, w: Any, case: int = case) -> Any:
            if case % 2:
                w.mul_(0.5).add_(x[0])
            y = (x * w).cumsum(0)
            return y.sum(), y, w.exp()[1:], x

        f = tg.compile(step)
        x, w = [
            [tg.tensor(v, device=where) for where in (device, "cpu")]
            for v in ([1.5, -2.0, 0.25, 3.0], [0.5, 1.0, -1.0, 2.0])
        ]
        habit: list[int] = []
        for turn in range(24):
            if turn % 6 == 0:
                habit = [rng.randrange(6) for _ in range(rng.randrange(1, 4))]
            results = [f(x[k] + 0.1 * turn, w[k]) for k in range(2)]
            if rng.random() < 0.2:
                for k in range(2):
                    results[k][1].neg_()
            for what in [*habit, *([rng.randrange(6)] if rng.random() < 0.2 else [])]:
                got, want = (
                    (r[0], r[1][2], r[1][1:3], r[2], r[3][0], r[1] * 2)[what].tolist()
                    for r in results
                )
                assert got == pytest.approx(want, rel=1e-5, abs=1e-5)


@pytest.mark.one_host("wgpu", "cuda")
@pytest.mark.parametrize("late", [False, True])
def test_an_error_comes_with_the_next_read_whatever_it_reads(device: str, late: bool) -> None:
    table = tg.tensor([1.0, 2.0, 4.0], device=device)
    f = tg.compile(lambda i: table[i].sum() * 2)
    right, wrong = (tg.tensor(v, device=device).clone() for v in ([0, 2], [0, 7]))
    reads = [lambda y: y.item(), lambda y: (table * 2).tolist(), lambda y: tg.ones(2, device=device).tolist(),
             lambda y: tg.device(device).backend.synchronize()]  # fmt: skip
    for read in reads:
        for _ in range(LEARN + 2):
            assert f(right).item() == 10
        y = f(wrong)
        if late:
            f(right)
        with pytest.raises(IndexError, match="index 7"):
            read(y)
        assert f(right).item() == 10


@pytest.mark.every_host
def test_it_may_be_awaited_too(device: str) -> None:
    x = tg.tensor([1.0, 2.0], device=device)
    f = tg.compile(lambda x: (x * 3).sum())

    async def steps() -> None:
        for k in range(12):
            y = f(x + k)
            assert (await y.item_async() if k % 3 else y.item()) == 9 + 6 * k
            assert await y.item_async() == 9 + 6 * k

    asyncio.run(steps())

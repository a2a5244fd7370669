"""Python stands still for an answer: it takes no turn of the event loop, and other programs go on meanwhile."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

from tests.web.inside.marks import main_thread


@contextmanager
def turns():
    """Count the callbacks that asyncio's loop is given."""
    import asyncio

    loop: Any = type(asyncio.get_event_loop())
    call_later, counted = loop.call_later, []

    def counting(self, *args, **kwargs):
        counted.append(args)
        return call_later(self, *args, **kwargs)

    loop.call_later = counting
    try:
        yield counted
    finally:
        loop.call_later = call_later


@main_thread
async def test_a_read_asks_the_event_loop_for_no_turn(device):
    import tabgrad as tg

    x = tg.tensor([1.0, 2.0, 3.0], device=device)
    with turns() as counted:
        for k in range(5):
            assert (x * k).tolist() == [1.0 * k, 2.0 * k, 3.0 * k]
            assert (x + k).sum().item() == 6 + 3 * k
            tg.device(device).backend.synchronize()
    assert not counted


async def test_a_program_waits_while_others_go_on(device):
    import asyncio

    import tabgrad as tg

    x = tg.tensor([1.0, 2.0, 3.0], device=device)
    ticks = 0

    async def clock():
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    task = asyncio.ensure_future(clock())
    await asyncio.sleep(0)
    before = ticks
    y = x
    for k in range(30):
        y = y + k
        assert y.tolist()[0] == 1 + k * (k + 1) / 2
    assert ticks > before
    task.cancel()


@main_thread
async def test_what_is_read_after_each_step_comes_with_the_step(device):
    import tabgrad as tg

    f = tg.compile(lambda x: ((x * 2).sum(), x + 1))
    counters = tg.device(device).backend.counters
    x = tg.tensor([1.0, 2.0, 3.0], device=device)
    sent = []
    for k in range(9):
        x.add_(1)
        tg.device(device).backend.flush()
        before = counters.submits
        loss, y = f(x)
        assert loss.item() == 18 + 6 * k
        assert y[1].item() == 4 + k
        if k % 2:
            assert await loss.item_async() == 18 + 6 * k
        sent.append(counters.submits - before)
    assert sent[3::2] == [2] * 3
    assert sent[4::2] == [1] * 3

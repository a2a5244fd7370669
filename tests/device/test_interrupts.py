"""KeyboardInterrupt at random times: it is raised once, soon, and nothing is left half-done."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
from tests.device.workload import Workload

pytestmark = pytest.mark.one_host("wgpu")
N = int(os.environ.get("TABGRAD_INTERRUPTS", "60"))
"""How many; 500 take some two minutes."""
SOON = 0.2
"""Seconds within which it is raised."""


def interrupt_after(seconds: float, sent: list[float]) -> threading.Thread:
    def send() -> None:
        time.sleep(seconds)
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    return threading.Thread(target=send)


def interrupted(work: Callable[[], None], seconds: float) -> tuple[int, float]:
    """Return how often the interrupt was raised, and how long after it was sent."""
    sent: list[float] = []
    thread = interrupt_after(seconds, sent)
    raised, late = 0, 0.0
    try:
        try:
            thread.start()
            end = time.perf_counter() + 2
            while time.perf_counter() < end:
                work()
        except KeyboardInterrupt:
            raised, late = 1, time.perf_counter() - sent[0]
        thread.join()
        time.sleep(0.002)
    except KeyboardInterrupt:
        raised += 1
    return raised, late


# between `open` and `with` Python can be interrupted too: it closes the file then, and warns
@pytest.mark.filterwarnings("ignore:unclosed file .*/dev/null:ResourceWarning")
def test_interrupts_leave_everything_whole(device: str) -> None:
    workload = Workload(device)
    for work in workload.all:
        work()
    draw = random.Random(1)
    late = []
    for i in range(N):
        work = draw.choice(workload.all)
        seconds = draw.random() * draw.choice([0.001, 0.005, 0.02, 0.1])
        raised, delay = interrupted(work, seconds)
        assert raised == 1, (i, work.__name__)
        late.append(delay)
        workload.check()
    # one of them may meet a driver that compiles a kernel
    assert sorted(late)[-2] < SOON


def test_a_hook_is_interrupted_at_once(device: str) -> None:
    """The user's code inside of tabgrad's is the user's."""
    x = tg.ones(3, device=device, requires_grad=True)

    def for_ever(grad: Any) -> None:
        while True:
            time.sleep(0.001)

    x.register_hook(for_ever)
    raised, delay = interrupted(lambda: (x * 2).sum().backward(), 0.01)
    assert raised == 1
    assert delay < SOON
    assert (x * 2).sum().item() == 6


def test_a_handler_of_the_user_stays(device: str) -> None:
    seen = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    try:
        tg.ones(3, device=device).sum().item()
        os.kill(os.getpid(), signal.SIGINT)
        assert (tg.ones(3, device=device) * 2).sum().item() == 6
        assert seen == [1]
    finally:
        signal.signal(signal.SIGINT, before)


def test_asyncio_cancels_the_task_as_without_a_device(device: str) -> None:
    """The first interrupt cancels, and asyncio.run raises it when the task has ended."""
    x = tg.ones(3, device=device)
    seen = []

    async def work() -> None:
        try:
            for _ in range(10_000):
                assert (x * 2).sum().item() == 6
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            assert (x * 2).sum().item() == 6
            seen.append("cancelled")
            raise

    for _ in range(5):
        thread = interrupt_after(0.01, [])
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(work())
        thread.join()
    assert seen == ["cancelled"] * 5
    raised, delay = interrupted(lambda: (x * 2).sum().item(), 0.01)  # type: ignore[arg-type, return-value]
    assert raised == 1
    assert delay < SOON


OPENED_INSIDE = """
import asyncio, os, signal, sys, threading, time
import tabgrad as tg

def soon():
    threading.Thread(target=lambda: (time.sleep(0.03), os.kill(os.getpid(), signal.SIGINT))).start()

async def main():
    x = tg.ones(4, device="webgpu")
    x.sum().item()
    soon()
    try:
        while True:
            (x * 2).sum().item()
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        print("cancelled")
        raise

async def given_up():
    async def read():
        while True:
            (tg.ones(4, device="webgpu") * 2).sum().item()
            await tg.accelerator.synchronize_async()
    task = asyncio.create_task(read())
    await asyncio.sleep(0.005)
    task.cancel()

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("raised")
print(signal.getsignal(signal.SIGINT).__module__)
for _ in range(10):
    asyncio.run(given_up())
"""


def test_a_device_that_is_opened_inside_asyncio_run() -> None:
    """asyncio's way stays, ours is there afterwards, and reads that nobody awaits any more are silent."""
    done = subprocess.run(
        [sys.executable, "-c", OPENED_INSIDE], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["cancelled", "raised", "tabgrad.core.interrupts"]
    assert done.stderr == ""

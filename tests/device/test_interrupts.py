"""KeyboardInterrupt at random times: it is raised once, soon, and nothing is left half-done."""

from __future__ import annotations

import os
import random
import signal
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

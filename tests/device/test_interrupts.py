"""KeyboardInterrupt at random times: it is raised once, soon, and nothing is left half-done."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad import nn

pytestmark = pytest.mark.one_host("wgpu")
N = int(os.environ.get("TABGRAD_INTERRUPTS", "60"))
"""How many; 500 take some two minutes."""
SOON = 0.2
"""Seconds within which it is raised."""


class Workload:
    """A model in training, eager and compiled, and what programs do beside that."""

    def __init__(self, device: str) -> None:
        self.device = device
        rng = np.random.default_rng(0)
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).to(device)
        self.start = [rng.standard_normal(p.shape).astype("float32") for p in self.net.parameters()]
        self.opt = tg.optim.SGD(self.net.parameters(), lr=0.1)
        self.x = tg.tensor(rng.standard_normal((5, 8)).astype("float32"), device=device)
        self.y = tg.tensor(rng.standard_normal((5, 4)).astype("float32"), device=device)
        self.compiled_step = tg.compile(self.step)
        self.n = 0
        self.sum = self.x.sum().item()
        self.want = [self.after(self.eager), self.after(self.compiled)]

    def step(self) -> Any:
        self.opt.zero_grad()
        loss = ((self.net(self.x) - self.y) ** 2).mean()
        loss.backward()
        self.opt.step()
        return loss.detach()

    def eager(self) -> None:
        self.step().item()

    def compiled(self) -> None:
        self.compiled_step().item()

    def ahead(self) -> None:
        for _ in range(5):
            self.compiled_step()

    def compiling(self) -> None:
        self.n += 1
        n = self.n
        f = tg.compile(lambda a: (a * n).sin().sum() + (a @ a.T).max())
        f(tg.ones(3 + n % 50, 4, device=self.device)).item()

    def new_shape(self) -> None:
        self.n += 1
        x = tg.ones(3 + self.n, 4, device=self.device)
        (x.cumsum(0) * self.n).softmax(1).sum().item()

    def reading(self) -> None:
        self.x.tolist()
        (self.x + 1).numpy()
        tg.tensor(np.ones(10_000, "float32"), device=self.device).sum().item()

    def indexing(self) -> None:
        self.x[tg.tensor([0, 2], device=self.device)].sum().item()
        self.x[1:3, ::2].clone().tolist()

    def dropping(self) -> None:
        made = [tg.compile(lambda a, k=k: a * k) for k in range(5)]
        for f in made:
            f(self.x)
        del made  # weak references are called back

    def saving(self) -> None:
        tg.save(self.net.state_dict(), os.devnull)

    @property
    def all(self) -> list[Callable[[], None]]:
        return [self.eager, self.compiled, self.ahead, self.compiling, self.new_shape, self.reading,
                self.indexing, self.dropping, self.saving]  # fmt: skip

    def state(self) -> list[Any]:
        return [p.detach().numpy() for p in self.net.parameters()]

    def after(self, step: Callable[[], None]) -> list[Any]:
        """The parameters after one step from the start."""
        with tg.no_grad():
            for p, value in zip(self.net.parameters(), self.start, strict=True):
                p.copy_(tg.tensor(value, device=self.device))
        step()
        return self.state()

    def check(self) -> None:
        """Everything goes on, to the same bits."""
        assert all(np.isfinite(p).all() for p in self.state())
        a = tg.arange(6.0, device=self.device).reshape(2, 3)
        assert ((a @ a.T) + 1).tolist() == [[6.0, 15.0], [15.0, 51.0]]
        assert self.x.sum().item() == self.sum
        self.new_shape()
        for step, want in zip((self.eager, self.compiled), self.want, strict=True):
            for got, p in zip(self.after(step), want, strict=True):
                assert (got == p).all()


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

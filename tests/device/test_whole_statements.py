"""An exception at every line of a statement, or an interrupt, leaves all state as before it or after it."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn
from tests.device.test_injected import EVERY, inject, places
from tests.device.test_interrupts import SOON, N, interrupt_after

pytestmark = pytest.mark.one_host("wgpu")
OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "Adam": lambda params: tg.optim.Adam(params, lr=0.01, amsgrad=True),
    "SGD": lambda params: tg.optim.SGD(params, lr=0.01, momentum=0.9),
}


class Training:
    """A model with running statistics and dropout, its optimizer, and all that one step changes."""

    def __init__(self, device: str, kind: str) -> None:
        tg.manual_seed(1)
        self.net = nn.Sequential(
            nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, 2)
        ).to(device)
        self.norm = self.net[1]
        self.average = nn.BatchNorm1d(3, momentum=None, device=device)
        self.sequence = nn.InstanceNorm1d(3, track_running_stats=True, device=device)
        self.x = tg.randn(5, 3, device=device)
        self.opt = OPTIMIZERS[kind](self.net.parameters())
        self.compiled = tg.compile(self.step)
        self.parts = [self.net, self.average, self.sequence]
        self.eager()
        self.start = [copy.deepcopy(part.state_dict()) for part in self.parts]
        self.moments = copy.deepcopy(self.opt.state_dict())
        self.rng = tg.get_rng_state()
        self.grads = [p.grad.clone() for p in self.net.parameters()]
        self.loss: Any = None
        for _ in range(3):
            self.compiled()

    def forward(self) -> Any:
        return (self.net(self.x) ** 2).mean()

    def step(self) -> Any:
        self.opt.zero_grad()
        loss = self.forward()
        loss.backward()
        self.opt.step()
        return loss.detach()

    def eager(self) -> None:
        self.step()

    def reset(self) -> None:
        for part, state in zip(self.parts, self.start, strict=True):
            part.load_state_dict(state)
        self.opt.load_state_dict(copy.deepcopy(self.moments))
        for p, grad in zip(self.net.parameters(), self.grads, strict=True):
            p.grad = grad.clone()
        tg.set_rng_state(self.rng)
        self.loss = self.forward()
        tg.set_rng_state(self.rng)
        self.net.load_state_dict(self.start[0])

    # the statements

    def replay(self) -> None:
        self.compiled()

    def optimizer_step(self) -> None:
        self.opt.step()

    def clear(self) -> None:
        self.opt.zero_grad()

    def zero(self) -> None:
        self.net.zero_grad(set_to_none=False)

    def backward(self) -> None:
        self.loss.backward(retain_graph=True)

    def normalise(self) -> None:
        self.norm(self.net[0](self.x))

    def normalise_by_average(self) -> None:
        self.average(self.x)

    def normalise_sequences(self) -> None:
        self.sequence(self.x.T[None])

    def drop(self) -> None:
        self.net[2](self.x)

    def changed(self) -> list[Any]:
        """What each of the statements of a step changes."""
        _, _, optimizer, generator = self.state()
        params = [p.tolist() for p in self.net.parameters()]
        return [[params, optimizer], [x.tolist() for x in self.net.buffers()], generator]

    def state(self) -> list[Any]:
        tensors = [x for part in self.parts for x in part.state_dict().values()]
        grads = [None if p.grad is None else p.grad.tolist() for p in self.net.parameters()]
        own = [
            {name: v.tolist() if isinstance(v, tg.Tensor) else v for name, v in self.opt.state[p].items()}
            for p in self.net.parameters()
        ]  # fmt: skip
        return [[x.tolist() for x in tensors], grads, own, tg.get_rng_state().tolist()]


STATEMENTS = (
    "optimizer_step", "clear", "zero", "backward", "normalise", "normalise_by_average",
    "normalise_sequences", "drop",
)  # fmt: skip
CASES = [
    *[(where, each, "Adam") for where in ("device", "cpu") for each in STATEMENTS],
    ("device", "replay", "Adam"), ("device", "replay", "SGD"), ("cpu", "optimizer_step", "SGD"),
]  # fmt: skip
"""On the CPU a compiled function runs as it is: several statements."""
NAMES = ("modules", "gradients", "optimizer", "generator")


def differences(a: list[Any], b: list[Any]) -> list[str]:
    """Name what differs by more than another grouping of ops into kernels may make."""
    return [name for name, x, y in zip(NAMES, a, b, strict=True) if not close(x, y)]


def close(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(close(x, b[name]) for name, x in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(close, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return a == pytest.approx(b, rel=1e-5, abs=1e-6)
    return bool(a == b)


def check(training: Training, work: Callable[[], None], before: list[Any], after: list[Any]) -> str:
    """Return what is wrong after an exception in `work`, nothing if all is as before or after it."""
    now = training.state()
    if not differences(now, after):
        return ""
    changed = differences(now, before)
    if changed:
        return f"{changed} changed in part"
    work()
    wrong = differences(training.state(), after)
    return f"tried again, {wrong} differ" if wrong else ""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("where", "statement", "kind"), CASES)
def test_an_exception_at_every_line(device: str, where: str, statement: str, kind: str) -> None:
    training = Training("cpu" if where == "cpu" else device, kind)
    work = getattr(training, statement)
    training.reset()
    before = training.state()
    work()
    after = training.state()
    assert differences(before, after)
    training.reset()
    found = places(work, "tabgrad")
    assert len(found) > 10
    wrong = []
    for code, number in found[:: 1 if EVERY == 1 else 3 * EVERY]:
        training.reset()
        raised = inject(work, (code, number))
        why = check(training, work, before, after) if raised else "swallowed"
        if why:
            wrong.append(f"{code.co_filename}:{number} ({code.co_name}): {why}")
    assert not wrong, "\n".join(wrong)


def steps_until_interrupted(
    work: Callable[[], Any], most: int, seconds: float
) -> tuple[int, float]:
    """Return how many calls were done, and how late the interrupt was raised."""
    sent: list[float] = []
    thread = interrupt_after(seconds, sent)
    done, raised, late = 0, 0, 0.0
    try:
        try:
            thread.start()
            while done < most:
                work()
                done += 1
            thread.join()
            time.sleep(0.002)
        except KeyboardInterrupt:
            raised, late = 1, time.perf_counter() - sent[0]
        thread.join()
        time.sleep(0.002)
    except KeyboardInterrupt:
        raised += 1
    assert raised == 1
    return done, late


@pytest.mark.parametrize("way", ["eager", "compiled"])
@pytest.mark.parametrize("where", ["device", "cpu"])
def test_an_interrupt_at_any_time(device: str, where: str, way: str) -> None:
    training = Training("cpu" if where == "cpu" else device, "Adam")
    work, most = getattr(training, way), 20
    one = where == "device" and way == "compiled"
    training.reset()
    known = [training.changed()]
    for _ in range(most + 1):
        work()
        known.append(training.changed())
    draw = random.Random(2)
    late = []
    for _ in range(N // 3):
        training.reset()
        seconds = draw.random() * draw.choice([0.001, 0.005, 0.02])
        done, delay = steps_until_interrupted(work, most, seconds)
        late.append(delay)
        now = training.changed()
        found = [[close(now[i], known[k][i]) for k in (done, done + 1)] for i in range(3)]
        assert all(map(any, found)), (done, found)
        if one:  # a replay is one statement
            assert any(map(all, zip(*found, strict=True))), (done, found)
        training.eager()
    assert sorted(late)[-2] < SOON, sorted(late)[-5:]

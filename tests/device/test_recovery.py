"""After a device was lost: compiled calls begin anew, and a snapshot brings all of a training back."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn
from tabgrad.utils.recovery import Snapshot
from tests.device import losses

pytestmark = pytest.mark.one_host("wgpu")


def lose_and_notice(device: str) -> None:
    losses.lose()
    with pytest.raises(tg.DeviceLostError):
        tg.ones(2, device=device).sum().item()


@pytest.mark.parametrize("clearing", ["first", "last", "in place"])
@pytest.mark.parametrize("noticed", [False, True])
def test_a_compiled_step_counts_each_step_once(device: str, clearing: str, noticed: bool) -> None:
    """What it finds of the old device, as gradients that it clears, is no input; nothing is stepped twice."""

    def trained(lost: bool) -> tuple[list[float], list[Any], list[Any]]:
        tg.manual_seed(0)
        net = nn.Linear(4, 4).to(device)
        optimizer = tg.optim.Adam(net.parameters(), lr=0.01)

        def clear() -> None:
            optimizer.zero_grad(set_to_none=clearing != "in place")

        @tg.compile
        def step() -> Any:
            if clearing == "first":
                clear()
            loss = net(tg.ones(2, 4, device=device)).pow(2).sum()
            loss.backward()
            optimizer.step()
            if clearing != "first":
                clear()
            return loss.detach()

        step().item()
        step().item()
        snapshot = Snapshot(net, optimizer)
        step().item()
        if lost:
            if noticed:
                lose_and_notice(device)
            else:
                losses.lose()
            with pytest.raises(tg.DeviceLostError):
                step().item()
        snapshot.restore()
        results = [step().item() for _ in range(3)]
        counts = [state["step"] for state in optimizer.state.values()]
        return results, [p.tolist() for p in net.parameters()], counts

    assert trained(lost=True) == trained(lost=False)


def test_a_compiled_function_goes_on_however_often_the_device_is_lost(device: str) -> None:
    """One that reads no tensor too; and a lost device is no reason to give up tracing."""
    draw = tg.compile(lambda x: tg.full((3,), 2.0, device=device).cumsum(0))
    double = tg.compile(lambda x, n: x * n)
    for round in range(10):
        x = tg.ones(3, device=device)
        for _ in range(2):
            assert draw(x).tolist() == [2, 4, 6]
            assert double(x, 2).tolist() == [2, 2, 2]
        assert draw.traces == double.traces == round + 1
        lose_and_notice(device)
    assert draw.reason is None
    assert double.reason is None


@pytest.mark.parametrize("use", ["returned", "detached", "written"])
def test_a_compiled_function_meets_a_tensor_of_the_lost_device(device: str, use: str) -> None:
    """As the plain function: it raises where it is read, never gives another tensor's numbers."""
    held = tg.ones(3, device=device) * 2
    held.tolist()
    lose_and_notice(device)
    x = tg.ones(3, device=device)
    others = [tg.full((3,), float(i), device=device) * 3 for i in range(50)]
    others[0].tolist()
    fn = {
        "returned": lambda x: (x * 3, held),
        "detached": lambda x: (x * 3, held.detach()),
        "written": lambda x: (x * 3, held.copy_(x)),
    }[use]
    compiled = tg.compile(fn)
    for _ in range(3):
        y, z = compiled(x)
        assert y.tolist() == [3, 3, 3]
        if use == "written":
            assert z.tolist() == held.tolist() == [1, 1, 1]
        else:
            with pytest.raises(tg.DeviceLostError, match="lost"):
                z.tolist()
    assert others[7].tolist() == [21, 21, 21]


class Parts:
    """What a snapshot is given beside a model and its optimizer, and what a step does with it."""

    def __init__(self, device: str, kind: str) -> None:
        self.kind, self.device = kind, device
        tg.manual_seed(0)
        self.net = nn.Linear(4, 4).to(device)
        if kind.endswith("buffer"):
            made = tg.arange(4.0, device=device)
            made = made.expand(1, -1) if kind == "a view as a buffer" else made
            self.net.register_buffer("seen", made, persistent=False)
            self.net.register_buffer("none", None, persistent=False)
        self.optimizer = tg.optim.SGD(self.net.parameters(), lr=0.01, momentum=0.9)
        self.objects: list[Any] = [self.net, self.optimizer]
        if kind == "a scaler":
            self.scaler = tg.amp.GradScaler(device, init_scale=8.0, growth_interval=2)
            self.objects.append(self.scaler)
        if kind == "a generator":
            self.generator = tg.Generator(device).manual_seed(1)
            self.objects.append(self.generator)
        self.turn = 0

    def input(self) -> Any:
        if self.kind == "a generator":
            return tg.rand(2, 4, generator=self.generator, device=self.device)
        return tg.ones(2, 4, device=self.device)

    def step(self) -> Any:
        self.turn += 1
        if self.kind not in ("accumulated", "cleared in place"):
            self.optimizer.zero_grad()
        y = self.net(self.input())
        if self.kind.endswith("buffer"):
            with tg.no_grad():
                self.net.seen = self.net.seen * 0.5 if self.turn % 2 else self.net.seen
            y = y * self.net.seen
        loss = y.pow(2).sum()
        if self.kind == "a scaler":
            self.scaler.scale(loss).backward()
            self.scaler.unscale_(self.optimizer)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            return loss.item()
        loss.backward()
        if self.kind != "accumulated" or self.turn % 2:
            self.optimizer.step()
            if self.kind in ("accumulated", "cleared in place"):
                self.optimizer.zero_grad(set_to_none=self.kind == "accumulated")
        return loss.item()

    def bits(self) -> list[Any]:
        return [p.tolist() for p in (*self.net.parameters(), *self.net.buffers())]


KINDS = [
    "a buffer", "a view as a buffer", "accumulated", "cleared in place", "a scaler", "a generator",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_snapshot_brings_all_of_it_back(device: str, kind: str) -> None:
    """Also what no state dict has: training goes on with the bits it would have had, each time."""
    t = Parts(device, kind)
    for _ in range(2):
        t.step()
    turn = t.turn
    snapshot = Snapshot(*t.objects)
    want = [t.step() for _ in range(3)], t.bits()
    for _ in range(2):
        losses.lose()
        with pytest.raises(tg.DeviceLostError):
            t.step()
        snapshot.restore()
        t.turn = turn
        assert ([t.step() for _ in range(3)], t.bits()) == want


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Adagrad", "LBFGS"])
def test_a_snapshot_is_taken_before_the_first_step(device: str, name: str) -> None:
    """What the optimizer has made since lies on the lost device; the snapshot has none of it."""
    net = nn.Linear(4, 4).to(device)
    more = {"SGD": {"momentum": 0.9}, "LBFGS": {"max_iter": 2}}.get(name, {})
    optimizer = getattr(tg.optim, name)(net.parameters(), lr=0.01, **more)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = net(tg.ones(2, 4, device=device)).pow(2).sum()
        loss.backward()
        return loss

    snapshot = Snapshot(net, optimizer)
    want = [optimizer.step(closure).item() for _ in range(3)]
    lose_and_notice(device)
    snapshot.restore()
    assert [optimizer.step(closure).item() for _ in range(3)] == want


def test_a_snapshot_is_taken_within_a_scaled_step(device: str) -> None:
    t = Parts(device, "a scaler")
    loss = t.net(t.input()).pow(2).sum()
    t.scaler.scale(loss).backward()
    t.scaler.unscale_(t.optimizer)
    snapshot = Snapshot(*t.objects)

    def rest() -> list[Any]:
        t.scaler.step(t.optimizer)
        t.scaler.update()
        return [*t.bits(), t.step()]

    want = rest()
    lose_and_notice(device)
    snapshot.restore()
    assert rest() == want


def test_a_snapshot_says_what_it_takes() -> None:
    with pytest.raises(TypeError, match=r"Snapshot: expected generators, .* got list"):
        Snapshot([])


def test_a_limit_of_memory_holds_on_the_next_device_too(device: str) -> None:
    tg.accelerator.set_memory_limit(1 << 22, device)
    try:
        lose_and_notice(device)
        with pytest.raises(tg.OutOfMemoryError, match="limit"):
            tg.ones(1 << 21, device=device).cumsum(0).tolist()
        assert tg.ones(3, device=device).cumsum(0).tolist() == [1, 2, 3]
    finally:
        tg.accelerator.set_memory_limit(None, device)
    assert tg.ones(1 << 21, device=device).cumsum(0)[-1].item() == 1 << 21

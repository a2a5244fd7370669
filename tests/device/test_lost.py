"""A device that is lost, at any point: DeviceLostError at once, then the same bits on a new one."""

from __future__ import annotations

import copy
import io
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad import nn
from tabgrad.utils.recovery import Snapshot

pytestmark = pytest.mark.one_host("wgpu")


class Training:
    """A model that learns, and what programs do with tensors of its device."""

    def __init__(self, device: str) -> None:
        self.device = device
        tg.manual_seed(3)
        rng = np.random.default_rng(0)
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 4))
        self.net.to(device)
        with tg.no_grad():
            for p in self.net.parameters():
                value = rng.standard_normal(p.shape).astype("float32")
                p.copy_(tg.tensor(value, device=device))
        self.opt = tg.optim.Adam(self.net.parameters(), lr=1e-2)
        self.data = [rng.standard_normal((5, n)).astype("float32") for n in (8, 4)]
        self.compiled = tg.compile(self.step)
        self.make()

    def make(self) -> None:
        self.x, self.y = (tg.tensor(v, device=self.device) for v in self.data)

    def step(self) -> Any:
        self.opt.zero_grad()
        loss = ((self.net(self.x) - self.y) ** 2).mean()
        loss.backward()
        self.opt.step()
        return loss.detach()

    def bits(self) -> list[Any]:
        return [p.tolist() for p in self.net.parameters()]


def lose() -> None:
    tg.device("webgpu").backend.host._device.destroy()


def during_submit(t: Training, call: Callable[[], Any]) -> Any:
    """Lose the device when the packet is on its way."""
    host = tg.device("webgpu").backend.host
    submit = host.submit

    def losing(*args: Any) -> Any:
        lose()
        return submit(*args)

    host.submit = losing
    return call()


def within_backward(t: Training) -> Any:
    handle = t.net[0].weight.register_hook(lambda grad: lose())
    try:
        return t.step().item()
    finally:
        handle.remove()


def half_recorded(t: Training) -> Any:
    z = t.x * 2 + 1
    lose()
    return (z @ z.T).sum().item()


def after(use: Callable[[Training], Any]) -> Callable[[Training], Any]:
    """Lose the device, then use it."""

    def point(t: Training) -> Any:
        lose()
        return use(t)

    return point


POINTS: dict[str, Callable[[Training], Any]] = {
    "read": after(lambda t: t.x.tolist()),
    "numpy": after(lambda t: np.asarray(t.x)),
    "item of a view": after(lambda t: t.x[0, 0].item()),
    "truth": after(lambda t: bool(t.x[0, 0] > 0)),
    "to the cpu": after(lambda t: t.x.cpu()),
    "repr": after(lambda t: repr(t.x)),
    "pickle": after(lambda t: pickle.dumps(t.x)),
    "save": after(lambda t: tg.save(t.net.state_dict(), io.BytesIO())),
    "deepcopy": after(lambda t: copy.deepcopy(t.x).tolist()),
    "op and read": after(lambda t: (t.x + 1).tolist()),
    "in place": after(lambda t: t.x.add_(1).tolist()),
    "new shape": after(lambda t: t.x.cumsum(1).softmax(0).sum().item()),
    "eager step": after(lambda t: t.step().item()),
    "compiled step": after(lambda t: t.compiled().item()),
    "compiled for the first time": after(lambda t: tg.compile(lambda a: a + 1)(t.x[1:3]).tolist()),
    "vmap": after(lambda t: tg.vmap(lambda v: v * 2)(t.x).tolist()),
    "synchronize": after(lambda t: tg.accelerator.synchronize()),
    "upload and read": after(lambda t: tg.tensor(t.data[0], device=t.device).sum().item()),
    "index": after(lambda t: t.x[tg.tensor([0, 1], device=t.device)].tolist()),
    "many packets": after(lambda t: [t.compiled() for _ in range(100)][-1].item()),
    "half recorded": half_recorded,
    "within backward": within_backward,
    "a new plan in the packet": lambda t: during_submit(t, lambda: t.x.cumsum(1).sum().item()),
    "a step in the packet": lambda t: during_submit(t, lambda: t.step().item()),
    "a compiled step in the packet": lambda t: during_submit(t, lambda: t.compiled().item()),
}


@pytest.mark.parametrize("name", POINTS)
def test_it_says_so_and_training_goes_on(device: str, name: str) -> None:
    t = Training(device)
    t.step().item()
    t.compiled().item()
    t.compiled().item()
    snapshot = Snapshot(t.net, t.opt)
    t.step().item()
    t.compiled().item()
    want = t.bits()
    start = time.perf_counter()
    with pytest.raises(tg.DeviceLostError, match="lost"):
        POINTS[name](t)
    assert time.perf_counter() - start < 5
    others = [tg.ones(3, device=device) + i for i in range(50)]
    with pytest.raises(tg.DeviceLostError, match="lost"):
        t.x.tolist()  # never another tensor's numbers
    snapshot.restore()
    t.make()
    t.step().item()
    t.compiled().item()
    assert t.bits() == want
    assert others[7].tolist() == [8, 8, 8]


@pytest.mark.parametrize("how", ["destroyed", "closed"])
def test_it_is_lost_while_threads_read(device: str, how: str) -> None:
    """Each hears of it at once, whatever it was in the middle of; nobody reads a buffer that is gone."""
    for _ in range(5):
        said: list[BaseException] = []

        def read(errors: list[BaseException]) -> None:
            try:
                while True:
                    (tg.tensor([1.0, 2.0], device=device) * 2).cumsum(0).sum().item()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=read, args=(said,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.04)
        host = tg.device("webgpu").backend.host
        start = time.perf_counter()
        if how == "destroyed":
            host._device.destroy()
        else:
            host.close()
        while len(said) < 3 and time.perf_counter() - start < 10:
            # a thread that was between two reads has connected again: it goes on
            time.sleep(0.01)
            if tg.device("webgpu")._backend is not None and time.perf_counter() - start > 0.2:
                tg.device("webgpu").backend.host.close()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        assert [type(e) for e in said] == [tg.DeviceLostError] * 3, said
    assert tg.ones(2, device=device).sum().item() == 2

"""Points at which a device is lost, and what programs then do with its tensors: natively and in a tab.

Needs no NumPy: it is imported inside Pyodide as it is here.
"""

from __future__ import annotations

import copy
import io
import pickle
import random
import time
from collections.abc import Callable
from typing import Any

import tabgrad as tg
from tabgrad import nn
from tabgrad.utils.recovery import Snapshot


def lose() -> None:
    """Destroy the device; its host hears of it later, as it would of a driver that fails."""
    host = tg.device("webgpu").backend.host
    held = host._bridge.device if hasattr(host, "_bridge") else host._device
    held.destroy()


class Training:
    """A model that learns, and what programs do with tensors of its device; a small one is lowered quickly."""

    snapshot: Snapshot

    def __init__(self, device: str, small: bool = False) -> None:
        self.device = device
        self.lose_in = ""
        tg.manual_seed(3)
        rng = random.Random(0)
        deep = [] if small else [nn.Linear(8, 8), nn.ReLU()]
        self.net = nn.Sequential(*deep, nn.Dropout(0.3), nn.Linear(8, 4)).to(device)
        self.last = self.net[-1].weight
        with tg.no_grad():
            for p in self.net.parameters():
                value = [rng.gauss(0, 1) for _ in range(p.numel())]
                p.copy_(tg.tensor(value, device=device).reshape(p.shape))
        self.opt = (
            tg.optim.SGD(self.net.parameters(), lr=0.1, momentum=0.9)
            if small
            else tg.optim.Adam(self.net.parameters(), lr=1e-2)
        )
        self.data = [[[rng.gauss(0, 1) for _ in range(n)] for _ in range(5)] for n in (8, 4)]
        self.compiled = tg.compile(self.step)
        self.make()

    def make(self) -> None:
        """Make the tensors that no snapshot holds."""
        self.x, self.y = (tg.tensor(v, device=self.device) for v in self.data)

    def step(self) -> Any:
        self.opt.zero_grad()
        loss = ((self.net(self.x) - self.y) ** 2).mean()
        self.pass_by("forward")
        loss.backward()
        self.pass_by("backward")
        self.opt.step()
        self.pass_by("step")
        return loss.detach()

    def pass_by(self, place: str) -> None:
        if self.lose_in == place:
            self.lose_in = ""
            lose()

    def bits(self) -> list[Any]:
        return [p.tolist() for p in self.net.parameters()]

    def begin(self) -> None:
        """Train a little, take a snapshot, and note to which bits two more steps lead."""
        self.step().item()
        for _ in range(2):
            self.compiled().item()
        self.snapshot = Snapshot(self.net, self.opt)
        self.want = self.two_steps()

    def two_steps(self) -> list[Any]:
        self.step().item()
        self.compiled().item()
        return self.bits()

    def check_loss(self, point: Callable[[Training], Any]) -> None:
        """Lose the device at a point: DeviceLostError at once; then on from the snapshot, to the same bits."""
        start = time.perf_counter()
        check_raises(lambda: point(self))
        assert time.perf_counter() - start < 5
        others = [tg.ones(3, device=self.device) + i for i in range(50)]
        check_raises(lambda: self.x.tolist())  # never another tensor's numbers
        self.snapshot.restore()
        self.make()
        assert self.two_steps() == self.want
        assert others[7].tolist() == [8, 8, 8]


def check_raises(use: Callable[[], Any]) -> None:
    """Raise unless this says that the device is lost."""
    try:
        use()
    except tg.DeviceLostError as error:
        said = str(error)
    else:
        raise AssertionError("expected DeviceLostError")
    assert "lost" in said


# -- points -------------------------------------------------------------------------------------------

Point = Callable[[Training], Any]


def after(use: Point) -> Point:
    """Lose the device, then use it."""

    def point(t: Training) -> Any:
        lose()
        return use(t)

    return point


def during_submit(call: Point) -> Point:
    """Lose the device when the next packet is on its way."""

    def point(t: Training) -> Any:
        host = tg.device("webgpu").backend.host
        submit = host.submit

        def losing(*args: Any) -> Any:
            host.submit = submit
            lose()
            return submit(*args)

        host.submit = losing
        return call(t)

    return point


def sent_not_read(t: Training) -> Any:
    """Lose the device when the packet with the read was sent, before the answer is waited for."""
    host = tg.device("webgpu").backend.host
    read = host.read

    def losing(*args: Any) -> Any:
        host.read = read
        lose()
        return read(*args)

    host.read = losing
    return (t.x * 3).tolist()


def within(place: str, compiled: bool = False) -> Point:
    """Lose the device in a step, after its forward or backward pass or the optimizer."""

    def point(t: Training) -> Any:
        t.lose_in = place
        # anew, so that the compiled function's body runs
        return (tg.compile(t.step) if compiled else t.step)().item()

    return point


def within_backward(t: Training) -> Any:
    handle = t.last.register_hook(lambda grad: lose())
    try:
        return t.step().item()
    finally:
        handle.remove()


def within_optimizer(register: str) -> Point:
    def point(t: Training) -> Any:
        handle = getattr(t.opt, register)(lambda *args: lose())
        try:
            return t.step().item()
        finally:
            handle.remove()

    return point


def half_recorded(t: Training) -> Any:
    z = t.x * 2 + 1
    lose()
    return (z @ z.T).sum().item()


def uploads_pending(t: Training) -> Any:
    made = [tg.tensor(row, device=t.device) for row in t.data[0]]
    lose()
    return sum(made).tolist()


def large_upload(t: Training) -> Any:
    """Upload more than may wait for a flush: it goes out at once, to a device that is gone."""
    lose()
    return tg.tensor(bytearray(9 << 20), dtype=tg.uint8, device=t.device)[0].item()


def compiled_call(n: int) -> Point:
    """Lose the device before call number `n` of a compiled function."""

    def point(t: Training) -> Any:
        f = tg.compile(lambda a: (a * 2).sum())
        for _ in range(n - 1):
            f(t.x).item()
        lose()
        return f(t.x).item()

    return point


def within_compiled_call(n: int) -> Point:
    """Lose the device in the body of a compiled function, when it runs for the time number `n`."""

    def point(t: Training) -> Any:
        calls = 0

        def body(a: Any) -> Any:
            nonlocal calls
            calls += 1
            z = a * 2
            if calls == n:
                lose()
            return z.sum()

        f = tg.compile(body)
        for rows in range(1, n + 1):
            got = f(t.x[:rows].clone()).item()
        return got

    return point


class Rows(tg.utils.data.Dataset):
    """Loses the device when row 3 is asked for."""

    def __init__(self, t: Training) -> None:
        self.t = t

    def __len__(self) -> int:
        return 5

    def __getitem__(self, i: int) -> Any:
        if i == 3:
            lose()
        return tg.tensor(self.t.data[0][i], device=self.t.device)


def loading(t: Training) -> Any:
    return [b.sum().item() for b in tg.utils.data.DataLoader(Rows(t), batch_size=2)]


class Losing(io.BytesIO):
    """A file whose first write loses the device."""

    def write(self, data: Any) -> int:
        if not self.tell():
            lose()
        return super().write(data)


def saving(t: Training) -> Any:
    """Lose the device while a file is written: it may be whole by then, the tensors are gone all the same."""
    tg.save(t.net.state_dict(), Losing())
    return t.x.tolist()


def within_state_dict(t: Training) -> Any:
    handle = t.net.register_state_dict_post_hook(lambda *args: lose())
    try:
        return [v.tolist() for v in t.net.state_dict().values()]
    finally:
        handle.remove()


def within_snapshot(t: Training) -> Any:
    """Lose the device while a second snapshot is taken: the first one stays."""
    handle = t.opt.register_state_dict_post_hook(lambda *args: lose())
    try:
        return t.snapshot.take()
    finally:
        handle.remove()


POINTS: dict[str, Point] = {
    "read": after(lambda t: t.x.tolist()),
    "to the cpu": after(lambda t: t.x.to("cpu").tolist()),
    "save": after(lambda t: tg.save(t.net.state_dict(), io.BytesIO())),
    "op and read": after(lambda t: (t.x + 1).tolist()),
    "in place": after(lambda t: t.x.add_(1).tolist()),
    "new shape": after(lambda t: t.x.cumsum(1).softmax(0).sum().item()),
    "eager step": after(lambda t: t.step().item()),
    "compiled step": after(lambda t: t.compiled().item()),
    "synchronize": after(lambda t: tg.accelerator.synchronize()),
    "upload and read": after(lambda t: tg.tensor(t.data[0], device=t.device).sum().item()),
    "many packets": after(lambda t: [t.compiled() for _ in range(100)][-1].item()),
    "half recorded": half_recorded,
    "uploads pending": uploads_pending,
    "large upload": large_upload,
    "sent and not read": sent_not_read,
    "within a forward pass": within("forward"),
    "within backward": within_backward,
    "after backward": within("backward"),
    "before the optimizer's step": within_optimizer("register_step_pre_hook"),
    "within the optimizer's step": within_optimizer("register_step_post_hook"),
    "compiled for the first time": compiled_call(1),
    "compiled, second call": compiled_call(2),
    "compiled, replayed": compiled_call(4),
    "within a compiled call": within_compiled_call(1),
    "within a compiled call of other sizes": within_compiled_call(2),
    "within a compiled forward pass": within("forward", True),
    "within a compiled backward pass": within("backward", True),
    "within a compiled optimizer step": within("step", True),
    "while a dataset is loaded": loading,
    "while a file is written": saving,
    "within state_dict": within_state_dict,
    "while a snapshot is taken": within_snapshot,
    "a new plan in the packet": during_submit(lambda t: t.x.cumsum(1).sum().item()),
    "a step in the packet": during_submit(lambda t: t.step().item()),
    "a compiled step in the packet": during_submit(lambda t: t.compiled().item()),
    "an upload in the packet": during_submit(
        lambda t: tg.tensor(t.data[0], device=t.device).tolist()
    ),
}

SPELLINGS: dict[str, Point] = {
    "item of a view": after(lambda t: t.x[0, 0].item()),
    "truth": after(lambda t: bool(t.x[0, 0] > 0)),
    "repr": after(lambda t: repr(t.x)),
    "pickle": after(lambda t: pickle.dumps(t.x)),
    "deepcopy": after(lambda t: copy.deepcopy(t.x).tolist()),
    "vmap": after(lambda t: tg.vmap(lambda v: v * 2)(t.x).tolist()),
    "index": after(lambda t: t.x[tg.tensor([0, 1], device=t.device)].tolist()),
}
"""Other ways to read: more of the same, where a point is cheap."""

"""Long training: nothing grows. `TABGRAD_SOAK=10000` makes it long; the ordinary run is short."""

from __future__ import annotations

import gc
import os
import resource
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad import nn

pytestmark = pytest.mark.one_host("wgpu")
STEPS = int(os.environ.get("TABGRAD_SOAK", "300"))
SIZES = 50 if STEPS >= 2000 else 8
"""Of batches: each has kernels of its own to compile."""


class Figures:
    """What must not grow."""

    def __init__(self) -> None:
        gc.collect()
        memory = tg.profiler.memory()
        self.buffers, self.nbytes = memory.buffers, memory.bytes
        self.objects = len(gc.get_objects())
        self.rss = rss()

    def __repr__(self) -> str:
        return (
            f"{self.buffers} buffers, {self.nbytes:,} bytes, {self.objects:,} objects, "
            f"RSS {self.rss:,} KiB"
        )


def rss() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize() // 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("compiled", [False, True])
def test_nothing_grows(device: str, compiled: bool) -> None:
    """Fifty batch sizes, an exception at every tenth step."""
    rng = np.random.default_rng(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).to(device)
    opt = tg.optim.Adam(net.parameters(), lr=1e-3)

    def step(x: Any, y: Any) -> Any:
        opt.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        opt.step()
        return loss.detach()

    run = tg.compile(step, dynamic=True) if compiled else step

    def train(n: int) -> None:
        for i in range(n):
            size = 1 + i % SIZES
            x = tg.tensor(rng.standard_normal((size, 8)).astype("float32"), device=device)
            if i % 10 == 9:
                with pytest.raises((RuntimeError, ValueError)):
                    run(x, tg.ones(3, 5, 7, device=device)).item()
                continue
            assert np.isfinite(run(x, x[:, :4]).item())

    train(min(STEPS, 2000))  # plans and bind groups of all sizes are kept: they come to an end
    before = Figures()
    train(STEPS if compiled else max(STEPS // 2, 1))
    after = Figures()
    print(f"\n{STEPS} steps, compiled={compiled}: {before} -> {after}")
    assert after.buffers <= before.buffers + 2
    assert after.nbytes <= before.nbytes * 1.02 + 4096
    if STEPS >= 2000:
        assert after.objects <= before.objects * 1.02
        assert after.rss <= before.rss * 1.05 + 20_000


def test_bind_groups_come_to_an_end(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tabgrad_native import wgpu_encoding

    monkeypatch.setattr(wgpu_encoding, "GROUPS", 8)
    host = tg.device(device).backend.host
    for number in [*host._groups]:
        host._forget_group(number)
    twice = tg.compile(lambda x: (x @ x.T).sum(0) * 2)
    for n in range(1, 30):
        x = tg.ones(n, 3, device=device)
        assert (x @ x.T).sum(0).tolist() == [3.0 * n] * n
        assert twice(x).tolist() == [6.0 * n] * n
        assert twice(x).tolist() == [6.0 * n] * n
    assert 0 < len(host._groups) <= 8


def test_staging_buffers_come_to_an_end(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tabgrad_native import wgpu_staging

    staging = tg.device(device).backend.host._staging

    def kept() -> int:
        return sum(buffer.size for buffers in staging._free.values() for buffer in buffers)

    for most in (0, 1 << 16):
        staging._free.clear()
        staging._nbytes = 0
        monkeypatch.setattr(wgpu_staging, "KEPT_BYTES", most)
        for n in (1, 5000, 30_000, 1, 5000):
            assert (tg.arange(n, device=device) * 0 + 3.0).tolist() == [3.0] * n
            assert kept() == staging._nbytes <= most
        assert (kept() > 0) == (most > 0)

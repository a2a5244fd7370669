"""What the profiler counts: nothing on `cpu`, all that is sent to a device elsewhere."""

from __future__ import annotations

import pytest

import tabgrad as tg

pytestmark = pytest.mark.every_host


def test_work_on_a_device_is_counted(device: str) -> None:
    x = tg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], device=device)
    before = tg.profiler.counters()
    with tg.profiler.count() as counts:
        # the sum of the squares of the sums of the rows
        assert (x.T @ x).sum().item() == 6.0**2 + 15.0**2
    after = tg.profiler.counters()
    assert after.dispatches - before.dispatches == counts.dispatches
    assert after.bytes_down - before.bytes_down == counts.bytes_down
    if device == "cpu":
        assert counts == tg.profiler.Counts()
        return
    assert counts.dispatches >= 1
    assert counts.submits >= 1
    assert counts.bytes_down >= 4


def test_memory_in_use_and_its_peak(device: str) -> None:
    start = tg.profiler.memory(reset_peak=True)
    x = tg.tensor([0.5] * 4096, device=device)
    assert x.sum().item() == 2048.0
    held = tg.profiler.memory()
    del x
    after = tg.profiler.memory()
    if device == "cpu":
        assert (held.buffers, held.bytes) == (start.buffers, start.bytes)
        return
    assert held.bytes - start.bytes >= 4 * 4096
    assert held.buffers > start.buffers
    assert after.bytes <= held.bytes - 4 * 4096
    assert after.peak >= held.bytes

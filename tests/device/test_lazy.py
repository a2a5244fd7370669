"""The lazy devices: when things are sent, and what happens when the device fails."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tabgrad.core.errors import DeviceLostError, KernelError, WouldBlockError
from tabgrad.hosts.commands import Fault
from tests.lower import recorder


@pytest.fixture
def device() -> Any:
    return recorder.device()


def test_nothing_is_sent_before_a_value_is_wanted(device: Any) -> None:
    x = tg.ones(4, device=device) + 1
    y = (x * 3).sum()
    assert device.backend.counters.dispatches == 0
    y.item()
    assert device.backend.counters.dispatches >= 1


def test_a_read_is_part_of_the_packet_that_computes(device: Any) -> None:
    x = tg.tensor([1.0, 2.0], device=device)
    before = device.backend.counters.submits
    (x + 1).sum().item()
    assert device.backend.counters.submits == before + 1


def test_views_take_no_buffer(device: Any) -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
    views = [x.T, x[0], x[:, 1], x.reshape(4), x.expand(3, 2, 2)]
    device.backend.flush()
    assert device.backend.pool.live == 1
    assert len(views) == 5


def test_dropped_tensors_give_their_buffers_back_for_reuse(device: Any) -> None:
    x = tg.tensor([1.0] * 100, device=device)
    for _ in range(50):
        x = x + 1
        device.backend.flush()
    assert device.backend.pool.live == 1
    assert device.backend.pool.next <= 5


def test_a_graph_past_its_bound_is_sent(device: Any) -> None:
    x = tg.tensor([1.0], device=device)
    for _ in range(9000):
        x = x * 1.5
    assert device.backend.counters.submits >= 1
    assert len(device.backend.graph.recorded) < 9000


def test_a_lost_device_says_so_and_can_be_connected_anew(
    device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = tg.tensor([1.0], device=device)
    old = device.backend
    old.host.lost = True
    with pytest.raises(DeviceLostError):
        (x + 1).item()
    monkeypatch.setattr("tabgrad.hosts.devices._connect", lambda where: recorder.device().backend)
    y = tg.tensor([2.0], device=device)
    assert device.backend is not old
    with pytest.raises(DeviceLostError, match="lost"):
        x + y
    assert (y + 1).shape == (1,)


def test_a_fault_names_the_kernel_the_ops_and_the_line(device: Any) -> None:
    backend = device.backend
    x = tg.tensor([1.0, 2.0], device=device)
    y = x.exp() * 2  # the line to be named
    backend.flush()
    number = next(iter(backend.kernels))
    backend.host.faults = lambda: [Fault("compile", "bad text", number, 0)]
    with pytest.raises(KernelError) as caught:
        y.sum().item()
    backend.host.faults = list
    note = "".join(caught.value.__notes__)
    assert "exp" in note
    assert "test_lazy.py" in note


def test_reading_where_nothing_can_wait_spells_the_awaitable(device: Any) -> None:
    x = tg.tensor([1.0], device=device) + 1
    device.backend.host.can_block = lambda: False
    with pytest.raises(WouldBlockError, match="await"):
        x.item()


def test_mixing_devices_raises_and_says_how_to_move(device: Any) -> None:
    with pytest.raises(RuntimeError, match=r"\.to\("):
        tg.ones(2, device=device) + tg.ones(2, device="cpu")


def test_views_and_constants_do_not_wait_to_be_computed(device: Any) -> None:
    backend = device.backend
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
    views = [x.t()[k, 1:] for k in range(2)]
    assert not backend.graph.recorded
    constant = tg.full((3,), 2.0, device=device)
    assert not backend.wanted()
    y = (x.t()[1:] + 1).t()  # a view of a sum that waits
    z = y.t()[0]
    assert len(backend.wanted()) == 1
    backend.flush()
    assert backend.counters.dispatches == 1
    assert not backend.wanted()
    assert not backend.graph.recorded
    for _ in range(100):  # longer than what is looked through
        z = z.reshape(2, 1).reshape(2)
    assert not backend.wanted()
    assert (len(views), constant.shape, z.shape) == (2, (3,), (2,))

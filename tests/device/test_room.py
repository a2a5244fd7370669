"""What no buffer of the device can hold is refused whole, and the device goes on."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tabgrad.core.errors import OutOfMemoryError
from tabgrad.hosts.memory_limits import largest

pytestmark = pytest.mark.one_host("wgpu", "cuda")


def backend() -> Any:
    return tg.tensor(0.0).device.backend


@pytest.fixture
def most(monkeypatch: pytest.MonkeyPatch) -> int:
    """A device that binds little."""
    monkeypatch.setattr(backend().pool, "most", 4096)
    return 4096


def test_the_device_has_the_most_that_its_adapter_offers() -> None:
    limits = backend().host.hello.limits
    assert backend().pool.most == largest(limits)
    assert 1 << 27 <= largest(limits) <= limits["max_buffer_size"]


def test_a_result_that_has_no_room_is_refused_and_named(most: int) -> None:
    x = tg.arange(2000.0)
    y = tg.sin(x)
    with pytest.raises(
        OutOfMemoryError, match=r"of sin.* takes 8,000 bytes .* at most 4,096: work"
    ) as caught:
        y.tolist()
    if tg.tensor(0.0).device.type == "webgpu":
        assert "test_room.py:" in caught.value.__notes__[0]
    assert tg.arange(3.0).mul(2).tolist() == [0.0, 2.0, 4.0], "what else there is goes on"
    assert y.sum().item() == pytest.approx(0.7865, abs=0.01), "what is reduced needs no buffer"
    assert y[5:8].tolist() == pytest.approx([-0.9589, -0.2794, 0.6570], abs=1e-3)
    with pytest.raises(OutOfMemoryError):
        tg.accelerator.synchronize()
    del y, x, caught  # a traceback holds them too
    tg.accelerator.synchronize()


def test_an_upload_that_has_no_room_leaves_nothing_behind(most: int) -> None:
    before = tg.arange(4.0) + 1
    sent = backend().counters.submits
    with pytest.raises(OutOfMemoryError, match="a tensor takes 8,000 bytes"):
        tg.tensor([1.0] * 2000)
    assert backend().counters.submits == sent
    assert before.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_a_compiled_call_that_has_no_room_can_be_called_again(most: int) -> None:
    step = tg.compile(lambda x: tg.exp(x.expand(50, x.shape[0])) + 1)
    with pytest.raises(OutOfMemoryError, match="exp"):
        step(tg.zeros(100) + 0.0)
    assert step(tg.zeros(10) + 0.0).sum().item() == 1000.0
    assert step(tg.zeros(10) + 0.0).sum().item() == 1000.0

"""Element-wise functions take tensors of one number from the CPU beside tensors of an accelerator."""

from __future__ import annotations

import pytest

import tabgrad as tg


@pytest.mark.every_host
def test_they_go_to_the_other_device(device: str) -> None:
    x = tg.ones(2, 3, device=device, requires_grad=True)
    two = tg.tensor(2.0, device="cpu", requires_grad=True)
    for found in (
        x * two,
        two * x,
        x.div(two),
        tg.where(x > 0, two, x),
        tg.maximum(x, two),
        x + two.long(),
    ):
        assert found.device == x.device
        assert found.dtype is tg.float32
    (x * two).sum().backward()
    assert two.grad is not None
    assert two.grad.device.type == "cpu"
    assert two.grad.item() == 6
    assert x.detach().clone().add_(two).sum().item() == 18


@pytest.mark.one_host("wgpu")
def test_nothing_else_moves() -> None:
    there, here = tg.ones(3, device="webgpu"), tg.ones(3, device="cpu")
    for wrong in (
        lambda: there + here,
        lambda: here * there[0],
        lambda: here.add_(there[0]),
        lambda: here[0].clone().add_(there[0]),
        lambda: here[:1] * there,
    ):
        with pytest.raises(tg.DeviceError, match="one device"):
            wrong()


@pytest.mark.every_host
def test_integers_are_counted_in_intervals_on_accelerators(device: str) -> None:
    x = tg.tensor([0, 1, 3, 3, 2, 9], dtype=tg.int32, device=device)
    if device == "cpu":
        with pytest.raises(tg.DTypeError, match="not implemented for 'Int'"):
            tg.histc(x, 4)
        return
    for bins, low, high in ((4, 0, 3), (3, 0, 0), (5, 1, 7)):
        found = tg.histc(x, bins, low, high)
        assert found.dtype is tg.int32
        assert found.tolist() == tg.histc(x.cpu().float(), bins, low, high).tolist()
    with pytest.raises(tg.TabgradError, match="too many"):
        tg.histc(x, 2**20, 0, 2**20)

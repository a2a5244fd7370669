"""What a device without 64-bit dtypes makes of them."""

from __future__ import annotations

import pytest

import tabgrad as tg
from tabgrad.core.errors import DeviceError


@pytest.mark.one_host("wgpu")
def test_a_device_without_64_bits_uses_32_and_says_so_once() -> None:
    assert tg.arange(3).dtype is tg.int32
    assert tg.tensor([1, 2]).dtype is tg.int32
    with pytest.raises(OverflowError):
        tg.tensor([1 << 40])
    assert tg.ones(2, dtype=tg.float64).dtype is tg.float32
    cpu = tg.tensor([1.5, 2.5], dtype=tg.float64, device="cpu")
    assert cpu.to("webgpu").dtype is tg.float32
    with pytest.raises(DeviceError):
        tg.ones(2) + tg.ones(2, device="cpu")

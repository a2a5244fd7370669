"""Which devices there are, and which one is meant."""

from __future__ import annotations

import pytest

import tabgrad as tg
from tabgrad.core.errors import DeviceError

pytestmark = pytest.mark.every_host


def test_names_of_devices() -> None:
    assert tg.device("cpu") is tg.device("cpu:0") is tg.device(tg.device("cpu"))
    assert tg.device("webgpu:1").index == 1
    assert str(tg.device("cuda", 2)) == "cuda:2"
    assert repr(tg.device("cpu")) == "device(type='cpu')"
    assert tg.zeros(1, device="cpu").device == tg.device("cpu")
    for name in ("gpu", "cpu:x", ""):
        with pytest.raises(DeviceError, match="none of"):
            tg.device(name)
    with pytest.raises(TypeError):
        tg.device(1.5)
    assert isinstance(tg.zeros(1, device="cpu").device, tg.device)
    assert tg.device(type="cpu", index=0) is tg.device("cpu")


def test_a_number_alone_is_an_accelerator(device: str) -> None:
    if device != "cpu":
        assert tg.device(0) is tg.device(device)
        assert tg.device(1) is tg.device(f"{device}:1")


def test_types_of_tensors_are_classes() -> None:
    x = tg.zeros(2, device="cpu")
    assert isinstance(x, tg.FloatTensor)
    assert not isinstance(x, tg.LongTensor)
    assert not isinstance(3.0, tg.FloatTensor)
    assert isinstance(tg.CharTensor([1]).cpu(), tg.CharTensor)


def test_blocks_nest_and_the_inner_one_counts(device: str) -> None:
    with tg.device("cpu"):
        with tg.device(device):
            assert tg.get_default_device() is tg.device(device)
        assert tg.get_default_device() is tg.device("cpu")


def test_the_default_can_be_set() -> None:
    from tabgrad.core.trace import MODE, using

    with using(MODE.get().replace(device=None)):
        before = tg.get_default_device()
        try:
            tg.set_default_device("cpu")
            assert tg.zeros(1).device is tg.device("cpu")
            tg.set_default_device(None)
            assert tg.get_default_device().type in ("cpu", "webgpu", "cuda")
        finally:
            tg.set_default_device(before)


def test_the_accelerator_is_the_device_in_use(device: str) -> None:
    found = tg.accelerator.current_accelerator()
    if device == "cpu":
        assert found is None or found.type != "cpu"
    else:
        assert found is tg.device(device)
        assert tg.accelerator.is_available()
        assert tg.accelerator.device_count() == 1
    tg.accelerator.synchronize()
    assert tg.cuda.is_available() is (tg.cuda.device_count() == 1)


def test_where_a_tensor_is(device: str) -> None:
    x = tg.zeros(2)
    assert (x.is_cpu, x.is_cuda) == (device == "cpu", device == "cuda")
    assert x.get_device() == (-1 if device == "cpu" else 0)
    assert x.data_ptr() == x.view(2).data_ptr() == x.detach().data_ptr() != tg.zeros(2).data_ptr()
    assert x[1:].data_ptr() == x.data_ptr() + 4

"""Which devices there are, and which one is meant."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.core.errors import DeviceError

pytestmark = pytest.mark.every_host


def test_names_of_devices() -> None:
    assert tg.device("cpu") is tg.device(tg.device("cpu"))
    assert tg.device("webgpu:1").index == 1
    assert str(tg.device("cuda", 2)) == "cuda:2"
    assert repr(tg.device("cpu")) == "device(type='cpu')"
    assert tg.zeros(1, device="cpu").device == tg.device("cpu")
    for name in ("gpu", "cpu:x", "", "cpu:", "cpu:-1", "cpu:01", "cpu:0:0"):
        with pytest.raises(DeviceError, match="none of"):
            tg.device(name)
    for refused in (1.5, None):
        with pytest.raises(TypeError):
            tg.device(refused)
    with pytest.raises(TypeError, match="must be int"):
        tg.device("cpu", "0")
    for name, index in (("cpu:0", 0), ("cpu", -1), ("webgpu", -1)):
        with pytest.raises(DeviceError, match="got the index"):
            tg.device(name, index)
    assert isinstance(tg.zeros(1, device="cpu").device, tg.device)
    assert tg.device(type="cpu", index=0) is tg.device("cpu:0")


@pytest.mark.parametrize("kind", ["cpu", "meta"])
def test_an_index_is_part_of_the_name_of_a_device_without_any(kind: str) -> None:
    plain, first = tg.device(kind), tg.device(f"{kind}:0")
    assert plain.index is None
    assert (first.index, first.type) == (0, kind)
    assert plain != first
    assert len({plain, first, tg.device(kind, 0), tg.device(kind, 1)}) == 3
    assert (str(plain), str(first)) == (kind, f"{kind}:0")
    assert repr(first) == f"device(type='{kind}', index=0)"
    for where in (plain, first, tg.device(kind, 1)):
        assert pickle.loads(pickle.dumps(where)) is copy.deepcopy(where) is where
        file = io.BytesIO()
        tg.save({"where": where}, file)
        assert tg.load(io.BytesIO(file.getvalue()))["where"] is where


def made_on(where: Any) -> dict[str, Any]:
    x = tg.ones(2, device="cpu")
    file = io.BytesIO()
    tg.save(x, file)
    with where:
        inside = tg.zeros(1)
    before = tg.hosts.devices.chosen_device()
    tg.set_default_device(where)
    default = tg.zeros(1, device=tg.hosts.devices.chosen_device())
    tg.set_default_device(before)
    return {
        "zeros": tg.zeros(1, device=where), "tensor": tg.tensor([1.0], device=where), "to": x.to(where),
        "to by name": x.to(str(where)), "like": tg.empty_like(x, device=where),
        "new": x.new_ones(2, device=where),
        "randn": tg.randn(2, device=where), "arange": tg.arange(3, device=where), "in a with": inside,
        "by default": default, "a module": tg.nn.BatchNorm1d(2, device=where).running_mean,
        "a moved module": tg.nn.Linear(1, 1, device="cpu").to(where).weight,
        "a generator": tg.Generator(where), "load": tg.load(io.BytesIO(file.getvalue()), map_location=where),
        "load by a table": tg.load(io.BytesIO(file.getvalue()), map_location={"cpu": where}),
        "sparse": x.to_sparse().to(where), "asarray": tg.asarray([1.0], device=where),
        "eye": tg.eye(2, device=where), "empty": tg.empty(0, device=where),
    }  # fmt: skip


def test_tensors_of_a_numbered_cpu_are_on_the_cpu() -> None:
    for where in (tg.device("cpu", 0), tg.device("cpu:1")):
        for name, made in made_on(where).items():
            assert made.device is tg.device("cpu"), name
    assert tg.zeros(1, device="cpu:0").get_device() == -1
    assert tg.ones(2, device="meta:0").device is tg.device("meta")
    assert tg.ones(2, device="meta").get_device() == -1
    assert (tg.ones(1, device="cpu:0") + tg.ones(1, device="cpu:1")).tolist() == [2.0]


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

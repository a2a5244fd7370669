"""save and load: round trips, files of other programs, and files that are broken."""

from __future__ import annotations

import io
import json
import math
import pathlib
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad import nn
from tabgrad.serialization import safetensors


@pytest.fixture(autouse=True)
def on_cpu() -> Any:
    tg.set_default_device("cpu")
    yield
    tg.set_default_device(None)


def again(obj: Any, **options: Any) -> Any:
    file = io.BytesIO()
    safetensors.save(obj, file)
    file.seek(0)
    return safetensors.load(file, **options)


DTYPES = [
    tg.bool, tg.uint8, tg.int8, tg.int16, tg.int32, tg.int64, tg.uint16, tg.uint32, tg.uint64,
    tg.float16, tg.float32, tg.float64, tg.complex64,
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_dtypes_and_shapes(dtype: Any, shape: tuple[int, ...]) -> None:
    x = tg.arange(math.prod(shape)).reshape(shape).to(dtype)
    back = again({"x": x})["x"]
    assert back.dtype is dtype
    assert back.shape == x.shape
    assert back.tolist() == x.tolist()


def test_structures() -> None:
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    given = {
        "epoch": 3, "best": float("inf"), "name": "näme", "flags": [True, None, (1, 2.5)],
        7: {"w": w, "same": w, "view": w.detach()[1:]}, "dtype": tg.float16,
        "device": tg.device("cpu"), "empty": {}, "tensor": tg.tensor(5),
    }  # fmt: skip
    back = again(given)
    assert back["epoch"] == 3
    assert back["best"] == float("inf")
    assert back["name"] == "näme"
    assert back["flags"] == [True, None, (1, 2.5)]
    assert back[7]["w"].tolist() == [1.0, 2.0]
    assert back[7]["same"] is back[7]["w"]
    assert back[7]["view"].tolist() == [2.0]
    assert back["dtype"] is tg.float16
    assert back["device"] is tg.device("cpu")
    assert back["empty"] == {}
    assert back[7]["w"].requires_grad
    assert not back[7]["view"].requires_grad
    assert again(w).tolist() == [1.0, 2.0]
    assert again(OrderedDict(b=w, a=w)).keys() == OrderedDict(b=w, a=w).keys()


@pytest.mark.parametrize("inside", [lambda x: x, lambda x: {"x": x}, lambda x: [1, {"a": (x,)}]])
def test_what_requires_grad_does_so_again(inside: Any) -> None:
    def leaf(obj: Any) -> Any:
        while not isinstance(obj, tg.Tensor):
            obj = list(obj.values() if isinstance(obj, dict) else obj)[-1]
        return obj

    w = tg.tensor([1.0, 2.0], requires_grad=True)
    for x in (w, w * 3, nn.Parameter(w.detach()), nn.Parameter(w.detach(), requires_grad=False)):
        back = leaf(again(inside(x)))
        assert back.requires_grad == x.requires_grad
        assert back.is_leaf
        assert type(back) is type(x)
        assert back.tolist() == x.tolist()
    plain, other = io.BytesIO(), io.BytesIO()
    safetensors.save(inside(w.detach()), plain)
    safetensors.save(inside(w), other)
    assert b"tabgrad.leaves" not in plain.getvalue()
    assert not leaf(safetensors.load(io.BytesIO(plain.getvalue()))).requires_grad
    leaf(safetensors.load(io.BytesIO(other.getvalue()))).sum().backward()


def test_a_checkpoint_goes_on(tmp_path: pathlib.Path) -> None:
    def fresh() -> tuple[Any, Any]:
        net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        return net, tg.optim.Adam(net.parameters(), lr=0.05)

    def train(net: Any, optimizer: Any) -> float:
        optimizer.zero_grad()
        loss = (net(tg.linspace(-1, 1, 12).reshape(4, 3)) ** 2).mean()
        loss.backward()
        optimizer.step()
        return float(loss.item())

    a = fresh()
    for _ in range(3):
        train(*a)
    path = tmp_path / "checkpoint.safetensors"
    safetensors.save({"net": a[0].state_dict(), "optimizer": a[1].state_dict()}, path)
    b = fresh()
    saved = safetensors.load(str(path))
    b[0].load_state_dict(saved["net"])
    b[1].load_state_dict(saved["optimizer"])
    assert saved["net"]._metadata["1"] == {"version": 2}
    assert [train(*b) for _ in range(3)] == pytest.approx([train(*a) for _ in range(3)], rel=1e-6)


def test_what_can_not_be_saved() -> None:
    with pytest.raises(TypeError, match=r"got Linear at model; save a module .* state_dict"):
        again({"model": nn.Linear(1, 1)})
    with pytest.raises(TypeError, match=r"has no tabgrad\.complex128"):
        again({"x": tg.zeros(1, dtype=tg.complex128)})


def test_the_library_of_the_format_agrees(tmp_path: pathlib.Path) -> None:
    library = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    arrays = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([1, 2], dtype=np.int64),
        "c": np.array([True]), "h": np.array([1.5], dtype=np.float16),
    }  # fmt: skip
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    safetensors.save({k: tg.tensor(v) for k, v in arrays.items()}, ours)
    library.save_file(arrays, theirs)
    for found in (
        library.load_file(ours),
        {k: v.numpy() for k, v in safetensors.load(theirs).items()},
    ):
        assert found.keys() == arrays.keys()
        for k, v in arrays.items():
            assert found[k].dtype == v.dtype
            np.testing.assert_array_equal(found[k], v)


def test_saving_without_waiting() -> None:
    import asyncio

    given = {"w": tg.tensor([1.0, 2.0]), "n": 3}
    here, there = io.BytesIO(), io.BytesIO()
    safetensors.save(given, here)
    asyncio.run(safetensors.save_async(given, there))
    assert here.getvalue() == there.getvalue()


def file_of(header: Any, body: bytes = b"") -> io.BytesIO:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return io.BytesIO(len(text).to_bytes(8, "little") + text + body)


def test_bfloat16_is_read_and_written_as_it_is() -> None:
    header = {"x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    x = safetensors.load(file_of(header, bytes([0x80, 0x3F, 0x20, 0xC0])))["x"]
    assert x.dtype is tg.bfloat16
    assert x.tolist() == [1.0, -2.5]
    file = io.BytesIO()
    safetensors.save({"x": x}, file)
    assert file.getvalue().endswith(bytes([0x80, 0x3F, 0x20, 0xC0]))
    file.seek(0)
    assert safetensors.load(file)["x"].tolist() == [1.0, -2.5]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (io.BytesIO(b"PK"), "got 2 bytes"),
        (io.BytesIO(b"PK\3\4" + b"x" * 60), "file of torch.save"),
        (file_of(b"{nonsense"), "expected a JSON header"),
        (file_of([1]), "expected a JSON object"),
        (file_of({"x": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, b"1234"), "'x'"),
        (
            file_of({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"1234"),
            "8 bytes",
        ),
        (file_of({"x": {"dtype": "F32", "shape": [1], "data_offsets": [2, 6]}}, b"1234"), "2 to 6"),
        (file_of({"x": {"shape": [1]}}), "KeyError"),
        (file_of({"__metadata__": {"tabgrad.tree": '{"code": 1}'}}), "unknown part"),
    ],
)
def test_broken_files(file: io.BytesIO, message: str) -> None:
    file.seek(0)
    with pytest.raises(ValueError, match=message):
        safetensors.load(file)


@pytest.mark.one_host("wgpu", "cuda")
def test_between_devices(device: str) -> None:
    x = tg.tensor([1.5, 2.5], device=device)
    index = tg.tensor([3, 4])
    back = again({"x": x, "index": index}, map_location=device)
    assert back["x"].device is tg.device(device)
    assert back["x"].tolist() == [1.5, 2.5]
    assert back["index"].tolist() == [3, 4]
    assert again({"x": x}, map_location="cpu")["x"].device is tg.device("cpu")

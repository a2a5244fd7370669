"""Files that PyTorch made, and files of ours that PyTorch was seen to read."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import pathlib
import pickle
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.core.errors import FileFormatError
from tabgrad.serialization.safe import _second_tensor
from tabgrad.serialization.storages import Stored
from tests.serialization import objects

FOLDER = pathlib.Path(__file__).parent / "pytorch"
EXPECTED = json.loads((FOLDER.parent / "expected.json").read_text())


@pytest.fixture(autouse=True)
def on_the_cpu() -> Any:
    with tg.device("cpu"):
        yield


def saved(obj: Any) -> bytes:
    file = io.BytesIO()
    tg.save(obj, file)
    return file.getvalue()


def as_pytorch(value: Any) -> Any:
    """Return what was told of a value, with PyTorch's names for our types."""
    text = json.dumps(value).replace("tabgrad.", "")
    for ours, theirs in (
        ("SparseTensor", "Tensor"),
        ("DType", "dtype"),
        ("Device", "device"),
    ):
        text = text.replace(f'"{ours}"', f'"{theirs}"')
    return json.loads(text)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("name", objects.WEIGHTS)
def test_a_file_of_pytorch_is_read(name: str, mapped: bool) -> None:
    found = tg.load(
        FOLDER / f"{name}.pt", mmap=mapped, weights_only=None if name != "plain" else False
    )
    assert as_pytorch(objects.told(tg, found)) == EXPECTED["theirs"][name]


@pytest.mark.parametrize("name", objects.WEIGHTS)
def test_pytorch_was_seen_to_read_this_file_of_ours(name: str) -> None:
    raw = saved(objects.WEIGHTS[name](tg))
    told = EXPECTED["ours"][name]
    if name == "checkpoint":
        # a step of training is not the same to the last bit on every machine
        again = tg.load(io.BytesIO(raw))
        state = again["adam"]["optimizer"]["state"]
        assert [k for k, _ in told["read"][1]] == list(again)
        assert state[0]["exp_avg"].shape == (3, 2)
        return
    assert hashlib.sha256(raw).hexdigest() == told["sha256"]
    assert (
        as_pytorch(objects.told(tg, tg.load(io.BytesIO(raw), weights_only=name != "plain")))
        == told["read"]
    )


def test_signs_that_pytorch_keeps_beside_the_memory() -> None:
    for of in (
        objects.bits(tg),
        tg.load(FOLDER / "bits.pt"),
        tg.load(io.BytesIO(saved(objects.bits(tg)))),
    ):
        assert of["z"].tolist() == [[1 + 2j, 3 - 4j]]
        assert of["conj"].tolist() == of["noted"].tolist() == [[1 - 2j, 3 + 4j]]
        assert of["tracked"].tolist() == of["parameter"].tolist() == [[1 - 2j, 3 + 4j]]
        assert of["adjoint"].tolist() == [[1 - 2j], [3 + 4j]]
        assert of["imag"].tolist() == [[-2.0, 4.0]]
        assert of["noted"].note == "kept"
        assert of["tracked"].requires_grad
        assert of["tracked"].is_leaf
        assert type(of["parameter"]) is tg.nn.Parameter


@pytest.mark.parametrize("metadata", [{"conj": 1}, {"odd": True}, [1], {"conj": True}])
def test_metadata_of_a_tensor_that_mean_nothing(metadata: Any) -> None:
    stored = Stored(memoryview(bytes(4)), tg.float32, tg.device("cpu"), False, "test")
    with pytest.raises(FileFormatError, match=r"metadata|conjugated"):
        _second_tensor(stored, 0, (1,), (1,), False, None, metadata)


def test_views_share_memory_again() -> None:
    for file in ("views.pt", "legacy.pt"):
        found = tg.load(FOLDER / file)
        found["x"][1, 1] = 99
        assert (
            found["row"][1] == found["t"][1, 1] == found["detached"][1, 1] == found["flat"][5] == 99
        )
        assert not found["row"]._is_view()


def test_a_file_before_the_archives() -> None:
    assert (
        as_pytorch(objects.told(tg, tg.load(FOLDER / "legacy.pt"))) == EXPECTED["theirs"]["views"]
    )
    raw = (FOLDER / "legacy.pt").read_bytes()
    for n in range(0, len(raw), 97):
        with pytest.raises(FileFormatError):
            tg.load(io.BytesIO(raw[:n]))
    with pytest.raises(FileFormatError, match="8 bytes follow"):
        tg.load(io.BytesIO(raw + bytes(8)))


@pytest.mark.parametrize("name", EXPECTED["modules"])
def test_a_module_of_pytorch(name: str) -> None:
    path, told = FOLDER / f"module_{name}.pt", EXPECTED["modules"][name]
    with pytest.raises(FileFormatError, match=r"the file uses torch\.nn\.modules\..*safe_globals"):
        tg.load(path)
    net = tg.load(path, weights_only=False)
    shape = objects.modules(tg)[name][1]
    *_, numbers, _ = told["output"]
    assert objects.output(tg, net, shape).flatten().tolist() == pytest.approx(numbers, abs=1e-5)
    assert repr(net).replace("NonDynamicallyQuantizable", "") == told["repr"].replace(
        "NonDynamicallyQuantizable", ""
    )
    again = tg.load(io.BytesIO(saved(net)), weights_only=False)
    assert tg.equal(objects.output(tg, again, shape), objects.output(tg, net, shape))
    assert again.state_dict().keys() == net.state_dict().keys()


def test_only_classes_that_the_user_lists_are_built() -> None:
    net = tg.nn.Sequential(tg.nn.Linear(2, 1), tg.nn.Tanh())
    raw = saved(net)
    listed = [tg.nn.Sequential, tg.nn.Linear, tg.nn.Tanh]
    with tg.serialization.safe_globals(listed):
        again = tg.load(io.BytesIO(raw))
        assert tg.serialization.get_safe_globals() == listed
    assert tg.equal(again(tg.ones(2)), net(tg.ones(2)))
    assert tg.serialization.get_safe_globals() == []
    tg.serialization.add_safe_globals([(list, "builtins.dict")])
    tg.serialization.clear_safe_globals()
    with pytest.raises(FileFormatError):
        tg.load(io.BytesIO(raw))
    with pytest.raises(TypeError, match="expected classes"), tg.serialization.safe_globals([3]):
        pass


def test_optimizers_are_saved_by_their_states() -> None:
    optimizer = tg.optim.SGD([tg.nn.Parameter(tg.ones(2))], lr=0.1)
    for x in (optimizer, tg.optim.lr_scheduler.StepLR(optimizer, 1)):
        with pytest.raises(TypeError, match=r"save a \w+ by its state_dict\(\)"):
            saved({"x": x})


def test_places() -> None:
    raw = saved({"a": tg.ones(2), "b": tg.zeros(2)})
    cpu = tg.device("cpu")
    asked = []

    def moved(storage: Any, place: str) -> Any:
        asked.append(place)
        return storage.cpu()

    for where in (
        None,
        "cpu",
        cpu,
        {"cpu": "cpu"},
        {"cuda:0": "cpu"},
        moved,
        lambda storage, place: None,
    ):
        assert tg.load(io.BytesIO(raw), map_location=where)["a"].device is cpu
    assert asked == ["cpu", "cpu"]
    for wrong in (3, lambda storage, place: 3):
        with pytest.raises(TypeError, match="map_location must"):
            tg.load(io.BytesIO(raw), map_location=wrong)


def test_formats_are_told_apart(tmp_path: pathlib.Path) -> None:
    tg.save({"x": tg.ones(2)}, tmp_path / "a.safetensors")
    tg.save({"x": tg.ones(2)}, tmp_path / "a.pt")
    assert (tmp_path / "a.safetensors").read_bytes()[:2] != b"PK"
    assert (tmp_path / "a.pt").read_bytes()[:2] == b"PK"
    for name in ("a.safetensors", "a.pt"):
        assert tg.load(tmp_path / name)["x"].tolist() == [1, 1]
    with pytest.raises(ValueError, match="needs the path"):
        tg.load(io.BytesIO(b""), mmap=True)
    with pytest.raises(ValueError, match=r"before 1\.6"):
        tg.save(1, io.BytesIO(), _use_new_zipfile_serialization=False)
    x = tg.ones(2)
    with pytest.raises(RuntimeError, match="view the same data as different types"):
        saved([x, x.view(tg.int32)])


def test_saving_without_waiting(tmp_path: pathlib.Path) -> None:
    for name in ("a.pt", "a.safetensors"):
        asyncio.run(tg.serialization.save_async({"x": tg.ones(2)}, tmp_path / name))
        here = (tmp_path / name).read_bytes()
        tg.save({"x": tg.ones(2)}, tmp_path / name)
        assert (tmp_path / name).read_bytes() == here


def test_mapped_tensors_are_read_when_they_are_used(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "large.pt"
    tg.save({"x": tg.arange(1000.0), "y": tg.ones(4, dtype=tg.bfloat16)}, path)
    found = tg.load(path, mmap=True)
    before = path.read_bytes()
    found["x"].add_(1)
    assert found["x"].sum() == 500500
    assert found["y"].float().tolist() == [1.0] * 4
    assert path.read_bytes() == before


def test_what_may_be_code_is_refused_as_pytorch_refuses_it() -> None:
    file = io.BytesIO()
    tg.save({"path": pathlib.PurePosixPath("a")}, file)
    with pytest.raises(pickle.UnpicklingError, match="weights_only: the file uses"):
        tg.load(io.BytesIO(file.getvalue()))

"""GGUF, NPZ and NPY: files of other programs, and broken ones."""

from __future__ import annotations

import io
import json
import pathlib
import struct
import zipfile
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.core.errors import FileFormatError
from tabgrad.serialization import gguf, npz

HERE = pathlib.Path(__file__).parent
BLOCKS = (HERE / "blocks.gguf").read_bytes()


@pytest.mark.every_host
def test_blocks_are_what_they_stand_for(device: str) -> None:
    tensors, facts = gguf.load(io.BytesIO(BLOCKS), device)
    want = json.loads((HERE / "expected_gguf.json").read_text())
    assert list(tensors) == list(want)
    for name, values in want.items():
        found = tensors[name]
        assert found.shape == np.shape(values)
        assert found.device.type == device
        np.testing.assert_allclose(found.float().numpy(), values, rtol=1e-6, atol=1e-6)
    assert tensors["Q4_K"].dtype is tg.float32
    assert tensors["float16"].dtype is tg.float16 or device == "webgpu"
    assert facts == {
        "general.architecture": "llama",
        "layers": 3,
        "names": ["a", "ä"],
        "numbers": [1, 2, 3],
        "rate": 1.5,
        "flag": True,
    }


def test_tensors_of_gguf_by_load() -> None:
    found = tg.load(HERE / "blocks.gguf", map_location="cpu")
    assert found["int32"].tolist() == [[0, 1, 2], [3, 4, 5]]


def changed(at: int, code: str, value: Any) -> bytes:
    raw = struct.pack(code, value)
    return BLOCKS[:at] + raw + BLOCKS[at + len(raw) :]


def test_broken_gguf() -> None:
    for n in range(0, len(BLOCKS) - 40, 53):
        with pytest.raises(FileFormatError):
            gguf.load(io.BytesIO(BLOCKS[:n]), "cpu")
    name = BLOCKS.index(b"Q4_0")
    for data, message in (
        (b"GGML" + BLOCKS[4:], "expected a GGUF file"),
        (changed(4, "<I", 1), "version is 1"),
        (changed(8, "<Q", 1 << 60), "cut off|has"),
        (changed(16, "<Q", 1 << 60), "cut off|type|there twice"),
        (changed(24, "<Q", 1 << 60), "cut off"),
        (changed(name + 4, "<I", 9), "9 dims"),
        (changed(name + 8, "<Q", 1 << 60), "too large"),
        (changed(name + 8, "<Q", 33), "no whole blocks"),
        (changed(name + 24, "<I", 15), "blocks of type 15, which are not read; there are Q4_0"),
        (changed(name + 28, "<Q", 1 << 40), "after the end|overlaps"),
        (BLOCKS.replace(b"Q4_1", b"Q4_0"), "there twice"),
        (BLOCKS.replace(b"\xc3\xa4", b"\xff\xff"), "not UTF-8"),
    ):
        with pytest.raises(FileFormatError, match=message):
            gguf.load(io.BytesIO(data), "cpu")


ARRAYS: dict[str, Any] = {
    "f": np.arange(6, dtype=np.float32).reshape(2, 3),
    "t": np.arange(6.0).reshape(2, 3).T,
    "i": np.array([1, -2], np.int16),
    "b": np.array([True, False]),
    "s": np.float64(2.5),
    "e": np.zeros((0, 2)),
    "c": np.array([1 + 2j]),
    "big": np.array([1, 258], ">i4"),
    "h": np.array([1.5], np.float16),
}


def bytes_of(save: Any, *args: Any, **kwargs: Any) -> bytes:
    file = io.BytesIO()
    save(file, *args, **kwargs)
    return file.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_numpy(save: Any) -> None:
    found = tg.load(io.BytesIO(bytes_of(save, **ARRAYS)), map_location="cpu")
    assert list(found) == list(ARRAYS)
    for name, a in ARRAYS.items():
        assert found[name].dtype.name == np.asarray(a).dtype.newbyteorder("=").name
        np.testing.assert_array_equal(found[name].numpy(), a)
        one = tg.load(io.BytesIO(bytes_of(np.save, a)), map_location="cpu")
        np.testing.assert_array_equal(one.numpy(), a)


def npy(header: str, body: bytes = b"") -> bytes:
    raw = header.encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(raw)) + raw + body


def test_broken_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s,)}"
    for data, message in (
        (bytes_of(np.save, np.array([print], object), allow_pickle=True), "no dtype for '|O'"),
        (bytes_of(np.save, np.array(["a"])), "no dtype for"),
        (npy(fine % 2, bytes(4)), "needs 8 bytes, there are 4"),
        (npy(fine % -2), "its shape"),
        (npy(fine % (1 << 70)), "too large"),
        (npy("__import__('os')"), "none of NumPy's"),
        (npy("(" * 5000), "none of NumPy's"),
        (npy(" " * 20000), "at most 10000"),
        (b"\x93NUMPY\7\0aaaa", "version 1 to 3"),
        (b"\x93NUMPY", "no NPY file"),
        (npy(fine.replace("<f4", "|b1") % 1, b"\2"), "0 or 1"),
    ):
        with pytest.raises(FileFormatError, match=message):
            tg.load(io.BytesIO(data), map_location="cpu")
    packed = bytes_of(np.savez_compressed, x=np.zeros(100_000))
    for n in range(0, len(packed), 17):
        with pytest.raises(FileFormatError):
            tg.load(io.BytesIO(packed[:n]), map_location="cpu")
    monkeypatch.setattr(npz, "MOST_EXPANDED", 1000)
    with pytest.raises(FileFormatError, match="more than 200 times its part"):
        tg.load(io.BytesIO(packed), map_location="cpu")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as z:
        z.writestr("a.npy", npy(fine % 1, bytes(4)))
        z.writestr("b.txt", "")
    with pytest.raises(FileFormatError, match=r"neither torch\.save nor numpy\.savez"):
        tg.load(io.BytesIO(file.getvalue()), map_location="cpu")

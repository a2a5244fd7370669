"""Archives that were changed or made to do harm: an error, never code, a hang or much memory."""

from __future__ import annotations

import io
import pickle
import random
import struct
import time
import tracemalloc
import zipfile
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.core.errors import FileFormatError
from tabgrad.serialization import archive
from tests.grouped import grouped
from tests.serialization import objects


@pytest.fixture(autouse=True)
def on_the_cpu() -> Any:
    with tg.device("cpu"):
        yield


def packed(pickled: bytes, storage: bytes = bytes(16), **others: bytes) -> bytes:
    file = io.BytesIO()
    out = archive.Writer(file, "archive")
    for name, data in {"data.pkl": pickled, "data/0": storage, **others}.items():
        out.record(name, data)
    out.close()
    return file.getvalue()


def text(s: str) -> bytes:
    raw = s.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def whole(n: int) -> bytes:
    return b"\x8a\x08" + n.to_bytes(8, "little", signed=True)


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(whole, values)) + b"t"


def storage(kind: str = "FloatStorage", key: bytes = b"", count: int = 4) -> bytes:
    told = text("storage") + named("torch", kind) + (key or text("0")) + text("cpu") + whole(count)
    return b"(" + told + b"tQ"


def tensor(
    offset: int,
    sizes: tuple[int, ...],
    steps: tuple[int, ...],
    what: bytes = b"",
    tracked: bytes = b"\x89",
) -> bytes:
    make = named("torch._utils", "_rebuild_tensor_v2")
    return (
        b"\x80\x02"
        + make
        + b"("
        + (what or storage())
        + whole(offset)
        + numbers(sizes)
        + numbers(steps)
        + tracked
        + b"}tR."
    )


def call(module: str, name: str, *args: bytes) -> bytes:
    return b"\x80\x02" + named(module, name) + b"(" + b"".join(args) + b"tR."


def deep_key() -> bytes:
    # a tuple of two times itself, again and again: its hash takes 2**n steps
    return b"\x80\x02}(" + b")" + b"2\x86" * 60 + b"K\x01u."


PICKLES = {
    "system": (call("os", "system", text("false")), r"the file uses os\.system"),
    "eval": (call("builtins", "eval", text("1")), r"builtins\.eval"),
    "getattr": (call("builtins", "getattr", text("a"), text("b")), r"builtins\.getattr"),
    "load itself": (call("torch", "load", text("x")), r"torch\.load"),
    "by stack": (b"\x80\x04" + text("posix") + text("system") + b"\x93.", r"posix\.system"),
    "instance": (b"(ios\nsystem\n.", "opcode 0x69"),
    "reduce of text": (b"\x80\x02" + text("a") + b")R.", "calls what can't be called"),
    "extension": (b"\x80\x02\x82\x01.", "opcode 0x82"),
    "no stop": (b"\x80\x02N", "cut off"),
    "empty": (b"", "cut off"),
    "no stack": (b"\x80\x02.", "takes more"),
    "two left": (b"\x80\x02NN.", "more than one"),
    "no mark": (b"\x80\x02Nt.", "no mark"),
    "memo": (b"\x80\x02h\x07.", "no object number 7"),
    "far memo": (b"\x80\x02Nr\xff\xff\xff\xff0j\xff\xff\xff\xfe.", "no object number"),
    "long text": (b"\x80\x02X\xff\xff\xff\x7fa.", "cut off"),
    "longer text": (b"\x80\x04\x8d" + b"\xff" * 8 + b"a.", "cut off"),
    "long number": (b"\x80\x02\x8b\xff\xff\xff\x7f1.", "cut off"),
    "no UTF-8": (b"\x80\x02X\x01\0\0\0\xff.", "not UTF-8"),
    "later protocol": (b"\x80\x09N.", "protocol after 5"),
    "name without end": (b"\x80\x02c" + b"a" * 5000, "name that does not end"),
    "items of a list": (b"\x80\x02]NNs.", "what is no dict"),
    "append to a dict": (b"\x80\x02}Na.", "what is no list"),
    "add to a list": (b"\x80\x04](N\x90.", "what is no set"),
    "list as a key": (b"\x80\x02}]Ns.", "list as a key"),
    "deep key": (deep_key(), "key of too many parts"),
    "deep key of a set": (
        b"\x80\x04\x8f(" + b")" + b"2\x86" * 60 + b"\x90.",
        "key of too many parts",
    ),
    "colliding keys": (b"\x80\x02}\x8a\x09" + bytes(8) + b"\x01Ns.", "key of 65 bits"),
    "state of a list": (b"\x80\x02]}b.", "gives a state to a list"),
    "state of an OrderedDict": (
        b"\x80\x02" + named("collections", "OrderedDict") + b")R}" + text("keys") + b"Nsb.",
        "_metadata",
    ),
    "wrong arguments": (call("torch", "Size", text("a")), "whole numbers"),
    "many arguments": (call("torch", "Size", b")", b")"), "don't fit"),
    "device": (call("torch", "device", text("tpu")), "no device"),
    "layout": (call("torch.serialization", "_get_layout", text("torch.load")), "no layout"),
    "coding": (call("_codecs", "encode", text("a"), text("zlib")), "latin1"),
    "copies": (
        b"\x80\x02"
        + named("__builtin__", "set")
        + b"q\0]("
        + b"K\x01" * 5000
        + b"e\x85q\x010"
        + b"h\0h\x01R0" * 5000
        + b"N.",
        "copies its parts|more than one",
    ),
    "no storage": (b"\x80\x02" + text("a") + b"Q.", "no storage"),
    "other key": (tensor(0, (4,), (1,), storage(key=text("../0"))), "storage '../0'"),
    "missing": (tensor(0, (4,), (1,), storage(key=text("7"))), "no record 'data/7'"),
    "count": (tensor(0, (4,), (1,), storage(count=5)), "not those of 5 elements"),
    "huge count": (tensor(0, (4,), (1,), storage(count=1 << 60)), "not those of"),
    "beyond": (tensor(1, (4,), (1,)), "not within its storage"),
    "far offset": (tensor(1 << 62, (1,), (1,)), "not within its storage"),
    "negative stride": (tensor(3, (4,), (-1,)), "has sizes"),
    "negative size": (tensor(0, (-4,), (1,)), "has sizes"),
    "lengths": (tensor(0, (4,), (1, 1)), "has sizes"),
    "huge": (tensor(0, (1 << 40, 1 << 40), (0, 0)), "too large"),
    "many dims": (tensor(0, (1,) * 65, (1,) * 65), "too large"),
    "integers that require grad": (
        tensor(0, (4,), (1,), storage("IntStorage"), b"\x88"),
        "can't require grad",
    ),
    "no tensor": (
        call("torch._utils", "_rebuild_parameter", b"N", b"\x88", b"}"),
        "needs a tensor",
    ),
    "attribute": (
        call(
            "torch._tensor",
            "_rebuild_from_type_v2",
            named("torch._utils", "_rebuild_tensor_v2"),
            named("torch", "Tensor"),
            b"(" + storage() + whole(0) + numbers((4,)) + numbers((1,)) + b"\x89}t",
            b"}" + text("backward") + b"Ns",
        ),
        "can't have an attribute 'backward'",
    ),
    "maker": (
        call("torch._tensor", "_rebuild_from_type_v2", text("a"), text("b"), b")", b"}"),
        "needs what makes it",
    ),
}


@grouped("name", PICKLES)
def test_a_hostile_pickle_is_refused(name: str) -> None:
    pickled, message = PICKLES[name]
    begin = time.monotonic()
    with pytest.raises(FileFormatError, match=rf"(?s)load: BytesIO: .*({message})"):
        tg.load(io.BytesIO(packed(pickled)))
    assert time.monotonic() - begin < 2


def test_what_a_tensor_may_show() -> None:
    assert tg.load(io.BytesIO(packed(tensor(0, (4,), (1,))))).tolist() == [0] * 4
    assert tg.load(io.BytesIO(packed(tensor(2, (1 << 30, 2), (0, 1))))).shape == (1 << 30, 2)
    large = storage("ByteStorage", text("0"), 1 << 12)
    with pytest.raises(FileFormatError, match="repeats those"):
        tg.load(io.BytesIO(packed(tensor(0, (1 << 11, 1 << 11), (1, 1), large), bytes(1 << 12))))
    both = tensor(0, (4,), (1,))[2:-1] + tensor(0, (4,), (1,))[2:-1].replace(b"Float", b"Int")
    with pytest.raises(FileFormatError, match=r"is of tabgrad\.float32 and of tabgrad\.int32"):
        tg.load(io.BytesIO(packed(b"\x80\x02(" + both + b"t.")))
    with pytest.raises(FileFormatError, match="0 or 1"):
        tg.load(
            io.BytesIO(
                packed(tensor(0, (16,), (1,), storage("BoolStorage", count=16)), bytes([2]) * 16)
            )
        )


def zipped(kind: int, names: tuple[str, ...] = ("a/data.pkl",)) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as z:
        for name in names:
            z.writestr(name, bytes(1000))
    return file.getvalue()


def test_archives_that_are_none() -> None:
    good = packed(tensor(0, (4,), (1,)))
    cases = [
        (zipped(zipfile.ZIP_DEFLATED), "is compressed"),
        (zipped(zipfile.ZIP_STORED, ()), "expected a"),
        (zipped(zipfile.ZIP_STORED, ("a/x",)), "neither torch.save nor numpy.savez"),
        (packed(b"N.", **{"constants.pkl": b""}), "TorchScript"),
        (packed(b"N.", byteorder=b"big"), "big-endian"),
        (_damaged(good), "damaged"),
        (good[:100], "whole"),
        (good[4:], "safetensors"),
        (b"PK\3\4", "whole"),
        (b"\x80\x02N.", "none that torch.save"),
        (b"\x80\x02", "cut off"),
        (b"", "the file is empty"),
    ]
    for data, message in cases:
        with pytest.raises(FileFormatError, match=message):
            tg.load(io.BytesIO(data))
    with pytest.raises(FileFormatError, match=r"overlaps|twice|whole|header"):
        tg.load(io.BytesIO(_overlapping(good)))


def _damaged(data: bytes) -> bytes:
    at = data.index(b"archive/data/0") + 20
    at += -at % 64
    return data[:at] + b"\1" + data[at + 1 :]


def _overlapping(data: bytes) -> bytes:
    """Say in the directory that the second record is where the first one is."""
    changed = bytearray(data)
    first = data.index(b"PK\1\2")
    second = data.index(b"PK\1\2", first + 4)
    changed[second + 42 : second + 46] = data[first + 42 : first + 46]
    return bytes(changed)


def test_changed_files_give_that_error_or_an_object() -> None:
    rng = random.Random(0)
    originals = [_pickle_of(make) for make in objects.WEIGHTS.values()]
    tokens = [
        bytes([c]) for c in b"(.01NKMJGXcRbqhQtaeus)]}\x80\x81\x85\x86\x87\x88\x89\x8a\x8c\x93"
    ]
    raised = 0
    for i in range(600):
        data = bytearray(rng.choice(originals))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data))
            data[at : at + rng.randint(0, 3)] = rng.choice([*tokens, rng.randbytes(2), b""])
        if i % 5 == 0:
            del data[rng.randrange(len(data)) :]
        try:
            tg.load(io.BytesIO(packed(bytes(data))))
        except FileFormatError:
            raised += 1
    assert raised > 300


def _pickle_of(make: Any) -> bytes:
    file = io.BytesIO()
    tg.save(make(tg), file)
    with zipfile.ZipFile(io.BytesIO(file.getvalue())) as z:
        return z.read("archive/data.pkl")


def test_a_file_cut_anywhere_and_its_memory() -> None:
    file = io.BytesIO()
    tg.save({"x": tg.zeros(5000)}, file)
    whole_file = file.getvalue()
    tracemalloc.start()
    try:
        for n in range(0, len(whole_file), 331):
            with pytest.raises(FileFormatError):
                tg.load(io.BytesIO(whole_file[:n]))
        assert tracemalloc.get_traced_memory()[1] < 16 * len(whole_file)
    finally:
        tracemalloc.stop()


def test_a_pickle_of_others_is_no_file_of_tensors() -> None:
    for obj in ([1], {"a": 1}, print):
        with pytest.raises(FileFormatError):
            tg.load(io.BytesIO(pickle.dumps(obj, 4)))

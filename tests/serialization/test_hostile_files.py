"""Broken and hostile files: one error that names the file and the place, and no more memory than their size."""

from __future__ import annotations

import io
import json
import pickle
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st

import tabgrad as tg
from tabgrad.core.errors import FileFormatError
from tabgrad.serialization import safetensors


@pytest.fixture(autouse=True)
def on_the_cpu() -> Any:
    with tg.device("cpu"):
        yield


def packed(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def fact(begin: Any, end: Any, shape: Any = None, dtype: Any = "F32") -> dict[str, Any]:
    return {
        "dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape,
        "data_offsets": [begin, end],
    }  # fmt: skip


def tree(node: Any, tensors: int = 1) -> bytes:
    text = node if isinstance(node, str) else json.dumps(node)
    header = {"__metadata__": {"tabgrad.tree": text}}
    return packed(
        header | {f"t{i}": fact(4 * i, 4 * i + 4) for i in range(tensors)}, bytes(4 * tensors)
    )


def leaves(told: Any, dtype: str = "F32") -> bytes:
    text = told if isinstance(told, str) else json.dumps(told)
    return packed({"__metadata__": {"tabgrad.leaves": text}, "a": fact(0, 4, [1], dtype)}, bytes(4))


DEEP = 100_000
FILES = {
    "overlap": (packed({"a": fact(0, 8), "b": fact(4, 12)}, bytes(12)), "tensor 'b'.*overlaps"),
    "same place": (packed({"a": fact(0, 8), "b": fact(0, 8)}, bytes(8)), "tensor 'b'.*overlaps"),
    "hole": (packed({"a": fact(0, 4), "b": fact(8, 12)}, bytes(12)), "tensor 'b'.*4 bytes unused"),
    "hole at the start": (packed({"a": fact(4, 8)}, bytes(8)), "tensor 'a'.*4 bytes unused"),
    "trailing": (packed({"a": fact(0, 4)}, bytes(6)), "2 bytes follow the last tensor"),
    "trailing alone": (packed({}, b"x"), "1 bytes follow"),
    "beyond": (packed({"a": fact(0, 8)}, bytes(4)), "tensor 'a'"),
    "twice": (packed(b'{"a":%s,"a":%s}' % ((json.dumps(fact(0, 4)).encode(),) * 2), bytes(4)),
              "header: 'a' is there twice"),
    "twice inside": (packed(b'{"a":{"dtype":"F32","dtype":"I32","shape":[],"data_offsets":[0,4]}}', bytes(4)),
                     "'dtype' is there twice"),
    "fraction": (packed({"a": fact(0, 4, [1.0])}, bytes(4)), "tensor 'a': its shape"),
    "negative": (packed({"a": fact(0, 4, [-1, -1])}, bytes(4)), "tensor 'a': its shape"),
    "bool in the shape": (packed({"a": fact(0, 4, [True])}, bytes(4)), "tensor 'a': its shape"),
    "text as shape": (packed({"a": fact(0, 4, "1")}, bytes(4)), "tensor 'a': its shape"),
    "huge shape": (packed({"a": fact(0, 0, [2**62, 8, 0])}), "tensor 'a': its shape.*too large"),
    "huge number": (packed({"a": fact(0, 0, [10**4000, 0])}), "tensor 'a': its shape.*too large"),
    "many axes": (packed({"a": fact(0, 4, [1] * 65)}, bytes(4)), "tensor 'a': its shape.*at most 64"),
    "offsets": (packed({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}, bytes(4)), "offsets"),
    "offsets no list": (packed({"a": {"dtype": "F32", "shape": [1], "data_offsets": 4}}), "offsets"),
    "backwards": (packed({"a": fact(4, 0, [0])}, bytes(4)), "tensor 'a'"),
    "dtype no text": (packed({"a": fact(0, 4, dtype=["F32"])}, bytes(4)), "tensor 'a': dtype"),
    "no object": (packed({"a": [1]}), "tensor 'a'"),
    "null": (packed({"a": None}), "tensor 'a'"),
    "bool": (packed({"a": fact(0, 1, [1], "BOOL")}, b"\2"), "a bool must be 0 or 1"),
    "deep header": (packed(b"[" * DEEP + b"]" * DEEP), "header: nested too deep"),
    "digits": (packed(b'{"a":%s}' % (b"9" * 10_000)), "header"),
    "other coding": (packed("{}".encode("utf-16")), "header"),
    "metadata": (packed({"__metadata__": 3}), "__metadata__"),
    "metadata of numbers": (packed({"__metadata__": {"tabgrad.tree": 3}}), "__metadata__"),
    "tree no json": (tree("{"), "tabgrad.tree"),
    "deep tree": (tree('{"list":[' * DEEP + "]}" * DEEP), "tabgrad.tree: nested too deep"),
    "deep enough": (tree('{"list":[' * 900 + "]}" * 900), "tabgrad.tree: nested too deep"),
    "any attribute": (tree({"dtype": "save"}), "tabgrad.tree: there is no dtype"),
    "a module": (tree({"dtype": "nn"}), "there is no dtype"),
    "dtype no name": (tree({"dtype": 3}), "there is no dtype"),
    "device": (tree({"device": "tpu"}), "tabgrad.tree: there is no device"),
    "device no name": (tree({"device": [1]}), "there is no device"),
    "no such tensor": (tree({"list": [1, {"tensor": "x"}]}), r'tabgrad.tree\[1\]: there is no tensor "x"'),
    "tensor no name": (tree({"tensor": ["t0"]}), "there is no tensor"),
    "list of no list": (tree({"list": 3}), "expected a list"),
    "pairs": (tree({"dict": [[1]]}), "expected pairs"),
    "pairs of text": (tree({"dict": ["ab"]}), "expected pairs"),
    "key no key": (tree({"dict": [[{"list": []}, 1]]}), "can't be a key"),
    "key twice": (tree({"dict": [["a", 1], ["a", 2]]}), 'the key "a" is there twice'),
    "twice in the tree": (tree('{"list":[],"list":[]}'), "'list' is there twice"),
    "two kinds": (tree({"list": [], "dict": []}), "unknown part"),
    "versions": (tree({"ordered": [], "versions": 3}), "versions: expected a dict"),
    "bare list": (tree([1]), "tabgrad.tree"),
    "leaves no json": (leaves("{"), "tabgrad.leaves"),
    "leaves of a kind": (leaves({"requires_grad": []}), "tabgrad.leaves: expected requires_grad and"),
    "leaves no list": (leaves({"requires_grad": "a", "parameters": []}), "requires_grad: expected a list"),
    "no such leaf": (leaves({"requires_grad": [], "parameters": ["b"]}), 'parameters: there is no tensor "b"'),
    "leaf no name": (leaves({"requires_grad": [["a"]], "parameters": []}), "there is no tensor"),
    "leaf of integers": (leaves({"requires_grad": ["a"], "parameters": []}, "I32"), '"a" is of integers'),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_broken_file_is_named_with_the_place(name: str, tmp_path: Any) -> None:
    data, message = FILES[name]
    path = tmp_path / "weights.bin"
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match=rf"(?s)load: .*weights\.bin: .*{message}"):
        safetensors.load(path)
    with pytest.raises(FileFormatError, match=rf"(?s)load: BytesIO: .*{message}"):
        safetensors.load(io.BytesIO(data))


def test_a_small_file_takes_little_memory() -> None:
    size = 1 << 20
    data = packed({f"t{i}": fact(0, size) for i in range(3000)}, bytes(size))
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match="overlaps another"):
            safetensors.load(io.BytesIO(data))
        assert tracemalloc.get_traced_memory()[1] < 16 * len(data)
    finally:
        tracemalloc.stop()


def test_what_holds_itself_is_not_saved() -> None:
    whole: list[Any] = []
    whole.append(whole)
    with pytest.raises(ValueError, match="save: what is saved holds itself"):
        safetensors.save(whole, io.BytesIO())


def test_a_file_in_text_mode() -> None:
    with pytest.raises(TypeError, match="open it in binary mode"):
        safetensors.load(io.StringIO("text"))  # type: ignore[arg-type]


def valid() -> list[bytes]:
    w = tg.arange(6.0).reshape(2, 3)
    objects: list[Any] = [
        {"a": w, "b": w[0].to(tg.float16), "c": tg.tensor([True, False]), "e": tg.zeros(0, 3)},
        {"x": [w, (1, 2.5, None, "text")], 3: {"d": tg.float16, "p": tg.device("cpu")}},
        tg.nn.Linear(2, 1).state_dict(),
    ]
    files = []
    for obj in objects:
        file = io.BytesIO()
        safetensors.save(obj, file)
        files.append(file.getvalue())
    program = tg.export(tg.nn.Linear(3, 2), (tg.export.TensorSpec(("n", 3)),))
    file = io.BytesIO()
    tg.export.save(program, file)
    return [*files, file.getvalue()]


with tg.device("cpu"):
    VALID = valid()
TOKENS = [b'"', b"[", b"]", b"{", b"}", b":", b",", b"-", b"0", b"9999999999", b"null", b"true", b"NaN",
          b"1e999", b'"F64"', b'"dtype"', b"tensor", b"list", b"\\u0000", b"\xff", b"\0"]  # fmt: skip
EDIT = st.tuples(
    st.integers(0, 5000),
    st.integers(0, 12),
    st.one_of(st.sampled_from(TOKENS), st.binary(max_size=4)),
)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 3), st.lists(EDIT, max_size=4), st.booleans(), st.integers(0, 64))
@example(0, [], False, 0)
def test_changed_files_give_that_error_or_an_object(
    which: int, edits: list[tuple[int, int, bytes]], keep: bool, cut: int
) -> None:
    data = bytearray(VALID[which])
    size = int.from_bytes(data[:8], "little")
    for at, length, new in edits:
        at %= len(data)
        data[at : at + length] = new
        size += len(new) - min(length, len(data) - at)
    if keep:
        data[:8] = max(size, 0).to_bytes(8, "little")
    if cut and not keep:
        del data[-cut:]
    tracemalloc.start()
    try:
        for read in (tg.load, tg.export.load):
            try:
                read(io.BytesIO(bytes(data)))
            except FileFormatError as error:
                assert "BytesIO" in str(error)  # noqa: PT017
            except tg.ExportError:
                assert read is tg.export.load
        assert tracemalloc.get_traced_memory()[1] < 64 * len(data) + (1 << 20)
    finally:
        tracemalloc.stop()


def test_what_is_no_file_of_ours_is_also_the_error_that_programs_look_for() -> None:
    faults = {
        b"": EOFError,
        b"hello, this is none": pickle.UnpicklingError,
        bytes(99): pickle.UnpicklingError,
    }
    for data, kind in faults.items():
        for weights_only in (True, False):
            with pytest.raises(kind) as caught:
                tg.load(io.BytesIO(data), weights_only=weights_only)
            assert isinstance(caught.value, FileFormatError)
    with pytest.raises(RuntimeError, match="zip archive"):
        tg.load(io.BytesIO(b"PK\3\4, but no more"))

"""Memory that NumPy and others share with tensors of the CPU."""

from __future__ import annotations

import ctypes
import gc
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import tabgrad as tg


@pytest.fixture(autouse=True)
def on_the_cpu() -> Any:
    with tg.device("cpu"):
        yield


def test_what_is_written_to_an_array_is_seen_in_all_tensors_of_it() -> None:
    a = np.arange(6.0).reshape(2, 3)
    x = tg.from_numpy(a)
    row, turned, same, deep = x[1], x.t(), x.detach(), x.view(-1)[2:].view(2, 2)
    bits, twin = x.view(tg.int64), tg.as_tensor(a)
    for value in (50.0, -0.0, float("nan"), float("nan")):
        a[1, 1] = value
        shown = [x[1, 1], row[1], turned[1, 1], same[1, 1], deep[1, 0], twin[1, 1]]
        assert np.array([t.item() for t in shown]).tobytes() == np.array([value] * 6).tobytes()
        assert bits[1, 1] == np.float64(value).view(np.int64)
    clone, total = x.clone(), x + 1
    a[:] = 3
    assert clone[0, 1] == 1
    assert total[0, 1] == 2
    assert x.sum() == 18


def test_what_is_written_to_a_tensor_is_seen_in_its_arrays() -> None:
    x = tg.arange(6.0).view(2, 3)
    whole, row, turned, expanded = (
        x.numpy(),
        x[1].numpy(),
        x.t().numpy(),
        x[:, :1].expand(2, 4).numpy(),
    )
    assert np.shares_memory(whole, row)
    assert turned.strides == (4, 12)
    assert expanded.strides == (12, 0)
    x.mul_(2)
    assert whole[1, 1] == row[1] == turned[1, 1] == 8
    x[1, 1] = 5
    x.view(-1)[5] = 7
    x.detach().t()[0, 1] = -1
    assert row.tolist() == [-1, 5, 7]
    assert expanded[1].tolist() == [-1] * 4
    row[0] = 9
    assert x[1, 0] == turned[0, 1] == 9
    w = tg.nn.Parameter(tg.ones(2))
    seen = w.detach().numpy()
    optimizer = tg.optim.SGD([w], lr=0.5)
    w.sum().backward()
    optimizer.step()
    assert seen.tolist() == [0.5, 0.5] == w.tolist()
    tg.nn.init.zeros_(w)
    assert seen.tolist() == [0, 0]
    tg.add(tg.ones(2), 1, out=w.detach())
    assert seen.tolist() == [2, 2]


def test_what_was_saved_for_a_gradient_stays() -> None:
    w = tg.ones(3, requires_grad=True)
    a = w.detach().numpy()
    y = (w * w).sum()
    a[:] = 5
    y.backward()
    assert w.grad is not None
    assert w.grad.tolist() == [2, 2, 2]
    assert w.tolist() == [5, 5, 5]
    assert tg.func.grad(lambda v: (v * v).sum())(w.detach()).tolist() == [10, 10, 10]


def test_what_was_written_before_an_array_was_let_go_is_seen() -> None:
    x = tg.zeros(3)
    part = x[:2]
    x.numpy()[0] = 5
    assert part.tolist() == [5, 0]
    a = x.numpy()
    a[1] = 7
    del a
    assert x.tolist() == [5, 7, 0]
    x += 1
    assert part.tolist() == [6, 8]


def test_memory_is_compared_only_while_somebody_has_it() -> None:
    x = tg.zeros(3)
    a = x.numpy()
    part = a[1:]
    del a
    assert x.sum() == 0
    part[0] = 4
    assert x.tolist() == [0, 4, 0]
    del part
    gc.collect()
    assert (x + 1).sum() == 7
    assert x.alias.memory is None  # type: ignore[attr-defined]
    for make in (lambda b: b, lambda b: b[1:4], lambda b: memoryview(b)):
        b = np.zeros(5)
        x = tg.from_numpy(np.asarray(make(b)))  # type: ignore[no-untyped-call]
        b[2] = 3
        assert x.sum() == 3
        assert x.alias.memory is not None  # type: ignore[attr-defined]
    b = np.zeros(5)
    x = tg.from_numpy(b[1:4])
    version = x._version
    assert (x + 1).sum() == 3
    assert x._version == version
    del b
    assert (x + 1).sum() == 3
    assert x.alias.memory is None  # type: ignore[attr-defined]


def test_addresses() -> None:
    a = np.arange(6, dtype=np.int32).reshape(2, 3)
    x = tg.from_numpy(a)
    assert x.data_ptr() == a.ctypes.data == x.detach().data_ptr()
    assert x[1:, 1:].data_ptr() == a[1:, 1:].ctypes.data
    assert x[:0].data_ptr() == 0
    y = tg.full((4,), 7, dtype=tg.int32)
    numbers = (ctypes.c_int32 * 4).from_address(y.data_ptr())
    assert list(numbers) == [7] * 4
    y[1] = 3
    y.add_(1)
    assert list(numbers) == [8, 4, 8, 8]
    numbers[3] = 100
    gc.collect()
    assert y.tolist() == [8, 4, 8, 100]
    assert tg.ones(1).data_ptr() != y.data_ptr()
    h = tg.ones(2, dtype=tg.bfloat16)
    assert ctypes.string_at(h.data_ptr(), 4) == b"\x80\x3f" * 2


@pytest.mark.every_host
def test_memory_of_devices(device: str) -> None:
    x = tg.ones(4, device=device)
    assert x.data_ptr() == x.view(2, 2).data_ptr() == x[1:].data_ptr() - 4
    assert x.untyped_storage().data_ptr() == x.data_ptr() != tg.ones(4, device=device).data_ptr()
    assert x[2:].untyped_storage().nbytes() == 16
    if device != "cpu":
        assert x.data_ptr() >= 1 << 62
        a = x.numpy()
        a[0] = 5
        assert x.tolist() == [1, 1, 1, 1]


def test_arrays_of_any_strides() -> None:
    a = np.arange(12.0).reshape(3, 4)
    x = tg.from_numpy(a[:, 1:3])
    assert x.stride() == (4, 1)
    assert x.tolist() == a[:, 1:3].tolist()
    x.zero_()
    assert a.tolist() == [[0, 0, 0, 3], [4, 0, 0, 7], [8, 0, 0, 11]]
    a[2, 2] = 6
    assert x[2, 1] == 6
    turned = tg.from_numpy(a.T)
    assert turned.stride() == (1, 4)
    turned[0, 0] = 1
    assert a[0, 0] == 1
    assert tg.from_numpy(np.broadcast_to(np.float32(2), (3,))).tolist() == [2, 2, 2]
    assert tg.from_numpy(np.zeros((0, 2))[:, ::2]).shape == (0, 1)
    odd = np.frombuffer(bytes(17), np.uint8)[1:].view(np.float64)
    for bad, message in ((a[::-1], "negative"), (odd, "not a multiple")):
        with pytest.raises(ValueError, match=message):
            tg.from_numpy(bad)
    with pytest.raises(TypeError, match=r"expected np\.ndarray \(got list\)"):
        tg.from_numpy([1.0])
    kept = bytes(8)
    fixed = tg.from_numpy(np.frombuffer(kept, np.int32))
    fixed.add_(1)
    assert fixed.tolist() == [1, 1]
    assert kept == bytes(8)


def test_parts_without_elements() -> None:
    z = tg.zeros(1, 0, 3, dtype=tg.complex64)
    for x in (z, z.imag, z.real, z[:, :, 1:], tg.ones(3)[3:], tg.ones(2, 2)[:, 2:]):
        assert x.numpy().shape == x.shape


def test_what_shares_and_what_copies() -> None:
    a = np.zeros(2, dtype=np.float32)
    shared = [
        tg.from_numpy(a),
        tg.as_tensor(a),
        tg.asarray(a),
        tg.asarray(a, copy=False),
        tg.frombuffer(a, dtype=tg.float32),
    ]
    copied = [tg.tensor(a), tg.asarray(a, copy=True), tg.as_tensor(a, dtype=tg.float64)]
    a[0] = 1
    assert [x[0].item() for x in shared] == [1] * 5
    assert [x[0].item() for x in copied] == [0] * 3
    with pytest.raises(ValueError, match="can only be copied"):
        tg.asarray([1.0], copy=False)
    raw = bytearray(8)
    tg.frombuffer(raw, dtype=tg.int16, offset=2, count=2)[1] = 258
    assert raw == b"\0\0\0\0\2\1\0\0"
    x = tg.ones(2)
    assert np.shares_memory(np.asarray(x), x.numpy())
    assert not np.shares_memory(np.array(x, copy=True), x.numpy())


def test_storages() -> None:
    x = tg.arange(6.0).view(2, 3)
    s, typed = x[1].untyped_storage(), x.t().storage()
    assert (len(s), s.nbytes(), s.size(), s.element_size()) == (24, 24, 24, 1)
    assert (len(typed), typed.nbytes(), typed.dtype, typed.element_size()) == (6, 24, tg.float32, 4)
    assert typed.tolist() == [0, 1, 2, 3, 4, 5]
    assert s.data_ptr() == x.data_ptr() == typed.data_ptr()
    assert s == x.untyped_storage() != x.clone().untyped_storage()
    assert s._cdata == typed.untyped()._cdata
    typed[4] = 9
    assert x[1, 1] == 9 == typed[4]
    assert s[16:20].tolist() == list(np.float32(9).tobytes())
    assert s.device == tg.device("cpu")
    assert "of size 24" in repr(s)
    copied = s.clone()
    copied.fill_(0)
    assert x[0, 1] == 1
    s.copy_(copied)
    assert x.tolist() == [[0] * 3] * 2
    s[3] = 64
    assert x[0, 0] == 2.0
    again = tg.empty(0).set_(s, 3, (3,))
    again[0] = 7
    assert x[1, 0] == 7
    assert tg.asarray(s[:4], dtype=tg.uint8).tolist() == [0, 0, 0, 64]
    with pytest.raises(tg.ShapeError, match="a storage of 2 bytes"):
        s.copy_(tg.UntypedStorage(2))
    with pytest.raises(NotImplementedError, match="keeps its size"):
        s.resize_(3)


def test_a_file_as_a_storage(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "numbers"
    path.write_bytes(bytes(range(8)))
    s = tg.UntypedStorage.from_file(str(path), False, 8)
    assert s.tolist() == list(range(8))
    s.fill_(1)
    assert path.read_bytes() == bytes(range(8))
    assert not s.is_shared()
    shared = tg.UntypedStorage.from_file(str(path), True, 10)
    shared.fill_(2)
    assert shared.is_shared()
    assert path.read_bytes() == b"\2" * 10


def test_safetensors_for_pytorch_reads_the_memory_of_tensors(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    program = (
        "import sys, tabgrad; tabgrad.as_torch()\n"
        "import torch\n"
        "from safetensors.torch import load_file, save_file\n"
        "w = torch.arange(6.0).view(2, 3)\n"
        "w.mul_(2)\n"
        "kept = {'w': w, 'row': w[1].clone(), 'i': torch.tensor([7])}\n"
        "kept['h'] = torch.ones(2, dtype=torch.bfloat16)\n"
        "save_file(kept, sys.argv[1])\n"
        "again = load_file(sys.argv[1])\n"
        "assert all(torch.equal(again[k], v) and again[k].dtype is v.dtype for k, v in kept.items())\n"
    )
    path = tmp_path / "w.safetensors"
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = tg.load(path)
    assert found["w"].tolist() == [[0, 2, 4], [6, 8, 10]]
    assert found["row"].tolist() == [6, 8, 10]
    assert found["i"].tolist() == [7]


def test_rows_of_a_shared_array_are_read_without_looking_at_all_of_it() -> None:
    a = np.arange(12.0).reshape(4, 3)
    x = tg.from_numpy(a)
    looked = []
    storage: Any = x.alias  # type: ignore[attr-defined]
    memory = storage.memory
    part = x[1:3]
    mask, rows = tg.tensor([True, False, False, True]), tg.tensor([0, 3])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(memory), "look", lambda self, storage: looked.append(storage))
        for value in (50.0, 60.0):
            a[0, 1] = a[2, 1] = value
            assert (
                x[0][1].item()
                == value
                == x[0, 1].item()
                == x[rows][0, 1].item()
                == x[mask][0, 1].item()
            )
            assert (
                part[1, 1].item()
                == value
                == part.t()[1, 1].item()
                == part[tg.tensor([1])][0, 1].item()
            )
            assert (part + 1)[1, 1].item() == value + 1
        assert not looked
    picked, row = x[rows], x[2].clone()
    a[:] = 0
    assert picked[0, 1] == 60 == row[1]
    assert x.sum() == 0
    part.add_(1)
    assert a.sum() == 6 == x.sum()
    a[1, 0] = 5
    x.mul_(2)
    assert part[0, 0] == 10 == a[1, 0]
    w = tg.ones(3, dtype=tg.float64, requires_grad=True)
    loss = (x[1] * w).sum()
    a[:] = -1
    loss.backward()
    assert w.grad is not None
    assert w.grad.tolist() == [10, 2, 2]


def test_conjugates_of_a_shared_array() -> None:
    a = np.array([[1 + 2j, 3 - 1j]])
    x = tg.from_numpy(a)
    views = [
        x.conj(),
        x.mH.mT,
        x.conj().imag,
        x.conj()[0],
        x.real,
        x.conj().conj(),
        x.conj().detach()[:1],
    ]
    for value in (1 + 2j, 5 + 5j):
        a[0, 0] = value
        wanted = [a.conj(), a.conj(), a.conj().imag, a.conj()[0], a.real, a, a.conj()]
        for v, w in zip(views, wanted, strict=True):
            assert v.tolist() == w.tolist()
            assert v.numpy().tolist() == w.tolist()
            assert (v + 0).tolist() == w.tolist()
            assert v[tg.tensor([0])].tolist() == w[[0]].tolist()
    assert views[-1].is_conj()
    y = tg.tensor([1 + 2j]).conj().detach()[:1]
    assert (y.numpy().tolist(), y.is_conj()) == ([1 - 2j], True)
    views[0].mul_(1j)
    assert a.tolist() == [[(5 + 5j) * -1j, (3 - 1j) * -1j]]

"""Reading values back, Python's protocols, and tensors made of Python's objects."""

from __future__ import annotations

import array
import asyncio
import copy
import pickle

import pytest

import tabgrad as tg
from tabgrad.core.errors import CaptureError, DTypeError, TransformError

pytestmark = pytest.mark.every_host


def test_awaitable_twins() -> None:
    x = tg.tensor([[1.0, 2.0]])
    assert asyncio.run(x.tolist_async()) == [[1.0, 2.0]]
    assert asyncio.run(x.sum().item_async()) == 3.0
    assert asyncio.run(x.numpy_async()).tolist() == [[1.0, 2.0]]


def test_numpy_casts_to_the_dtype_that_is_asked_for() -> None:
    import numpy as np

    x = tg.tensor([1.0, 2.0])
    assert np.asarray(x, dtype="float64").dtype == np.float64
    assert (x * np.float32(2.0)).tolist() == [2.0, 4.0]
    assert (np.float64(2.0) * x).tolist() == [2.0, 4.0]


def test_no_value_inside_vmap_and_compile(device: str) -> None:
    with pytest.raises(TransformError, match="vmap"):
        tg.func.vmap(lambda x: tg.tensor(x.item()))(tg.ones(3))
    seen: list[float] = []

    def square(x: tg.Tensor) -> tg.Tensor:
        seen.append(x.item())
        return x * x

    assert tg.func.grad(square)(tg.tensor(3.0)).item() == 6
    assert seen == [3.0]

    @tg.compile(fullgraph=True)
    def reads(x: tg.Tensor) -> tg.Tensor:
        return x * x.sum().item()

    if device == "cpu":  # there the function runs as it is
        assert reads(tg.ones(2)).tolist() == [2, 2]
        return
    with pytest.raises(CaptureError, match="outside"):
        reads(tg.ones(2))


def test_printing_inside_vmap_shows_the_shape() -> None:
    seen: list[str] = []

    def look(x: tg.Tensor) -> tg.Tensor:
        seen.append(repr(x))
        return x

    tg.func.vmap(look)(tg.ones(3, 2))
    assert seen == ["tensor(..., size=(2,))"]


def test_buffers_become_tensors() -> None:
    assert tg.tensor(array.array("f", [1.5, 2.5])).dtype is tg.float32
    assert tg.tensor(array.array("h", [1, -2])).tolist() == [1, -2]
    assert tg.tensor(memoryview(b"\x01\x02")).tolist() == [1, 2]
    assert tg.tensor(b"\x01\x02").dtype is tg.uint8
    assert tg.tensor(memoryview(b"\x01\x02\x03\x04").cast("B", (2, 2))).tolist() == [[1, 2], [3, 4]]
    assert tg.frombuffer(
        array.array("i", [1, 2, 3]), dtype=tg.int32, count=2, offset=4
    ).tolist() == [2, 3]
    with pytest.raises(ValueError, match="bytes"):
        tg.frombuffer(b"ab", dtype=tg.int32, count=1)


def test_numbers_that_do_not_fit_raise() -> None:
    for call in (
        lambda: tg.tensor(300, dtype=tg.uint8),
        lambda: tg.tensor([1, -256], dtype=tg.uint8),
        lambda: tg.tensor(1 << 70),
        lambda: tg.full((2,), 1 << 40, dtype=tg.int32),
        lambda: tg.zeros(2, dtype=tg.int8).fill_(200),
        lambda: tg.linspace(0, 200, 3, dtype=tg.int8),
    ):
        with pytest.raises(OverflowError, match=r"fit|overflow"):
            call()
    with pytest.raises(OverflowError):
        tg.zeros(1, dtype=tg.int32)[0] = 1 << 40


def test_ragged_and_foreign_elements_raise() -> None:
    for data in ([[1], [1, 2]], [[1, 2], 3], [1, [2]], [[[1]], [[1], [2]]]):
        with pytest.raises(ValueError, match="expected"):
            tg.tensor(data)
    for data in ("abc", [None], [1, "a"], object()):
        with pytest.raises(TypeError):
            tg.tensor(data)
    with pytest.raises(ValueError, match="stack"):
        tg.tensor([tg.ones(2), tg.ones(2)])


def test_pickle_copy_and_deepcopy() -> None:
    x = tg.tensor([[1.0, 2.0]], requires_grad=True)
    y = pickle.loads(pickle.dumps(x))
    assert y.tolist() == [[1.0, 2.0]]
    assert y.requires_grad
    assert y.is_leaf
    assert y.device is x.device
    z = copy.deepcopy([x, x])
    assert z[0] is z[1] is not x
    assert z[0].requires_grad
    with tg.no_grad():
        z[0].add_(1)
    assert x.tolist() == [[1.0, 2.0]]
    with pytest.raises(RuntimeError, match="leaves"):
        copy.deepcopy(x * 2)


def test_tensors_as_keys_and_members() -> None:
    x, y = tg.ones(2), tg.ones(2)
    assert len({x, y, x}) == 2
    assert (x == y).all()
    assert (x == None) is False  # noqa: E711
    assert 1.0 in x
    assert sum(tg.tensor([1, 2, 3])).item() == 6
    assert max(tg.tensor([1, 3, 2])).item() == 3
    assert [int(v) for v in reversed(tg.tensor([1, 2]))] == [2, 1]
    assert [1, 2, 3][tg.tensor(1)] == 2
    assert f"{tg.tensor(1.2345):.2f}" == "1.23"
    a, b = tg.tensor([1, 2])
    assert (a.item(), b.item()) == (1, 2)


def test_operators_refuse_foreign_operands() -> None:
    for other in ("a", None, [1.0], object()):
        with pytest.raises(TypeError):
            tg.ones(2) + other


def test_the_default_device_is_that_of_the_block(device: str) -> None:
    with tg.device("cpu"):
        assert tg.zeros(2).device == tg.device("cpu")
        assert tg.get_default_device() is tg.device("cpu")
    assert tg.zeros(2).device is tg.device(device)


def test_moving_between_devices_carries_gradients(device: str) -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x.cpu()
    assert y.device.type == "cpu"
    assert (y is x) is (device == "cpu")
    (y * tg.tensor([3.0, 4.0], device="cpu")).sum().backward()
    assert x.grad.device is x.device
    assert x.grad.tolist() == [3.0, 4.0]
    z = tg.tensor([1, 2], device="cpu").to(device)
    assert z.tolist() == [1, 2]


def test_default_dtype() -> None:
    tg.set_default_dtype(tg.float16)
    try:
        with tg.device("cpu"):
            assert tg.tensor(1.5).dtype is tg.float16
            assert tg.zeros(1).dtype is tg.float16
            assert (tg.tensor([1]) / 2).dtype is tg.float16
    finally:
        tg.set_default_dtype(tg.float32)
    with pytest.raises(DTypeError):
        tg.set_default_dtype(tg.int32)

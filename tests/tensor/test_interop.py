"""NumPy arrays beside tensors: whichever comes first, the result is a tensor on the tensor's device."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

import tabgrad as tg

pytestmark = pytest.mark.every_host

TENSOR = np.array([[0.5, -1.25, 2.0], [3.0, -0.75, 1.5]], dtype=np.float32)
ARRAY = np.array([1.5, 2.0, -0.5], dtype=np.float32)
OPERATORS = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod,
    operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge,
]  # fmt: skip


@pytest.mark.parametrize("op", OPERATORS, ids=lambda f: f.__name__)
def test_an_array_on_either_side_of_an_operator(op: Any, device: str) -> None:
    x = tg.tensor(TENSOR, device=device)
    for found, wanted in (
        (op(x, ARRAY), op(TENSOR, ARRAY)),
        (op(ARRAY, x), op(ARRAY, TENSOR)),
    ):
        assert isinstance(found, tg.Tensor)
        assert found.device == x.device
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6)


@pytest.mark.parametrize(
    "op", [operator.and_, operator.or_, operator.xor], ids=lambda f: f.__name__
)
def test_arrays_of_bools(op: Any, device: str) -> None:
    x = tg.tensor([[True, False, True], [False, False, True]], device=device)
    mask = np.array([True, True, False])
    for found, wanted in (
        (op(x, mask), op(x.numpy(), mask)),
        (op(mask, x), op(mask, x.numpy())),
    ):
        assert found.dtype is tg.bool
        np.testing.assert_array_equal(found.numpy(), wanted)


def test_products_of_matrices(device: str) -> None:
    x = tg.tensor(TENSOR, device=device)
    for left, right in ((x, TENSOR.T), (TENSOR.T, x), (x, ARRAY), (x, TENSOR.T.astype(np.float64))):
        found = left @ right
        assert isinstance(found, tg.Tensor)
        wanted = np.asarray(left) @ np.asarray(right)
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5)


def test_gradients_flow_past_an_array(device: str) -> None:
    x = tg.tensor(TENSOR, device=device, requires_grad=True)
    (ARRAY * x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.broadcast_to(ARRAY, TENSOR.shape))


def test_assigning_operators_change_the_tensor(device: str) -> None:
    x = tg.tensor(TENSOR, device=device)
    view = x[0]
    x += ARRAY
    np.testing.assert_allclose(view.numpy(), TENSOR[0] + ARRAY)
    whole = tg.tensor([1, 2, 3], device=device)
    with pytest.raises(RuntimeError, match="can't be cast"):
        whole += ARRAY


def test_functions_of_numpy_give_tensors(device: str) -> None:
    x = tg.tensor(TENSOR, device=device)
    found = np.sqrt(np.abs(x))
    assert isinstance(found, tg.Tensor)
    assert found.device == x.device
    np.testing.assert_allclose(found.numpy(), np.sqrt(np.abs(TENSOR)), rtol=1e-6)


def test_an_integer_is_never_divided_by_the_number_0(device: str) -> None:
    x = tg.tensor([1, -2], device=device)
    for call in (lambda: x // 0, lambda: x % 0, lambda: tg.fmod(x, 0), lambda: x.floor_divide_(0)):
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            call()
    assert x.tolist() == [1, -2]


def test_a_capsule_of_dlpack_is_handed_over() -> None:
    from tabgrad.utils.dlpack import from_dlpack, to_dlpack

    x = tg.arange(6.0, device="cpu").reshape(2, 3)
    capsule = to_dlpack(x.T)
    assert type(capsule).__name__ == "PyCapsule"
    assert from_dlpack(capsule).equal(x.T)
    with pytest.raises(BufferError, match="require gradient"):
        to_dlpack(tg.ones(2, device="cpu", requires_grad=True))

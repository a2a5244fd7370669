"""Integrals and derivatives of functions that are known at points; expected values are PyTorch's."""

from __future__ import annotations

import math

import pytest

import tabgrad as tg


@pytest.fixture(autouse=True)
def on(device):
    with tg.device(device):
        yield


pytestmark = pytest.mark.every_host


def test_trapezoids() -> None:
    y = tg.arange(6.0).reshape(2, 3)
    x = tg.tensor([0.0, 1.0, 3.0])
    assert tg.trapezoid(y, x).tolist() == [3.5, 12.5]
    assert tg.trapz(y, x).tolist() == [3.5, 12.5]
    assert tg.trapezoid(y, tg.tensor([1.0, 2.0]), dim=0).tolist() == [1.5, 2.5, 3.5]
    assert tg.trapezoid(y, tg.ones(2, 3).cumsum(1), dim=0).tolist() == [0, 0, 0]
    assert tg.cumulative_trapezoid(y, x).tolist() == [[0.5, 3.5], [3.5, 12.5]]
    assert tg.cumulative_trapezoid(y, dx=2, dim=0).tolist() == [[3, 5, 7]]
    assert tg.trapezoid(tg.ones(3, dtype=tg.int32), dx=2.5).item() == 5
    assert tg.trapezoid(tg.full((3,), 100, dtype=tg.int8)).item() == 200
    assert tg.trapezoid(tg.ones(2, 0)).tolist() == [0, 0]
    assert tg.trapezoid(y.t()[1:], dim=0).shape == (2,)
    assert tg.cumulative_trapezoid(tg.ones(1)).tolist() == []
    assert tg.trapezoid(tg.tensor([1.0, math.nan])).isnan().item()
    assert tg.trapezoid(tg.tensor([1.0, math.inf, 2.0])).item() == math.inf
    for call, message in (
        (lambda: tg.trapezoid(y, tg.ones(2)), "There must be one `x` value for each sample point"),
        (lambda: tg.trapezoid(y, tg.ones(3).bool()), "bool is not supported"),
        (lambda: tg.trapezoid(tg.tensor(1.0)), "tensor has no dimensions"),
        (lambda: tg.trapezoid([1.0, 2.0]), "must be Tensor, not list"),
        (lambda: tg.cumulative_trapezoid(y, dx=x), "'dx' must be Number"),
    ):
        with pytest.raises((RuntimeError, IndexError, TypeError), match=message):
            call()


def test_gradients_at_points() -> None:
    y = tg.tensor([1.0, 2.0, 4.0, 8.0])
    x = tg.tensor([0.0, 1.0, 3.0, 4.0])
    (slope,) = tg.gradient(y)
    assert slope.tolist() == [1, 1.5, 3, 4]
    (slope,) = tg.gradient(y, spacing=(x,), edge_order=2)
    assert slope.tolist() == pytest.approx([1, 1, 3, 5])
    (slope,) = tg.gradient(y, spacing=[x])
    assert slope.tolist() == pytest.approx([1, 1, 3, 4])
    rows, columns = tg.gradient(tg.tensor([[1, 2, 4], [8, 16, 32]]), spacing=(2, 0.5))
    assert rows.tolist() == [[3.5, 7, 14]] * 2
    assert columns.tolist() == [[2, 3, 4], [16, 24, 32]]
    assert tg.gradient(y.reshape(2, 2).t(), dim=0)[0].tolist() == [[1, 4], [1, 4]]
    assert tg.gradient(tg.tensor(1.0)) == ()
    # a point that is not read leaves its own slope alone
    (slope,) = tg.gradient(tg.tensor([0.0, math.inf, 2.0, 3.0, 4.0]))
    assert slope.tolist()[1] == 1
    grid = tg.ones(3, 3)
    for call, message in (
        (lambda: tg.gradient(tg.ones(1)), r"at least edge_order\+1"),
        (lambda: tg.gradient(y, edge_order=3), "only supports edge_order=1 and edge_order=2"),
        (lambda: tg.gradient(grid, spacing=(1.0,), dim=(0, 1)), "to have the same length"),
        (lambda: tg.gradient(grid, spacing=(x,)), "a list of length equal to"),
        (lambda: tg.gradient(grid, spacing=(x,), dim=0), "a coordinate for each of the 3 points"),
        (lambda: tg.gradient(grid, dim=(0, -2)), "dim 0 appears multiple times"),
        (lambda: tg.gradient(grid, spacing=x), "'spacing' must be a number or a sequence"),
    ):
        with pytest.raises((RuntimeError, TypeError), match=message):
            call()


def test_derivatives() -> None:
    dtype = tg.float64 if tg.get_default_device() == tg.device("cpu") else tg.float32
    tg.manual_seed(3)
    y = tg.rand(3, 5, dtype=dtype).t().requires_grad_()
    x = (tg.rand(5, dtype=dtype) + 0.5).cumsum(0).requires_grad_()
    functions = {
        "trapezoid": lambda y, x: tg.trapezoid(y.sin(), x, dim=0),
        "cumulative": lambda y, x: tg.cumulative_trapezoid(y.exp(), x, dim=0),
        "gradient": lambda y, x: tg.gradient(y * y, spacing=(x, 2), edge_order=2)[0],
    }
    for name, fn in functions.items():
        if dtype is tg.float64:
            assert tg.autograd.gradcheck(fn, (y, x), fast_mode=True), name
            assert tg.autograd.gradgradcheck(fn, (y, x), fast_mode=True), name
        batched = tg.func.vmap(fn, (0, None))(tg.stack([y, 2 * y]), x)
        assert tg.allclose(batched[1], fn(2 * y, x), atol=1e-4), name

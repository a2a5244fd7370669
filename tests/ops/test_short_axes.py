"""Large arrays with short axes, which NumPy takes another way, beside the same numbers in small pieces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.ops import reduction, view

F = tg.nn.functional


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32, np.uint8, np.bool_])
@pytest.mark.parametrize("name", ["reduce_sum", "reduce_max", "reduce_min", "first_max"])
def test_reductions(name: str, kind: Any) -> None:
    op = getattr(reduction, name)
    if name == "reduce_sum" and kind is np.bool_:
        return
    rng = np.random.default_rng(4)
    for short in (1, 2, 4, 16):
        x = rng.integers(-9, 9, (2 * reduction.FEW // short, short)).astype(kind)
        if x.dtype.kind == "f":
            x[::7, -1] = np.nan
        found = op.fn(x, axes=(1,))
        assert found.dtype == x.dtype
        rows = [op.fn(row[None], axes=(1,))[0] for row in x[:100]]
        np.testing.assert_array_equal(found[:100], rows)


def test_reshapes_of_what_lies_otherwise() -> None:
    x = np.arange(2 * 3 * 50 * 2 * 40 * 2, dtype=np.float32).reshape(2, 3, 50, 2, 40, 2)
    for dims in ((0, 1, 2, 4, 3, 5), (0, 5, 4, 2, 1, 3), (5, 4, 3, 2, 1, 0), (2, 4, 0, 1, 3, 5)):
        y = x.transpose(dims)
        assert y.size > view.FEW
        for shape in ((-1,), (6, -1)):
            np.testing.assert_array_equal(view.reshape.fn(y, shape=shape), y.copy().reshape(shape))


@pytest.mark.parametrize("special", [0.5, np.nan, -np.inf, np.inf])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_first_maximum_gets_the_gradient(special: float, padding: int, stride: int) -> None:
    rng = np.random.default_rng(5)
    x = rng.integers(-2, 3, (2, 3, 11, 13)).astype(np.float32)
    x[rng.random(x.shape) < 0.4] = special
    given = tg.tensor(x, device="cpu", requires_grad=True)
    y = F.max_pool2d(given, 3, stride, padding)
    ct = tg.tensor(rng.normal(size=y.shape).astype(np.float32), device="cpu")
    # where the graph is kept, each op of the rule runs
    (want,) = tg.autograd.grad(y, given, ct, create_graph=True)
    (found,) = tg.autograd.grad(y, given, ct)
    np.testing.assert_allclose(found.numpy(), want.detach().numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(5000, 6), (40, 90, 5, 3), (1025, 2, 9)])
def test_tall_sums_keep_their_digits(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(8)
    for x in (np.full(shape, 0.1, np.float32), rng.normal(size=shape).astype(np.float32)):
        for axes in ((0,), (0, 1)):
            found = reduction.reduce_sum.fn(x, axes=axes)
            assert found.dtype == np.float32
            want = x.astype(np.float64).sum(axes)
            most = np.abs(x).astype(np.float64).sum(axes).max()
            np.testing.assert_allclose(found, want, rtol=0, atol=5e-6 * most)
    x[0] = np.inf
    assert np.isposinf(reduction.reduce_sum.fn(x, axes=(0,))).all()

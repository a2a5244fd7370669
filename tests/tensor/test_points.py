"""Distances between vectors, and norms along a dim; expected values are PyTorch's."""

from __future__ import annotations

import math

import pytest

import tabgrad as tg

pytestmark = pytest.mark.every_host


@pytest.fixture(autouse=True)
def on(device):
    with tg.device(device):
        yield


def test_distances_of_all_pairs() -> None:
    tg.manual_seed(0)
    x, y = tg.rand(2, 3, 4), tg.rand(5, 4)
    for p in (0, 0.5, 1, 1.5, 2, 3, math.inf):
        wanted = [[[tg.dist(a, b, p).item() for b in y] for a in matrix] for matrix in x]
        for mode in tg.tensor, None, "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist":
            found = tg.cdist(x, y, p) if mode is tg.tensor else tg.cdist(x, y, p, mode)
            assert found.shape == (2, 3, 5)
            assert tg.allclose(found, tg.tensor(wanted), atol=1e-5), (p, mode)
        pairs = [(i, j) for i in range(5) for j in range(i + 1, 5)]
        found = tg.nn.functional.pdist(y, p)
        assert found.tolist() == pytest.approx([tg.dist(y[i], y[j], p).item() for i, j in pairs])
    many = tg.rand(30, 4)
    exact = tg.cdist(many, y, compute_mode="donot_use_mm_for_euclid_dist")
    assert tg.allclose(tg.cdist(many, y), exact, atol=1e-5)
    assert tg.cdist(many, many).diagonal().max() < 1e-2


def test_empty_and_infinite() -> None:
    assert tg.cdist(tg.ones(2, 0), tg.ones(3, 0), math.inf).tolist() == [[0] * 3] * 2
    assert tg.cdist(tg.ones(0, 3), tg.ones(2, 3)).shape == (0, 2)
    assert tg.pdist(tg.ones(1, 2)).tolist() == []
    assert tg.pdist(tg.ones(3, 0)).tolist() == [0, 0, 0]
    x = tg.tensor([[math.inf, 0.0], [math.nan, 1.0]])
    found = tg.cdist(x, tg.zeros(1, 2)).tolist()
    assert found[0] == [math.inf]
    assert math.isnan(found[1][0])


def test_no_slope_where_rows_agree() -> None:
    for p in (0.5, 1, 1.5, 2, 3, math.inf):
        x = tg.ones(2, 3, requires_grad=True)
        tg.cdist(x, tg.ones(1, 3), p).sum().backward()
        assert x.grad.tolist() == [[0] * 3] * 2, p
    many = tg.zeros(30, 2, requires_grad=True)
    tg.cdist(many, tg.zeros(30, 2)).sum().backward()
    assert not many.grad.any()


def test_renorm() -> None:
    x = tg.tensor([[3.0, 4.0], [0.3, 0.4]])
    assert tg.allclose(tg.renorm(x, 2, 0, 1), tg.tensor([[0.6, 0.8], [0.3, 0.4]]))
    assert tg.renorm(x, 1, -1, 10).tolist() == x.tolist()
    y = x.t().clone()
    assert y.renorm_(2, 1, 1) is y
    assert tg.allclose(y.t(), x.renorm(2, 0, 1))
    norms = tg.norm_except_dim(tg.ones(2, 3, 4), 2, 1)
    assert norms.shape == (1, 3, 1)
    assert norms.flatten().tolist() == pytest.approx([8**0.5] * 3)
    assert tg.norm_except_dim(tg.ones(2, 2), 2, -1).item() == 2


def test_refusals() -> None:
    x = tg.ones(2, 3)
    for call, message in (
        (lambda: tg.cdist(x[0], x), "at least 2D tensors, X1 got: 1D"),
        (lambda: tg.cdist(x, tg.ones(2, 2)), "X1: 3 X2: 2"),
        (lambda: tg.cdist(x.int(), x), "floating-point dtypes, X1 got: Int"),
        (lambda: tg.cdist(x, x, -1), "non-negative p values"),
        (lambda: tg.cdist(x, x, 2, "fast"), "fast is not a valid value for compute_mode"),
        (lambda: tg.cdist([[1.0]], x), "must be Tensor, not list"),
        (lambda: tg.pdist(x[0]), "only supports 2D tensors, got: 1D"),
        (lambda: tg.pdist(x, -1), "non-negative p values"),
        (lambda: tg.pdist(x.int()), "floating-point dtypes"),
        (lambda: tg.renorm(x, 0, 0, 1), "non-positive-norm not supported"),
        (lambda: tg.renorm(x, 2, 0, -1), "expected maxnorm to be >= 0 but got -1"),
        (lambda: tg.renorm(x[0], 2, 0, 1), "needs at least 2 dimensions, got 1"),
        (lambda: tg.renorm(x.int(), 2, 0, 1), "Got Int"),
    ):
        with pytest.raises((RuntimeError, ValueError, TypeError), match=message):
            call()


def test_derivatives() -> None:
    if tg.get_default_device() != tg.device("cpu"):
        x = tg.rand(3, 2, requires_grad=True)
        y = x.detach().cpu().requires_grad_()
        for z in (x, y):
            tg.cdist(z * z, z).sum().backward()
        assert tg.allclose(x.grad.cpu(), y.grad, atol=1e-4)
        return
    tg.manual_seed(1)
    x, y = (tg.rand(3, n, dtype=tg.float64).t().requires_grad_() for n in (4, 2))
    for p in (1.5, 2, 3):
        for fn in (
            lambda x, y, p=p: tg.cdist(x.sin(), y, p),
            lambda x, _y, p=p: tg.pdist(x.exp(), p),
            lambda x, _y, p=p: tg.renorm(x, p, 1, 0.5),
        ):
            assert tg.autograd.gradcheck(fn, (x, y), fast_mode=True)
            assert tg.autograd.gradgradcheck(fn, (x, y), fast_mode=True)
    fn = tg.func.vmap(lambda x: tg.cdist(x, y))
    assert tg.allclose(fn(tg.stack([x, 2 * x]))[1], tg.cdist(2 * x, y))

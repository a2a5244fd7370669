"""Initial values: their ranges, moments and structure, and that a seed fixes them."""

from __future__ import annotations

import math
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn
from tabgrad.nn import init


@pytest.fixture(autouse=True)
def on_cpu() -> Any:
    tg.set_default_device("cpu")
    tg.manual_seed(0)
    yield
    tg.set_default_device(None)


def big() -> Any:
    return nn.Parameter(tg.empty(200, 300))


@pytest.mark.parametrize(
    ("fill", "bound"),
    [
        (lambda w: init.uniform_(w, -2, 3), 3.0),
        (lambda w: init.xavier_uniform_(w), math.sqrt(6 / 500)),
        (lambda w: init.xavier_uniform_(w, gain=2), 2 * math.sqrt(6 / 500)),
        (lambda w: init.kaiming_uniform_(w, a=math.sqrt(5)), 1 / math.sqrt(300)),
        (
            lambda w: init.kaiming_uniform_(w, mode="fan_out", nonlinearity="relu"),
            math.sqrt(6 / 200),
        ),
    ],
)
def test_uniform(fill: Any, bound: float) -> None:
    w = fill(big())
    assert w.max().item() <= bound
    assert w.max().item() > 0.99 * bound
    assert w.requires_grad
    assert w.is_leaf


@pytest.mark.parametrize(
    ("fill", "std"),
    [
        (lambda w: init.normal_(w, 1.0, 0.5), 0.5),
        (lambda w: init.xavier_normal_(w), math.sqrt(2 / 500)),
        (lambda w: init.kaiming_normal_(w, nonlinearity="relu"), math.sqrt(2 / 300)),
        (lambda w: init.kaiming_normal_(w, mode="fan_out"), math.sqrt(2 / 200)),
    ],
)
def test_normal(fill: Any, std: float) -> None:
    assert fill(big()).std().item() == pytest.approx(std, rel=0.02)


def test_trunc_normal() -> None:
    w = init.trunc_normal_(big(), 0.1, 0.5, -0.4, 0.9)
    assert -0.4 <= w.min().item() < -0.39
    assert 0.89 < w.max().item() <= 0.9
    inside = math.erf(1.0 / math.sqrt(2)) - math.erf(0.6 / math.sqrt(2)) * 0
    assert 0.3 < w.std().item() < 0.5 < inside


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (20, 4, 3, 3), (64, 64)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    w = init.orthogonal_(tg.empty(shape), gain=2.0).reshape(shape[0], -1)
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    assert (gram - 4 * tg.eye(gram.shape[0])).abs().max().item() < 1e-4


def test_the_smallest_singular_value_is_lifted_too() -> None:
    for seed in range(5):
        tg.manual_seed(seed)
        w = init.orthogonal_(tg.empty(128, 128))
        assert (w @ w.T - tg.eye(128)).abs().max().item() < 1e-4


def test_structured() -> None:
    assert init.eye_(tg.empty(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert init.ones_(tg.empty(2)).tolist() == [1, 1]
    assert init.zeros_(tg.ones(2)).tolist() == [0, 0]
    assert init.constant_(tg.empty(2), 2.5).tolist() == [2.5, 2.5]
    conv = nn.Conv2d(3, 3, 3, padding=1, bias=False)
    init.dirac_(conv.weight)
    x = tg.randn(1, 3, 5, 5)
    assert conv(x).tolist() == x.tolist()
    grouped = nn.Conv1d(4, 4, 3, padding=1, bias=False, groups=2)
    init.dirac_(grouped.weight, groups=2)
    y = tg.randn(1, 4, 6)
    assert grouped(y).tolist() == y.tolist()
    w = init.sparse_(big(), 0.3)
    assert ((w == 0).sum(0) == 60).all().item()


def test_gains() -> None:
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu", 0.5) == math.sqrt(2 / 1.25)
    assert init.calculate_gain("linear") == 1
    with pytest.raises(ValueError, match="Unsupported nonlinearity elastic"):
        init.calculate_gain("elastic")
    with pytest.raises(ValueError, match="Mode fan not supported"):
        init.kaiming_normal_(big(), mode="fan")
    with pytest.raises(ValueError, match="fewer than 2 dimensions"):
        init.xavier_normal_(tg.empty(3))


def test_a_seed_fixes_the_values() -> None:
    def made() -> list[Any]:
        tg.manual_seed(7)
        return [p.tolist() for p in nn.LSTM(3, 4).parameters()]

    assert made() == made()
    a = init.normal_(tg.empty(3), generator=tg.Generator().manual_seed(1))
    b = init.normal_(tg.empty(3), generator=tg.Generator().manual_seed(1))
    assert a.tolist() == b.tolist()


@pytest.mark.parametrize(
    ("layer", "bound"),
    [
        ("nn.Linear(400, 10)", 1 / 20),
        ("nn.Conv2d(16, 8, 5)", 1 / 20),
        ("nn.ConvTranspose2d(8, 16, 5)", 1 / 20),
        ("nn.GRU(10, 400)", 1 / 20),
        ("nn.Bilinear(400, 10, 3)", 1 / 20),
    ],
)
def test_default_ranges(layer: str, bound: float) -> None:
    for p in eval(layer, {"nn": nn}).parameters():
        largest = p.abs().max().item()
        assert largest <= bound
        assert largest > 0.6 * bound


def test_default_embedding() -> None:
    table = nn.Embedding(500, 40, padding_idx=3)
    assert table.weight[3].abs().sum().item() == 0
    assert table.weight.std().item() == pytest.approx(1.0, rel=0.03)

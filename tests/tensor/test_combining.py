"""Elements that go to one place, membership, pairs of classes: right, in memory for the elements alone."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tests.grouped import grouped

F = tg.nn.functional
KINDS = ("prod", "amax", "amin", "sum", "mean")
FOLD: dict[str, Callable[[Any, Any], Any]] = {
    "prod": lambda x, y: x * y,
    "amax": np.maximum,
    "amin": np.minimum,
    "sum": lambda x, y: x + y,
    "mean": lambda x, y: x + y,
}


def folded(x: Any, index: Any, values: Any, kind: str, include_self: bool) -> Any:
    """Combine one after the other."""
    out, count = x.astype(float), np.full(x.shape, int(include_self))
    for place, value in zip(index, values, strict=True):
        first = count[place] == 0
        out[place] = value if first else FOLD[kind](out[place], value)
        count[place] += 1
    return out / np.maximum(count, 1) if kind == "mean" else out


CASES = [(kind, own, n) for kind in KINDS for own in (True, False) for n in (0, 1, 2, 3, 8, 13)]


@pytest.mark.every_host
@grouped("kind, include_self, n", CASES)
def test_it_is_a_fold(kind: str, include_self: bool, n: int) -> None:
    random = np.random.default_rng(n)
    for pool in (None, (0.0, 1.0, -1.0), (np.inf, -np.inf, np.nan, 2.0, 0.5)):
        x, values = (
            random.normal(size=m) if pool is None else random.choice(pool, m) for m in (5, n)
        )
        index = random.integers(0, 5, n)
        found = tg.tensor(x, dtype=tg.float32).scatter_reduce(
            0,
            tg.tensor(index),
            tg.tensor(values, dtype=tg.float32),
            kind,
            include_self=include_self,
        )
        with np.errstate(invalid="ignore"):
            expected = folded(x, index, values, kind, include_self)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.every_host
def test_products_have_derivatives_where_factors_are_zero() -> None:
    x = tg.tensor([2.0, 3.0])
    values = tg.tensor([0.0, 5.0, 0.0, 7.0, 4.0], requires_grad=True)
    index = tg.tensor([0, 0, 1, 1, 1])
    y = x.scatter_reduce(0, index, values, "prod")
    (first,) = tg.autograd.grad(y.sum(), values, create_graph=True)
    assert first.tolist() == [10, 0, 84, 0, 0]
    (second,) = tg.autograd.grad(first[0], values, retain_graph=True)
    assert second.tolist() == [0, 2, 0, 0, 0]
    (second,) = tg.autograd.grad(first[2], values)
    assert second.tolist() == [0, 0, 0, 12, 21]


@pytest.mark.every_host
@grouped("kind", ["amax", "amin"])
def test_equal_extremes_share(kind: str) -> None:
    x = tg.tensor([1.0, 0.0, float("inf")], requires_grad=True)
    values = tg.tensor([1.0, 1.0, 0.0, float("inf")], requires_grad=True)
    index = tg.tensor([0, 0, 1, 2])
    x.scatter_reduce(0, index, values, kind).sum().backward()
    assert x.grad is not None
    assert values.grad is not None
    third = pytest.approx(1 / 3)
    assert x.grad.tolist() == [third, 0.5, 0.5]
    assert values.grad.tolist() == [third, third, 0.5, 0.5]


@pytest.mark.every_host
def test_members_are_found_by_sorting() -> None:
    random = np.random.default_rng(0)
    x, tests = random.integers(0, 90, (7, 11)), random.integers(0, 90, 60)
    found = tg.isin(tg.tensor(x), tg.tensor(tests))
    assert found.numpy().tolist() == np.isin(x, tests).tolist()
    some = np.array([np.nan, 1.5, np.inf, -np.inf, 0.0, 7.0])
    many = np.concatenate([np.arange(40.0), [np.nan, np.inf, np.nan, -0.0]])
    found = tg.isin(tg.tensor(some), tg.tensor(many), invert=True)
    assert found.tolist() == [True, True, False, True, False, False]
    assert tg.isin(tg.tensor([0.5, 3.0]), tg.tensor(list(range(50)))).tolist() == [False, True]


def peak(run: Callable[[], Any]) -> float:
    """Return how many MB a call needs at most."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def line(n: int) -> tg.Tensor:
    return (tg.arange(n, dtype=tg.float32) * 0.7).sin().requires_grad_()


def places(n: int) -> tg.Tensor:
    return (tg.arange(n) * 7919) % n


N = 20_000
LARGE: dict[str, Callable[[], tg.Tensor]] = {
    "scatter_reduce amax": lambda: line(N).scatter_reduce(0, places(N), line(N), "amax"),
    "scatter_reduce prod": lambda: line(N).scatter_reduce(0, places(N), line(N), "prod"),
    "index_reduce amin": lambda: line(N).index_reduce(0, places(N), line(N), "amin"),
    "isin": lambda: tg.isin(places(N), places(N) // 2) * line(N),
    "embedding_bag max": lambda: F.embedding_bag(
        places(N), line(N)[:, None], tg.arange(0, N, 3), mode="max"
    ),
}


@grouped("name", list(LARGE))
def test_memory_grows_with_the_number_of_elements(name: str) -> None:
    # each with each would be 400 million
    assert peak(lambda: LARGE[name]().sum().backward()) < 40


def test_pairs_of_classes_are_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    from tabgrad.nn.functional import class_pairs

    target = tg.stack([places(900), places(900)])
    target[:, 500:] = -1

    def run() -> tuple[float, Any]:
        x = line(1800).reshape(2, 900).detach().requires_grad_()
        y = F.multilabel_margin_loss(x, target)
        y.backward()
        assert x.grad is not None
        return y.item(), x.grad.tolist()

    expected, slope = run()
    monkeypatch.setattr(class_pairs, "PAIRS", 60_000)
    assert peak(run) < 4
    found = run()
    assert found[0] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(found[1], slope, rtol=1e-5)

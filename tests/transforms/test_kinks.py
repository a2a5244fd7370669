"""Gradients of functions that are linear in pieces: with create_graph they require grad, before zeros."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.core.errors import GradientError

F = tg.nn.functional
pytestmark = pytest.mark.every_host
KINKED: dict[str, Callable[[Any], Any]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "abs": tg.abs,
    "leaky_relu": F.leaky_relu,
    "prelu": lambda x: F.prelu(x, tg.tensor([0.25])),
    "hardtanh": F.hardtanh,
    "hardsigmoid": F.hardsigmoid,
    "threshold": lambda x: F.threshold(x, 0.5, 3.0),
    "hardshrink": F.hardshrink,
    "softshrink": F.softshrink,
    "rrelu": F.rrelu,
    "avg_pool1d": lambda x: F.avg_pool1d(x, 2),
    "adaptive_avg_pool1d": lambda x: F.adaptive_avg_pool1d(x, 3),
    "adaptive_max_pool1d": lambda x: F.adaptive_max_pool1d(x, 2),
    "adaptive_max_pool1d of its own size": lambda x: F.adaptive_max_pool1d(x, 4),
    "max_pool1d": lambda x: F.max_pool1d(x, 2),
    "max_pool1d with indices": lambda x: F.max_pool1d(x, 2, return_indices=True)[0],
    "reflect": lambda x: F.pad(x, (1, 1), "reflect"),
    "replicate": lambda x: F.pad(x, (1, 1), "replicate"),
    "nll_loss": lambda x: F.nll_loss(x, tg.tensor([0, 1])),
    "area": lambda x: F.interpolate(x.reshape(1, 2, 4), size=3, mode="area"),
    "nearest": lambda x: F.grid_sample(x.reshape(1, 1, 2, 4), tg.zeros(1, 2, 2, 2), mode="nearest"),
    "norm of order 1": lambda x: x.norm(1),
    "l1_loss": lambda x: F.l1_loss(x, tg.zeros(2, 4)),
}  # fmt: skip
LINEAR: dict[str, Callable[[Any], Any]] = {
    "a multiple": lambda x: x * 2,
    "sum": lambda x: x.sum(),
    "matmul": lambda x: x @ tg.ones(4, 2),
    "pad": lambda x: F.pad(x, (1, 1)),
    "view": lambda x: x.reshape(8)[2:5],
}


@pytest.fixture(autouse=True)
def on_the_device(device: str) -> Any:
    with tg.device(device):
        yield


def numbers() -> Any:
    return tg.tensor([[0.3, -1.2, 2.0, 0.7], [0.0, 4.0, -0.4, 9.0]], requires_grad=True)


@pytest.mark.parametrize("name", KINKED)
def test_second_derivatives_are_zeros(name: str) -> None:
    x = numbers()
    y = KINKED[name](x)
    (g,) = tg.autograd.grad(y.sum(), x, create_graph=True)
    assert g.requires_grad
    (h,) = tg.autograd.grad((g * g).sum(), x)
    assert h.tolist() == [[0.0] * 4] * 2
    (plain,) = tg.autograd.grad(KINKED[name](x).sum(), x)
    assert not plain.requires_grad
    assert plain.tolist() == g.tolist()


@pytest.mark.parametrize("name", LINEAR)
def test_gradients_of_linear_functions_hang_on_nothing(name: str) -> None:
    x = numbers()
    (g,) = tg.autograd.grad(LINEAR[name](x).sum(), x, create_graph=True)
    assert not g.requires_grad
    with pytest.raises(GradientError):
        tg.autograd.grad(g.sum(), x)


def test_what_the_gradient_depends_on_keeps_its_derivative() -> None:
    x = numbers()
    w = tg.full((2, 4), 3.0, requires_grad=True)
    (g,) = tg.autograd.grad((F.relu(x) * w * w).sum(), x, create_graph=True)
    dx, dw = tg.autograd.grad(g.sum(), (x, w))
    assert dx.tolist() == [[0.0] * 4] * 2
    assert dw.tolist() == [[6.0, 0.0, 6.0, 6.0], [0.0, 6.0, 0.0, 6.0]]
    # by two ways, one of zeros
    (g,) = tg.autograd.grad((F.leaky_relu(x) * x).sum(), x, create_graph=True)
    (h,) = tg.autograd.grad(g.sum(), x)
    slopes = [[1.0, 0.01, 1.0, 1.0], [0.01, 1.0, 0.01, 1.0]]
    tg.testing.assert_close(h, 2 * tg.tensor(slopes))


def test_zeros_reach_leaves_and_hooks() -> None:
    x = numbers()
    middle = x * 2
    seen: list[Any] = []
    middle.register_hook(lambda g: seen.append(g))
    (g,) = tg.autograd.grad(F.relu(middle).sum(), x, create_graph=True)
    seen.clear()
    g.sum().backward()
    assert x.grad.tolist() == [[0.0] * 4] * 2
    assert [s.tolist() for s in seen] == [[[0.0] * 4] * 2]
    x.grad.add_(1)
    assert seen[0].tolist() == [[0.0] * 4] * 2


def test_zeros_go_through_functions_with_rules_of_their_own_and_past_nan() -> None:
    seen: list[Any] = []

    class Twice(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, ct: Any) -> Any:
            seen.append(ct.tolist())
            return ct * 2

    x = tg.tensor([0.0, 4.0], requires_grad=True)
    (g,) = tg.autograd.grad(F.relu(Twice.apply(x)).sum(), x, create_graph=True)
    seen.clear()
    (h,) = tg.autograd.grad(g.sum(), x)
    assert h.tolist() == [0.0, 0.0]
    assert seen[-1] == [0.0, 0.0]
    # the root at 0 has an infinite slope, which zeros don't meet
    (g,) = tg.autograd.grad(F.relu(x.sqrt() + 1).sum(), x, create_graph=True)
    assert g.tolist() == [math.inf, 0.25]


def test_backward_with_create_graph_leaves_gradients_that_require_grad() -> None:
    x = numbers()
    F.relu(x).sum().backward(create_graph=True)
    assert x.grad.requires_grad
    g, x.grad = x.grad, None
    (g * 3).sum().backward()
    assert x.grad.tolist() == [[0.0] * 4] * 2


def test_zeros_cost_no_dispatch(device: str) -> None:
    """The zeros of a hidden layer run no rule: not the products before it."""
    model = tg.nn.Sequential(tg.nn.Linear(4, 8), tg.nn.ReLU(), tg.nn.Linear(8, 1))
    first = model[0]
    (g,) = tg.autograd.grad(model(numbers().detach()).sum(), first.weight, create_graph=True)
    g.tolist()
    with tg.profiler.count() as counted:
        (h,) = tg.autograd.grad(g.sum(), first.bias)
        h.tolist()
    assert h.tolist() == [0.0] * 8
    assert counted.dispatches <= (device != "cpu")

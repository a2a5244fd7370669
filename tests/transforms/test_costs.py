"""What derivatives cost on a device, in dispatches, and that they leave no buffer behind."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import func
from tabgrad.autograd import Function
from tabgrad.nn import functional as F

pytestmark = pytest.mark.one_host("wgpu")


def dispatches(compute: Callable[[], Any], warm: int = 3) -> int:
    """How many dispatches the results of `compute` take once everything is compiled."""
    for _ in range(warm):
        kept = compute()
        tg.accelerator.synchronize()
    with tg.profiler.count() as counted:
        kept = compute()
        tg.accelerator.synchronize()
    assert kept is not None
    return counted.dispatches


def mlp() -> tuple[Any, dict[str, Any]]:
    """Return a loss of the parameters of a small network, and the parameters."""
    tg.manual_seed(0)
    model = tg.nn.Sequential(
        tg.nn.Linear(20, 32), tg.nn.Tanh(), tg.nn.Linear(32, 32), tg.nn.Tanh(), tg.nn.Linear(32, 10)
    )
    x, y = tg.randn(16, 20), tg.randint(10, (16,))

    def loss(parameters: dict[str, Any]) -> Any:
        return F.cross_entropy(func.functional_call(model, parameters, (x,)), y)

    return loss, {name: p.detach() for name, p in model.named_parameters()}


@functools.cache
def costs() -> dict[str, int]:
    """The dispatches of a compiled loss, its gradient, and the product of its Hessian with a direction."""
    loss, parameters = mlp()
    along = {name: tg.randn_like(p) for name, p in parameters.items()}
    forward, gradient = tg.compile(loss), tg.compile(func.grad(loss))
    product = tg.compile(lambda p, v: func.hvp(loss, (p,), (v,)))
    return {
        "forward": dispatches(lambda: forward(parameters)),
        "gradient": dispatches(lambda: gradient(parameters)),
        "hvp": dispatches(lambda: product(parameters, along)),
    }


def test_a_gradient_costs_at_most_three_times_its_function() -> None:
    assert 0 < costs()["gradient"] <= 3 * costs()["forward"], costs()


def test_a_hessian_product_costs_at_most_three_gradients() -> None:
    assert 0 < costs()["hvp"] <= 3 * costs()["gradient"], costs()


@pytest.mark.parametrize("jacobian", [func.jacrev, func.jacfwd])
def test_a_jacobian_is_one_batched_pass(jacobian: Any) -> None:
    x = tg.randn(64)
    calls: list[int] = []

    def taken(n: int) -> int:
        w = tg.randn(64, n)

        def function(x: Any) -> Any:
            calls.append(n)
            return (x @ w).tanh()

        found = jacobian(function)(x)
        assert found.shape == (n, 64)
        calls.clear()
        jacobian(function)(x)
        assert calls == [n]
        return dispatches(lambda: jacobian(function)(x))

    assert 0 < taken(64) <= taken(8)


@pytest.mark.parametrize("rows", [False, True])
def test_a_long_scan_is_a_handful_of_dispatches(rows: bool) -> None:
    start, w = tg.randn(16), tg.randn(16, 16) * 0.2

    def run() -> Any:
        def body(c: Any, _: Any) -> Any:
            c = (w @ c).tanh() + 0.01
            return c, (c.sum() if rows else None)

        return func.scan(body, start, None, length=10_000)

    assert 0 < dispatches(run) <= 8


# -- nothing stays ---------------------------------------------------------------------------------


def chain() -> None:
    """A hundred thousand ops, one after the other."""
    x = tg.ones(4, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y * 1.00001
    y.sum().backward()
    assert x.grad.tolist() == pytest.approx([1.00001**100_000] * 4, rel=1e-2)


def fan() -> None:
    """One tensor in ten thousand ops."""
    x = tg.ones(4, requires_grad=True)
    total = x * 0.0
    for _ in range(10_000):
        total = total + x * 3.0
    total.sum().backward()
    assert x.grad.tolist() == [30_000.0] * 4


def hooks() -> None:
    """Hooks that hold the tensors they belong to, and results of them."""
    for _ in range(20):
        x = tg.ones(4, requires_grad=True)
        y = x * 2
        z = (y * y).sum()
        y.register_hook(lambda g, held=(x, y, z): g * 2)
        x.register_post_accumulate_grad_hook(lambda t, held=(x, y, z): None)
        z.backward()
        assert x.grad.tolist() == [16.0] * 4


class Holding(Function):
    """Keeps its result, and what it is made of, where the result's own history leads."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = x.exp()
        ctx.save_for_backward(y)
        ctx.held = y
        return y

    @staticmethod
    def backward(ctx: Any, ct: Any) -> Any:
        return ct * ctx.saved_tensors[0]


def functions() -> None:
    """Functions whose contexts hold tensors that lead back to them."""
    for _ in range(20):
        x = tg.zeros(4, requires_grad=True)
        y = Holding.apply(x)
        y.register_hook(lambda g, held=y: g)
        y.sum().backward()
        assert x.grad.tolist() == [1.0] * 4


def never_walked() -> None:
    """Graphs that end in a cycle and have no backward pass."""
    for _ in range(20):
        y = Holding.apply(tg.zeros(4, requires_grad=True))
        y.register_hook(lambda g, held=y: g)
        assert y.tolist() == [1.0] * 4


@pytest.mark.parametrize("program", [chain, fan, hooks, functions, never_walked])
def test_no_buffer_is_left(program: Callable[[], None]) -> None:
    hooks()  # what a device makes once and keeps
    gc.collect()
    before = tg.profiler.memory().buffers
    program()
    gc.collect()
    tg.accelerator.synchronize()
    assert tg.profiler.memory().buffers <= before

"""What derivatives cost, in kernels: a gradient a small multiple of its function, a Jacobian one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn

pytestmark = pytest.mark.one_host("wgpu", "cuda")


def dispatches(device: str, run: Callable[[], Any]) -> int:
    """How many kernels the third call of `run` takes: by then everything is compiled."""
    for _ in range(3):
        with tg.profiler.count() as counts:
            first = tg.core.tree.leaves(run())[0]
            assert first.reshape(-1)[0].item() == first.reshape(-1)[0].item()
    return counts.dispatches


def network(device: str) -> tuple[Any, Any, Any]:
    tg.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(12, 32), nn.Tanh(), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 4)
    )
    x = tg.randn(24, 12, device=device)
    return net.to(device), x, tg.randint(0, 4, (24,), device=device)


def test_a_compiled_gradient_is_at_most_three_times_its_function(device: str) -> None:
    net, x, labels = network(device)
    parameters = list(net.parameters())

    def loss(x: Any) -> Any:
        return nn.functional.cross_entropy(net(x), labels)

    value = tg.compile(lambda x: loss(x).detach())
    gradient = tg.compile(lambda x: tg.autograd.grad(loss(x), parameters))
    forward = dispatches(device, lambda: value(x))
    backward = dispatches(device, lambda: gradient(x))
    assert 0 < backward <= 3 * forward


def test_a_product_with_the_hessian_is_at_most_three_times_the_gradient(device: str) -> None:
    net, x, labels = network(device)
    parameters = {name: p.detach() for name, p in net.named_parameters()}
    directions = {name: tg.randn_like(p) for name, p in parameters.items()}

    def loss(parameters: Any) -> Any:
        return nn.functional.cross_entropy(tg.func.functional_call(net, parameters, (x,)), labels)

    gradient = tg.compile(lambda p: tg.func.grad(loss)(p))
    product = tg.compile(lambda p, v: tg.func.hvp(loss, (p,), (v,))[1])
    first = dispatches(device, lambda: gradient(parameters))
    second = dispatches(device, lambda: product(parameters, directions))
    assert 0 < second <= 3 * first


@pytest.mark.parametrize("name", ["jacrev", "jacfwd"])
def test_a_jacobian_is_one_batched_pass(name: str, device: str) -> None:
    def kernels(n: int) -> int:
        w = tg.randn(n, n, device=device) / n
        x = tg.randn(n, device=device)
        jacobian = getattr(tg.func, name)(lambda x: tg.tanh(w @ tg.sin(x)))
        return dispatches(device, lambda: jacobian(x))

    assert 0 < kernels(64) == kernels(8) <= 8

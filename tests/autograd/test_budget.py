"""Backward within a budget of memory."""

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.utils.checkpoint import checkpoint, memory_budget

pytestmark = pytest.mark.every_host

LAYERS, WIDTH, ROWS = 64, 16, 512
ONE = ROWS * WIDTH * 4
"""The bytes of one activation."""


def network(device):
    tg.manual_seed(0)
    weights = [
        (tg.randn(WIDTH, WIDTH, device=device) * 0.3).requires_grad_() for _ in range(LAYERS)
    ]
    x = tg.randn(ROWS, WIDTH, device=device)
    for t in (*weights, x):
        t.tolist()
    return weights, x


def forward(weights, x):
    for w in weights:
        x = (x @ w).tanh()
    return x


def gradients(weights, x, run):
    for w in weights:
        w.grad = None
    run(x).sum().backward()
    return [w.grad.numpy() for w in weights]


@pytest.mark.parametrize("budget", [100, 32, 16, 8, 3])
def test_a_budget_is_met_and_changes_no_gradient(device, budget):
    weights, x = network(device)
    expected = gradients(weights, x, lambda x: forward(weights, x))
    regions = []

    def run(x):
        with memory_budget(budget * ONE) as region:
            regions.append(region)
            return forward(weights, x)

    found = gradients(weights, x, run)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    (region,) = regions
    assert region.peak <= budget * ONE
    assert region.bytes == 0
    limits = {100: 0, 32: LAYERS, 16: 2 * LAYERS, 8: 4 * LAYERS, 3: 20 * LAYERS}
    assert region.again <= limits[budget]
    assert (region.again == 0) == (budget == 100)


def test_dear_values_are_kept_before_cheap_ones():
    weights, x = network("cpu")
    with memory_budget(LAYERS // 2 * ONE) as region:
        y = x
        for w in weights[: LAYERS // 2]:
            y = (y @ w).relu().sin()
    y.sum().backward()
    assert not [n for n in region.notes if n.op.name == "matmul" and n.value is None and n.held]


def test_under_transforms_and_nested(device):
    weights, x = network(device)

    def loss(w):
        return ((x[:8] @ w).tanh().sin() ** 2).sum()

    def bounded(w):
        with memory_budget(8 * WIDTH * 4):
            return loss(w)

    w = weights[0].detach()
    for way in (
        lambda f: tg.func.grad(f)(w),
        lambda f: tg.func.hessian(f)(w),
        lambda f: tg.func.jvp(f, (w,), (w,))[1],
    ):
        np.testing.assert_allclose(way(bounded).numpy(), way(loss).numpy(), rtol=1e-3, atol=1e-4)
    leaf = weights[1]
    (first,) = tg.autograd.grad(bounded(leaf), leaf, create_graph=True)
    (second,) = tg.autograd.grad((first**2).sum(), leaf)
    (plain,) = tg.autograd.grad(loss(leaf), leaf, create_graph=True)
    np.testing.assert_allclose(
        second.numpy(), tg.autograd.grad((plain**2).sum(), leaf)[0].numpy(), rtol=1e-3, atol=1e-4
    )
    found = gradients(weights, x, lambda x: checkpoint(forward, weights, x, keep_bytes=10 * ONE))
    nested = gradients(
        weights,
        x,
        lambda x: checkpoint(lambda x: checkpoint(forward, weights, x, keep_bytes=8 * ONE), x),
    )
    for a, b in zip(found, nested, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_random_numbers_stay_the_same(device):
    x = tg.ones(1000, device=device, requires_grad=True)
    tg.manual_seed(5)
    with memory_budget(0):
        y = x
        for _ in range(5):
            y = tg.nn.functional.dropout(y, 0.3) * 1.5
    value = y.detach().numpy()
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), value, rtol=1e-5)


def test_a_budget_is_a_number_of_bytes():
    with pytest.raises(ValueError, match="bytes"):
        memory_budget(-1)

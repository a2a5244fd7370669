"""Gradients made zero stay the tensors that they are, without history; PyTorch's way of both owners."""

from __future__ import annotations

import pytest

import tabgrad as tg

pytestmark = pytest.mark.every_host


@pytest.mark.parametrize("owner", ["optimizer", "module"])
@pytest.mark.parametrize("graph", [False, True])
def test_a_gradient_is_made_zero_where_it_stands(device, owner, graph) -> None:
    layer = tg.nn.Linear(2, 1, device=device)
    who = layer if owner == "module" else tg.optim.SGD(layer.parameters(), lr=0.1)
    (layer(tg.ones(3, 2, device=device)) ** 2).sum().backward(create_graph=graph)
    held = [p.grad for p in layer.parameters()]
    assert [g.requires_grad for g in held] == [graph, graph]
    who.zero_grad(set_to_none=False)
    assert all(p.grad is g for p, g in zip(layer.parameters(), held, strict=True))
    assert [g.abs().sum().item() for g in held] == [0.0, 0.0]
    assert not any(g.requires_grad for g in held)
    who.zero_grad()
    assert [p.grad for p in layer.parameters()] == [None, None]


def test_a_compiled_step_makes_them_zero_too(device) -> None:
    w = tg.tensor([1.0, 2.0], device=device, requires_grad=True)
    opt = tg.optim.SGD([w], lr=0.1)
    w.grad = tg.ones(2, device=device)
    held = w.grad

    @tg.compile
    def step(x):
        opt.zero_grad(set_to_none=False)
        (w * x).sum().backward()
        opt.step()

    for _ in range(4):
        step(tg.ones(2, device=device))
    assert w.grad is held
    assert held.tolist() == [1.0, 1.0]
    assert w.tolist() == pytest.approx([0.6, 1.6])

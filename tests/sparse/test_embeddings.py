"""Sparse gradients of embeddings, beside PyTorch's, and the optimizers that take them."""

from __future__ import annotations

import json
from typing import Any

import pytest

import tabgrad as tg
from tests.sparse import record, training

TRAINED = json.loads(record.TRAINED.read_text())


def near(numbers: Any) -> Any:
    return pytest.approx(numbers, rel=2e-5, abs=2e-6)


@pytest.mark.every_host
def test_twenty_steps_are_those_of_pytorch(device: str) -> None:
    for (name, options), wanted in zip(training.OPTIMIZERS, TRAINED["optimizers"], strict=True):
        found = training.trained(tg, name, options, device)
        assert found == near(wanted), (name, options)


@pytest.mark.every_host
def test_bags_have_the_gradients_of_pytorch(device: str) -> None:
    for options, (sparse, rows) in zip(training.BAGS, TRAINED["bags"], strict=True):
        found = training.bagged(tg, options, device)
        assert found[0] == sparse
        for a, b in zip(found[1], rows, strict=True):
            assert a == near(b), options
    with pytest.raises(RuntimeError, match="max mode does not support sparse"):
        training.bagged(tg, {"mode": "max"}, device)


def test_what_other_optimizers_say() -> None:
    for name, options in training.REFUSING:
        with pytest.raises(RuntimeError, match="sparse gradients"):
            training.trained(tg, name, options, "cpu", 1)
    w = tg.nn.Embedding(3, 2, device="cpu")
    optimizer = tg.optim.SparseAdam(w.parameters())
    w(tg.tensor([0], device="cpu")).sum().backward()
    before = w.weight.detach().clone()
    with pytest.raises(RuntimeError, match="does not support dense gradients"):
        optimizer.step()
    assert tg.equal(w.weight, before)
    with pytest.raises(ValueError, match="Invalid learning rate"):
        tg.optim.SparseAdam(w.parameters(), lr=0)
    with pytest.raises(ValueError, match="requires dense parameter"):
        tg.optim.SparseAdam([before.to_sparse().requires_grad_()])


def test_the_gradient_of_a_look_up() -> None:
    w = training.table(tg, "cpu")
    index = tg.tensor([[1, 4], [1, 0]], device="cpu")
    training.loss(tg, w(index), "cpu").backward()
    grad: Any = w.weight.grad
    assert not grad.is_coalesced()
    assert grad._indices().tolist() == [[1, 4, 1, 0]]
    dense = w.weight.detach().clone().requires_grad_()
    training.loss(tg, tg.nn.functional.embedding(index, dense), "cpu").backward()
    assert tg.allclose(grad.to_dense(), dense.grad)
    # a second one is added, sparse or dense
    training.loss(tg, w(index), "cpu").backward()
    assert w.weight.grad.is_sparse
    assert tg.allclose(w.weight.grad.to_dense(), 2 * dense.grad)
    (w.weight * 3).sum().backward()
    assert not w.weight.grad.is_sparse
    assert tg.allclose(w.weight.grad, 2 * dense.grad + 3)
    training.loss(tg, w(index), "cpu").backward()
    assert tg.allclose(w.weight.grad, 3 * dense.grad + 3)
    # both kinds in one walk
    w.zero_grad()
    (training.loss(tg, w(index), "cpu") + (w.weight * 3).sum()).backward()
    assert tg.allclose(w.weight.grad, dense.grad + 3)


def test_gradients_of_look_ups_in_other_ways() -> None:
    w = training.table(tg, "cpu", padding_idx=4).double()
    index = tg.tensor([1, 4, 1], device="cpu")
    plain = w.weight.detach().clone().requires_grad_()

    def cost(weight: Any, sparse: bool) -> Any:
        return (tg.nn.functional.embedding(index, weight, 4, sparse=sparse) ** 3).sum()

    (wanted,) = tg.autograd.grad(cost(plain, False), plain, create_graph=True)
    (found,) = tg.autograd.grad(cost(w.weight, True), w.weight, create_graph=True)
    assert found.is_sparse
    assert tg.allclose(found.to_dense(), wanted)
    # a weight that is no leaf, a transform, a second derivative
    cost(plain * 2, True).backward()
    assert tg.allclose(plain.grad, 8 * wanted)
    assert tg.allclose(tg.func.grad(lambda x: cost(x, True))(plain.detach()), wanted)
    (second,) = tg.autograd.grad((found.to_dense() ** 2).sum(), w.weight)
    (first,) = tg.autograd.grad((wanted**2).sum(), plain)
    assert tg.allclose(second.to_dense(), first)


def test_clipping_and_zeroing() -> None:
    w = training.table(tg, "cpu")
    index = tg.tensor([1, 4, 1], device="cpu")
    training.loss(tg, w(index), "cpu").backward()
    before = w.weight.grad.to_dense()
    total = tg.nn.utils.clip_grad_norm_(w.parameters(), 0.5)
    assert total.item() == pytest.approx(before.norm().item())
    assert tg.allclose(w.weight.grad.to_dense(), before * (0.5 / (total + 1e-6)))
    w.zero_grad(set_to_none=False)
    assert w.weight.grad.is_sparse
    assert w.weight.grad._nnz() == 0
    seen = []
    w.weight.register_hook(lambda grad: seen.append(grad.is_sparse) or grad * 2)
    training.loss(tg, w(index), "cpu").backward()
    assert seen == [True]
    assert tg.allclose(w.weight.grad.to_dense(), 2 * before)


@pytest.mark.every_host
def test_a_compiled_step_with_a_sparse_gradient_runs_as_it_is(device: str) -> None:
    w, v = (training.table(tg, device) for _ in range(2))
    index = tg.tensor([1, 4, 1], device=device)

    def step(module: Any, optimizer: Any) -> None:
        optimizer.zero_grad()
        training.loss(tg, module(index), device).backward()
        optimizer.step()

    plain, compiled = (tg.optim.SparseAdam(m.parameters(), lr=0.1) for m in (w, v))
    run = tg.compile(lambda: step(v, compiled))
    for _ in range(4):
        step(w, plain)
        run()
    assert tg.equal(w.weight, v.weight)

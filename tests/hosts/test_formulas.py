"""Formulas as chains: the derivatives of all element-wise ops give what their ops give one by one."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.core.families import Elementwise
from tabgrad.core.op import REGISTRY
from tabgrad.core.trace import MODE
from tabgrad.hosts import formulas
from tabgrad.hosts.chains import MANY
from tabgrad.hosts.formulas import at_once
from tests.grouped import grouped

OPS = sorted(
    op.name for op in REGISTRY if isinstance(op, Elementwise) and "f" in op.kinds and op.differentiable
)  # fmt: skip


def operands(op: Any, shape: tuple[int, ...]) -> list[Any]:
    """Return operands in the domain of an op, in float32, and a cotangent in front."""
    rng = np.random.default_rng(11)
    bounds = op.domain if isinstance(op.domain[0], tuple) else (op.domain,) * len(op.operands)
    found = [rng.uniform(-2, 2, shape)]
    found += [rng.uniform(low, high, shape) for low, high in bounds]
    return [tg.tensor(x.astype(np.float32), device="cpu") for x in found]


def both(rule: Any, args: tuple[Any, ...]) -> tuple[Any, Any]:
    """Return what a rule gives by its ops, and as a chain."""
    mode = MODE.get()
    for _ in range(3):
        found = at_once(rule, args, mode)
    return rule(*args), found


@grouped("name", OPS, size=100)
def test_derivatives(name: str) -> None:
    op = REGISTRY[name]
    if name == "where" or any(
        p.kind is p.KEYWORD_ONLY for p in signature(op.fn).parameters.values()
    ):
        return
    met = 0
    for shape in ((3,), (2, 300)):
        ct, *inputs = operands(op, shape)
        y = op(*inputs)
        for rule in filter(None, op.maps):
            want, found = both(rule, (ct, *inputs, y))
            if found is not None:
                met += 1
                assert found.spec is want.spec
                np.testing.assert_array_equal(found.numpy(), want.numpy())
    assert met or name not in ("tanh", "gelu_erf", "silu", "sigmoid", "sqrt", "erf", "log1p", "pow")


def formula(a: Any, b: Any, scale: float, unit: Any) -> Any:
    """Give two results from two tensors, a number and a tensor without dims."""
    return a * b * unit + scale, (a - b) * scale


@pytest.mark.parametrize("size", [0, 1, 257])
def test_sizes_and_layouts(size: int) -> None:
    a = tg.rand(2, size, device="cpu").T
    for b in (tg.rand(size, 2, device="cpu"), tg.tensor(2.5, device="cpu").expand(size, 2)):
        args = (a, b, 0.5, tg.tensor(3.0, device="cpu"))
        want, found = both(formula, args)
        for w, f in zip(want, found, strict=True):
            assert w.equal(f)


def test_many_elements_are_left_to_their_ops() -> None:
    x = tg.ones(MANY + 1, device="cpu")
    assert both(formula, (x, x, 2.0, tg.tensor(1.0, device="cpu")))[1] is None


def test_what_records_gradients_is_left_to_its_ops() -> None:
    x = tg.rand(8, device="cpu", requires_grad=True)
    args = (x, x.detach(), 2.0, tg.tensor(1.0, device="cpu"))
    assert both(formula, args)[1] is None
    with tg.no_grad():
        assert both(formula, args)[1] is not None


def test_derivatives_of_derivatives() -> None:
    def third(n: int) -> Any:
        x = tg.linspace(-2, 2, n, device="cpu", requires_grad=True)
        y = tg.nn.functional.gelu(x).sum()
        for _ in range(3):
            (g,) = tg.autograd.grad(y, x, create_graph=True)
            y = g.sum()
        return g.detach()

    for _ in range(3):
        few, many = third(65), third(64 * 16 + 1)
    np.testing.assert_allclose(many[::16].numpy(), few.numpy(), rtol=2e-5, atol=2e-5)


def test_zeros_of_both_signs_are_two_numbers() -> None:
    def scaled(x: Any, by: float) -> Any:
        return x * 2.0 * by

    x = tg.ones(4, device="cpu")
    for _ in range(3):
        signs = [at_once(scaled, (x, by), MODE.get()) for by in (0.0, -0.0)]
    assert [bool(tg.signbit(y[0])) for y in signs] == [False, True]


def test_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formulas, "MOST", 4)
    for n in range(20):
        both(formula, (tg.ones(n, device="cpu"), tg.ones(n, device="cpu"), 1.0, 2.0))
    assert len(formulas._FOUND) <= 4

"""The derivative chosen where a function has a kink, a tie or a zero inside a root: PyTorch's choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
import tabgrad.nn.functional as F

pytestmark = pytest.mark.every_host

SELU = 1.0507009873554805 * 1.6732632423543772


def twice(x: Any) -> Any:
    """The element of `x`, two times: every reduction over it has a tie."""
    return tg.cat([x, x])


def zero(x: Any) -> Any:
    """A zero to compare with that wants no gradient."""
    return tg.zeros(1, device=x.device)


CHOICES: list[tuple[str, Callable[[Any], Any], float, float]] = [
    ("abs", tg.abs, 0.0, 0.0),
    ("relu", tg.relu, 0.0, 0.0),
    ("relu6", F.relu6, 6.0, 0.0),
    ("leaky_relu", F.leaky_relu, 0.0, 0.01),
    ("prelu", lambda x: F.prelu(x, tg.full((1,), 0.25, device=x.device)), 0.0, 0.25),
    ("rrelu", F.rrelu, 0.0, (1 / 8 + 1 / 3) / 2),
    ("elu", F.elu, 0.0, 1.0),
    ("elu, alpha 2", lambda x: F.elu(x, 2.0), 0.0, 2.0),
    ("celu, alpha 2", lambda x: F.celu(x, 2.0), 0.0, 1.0),
    ("selu", F.selu, 0.0, SELU),
    ("hardtanh", F.hardtanh, 1.0, 0.0),
    ("hardsigmoid", F.hardsigmoid, 3.0, 0.0),
    ("hardshrink", F.hardshrink, 0.5, 0.0),
    ("softshrink", F.softshrink, 0.5, 0.0),
    ("threshold", lambda x: F.threshold(x, 0.0, 5.0), 0.0, 0.0),
    ("clamp", lambda x: x.clamp(0.0, 1.0), 0.0, 1.0),
    ("maximum", lambda x: tg.maximum(x, zero(x)), 0.0, 0.5),
    ("minimum", lambda x: tg.minimum(x, zero(x)), 0.0, 0.5),
    ("fmax", lambda x: tg.fmax(x, zero(x)), 0.0, 1.0),
    ("fmax of the other", lambda x: tg.fmax(zero(x), x), 0.0, 0.0),
    ("fmin", lambda x: tg.fmin(x, zero(x)), 0.0, 1.0),
    ("fmin of the other", lambda x: tg.fmin(zero(x), x), 0.0, 0.0),
    ("amax", lambda x: tg.cat([x, zero(x)]).amax(), 0.0, 0.5),
    ("max over a dim", lambda x: tg.cat([x, zero(x)]).max(0)[0], 0.0, 1.0),
    ("sign", tg.sign, 0.0, 0.0),
    ("round", tg.round, 0.5, 0.0),
    ("norm", tg.norm, 0.0, 0.0),
    ("norm of order 1", lambda x: x.norm(1), 0.0, 0.0),
    ("norm of order 3", lambda x: x.norm(3), 0.0, 0.0),
    ("norm of order 0.5 with a zero", lambda x: tg.cat([x, zero(x) + 4.0]).norm(0.5), 0.0, 0.0),
    ("norm of order inf", lambda x: tg.cat([x, zero(x)]).norm(tg.inf), 0.0, 0.0),
    ("std", lambda x: twice(x).std(), 0.0, 0.0),
    ("0 to the power of 0", lambda x: zero(x) ** x, 0.0, 0.0),
    ("0 to a positive power", lambda x: zero(x) ** x, 2.0, 0.0),
    ("0 to a negative power", lambda x: zero(x) ** x, -1.0, -tg.inf),
    ("prod with a zero", lambda x: tg.cat([x, zero(x) + 3.0]).prod(), 0.0, 3.0),
    ("sinc", tg.sinc, 0.0, 0.0),
    ("power 0", lambda x: x**0, 0.0, 0.0),
    ("sqrt", tg.sqrt, 0.0, tg.inf),
    ("l1_loss", lambda x: F.l1_loss(x, zero(x)), 0.0, 0.0),
]


@pytest.mark.parametrize(
    ("call", "at", "slope"), [c[1:] for c in CHOICES], ids=[c[0] for c in CHOICES]
)
def test_it_is_pytorchs_choice(call: Any, at: float, slope: float, device: str) -> None:
    leaf = tg.tensor([2.0 * at], device=device, requires_grad=True)
    y = call(leaf * 0.5)
    (g,) = tg.autograd.grad(y, leaf, tg.full(y.shape, -3.0, device=device))
    assert g.item() == pytest.approx(-1.5 * slope, rel=1e-5)


@pytest.mark.parametrize("name", ["elu", "celu", "selu"])
def test_exponential_units_have_pytorchs_derivatives_at_zero(name: str, device: str) -> None:
    x = tg.zeros(2, device=device, requires_grad=True)
    (first,) = tg.autograd.grad(getattr(F, name)(x).sum(), x, create_graph=True)
    (second,) = tg.autograd.grad(first.sum(), x)
    want = SELU if name == "selu" else 1.0
    assert first.tolist() == pytest.approx([want, want], rel=1e-5)
    # the second is that of the line above 0, whose slope is another where alpha is
    assert second.tolist() == [0.0, 0.0]


def test_the_slope_at_zero_is_alpha(device: str) -> None:
    x = tg.zeros(2, device=device, requires_grad=True)
    (slope,) = tg.autograd.grad(F.elu(x, alpha=2.0).sum(), x)
    assert slope.tolist() == [2.0, 2.0]


def test_second_derivatives_of_binary_cross_entropy_at_its_ends(device: str) -> None:
    x = tg.tensor([0.0, 1.0, 0.3], device=device, requires_grad=True)
    y = tg.tensor([0.0, 1.0, 1.0], device=device)
    loss = F.binary_cross_entropy(x, y, reduction="sum")
    (first,) = tg.autograd.grad(loss, x, create_graph=True)
    (second,) = tg.autograd.grad(first.sum(), x)
    assert first.tolist() == pytest.approx([0.0, 0.0, -1 / 0.3], rel=1e-4)
    assert second.tolist() == pytest.approx([0.0, 0.0, 1 / 0.09], rel=1e-4)


def test_the_gradient_of_a_first_power_requires_grad(device: str) -> None:
    x = tg.ones(2, device=device, requires_grad=True)
    (first,) = tg.autograd.grad((x**1).sum(), x, create_graph=True)
    (second,) = tg.autograd.grad(first.sum(), x)
    assert second.tolist() == [0.0, 0.0]


SUMS = {"addmm": ((2, 3), (2, 4), (4, 3)), "addmv": ((2,), (2, 4), (4,)), "addr": ((2, 3), (2,), (3,)),
        "addbmm": ((2, 3), (5, 2, 4), (5, 4, 3)), "baddbmm": ((5, 2, 3), (5, 2, 4), (5, 4, 3))}  # fmt: skip


@pytest.mark.parametrize("name", SUMS)
def test_what_beta_takes_no_part_of_has_a_gradient_of_zeros(name: str, device: str) -> None:
    first, *factors = (tg.ones(shape, device=device, requires_grad=True) for shape in SUMS[name])
    first.detach().fill_(float("nan"))
    y = getattr(tg, name)(first, *factors, beta=0)
    y.sum().backward()
    assert not y.isnan().any().item()
    assert first.grad.tolist() == tg.zeros(SUMS[name][0]).tolist()
    assert all(f.grad.abs().sum().item() > 0 for f in factors)

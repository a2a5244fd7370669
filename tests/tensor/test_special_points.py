"""Second derivatives, and shares of ties, where a formula has a case of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg

pytestmark = pytest.mark.every_host


def second(function: Callable[[Any], Any], at: float) -> float:
    """The second derivative of a function of one number, reverse over reverse."""
    x = tg.tensor([at], requires_grad=True)
    (g,) = tg.autograd.grad(function(x).sum(), x, create_graph=True)
    (h,) = tg.autograd.grad(g.sum(), x)
    return h.item()


def test_sinc_is_curved_at_zero_and_near_it() -> None:
    for at in (0.0, 1e-4, 0.02, 0.1):
        u = math.pi * at
        want = -(math.pi**2) * (1 / 3 - u**2 / 10 + u**4 / 168)
        assert second(tg.sinc, at) == pytest.approx(want, rel=1e-4)


def test_hypot_is_curved_where_one_side_is_zero() -> None:
    for other in (0.5, -2.0, 1e30):
        y = tg.tensor([other])
        assert second(lambda x, y=y: tg.hypot(x, y), 0.0) == pytest.approx(1 / abs(other), rel=1e-5)
    x = tg.zeros(2, requires_grad=True)
    tg.hypot(x, tg.tensor([0.0, 3.0])).sum().backward()
    # where both are 0 there is no slope: 0 / 0, as in PyTorch
    assert math.isnan(x.grad[0].item())
    assert x.grad[1].item() == 0
    assert tg.hypot(tg.tensor([3e30, math.inf]), tg.tensor([4e30, 1.0])).tolist() == pytest.approx(
        [5e30, math.inf], rel=1e-6
    )


@pytest.mark.parametrize("reduce", ["amax", "amin"])
def test_what_is_there_is_one_of_the_ties_of_scatter_reduce(reduce: str) -> None:
    x = tg.zeros(2, requires_grad=True)
    source = tg.zeros(3, requires_grad=True)
    y = x.scatter_reduce(0, tg.tensor([0, 0, 0]), source, reduce)
    (y * tg.tensor([8.0, 1.0])).sum().backward()
    assert x.grad.tolist() == [2, 1]
    assert source.grad.tolist() == [2, 2, 2]


def test_log_ndtr_has_its_slope_at_zero() -> None:
    x = tg.zeros(1, requires_grad=True)
    tg.special.log_ndtr(x).sum().backward()
    assert x.grad.item() == pytest.approx(math.sqrt(2 / math.pi), rel=1e-5)
    assert second(tg.special.log_ndtr, 0.0) == pytest.approx(-2 / math.pi, rel=1e-4)


def test_bessel_functions_have_no_kink_at_zero() -> None:
    for name, slope, bend in (("i0", 0.0, 0.5), ("i1", 0.5, 0.0)):
        x = tg.zeros(1, requires_grad=True)
        function = getattr(tg.special, name)
        function(x).sum().backward()
        assert x.grad.item() == pytest.approx(slope, abs=1e-5)
        assert second(function, 0.0) == pytest.approx(bend, abs=1e-4)
    x = tg.zeros(1, requires_grad=True)
    tg.special.i1e(x).sum().backward()
    assert x.grad.item() == pytest.approx(0.5, rel=1e-5)


def test_xlog1py_has_a_slope_where_it_is_zero() -> None:
    x = tg.zeros(4, requires_grad=True)
    y = tg.tensor([-0.5, 2.0, -1.0, math.inf])
    z = tg.special.xlog1py(x, y)
    assert z.tolist() == [0, 0, 0, 0]
    z.sum().backward()
    assert x.grad.tolist() == pytest.approx([math.log(0.5), math.log(3.0), 0, math.inf], rel=1e-5)


def test_the_angle_of_the_origin_has_derivatives_of_zero() -> None:
    x, y = tg.zeros(1, requires_grad=True), tg.zeros(1, requires_grad=True)
    tg.atan2(x, y).sum().backward()
    assert (x.grad.item(), y.grad.item()) == (0, 0)

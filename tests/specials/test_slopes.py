"""Derivatives keep their digits in float32, near 0 and in both tails: they are held to those in float64.

A formula whose terms nearly cancel loses digits of the derivative where the function itself has them. `floor`
is the least size that an error is measured against: 0, unless the derivative crosses zero or is, as PyTorch's,
1 - y * y or the like.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import tabgrad as tg
from tests.grouped import grouped

S, F = tg.special, tg.nn.functional
UNIT = 2.0**-24
LEAST, MOST = 1e-30, 1e30
SIZES = 10.0 ** np.linspace(-9, 2, 67)
SMALL = SIZES[SIZES < 0.5]
LINE = np.concatenate([-SIZES[::-1], [0.0], SIZES])
INTERVAL = np.concatenate([SMALL, 1 - SMALL[SMALL > 1e-6]])


class Case(NamedTuple):
    name: str
    room: Any
    points: Any
    units: float = 32.0
    floor: float = 0.0


def cases(names: str, *rest: Any) -> list[Case]:
    return [Case(name, *rest) for name in names.split()]


CASES = [
    *cases("exp exp2 expm1 sinh cosh atan asinh square abs erf erfc", tg, LINE),
    *cases("log log2 log10 sqrt rsqrt reciprocal log1p", tg, SIZES),
    *cases("lgamma digamma", tg, SIZES, 32.0, 0.1),
    *cases("log1p", tg, -INTERVAL),
    *cases("tanh sigmoid sinc", tg, LINE, 16.0, 1.0),
    *cases("erfinv", tg, INTERVAL, 96.0),
    *cases("elu selu celu softplus logsigmoid leaky_relu hardsigmoid", F, LINE),
    *cases("gelu silu mish hardswish tanhshrink", F, LINE, 32.0, 0.1),
    *cases("i0 i1 modified_bessel_i0 modified_bessel_i1 erfcx ndtr log_ndtr", S, LINE, 64.0),
    *cases("i0e i1e bessel_j0 bessel_j1 spherical_bessel_j0", S, LINE, 32.0, 0.1),
    *cases("bessel_y0 bessel_y1", S, SIZES, 32.0, 0.1),
    *cases("modified_bessel_k0 modified_bessel_k1", S, SIZES, 32.0),
    *cases("scaled_modified_bessel_k0 scaled_modified_bessel_k1", S, SIZES, 96.0),
    *cases("entr", S, SIZES),
    *cases("logit ndtri", S, INTERVAL, 96.0),
]  # fmt: skip


def slope(case: Case, dtype: Any, device: str) -> Any:
    points = case.points.astype(np.float32).tolist()
    x = tg.tensor(points, dtype=dtype, device=device, requires_grad=True)
    getattr(case.room, case.name)(x).sum().backward()
    return np.array(x.grad.tolist())


@pytest.mark.every_host
@grouped("case", CASES, ids=lambda c: c.name)
def test_digits_of_a_derivative(case: Case, device: str) -> None:
    true, found = slope(case, tg.float64, "cpu"), slope(case, tg.float32, device)
    size = np.abs(true)
    asked = (LEAST < size) & (size < MOST)
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(found - true) / np.maximum(size, case.floor or LEAST)
    wrong = asked & ~(off <= case.units * UNIT)
    worst = [(case.points[i], found[i], true[i]) for i in np.flatnonzero(wrong)[:3]]
    assert not wrong.any(), f"{wrong.sum()} of {asked.sum()}, as {worst}"


@pytest.mark.every_host
def test_a_tail_beyond_the_largest_number_is_infinite(device: str) -> None:
    x = tg.tensor([-100.0, 100.0, 1e20], device=device, requires_grad=True)
    for name, wanted in (("i0", [-np.inf, np.inf, np.inf]), ("i1", [np.inf] * 3)):
        (found,) = tg.autograd.grad(getattr(S, name)(x).sum(), x)
        assert found.tolist() == wanted
    x = tg.tensor([-11.5, -20.0, -100.0], device=device, requires_grad=True)
    (found,) = tg.autograd.grad(S.erfcx(x).sum(), x)
    assert found.tolist() == [-np.inf] * 3


@pytest.mark.parametrize(
    ("name", "points"),
    [*((n, LINE) for n in ("i0", "i1", "elu", "celu")), ("scaled_modified_bessel_k1", SIZES[40:])],
)
def test_second_derivatives(name: str, points: Any) -> None:
    fn = getattr(S, name, None) or getattr(F, name)
    points = points[np.abs(points) < 60].astype(np.float32)
    answers = []
    for dtype in (tg.float32, tg.float64):
        x = tg.tensor(points.tolist(), dtype=dtype, device="cpu", requires_grad=True)
        (first,) = tg.autograd.grad(fn(x).sum(), x, create_graph=True)
        (second,) = tg.autograd.grad(first.sum(), x)
        answers.append(np.array(second.tolist()))
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["elu_", "selu_", "celu_"])
def test_in_place_as_plain(name: str) -> None:
    x = tg.tensor([-17.0, -12.0, 2.0], device="cpu", requires_grad=True)
    getattr(F, name)(y := x.clone())
    (found,) = tg.autograd.grad(y.sum(), x)
    (wanted,) = tg.autograd.grad(getattr(F, name[:-1])(x).sum(), x)
    assert found.tolist() == wanted.tolist()

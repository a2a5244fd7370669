"""What counts as true, and values at nan, the infinities and the two zeros, on every device."""

from __future__ import annotations

import math

import pytest

import tabgrad as tg

pytestmark = pytest.mark.every_host

NAN, INF = float("nan"), float("inf")

TRUTH = {
    "x.bool()": [True, False, False, True, True],
    "x.logical_not()": [False, True, True, False, False],
    "x.nonzero().flatten()": [0, 3, 4],
    "x.any()": True,
    "x[:1].any()": True,
    "x[:1].all()": True,
    "tg.count_nonzero(x)": 3,
    "tg.where(x.bool(), 1, 2)": [1, 2, 2, 1, 1],
    "x[x.bool()].isnan()": [True, False, False],
    "x.logical_and(x)": [True, False, False, True, True],
    "x.to(tg.bool).sum()": 3,
    "x != 0": [True, False, False, True, True],
    "x == x": [False, True, True, True, True],
    "~(x < 1) & ~(x >= 1)": [True, False, False, False, False],
}
"""What is true of nan, 0, -0, 1e-45 and inf."""


@pytest.mark.parametrize("code", TRUTH)
def test_nan_counts_as_true(code: str) -> None:
    x = tg.tensor([NAN, 0.0, -0.0, 1e-45, INF]) + tg.zeros(())
    x = tg.where(tg.tensor([False, False, False, True, False]), 1.0, x)
    assert eval(code, {"x": x, "tg": tg}).tolist() == TRUTH[code]


SPECIAL: dict[str, list[float]] = {
    "tg.signbit(L([-NAN, NAN, -0.0, 0.0]))": [True, False, True, False],
    "tg.copysign(L([1.0, 1.0]), L([-0.0, -NAN]))": [-1.0, -1.0],
    "tg.hypot(L([INF, NAN, -INF, NAN]), L([NAN, INF, NAN, 1.0]))": [INF, INF, INF, NAN],
    "L([-7.0, 7.0, 7.0, -7.0, INF, 5.0]) // L([INF, -INF, INF, -INF, 2.0, 0.0])":
        [-1.0, -1.0, 0.0, 0.0, NAN, INF],
    "tg.remainder(L([-0.0, 0.0, 5.0, -5.0, -3.0, 6.0]), L([1.0, -1.0, INF, INF, -INF, -3.0]))":
        [-0.0, 0.0, 5.0, INF, -3.0, 0.0],
    "tg.sign(L([NAN, -0.0, -2.0, INF]))": [0.0, 0.0, -1.0, 1.0],
}  # fmt: skip


def same(a: float, b: float) -> bool:
    return (a != a and b != b) or (a == b and math.copysign(1.0, a) == math.copysign(1.0, b))


@pytest.mark.parametrize("code", SPECIAL)
def test_values_at_special_points(code: str) -> None:
    got = eval(code, {"L": tg.tensor, "tg": tg, "NAN": NAN, "INF": INF}).tolist()
    assert all(map(same, got, SPECIAL[code])), got


def test_a_plan_tells_the_zeros_apart_that_it_is_given() -> None:
    x = tg.tensor([1.0, -1.0])
    for zero in (0.0, -0.0, 0.0, NAN, NAN, -0.0):
        want = (
            [zero, zero] if zero != zero else [math.copysign(INF, zero), -math.copysign(INF, zero)]
        )
        assert all(map(same, (x / zero).tolist(), want))
    half = tg.compile(lambda x, scale: x / scale)
    for zero in (0.0, -0.0, 0.0):
        assert half(x, tg.full((), zero)).tolist() == [
            math.copysign(INF, zero),
            -math.copysign(INF, zero),
        ]


IDENTITIES = {
    "x - x": [0.0, 0.0, 0.0, NAN, NAN],
    "x + (-x)": [0.0, 0.0, 0.0, NAN, NAN],
    "(x + 1) - x": [1.0, 0.0, 1.0, NAN, NAN],
    "(1 + x) - x": [1.0, 0.0, 1.0, NAN, NAN],
    "(x - (x - 1))": [1.0, 0.0, 1.0, NAN, NAN],
    "((x + 1) - x) - ((x + 1) - x)": [0.0, 0.0, 0.0, NAN, NAN],
    "(1 - x) + x": [1.0, 0.0, 1.0, NAN, NAN],
    "x + 1 == x": [False, True, False, True, False],
    "x < x + 1": [True, False, True, False, False],
    "x.sqrt() ** 2": [0.25, 1e8, NAN, INF, NAN],
    "x.sqrt() * x.sqrt()": [0.25, 1e8, NAN, INF, NAN],
    "x.sqrt().square()": [0.25, 1e8, NAN, INF, NAN],
    "tg.softmax(x[:, None], 1)[:, 0]": [1.0, 1.0, 1.0, NAN, NAN],
    "x + (x.round() - x).detach()": [0.0, 1e8, -3.0, NAN, NAN],
}
"""What a driver could take for something simpler: right for real numbers only."""


@pytest.mark.parametrize("code", IDENTITIES)
def test_floats_are_not_real_numbers(code: str) -> None:
    x = tg.tensor([0.25, 1e8, -3.0, INF, NAN])
    assert all(map(same, eval(code, {"x": x, "tg": tg}).tolist(), IDENTITIES[code])), code


def test_the_error_of_a_sum_is_what_compensation_needs() -> None:
    big, small = tg.tensor([16777216.0, 1e8]), tg.tensor([1.0, 3.0])
    total = big + small
    back = total - big
    assert ((big - (total - back)) + (small - back)).tolist() == [1.0, 3.0]

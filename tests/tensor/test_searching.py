"""Where an element belongs in a sorted sequence: nan is the largest number, as in `sort`."""

from __future__ import annotations

import bisect
from typing import Any

import pytest

import tabgrad as tg

NAN = float("nan")
EDGES = [[1.0, 2.0, 2.0, NAN], [NAN] * 4, [0.0, NAN, NAN, NAN], [-9.0, 0.0, 3.0, float("inf")]]
VALUES = [2.0, NAN, 0.0, float("inf"), -float("inf"), 5.0]


def rank(x: float) -> tuple[bool, float]:
    return (True, 0.0) if x != x else (False, x)


@pytest.mark.every_host
@pytest.mark.parametrize("right", [False, True])
def test_nan_is_the_largest(right: bool, device: str) -> None:
    def of(x: Any) -> Any:
        return tg.tensor(x, device=device)

    find = bisect.bisect_right if right else bisect.bisect_left
    wanted = [[find(list(map(rank, line)), rank(x)) for x in VALUES] for line in EDGES]
    edges, values = of(EDGES), of([VALUES] * len(EDGES))
    assert tg.searchsorted(edges, values, right=right).tolist() == wanted
    mixed = edges.flip(1)
    order = tg.argsort(mixed, 1)
    found = tg.searchsorted(mixed, values, sorter=order, side="right" if right else "left")
    assert found.tolist() == wanted
    for line, answer in zip(EDGES, wanted, strict=True):
        assert tg.bucketize(of(VALUES), of(line), right=right).tolist() == answer


@pytest.mark.every_host
def test_frequencies_of_no_points(device: str) -> None:
    assert tg.fft.rfftfreq(0, device=device).isnan().tolist() == [True]
    assert tg.fft.fftfreq(0, device=device).tolist() == []
    found = tg.fft.rfftfreq(4, 0.0, device=device)
    assert found.isnan().tolist() == [True, False, False]
    assert found[1:].tolist() == [float("inf")] * 2

"""Densities, moments, quantiles, divergences and transforms beside what PyTorch answers."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Iterator
from typing import Any

import tabgrad as tg
from tests.distributions import cases

EXPECTED = json.loads(pathlib.Path(__file__).with_name("expected.json").read_text())
RIGHT = {"Weibull.mode": [0.0, 3.125**0.5], "Kumaraswamy.mode": [math.nan, (1.5 / 6.5) ** 0.4]}
"""Where PyTorch's answer is wrong: a density that falls from 0 on, and one with its top inside."""


def make(data: Any) -> Any:
    return tg.tensor(data, dtype=tg.float64, device="cpu")


def flat(x: Any) -> Iterator[Any]:
    if isinstance(x, list):
        for part in x:
            yield from flat(part)
    else:
        yield x


def near(mine: Any, theirs: Any) -> bool:
    """Return whether both are the same numbers, in lists of the same shape."""
    if isinstance(theirs, list) != isinstance(mine, list) or mine is None:
        return False
    if isinstance(theirs, list) and [len(r) for r in theirs if isinstance(r, list)] != [
        len(r) for r in mine if isinstance(r, list)
    ]:
        return False
    one, other = list(flat(mine)), list(flat(theirs))
    return len(one) == len(other) and all(
        a == b
        or (math.isnan(a) and math.isnan(b))
        or math.isclose(a, b, rel_tol=1e-7, abs_tol=1e-9)
        for a, b in zip(one, other, strict=True)
    )


def test_answers_are_pytorchs() -> None:
    tg.set_default_dtype(tg.float64)
    try:
        found = cases.answers(tg.distributions, make)
    finally:
        tg.set_default_dtype(tg.float32)
    assert found.keys() == EXPECTED.keys()
    wrong = [
        f"{name}.{what}: {found[name][what]} for {value}"
        for name, answers in EXPECTED.items()
        for what, value in answers.items()
        if value is not None and not near(found[name][what], RIGHT.get(f"{name}.{what}", value))
    ]
    assert wrong == []

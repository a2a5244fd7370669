"""Formulas of unknown sizes are found from samples, and nothing is taken for one that isn't."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from tabgrad.exporting.formulas import Formula, fitted
from tabgrad.exporting.specs import Dim, sample_sizes

SAMPLES = sample_sizes([Dim("m"), Dim("n")])
NEW = [{"m": 2, "n": 4}, {"m": 100, "n": 7}, {"m": 64, "n": 640}, {"m": 999, "n": 1000}]

FOUND: dict[str, Callable[[int, int], Any]] = {
    "n": lambda m, n: n,
    "12*n": lambda m, n: 12 * n,
    "m*n": lambda m, n: m * n,
    "8*m*n + 3": lambda m, n: 8 * m * n + 3,
    "m*n - n": lambda m, n: (m - 1) * n,
    "m + n": lambda m, n: m + n,
    "m - 2*n + 7": lambda m, n: m - 2 * n + 7,
    "-m": lambda m, n: -m,
    "m*m*n": lambda m, n: m * m * n,
    "n // 2": lambda m, n: n // 2,
    "(n + 1) // 2": lambda m, n: (n + 1) // 2,
    "(n - 3) // 2": lambda m, n: (n - 3) // 2,
    "-n // 4": lambda m, n: -n // 4,
    "m // n": lambda m, n: m // n,
    "1 / n": lambda m, n: 1 / n,
    "1 / (m*n)": lambda m, n: 1 / (m * n),
    "1 / (n - 1)": lambda m, n: 1 / (n - 1),
    "2 / m": lambda m, n: 2 / m,
    "1/2*n": lambda m, n: n / 2,
    "0.1 n / (n - 1)": lambda m, n: 0.1 * n / (n - 1),
    "float n": lambda m, n: float(n),
    "1 / ((n + 1) // 4)": lambda m, n: 1 / ((n + 1) // 4),
}
OTHER: dict[str, Callable[[int, int], Any]] = {
    "bits": lambda m, n: n.bit_length(),
    "decision": lambda m, n: n if n > 12 else 0,
    "square root": lambda m, n: math.sqrt(n),
    "power": lambda m, n: 2**n,
    "remainder": lambda m, n: n % 3,
}


def values(rule: Callable[[int, int], Any], samples: list[dict[str, int]]) -> list[Any]:
    return [rule(s["m"], s["n"]) for s in samples]


@pytest.mark.parametrize("name", FOUND)
def test_a_formula_holds_at_sizes_it_was_not_found_from(name: str) -> None:
    found = fitted(values(FOUND[name], SAMPLES), SAMPLES)
    assert found is not None
    assert [found(s) for s in NEW] == pytest.approx(values(FOUND[name], NEW), rel=1e-12)


@pytest.mark.parametrize("name", OTHER)
def test_what_is_no_formula_is_refused(name: str) -> None:
    assert fitted(values(OTHER[name], SAMPLES), SAMPLES) is None


@pytest.mark.parametrize(
    "text",
    [
        "n",
        "12*n",
        "m*n",
        "m + n",
        "n // 2",
        "(n + 1) // 2",
        "1 / (n - 1)",
        "1/2*n",
        "1 / ((n + 1) // 4)",
    ],
)
def test_formulas_are_written_as_people_write_them(text: str) -> None:
    found = fitted(values(FOUND[text], SAMPLES), SAMPLES)
    assert str(found) == text


def test_a_formula_survives_its_json_form() -> None:
    found = fitted(values(FOUND["(n + 1) // 2"], SAMPLES), SAMPLES)
    assert found is not None
    again = Formula.decoded(found.encoded())
    assert (str(again), again({"m": 1, "n": 10})) == (str(found), 5)


def test_numbers_rounded_to_float32_are_recognised() -> None:
    np = pytest.importorskip("numpy")
    rounded = [float(np.float32(v)) for v in values(FOUND["0.1 n / (n - 1)"], SAMPLES)]
    assert fitted(rounded, SAMPLES) is None
    found = fitted(rounded, SAMPLES, 2e-7)
    assert found is not None
    assert found({"m": 2, "n": 5}) == pytest.approx(0.125, rel=1e-12)


def test_samples_lie_within_the_bounds_and_reach_them() -> None:
    samples = sample_sizes([Dim("n", min=3, max=9), Dim("m")])
    assert {s["n"] for s in samples} >= {3, 9}
    assert all(3 <= s["n"] <= 9 for s in samples)
    assert max(s["m"] for s in samples) > 90
    assert len({(s["n"], s["m"]) for s in samples}) == len(samples)


def test_of_nan_there_is_no_formula() -> None:
    assert fitted([float("nan"), 1.0], [{"n": 3}, {"n": 5}]) is None

"""A long linear recurrence is found in spans: the same numbers as step by step, whatever their range."""

from __future__ import annotations

import numpy as np
import pytest

from tabgrad.ops import scan_numpy
from tests.grouped import grouped

RANGES = {
    "plain": lambda a, random: a,
    "small": lambda a, random: a * 1e-3,
    "large": lambda a, random: a * 30,
    "zeros": lambda a, random: np.where(random.random(a.shape) < 0.3, 0, a),
    "all exponents": lambda a, random: a * np.exp(20 * random.normal(size=a.shape)),
    "not finite": lambda a, random: np.where(random.random(a.shape) < 0.01, np.inf, a),
}
CASES = [
    (kind, which, shape)
    for kind in ("float32", "float64", "complex64", "int32", "uint8")
    for which in RANGES
    for shape in ((256,), (1000,), (777, 2, 3), (300, 0))
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@grouped("kind, which, shape", CASES)
def test_spans_give_what_a_walk_gives(kind: str, which: str, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(len(which))
    whole = np.dtype(kind).kind in "iu"
    draw = (
        (lambda: random.integers(0, 200, shape)) if whole else (lambda: random.normal(size=shape))
    )
    a, b = draw(), draw()
    if not whole:
        a = RANGES[which](a, random)
        a[0] = np.nan  # is not used
    a, b = a.astype(kind), b.astype(kind)
    for terms in (b, np.where(np.arange(len(b)).reshape(-1, *[1] * (b.ndim - 1)), 0, b)):
        terms = terms.astype(kind)
        found, expected = scan_numpy.linear(a, terms), scan_numpy.walked(a, terms)
        assert found.dtype == expected.dtype
        rtol = 1e-4 if found.dtype.itemsize < 8 or kind == "complex64" else 1e-9
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-30)


def test_a_span_whose_product_is_too_small_for_a_number_is_walked() -> None:
    a = np.full(400, 1e-30)
    a[10:20], a[20:30] = 1e-100, 1e100
    b = np.zeros(400)
    b[0], b[399] = 1.0, 5.0
    a[:10] = a[30:] = 1.0
    # the first span multiplies 1 by 1e-1000 on the way, which is lost for good
    assert scan_numpy.linear(a, b).tolist() == scan_numpy.walked(a, b).tolist()
    a[10:20], a[20:30] = 1e-20, 1e20
    assert scan_numpy.linear(a, b)[398] == pytest.approx(1)

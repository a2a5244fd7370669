"""One matrix is factored in fewer calls of NumPy than a batch, with the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from tabgrad.ops import decompositions_numpy as d


def hard(m: int, n: int, dtype: type, seed: int) -> list[np.ndarray]:
    """Return matrices: plain, with a column of zeros, with equal rows, with an infinity and a nan."""
    made = [np.random.default_rng(seed + i).standard_normal((m, n)).astype(dtype) for i in range(5)]
    made[1][:, n // 2] = 0
    made[2][m - 1] = made[2][0]
    made[3][0, 0] = np.inf
    made[4][m // 2, 0] = np.nan
    return made


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
def test_it_has_the_bits_of_a_batch(dtype: type) -> None:
    for n in (1, 2, 6, 17, 40):
        for m in (n, n + 3):
            for x in hard(m, n, dtype, n):
                with np.errstate(all="ignore"):
                    one, several = d.lu(x), d.lu(np.stack([x, x]))
                for a, b in zip(one, several, strict=True):
                    np.testing.assert_array_equal(a, b[0])
                    np.testing.assert_array_equal(a, b[1])
                rows = d.permutation(several[1], m)
                np.testing.assert_array_equal(d.permutation(one[1], m), rows[0])


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("upper", [False, True])
def test_triangles_are_taken_whatever_the_order_in_memory(upper: bool, unit: bool) -> None:
    rng = np.random.default_rng(1)
    for n in (1, 5, d.SMALL + 3):
        a = rng.standard_normal((n, n)) / n + 3 * np.eye(n)
        b = rng.standard_normal((n, 2))
        t = np.triu(a) if upper else np.tril(a)
        if unit:
            np.fill_diagonal(t, 1)
        other = np.where(np.triu(a) == a if upper else np.tril(a) == a, a, np.nan)
        for given in (a, np.asfortranarray(a), other):
            found = d.triangular_solve(given, b, upper, unit)
            np.testing.assert_allclose(t @ found, b, rtol=1e-9, atol=1e-9)

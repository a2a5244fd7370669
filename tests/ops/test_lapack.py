"""SciPy's LAPACK and NumPy alone give the same factors: of batches, of any shape, of what can't be factored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tabgrad.ops import decompositions_numpy as numpy_, lapack
from tests.grouped import grouped

KINDS = ("float32", "float64", "complex64", "complex128")
SHAPES = ((40, 40), (3, 33, 33), (2, 2, 20, 35), (50, 17))


def drawn(kind: str, shape: tuple[int, ...]) -> Any:
    random = np.random.default_rng(sum(shape))
    x = random.normal(size=shape) + (1j * random.normal(size=shape) if kind[0] == "c" else 0)
    return x.astype(kind)


def both(monkeypatch: pytest.MonkeyPatch, run: Any) -> tuple[Any, Any]:
    pytest.importorskip("scipy")
    monkeypatch.setattr(lapack, "WORTH", 0)
    called: list[str] = []
    module = lapack._module
    monkeypatch.setattr(lapack, "_module", lambda name: called.append(name) or module(name))
    with np.errstate(all="ignore"):
        found = run()
        assert called
        monkeypatch.setattr(lapack, "WORTH", 1 << 62)
        return found, run()


def agree(pairs: Any, kind: str) -> None:
    tolerance = 1e-3 if kind in ("float32", "complex64") else 1e-9
    for one, other in zip(*pairs, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@grouped("kind, shape", [(kind, shape) for kind in KINDS for shape in SHAPES])
def test_factors_agree(kind: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    x = drawn(kind, shape)
    agree(both(monkeypatch, lambda: numpy_.lu(x)), kind)
    if shape[-1] != shape[-2]:
        return
    definite = x @ np.swapaxes(x.conj(), -1, -2) + np.eye(shape[-1], dtype=kind)
    agree(both(monkeypatch, lambda: numpy_.cholesky(definite)), kind)
    b = drawn(kind, (*shape[:-1], 3))
    a = x + 10 * np.eye(shape[-1], dtype=kind)
    for upper in (False, True):
        for unit in (False, True):
            scale = a / 50 if unit else a
            run = lambda u=upper, one=unit, s=scale: [numpy_.triangular_solve(s, b, u, one)]  # noqa: E731
            agree(both(monkeypatch, run), kind)


def test_what_fails_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    singular = drawn("float64", (3, 12, 12))
    singular[1, :, 4] = singular[1, :, 2]
    singular[2, 5] = 0
    singular[0, 3, 3] = np.nan
    found, expected = both(monkeypatch, lambda: numpy_.lu(singular[1:]))
    assert found[2].tolist() == expected[2].tolist() or expected[2][0] == 0
    (_, _, one), (_, _, other) = both(monkeypatch, lambda: numpy_.lu(singular[:1]))
    assert one.tolist() == other.tolist()
    bad = np.eye(12)[None].repeat(3, 0)
    bad[0, 7, 7], bad[2, 4, 4] = -1, np.inf
    agree(both(monkeypatch, lambda: numpy_.cholesky(bad)), "float64")
    zero = np.triu(drawn("float64", (9, 9)))
    zero[4, 4] = 0
    right = np.ones((9, 2))
    found, expected = both(
        monkeypatch, lambda: numpy_.triangular_solve(zero, right, upper=True, unit=False)
    )
    assert np.isfinite(found).tolist() == np.isfinite(expected).tolist()

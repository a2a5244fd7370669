"""One small matrix without derivatives: LAPACK at once, beside the ops that solve all others."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tests.grouped import grouped


def given(n: int, dtype: Any) -> tuple[Any, Any]:
    """Return a matrix that is not symmetric, and one that is not square."""
    tg.manual_seed(n)
    return tg.randn(n, n, dtype=dtype, device="cpu"), tg.randn(n, 3, dtype=dtype, device="cpu")


@grouped("n, dtype", [(n, d) for n in (1, 2, 5, 64, 65) for d in (tg.float32, tg.float64)])
def test_it_agrees_with_the_ops(n: int, dtype: Any) -> None:
    a, b = given(n, dtype)
    for right in (b, b[:, 0], b[:, 1].clone()):
        found = tg.linalg.solve(a, right)
        want = tg.linalg.solve(a.clone().requires_grad_(), right)
        assert found.dtype is dtype
        assert found.shape == right.shape
        assert tg.allclose(
            found, want.detach(), rtol=1e-2 if dtype is tg.float32 else 1e-9, atol=1e-4
        )
    one = tg.eye(n, dtype=dtype, device="cpu")
    assert tg.allclose(tg.linalg.inv(a) @ a, one, atol=1e-3)
    assert tg.allclose(tg.linalg.inv(a.T) @ a.T, one, atol=1e-3)


def test_what_it_refuses() -> None:
    zero, a = tg.zeros(2, 2, device="cpu"), tg.eye(2, device="cpu")
    for call in (lambda: tg.linalg.inv(zero), lambda: tg.linalg.solve(zero, a)):
        with pytest.raises(tg.linalg.LinAlgError, match="singular"):
            call()
    with pytest.raises(RuntimeError, match="Incompatible shapes"):
        tg.linalg.solve(a, tg.ones(3, device="cpu"))
    with pytest.raises(RuntimeError):
        tg.linalg.inv(tg.eye(2, dtype=tg.int64, device="cpu"))
    assert tg.linalg.inv(a * tg.nan).isnan().all()


def test_derivatives_come_from_the_ops() -> None:
    a, b = given(4, tg.float64)
    assert tg.autograd.gradcheck(tg.linalg.solve, (a.requires_grad_(), b.requires_grad_()))
    assert tg.func.vmap(tg.linalg.inv)(a.detach().expand(3, 4, 4)).shape == (3, 4, 4)

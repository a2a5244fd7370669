"""Sums of many numbers keep their digits, along any axis and in any layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tabgrad as tg

pytestmark = pytest.mark.every_host
N = 1 << 18
SUMS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: x.sum(),
    "mean": lambda x: x.mean() * N,
    "of columns": lambda x: x.reshape(-1, 2).sum(0).sum(),
    "of columns of a transpose": lambda x: x.reshape(2, -1).T.sum(0).sum(),
    "of rows of a transpose": lambda x: x.reshape(-1, 2).T.sum(1).sum(),
    "over outer and inner axes": lambda x: x.reshape(-1, 2, 4).sum((0, 2)).sum(),
    "of every second": lambda x: tg.stack([x, x], 1)[:, 1].sum(),
    "backwards": lambda x: x.flip(0).sum(),
    "cumsum": lambda x: x.cumsum(0)[-1],
    "cumsum of columns": lambda x: x.reshape(-1, 2).cumsum(0)[-1].sum(),
    "logcumsumexp": lambda x: x.log().logcumsumexp(0)[-1].exp(),
    "logsumexp": lambda x: x.log().reshape(-1, 1).logsumexp(0).exp(),
    "dot": lambda x: x.dot(tg.ones_like(x)),
    "matmul": lambda x: (tg.stack([x, x]) @ tg.ones_like(x)).sum() / 2,
    "norm": lambda x: x.sqrt().reshape(-1, 1).norm(dim=0) ** 2,
    "var": lambda x: ((x * 1e3).reshape(-1, 1).var(0) / 1e6 + x.mean() ** 2) * N,
    "of a broadcast": lambda x: tg.autograd.grad(
        (x * (w := tg.ones(1, device=x.device, requires_grad=True))).sum(), w
    )[0],
}


@pytest.mark.parametrize("name", SUMS)
def test_a_long_sum_is_right_to_five_digits(name: str, device: str) -> None:
    values = np.random.default_rng(3).random(N).astype("float32") * 1e-2 + 0.1
    want = values.astype("float64")
    expected = (want.var(ddof=1) + want.mean() ** 2) * N if name == "var" else want.sum()
    got = SUMS[name](tg.tensor(values, device=device)).item()
    assert got == pytest.approx(expected, rel=3e-6 if device == "cpu" else 2e-5)

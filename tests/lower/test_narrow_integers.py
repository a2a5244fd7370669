"""Results of 8 and 16 bits wrap round, also where a kernel computes in 32 bits and goes on with the result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.ops import reduction, scan
from tests.grouped import grouped

pytestmark = pytest.mark.every_host

DTYPES = ("int8", "int16", "uint8", "uint16")
PRODUCTS = (
    (1, 1, 1, 5),
    (1, 1, 9, 7),
    (1, 9, 1, 7),
    (1, 20, 20, 9),
    (3, 1, 1, 7),
    (2, 1, 9, 300),
    (1, 3, 4, 1),
)
"""Batch, rows, columns and inner size: a sum of products, a row, a column, tiles, batches, a long sum."""


def _drawn(kind: str, *shape: int) -> Any:
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    return np.random.default_rng(0).integers(low, high + 1, shape)


def _check(kind: str, found: Any, wanted: Any) -> None:
    """Compare a result, and what a kernel that goes on with it makes of it, with exact integers wrapped."""
    wrapped = wanted.astype(kind)
    assert found.dtype is getattr(tg, kind)
    positive = found > 0
    assert positive.tolist() == (wrapped > 0).tolist()
    assert found.tolist() == wrapped.tolist()


@grouped("kind, sizes", [(k, s) for k in DTYPES for s in PRODUCTS])
def test_products(kind: str, sizes: tuple[int, ...], device: str) -> None:
    batch, rows, columns, inner = sizes
    x, y = _drawn(kind, batch, rows, inner), _drawn(kind, batch, inner, columns)
    if batch == 1:
        x, y = x[0], y[0]
    given = [tg.tensor(a.tolist(), dtype=getattr(tg, kind), device=device) for a in (x, y)]
    _check(kind, given[0] @ given[1], x @ y)
    assert (given[0] @ given[1] > 0).tolist() == ((x @ y).astype(kind) > 0).tolist()


@grouped("kind, length", [(k, n) for k in DTYPES for n in (3, 100, 2000)])
def test_reductions_and_scans(kind: str, length: int, device: str) -> None:
    exact = _drawn(kind, length, 3)
    x = tg.tensor(exact.tolist(), dtype=getattr(tg, kind), device=device)
    for axis in (0, 1):
        _check(kind, reduction.reduce_sum.bind(x, axes=(axis,)), exact.sum(axis))
        _check(kind, reduction.reduce_prod.bind(x, axes=(axis,)), exact.prod(axis))
        _check(kind, scan.cumsum.bind(x, axis=axis, reverse=False), exact.cumsum(axis))
    _check(kind, tg.dot(x[:, 0], x[:, 1]), np.dot(exact[:, 0], exact[:, 1]))
    _check(kind, tg.einsum("ik,ik->i", x, x), (exact * exact).sum(1))
    weight = tg.tensor(exact[:3, None].tolist(), dtype=x.dtype, device=device)
    convolved = tg.nn.functional.conv1d(x.T[None, :1], weight[:1, :, :2])
    wanted = exact[:-1, 0] * exact[0, 0] + exact[1:, 0] * exact[0, 1]
    _check(kind, convolved[0, 0], wanted)

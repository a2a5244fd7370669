"""Rows and products longer than a thread may walk: an adapter ends a thread's loops after 65,535 turns."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg

FAR = 16785407
"""A prime beyond 256 * 65,535: it has no equal parts."""

ROWS = {
    "i.max()": FAR - 1,
    "(-i).min()": 1 - FAR,
    "i.argmax()": FAR - 1,
    "(-i).argmin()": FAR - 1,
    "last.sum()": 1,
    "last.any()": True,
    "last.logical_not().all()": False,
    "(last + 1).prod()": 2,
    "last.float().max(0).indices": FAR - 1,
    "last.expand(2, FAR).sum(1)": [1, 1],
    "tg.where(last, float('nan'), 0.0).argmax()": FAR - 1,
    "tg.nn.functional.max_pool1d(last.float()[None, None], FAR).sum()": 1.0,
    "tg.softmax(last * 40.0, 0)[-1].round()": 1.0,
    "(last.float() * FAR).mean().round()": 1.0,
    "last.float().norm()": 1.0,
    "tg.ones(FAR, dtype=tg.int32).cumsum(0)[-1]": FAR,
}


@pytest.mark.one_host("wgpu")
@pytest.mark.parametrize("code", ROWS)
def test_a_row_keeps_its_tail(code: str) -> None:
    i = tg.arange(FAR, dtype=tg.int32)
    assert eval(code, {"i": i, "last": i == FAR - 1, "tg": tg, "FAR": FAR}).tolist() == ROWS[code]


@pytest.mark.one_host("wgpu")
@pytest.mark.parametrize("sizes", [(8, 8), (130, 130)])
def test_a_product_keeps_its_tail(sizes: tuple[int, int]) -> None:
    m, n, k = *sizes, 300007

    def last(dtype: Any) -> Any:
        return (tg.arange(k) == k - 1).to(dtype)[:, None].expand(k, n)

    assert (tg.ones(m, k) @ last(tg.float32)).eq(1).all().item()
    assert (tg.ones(m, k, dtype=tg.int32) @ last(tg.int32)).eq(1).all().item()

"""Scatters into targets of many elements, which one kernel copies and another places elements in."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tests.grouped import grouped

CASES = {
    "a table": ((3001, 13), 517, 0),
    "lines": ((13, 3001), 517, 1),
    "a middle axis": ((3, 1201, 11), 100, 1),
    "one line": ((40001,), 1025, 0),
    "more than its size": ((40, 1000), 2100, 1),
    "a line that takes two dispatches": ((2, 40000), 66000, 1),
}
INDICES: Any = {
    "spread": lambda index, size: index % size,
    "one place": lambda index, size: index * 0 + size - 1,
    "few places": lambda index, size: index % 3,
}


@pytest.mark.every_host
@grouped("case", [(c, i) for c in CASES for i in INDICES], ids=str, sampled=1)
def test_elements_are_placed_in_order(case: tuple[str, str], device: tg.device) -> None:
    shape, count, dim = CASES[case[0]]
    given = (*shape[:dim], count, *shape[dim + 1 :])
    size = tg.Size(given).numel()
    steps = tg.arange(size, dtype=tg.int32, device="cpu").reshape(given)
    index = INDICES[case[1]](steps * 7919 % 65521, shape[dim])
    target = tg.arange(tg.Size(shape).numel(), dtype=tg.int32, device="cpu").reshape(shape)
    for name in ("scatter", "scatter_add"):
        want = getattr(target, name)(dim, index.long(), steps)
        here = getattr(target.to(device), name)(dim, index.to(device), steps.to(device))
        assert tg.equal(here.cpu(), want), name
    floats = (steps % 1021).float().sqrt()
    want = target.float().scatter_add(dim, index.long(), floats)
    here = target.float().to(device).scatter_add(dim, index.to(device), floats.to(device))
    assert tg.equal(here.cpu(), want)

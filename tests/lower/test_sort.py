"""Sorts of long lines: how many dispatches they take, and that their order is that of short ones."""

from __future__ import annotations

import numpy as np
import pytest

import tabgrad as tg
from tests.grouped import grouped
from tests.lower import recorder

# (shape, axis, dtype): dispatches on a processor, and on a GPU
COUNTS = {
    ((100_000,), 0, "float32"): (12, 24),
    ((1_000_000,), 0, "float32"): (12, 24),
    ((1_000_000,), 0, "int16"): (6, 12),
    ((1_000_000,), 0, "uint8"): (3, 6),
    ((1_000_000,), 0, "bool"): (3, 3),
    ((1000, 1000), 1, "float32"): (1, 3),
    ((1000, 1000), 0, "int32"): (1, 3),
    ((5000,), 0, "float32"): (1, 15),
    ((500,), 0, "float32"): (1, 1),
    ((1000, 200), 1, "float32"): (1, 1),
}


@grouped("case", list(COUNTS), ids=str)
def test_dispatches_do_not_grow_with_the_length(case: tuple[tuple[int, ...], int, str]) -> None:
    shape, axis, dtype = case
    found = []
    for software in (True, False):
        where = recorder.device()
        where.backend.limits.software = software  # type: ignore[attr-defined]
        x = tg.zeros(shape, dtype=getattr(tg, dtype), device=where).argsort(dim=axis)
        where.backend.compute_all([x.value.id])  # type: ignore[attr-defined]
        kernels = recorder.last_plan(where).kernels
        found.append(sum("argsort" in k.ops for k in kernels))
    assert tuple(found) == COUNTS[case]


def drawn(dtype: str, count: int) -> np.ndarray:
    """Numbers with ties, the extremes of their dtype, and nan where it has one."""
    rng = np.random.default_rng(count)
    if dtype == "bool":
        return rng.random(count) > 0.5
    if dtype.startswith("float"):
        x = np.round(rng.standard_normal(count) * 30).astype(dtype)
        for step, special in ((7, np.nan), (11, -0.0), (13, np.inf), (17, -np.inf), (19, 1e-7)):
            x[::step] = special
        return x
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max, count, dtype, endpoint=True)
    x[::5] = x[0]
    x[1::9], x[2::9] = info.min, info.max
    return x


LINES: list[tuple[str, tuple[int, ...], int, bool]] = [
    ("float32", (40000,), 0, False), ("float32", (12, 1000), 1, True), ("float32", (1000, 12), 0, False),
    ("float16", (9000,), 0, True), ("int32", (40000,), 0, True), ("int16", (40000,), 0, True),
    ("int8", (40000,), 0, False), ("uint8", (3, 9000), 1, True), ("bool", (40000,), 0, True),
]  # fmt: skip


@pytest.mark.one_host("wgpu")
@grouped("case", LINES, ids=str)
@pytest.mark.parametrize("software", [True, False])
def test_long_lines_are_sorted_stably(
    case: tuple[str, tuple[int, ...], int, bool], software: bool
) -> None:
    dtype, shape, axis, down = case
    x = tg.tensor(drawn(dtype, tg.Size(shape).numel()).reshape(shape), device="cpu")
    want = x.argsort(dim=axis, descending=down, stable=True)
    where = tg.device("webgpu")
    backend = where.backend  # type: ignore[attr-defined]
    kept = backend.limits.software
    backend.limits.software = software
    try:
        backend.plans.clear()
        here = x.to(where).argsort(dim=axis, descending=down, stable=True).cpu()
    finally:
        backend.limits.software = kept
        backend.plans.clear()
    assert tg.equal(here, want)

"""Scatters into targets of many elements, which one kernel copies and another places elements in."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tests.grouped import grouped
from tests.hosts.nvrtc import compile_cuda
from tests.lower import recorder

CASES = {
    "a table": ((3001, 13), 517, 0),
    "lines": ((13, 3001), 517, 1),
    "lines side by side": ((1201, 36), 130, 0),
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


@pytest.mark.one_host("wgpu")
@grouped(
    "case", [(c, i) for c in ("a table", "one line", "a middle axis") for i in INDICES], ids=str
)
def test_a_gpu_has_a_thread_for_each_element(case: tuple[str, str]) -> None:
    where = tg.device("webgpu")
    backend = where.backend  # type: ignore[attr-defined]
    kept = backend.limits.software
    backend.limits.software = False
    backend.plans.clear()
    try:
        placed_alike(case, where)
    finally:
        backend.limits.software = kept
        backend.plans.clear()


def placed_alike(case: tuple[str, str], device: tg.device) -> None:
    shape, count, dim = CASES[case[0]]
    given = (*shape[:dim], count, *shape[dim + 1 :])
    steps = tg.arange(tg.Size(given).numel(), dtype=tg.int32, device="cpu").reshape(given)
    row = (tg.arange(count, dtype=tg.int32, device="cpu") * 7919 % 65521).reshape(
        [-1 if k == dim else 1 for k in range(len(shape))]
    )
    target = tg.arange(tg.Size(shape).numel(), dtype=tg.int32, device="cpu").reshape(shape)
    for own in (True, False):
        given_row = steps * 7919 % 65521 if own else row
        index = INDICES[case[1]](given_row, shape[dim])
        here = index.to(device).expand(given)
        for dtype in (tg.int32, tg.float32, tg.float16, tg.int8):
            x, y = ((t % 1021).to(dtype) for t in (target, steps))
            for name in ("scatter", "scatter_add"):
                want = getattr(x, name)(dim, index.expand(given).long(), y)
                got = getattr(x.to(device), name)(dim, here, y.to(device)).cpu()
                if dtype is tg.float16:  # here sums are rounded once
                    assert tg.allclose(got.float(), want.float(), rtol=1e-2), (name, own)
                else:
                    assert tg.equal(got, want), (name, dtype, own)


# what is made: dispatches on a processor, and on a GPU
COUNTS = {
    "counts of a million": ((100,), 1_000_000, "int32", (2, 2)),
    "sums of a million": ((100,), 1_000_000, "float32", (17, 8)),
    "sums of thousands": ((20000,), 4096, "float32", (1, 3)),
    "rows of a table": ((20000, 64), 4096, "float32", (2, 3)),
    "a few": ((100,), 100, "float32", (1, 1)),
    "many lines": ((100, 9000), 500, "float32", (1, 1)),
}


@pytest.mark.parametrize("name", COUNTS)
def test_dispatches(name: str) -> None:
    shape, count, dtype, want = COUNTS[name]
    found = []
    for software in (True, False):
        where = recorder.device()
        where.backend.limits.software = software  # type: ignore[attr-defined]
        made = [
            tg.zeros(s, dtype=getattr(tg, dtype), device=where)
            for s in (shape, (count, *shape[1:]))
        ]
        index = tg.zeros(count, dtype=tg.int32, device=where)
        for t in (*made, index):
            where.backend.compute_all([t.value.id])  # type: ignore[attr-defined]
        index = index.reshape([count] + [1] * (len(shape) - 1)).expand(made[1].shape)
        y = made[0].scatter_add(0, index, made[1] * 2)
        where.backend.compute_all([y.value.id])  # type: ignore[attr-defined]
        kernels = recorder.last_plan(where).kernels
        found.append(len(kernels))
        if name == "rows of a table" and software:
            # a thread takes four of the 64 lines, and reads each index once for them
            assert [k.work.count for k in kernels] == [20000 * 64, 16]
            loads, stores = (kernels[1].source.count(t) for t in (" = b0[s]", "] = ("))
            assert stores == 4 * loads > 0
    assert tuple(found) == want


@pytest.mark.nvrtc
@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64"])
def test_counts_on_cuda_compile(dtype: str) -> None:
    where = recorder.device("cuda")
    target, source = (tg.zeros(n, dtype=getattr(tg, dtype), device=where) for n in (100, 5000))
    index = tg.zeros(5000, dtype=tg.int64, device=where)
    for t in (target, source, index):
        where.backend.compute_all([t.value.id])  # type: ignore[attr-defined]
    y = target.scatter_add(0, index, source)
    where.backend.compute_all([y.value.id])  # type: ignore[attr-defined]
    kernels = recorder.last_plan(where).kernels
    assert ["atomicAdd" in k.source for k in kernels] == [False, True]
    assert compile_cuda(kernels[1].source, {"WX": 64})

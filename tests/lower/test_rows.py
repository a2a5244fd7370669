"""Reductions of rows: turns of a loop that are written several times, and the places of extremes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tests.grouped import grouped
from tests.lower import recorder

LENGTHS = (*range(1, 10), 15, 16, 17, 31, 100, 1031)
"""Below, at and above the copies of a loop's body, and with each number of turns left over."""
NAN, INF = float("nan"), float("inf")
SPECIAL = (
    [NAN, 1.0], [1.0, NAN], [1.0, NAN, NAN, 2.0], [-INF, -INF], [-INF, NAN], [INF, NAN, INF], [0.0, -0.0],
    [-0.0, 0.0], [2.0, 1.0, 2.0], [1.0, 2.0, 2.0], [NAN] * 11, [-INF] * 11, [*range(9), NAN], [3.0] * 17,
    [-NAN, 5.0], [1.0, -INF, 1.0, -INF],
)  # fmt: skip


def reduced(x: Any) -> dict[str, Any]:
    """Reduce the rows of `x` in all ways that its dtype has."""
    names = ["amax", "amin", "sum", "prod", "any", "all"]
    if x.dtype is not tg.bool:
        names += ["argmax", "argmin"]
    if x.dtype.is_floating_point:
        names += ["mean", "logsumexp"]
    found = {name: getattr(x, name)(1) for name in names}
    found["max"], found["where"] = x.max(1)
    return found


@pytest.mark.every_host
@grouped("length", LENGTHS, sampled=2)
def test_rows_of_every_length(length: int, device: tg.device) -> None:
    rng = np.random.default_rng(length)
    for dtype in (tg.float32, tg.int32, tg.bool):
        data = rng.integers(0, 2 if dtype is tg.bool else 4, (5, length))
        here = reduced(tg.tensor(data, device=device).to(dtype))
        for name, want in reduced(tg.tensor(data, device="cpu").to(dtype)).items():
            tg.testing.assert_close(here[name].cpu(), want, rtol=1e-5, atol=1e-5, check_dtype=False)


@pytest.mark.every_host
def test_nans_and_ties_of_extremes(device: tg.device) -> None:
    length = max(map(len, SPECIAL))
    rows = [[*row, *[row[-1]] * (length - len(row))] for row in SPECIAL]
    x = tg.tensor(rows, device=device)
    for dim, array in ((1, x), (0, x.mT.contiguous())):
        for name in ("argmax", "argmin"):
            want = getattr(np, name)(np.array(rows, np.float32), 1)
            assert getattr(array, name)(dim).tolist() == want.tolist(), name
        for name in ("amax", "amin"):
            want = getattr(np, name)(np.array(rows, np.float32), 1)
            assert np.array_equal(getattr(array, name)(dim).cpu().numpy(), want, equal_nan=True)


def test_turns_of_a_software_adapter_are_written_several_times() -> None:
    device = recorder.device()
    x = tg.rand(100, 1000, device=device)
    device.backend.flush()
    (kernel,) = tg.compiler.explain(x.sum(1)).kernels
    assert kernel.source.count("v0 = v0 + v1;") == 8
    x = tg.rand(100, 1003, device=device)
    device.backend.flush()
    (kernel,) = tg.compiler.explain(x.sum(1)).kernels
    assert kernel.source.count("v0 = v0 + v1;") == 9
    assert kernel.source.count("for (") == 2
    x = tg.rand(100, 5, device=device)
    device.backend.flush()
    (kernel,) = tg.compiler.explain(x.sum(1)).kernels
    assert kernel.source.count("v0 = v0 + v1;") == 5
    assert "for (" not in kernel.source


def test_other_threads_turn_one_by_one() -> None:
    device = recorder.device("cuda")
    device.backend.limits.software = False
    x = tg.rand(100, 1000, device=device)
    device.backend.flush()
    (kernel,) = tg.compiler.explain(x.sum(1)).kernels
    assert kernel.source.count("r += ") == 1


def parts(x: Any) -> tuple[Any, ...]:
    """Give what several loops over rows compute: of each its own results, and all that is stored of them."""
    e = tg.exp(x - x.amax(1, keepdim=True))
    total = e.sum(1, keepdim=True)
    part = e / total
    return e, total, part, part - part.square().sum(1, keepdim=True), x.amax(1)


@pytest.mark.every_host
@grouped("length", LENGTHS, sampled=2)
def test_all_that_loops_over_rows_compute_is_stored(length: int, device: tg.device) -> None:
    data = np.random.default_rng(length).normal(size=(40, length))
    here = parts(tg.tensor(data, dtype=tg.float32, device=device))
    for got, want in zip(here, parts(tg.tensor(data, device="cpu")), strict=True):
        tg.testing.assert_close(got.cpu().double(), want, rtol=2e-5, atol=1e-6)


def test_the_loop_that_computes_a_value_stores_it() -> None:
    """A later loop reads it again on a software adapter, where that is cheaper than to compute it."""
    for software in (True, False):
        device = recorder.device()
        device.backend.limits.software = software
        x = tg.rand(100, 24, device=device)
        device.backend.flush()
        kept = parts(x)
        device.backend.flush()
        (kernel,) = recorder.last_plan(device).kernels
        copies = 8 if software else 1
        body = kernel.source[kernel.source.index("fn main") :]
        assert body.count("exp_f32(") == (copies if software else 3), kernel.source
        assert len(kept) == 5

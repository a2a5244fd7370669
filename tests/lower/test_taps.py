"""Gradients of windows go over the taps that reach an element, and over no others."""

from __future__ import annotations

import re
from typing import Any

import pytest

import tabgrad as tg
import tabgrad.nn.functional as F
from tests.grouped import grouped
from tests.lower import recorder

# shape, kernel, dilation, padding, stride: turns of the loop of the gradient, 0 where there is none
WINDOWS = {
    ((2, 3, 16, 18), 3, 1, 1, 1): 9,
    ((2, 3, 16, 18), 3, 1, 1, 2): 4,
    ((2, 3, 17, 19), 5, 1, 2, 3): 4,
    ((2, 3, 16, 18), 2, 1, 0, 2): 0,
    ((2, 3, 16, 18), 2, 1, 0, 3): 0,
    ((2, 3, 16, 18), (4, 2), 1, 1, (2, 1)): 4,
    ((2, 3, 16, 18), 3, 2, 1, 2): 9,
    ((2, 3, 17, 18), (3, 4), (2, 1), 1, 2): 6,
    ((2, 3, 16, 18), (1, 9), 1, 0, (4, 4)): 3,
}


@grouped("case", list(WINDOWS), ids=str)
def test_the_loop_is_no_longer_than_the_taps_that_count(case: tuple[Any, ...]) -> None:
    shape, *how = case
    where = recorder.device()
    where.backend.limits.software = False  # type: ignore[attr-defined]
    x = tg.ones(shape, device=where).requires_grad_()
    given = tg.ones(F.unfold(tg.ones(shape, device="cpu"), *how).shape, device=where)
    for t in (x, given):
        where.backend.compute_all([t.value.id])  # type: ignore[attr-defined]
    F.unfold(x, *how).backward(given)
    assert x.grad is not None
    where.backend.compute_all([x.grad.value.id])  # type: ignore[attr-defined]
    text = "".join(k.source for k in recorder.last_plan(where).kernels)
    assert [int(n) for n in re.findall(r"; r < (\d+)u;", text)] == [WINDOWS[case]] * bool(
        WINDOWS[case]
    )


@pytest.mark.every_host
@grouped("case", list(WINDOWS), ids=str, sampled=3)
def test_gradients_and_sums_of_windows(case: tuple[Any, ...], device: tg.device) -> None:
    shape, *how = case
    x = tg.arange(tg.Size(shape).numel(), device="cpu").reshape(shape) % 11 - 5.0
    columns = F.unfold(x, *how)
    weights = tg.arange(columns.numel(), device="cpu").reshape(columns.shape) % 7 - 3.0
    here = x.to(device).requires_grad_()
    F.unfold(here, *how).backward(weights.to(device))
    found = F.fold(weights.to(device), shape[2:], *how)
    assert here.grad is not None
    # by the definition: each element of a window is added where it lies
    places = F.unfold(tg.arange(x.numel(), device="cpu").reshape(shape).float(), *how).long()
    none = F.unfold(tg.ones(shape, device="cpu"), *how) == 0
    flat = tg.zeros(x.numel() + 1, device="cpu")
    want = flat.index_add(0, places.masked_fill(none, x.numel()).reshape(-1), weights.reshape(-1))
    want = want[:-1].reshape(shape)
    assert tg.equal(here.grad.cpu(), want)
    assert tg.equal(found.cpu(), want)

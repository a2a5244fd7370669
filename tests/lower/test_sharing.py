"""Temporaries of one kernel that lie in one buffer, because a kernel would bind too many otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.lower import sharing
from tests.lower import recorder
from tests.lower.test_fusion import kernels, randoms

COUNT = 9


def program(x: Any) -> Any:
    """Read nine values, stored by one kernel, again after another that reads their sum."""
    parts = [tg.exp(x[i] * x[0]).tanh() for i in range(COUNT)]
    total = tg.cumsum(sum(p.abs() for p in parts), 1)
    return sum(p * total for p in parts)


def test_one_buffer_holds_what_one_kernel_leaves_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = recorder.device()
    x = randoms(device, COUNT, 5, 300)
    few = kernels(device, lambda: program(x))
    made = recorder.last_plan(device)
    assert any(n > 4 * 5 * 300 * 2 for n in made.nbytes[made.inputs :]), made
    monkeypatch.setattr(sharing, "MOST", 0)
    x = randoms(device, COUNT, 5, 301)
    assert kernels(device, lambda: program(x)) > few


@pytest.mark.every_host
def test_values_beside_those_in_buffers_of_their_own(
    device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(3).uniform(-1, 1, (COUNT, 5, 37)).astype("f")
    want = program(tg.tensor(draw)).numpy()
    for most in (1 << 20, 0):
        monkeypatch.setattr(sharing, "MOST", most)
        found = program(tg.tensor(draw, device=device))
        np.testing.assert_allclose(found.cpu().numpy(), want, rtol=1e-5, atol=1e-5)

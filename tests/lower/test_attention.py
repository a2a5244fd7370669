"""Attention in one kernel: its values beside NumPy's, when it is used, and how many dispatches it takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.core.op import REGISTRY
from tabgrad.nn import functional as F
from tabgrad.nn.functional import attention as where_it_is_used
from tests.lower import recorder

SHAPES = [
    # batch axes, L, S, E, D
    ((), 3, 5, 4, 2),
    ((2, 3), 19, 21, 6, 5),
    ((1,), 64, 64, 64, 64),
    ((2,), 33, 70, 128, 100),
    ((2,), 1, 9, 1, 1),
    ((70, 2), 17, 40, 16, 24),
    ((1,), 5, 0, 4, 4),
    ((1,), 7, 9, 130, 4),
]


@pytest.mark.every_host
def test_values(device: str) -> None:
    attention = REGISTRY["attention"]
    rng = np.random.default_rng(0)
    for lead, rows, length, depth, width in SHAPES:
        shapes = ((rows, depth), (length, depth), (length, width), (rows, length))
        q, k, v, mask = (rng.normal(size=(*lead, *s)).astype("float32") for s in shapes)
        mask[mask > 0.5] = -np.inf
        mask[..., 0, :] = -np.inf
        for causal in (False, True):
            for masks in ((), (mask,)):
                wide = (x.astype("float64") for x in (q, k, v, *masks))
                want = attention.fn(*wide, causal=causal, scale=0.3)
                given = (tg.tensor(x, device=device) for x in (q, k, v, *masks))
                got = attention.bind(*given, causal=causal, scale=0.3)
                np.testing.assert_allclose(
                    got.numpy(), want, rtol=1e-5, atol=1e-5, err_msg=f"{lead} {rows} {causal}"
                )


def test_numpy_takes_its_definition() -> None:
    rng = np.random.default_rng(1)
    q, k, v = (rng.normal(size=s) for s in ((2, 3), (4, 3), (4, 5)))
    scores = np.exp(0.5 * q @ k.T)
    want = scores / scores.sum(-1, keepdims=True) @ v
    got = REGISTRY["attention"].fn(q, k, v, causal=False, scale=0.5)
    np.testing.assert_allclose(got, want)


def gpu() -> Any:
    """Return a device that only records, with a GPU of its own as far as lowering can see."""
    where = recorder.device()
    where.backend.limits.software = False
    return where


def dispatches(where: Any, compute: Any) -> int:
    where.backend.flush()
    before = where.backend.counters.dispatches
    kept = compute()
    where.backend.flush()
    assert kept is not None
    return int(where.backend.counters.dispatches - before)


def test_a_gpu_stores_no_scores() -> None:
    where = gpu()
    q = tg.ones(2, 8, 300, 32, device=where)
    k, v = (tg.ones(2, 2, 400, 32, device=where) for _ in range(2))
    seen = tg.ones(300, 400, dtype=tg.bool, device=where)
    calls = {
        "plain": lambda: F.scaled_dot_product_attention(q, q, q),
        "causal": lambda: F.scaled_dot_product_attention(q, q, q, is_causal=True),
        "grouped, masked": lambda: F.scaled_dot_product_attention(q, k, v, seen, enable_gqa=True),
        "mask added": lambda: F.scaled_dot_product_attention(q, q, q, q[..., :1]),
    }
    for name, call in calls.items():
        assert dispatches(where, call) == 1, name
        assert not recorder.last_plan(where).temporaries, name


def test_scores_are_stored_for_a_gradient_unless_they_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where = gpu()
    q = tg.ones(2, 30, 8, device=where, requires_grad=True)
    assert dispatches(where, lambda: F.scaled_dot_product_attention(q, q, q)) == 3
    with tg.no_grad():
        assert dispatches(where, lambda: F.scaled_dot_product_attention(q, q, q)) == 1
    monkeypatch.setattr(where_it_is_used, "MANY", 100)
    assert dispatches(where, lambda: F.scaled_dot_product_attention(q, q, q)) == 1


def test_a_gradient_of_stored_scores_divides_no_row_of_them() -> None:
    """Scores, their exponentials and the gradient of these are all that is as large."""
    where = recorder.device()
    for mask in (None, tg.ones(30, 30, dtype=tg.bool, device=where)):
        q, k, v = (tg.rand(2, 30, 8, device=where, requires_grad=True) for _ in range(3))
        where.backend.flush()
        (F.scaled_dot_product_attention(q, k, v, mask) ** 2).sum().backward()
        where.backend.flush()
        plan = recorder.last_plan(where)
        assert len(plan.kernels) <= 11
        assert sum(plan.nbytes[slot] >= 4 * 2 * 30 * 30 for slot in plan.temporaries) == 3


def test_a_mask_that_does_not_fit_is_refused() -> None:
    where = gpu()
    q, k = tg.ones(2, 3, 5, 4, device=where), tg.ones(2, 3, 7, 4, device=where)
    for shape in ((5, 6), (4, 7), (5, 8), (3, 2, 5, 7), (2, 3, 5, 9), (7,), (4, 1, 1, 5, 7)):
        for dtype in (tg.bool, tg.float32):
            mask = tg.ones(shape, dtype=dtype, device=where)
            with pytest.raises(tg.ShapeError):
                F.scaled_dot_product_attention(q, k, k, mask)


@pytest.mark.one_host("wgpu")
@pytest.mark.parametrize("masked", [False, True])
def test_it_is_the_function(monkeypatch: pytest.MonkeyPatch, masked: bool, device: str) -> None:
    rng = np.random.default_rng(2)
    arrays = [rng.normal(size=(2, 3, 20, 8)).astype("float32") for _ in range(3)]
    mask = tg.tensor(rng.normal(size=(20, 20)) > 0, device=device) if masked else None

    def results() -> list[Any]:
        q, k, v = (tg.tensor(a, device=device, requires_grad=True) for a in arrays)
        with tg.profiler.count() as counted:
            y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=not masked)
            found = [y.detach().numpy()]
        counts.append(counted.dispatches)
        (y * y.detach().cos()).sum().backward()
        return found + [x.numpy() for x in (q.grad, k.grad, v.grad)]  # type: ignore[union-attr]

    counts: list[int] = []
    want = results()
    monkeypatch.setattr(where_it_is_used, "MANY_SOFTWARE", 0)
    got = results()
    assert counts == [3, 1]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_thread_that_would_not_finish_is_refused() -> None:
    where = recorder.device()
    q, k = tg.ones(1, 8, device=where), tg.ones(100_000, 8, device=where)
    with pytest.raises(tg.DeviceError, match="too many keys for one kernel"):
        REGISTRY["attention"].bind(q, k, k, causal=False, scale=1.0)

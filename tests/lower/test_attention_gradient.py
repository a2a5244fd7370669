"""Attention's derivatives, by blocks of scores: beside those of the composition, and how much they store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.core.op import REGISTRY
from tabgrad.nn import functional as F
from tabgrad.nn.functional import attention as where_it_is_used
from tabgrad.ops import attention as room
from tests.lower import recorder

CASES: list[tuple[tuple[int, ...], int, int, int, int, bool, str, int]] = [
    # batch axes, L, S, E, D, causal, mask, scores of a block
    ((), 3, 9, 2, 3, True, "added", 4),
    ((5,), 3, 4, 2, 3, False, "", 25),
    ((2,), 13, 11, 3, 5, True, "bool", 70),
]


def both(monkeypatch: pytest.MonkeyPatch, block: int, compute: Callable[[], Any]) -> None:
    """Compare what is computed by blocks, twice, with what is computed at once."""
    want = compute()
    monkeypatch.setattr(room, "BLOCK", block)
    got, again = compute(), compute()
    monkeypatch.undo()
    for a, b, c in zip(got, want, again, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)
        np.testing.assert_array_equal(a, c)


@pytest.mark.every_host
def test_derivatives_by_blocks_are_those_of_the_composition(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    # a device compiles a kernel for each shape of a block
    cases = CASES if device == "cpu" else CASES[-1:]
    for lead, rows, length, depth, width, causal, kind, block in cases:
        shapes = ((rows, depth), (length, depth), (length, width), (rows, length))
        arrays = [rng.normal(size=(*lead, *s)).astype("float32") for s in shapes]
        given = [tg.tensor(a, device=device) for a in arrays[: 4 if kind == "added" else 3]]
        seen = [tg.tensor(arrays[3] > 0, device=device)] if kind == "bool" else []
        changes = [x.sin() + 0.3 for x in given]

        def apply(*xs: Any, seen: Any = seen, causal: bool = causal) -> Any:
            return REGISTRY["attention"].bind(*xs, *seen, causal=causal, scale=0.7)

        def compute(given: Any = given, changes: Any = changes, apply: Any = apply) -> Any:
            xs = [x.clone().requires_grad_() for x in given]
            y = apply(*xs)
            first = tg.autograd.grad((y * y.cos()).sum(), xs, create_graph=True)
            second = tg.autograd.grad(sum((g.square() * 0.5).sum() for g in first), xs)
            (value,) = tg.autograd.grad(apply(xs[0], *given[1:]).sum(), xs[:1])
            pushed = tg.func.jvp(apply, tuple(given), tuple(changes))
            found = (*first, *second, value, *pushed)
            return [x.detach().numpy() for x in found]

        both(monkeypatch, block, compute)


@pytest.mark.every_host
def test_blocks_under_transforms_groups_and_half_precision(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    q, k, v = (
        tg.tensor(rng.normal(size=(3, h, n, 4)).astype("float32"), device=device)
        for h, n in ((4, 9), (2, 7), (2, 7))
    )

    def loss(q: Any, k: Any, v: Any) -> Any:
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=True, scale=0.3).cos().sum()

    def compute() -> Any:
        monkeypatch.setattr(where_it_is_used, "_in_one_kernel", lambda *_: True)
        each = tg.func.vmap(tg.func.grad(loss, argnums=(0, 1, 2)))(q, k, v)
        halves = tg.func.grad(loss, argnums=(0, 1, 2))(*(x.half() for x in (q, k, v)))
        return [x.numpy() for x in each] + [x.float().numpy() for x in halves]

    both(monkeypatch, 20, compute)


@pytest.mark.parametrize("causal", [False, True])
def test_a_gradient_stores_a_block_of_scores_at_a_time(causal: bool) -> None:
    where = recorder.device()
    where.backend.limits.software = False  # type: ignore[attr-defined]
    backend: Any = where.backend  # type: ignore[attr-defined]
    q, k, v = (tg.zeros(1, 1, 9000, 16, device=where, requires_grad=True) for _ in range(3))
    backend.flush()
    y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    y.square().sum().backward()
    assert q.grad is not None
    backend.flush()
    plan = recorder.last_plan(where)
    assert max(plan.nbytes) <= 4 * room.BLOCK
    live = [0] * len(plan.kernels)
    for slot, (first, last) in plan.temporaries.items():
        for at in range(first, last + 1):
            live[at] += plan.nbytes[slot]
    assert max(live) <= 6 * 4 * room.BLOCK, "a few blocks, and parts as long as the results"

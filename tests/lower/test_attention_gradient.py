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
from tests.lower.forced import Forced, forced

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


def many(causal: bool, length: int) -> tuple[Any, list[int]]:
    """Lower a step of attention of long rows for a GPU; return the plan, and the bytes alive at each kernel."""
    where = recorder.device()
    where.backend.limits.software = False  # type: ignore[attr-defined]
    backend: Any = where.backend  # type: ignore[attr-defined]
    q, k, v = (tg.zeros(1, 1, length, 16, device=where, requires_grad=True) for _ in range(3))
    backend.flush()
    y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    y.square().sum().backward()
    assert q.grad is not None
    backend.flush()
    plan = recorder.last_plan(where)
    live = [0] * len(plan.kernels)
    for slot, (first, last) in plan.temporaries.items():
        for at in range(first, last + 1):
            live[at] += plan.nbytes[slot]
    return plan, live


@pytest.mark.parametrize("causal", [False, True])
def test_a_gradient_stores_a_block_of_scores_at_a_time(
    causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_in_kernels", lambda *_: False)
    plan, live = many(causal, 9000)
    assert max(plan.nbytes) <= 4 * room.BLOCK
    assert max(live) <= 6 * 4 * room.BLOCK, "a few blocks, and parts as long as the results"


def test_a_gradient_on_a_gpu_stores_no_scores() -> None:
    plan, live = many(False, 4096)
    one = 4 * 4096 * 16
    assert max(plan.nbytes) == one, "nothing is longer than q"
    assert max(live) <= 3 * one
    assert sum(plan.nbytes) <= 12 * one, "operands, results and all temporaries"


# -- kernels that store no scores ------------------------------------------------------------------

KERNELS = (
    # batch axes, L, S, E, D, causal, mask
    ((), 3, 5, 4, 2, False, ""),
    ((2, 3), 19, 21, 6, 5, True, "added"),
    ((2,), 33, 40, 128, 100, True, ""),
    ((2,), 40, 33, 20, 64, False, "bool"),
    ((1,), 5, 0, 4, 4, False, ""),
)


@pytest.mark.one_host("wgpu")
def test_kernels_agree_with_the_definition(device: str) -> None:
    op = REGISTRY["attention_gradient"]
    rng = np.random.default_rng(3)
    for lead, rows, length, depth, width, causal, kind in KERNELS:
        shapes = ((rows, width), (rows, depth), (length, depth), (length, width))
        arrays: list[Any] = [rng.normal(size=(*lead, *s)).astype("float32") for s in shapes]
        if kind:
            mask = rng.normal(size=(*lead, rows, length)).astype("float32")
            mask[mask > 0.5] = -np.inf
            mask[..., 2, :] = -np.inf  # a row that sees nothing
            arrays.append(mask if kind == "added" else np.isfinite(mask))
        given = [tg.tensor(x, device=device) for x in arrays]
        found = [[x.numpy() for x in op.bind(*given, causal=causal, scale=0.3)] for _ in range(2)]
        wide = [x if x.dtype == bool else x.astype(float) for x in arrays]
        for got, again, want in zip(*found, op.fn(*wide, causal=causal, scale=0.3), strict=True):
            np.testing.assert_array_equal(got, again)
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5, err_msg=str(lead))
        if kind == "bool":
            assert not found[0][0][..., 2, :].any()
            arrays[1][..., 4, 0], arrays[3][..., 7, 1] = np.nan, np.inf
            given = [tg.tensor(x, device=device) for x in arrays]
            with np.errstate(invalid="ignore"):
                wanted = op.fn(*arrays, causal=causal, scale=0.3)
            for got, want in zip(op.bind(*given, causal=causal, scale=0.3), wanted, strict=True):
                np.testing.assert_array_equal(np.isnan(got.numpy()), np.isnan(want))


@pytest.mark.one_host("wgpu")
def test_a_step_takes_the_kernels_where_scores_are_many(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: groups of heads, a mask, half precision, one gradient alone, and a batch of gradients."""
    rng = np.random.default_rng(4)
    arrays = [rng.normal(size=s).astype("float32") for s in ((2, 4, 9, 6), *[(2, 2, 9, 6)] * 2)]
    seen = rng.normal(size=(9, 9)) > -0.5

    def loss(q: Any, k: Any, v: Any, **more: Any) -> Any:
        y = F.scaled_dot_product_attention(q, k, v, enable_gqa=True, **more)
        return y.float().cos().sum()

    def compute(where: str) -> list[Any]:
        xs = [tg.tensor(x, device=where) for x in arrays]
        mask = {"attn_mask": tg.tensor(seen, device=where)}
        found = [*tg.func.grad(lambda *x: loss(*x, **mask), argnums=(0, 1, 2))(*xs)]
        found += [tg.func.grad(loss, argnums=1)(*xs)]
        found += tg.func.grad(lambda *x: loss(*x, is_causal=True), argnums=(0, 1, 2))(
            *(x.half() for x in xs)
        )
        found += tg.func.vmap(tg.func.grad(loss, argnums=(0, 1, 2)))(*xs)
        return [x.float().numpy() for x in found]

    want = compute("cpu")
    taken: list[bool] = []
    monkeypatch.setattr(where_it_is_used, "MANY", 0)
    monkeypatch.setattr(room, "BLOCK", 0)
    with forced(device, Forced(0)) as backend:
        got = compute(device)
        for stored in backend.plans.values():
            taken += [a.startswith("attention gradient") for a in stored.plan.asked]
    assert sum(taken) >= 3
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        bound = 2e-3 if 4 <= i < 7 else 1e-4
        np.testing.assert_allclose(a, b, rtol=bound, atol=bound, err_msg=str(i))


def test_the_gradients_can_be_differentiated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice, by blocks and at once, with what they are made of in float64."""
    monkeypatch.setattr(room, "_in_kernels", lambda *_: True)
    rng = np.random.default_rng(5)
    # by blocks of one row, and of one matrix
    for block, causal, kind in ((0, True, ""), (6, False, "bool")):
        monkeypatch.setattr(room, "BLOCK", block)
        shapes = ((2, 2, 2), (2, 3, 2), (2, 3, 1))
        xs = [tg.tensor(rng.normal(size=s), requires_grad=True) for s in shapes]
        masks = [tg.tensor(rng.normal(size=(2, 2, 3)) > -0.5)] if kind else []

        def apply(*xs: Any, masks: Any = masks, causal: bool = causal) -> Any:
            return REGISTRY["attention"].bind(*xs, *masks, causal=causal, scale=0.7)

        assert tg.autograd.gradcheck(apply, xs, fast_mode=True)
        assert tg.autograd.gradgradcheck(apply, xs, fast_mode=True)


def test_what_has_no_kernels_is_refused() -> None:
    op = REGISTRY["attention_gradient"]
    where = recorder.device()
    wide, long = tg.ones(3, 200, device=where), tg.ones(100_000, 8, device=where)
    with pytest.raises(tg.DeviceError, match="1 to 128 elements, got 200"):
        op.bind(wide, wide, wide, wide, causal=False, scale=1.0)
    with pytest.raises(tg.DeviceError, match="too many rows for one kernel"):
        op.bind(long, long, long, long, causal=False, scale=1.0)
    with pytest.raises(tg.ShapeError, match="a cotangent of shape"):
        op.bind(wide[:2], wide, wide, wide, causal=False, scale=1.0)

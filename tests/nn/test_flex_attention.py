"""Attention by functions of places, beside scaled_dot_product_attention, which is compared with PyTorch's."""

from __future__ import annotations

import math

import pytest

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad.nn.attention.flex_attention import (
    AuxRequest,
    and_masks,
    create_block_mask,
    flex_attention,
    or_masks,
)


def _given(device: str, heads: int = 4) -> tuple[tg.Tensor, tg.Tensor, tg.Tensor]:
    g = tg.Generator("cpu").manual_seed(1)
    sizes = ((2, 4, 5, 8), (2, heads, 7, 8), (2, heads, 7, 6))
    q, k, v = (tg.randn(*s, generator=g, device="cpu").to(device).requires_grad_() for s in sizes)
    return q, k, v


@pytest.mark.every_host
def test_masks_and_scores(device: str) -> None:
    q, k, v = _given(device)
    slopes = tg.tensor([0.5, 0.25, 0.1, 0.0], device=device)
    near = create_block_mask(lambda b, h, i, j: (i >= j) & (j + 3 > i + b), 2, None, 5, 7, device)
    out = flex_attention(q, k, v, lambda s, b, h, i, j: s + slopes[h] * (i - j), near, scale=0.3)
    i, j = tg.arange(5, device=device)[:, None], tg.arange(7, device=device)
    b = tg.arange(2, device=device)[:, None, None]
    seen = ((i >= j) & (j + 3 > i + b))[:, None]
    bias = (slopes[:, None, None] * (i - j)).masked_fill(~seen, -math.inf)
    wanted = F.scaled_dot_product_attention(q, k, v, bias, scale=0.3)
    tg.testing.assert_close(out, wanted, atol=1e-5, rtol=1e-5)
    ct = tg.ones_like(wanted).cumsum(-1)
    ours, theirs = (tg.autograd.grad(y, (q, k, v), ct) for y in (out, wanted))
    tg.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_groups_lse_and_rows_that_see_nothing() -> None:
    q, k, v = _given("cpu", 2)
    with pytest.raises(ValueError, match="enable_gqa"):
        flex_attention(q, k, v)
    out, aux = flex_attention(
        q, k, v, enable_gqa=True, return_aux=AuxRequest(lse=True, max_scores=True)
    )
    wide = k.repeat_interleave(2, 1)
    scores = q @ wide.mT / math.sqrt(8)
    tg.testing.assert_close(out, F.scaled_dot_product_attention(q, k, v, enable_gqa=True))
    tg.testing.assert_close(aux.lse, scores.logsumexp(-1))
    tg.testing.assert_close(aux.max_scores, scores.amax(-1))
    mask = create_block_mask(lambda b, h, i, j: i > 0, None, None, 9, 9, "cpu")
    out, lse = flex_attention(q, k, v, block_mask=mask, enable_gqa=True, return_lse=True)
    assert not out[:, :, 0].any()
    assert (lse[:, :, 0] == -math.inf).all()
    out.sum().backward()
    assert q.grad is not None
    assert q.grad.isfinite().all()


def test_masks_are_joined_and_shown() -> None:
    def low(b: tg.Tensor, h: tg.Tensor, i: tg.Tensor, j: tg.Tensor) -> tg.Tensor:
        return i >= j

    def even(b: tg.Tensor, h: tg.Tensor, i: tg.Tensor, j: tg.Tensor) -> tg.Tensor:
        return j % 2 == 0

    i, j = tg.arange(4, device="cpu")[:, None], tg.arange(4, device="cpu")
    for join, wanted in ((and_masks, (i >= j) & (j % 2 == 0)), (or_masks, (i >= j) | (j % 2 == 0))):
        mask = create_block_mask(join(low, even), None, None, 4, 4, "cpu", BLOCK_SIZE=1)
        assert (mask.to_dense()[0, 0] == wanted).all()
    causal = create_block_mask(low, None, None, 256, 256, "cpu")
    assert (causal.shape, causal.sparsity()) == ((1, 1, 256, 256), 25.0)
    assert causal.to_dense().tolist() == [[[[1, 0], [1, 1]]]]
    q = tg.zeros(1, 1, 300, 4, device="cpu")
    with pytest.raises(ValueError, match="block_mask is for 256"):
        flex_attention(q, q, q, block_mask=causal)

"""The function of attention in several heads beside the module, and what only the function takes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.nn import functional as F

pytestmark = pytest.mark.every_host


def arguments(layer: tg.nn.MultiheadAttention) -> dict[str, Any]:
    names = ("in_proj_weight", "in_proj_bias", "bias_k", "bias_v", "add_zero_attn")
    separate = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
    return {
        **{name: getattr(layer, name) for name in (*names, *separate)},
        "use_separate_proj_weight": layer.in_proj_weight is None,
        "dropout_p": 0.0,
        "out_proj_weight": layer.out_proj.weight,
        "out_proj_bias": layer.out_proj.bias,
    }


def test_it_is_the_module(device: str) -> None:
    tg.manual_seed(0)
    q = tg.randn(5, 2, 8, device=device)
    k, v = tg.randn(7, 2, 6, device=device), tg.randn(7, 2, 4, device=device)
    mask = tg.randn(5, 7, device=device) > 1
    padding = tg.zeros(2, 7, dtype=tg.bool, device=device)
    padding[:, 0] = True
    for more, average in itertools.product((False, True), repeat=2):
        layer = tg.nn.MultiheadAttention(
            8, 2, kdim=6, vdim=4, add_bias_kv=more, add_zero_attn=more, device=device
        )
        options: dict[str, Any] = {
            "key_padding_mask": padding, "attn_mask": mask, "average_attn_weights": average,
        }  # fmt: skip
        want = layer(q, k, v, **options)
        got = F.multi_head_attention_forward(q, k, v, 8, 2, **arguments(layer), **options)
        for a, b in zip(got, want, strict=True):
            tg.testing.assert_close(a, b)
    layer = tg.nn.MultiheadAttention(8, 2, device=device)
    got = F.multi_head_attention_forward(q[:, 0], q[:, 0], q[:, 0], 8, 2, **arguments(layer))
    want = layer(q[:, 0], q[:, 0], q[:, 0])
    assert got[0].shape == (5, 8)
    for a, b in zip(got, want, strict=True):
        tg.testing.assert_close(a, b)


def test_static_keys_and_values(device: str) -> None:
    tg.manual_seed(1)
    q = tg.randn(3, 2, 8, device=device)
    keys, values = (tg.randn(4, 6, 4, device=device) for _ in range(2))
    layer = tg.nn.MultiheadAttention(8, 2, bias=False, device=device)
    y, weights = F.multi_head_attention_forward(
        q, q, q, 8, 2, **arguments(layer), static_k=keys, static_v=values
    )
    heads = (q.transpose(0, 1) @ layer.in_proj_weight[:8].T).reshape(2, 3, 2, 4).transpose(1, 2)
    its_keys, its_values = (x.reshape(2, 2, 6, 4) for x in (keys, values))
    p = tg.softmax(heads @ its_keys.transpose(-2, -1) / 2, -1)
    want = (p @ its_values).transpose(1, 2).reshape(2, 3, 8) @ layer.out_proj.weight.T
    tg.testing.assert_close(y, want.transpose(0, 1))
    assert weights is not None
    tg.testing.assert_close(weights, p.mean(1))


def test_what_does_not_fit_is_refused(device: str) -> None:
    layer = tg.nn.MultiheadAttention(8, 2, device=device)
    x = tg.ones(3, 1, 8, device=device)
    with pytest.raises(ValueError, match="embedding dimension of 6, but got 8"):
        F.multi_head_attention_forward(x, x, x, 6, 2, **arguments(layer))
    with pytest.raises(ValueError, match="not divisible by num_heads 3"):
        F.multi_head_attention_forward(x, x, x, 8, 3, **arguments(layer))
    with pytest.raises(RuntimeError, match="Need attn_mask"):
        F.multi_head_attention_forward(x, x, x, 8, 2, **arguments(layer), is_causal=True)

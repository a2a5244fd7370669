"""Scaled dot-product attention."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, ShapeError
from tabgrad.core.promotion import needs_float, widened
from tabgrad.core.shape import broadcast
from tabgrad.nn.functional.dropout import dropout
from tabgrad.ops.elementwise import add, div, exp, maximum, mul, sub, where
from tabgrad.ops.indexing import iota
from tabgrad.ops.linalg import matmul, transposed
from tabgrad.ops.reduction import keep, peak, reduce_sum
from tabgrad.ops.rounding import eq, ge
from tabgrad.ops.view import expand, reshape
from tabgrad.tensor import Tensor
from tabgrad.tensor.softmax import softmax


def _wide(x: Tensor, lead: tuple[int, ...]) -> Tensor:
    shape = (*lead, *x.spec.shape[-2:])
    return x if x.spec.shape == shape else expand.bind(x, shape=shape)


def _repeated(x: Tensor, heads: int, name: str) -> Tensor:
    """Repeat each head of `x` [..., h, S, E], to `heads` in all."""
    *lead, h, s, e = x.spec.shape
    if h == heads:
        return x
    if heads % h:
        raise ShapeError(
            f"scaled_dot_product_attention: {heads} query heads are no multiple of {h} {name} heads"
        )
    x = reshape.bind(x, shape=(*lead, h, 1, s, e))
    x = expand.bind(x, shape=(*lead, h, heads // h, s, e))
    return reshape.bind(x, shape=(*lead, heads, s, e))


def _lines(scores: Tensor) -> tuple[Any, Any]:
    """Compute the indices of the query and of the key of every score."""
    shape, kind = scores.spec.shape, scores.device.index_dtype
    rows, columns = shape[-2:]
    n = len(shape)
    return (
        keep(iota(rows, kind, scores.device), scores, (*range(n - 2), n - 1)),
        keep(iota(columns, kind, scores.device), scores, tuple(range(n - 1))),
    )


def _safe_softmax(x: Tensor) -> Tensor:
    # a fully masked row gives zeros, as in PyTorch
    last = (len(x.spec.shape) - 1,)
    high = maximum(peak.bind(x, axes=last), -3.4e38)
    e = exp(sub.bind(x, keep(high, x, last)))
    total = reduce_sum.bind(e, axes=last)
    return div.bind(e, keep(where(eq(total, 0), 1, total), x, last))


@widened
def _attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
    drop: Callable[[Any], Any] | None = None,
) -> Tensor:  # fmt: skip
    """Compute softmax(query @ key.T * scale + mask) @ value; `drop` is applied to the probabilities.

    query [..., L, E], key [..., S, E], value [..., S, Ev] with leading sizes that broadcast. A bool mask
    keeps where it is true, any other is added. `is_causal` lets query i see the keys up to i.
    """
    name = "scaled_dot_product_attention"
    if query.spec.shape[-1] != key.spec.shape[-1] or key.spec.shape[-2] != value.spec.shape[-2]:
        raise ShapeError(
            f"{name}: expected query [..., L, E], key [..., S, E], value [..., S, Ev], "
            f"got {query.spec.shape}, {key.spec.shape}, {value.spec.shape}"
        )
    if is_causal and attn_mask is not None:
        raise ArgumentError(f"{name}: pass either attn_mask or is_causal=True, not both")
    if enable_gqa:
        heads = query.spec.shape[-3]
        key, value = _repeated(key, heads, "key"), _repeated(value, heads, "value")
    lead = broadcast(name, *(t.spec.shape[:-2] for t in (query, key, value)))
    query, key, value = (_wide(t, lead) for t in (query, key, value))
    factor = 1 / math.sqrt(query.spec.shape[-1]) if scale is None else scale
    scores = mul(matmul.bind(query, transposed(key)), factor)
    if is_causal:
        row, column = _lines(scores)
        scores = where(ge(row, column), scores, -math.inf)
    elif attn_mask is not None:
        masked = attn_mask.spec.dtype is dt.bool_
        scores = where(attn_mask, scores, -math.inf) if masked else add(scores, attn_mask)
    weights = softmax(scores, -1) if attn_mask is None else _safe_softmax(scores)
    if drop is not None:
        weights = drop(weights)
    return matmul.bind(weights, value)


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """Compute softmax(query @ key.T * scale + mask) @ value, with dropout on the probabilities.

    query [..., L, E], key [..., S, E], value [..., S, Ev]; `scale` is 1 / sqrt(E) unless given. A bool mask
    keeps where it is true, any other is added; `is_causal` lets query i see the keys up to i. With
    `enable_gqa` groups of query heads share a key and value head.

    >>> import tabgrad as tg
    >>> q = tg.ones(1, 2, 3, device="cpu")
    >>> tg.nn.functional.scaled_dot_product_attention(q, q, q).shape
    tabgrad.Size([1, 2, 3])
    """
    needs_float("scaled_dot_product_attention", query)
    drop = (lambda weights: dropout(weights, dropout_p)) if dropout_p > 0 else None
    return _attention(query, key, value, attn_mask, is_causal, scale, enable_gqa, drop)


__all__ = ["scaled_dot_product_attention"]

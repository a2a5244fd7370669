"""Scaled dot-product attention."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError
from tabgrad.core.promotion import cast, expand as broadcasted, needs_float, widened
from tabgrad.core.shape import broadcast, needs_rank
from tabgrad.core.trace import MODE
from tabgrad.nn.functional.dropout import dropout
from tabgrad.ops.attention import WIDEST, attention, averages, safe_softmax, scores_of
from tabgrad.ops.linalg import matmul
from tabgrad.ops.view import expand, reshape
from tabgrad.tensor import Tensor
from tabgrad.tensor.chained import chained
from tabgrad.tensor.softmax import softmax

MANY = 1 << 22
"""More scores than this are computed twice for a gradient rather than stored."""
MANY_SOFTWARE, LONGEST_SOFTWARE = 1 << 24, 4096
"""Where a processor does the GPU's work, so many scores are too many to store, of at most so many keys."""


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


def _in_one_kernel(query: Tensor, value: Tensor, scores: int, wanted: bool) -> bool:
    """Whether the op that stores no scores is the better way to a result.

    It is for a GPU. If a gradient is `wanted` the scores are computed twice, and where a processor does the
    GPU's work it takes several times as long: there it is for scores that are too many to store.
    """
    device = query.device
    width = max(query.spec.shape[-1], value.spec.shape[-1])
    if device.type != "webgpu" or width > WIDEST or not scores:
        return False
    if device.software:
        return scores > MANY_SOFTWARE and value.spec.shape[-2] <= LONGEST_SOFTWARE
    return not wanted or scores > MANY


@chained
@widened(first=True)
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
    # without features all scores are 0, whatever the factor
    factor = 1 / math.sqrt(query.spec.shape[-1] or 1) if scale is None else scale
    wanted = MODE.get().grad and any(t.tracked for t in (query, key, value))
    shape = (*lead, query.spec.shape[-2], key.spec.shape[-2])
    if attn_mask is not None and broadcast(name, shape, attn_mask.spec.shape) != shape:
        raise ShapeError(f"{name}: a mask {attn_mask.spec.shape} has more than the scores {shape}")
    if drop is None and _in_one_kernel(query, value, math.prod(shape), wanted):
        masks = [] if attn_mask is None else [_whole(attn_mask, query.spec.dtype, shape)]
        return attention.bind(query, key, value, *masks, causal=is_causal, scale=float(factor))
    scores = scores_of(query, key, attn_mask, is_causal, factor)
    if drop is None and MODE.get().autocast is None:
        return averages(scores, value, attn_mask is not None)
    weights = softmax(scores, -1) if attn_mask is None else safe_softmax(scores)
    return matmul.bind(weights if drop is None else drop(weights), value)


def _whole(mask: Tensor, dtype: dt.DType, shape: tuple[int, ...]) -> Tensor:
    """Return a mask with an element for each score."""
    return broadcasted(mask if mask.spec.dtype is dt.bool_ else cast(mask, dtype), shape)


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
    name = "scaled_dot_product_attention"
    needs_float(name, query)
    for x in (query, key, value):
        needs_rank(name, x.spec.shape, 2)
    if not 0 <= dropout_p <= 1:
        raise ArgumentError(
            f"{name}: dropout probability has to be between 0 and 1, but got {dropout_p}"
        )
    if attn_mask is not None:
        kind = attn_mask.spec.dtype
        if kind is not dt.bool_ and not kind.is_floating_point:
            raise DTypeError(
                f"{name}: Expected attn_mask dtype to be bool or float or to match query dtype, but got "
                f"attn_mask.dtype: {kind!r} and query.dtype: {query.spec.dtype!r} instead."
            )
        if len(attn_mask.spec.shape) < 2:
            raise ShapeError(
                f"{name}: expected attn_mask with at least 2 dims, queries and keys, got "
                f"{attn_mask.spec.shape}"
            )
    drop = (lambda weights: dropout(weights, dropout_p)) if dropout_p > 0 else None
    return _attention(query, key, value, attn_mask, is_causal, scale, enable_gqa, drop)


__all__ = ["scaled_dot_product_attention"]

"""A late room: attention in one op, which stores no scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError, ShapeError
from tabgrad.core.families import kernel, to_front
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Array, Operand, same_dtype
from tabgrad.core.promotion import accumulate
from tabgrad.core.spec import Spec, spec
from tabgrad.ops.elementwise import add, div, exp, maximum, mul, sub, where
from tabgrad.ops.indexing import iota
from tabgrad.ops.linalg import matmul, transposed
from tabgrad.ops.reduction import keep, peak, reduce_sum
from tabgrad.ops.rounding import eq, ge

if TYPE_CHECKING:
    from tabgrad.core.op import Operands, Tangents
    from tabgrad.tensor import Tensor

LOWEST = -3.4e38
"""Stands for the largest score of a row that is masked whole, which gives zeros then."""


def _attention_spec(*operands: Spec, causal: bool, scale: float) -> Spec:
    if len(operands) not in (3, 4):
        raise ShapeError(
            f"attention: expected q, k, v and at most one mask, got {len(operands)} operands"
        )
    q, k, v, *mask = operands
    dtype = same_dtype("attention", (q, k, v, *(m for m in mask if m.dtype is not dt.bool_)))
    if not dtype.is_floating_point:
        raise DTypeError(f"attention: is for floating-point dtypes, got {dtype!r}")
    ranks = {len(x.shape) for x in (q, k, v, *mask)}
    if len(ranks) != 1 or len(q.shape) < 2:
        raise ShapeError("attention: expected q, k, v and a mask of equal ranks, at least 2")
    *lead, rows, depth = q.shape
    columns, width = v.shape[-2:]
    wanted = ((*lead, columns, depth), (*lead, columns, width), (*lead, rows, columns))
    for x, shape in zip((k, v, *mask), wanted, strict=False):
        if x.shape != shape:
            raise ShapeError(f"attention: expected an operand of shape {shape}, got {x.shape}")
    return spec((*lead, rows, width), dtype)


def scores_of(q: Tensor, k: Tensor, mask: Tensor | None, causal: bool, scale: float) -> Tensor:
    """Compute scale q kᵀ + mask.

    A bool mask keeps where it is true, any other is added.
    """
    scores = mul(matmul.bind(q, transposed(k)), scale)
    if mask is not None and mask.spec.dtype is dt.bool_:
        scores = where(mask, scores, -math.inf)
    elif mask is not None:
        scores = add(scores, mask)
    if causal:
        shape, kind = scores.spec.shape, scores.device.index_dtype
        n = len(shape)
        row = keep(iota(shape[-2], kind, scores.device), scores, (*range(n - 2), n - 1))
        column = keep(iota(shape[-1], kind, scores.device), scores, tuple(range(n - 1)))
        scores = where(ge(row, column), scores, -math.inf)
    return scores


def safe_softmax(x: Tensor) -> Tensor:
    """Compute the softmax of the last axis, zeros where all is -inf."""
    last = (len(x.spec.shape) - 1,)
    high = maximum(peak.bind(x, axes=last), LOWEST)
    e = exp(sub.bind(x, keep(high, x, last)))
    total = reduce_sum.bind(e, axes=last)
    return div.bind(e, keep(where(eq(total, 0), 1, total), x, last))


def _derivative(
    primals: Operands, tangents: Tangents, _y: Tensor, *, causal: bool, scale: float
) -> Tensor | None:
    """Compute the probabilities p again: dy = p dv + (p (ds - Σ p ds)) v, with ds the change of the scores."""
    q, k, v, *rest = primals
    dq, dk, dv, *others = tangents
    p = safe_softmax(scores_of(q, k, rest[0] if rest else None, causal, scale))
    ds = others[0] if others else None
    if dq is not None:
        ds = accumulate(ds, mul(matmul.bind(dq, transposed(k)), scale))
    if dk is not None:
        ds = accumulate(ds, mul(matmul.bind(q, transposed(dk)), scale))
    dy = None if dv is None else matmul.bind(p, dv)
    if ds is None:
        return dy
    ds = mul.bind(p, ds)
    last = (len(ds.spec.shape) - 1,)
    ds = sub.bind(ds, mul.bind(p, keep(reduce_sum.bind(ds, axes=last), p, last)))
    return accumulate(dy, matmul.bind(ds, v))


def _batch(n: int, args: Operands, dims: Sequence[int | None], **params: Any) -> Tensor:
    fronted = (to_front(a, d, n) for a, d in zip(args, dims, strict=True))
    return attention.bind(*fronted, **params)


def _samples() -> Iterator[Any]:
    yield ((3, 4), (5, 4), (5, 2)), {"causal": False, "scale": 0.5}
    yield ((2, 3, 4), (2, 3, 4), (2, 3, 4)), {"causal": True, "scale": 1.0}
    yield ((3, 4), (5, 4), (5, 2), (3, 5)), {"causal": False, "scale": 0.5}
    yield ((3, 4), (5, 4), (5, 2), ("bool", (3, 5))), {"causal": False, "scale": 0.5}


@kernel(infer=_attention_spec, derivative=_derivative, batching=_batch, samples=_samples)
def attention(*operands: Operand, causal: bool, scale: float) -> Array:
    """Compute softmax(scale q kᵀ + mask) v of q [..., L, E], k [..., S, E], v [..., S, D] and, if given, a mask
    [..., L, S].

    A bool mask keeps where it is true, any other is added. With `causal`, row i sees the columns up to i. A row
    that is masked whole gives zeros.
    """
    q, k, v, *mask = operands
    scores = np.matmul(q, np.swapaxes(k, -1, -2)) * q.dtype.type(scale)
    if mask:
        scores = scores + (np.where(mask[0], 0, -np.inf) if mask[0].dtype == bool else mask[0])
    if causal:
        seen = np.tri(*scores.shape[-2:], dtype=bool)
        scores = np.where(seen, scores, -math.inf)
    high = np.maximum(scores.max(-1, keepdims=True, initial=-np.inf), LOWEST)
    e = np.exp(scores - high)
    total = e.sum(-1, keepdims=True)
    return np.matmul(e / np.where(total == 0, 1, total), v).astype(q.dtype, copy=False)


__all__ = ["attention", "safe_softmax", "scores_of"]

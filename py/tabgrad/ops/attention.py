"""A late room: attention in one op, which stores no scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError, ShapeError
from tabgrad.core.families import kernel, to_front
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import REGISTRY, Array, Operand, same_dtype
from tabgrad.core.promotion import accumulate, cast, single
from tabgrad.core.spec import Params, Spec, spec
from tabgrad.ops.elementwise import add, barrier, div, exp, maximum, mul, sub, where
from tabgrad.ops.indexing import cat, iota
from tabgrad.ops.linalg import matmul, transposed
from tabgrad.ops.reduction import keep, peak, reduce_sum
from tabgrad.ops.rounding import eq, ge
from tabgrad.ops.view import part, reshape

if TYPE_CHECKING:
    from tabgrad.core.op import Needs, Operands, Tangents
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Ints

LOWEST = -3.4e38
"""Stands for the largest score of a row that is masked whole, which gives zeros then."""
BLOCK = 1 << 22
"""The most scores that a derivative holds at once, one row at least: they are computed again block by block."""
WIDEST = 128
"""The longest rows of q, k and v that kernels have room for."""


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


def scores_of(
    q: Tensor, k: Tensor, mask: Tensor | None, causal: bool, scale: float, first: int = 0
) -> Tensor:
    """Compute scale q kᵀ + mask, the first row of `q` being row `first`.

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
        row = iota(shape[-2], kind, scores.device)
        row = keep(add(row, first) if first else row, scores, (*range(n - 2), n - 1))
        column = keep(iota(shape[-1], kind, scores.device), scores, tuple(range(n - 1)))
        scores = where(ge(row, column), scores, -math.inf)
    return scores


def exponentials(x: Tensor, masked: bool) -> tuple[Tensor, Tensor]:
    """Return what the softmax of the last axis divides, and by what: of a row of -inf, which only a `masked` x
    may have, zeros and 1."""
    last = (len(x.spec.shape) - 1,)
    high = peak.bind(x, axes=last)
    if masked:
        high = maximum(high, LOWEST)
    e = exp(sub.bind(x, keep(high, x, last)))
    total = reduce_sum.bind(e, axes=last)
    return e, where(eq(total, 0), 1, total) if masked else total


def safe_softmax(x: Tensor) -> Tensor:
    """Compute the softmax of the last axis, zeros where all is -inf."""
    e, total = exponentials(x, True)
    return div.bind(e, keep(total, x, (len(x.spec.shape) - 1,)))


def averages(scores: Tensor, v: Tensor, masked: bool) -> Tensor:
    """Compute softmax(scores) v, where rows of the product are divided: they are shorter than those of scores,
    and so is what the derivative adds up."""
    e, total = exponentials(scores, masked)
    y = matmul.bind(e, v)
    return div.bind(y, keep(total, y, (len(y.spec.shape) - 1,)))


# -- derivatives -----------------------------------------------------------------------------------


def _derivative(
    primals: Operands, tangents: Tangents, _y: Tensor, *, causal: bool, scale: float
) -> Tensor | None:
    """Compute the change of the result, block by block where the scores are many."""
    lead = primals[0].spec.shape[:-1]
    if math.prod(lead) * primals[1].spec.shape[-2] <= BLOCK:
        return _push(primals, tangents, causal, scale)
    found = [
        _push(cut_out(primals, block), cut_out(tangents, block), causal, scale, block[2])
        for block in blocks_of(primals[0].spec.shape, primals[1].spec.shape[-2])
    ]
    return None if found[0] is None else joined(found, lead)


def _pull(
    ct: Tensor, needs: Needs, inputs: Operands, _y: Tensor, params: Params
) -> tuple[Tensor | None, ...]:
    """Compute the cotangents; where the scores are many by kernels that store none, or block by block: none
    outlives its block.

    Those of q and of a mask are joined, those of k and v added up in the order of the blocks, in float32 at
    least.
    """
    q, k, *_ = inputs
    causal: Any = params["causal"]
    scale: Any = params["scale"]
    if math.prod(q.spec.shape[:-1]) * k.spec.shape[-2] <= BLOCK:
        return _pull_block(ct, needs, inputs, causal, scale)
    if not any(needs[3:]) and _in_kernels(q, inputs[2]):
        found = REGISTRY["attention_gradient"].bind(ct, *inputs, causal=causal, scale=scale)
        mine = (one if need else None for one, need in zip(found, needs, strict=False))
        return (*mine, *[None] * len(needs[3:]))
    rows: tuple[list[Any], ...] = tuple([] for _ in inputs)
    batch = -1
    for block in blocks_of(q.spec.shape, k.spec.shape[-2]):
        (part_of_ct,) = cut_out((ct,), block, rows=(0,))
        found = _pull_block(part_of_ct, needs, cut_out(inputs, block), causal, scale, block[2])
        for i, (out, one) in enumerate(zip(rows, found, strict=True)):
            if one is not None and i in (1, 2) and block[0] == batch:
                # not one product of the scores of all blocks
                out[-1] = accumulate(out[-1], barrier.bind(single(one)))
            elif one is not None:
                out.append(single(one) if i in (1, 2) else one)
        batch = block[0]
    return tuple(
        joined([cast(one, x.spec.dtype) for one in out], x.spec.shape[:-1]) if out else None
        for out, x in zip(rows, inputs, strict=True)
    )


def _in_kernels(q: Tensor, v: Tensor) -> bool:
    """Whether the kernels that store no scores compute the gradients.

    Where a processor does the GPU's work they take longer than products of blocks.
    """
    deep, wide = q.spec.shape[-1], v.spec.shape[-1]
    gpu = q.device.type == "webgpu" and not q.device.software
    return gpu and 0 < deep <= WIDEST and 0 < wide <= WIDEST


def blocks_of(q: Ints, columns: int) -> Iterator[Ints]:
    """List blocks (first batch, last, first row, last) of at most BLOCK scores, of one row at least.

    A block has whole matrices of scores, or some rows of a single one.
    """
    batches, rows = math.prod(q[:-2]), q[-2]
    many, few = max(BLOCK // (rows * columns), 1), max(min(BLOCK // columns, rows), 1)
    for batch in range(0, batches, many):
        for row in range(0, rows, few):
            yield batch, min(batch + many, batches), row, min(row + few, rows)


def cut_out(tensors: Tangents, block: Ints, rows: Ints = (0, 3)) -> list[Any]:
    """Cut a block out of tensors, as [batch, ..., ...]: of those numbered `rows` its rows too."""
    batch, batch_end, row, row_end = block
    found: list[Any] = []
    for i, x in enumerate(tensors):
        if x is not None:
            shape = x.spec.shape
            if len(shape) != 3:
                x = reshape.bind(x, shape=(math.prod(shape[:-2]), *shape[-2:]))
            x = part(x, 0, batch, batch_end)
            x = part(x, 1, row, row_end) if i in rows else x
        found.append(x)
    return found


def joined(blocks: list[Any], lead: Ints) -> Tensor:
    """Join blocks along all axes but the last."""
    width = blocks[0].spec.shape[-1]
    flat = [reshape.bind(x, shape=(math.prod(x.spec.shape[:-1]), width)) for x in blocks]
    whole = flat[0] if len(flat) == 1 else cat.bind(*flat, axis=0)
    return reshape.bind(whole, shape=(*lead, width))


def _push(
    primals: Operands, tangents: Tangents, causal: bool, scale: float, first: int = 0
) -> Tensor | None:
    """Compute the probabilities p again: dy = p dv + (p (ds - Σ p ds)) v, with ds the change of the scores."""
    q, k, v, *rest = primals
    dq, dk, dv, *others = tangents
    p = safe_softmax(scores_of(q, k, rest[0] if rest else None, causal, scale, first))
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


def _pull_block(
    ct: Tensor, needs: Needs, inputs: Operands, causal: bool, scale: float, first: int = 0
) -> tuple[Tensor | None, ...]:
    """Transpose `_push`."""
    q, k, v, *rest = inputs
    p = safe_softmax(scores_of(q, k, rest[0] if rest else None, causal, scale, first))
    found: list[Any] = [None] * len(inputs)
    if needs[2]:
        found[2] = matmul.bind(transposed(p), ct)
    if not (needs[0] or needs[1] or any(needs[3:])):
        return tuple(found)
    ds = matmul.bind(ct, transposed(v))
    last = (len(ds.spec.shape) - 1,)
    ds = mul.bind(p, sub.bind(ds, keep(reduce_sum.bind(mul.bind(p, ds), axes=last), p, last)))
    if any(needs[3:]):
        found[3] = ds
    if needs[0] or needs[1]:
        ds = mul(ds, scale)
    if needs[0]:
        found[0] = matmul.bind(ds, k)
    if needs[1]:
        found[1] = matmul.bind(transposed(ds), q)
    return tuple(found)


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


# a rule of its own, because the transposed derivative would hold the scores of all blocks at once
attention.vjp = _pull

__all__ = ["attention", "averages", "blocks_of", "cut_out", "joined", "safe_softmax", "scores_of"]

"""A late room: the gradients of attention in one op, which stores no scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core.errors import ShapeError
from tabgrad.core.families import to_front
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Operand, same_dtype
from tabgrad.core.promotion import accumulate, cast, single
from tabgrad.core.several import several
from tabgrad.core.spec import Spec
from tabgrad.ops.attention import (
    LOWEST,
    attention,
    blocks_of,
    cut_out,
    joined,
    safe_softmax,
    scores_of,
)  # fmt: skip
from tabgrad.ops.elementwise import mul, sub
from tabgrad.ops.linalg import matmul, transposed
from tabgrad.ops.reduction import keep, reduce_sum

if TYPE_CHECKING:
    from tabgrad.core.op import Operands, Result, Tangents
    from tabgrad.tensor import Tensor


def _specs(*operands: Spec, causal: bool, scale: float) -> tuple[Spec, Spec, Spec]:
    if len(operands) not in (4, 5):
        raise ShapeError(
            f"attention_gradient: expected ct, q, k, v and at most one mask, got {len(operands)} operands"
        )
    ct, q, k, v, *mask = operands
    result = attention.infer_spec(q, k, v, *mask, causal=causal, scale=scale)
    if ct.shape != result.shape:
        raise ShapeError(
            f"attention_gradient: expected a cotangent of shape {result.shape}, got {ct.shape}"
        )
    same_dtype("attention_gradient", (ct, q))
    return q, k, v


# -- derivatives -----------------------------------------------------------------------------------


def _derivative(
    primals: Operands, tangents: Tangents, _ys: Result, *, causal: bool, scale: float
) -> tuple[Tensor | None, ...]:
    """Compute the changes of the three gradients, block by block: each holds some products of its scores.

    Transposed, for a derivative of second order in reverse, it holds those of all blocks.
    """
    q, k = primals[1:3]
    found: list[list[Any]] = [[], [], []]
    batch = -1
    for block in blocks_of(q.spec.shape, k.spec.shape[-2]):
        rows = (0, 1, 4)
        some = cut_out(primals, block, rows), cut_out(tangents, block, rows)
        for i, one in enumerate(_pushed(*some, causal, scale, block[2])):
            if one is None:
                continue
            if i and block[0] == batch:
                found[i][-1] = accumulate(found[i][-1], single(one))
            else:
                found[i].append(single(one) if i else one)
        batch = block[0]
    return tuple(
        joined([cast(one, x.spec.dtype) for one in out], x.spec.shape[:-1]) if out else None
        for out, x in zip(found, primals[1:4], strict=True)
    )


def _pushed(
    primals: Operands, tangents: Tangents, causal: bool, scale: float, first: int
) -> tuple[Tensor | None, ...]:
    """Compute the changes of one block, by the product rule through each step of the definition."""
    ct, q, k, v, *rest = primals
    dct, dq, dk, dv, *others = tangents
    p = safe_softmax(scores_of(q, k, rest[0] if rest else None, causal, scale, first))
    slope = matmul.bind(ct, transposed(v))
    slope = sub.bind(slope, _sum(p, slope))
    s = mul.bind(p, slope)

    ds = others[0] if others else None
    ds = accumulate(ds, _scaled(_product(dq, transposed(k)), scale))
    ds = accumulate(ds, None if dk is None else _scaled(matmul.bind(q, transposed(dk)), scale))
    dp = None if ds is None else mul.bind(p, sub.bind(ds, _sum(p, ds)))
    dslope = _product(dct, transposed(v))
    dslope = accumulate(dslope, None if dv is None else matmul.bind(ct, transposed(dv)))
    # of s = p (slope - Σ p slope): the sum changes with p, too
    change = None if dp is None else sub.bind(mul.bind(dp, slope), mul.bind(p, _sum(dp, slope)))
    if dslope is not None:
        change = accumulate(change, mul.bind(p, sub.bind(dslope, _sum(p, dslope))))

    of_q = accumulate(_product(change, k), None if dk is None else matmul.bind(s, dk))
    of_k = None if change is None else matmul.bind(transposed(change), q)
    of_k = accumulate(of_k, None if dq is None else matmul.bind(transposed(s), dq))
    of_v = None if dp is None else matmul.bind(transposed(dp), ct)
    of_v = accumulate(of_v, None if dct is None else matmul.bind(transposed(p), dct))
    return _scaled(of_q, scale), _scaled(of_k, scale), of_v


def _product(x: Tensor | None, y: Tensor) -> Tensor | None:
    return None if x is None else matmul.bind(x, y)


def _scaled(x: Tensor | None, scale: float) -> Tensor | None:
    return None if x is None else mul(x, scale)


def _sum(p: Tensor, x: Tensor) -> Tensor:
    """Compute the sums of p x over the last axis, as long as it."""
    last = (len(x.spec.shape) - 1,)
    return keep(reduce_sum.bind(mul.bind(p, x), axes=last), x, last)


def _batch(n: int, args: Operands, dims: Sequence[int | None], **params: Any) -> tuple[Tensor, ...]:
    fronted = (to_front(a, d, n) for a, d in zip(args, dims, strict=True))
    found: tuple[Tensor, ...] = attention_gradient.bind(*fronted, **params)
    return found


def _samples() -> Iterator[Any]:
    yield ((3, 2), (3, 4), (5, 4), (5, 2)), {"causal": False, "scale": 0.5}
    yield ((2, 3, 4), (2, 3, 4), (2, 3, 4), (2, 3, 4)), {"causal": True, "scale": 1.0}
    yield ((3, 2), (3, 4), (5, 4), (5, 2), (3, 5)), {"causal": False, "scale": 0.5}
    yield ((3, 2), (3, 4), (5, 4), (5, 2), ("bool", (3, 5))), {"causal": False, "scale": 0.5}


@several(results=3, infer=_specs, derivative=_derivative, batching=_batch, samples=_samples)
def attention_gradient(*operands: Operand, causal: bool, scale: float) -> Any:
    """Compute the gradients of q, k and v of `attention(q, k, v, mask)` from ct [..., L, D], of the result, and
    the same operands.

    With s = scale q kᵀ + mask, p = softmax(s) and d = ct vᵀ they are scale g k, scale gᵀ q and pᵀ ct for
    g = p (d - Σ p d). A row that is masked whole has no part in them.
    """
    ct, q, k, v, *mask = operands
    factor = q.dtype.type(scale)
    scores = np.matmul(q, np.swapaxes(k, -1, -2)) * factor
    if mask:
        scores = scores + (np.where(mask[0], 0, -np.inf) if mask[0].dtype == bool else mask[0])
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    high = np.maximum(scores.max(-1, keepdims=True, initial=-np.inf), LOWEST)
    e = np.exp(scores - high)
    total = e.sum(-1, keepdims=True)
    p = e / np.where(total == 0, 1, total)
    g = np.matmul(ct, np.swapaxes(v, -1, -2))
    g = p * (g - (p * g).sum(-1, keepdims=True)) * factor
    turned = np.swapaxes(g, -1, -2), np.swapaxes(p, -1, -2)
    found = np.matmul(g, k), np.matmul(turned[0], q), np.matmul(turned[1], ct)
    return tuple(x.astype(q.dtype, copy=False) for x in found)


__all__ = ["attention_gradient"]

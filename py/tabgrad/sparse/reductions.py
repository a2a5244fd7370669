"""Sums, norms and softmax of sparse tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import SparseError
from tabgrad.core.promotion import cast
from tabgrad.core.spec import spec
from tabgrad.core.trace import constant
from tabgrad.ops import elementwise as e, view as v
from tabgrad.sparse.elementwise import tidied
from tabgrad.sparse.parts import Compressed, Coo, coalesced, picked, places, stacked, summed
from tabgrad.sparse.tensor import made
from tabgrad.tensor import combining, norms, reductions, softmax as dense_softmax
from tabgrad.tensor.arguments import axes, axis

if TYPE_CHECKING:
    from tabgrad.core.dtype import DType


def total(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None) -> Any:
    """Return the sum of all elements, or along dims: sparse as long as a sparse dim is left."""
    p = input._parts
    if dim is None:
        return reductions.sum(p.values, dtype=dtype)
    if isinstance(p, Compressed) or keepdim:
        raise SparseError("sum: along dims, use the COO layout (x.to_sparse_coo()) without keepdim")
    gone = axes("sum", dim, len(p.shape))
    rank = p.sparse_dim
    inner = tuple([d - rank + 1 for d in gone if d >= rank])
    kept = [d for d in range(rank) if d not in gone]
    values = reductions.sum(p.values, inner, dtype=dtype) if inner else p.values
    if dtype is not None and not inner:
        values = cast(values, values.device.canonical(dtype, True))
    shape = tuple([n for d, n in enumerate(p.shape) if d not in gone])
    if not kept:
        return reductions.sum(values, 0, dtype=dtype)
    if len(kept) == rank:
        return made(Coo(p.indices, values, shape, p.coalesced))
    rows = p.lines()
    return made(coalesced(Coo(stacked([rows[d] for d in kept]), values, shape)))


def any(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Return whether any element is not 0."""
    if dim is not None or keepdim:
        raise SparseError("any: of a sparse tensor there is that of all elements alone")
    values = tidied(input).values
    return reductions.any(v.reshape.bind(values, shape=(values.spec.size,)))


def norm(
    input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: DType | None = None
) -> Any:
    """Return the norm of all elements."""
    if dim is not None or keepdim:
        raise SparseError("norm: of a sparse tensor there is the norm of all elements alone")
    values = tidied(input).values
    flat = v.reshape.bind(values, shape=(values.spec.size,))
    return norms.norm(flat, p, dtype=dtype)


def softmax(input: Any, dim: int, dtype: DType | None = None) -> Any:
    """Return the softmax along `dim`; what is not stored counts as -inf."""
    return _softmax("softmax", input, dim, dtype, False)


def log_softmax(input: Any, dim: int, dtype: DType | None = None) -> Any:
    """Return the logarithm of `softmax`."""
    return _softmax("log_softmax", input, dim, dtype, True)


def _softmax(name: str, input: Any, dim: int, dtype: DType | None, log: bool) -> Any:
    if isinstance(input._parts, Compressed):
        raise SparseError(f"{name}: expected the COO layout; use x.to_sparse_coo()")
    c = coalesced(input._parts)
    at = axis(name, dim, len(c.shape))
    values: Any = c.values
    if dtype is not None:
        values = cast(values, values.device.canonical(dtype, True))
    if at >= c.sparse_dim:
        fn = dense_softmax.log_softmax if log else dense_softmax.softmax
        return made(c.over(fn(values, at - c.sparse_dim + 1)))
    if values.spec.dtype.category < dt.FLOAT:
        raise SparseError(f"{name}: expected a floating-point tensor, got {values.spec.dtype!r}")
    if not c.nnz:
        return made(c.over(values))
    rows = c.lines()
    del rows[at]
    sizes = (*c.shape[:at], *c.shape[at + 1 : c.sparse_dim])
    return made(c.over(_grouped(values, places(rows, sizes, c.indices, name), sizes, log)))


def _grouped(values: Any, group: Any, sizes: Any, log: bool) -> Any:
    """Return the softmax of the rows of each group."""
    n = math.prod(sizes)
    tail = values.spec.shape[1:]
    still = e.stop_gradient(values)
    low = constant(-math.inf, spec((n, *tail), values.spec.dtype), values.device)
    axes = tuple(range(1, len(tail) + 1))
    wide = v.spread.bind(group, shape=values.spec.shape, axes=axes) if tail else group
    top = combining.scatter_reduce(low, 0, wide, still, "amax")
    shifted = values - picked(top, group)
    powers = e.exp(shifted)
    sums = picked(summed(powers, group, n), group)
    return shifted - e.log(sums) if log else powers / sums

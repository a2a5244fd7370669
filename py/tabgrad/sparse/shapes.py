"""Dims of sparse tensors: exchanged, added, selected, joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import OutOfRangeError, ShapeError, SparseError
from tabgrad.core.promotion import cast, the_device
from tabgrad.core.spec import spec
from tabgrad.core.trace import Box, constant
from tabgrad.ops import indexing as i, rounding as r, view as v
from tabgrad.ops.checked import within
from tabgrad.sparse.parts import Compressed, Coo, lines, pairs, picked, stacked
from tabgrad.sparse.tensor import is_sparse, made, refused
from tabgrad.tensor import nonzero, selecting
from tabgrad.tensor.arguments import axis, index_tensor, ints
from tabgrad.tensor.layout import sparse_bsc, sparse_bsr, sparse_csc, sparse_csr

_TURNED = {
    sparse_csr: sparse_csc, sparse_csc: sparse_csr, sparse_bsr: sparse_bsc, sparse_bsc: sparse_bsr,
}  # fmt: skip


def _coo(name: str, x: Any) -> Coo:
    if isinstance(x._parts, Compressed):
        raise refused(x, name)
    c: Coo = x._parts
    return c


def _built(rows: Sequence[Any], like: Coo) -> Any:
    """Return a matrix of coordinates; without any, one with as many columns as `like` has elements."""
    if rows:
        return stacked(rows)
    kind, device = like.indices.spec.dtype, like.indices.device
    return constant(0, spec((0, like.nnz), kind), device)


def permute(input: Any, *args: Any, dims: Any = None) -> Any:
    """Return the dims in another order; sparse dims stay in front of the dense ones."""
    c = _coo("permute", input)
    rank, n = c.sparse_dim, len(c.shape)
    order = [axis("permute", d, n) for d in ints("permute", args, dims)]
    if sorted(order) != list(range(n)):
        raise ShapeError(f"permute: expected each of {n} dims once, got {order}")
    front, back = order[:rank], order[rank:]
    if any(d >= rank for d in front):
        raise SparseError(
            "permute: a sparse and a dense dim of a sparse tensor can't change places"
        )
    rows = c.lines()
    values = c.values
    if back != sorted(back):
        values = v.permute.bind(values, dims=(0, *[d - rank + 1 for d in back]))
    shape = [c.shape[d] for d in order]
    tidy = c.coalesced and front == sorted(front)
    return made(Coo(_built([rows[d] for d in front], c), values, tuple(shape), tidy))


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Return the tensor with two dims exchanged; the rows of a compressed matrix become columns."""
    n = len(input.shape)
    a, b = axis("transpose", dim0, n), axis("transpose", dim1, n)
    if a == b:
        return made(input._parts)
    p = input._parts
    if isinstance(p, Compressed):
        if n != 2:
            raise refused(input, "transpose")
        values = p.values if p.block == (1, 1) else v.permute.bind(p.values, dims=(0, 2, 1))
        turned = Compressed(_TURNED[p.layout], p.compressed, p.plain, values, p.shape[::-1])
        return made(turned)
    order = list(range(n))
    order[a], order[b] = b, a
    return permute(input, order)


def t(input: Any) -> Any:
    """Return the transpose of a matrix; a vector stays as it is."""
    if len(input.shape) > 2:
        raise ShapeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {len(input.shape)}D"
        )
    return transpose(input, 0, 1) if len(input.shape) == 2 else made(input._parts)


def unsqueeze(input: Any, dim: int) -> Any:
    """Return the tensor with a dim of size 1: a sparse one up to the last sparse dim, a dense one after it."""
    c = _coo("unsqueeze", input)
    at = axis("unsqueeze", dim, len(c.shape) + 1)
    shape = (*c.shape[:at], 1, *c.shape[at:])
    if at > c.sparse_dim:
        tail = shape[c.sparse_dim :]
        values = v.reshape.bind(c.values, shape=(c.nnz, *tail))
        return made(Coo(c.indices, values, shape, c.coalesced))
    rows = c.lines()
    rows.insert(at, constant(0, spec((c.nnz,), c.indices.spec.dtype), c.indices.device))
    return made(Coo(stacked(rows), c.values, shape, c.coalesced))


def squeeze(input: Any, dim: Any = None) -> Any:
    """Return the tensor without its dims of size 1, or those among `dim`."""
    c = _coo("squeeze", input)
    n = len(c.shape)
    named = range(n) if dim is None else [axis("squeeze", d, n) for d in ints("squeeze", (dim,))]
    gone = {d for d in named if c.shape[d] == 1}
    rows = [row for d, row in enumerate(c.lines()) if d not in gone]
    shape = tuple([size for d, size in enumerate(c.shape) if d not in gone])
    values = v.reshape.bind(c.values, shape=(c.nnz, *shape[len(rows) :]))
    return made(Coo(_built(rows, c), values, shape, c.coalesced))


def select(input: Any, dim: int, index: Any) -> Any:
    """Return the part at `index` of a dim; dense where no sparse dim is left. Reads its number of elements."""
    its = input._parts
    c = its.coo()
    at = axis("select", dim, len(c.shape))
    size = c.shape[at]
    index = int(index)
    if not -size <= index < size:
        raise OutOfRangeError(
            f"select(): index {index} out of range for tensor of size {list(c.shape)} at dimension {at}"
        )
    index %= size
    shape = (*c.shape[:at], *c.shape[at + 1 :])
    if at >= c.sparse_dim:
        values = c.values.select(at - c.sparse_dim + 1, index)
        return made(Coo(c.indices, values, shape, c.coalesced))
    rows = c.lines()
    found = nonzero.places(r.eq(rows.pop(at), index))
    values = picked(c.values, found)
    if not rows:
        return values.sum(0)
    indices = stacked([picked(row, found) for row in rows])
    return made(Coo(indices, values, shape, c.coalesced))


def index_select(input: Any, dim: int, index: Any) -> Any:
    """Return the parts of a dim that the integers `index` name; reads how many elements they have."""
    c = _coo("index_select", input)
    at = axis("index_select", dim, len(c.shape))
    index = index_tensor("index_select", index)
    shape = (*c.shape[:at], index.spec.size, *c.shape[at + 1 :])
    if at >= c.sparse_dim:
        values = selecting.index_select(c.values, at - c.sparse_dim + 1, index)
        return made(Coo(c.indices, values, shape, c.coalesced))
    index = within("index_select", index, c.shape[at], at)
    rows = c.lines()
    left, right = pairs(rows[at], cast(index, rows[at].spec.dtype))
    rows = [right if d == at else picked(row, left) for d, row in enumerate(rows)]
    return made(Coo(stacked(rows), picked(c.values, left), shape))


def narrow_copy(input: Any, dim: int, start: int, length: int) -> Any:
    """Return `length` consecutive parts of a dim; reads how many elements they have."""
    c = _coo("narrow_copy", input)
    at = axis("narrow_copy", dim, len(c.shape))
    size = c.shape[at]
    start = start + size if start < 0 else start
    if not 0 <= start <= start + length <= size:
        raise ShapeError(
            f"start ({start}) + length ({length}) exceeds dimension size ({size}).; narrow_copy"
        )
    shape = (*c.shape[:at], length, *c.shape[at + 1 :])
    if at >= c.sparse_dim:
        values = v.part(c.values, at - c.sparse_dim + 1, start, start + length)
        return made(Coo(c.indices, values, shape, c.coalesced))
    rows = c.lines()
    inside = r.bitwise_and(r.ge(rows[at], start), r.lt(rows[at], start + length))
    found = nonzero.places(inside)
    kept = [picked(row, found) for row in rows]
    kept[at] = kept[at] - start
    return made(Coo(stacked(kept), picked(c.values, found), shape, c.coalesced))


def getitem(self: Any, key: Any) -> Any:
    """Return the part that integers, whole slices, None and 1-d index tensors name."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if sum(k is Ellipsis for k in keys) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    used = sum(k is not None and k is not Ellipsis for k in keys)
    if used > len(self.shape):
        raise IndexError(f"too many indices for tensor of dimension {len(self.shape)}")
    if Ellipsis in [k for k in keys if not isinstance(k, Box)]:
        where = next(n for n, k in enumerate(keys) if k is Ellipsis)
        keys[where : where + 1] = [slice(None)] * (len(self.shape) - used)
    found, at = self, 0
    for k in keys:
        if k is None:
            found, at = unsqueeze(found, at), at + 1
        elif isinstance(k, slice):
            if k != slice(None):
                raise SparseError(
                    "a slice of a sparse tensor is no view; use narrow_copy, or index_select"
                )
            at += 1
        elif isinstance(k, Box) and k.spec.shape and k.spec.dtype is not dt.bool_:
            found, at = index_select(found, at, k), at + 1
        elif hasattr(k, "__index__") and not isinstance(k, bool):
            found = select(found, at, k) if is_sparse(found) else found.select(at, int(k))
        else:
            raise SparseError(f"a sparse tensor has no index of type {type(k).__name__}")
    return found


def unbind(input: Any, dim: int = 0) -> tuple[Any, ...]:
    """Return the parts of a dim, one by one."""
    return tuple([select(input, dim, k) for k in range(input.shape[dim])])


def cat(tensors: Any, dim: int = 0) -> Any:
    """Join sparse tensors along a sparse dim."""
    given = list(tensors)
    if not all(map(is_sparse, given)):
        raise SparseError("cat: expected all tensors to be sparse, or all dense")
    the_device("cat", given)
    parts = [_coo("cat", x) for x in given]
    first = parts[0]
    at = axis("cat", dim, len(first.shape))
    if at >= first.sparse_dim:
        raise SparseError("cat: sparse tensors are joined along a sparse dim")
    dtype = given[0].dtype
    offset, indices, values = 0, [], []
    for x, c in zip(given, parts, strict=True):
        dtype = dt.promote(dtype, x.dtype)
        same = (*first.shape[:at], c.shape[at], *first.shape[at + 1 :])
        if c.shape != same or c.sparse_dim != first.sparse_dim:
            raise ShapeError(
                f"All tensors must have the same shape but for dim {at}: {first.shape} and {c.shape} (cat)"
            )
        rows = lines(c.indices)
        rows[at] = rows[at] + offset
        indices.append(stacked(rows))
        values.append(c.values)
        offset += c.shape[at]
    shape = (*first.shape[:at], offset, *first.shape[at + 1 :])
    joined = i.cat.bind(*[cast(x, dtype) for x in values], axis=0)
    return made(Coo(i.cat.bind(*indices, axis=1), joined, shape))


def stack(tensors: Any, dim: int = 0) -> Any:
    """Join sparse tensors along a new dim."""
    return cat([unsqueeze(x, dim) for x in tensors], dim)

"""What a sparse tensor is made of, index tensors and a dense tensor of values, and turns of the layout.

Only the values carry derivatives; all here is made of ops, so their rules are those of the ops.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ShapeError
from tabgrad.core.promotion import cast, expand
from tabgrad.core.shape import strides
from tabgrad.core.spec import spec
from tabgrad.core.trace import constant
from tabgrad.ops import indexing as i, rounding as r, scan, view as v
from tabgrad.tensor import reading
from tabgrad.tensor.arguments import countable
from tabgrad.tensor.distinct import unique
from tabgrad.tensor.layout import sparse_bsc, sparse_bsr, sparse_coo, sparse_csr
from tabgrad.tensor.ordering import argsort, searchsorted

if TYPE_CHECKING:
    from tabgrad.core.dtype import DType
    from tabgrad.core.spec import Spec
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.layout import layout as Layout
    from tabgrad.tensor.types import Ints

ROWS = (sparse_csr, sparse_bsr)
"""The layouts whose rows are compressed; the columns are in the others."""
BLOCKS = (sparse_bsr, sparse_bsc)
"""The layouts whose values are blocks."""


class Coo:
    """Elements by their coordinates: `indices` [sparse dims, n] and `values` [n, *dense dims].

    `coalesced` says that the coordinates ascend, each at most once.
    """

    __slots__ = ("coalesced", "indices", "shape", "values")
    layout = sparse_coo

    def __init__(
        self, indices: Tensor, values: Tensor, shape: Ints, coalesced: bool = False
    ) -> None:
        self.indices = indices
        self.values = values
        self.shape = tuple(shape)
        self.coalesced = coalesced

    @property
    def spec(self) -> Spec:
        """The shape and dtype of the tensor."""
        return spec(self.shape, self.values.spec.dtype)

    @property
    def sparse_dim(self) -> int:
        """The number of dims that have coordinates."""
        return self.indices.spec.shape[0]

    @property
    def nnz(self) -> int:
        """The number of elements that are stored."""
        return self.indices.spec.shape[1]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The index tensors."""
        return (self.indices,)

    def over(self, values: Tensor) -> Coo:
        """Return other values at the same places."""
        tail = values.spec.shape[1:]
        return Coo(self.indices, values, (*self.shape[: self.sparse_dim], *tail), self.coalesced)

    def coo(self) -> Coo:
        """Return the elements by their coordinates."""
        return self

    def lines(self) -> list[Tensor]:
        """Return the coordinates along each sparse dim."""
        return lines(self.indices)

    def places(self, name: str = "a sparse tensor") -> Tensor:
        """Return the place of each element among all of the sparse dims."""
        return places(self.lines(), self.shape[: self.sparse_dim], self.indices, name)

    def dense(self) -> Any:
        """Return all elements as a dense tensor."""
        sizes = self.shape[: self.sparse_dim]
        total = summed(self.values, self.places("to_dense"), math.prod(sizes))
        return v.reshape.bind(total, shape=self.shape)


class Compressed:
    """Rows or columns side by side: `compressed` says where each begins in `plain` and `values`."""

    __slots__ = ("compressed", "layout", "plain", "shape", "values")
    coalesced = True

    def __init__(
        self, layout: Layout, compressed: Tensor, plain: Tensor, values: Tensor, shape: Ints
    ) -> None:
        self.layout = layout
        self.compressed = compressed
        self.plain = plain
        self.values = values
        self.shape = tuple(shape)

    @property
    def spec(self) -> Spec:
        """The shape and dtype of the tensor."""
        return spec(self.shape, self.values.spec.dtype)

    @property
    def sparse_dim(self) -> int:
        """The number of dims that have coordinates."""
        return 2

    @property
    def nnz(self) -> int:
        """The number of elements, or blocks, that are stored."""
        return self.plain.spec.size

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The index tensors."""
        return self.compressed, self.plain

    @property
    def block(self) -> Ints:
        """The sizes of a block, (1, 1) without blocks."""
        return self.values.spec.shape[1:3] if self.layout in BLOCKS else (1, 1)

    def over(self, values: Tensor) -> Compressed:
        """Return other values at the same places."""
        return Compressed(self.layout, self.compressed, self.plain, values, self.shape)

    def coo(self) -> Coo:
        """Return the elements by their coordinates."""
        n = self.nnz
        kind = self.plain.spec.dtype
        count = i.iota(n, kind, self.plain.device)
        outer = cast(searchsorted(self.compressed, count, right=True), kind) - 1
        at = (outer, self.plain) if self.layout in ROWS else (self.plain, outer)
        values = self.values
        if self.layout in BLOCKS:
            at, values = _unblocked(at, values)
        return Coo(stacked(at), values, self.shape, self.layout is sparse_csr)

    def dense(self) -> Any:
        """Return all elements as a dense tensor."""
        return self.coo().dense()


Parts = Coo | Compressed


def lines(indices: Tensor) -> list[Tensor]:
    """Return the rows of a matrix of coordinates."""
    rank, n = indices.spec.shape
    return [v.reshape.bind(v.part(indices, 0, k, k + 1), shape=(n,)) for k in range(rank)]


def stacked(rows: Any) -> Any:
    """Return coordinates along each dim as one matrix."""
    return i.cat.bind(*[v.reshape.bind(x, shape=(1, x.spec.size)) for x in rows], axis=0)


def places(rows: list[Tensor], sizes: Ints, like: Tensor, name: str) -> Any:
    """Return the row-major places of coordinates in a shape of these sizes."""
    countable(name, math.prod(sizes), like.device)
    n = like.spec.shape[-1]
    found: Any = constant(0, spec((n,), like.spec.dtype), like.device)
    for row, step in zip(rows, strides(sizes), strict=True):
        found = found + (row if step == 1 else row * step)
    return found


def coordinates(at: Any, sizes: Ints) -> Any:
    """Return the matrix of coordinates of row-major places in a shape of these sizes."""
    rows = []
    for n, step in zip(sizes, strides(sizes), strict=True):
        rows.append((at // max(step, 1)) % max(n, 1))
    return stacked(rows) if rows else constant(0, spec((0, at.spec.size), at.spec.dtype), at.device)


def picked(x: Any, at: Any) -> Any:
    """Return the rows of `x` at the places `at`."""
    n, *rest = x.spec.shape
    k, width = at.spec.size, math.prod(rest)
    if not rest:
        return i.gather.bind(x, at, axis=0)
    flat = v.reshape.bind(x, shape=(n, width))
    wide = v.spread.bind(at, shape=(k, width), axes=(1,))
    return v.reshape.bind(i.gather.bind(flat, wide, axis=0), shape=(k, *rest))


def summed(values: Any, at: Any, n: int) -> Any:
    """Return `n` rows: row j is the sum of the rows of `values` whose place in `at` is j, in their order."""
    dtype = values.spec.dtype
    if dtype is dt.bool_:
        return r.ne(summed(cast(values, dt.int32), at, n), 0)
    if dtype in dt.HALVES:
        return cast(summed(cast(values, dt.float32), at, n), dtype)
    k, *rest = values.spec.shape
    if not rest:
        none = constant(0, spec((n,), dtype), values.device)
        return i.scatter_add.bind(none, at, values, axis=0)
    width = math.prod(rest)
    none = constant(0, spec((n, width), dtype), values.device)
    wide = v.spread.bind(at, shape=(k, width), axes=(1,))
    flat = v.reshape.bind(values, shape=(k, width))
    return v.reshape.bind(i.scatter_add.bind(none, wide, flat, axis=0), shape=(n, *rest))


def coalesced(c: Coo) -> Coo:
    """Return the elements in ascending order, those of one place added up. Reads how many places there are."""
    if c.coalesced:
        return c
    if c.nnz < 2:
        return Coo(c.indices, c.values, c.shape, True)
    sizes = c.shape[: c.sparse_dim]
    at = c.places("coalesce")
    found, group = unique(at, return_inverse=True)
    if found.spec.size == c.nnz:
        # no sums, which would change -0 to 0
        values = picked(c.values, cast(argsort(at), at.spec.dtype))
    else:
        values = summed(c.values, group, found.spec.size)
    return Coo(coordinates(found, sizes), values, c.shape, True)


def compress(parts: Parts, layout: Layout, block: Ints = (1, 1)) -> Compressed:
    """Return a matrix in one of the compressed layouts. Reads how many places, or blocks, there are."""
    c = parts.coo()
    rows, columns = c.lines()
    height, width = c.shape[:2]
    within = None
    if layout in BLOCKS:
        within = (rows % block[0]) * block[1] + columns % block[1]
        rows, columns = rows // block[0], columns // block[1]
        height, width = height // block[0], width // block[1]
    outer, inner = (rows, columns) if layout in ROWS else (columns, rows)
    most, least = (height, width) if layout in ROWS else (width, height)
    at = places([outer, inner], (most, least), outer, "to_sparse")
    if within is None and c.coalesced and layout is sparse_csr:
        found, values = at, c.values
    else:
        found, group = unique(at, return_inverse=True)
        n = found.spec.size
        if within is None:
            values = summed(c.values, group, n)
        else:
            area = block[0] * block[1]
            tail = c.values.spec.shape[1:]
            values = summed(c.values, group * area + within, n * area)
            values = v.reshape.bind(values, shape=(n, *block, *tail))
    kind = outer.spec.dtype
    line = found // max(least, 1)
    begins = searchsorted(line, i.iota(most + 1, kind, outer.device))
    return Compressed(layout, cast(begins, kind), found % max(least, 1), values, c.shape)


def _unblocked(at: tuple[Any, Any], values: Any) -> tuple[tuple[Any, Any], Any]:
    n, high, wide, *tail = values.spec.shape
    shape = (n, high, wide)
    found = []
    for axis, (blocks, size) in enumerate(zip(at, (high, wide), strict=True), 1):
        step = i.iota(size, blocks.spec.dtype, blocks.device)
        others = tuple(k for k in range(3) if k != axis)
        first = v.spread.bind(blocks * size, shape=shape, axes=(1, 2))
        both = first + v.spread.bind(step, shape=shape, axes=others)
        found.append(v.reshape.bind(both, shape=(n * high * wide,)))
    return (found[0], found[1]), v.reshape.bind(values, shape=(n * high * wide, *tail))


def masked(y: Any, p: Parts) -> Any:
    """Return the elements of a dense tensor at the stored places, in the shape of the values."""
    c = p.coo()
    rank = c.sparse_dim
    if len(y.shape) > len(c.shape) or any(
        a not in (1, b) for a, b in zip(reversed(y.shape), reversed(c.shape), strict=False)
    ):
        raise ShapeError(
            f"a dense tensor of shape {list(y.shape)} does not broadcast to the sparse one, {list(c.shape)}"
        )
    y = expand(y, c.shape)
    flat = v.reshape.bind(y, shape=(math.prod(c.shape[:rank]), *c.shape[rank:]))
    return v.reshape.bind(picked(flat, c.places()), shape=p.values.shape)


def pairs(left: Any, right: Any) -> tuple[Any, Any]:
    """Return the pairs of places in two vectors with equal keys, in the order of `left`; reads their number."""
    kind, device = left.spec.dtype, left.device
    n, m = left.spec.size, right.spec.size
    if not n or not m:
        none = i.iota(0, kind, device)
        return none, none
    order = cast(argsort(right, stable=True), kind)
    ordered = picked(right, order)
    first = cast(searchsorted(ordered, left), kind)
    last = cast(searchsorted(ordered, left, right=True), kind)
    upto = scan.cumsum.bind(last - first, axis=0, reverse=False)
    total = int(reading.item(v.part(upto, 0, n - 1, n)))
    count = i.iota(total, kind, device)
    owner = cast(searchsorted(upto, count, right=True), kind)
    begin = upto - (last - first)
    return owner, picked(order, picked(first, owner) + (count - picked(begin, owner)))


def empty(shape: Any, rank: int, tail: Any, dtype: DType, where: Any) -> Coo:
    """Return parts without elements."""
    at = constant(0, spec((rank, 0), where.index_dtype), where)
    return Coo(at, constant(0, spec((0, *tail), dtype), where), shape, True)


def nothing(p: Parts) -> Parts:
    """Return parts without elements, in the layout and shape of others."""
    values, rank = p.values, p.sparse_dim
    where = values.device
    none = empty(p.shape, rank, p.shape[rank:], values.spec.dtype, where)
    return compress(none, p.layout, p.block) if isinstance(p, Compressed) else none

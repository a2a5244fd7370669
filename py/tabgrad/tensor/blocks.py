"""Pieces of tensors put together and taken apart: blocks, combinations, sections, sums to a smaller shape."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError
from tabgrad.core.promotion import cast, result_dtype
from tabgrad.core.trace import Box
from tabgrad.ops import elementwise as e, indexing as i, rounding as r, scan, view as v
from tabgrad.ops.checked import within
from tabgrad.ops.reduction import reduce_sum
from tabgrad.tensor import creation, joining
from tabgrad.tensor.arguments import as_dtype, axis, ints
from tabgrad.tensor.comparison import truth
from tabgrad.tensor.diagonals import diagonal
from tabgrad.tensor.public import publish, takes_out
from tabgrad.tensor.selecting import index_select
from tabgrad.tensor.writers import write_through

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Dims


def block_diag(*tensors: Tensor) -> Tensor:
    """Return the matrix with the given ones along its diagonal; a vector counts as one row, a number as 1 by 1.

    >>> import tabgrad as tg
    >>> tg.block_diag(tg.tensor([[1, 2]], device="cpu"), tg.tensor(3, device="cpu"))
    tensor([[1, 2, 0],
            [0, 0, 3]])
    """
    blocks = []
    for k, x in enumerate(tensors):
        if not isinstance(x, Box):
            raise TypeError(f"block_diag(): expected tensors, element {k} is {type(x).__name__}")
        shape = x.spec.shape
        if len(shape) > 2:
            raise ShapeError(
                "block_diag: Input tensors must have 2 or fewer dimensions. "
                f"Input {k} has {len(shape)} dimensions"
            )
        blocks.append(v.reshape.bind(x, shape=(*(1,) * (2 - len(shape)), *shape)))
    if not blocks:
        return creation.empty(1, 0)
    dtype = blocks[0].device.canonical(result_dtype(*tensors))
    width, before, rows = sum(x.spec.shape[1] for x in blocks), 0, []
    for x in blocks:
        after = width - before - x.spec.shape[1]
        rows.append(v.pad.bind(cast(x, dtype), low=(0, before), high=(0, after), interior=(0, 0)))
        before += x.spec.shape[1]
    return rows[0] if len(rows) == 1 else i.cat.bind(*rows, axis=0)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """Return all combinations of `r` elements of a vector, one in each row, in the order of the elements.

    >>> import tabgrad as tg
    >>> tg.combinations(tg.tensor([1, 2, 3], device="cpu"))
    tensor([[1, 2],
            [1, 3],
            [2, 3]])
    """
    if len(input.spec.shape) != 1:
        raise ShapeError(f"combinations: Expect a 1D vector, but got shape {input.spec.shape}")
    if r < 0:
        raise ArgumentError(f"combinations: Expect a non-negative number, but got {r}")
    if not r:
        return creation.empty(0, dtype=input.spec.dtype, device=input.device)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = list(itertools.chain.from_iterable(choose(range(input.spec.size), r)))
    index = creation.tensor(places, dtype=input.device.index_dtype, device=input.device)
    return v.reshape.bind(index_select(input, 0, index), shape=(len(places) // r, r))


def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """Return `input` with `src` in place of diagonal(input, offset, dim1, dim2).

    >>> import tabgrad as tg
    >>> tg.diagonal_scatter(tg.zeros(2, 2, device="cpu"), tg.ones(2, device="cpu"))
    tensor([[1., 0.],
            [0., 1.]])
    """
    # the steps must start at the input, not at its base
    x = e.copy.bind(input) if hasattr(input.alias, "steps") else input
    target = diagonal(x, offset, dim1, dim2)
    if target.spec.shape != src.spec.shape:
        raise ShapeError(
            "diagonal_scatter: expected src to have a size equal to the slice of self. "
            f"src size = {list(src.spec.shape)}, slice size = {list(target.spec.shape)}"
        )
    written = write_through(x, target.alias.steps, cast(src, x.spec.dtype))
    return e.copy.bind(written) if written is x else written


def _sections(name: str, split_sizes: Sequence[int]) -> list[int]:
    sizes = list(ints(name, (split_sizes,)))
    if min(sizes, default=0) < 0:
        raise ShapeError(
            f"{name} expects split_sizes have only non-negative entries, but got split_sizes={sizes}"
        )
    return sizes


def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Return views of the given sizes along `dim`.

    >>> import tabgrad as tg
    >>> tg.split_with_sizes(tg.arange(5, device="cpu"), [1, 4])
    (tensor([0]), tensor([1, 2, 3, 4]))
    """
    return joining.split(input, _sections("split_with_sizes", split_sizes), dim)


def _single(views: tuple[Tensor, ...], x: Tensor, dim: int) -> tuple[Tensor, ...]:
    """Return the same parts of `x`, each as a view of its own, which may be written to."""
    at, parts, start = axis("unsafe_split", dim, len(x.spec.shape)), [], 0
    for part in views:
        stop = start + part.spec.shape[at]
        parts.append(joining.cut(x, at, start, stop))
        start = stop
    return tuple(parts)


def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Return what `chunk` does; each part may be written to in place."""
    return _single(joining.chunk(input, chunks, dim), input, dim)


def unsafe_split(input: Tensor, split_size: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Return what `split` does; each part may be written to in place."""
    return _single(joining.split(input, split_size, dim), input, dim)


def unsafe_split_with_sizes(
    input: Tensor, split_sizes: Sequence[int], dim: int = 0
) -> tuple[Tensor, ...]:
    """Return what `split_with_sizes` does; each part may be written to in place."""
    sizes = _sections("unsafe_split_with_sizes", split_sizes)
    return _single(joining.split(input, sizes, dim), input, dim)


def sum_to_size(input: Tensor, *args: Dims, size: Dims | None = None) -> Tensor:
    """Return the sum over the dims that `size` lacks, or has with size 1; the tensor itself if there is none.

    >>> import tabgrad as tg
    >>> tg.ones(2, 3, device="cpu").sum_to_size(1, 3)
    tensor([[2., 2., 2.]])
    """
    if not args and size is None:
        raise TypeError('sum_to_size() missing 1 required positional arguments: "size"')
    wanted, shape = ints("sum_to_size", args, size), input.spec.shape
    lead = len(shape) - len(wanted)
    if lead < 0 or any(
        m not in (1, n) for m, n in zip(wanted, shape[max(lead, 0) :], strict=False)
    ):
        raise ShapeError(f"size {list(wanted)} is not expandable to size {list(shape)}.")
    if input.spec.dtype.category < dt.FLOAT and (wanted != shape or not wanted):
        # sums of integers are int64, that of a single number too
        input = as_dtype(input, dt.int64)
    over = tuple([k for k, n in enumerate(shape) if k < lead or wanted[k - lead] != n])
    if not over:
        return input
    return v.reshape.bind(reduce_sum.bind(input, axes=over), shape=wanted)


def unravel_index(indices: Tensor, shape: Dims) -> tuple[Tensor, ...]:
    """Return the coordinates of flat indices in a tensor of this shape, one tensor for each dim.

    A negative index counts from the end; one that is outside raises.

    >>> import tabgrad as tg
    >>> tg.unravel_index(tg.tensor([1, 5], device="cpu"), (2, 3))
    (tensor([0, 1]), tensor([1, 2]))
    """
    if indices.spec.dtype.category != dt.INT or indices.spec.dtype is dt.bool_:
        raise DTypeError(f"expected 'indices' to be integer dtype, but got {indices.spec.dtype!r}")
    sizes = ints("unravel_index", (shape,))
    if min(sizes, default=0) < 0:
        raise ArgumentError(f"'shape' cannot have negative values, but got {sizes}")
    index = as_dtype(indices, dt.int64)
    rest = within("unravel_index", index, math.prod(sizes), wraps=True)
    found = []
    for n in reversed(sizes):
        found.append(e.remainder(rest, n) if n else rest)
        rest = e.floor_divide(rest, n) if n else rest
    return tuple(reversed(found))


@takes_out
def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """Return the places of the elements that are not 0, as `nonzero` does, in exactly `size` rows.

    Places beyond `size` are left out, and rows that are left hold `fill_value`. Nothing is read back.

    >>> import tabgrad as tg
    >>> tg.nonzero_static(tg.tensor([0, 5, 7], device="cpu"), size=3)
    tensor([[ 1],
            [ 2],
            [-1]])
    """
    if size < 0:
        raise ArgumentError(f"nonzero_static: 'size' must be an non-negative integer, got {size}")
    shape, kind, device = input.spec.shape, input.device.index_dtype, input.device
    n = input.spec.size
    if not n or not size:
        return creation.full((size, len(shape)), fill_value, dtype=kind, device=device)
    there = v.reshape.bind(truth(e.stop_gradient(input)), shape=(n,))
    rank = scan.cumsum.bind(cast(there, kind), axis=0, reverse=False)
    kept = r.bitwise_and(there, r.le(rank, size))
    # what is left out goes to one more place at the end
    target = e.where(kept, e.sub(rank, 1), size)
    start = creation.filled((size + 1,), -1, kind, device)
    flat = v.part(i.scatter.bind(start, target, i.iota(n, kind, device), axis=0), 0, 0, size)
    empty, columns, rest = r.lt(flat, 0), [], flat
    for m in reversed(shape):
        columns.append(e.where(empty, fill_value, e.remainder(rest, m)))
        rest = e.floor_divide(rest, m)
    lined = [v.reshape.bind(c, shape=(size, 1)) for c in reversed(columns)]
    if not lined:
        return creation.empty((size, 0), dtype=kind, device=device)
    return lined[0] if len(lined) == 1 else i.cat.bind(*lined, axis=1)


class BlocksMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    diagonal_scatter = diagonal_scatter
    nonzero_static = nonzero_static
    split_with_sizes = split_with_sizes
    sum_to_size = sum_to_size
    unsafe_chunk = unsafe_chunk
    unsafe_split = unsafe_split
    unsafe_split_with_sizes = unsafe_split_with_sizes


__all__ = [
    "block_diag", "combinations", "diagonal_scatter", "nonzero_static", "split_with_sizes",
    "unravel_index", "unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes",
]  # fmt: skip

publish(globals())

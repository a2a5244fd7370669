"""Sorting: an op for the sorting permutation, and functions that use it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ShapeError
from tabgrad.core.families import kernel, to_front
from tabgrad.core.op import Array, Operand, real_only
from tabgrad.core.shape import axis_index, without
from tabgrad.core.spec import spec
from tabgrad.core.trace import constant
from tabgrad.ops.elementwise import add, cast, copy, floor_divide, sub, where
from tabgrad.ops.indexing import gather
from tabgrad.ops.reduction import reduce_sum
from tabgrad.ops.rounding import bitwise_and, bitwise_not, isnan, le, lt
from tabgrad.ops.view import part, reshape

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


def _samples() -> Iterator[Any]:
    for shape, axis in (((3, 5), 1), ((4, 2), 0), ((2, 1), 1), ((2, 0), 1)):
        for descending in (False, True):
            yield (shape,), {"axis": axis, "descending": descending, "dtype": dt.int64}


@kernel(
    infer=lambda x, *, axis, descending, dtype: spec(real_only("sort", x).shape, dtype),
    derivative=None,
    batching=lambda n, args, dims, *, axis, **params: argsort.bind(
        to_front(args[0], dims[0], n), axis=axis + 1, **params
    ),
    samples=_samples,
)
def argsort(x: Operand, *, axis: int, descending: bool, dtype: dt.DType) -> Array:
    """Find the indices that sort `x` along `axis`; equal elements keep their order, a nan is largest."""
    if not descending:
        return x.argsort(axis, kind="stable")
    # sorting the reversed axis and reversing again keeps the order of equal elements
    turned = (*(slice(None),) * axis, slice(None, None, -1))
    back = x[turned].argsort(axis, kind="stable")
    return x.shape[axis] - 1 - back[turned]


def _scalar(x: Tensor) -> tuple[Any, Any]:
    """Give a 0-d tensor as its own selection along a dim, with the index 0."""
    return copy(x), constant(0, spec((), x.device.index_dtype), x.device)


def sort(x: Tensor, dim: int = -1, descending: bool = False) -> tuple[Any, Any]:
    """Sort the elements along `dim`, and give their indices; equal elements keep their order."""
    axis = axis_index("sort", dim, len(x.spec.shape))
    if not x.spec.shape:
        return _scalar(x)
    index = argsort.bind(x, axis=axis, descending=descending, dtype=x.device.index_dtype)
    return gather.bind(x, index, axis=axis), index


def topk(x: Tensor, k: int, dim: int = -1, largest: bool = True) -> tuple[Any, Any]:
    """Find the `k` largest (or smallest) elements along `dim`, best first, and their indices."""
    shape = x.spec.shape
    axis = axis_index("topk", dim, len(shape))
    n = shape[axis] if shape else 1
    if not 0 <= k <= n:
        raise ShapeError(f"topk: k must be from 0 to {n}, the size of dim {dim}; got {k}")
    if not shape:
        return _scalar(x)
    index = argsort.bind(x, axis=axis, descending=largest, dtype=x.device.index_dtype)
    index = part(index, axis, 0, k)
    return gather.bind(x, index, axis=axis), index


def _one(name: str, x: Tensor, k: int, dim: int, keepdim: bool) -> tuple[Any, Any]:
    """Find the element of rank `k` (0 is the smallest) along `dim`, and its index."""
    if not x.spec.shape:
        return _scalar(x)
    axis = axis_index(name, dim, len(x.spec.shape))
    index = argsort.bind(x, axis=axis, descending=False, dtype=x.device.index_dtype)
    index = part(index, axis, k, k + 1)
    value = gather.bind(x, index, axis=axis)
    if keepdim:
        return value, index
    shape = without(x.spec.shape, (axis,))
    return reshape.bind(value, shape=shape), reshape.bind(index, shape=shape)


def kthvalue(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Any, Any]:
    """Find the k-th smallest element along `dim`, counted from 1, and its index."""
    shape = x.spec.shape
    axis = axis_index("kthvalue", dim, len(shape))
    n = shape[axis] if shape else 1
    if not 1 <= k <= n:
        raise ShapeError(f"kthvalue: k must be from 1 to {n}, the size of dim {dim}; got {k}")
    return _one("kthvalue", x, k - 1, dim, keepdim)


def median(
    x: Tensor, dim: int = -1, keepdim: bool = False, skip_nan: bool = False
) -> tuple[Any, Any]:
    """Find the lower median along `dim` and its index; the first nan if there is one, unless `skip_nan`."""
    shape = x.spec.shape
    axis = axis_index("median", dim, len(shape))
    if not shape:
        return _scalar(x)
    n = shape[axis]
    if not n:
        raise IndexError(
            f"median(): Expected reduction dim {dim} to have non-zero size, got {shape}"
        )
    order = argsort.bind(x, axis=axis, descending=False, dtype=x.device.index_dtype)
    if x.spec.dtype.is_floating_point:
        kind = x.device.index_dtype
        bad = reduce_sum.bind(cast.bind(isnan(x), dtype=kind), axes=(axis,))
        bad = reshape.bind(bad, shape=tuple(1 if i == axis else m for i, m in enumerate(shape)))
        middle = floor_divide(sub(n - 1, bad), 2)
        middle = (
            where(lt(middle, 0), 0, middle) if skip_nan else where(le(bad, 0), middle, sub(n, bad))
        )
        index = gather.bind(order, middle, axis=axis)
    else:
        index = part(order, axis, (n - 1) // 2, (n - 1) // 2 + 1)
    value = gather.bind(x, index, axis=axis)
    if keepdim:
        return value, index
    rest = without(shape, (axis,))
    return reshape.bind(value, shape=rest), reshape.bind(index, shape=rest)


def searchsorted(edges: Tensor, values: Tensor, right: bool = False) -> Tensor:
    """Find the position of each of `values` in the ascending last axis of `edges`.

    `edges` is one line, or has the leading sizes of `values`. It is before equal elements, with `right` after
    them. The bisection takes one gather for each binary digit of the length of `edges`.
    """
    kind = values.device.index_dtype
    shape = values.spec.shape
    n = edges.spec.shape[-1]
    if len(edges.spec.shape) > 1 and edges.spec.shape[:-1] != shape[:-1]:
        raise ShapeError(
            f"searchsorted: the leading sizes of {edges.spec.shape} and {shape} must be equal, "
            "or the first must be one line"
        )
    count = shape[-1] if len(edges.spec.shape) > 1 else values.spec.size
    flat = reshape.bind(values, shape=(*edges.spec.shape[:-1], count))
    low = constant(0, spec(flat.spec.shape, kind), values.device)
    if not n:
        return constant(0, spec(shape, kind), values.device)
    step = 1 << (n.bit_length() - 1)
    axis = len(flat.spec.shape) - 1
    while step:
        last = add(low, step - 1)
        inside = lt(last, n)
        here = gather.bind(edges, where(inside, last, 0), axis=axis)
        before = (le if right else lt)(here, flat)
        if values.spec.dtype.is_floating_point:
            # a nan sorts last
            before = where(isnan(flat), True if right else bitwise_not(isnan(here)), before)
        low = where(bitwise_and(inside, before), add(last, 1), low)
        step >>= 1
    return reshape.bind(low, shape=shape)


__all__ = ["argsort", "kthvalue", "median", "searchsorted", "sort", "topk"]

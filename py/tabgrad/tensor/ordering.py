"""Order and counting: sorting, running results, medians, unique elements, histograms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, overload

from tabgrad.core import dtype as dt
from tabgrad.core.dtype import DType
from tabgrad.core.errors import ArgumentError, ShapeError
from tabgrad.core.op import real_only
from tabgrad.core.promotion import cast, long_only, needs_float, refuse_bool
from tabgrad.core.shape import needs_rank
from tabgrad.core.trace import Box
from tabgrad.ops import elementwise as e, reduction, rounding as r, scan, sorting, view as v
from tabgrad.ops.checked import within
from tabgrad.ops.indexing import gather
from tabgrad.tensor import arithmetic as a, return_types
from tabgrad.tensor.arguments import as_dtype, axis
from tabgrad.tensor.chained import chained
from tabgrad.tensor.creation import filled, tensor
from tabgrad.tensor.inplace import in_place
from tabgrad.tensor.joining import cat, narrow
from tabgrad.tensor.public import takes_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Number

    Pair = tuple[Tensor, Tensor]


@takes_out
@chained
def sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False
) -> return_types.sort:
    """Return (values, indices) sorted along `dim`; equal elements always keep their order.

    >>> import tabgrad as tg
    >>> tg.sort(tg.tensor([3, 1, 2], device="cpu")).values
    tensor([1, 2, 3])
    """
    return return_types.sort(
        *sorting.sort(input, axis("sort", dim, len(input.spec.shape)), descending)
    )


@takes_out
def msort(input: Tensor) -> Tensor:
    """Return `input` sorted along its first dim."""
    return sort(input, 0).values


@takes_out
@chained
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """Return the indices that sort `input` along `dim`."""
    return sort(input, dim, descending).indices


@takes_out
@chained
def topk(
    input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> return_types.topk:
    """Return (values, indices) of the k largest elements along `dim`, best first; or of the smallest."""
    at = axis("topk", dim, len(input.spec.shape))
    refuse_bool("topk", input)
    if not 0 <= k <= (input.spec.shape[at] if input.spec.shape else 1):
        raise ShapeError(f"topk: selected index k out of range: {k} of a dim of size "
                         f"{input.spec.shape[at] if input.spec.shape else 1}")  # fmt: skip
    return return_types.topk(*sorting.topk(input, k, at, largest))


@takes_out
@chained
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> return_types.kthvalue:
    """Return (values, indices) of the k-th smallest element along `dim`, counted from 1."""
    refuse_bool("kthvalue", input)
    return return_types.kthvalue(*sorting.kthvalue(input, k, dim, keepdim))


def _median(
    kind: Callable[..., Pair], x: Tensor, dim: int | None, keepdim: bool, skip: bool
) -> Any:
    refuse_bool("median", x)
    real_only("median", x.spec)
    if dim is None:
        flat = v.reshape.bind(x, shape=(x.spec.size,))
        if not x.spec.size and x.spec.dtype.category >= dt.FLOAT:
            return a.add(reduction.reduce_sum.bind(flat, axes=(0,)), math.nan)
        return _shared(flat, sorting.median(flat, 0, False, skip)[0])
    return kind(*sorting.median(x, dim, keepdim, skip))


def _shared(x: Tensor, value: Tensor) -> Tensor:
    """Return `value`, an element of the line `x`; all that equal it share its derivative."""
    if x.spec.dtype.category < dt.FLOAT:
        return value
    found = e.stop_gradient(value)
    same = e.where(r.isnan(found), r.isnan(x), r.eq(x, found))
    return reduction.reduce_max.bind(e.where(same, x, -math.inf), axes=(0,))


@overload
def median(input: Tensor, *, out: Tensor | None = None) -> Tensor: ...
@overload
def median(
    input: Tensor, dim: int, keepdim: bool = False, *, out: Pair | None = None
) -> return_types.median: ...
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:  # type: ignore[misc] # takes_out adds `out`
    """Return the median of all, or (values, indices) along `dim`: of an even number the lower one.

    >>> import tabgrad as tg
    >>> tg.median(tg.tensor([3.0, 1.0, 2.0, 4.0], device="cpu"))
    tensor(2.)
    """
    return _median(return_types.median, input, dim, keepdim, False)


takes_out(median)


@overload
def nanmedian(input: Tensor, *, out: Tensor | None = None) -> Tensor: ...
@overload
def nanmedian(
    input: Tensor, dim: int, keepdim: bool = False, *, out: Pair | None = None
) -> return_types.nanmedian: ...
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:  # type: ignore[misc] # takes_out adds `out`
    """Return the median of what is not nan."""
    return _median(return_types.nanmedian, input, dim, keepdim, True)


takes_out(nanmedian)


# -- running results -------------------------------------------------------------------------------


def _running(name: str, x: Tensor, dim: int, dtype: DType | None) -> tuple[Any, int]:
    if dtype is not None:
        x = cast(x, x.device.canonical(dtype, True))
    elif x.spec.dtype.category < dt.FLOAT:
        x = as_dtype(x, dt.int64)
    return x, axis(name, dim, len(x.spec.shape))


@takes_out
@chained
def cumsum(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """Return the running sum along `dim`.

    >>> import tabgrad as tg
    >>> tg.cumsum(tg.tensor([1, 2, 3], device="cpu"), 0)
    tensor([1, 3, 6])
    """
    x, at = _running("cumsum", input, dim, dtype)
    return scan.cumsum.bind(x, axis=at, reverse=False) if x.spec.shape else e.copy.bind(x)


@takes_out
@chained
def cumprod(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """Return the running product along `dim`."""
    x, at = _running("cumprod", input, dim, dtype)
    return scan.cumprod(x, at) if x.spec.shape else e.copy.bind(x)


@takes_out
@chained
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """Return the logarithm of the running sum of exp(x) along `dim`, without overflow."""
    needs_float("logcumsumexp", input)
    at = axis("logcumsumexp", dim, len(input.spec.shape))
    if not input.spec.shape:
        return e.copy.bind(input)
    return scan.logcumsumexp.bind(input, axis=at, reverse=False)


def _extremes(name: str, x: Tensor, dim: int, least: bool) -> tuple[Any, Any]:
    at = axis(name, dim, len(x.spec.shape))
    if x.spec.shape:
        return scan.cumextreme(x, at, least)
    return e.copy.bind(x), filled((), 0, x.device.index_dtype, x.device)


@takes_out
@chained
def cummax(input: Tensor, dim: int) -> return_types.cummax:
    """Return (values, indices) of the largest element so far along `dim`."""
    return return_types.cummax(*_extremes("cummax", input, dim, False))


@takes_out
@chained
def cummin(input: Tensor, dim: int) -> return_types.cummin:
    """Return (values, indices) of the smallest element so far along `dim`."""
    return return_types.cummin(*_extremes("cummin", input, dim, True))


@takes_out
@chained
def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return the n-th differences of neighbours along `dim`."""
    if not n:
        return e.copy.bind(input)
    parts = [p for p in (prepend, input, append) if p is not None]
    x = cat(parts, dim) if len(parts) > 1 else input
    needs_rank("diff", x.spec.shape, 1)
    at = axis("diff", dim, len(x.spec.shape))
    for _ in range(n):
        size = x.spec.shape[at]
        if size < 1:
            break
        last, first = narrow(x, at, 1, size - 1), narrow(x, at, 0, size - 1)
        x = r.ne(last, first) if x.spec.dtype is dt.bool_ else a.sub(last, first)
    return x


# -- searching and counting ------------------------------------------------------------------------


@takes_out
@chained
def searchsorted(
    sorted_sequence: Tensor, input: Tensor | Number, *, out_int32: bool = False,
    right: bool = False, side: str | None = None, sorter: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return where each element belongs in the ascending last dim of `sorted_sequence`.

    Before equal elements, or with `right` (`side` "right") after them. `sorter` holds the indices that sort a
    sequence which is not ascending.

    >>> import tabgrad as tg
    >>> x = tg.tensor([3.0, 1.0, 2.0], device="cpu")
    >>> tg.searchsorted(x, tg.tensor([2.0, 5.0], device="cpu"), sorter=tg.argsort(x))
    tensor([1, 3])
    """
    edges = sorted_sequence
    needs_rank("searchsorted", edges.spec.shape, 1)
    refuse_bool("searchsorted", edges)
    if side not in (None, "left", "right"):
        raise ArgumentError(f"searchsorted(): side can only be 'left' or 'right' but got {side}")
    if right and side == "left":
        raise ArgumentError(
            "searchsorted(): side and right can't be set to opposites, got side of left while right was True"
        )
    if sorter is not None:
        if sorter.spec.shape != edges.spec.shape:
            raise ShapeError(
                f"searchsorted(): boundary and sorter must have the same size, but got boundary "
                f"{edges.spec.shape} and sorter {sorter.spec.shape}"
            )
        long_only("searchsorted", sorter)
        last = len(edges.spec.shape) - 1
        order = within("searchsorted", sorter, edges.spec.shape[last], last)
        edges = gather.bind(edges, order, axis=last)
    given = (
        input if isinstance(input, Box) else tensor(input, dtype=edges.dtype, device=edges.device)
    )
    dtype = dt.promote(edges.spec.dtype, given.spec.dtype)
    found = sorting.searchsorted(cast(edges, dtype), cast(given, dtype), right or side == "right")
    return cast(found, dt.int32) if out_int32 else found


@takes_out
def bucketize(
    input: Tensor | Number, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """Return which interval of the ascending `boundaries` each element lies in."""
    if len(boundaries.spec.shape) != 1:
        raise ShapeError(
            f"boundaries tensor must be 1 dimension, but got dim({len(boundaries.spec.shape)})"
        )
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


class OrderingMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    argsort = argsort
    cummax = cummax
    cummin = cummin
    cumprod, cumprod_ = cumprod, in_place(cumprod)
    cumsum, cumsum_ = cumsum, in_place(cumsum)
    diff = diff
    kthvalue = kthvalue
    logcumsumexp = logcumsumexp
    median = median
    msort = msort
    nanmedian = nanmedian
    sort = sort
    topk = topk


__all__ = [
    "argsort", "bucketize", "cummax", "cummin", "cumprod", "cumsum", "diff", "kthvalue", "logcumsumexp",
    "median", "msort", "nanmedian", "searchsorted", "sort", "topk",
]  # fmt: skip

"""Order and counting: sorting, running results, medians, unique elements, histograms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.dtype import DType
from tabgrad.core.errors import DTypeError, ShapeError
from tabgrad.core.promotion import cast
from tabgrad.core.trace import Box
from tabgrad.functions import arithmetic as a, nonzero, ranges, reading, reductions, return_types
from tabgrad.functions.arguments import as_dtype, axis, floating
from tabgrad.functions.creation import filled, tensor
from tabgrad.ops import elementwise as e, indexing as i, rounding as r, scan, sorting, view as v

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """Return (values, indices) sorted along `dim`; equal elements always keep their order.

    >>> import tabgrad as tg
    >>> tg.sort(tg.tensor([3, 1, 2], device="cpu")).values
    tensor([1, 2, 3])
    """
    return return_types.sort(
        *sorting.sort(input, axis("sort", dim, len(input.spec.shape)), descending)
    )


def msort(input: Tensor) -> Tensor:
    """Return `input` sorted along its first dim."""
    return sort(input, 0).values


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """Return the indices that sort `input` along `dim`."""
    return sort(input, dim, descending).indices


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """Return (values, indices) of the k largest elements along `dim`, best first; or of the smallest."""
    at = axis("topk", dim, len(input.spec.shape))
    if not 0 <= k <= (input.spec.shape[at] if input.spec.shape else 1):
        raise ShapeError(f"topk: selected index k out of range: {k} of a dim of size "
                         f"{input.spec.shape[at] if input.spec.shape else 1}")  # fmt: skip
    return return_types.topk(*sorting.topk(input, k, at, largest))


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """Return (values, indices) of the k-th smallest element along `dim`, counted from 1."""
    return return_types.kthvalue(*sorting.kthvalue(input, k, dim, keepdim))


def _median(kind: Any, x: Any, dim: int | None, keepdim: bool, skip: bool) -> Any:
    if dim is None:
        flat = v.reshape.bind(x, shape=(x.spec.size,))
        return sorting.median(flat, 0, False, skip)[0]
    return kind(*sorting.median(x, dim, keepdim, skip))


def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the median of all, or (values, indices) along `dim`: of an even number the lower one.

    >>> import tabgrad as tg
    >>> tg.median(tg.tensor([3.0, 1.0, 2.0, 4.0], device="cpu"))
    tensor(2.)
    """
    return _median(return_types.median, input, dim, keepdim, False)


def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the median of what is not nan."""
    return _median(return_types.nanmedian, input, dim, keepdim, True)


def quantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *,
    interpolation: str = "linear",
) -> Tensor:  # fmt: skip
    """Return the q-th quantile along `dim`, or of all; q is a number or a 1-d tensor in [0, 1]."""
    x: Any = v.reshape.bind(input, shape=(input.spec.size,)) if dim is None else input
    at = axis("quantile", dim or 0, len(x.spec.shape))
    n = x.spec.shape[at]
    if not n:
        raise ShapeError("quantile() input tensor must be non-empty")
    fractions: Any = (
        q if isinstance(q, Box) else tensor(float(q), dtype=x.spec.dtype, device=x.device)
    )
    ordered = sorting.sort(x, at, False)[0]
    place = a.mul(cast(fractions, x.spec.dtype), float(n - 1))
    low, high = a.floor(place), a.ceil(place)
    weight = {
        "linear": a.sub(place, low), "lower": a.mul(place, 0.0), "higher": a.ceil(a.sub(place, low)),
        "midpoint": a.mul(a.ceil(a.sub(place, low)), 0.5), "nearest": a.round(a.sub(place, low)),
    }  # fmt: skip
    if interpolation not in weight:
        raise ShapeError(
            f"quantile: interpolation must be one of {', '.join(weight)}, got {interpolation!r}"
        )
    from tabgrad.functions.indexing import getitem
    from tabgrad.functions.shaping import movedim, unsqueeze

    rows: Any = movedim(ordered, at, 0)
    kind = x.device.index_dtype
    below, above = (getitem(rows, cast(k, kind)) for k in (low, high))
    w: Any = v.reshape.bind(
        weight[interpolation], shape=(*fractions.spec.shape, *(1,) * (len(rows.spec.shape) - 1))
    )
    y: Any = a.add(below, a.mul(a.sub(above, below), w))
    if keepdim:
        ones = [1] * len(input.spec.shape) if dim is None else None
        if ones is not None:
            return v.reshape.bind(y, shape=(*fractions.spec.shape, *ones))
        return unsqueeze(y, at + len(fractions.spec.shape))
    return y


def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """Return (values, indices) of the commonest element along `dim`, the smallest of equally common ones."""
    at = axis("mode", dim, len(input.spec.shape))
    values, order = sorting.sort(input, at, False)
    x: Any = v.reshape.bind(
        values, shape=(*values.spec.shape[: at + 1], 1, *values.spec.shape[at + 1 :])
    )
    y: Any = v.reshape.bind(values, shape=(*values.spec.shape[:at], 1, *values.spec.shape[at:]))
    counts = reductions.sum(cast(r.eq(x, y), input.device.index_dtype), at + 1)
    best = reductions.argmax(counts, at, True)
    # the last of the run of equal elements is the one PyTorch names
    best = a.sub(a.add(best, i.gather.bind(counts, best, axis=at)), 1)
    found, where_ = i.gather.bind(values, best, axis=at), i.gather.bind(order, best, axis=at)
    if keepdim:
        return return_types.mode(found, where_)
    shape = tuple(n for k, n in enumerate(input.spec.shape) if k != at)
    return return_types.mode(
        v.reshape.bind(found, shape=shape), v.reshape.bind(where_, shape=shape)
    )


# -- running results -------------------------------------------------------------------------------


def _running(name: str, x: Any, dim: int, dtype: DType | None) -> tuple[Any, int]:
    if dtype is not None:
        x = cast(x, x.device.canonical(dtype, True))
    elif x.spec.dtype.category < dt.FLOAT:
        x = as_dtype(x, dt.int64)
    return x, axis(name, dim, len(x.spec.shape))


def cumsum(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """Return the running sum along `dim`.

    >>> import tabgrad as tg
    >>> tg.cumsum(tg.tensor([1, 2, 3], device="cpu"), 0)
    tensor([1, 3, 6])
    """
    x, at = _running("cumsum", input, dim, dtype)
    return scan.cumsum.bind(x, axis=at, reverse=False) if x.spec.shape else e.copy.bind(x)


def cumprod(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """Return the running product along `dim`."""
    x, at = _running("cumprod", input, dim, dtype)
    return scan.cumprod(x, at) if x.spec.shape else e.copy.bind(x)


def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """Return the logarithm of the running sum of exp(x) along `dim`, without overflow."""
    x = floating("logcumsumexp", input)
    at = axis("logcumsumexp", dim, len(x.spec.shape))
    return scan.logcumsumexp.bind(x, axis=at, reverse=False) if x.spec.shape else e.copy.bind(x)


def cummax(input: Tensor, dim: int) -> Any:
    """Return (values, indices) of the largest element so far along `dim`."""
    return return_types.cummax(
        *scan.cumextreme(input, axis("cummax", dim, len(input.spec.shape)), False)
    )


def cummin(input: Tensor, dim: int) -> Any:
    """Return (values, indices) of the smallest element so far along `dim`."""
    return return_types.cummin(
        *scan.cumextreme(input, axis("cummin", dim, len(input.spec.shape)), True)
    )


def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None
) -> Tensor:
    """Return the n-th differences of neighbours along `dim`."""
    from tabgrad.functions.joining import cat, narrow

    parts = [p for p in (prepend, input, append) if p is not None]
    x: Any = cat(parts, dim) if len(parts) > 1 else input
    at = axis("diff", dim, len(x.spec.shape))
    for _ in range(n):
        size = x.spec.shape[at]
        if size < 1:
            break
        last, first = narrow(x, at, 1, size - 1), narrow(x, at, 0, size - 1)
        x = r.ne(last, first) if x.spec.dtype is dt.bool_ else a.sub(last, first)
    return x


# -- searching and counting ------------------------------------------------------------------------


def searchsorted(
    sorted_sequence: Tensor, input: Any, *, out_int32: bool = False, right: bool = False,
    side: str | None = None,
) -> Tensor:  # fmt: skip
    """Return where each element belongs in the ascending last dim of `sorted_sequence`."""
    edges: Any = sorted_sequence
    given: Any = (
        input if isinstance(input, Box) else tensor(input, dtype=edges.dtype, device=edges.device)
    )
    dtype = dt.promote(edges.spec.dtype, given.spec.dtype)
    found = sorting.searchsorted(cast(edges, dtype), cast(given, dtype), right or side == "right")
    return cast(found, dt.int32) if out_int32 else found


def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """Return which interval of the ascending `boundaries` each element lies in."""
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def unique(
    input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
    dim: int | None = None,
) -> Any:  # fmt: skip
    """Return the different elements in ascending order; if asked, also which one each is, and how often.

    Reads back how many there are. `dim` is not supported.

    >>> import tabgrad as tg
    >>> tg.unique(tg.tensor([2, 1, 2], device="cpu"), return_counts=True)
    (tensor([1, 2]), tensor([1, 2]))
    """
    if dim is not None:
        raise ShapeError("unique: only the flattened tensor (dim=None) can be asked for")
    flat = v.reshape.bind(e.stop_gradient(input), shape=(input.spec.size,))
    values, order = sorting.sort(flat, 0, False)
    found, group, counts = _groups(values)
    if return_inverse:
        inverse = i.scatter.bind(
            filled(group.spec.shape, 0, group.spec.dtype, flat.device), order, group, axis=0
        )
        inverse = v.reshape.bind(inverse, shape=input.spec.shape)
        return (found, inverse, counts) if return_counts else (found, inverse)
    return (found, counts) if return_counts else found


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """Return the elements without repeats; if asked, also the run that each is in, and the runs' lengths."""
    if dim is not None:
        raise ShapeError(
            "unique_consecutive: only the flattened tensor (dim=None) can be asked for"
        )
    flat = v.reshape.bind(e.stop_gradient(input), shape=(input.spec.size,))
    found, group, counts = _groups(flat)
    parts = [found]
    if return_inverse:
        parts.append(v.reshape.bind(group, shape=input.spec.shape))
    if return_counts:
        parts.append(counts)
    return tuple(parts) if len(parts) > 1 else found


def _groups(line: Any) -> tuple[Any, Any, Any]:
    """Return the first element of each run of equal ones, the run of each element, and the runs' lengths."""
    n, device = line.spec.size, line.device
    kind = device.index_dtype
    if not n:
        empty = filled((0,), 0, kind, device)
        return line, empty, empty
    now, before = (v.part(line, 0, k, n - 1 + k) for k in (1, 0))
    first = filled((1,), True, dt.bool_, device)
    starts = i.cat.bind(first, r.ne(now, before), axis=0)
    at = nonzero.places(starts)
    group = a.sub(scan.cumsum.bind(cast(starts, kind), axis=0, reverse=False), 1)
    end = i.cat.bind(v.part(at, 0, 1, at.spec.size), filled((1,), n, kind, device), axis=0)
    return i.gather.bind(line, at, axis=0), group, a.sub(end, at)


def bincount(input: Tensor, weights: Any = None, minlength: int = 0) -> Tensor:
    """Return how often each of 0, 1, 2, ... occurs in a 1-d integer tensor, or the sum of its weights.

    Reads back the largest element.
    """
    if len(input.spec.shape) != 1 or input.spec.dtype.category != dt.INT:
        raise DTypeError("bincount only supports 1-d non-negative integral inputs.")
    k = cast(input, input.device.index_dtype)
    n = minlength
    if input.spec.size:
        low, high = (int(reading.item(f(k))) for f in (reductions.amin, reductions.amax))
        if low < 0:
            raise DTypeError(f"bincount only supports 1-d non-negative integral inputs, got {low}")
        n = max(n, high + 1)
    if weights is None:
        one = filled(input.spec.shape, 1, k.spec.dtype, k.device)
    else:
        one = weights if weights.spec.dtype is dt.float32 else as_dtype(weights, dt.float64)
    return i.scatter_add.bind(filled((n,), 0, one.spec.dtype, k.device), k, one, axis=0)


def histc(input: Tensor, bins: int = 100, min: Any = 0, max: Any = 0) -> Tensor:
    """Return how many elements lie in each of `bins` equal intervals from min to max; both 0: of the data."""
    x = e.stop_gradient(v.reshape.bind(input, shape=(input.spec.size,)))
    low, high = float(min), float(max)
    if low == high == 0 and input.spec.size:
        low, high = (float(reading.item(f(x))) for f in (reductions.amin, reductions.amax))
    if low == high:
        low, high = low - 1, high + 1
    counts = _counted(x, low, high, bins)
    return cast(counts, input.spec.dtype)


def _counted(x: Any, low: float, high: float, bins: int, weight: Any = None) -> Any:
    kind = x.device.index_dtype
    place = a.floor(a.mul(a.sub(x, low), bins / (high - low)))
    at = cast(a.clamp(place, 0, bins - 1), kind)
    inside = r.bitwise_and(r.ge(x, low), r.le(x, high))
    one = cast(inside, kind) if weight is None else e.where(inside, weight, 0)
    return i.scatter_add.bind(filled((bins,), 0, one.spec.dtype, x.device), at, one, axis=0)


def histogram(
    input: Tensor, bins: Any, *, range: Any = None, weight: Any = None, density: bool = False
) -> Any:
    """Return (hist, bin_edges): how many elements, or what weight, in each bin; the last one is closed.

    `bins` is a number of equal ones over `range`, or the data's, or a tensor of edges.
    """
    x: Any = e.stop_gradient(v.reshape.bind(input, shape=(input.spec.size,)))
    if isinstance(bins, Box):
        edges: Any = bins
    else:
        low, high = range or tuple(reading.item(f(x)) for f in (reductions.amin, reductions.amax))
        if low == high:
            low, high = low - 0.5, high + 0.5
        edges = ranges.linspace(low, high, bins + 1, dtype=input.spec.dtype, device=x.device)
    n = edges.spec.size - 1
    at = a.sub(sorting.searchsorted(edges, x, True), 1)
    at = e.where(r.eq(x, v.reshape.bind(v.part(edges, 0, n, n + 1), shape=())), n - 1, at)
    inside = r.bitwise_and(r.ge(at, 0), r.lt(at, n))
    one = (
        filled(x.spec.shape, 1, x.spec.dtype, x.device)
        if weight is None
        else v.reshape.bind(weight, shape=x.spec.shape)
    )
    counted = e.where(inside, one, 0)
    hist: Any = i.scatter_add.bind(
        filled((n,), 0, one.spec.dtype, x.device), a.clamp(at, 0, n - 1), counted, axis=0
    )
    if density:
        hist = a.div(hist, a.mul(reductions.sum(hist), diff(edges)))
    return return_types.histogram(hist, edges)


def corrcoef(input: Tensor) -> Tensor:
    """Return the correlation of the rows of a matrix."""
    c: Any = cov(input)
    if not c.spec.shape:
        return a.div(c, c)
    from tabgrad.functions.diagonals import diagonal

    d: Any = a.sqrt(diagonal(c))
    return a.clamp(a.div(a.div(c, v.reshape.bind(d, shape=(d.spec.size, 1))), d), -1, 1)


def cov(
    input: Tensor, *, correction: int = 1, fweights: Any = None, aweights: Any = None
) -> Tensor:
    """Return the covariance of the rows of a matrix, each column an observation; of one row its variance."""
    if fweights is not None or aweights is not None:
        raise ShapeError("cov: weights are not supported; repeat or scale the observations")
    from tabgrad.functions.linear import mm

    x: Any = floating("cov", input)
    rows = x if len(x.spec.shape) == 2 else v.reshape.bind(x, shape=(1, x.spec.size))
    n = rows.spec.shape[1]
    gap: Any = a.sub(rows, reductions.mean(rows, 1, True))
    c = a.div(mm(gap, v.permute.bind(gap, dims=(1, 0))), float(max(n - correction, 0)))
    return c if len(x.spec.shape) == 2 else v.reshape.bind(c, shape=())

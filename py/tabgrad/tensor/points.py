"""Points with several coordinates: distances, norms, histograms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError
from tabgrad.core.promotion import single, widened
from tabgrad.core.shape import broadcast, with_ones
from tabgrad.core.tensor_arguments import of_tensors
from tabgrad.core.trace import MODE, Box, using
from tabgrad.ops import elementwise as e, indexing as i, linalg, rounding as r, view
from tabgrad.ops.reduction import keep, reduce_sum
from tabgrad.ops.view import expand, reshape
from tabgrad.tensor import creation, ranges, reading, reductions, return_types, selecting
from tabgrad.tensor.arguments import axis
from tabgrad.tensor.chained import chained
from tabgrad.tensor.inplace import in_place
from tabgrad.tensor.norms import root, vector_norm
from tabgrad.tensor.ordering import diff
from tabgrad.tensor.public import publish, takes_out
from tabgrad.tensor.statistics import bin_of

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor

MODES = (
    "use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist",
)  # fmt: skip


@of_tensors
def cdist(
    x1: Tensor, x2: Tensor, p: float = 2.0,
    compute_mode: str | None = "use_mm_for_euclid_dist_if_necessary",
) -> Tensor:  # fmt: skip
    """Return the p-norm distances [..., P, R] of the rows of `x1` [..., P, M] from those of `x2` [..., R, M].

    With p = 2 and more than 25 rows the distances come from a matrix product, as in PyTorch: it is faster, and
    loses digits where rows nearly agree. `compute_mode` asks for it always, or never
    ("donot_use_mm_for_euclid_dist"). The derivative at distance 0 is 0.

    >>> import tabgrad as tg
    >>> x = tg.tensor([[0.0, 0.0], [3.0, 4.0]], device="cpu")
    >>> tg.cdist(x, x)
    tensor([[0., 5.],
            [5., 0.]])
    """
    if MODE.get().autocast is not None:
        with using(MODE.get().replace(autocast=None)):
            return cdist(single(x1), single(x2), p, compute_mode)
    for name, x in (("X1", x1), ("X2", x2)):
        if len(x.spec.shape) < 2:
            raise ShapeError(
                f"cdist only supports at least 2D tensors, {name} got: {len(x.spec.shape)}D"
            )
        if x.spec.dtype.category != dt.FLOAT:
            raise DTypeError(
                f"cdist only supports floating-point dtypes, {name} got: {x.spec.dtype.title}"
            )
    if x1.spec.dtype is not x2.spec.dtype:
        raise DTypeError(
            f"cdist: expected scalar type {x1.spec.dtype.title} but found {x2.spec.dtype.title}"
        )
    if x1.spec.shape[-1] != x2.spec.shape[-1]:
        raise ShapeError(
            "X1 and X2 must have the same number of columns. "
            f"X1: {x1.spec.shape[-1]} X2: {x2.spec.shape[-1]}"
        )
    if not p >= 0:
        raise ArgumentError(f"cdist only supports non-negative p values, got {p}")
    mode = MODES[0] if compute_mode is None else compute_mode
    if mode not in MODES:
        raise ArgumentError(f"{compute_mode} is not a valid value for compute_mode")
    return _between(x1, x2, float(p), mode)


@chained
@widened
def _between(x1: Tensor, x2: Tensor, p: float, mode: str) -> Tensor:
    rows, others, width = x1.spec.shape[-2], x2.spec.shape[-2], x1.spec.shape[-1]
    lead = broadcast("cdist", x1.spec.shape[:-2], x2.spec.shape[:-2])
    x1, x2 = (expand.bind(x, shape=(*lead, *x.spec.shape[-2:])) for x in (x1, x2))
    many = rows > 25 or others > 25
    if p == 2 and (mode == MODES[1] or (mode == MODES[0] and many)):
        return root(_squared_distances(x1, x2))
    wide = (*lead, rows, others, width)
    left = reshape.bind(x1, shape=(*lead, rows, 1, width))
    right = reshape.bind(x2, shape=(*lead, 1, others, width))
    gap = e.sub.bind(expand.bind(left, shape=wide), expand.bind(right, shape=wide))
    return _length(gap, p)


def _length(gap: Any, p: float) -> Tensor:
    """Return the p-norm over the last axis, 0 if it is empty."""
    last = (len(gap.spec.shape) - 1,)
    return vector_norm(gap, p, last) if gap.spec.shape[-1] else reduce_sum.bind(gap, axes=last)


def _squared_distances(x1: Tensor, x2: Tensor) -> Tensor:
    last = len(x1.spec.shape) - 1
    product = linalg.matmul.bind(x1, linalg.transposed(x2))
    one = keep(reduce_sum.bind(e.square(x1), axes=(last,)), product, (last,))
    other = keep(reduce_sum.bind(e.square(x2), axes=(last,)), product, (last - 1,))
    total = e.sub(e.add(one, other), e.mul(product, 2))
    # rounding may leave a little less than nothing; a nan stays
    return e.where(r.lt(total, 0), 0, total)


def pdist(input: Tensor, p: float = 2) -> Tensor:
    """Return the p-norm distance of each pair of rows of a matrix [N, M], row 0 with 1, 2, ..., then row 1.

    >>> import tabgrad as tg
    >>> tg.pdist(tg.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 4.0]], device="cpu"))
    tensor([5., 4., 3.])
    """
    if len(input.spec.shape) != 2:
        raise ShapeError(f"pdist only supports 2D tensors, got: {len(input.spec.shape)}D")
    if input.spec.dtype.category != dt.FLOAT:
        raise DTypeError(
            f"pdist only supports floating-point dtypes, got: {input.spec.dtype.title}"
        )
    if not p >= 0:
        raise ArgumentError(f"pdist only supports non-negative p values, got {p}")
    return _pairwise(input, float(p))


@chained
@widened
def _pairwise(x: Tensor, p: float) -> Tensor:
    pairs = list(combinations(range(x.spec.shape[0]), 2))
    kind = x.device.index_dtype
    first, second = (
        selecting.index_select(x, 0, creation.tensor(line, dtype=kind, device=x.device))
        for line in ([pair[k] for pair in pairs] for k in range(2))
    )
    return _length(e.sub.bind(first, second), p)


@takes_out
@chained
@widened
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Return `input` with each slice along `dim` whose p-norm is above `maxnorm` scaled down to it.

    >>> import tabgrad as tg
    >>> tg.renorm(tg.tensor([[3.0, 4.0], [0.3, 0.4]], device="cpu"), 2, 0, 1)
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    """
    shape = input.spec.shape
    if not p > 0:
        raise ArgumentError(f"renorm: non-positive-norm not supported, got p={p}")
    if len(shape) < 2:
        raise ShapeError(f"renorm: input needs at least 2 dimensions, got {len(shape)} dimensions")
    if maxnorm < 0:
        raise ArgumentError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    if input.spec.dtype.category < dt.FLOAT:
        raise DTypeError(
            "renorm: Expected a floating point or complex tensor as input. Got "
            f"{input.spec.dtype.title}"
        )
    at = axis("renorm", dim, len(shape))
    over = tuple([k for k in range(len(shape)) if k != at])
    size = vector_norm(input, p, over)
    large = r.gt(size, maxnorm)
    factor = e.where(large, e.div(maxnorm, e.add(e.where(large, size, 1), 1e-7)), 1)
    return e.mul(input, keep(factor, input, over))


@chained
@widened
def norm_except_dim(v: Tensor, pow: int = 2, dim: int = 0) -> Tensor:
    """Return the norms over all dims but `dim`, which are kept with size 1; with `dim` -1 the norm of all.

    >>> import tabgrad as tg
    >>> tg.norm_except_dim(tg.tensor([[3.0, 4.0], [0.0, 2.0]], device="cpu"))
    tensor([[5.],
            [2.]])
    """
    shape = v.spec.shape
    if dim == -1:
        return vector_norm(v, pow, tuple(range(len(shape))))
    at = axis("norm_except_dim", dim, len(shape))
    over = tuple([k for k in range(len(shape)) if k != at])
    found: Any = vector_norm(v, pow, over)
    return reshape.bind(found, shape=with_ones(shape, over))


def _edges(x: Tensor, bins: int, span: Sequence[float] | None, k: int) -> Tensor:
    """Return equal bins over `span`, or over the data."""
    low, high = span or (0.0, 1.0)
    if span is None and x.spec.size:
        low, high = (float(reading.item(f(x))) for f in (reductions.amin, reductions.amax))
    if not math.isfinite(low) or not math.isfinite(high):
        raise ArgumentError(f"histogramdd: dimension {k}'s range [{low}, {high}] is not finite")
    if low > high:
        raise ArgumentError(
            f"histogramdd: min should not exceed max, but got min {low} max {high} for dimension {k}"
        )
    if low == high:
        low, high = low - 0.5, high + 0.5
    return ranges.linspace(low, high, bins + 1, dtype=x.spec.dtype, device=x.device)


def _check_bins(
    input: Tensor, bins: Sequence[Any], spans: list[float] | None, weight: Tensor | None
) -> None:
    shape = input.spec.shape
    if len(bins) != shape[-1]:
        raise ShapeError(
            "histogramdd: The size of bins must be equal to the innermost dimension of the input: got "
            f"{len(bins)} for {shape}"
        )
    if spans is not None and len(spans) != 2 * shape[-1]:
        raise ShapeError(
            f"histogramdd: for a {shape[-1]}-dimensional histogram range should have {2 * shape[-1]} elements, "
            f"but got {len(spans)}"
        )
    if weight is not None and weight.spec.shape != shape[:-1]:
        raise ShapeError(
            "histogramdd: if weight tensor is provided it should have the same shape as the input tensor "
            f"excluding its innermost dimension, but got input with shape {shape} and weight with shape "
            f"{weight.spec.shape}"
        )


def histogramdd(
    input: Tensor, bins: int | Sequence[int] | Sequence[Tensor],
    range: Sequence[float] | None = None, weight: Tensor | None = None, density: bool = False,
) -> return_types.histogramdd:  # fmt: skip
    """Return (hist, bin_edges) of points [..., D]: how many, or what weight, in each cell of a grid.

    `bins` is a number of equal bins for each coordinate, or a sequence with a number or a tensor of edges for
    each; `range` holds the ends for each coordinate, (low, high, low, high, ...), those of the data by default,
    which are read. The last bin of each coordinate is closed.

    >>> import tabgrad as tg
    >>> points = tg.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]], device="cpu")
    >>> tg.histogramdd(points, 2).hist
    tensor([[1., 0.],
            [1., 1.]])
    """
    shape, dtype = input.spec.shape, input.spec.dtype
    if len(shape) < 2:
        raise ShapeError(
            f"histogramdd: input tensor should have at least 2 dimensions, got {shape}"
        )
    if dtype.category != dt.FLOAT:
        raise DTypeError(
            f"\"histogramdd\" not implemented for '{dtype.title}'; cast it with .float()"
        )
    each: Any = [bins] * shape[-1] if hasattr(bins, "__index__") else list(bins)
    spans = None if range is None else [float(n) for n in range]
    _check_bins(input, each, spans, weight)
    n = math.prod(shape[:-1])
    points = reshape.bind(e.stop_gradient(input), shape=(n, shape[-1]))
    edges: list[Any] = []
    cell: Any = None
    inside: Any = None
    for k, given in enumerate(each):
        x = reshape.bind(view.part(points, 1, k, k + 1), shape=(n,))
        span = None if spans is None else spans[2 * k : 2 * k + 2]
        edges.append(given if isinstance(given, Box) else _edges(x, int(given), span, k))
        at, here = bin_of(x, edges[-1])
        count = edges[-1].spec.size - 1
        cell = at if cell is None else e.add(e.mul(cell, count), at)
        inside = here if inside is None else r.bitwise_and(inside, here)
    counts = tuple([x.spec.size - 1 for x in edges])
    hist = _counted(cell, inside, counts, weight, input)
    if density:
        hist = e.div(hist, reductions.sum(hist))
        for k, x in enumerate(edges):
            widths = reshape.bind(diff(x), shape=_line(counts, k))
            hist = e.div(hist, widths)
    return return_types.histogramdd(hist, tuple(edges))


def _line(counts: tuple[int, ...], k: int) -> tuple[int, ...]:
    return tuple([n if i == k else 1 for i, n in enumerate(counts)])


def _counted(
    cell: Any, inside: Any, counts: tuple[int, ...], weight: Tensor | None, like: Tensor
) -> Any:
    """Return the sums of the weights in each cell."""
    n = inside.spec.size
    one: Any = (
        creation.filled((n,), 1, like.spec.dtype, like.device)
        if weight is None
        else reshape.bind(weight, shape=(n,))
    )
    total = math.prod(counts)
    empty = creation.filled((total,), 0, one.spec.dtype, like.device)
    if not total:
        return reshape.bind(empty, shape=counts)
    place = e.where(inside, cell, 0)
    hist = i.scatter_add.bind(empty, place, e.where(inside, one, 0), axis=0)
    return reshape.bind(hist, shape=counts)


class PointsMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    renorm, renorm_ = renorm, in_place(renorm)


__all__ = ["cdist", "histogramdd", "norm_except_dim", "pdist", "renorm"]

publish(globals())

"""What a sample looks like: quantiles, counts, histograms, covariance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError, TransformError
from tabgrad.core.promotion import cast, needs_float, widened
from tabgrad.core.trace import Box, constant
from tabgrad.ops import elementwise as e, indexing as i, rounding as r, scan, sorting, view as v
from tabgrad.ops.checked import confined, within
from tabgrad.ops.decomposition_rules import readable
from tabgrad.tensor import arithmetic as a, elementary, ranges, reading, reductions, return_types
from tabgrad.tensor.arguments import as_dtype, axis, floating
from tabgrad.tensor.chained import chained
from tabgrad.tensor.creation import filled, tensor
from tabgrad.tensor.diagonals import diagonal
from tabgrad.tensor.fronts import complex_numbers
from tabgrad.tensor.linear import mm
from tabgrad.tensor.ordering import diff
from tabgrad.tensor.public import publish, takes_out
from tabgrad.tensor.shaping import adjoint, movedim, unsqueeze
from tabgrad.tensor.ternary import clamp, lerp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tabgrad.tensor import Tensor


@takes_out
@widened(cpu=True)
def quantile(
    input: Tensor, q: Tensor | float, dim: int | None = None, keepdim: bool = False, *,
    interpolation: str = "linear",
) -> Tensor:  # fmt: skip
    """Return the q-th quantile along `dim`, or of all; q is a number or a 1-d tensor in [0, 1].

    A row with a nan in it gives nan.
    """
    return _quantile(input, q, dim, keepdim, interpolation, False)


@takes_out
@widened(cpu=True)
def nanquantile(
    input: Tensor, q: Tensor | float, dim: int | None = None, keepdim: bool = False, *,
    interpolation: str = "linear",
) -> Tensor:  # fmt: skip
    """Return the q-th quantile of what is not nan.

    >>> import tabgrad as tg
    >>> tg.nanquantile(tg.tensor([1.0, float("nan"), 3.0], device="cpu"), 0.5)
    tensor(2.)
    """
    return _quantile(input, q, dim, keepdim, interpolation, True)


def _quantile(
    input: Tensor, q: Tensor | float, dim: int | None, keepdim: bool, interpolation: str, skip: bool
) -> Tensor:
    needs_float("quantile() input tensor must be either float or double dtype", input)
    if not input.spec.shape:
        axis("quantile", dim or 0, 0)
        dim = None
    x = v.reshape.bind(input, shape=(input.spec.size,)) if dim is None else input
    at = axis("quantile", dim or 0, len(x.spec.shape))
    n = x.spec.shape[at]
    if not x.spec.size:
        raise ShapeError("quantile() input tensor must be non-empty")
    if not isinstance(q, Box) and not 0 <= q <= 1:
        raise ArgumentError(f"quantile() q must be in the range [0, 1] but got {q}")
    fractions = (
        confined(q, rule="from 0 to 1", message="quantile() q values must be in the range [0, 1]")
        if isinstance(q, Box)
        else tensor(float(q), dtype=x.spec.dtype, device=x.device)
    )
    rows = movedim(sorting.sort(x, at, False)[0], at, 0)
    rest = rows.spec.shape[1:]
    # nan comes last
    there = reductions.sum(cast(reductions.negated(r.isnan(rows)), x.spec.dtype), 0)
    wide = v.reshape.bind(fractions, shape=(*fractions.spec.shape, *(1,) * len(rest)))
    last = clamp(a.sub(there, 1.0), 0.0) if skip else float(n - 1)
    place = a.mul(cast(wide, x.spec.dtype), last)
    if not skip:
        place = e.where(r.lt(there, n), float(n - 1), place)
    y = _interpolated(rows, place, (*fractions.spec.shape, *rest), interpolation)
    if not keepdim:
        return y
    if dim is None:
        return v.reshape.bind(y, shape=(*fractions.spec.shape, *(1,) * len(input.spec.shape)))
    return unsqueeze(y, at + len(fractions.spec.shape))


def _interpolated(
    rows: Tensor, place: Tensor, shape: tuple[int, ...], interpolation: str
) -> Tensor:
    """Return what lies at fractional places of each column of `rows`."""
    modes: dict[str, Any] = {
        "lower": elementary.floor,
        "higher": elementary.ceil,
        "nearest": elementary.round,
    }
    if interpolation in modes:
        # elements as they are: a difference from an infinite neighbour would be nan
        return _rows_at(rows, modes[interpolation](place), shape)
    if interpolation not in ("linear", "midpoint"):
        raise ShapeError(
            f"quantile: interpolation must be one of linear, midpoint, {', '.join(modes)}, "
            f"got {interpolation!r}"
        )
    low = elementary.floor(place)
    below, above = (_rows_at(rows, k, shape) for k in (low, elementary.ceil(place)))
    return lerp(below, above, 0.5 if interpolation == "midpoint" else a.sub(place, low))


def _rows_at(rows: Tensor, place: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the element of each column of `rows` at `place`, which broadcasts to `shape`."""
    rest = rows.spec.shape[1:]
    at = cast(place, rows.device.index_dtype)
    at = at if at.spec.shape == shape else v.expand.bind(at, shape=shape)
    at = v.reshape.bind(at, shape=(math.prod(shape[: len(shape) - len(rest)]), *rest))
    return v.reshape.bind(i.gather.bind(rows, at, axis=0), shape=shape)


@takes_out
@chained
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> return_types.mode:
    """Return (values, indices) of the commonest element along `dim`, the smallest of equally common ones."""
    at = axis("mode", dim, len(input.spec.shape))
    if not input.spec.shape:
        return return_types.mode(
            e.copy.bind(input), filled((), 0, input.device.index_dtype, input.device)
        )
    if not input.spec.shape[at]:
        raise IndexError(
            f"mode(): Expected reduction dim {at} to have non-zero size, got shape {input.spec.shape}"
        )
    values, order = sorting.sort(input, at, False)
    # PyTorch names the last of the run of equal elements: where the first of the longest runs ends
    best = reductions.argmax(_repeats(values, at), at, True)
    found, where_ = i.gather.bind(values, best, axis=at), i.gather.bind(order, best, axis=at)
    if keepdim:
        return return_types.mode(found, where_)
    shape = tuple(n for k, n in enumerate(input.spec.shape) if k != at)
    return return_types.mode(
        v.reshape.bind(found, shape=shape), v.reshape.bind(where_, shape=shape)
    )


def _repeats(values: Tensor, at: int) -> Tensor:
    """Return how many elements before each one along an axis are equal to it without a break."""
    shape, n = values.spec.shape, values.spec.shape[at]
    edge = tuple(1 if k == at else m for k, m in enumerate(shape))
    begins = filled(edge, True, dt.bool_, values.device)
    if n > 1:
        now, before = v.part(values, at, 1, n), v.part(values, at, 0, n - 1)
        begins = i.cat.bind(begins, r.ne(now, before), axis=at)
    places = i.iota_along(values, at)
    # the latest of equal extremes is where the run of an element begins
    starts = scan.running_extreme.bind(begins, axis=at, least=False, dtype=places.spec.dtype)
    return a.sub(places, starts)


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """Return how often each of 0, 1, 2, ... occurs in a 1-d integer tensor, or the sum of its weights.

    Reads back the largest element; inside of func.vmap there may be none from `minlength` on.
    """
    if len(input.spec.shape) != 1 or input.spec.dtype.category != dt.INT:
        raise DTypeError("bincount only supports 1-d non-negative integral inputs.")
    if minlength < 0:
        raise ArgumentError(f"bincount: minlength should be >= 0, got {minlength}")
    k = cast(input, input.device.index_dtype)
    n = minlength
    if input.spec.size:
        try:
            low, high = reading.tolist(_ends(k))
        except TransformError:
            return _weighed(_below(k, n), weights, n)
        if low < 0:
            raise DTypeError(f"bincount only supports 1-d non-negative integral inputs, got {low}")
        n = max(n, high + 1)
    return _weighed(k, weights, n)


def _below(k: Tensor, n: int) -> Tensor:
    """Return elements that can't be read, as under vmap: one that is not below `n` raises at the next read."""
    if not n:
        raise TransformError(
            "bincount: the length of the result depends on the elements, which can't be read inside of a "
            "transform; give it as minlength"
        )
    return within("bincount", k, n, 0, wraps=False)


@chained
def _ends(k: Tensor) -> Tensor:
    """Return the least and the largest element."""
    ends = [v.reshape.bind(f(k), shape=(1,)) for f in (reductions.amin, reductions.amax)]
    return i.cat.bind(*ends, axis=0)


@chained
def _weighed(k: Tensor, weights: Tensor | None, n: int) -> Tensor:
    if weights is None:
        one = filled(k.spec.shape, 1, k.spec.dtype, k.device)
    else:
        one = weights if weights.spec.dtype is dt.float32 else as_dtype(weights, dt.float64)
    return i.scatter_add.bind(filled((n,), 0, one.spec.dtype, k.device), k, one, axis=0)


@takes_out
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """Return how many elements lie in each of `bins` equal intervals from min to max; both 0: of the data."""
    whole = input.spec.dtype.category == dt.INT and input.device.type != "cpu"
    if not whole:
        needs_float("histc", input)
    x = e.stop_gradient(v.reshape.bind(input, shape=(input.spec.size,)))
    if bins < 1:
        raise ArgumentError(f"histc: bins must be > 0, but got {bins}")
    low, high = float(min), float(max)
    if low > high:
        raise ArgumentError(f"histc: max must be larger than min, got {low} and {high}")
    if low == high == 0 and input.spec.size:
        low, high = (float(reading.item(f(x))) for f in (reductions.amin, reductions.amax))
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ArgumentError(f"histc: range of [{low}, {high}] is not finite")
    if low == high:
        low, high = low - 1, high + 1
    counts = _counted_whole(x, int(low), int(high), bins) if whole else _counted(x, low, high, bins)
    return cast(counts, input.spec.dtype)


def _counted_whole(x: Tensor, low: int, high: int, bins: int) -> Tensor:
    """Count integers in integers, as PyTorch does on accelerators."""
    kind = x.device.index_dtype
    if bins * (high - low) >= 2 ** (8 * kind.itemsize - 1):
        raise ArgumentError(f"histc: {bins} bins from {low} to {high} are too many for {kind!r}")
    inside = r.bitwise_and(r.ge(x, low), r.le(x, high))
    above = a.sub(cast(e.where(inside, x, low), kind), low)
    at = clamp(e.floor_divide(a.mul(above, bins), high - low), 0, bins - 1)
    one = cast(inside, kind)
    return i.scatter_add.bind(filled((bins,), 0, kind, x.device), at, one, axis=0)


def _counted(x: Tensor, low: float, high: float, bins: int, weight: Tensor | None = None) -> Tensor:
    kind = x.device.index_dtype
    place = elementary.floor(a.mul(a.sub(x, low), bins / (high - low)))
    inside = r.bitwise_and(r.ge(x, low), r.le(x, high))
    # a nan is in no bin, and its place is not defined
    at = cast(e.where(inside, clamp(place, 0, bins - 1), 0), kind)
    one = cast(inside, kind) if weight is None else e.where(inside, weight, 0)
    return i.scatter_add.bind(filled((bins,), 0, one.spec.dtype, x.device), at, one, axis=0)


def bin_of(x: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """Return the bin of each element of a vector, and whether it has one; the last edge is in the last bin."""
    n = edges.spec.size - 1
    at = a.sub(sorting.searchsorted(edges, x, True), 1)
    at = e.where(r.eq(x, v.reshape.bind(v.part(edges, 0, n, n + 1), shape=())), n - 1, at)
    return at, r.bitwise_and(r.ge(at, 0), r.lt(at, n))


@takes_out
def histogram(
    input: Tensor, bins: int | Tensor = 100, *, range: Sequence[float] | None = None,
    weight: Tensor | None = None, density: bool = False,
) -> return_types.histogram:  # fmt: skip
    """Return (hist, bin_edges): how many elements, or what weight, in each bin; the last one is closed.

    `bins` is a number of equal ones over `range`, or the data's, or a tensor of edges.
    """
    x = e.stop_gradient(v.reshape.bind(input, shape=(input.spec.size,)))
    if isinstance(bins, Box):
        edges = bins
    else:
        if bins < 1:
            raise ArgumentError(f"histogram(): bins must be > 0, but got {bins}")
        low, high = range or (0.0, 1.0)
        if range is None and input.spec.size:
            low, high = tuple(reading.item(f(x)) for f in (reductions.amin, reductions.amax))
        if low == high:
            low, high = low - 0.5, high + 0.5
        edges = ranges.linspace(low, high, bins + 1, dtype=input.spec.dtype, device=x.device)
    n = edges.spec.size - 1
    at, inside = bin_of(x, edges)
    one = (
        filled(x.spec.shape, 1, x.spec.dtype, x.device)
        if weight is None
        else v.reshape.bind(weight, shape=x.spec.shape)
    )
    counted = e.where(inside, one, 0)
    hist = i.scatter_add.bind(
        filled((n,), 0, one.spec.dtype, x.device), clamp(at, 0, n - 1), counted, axis=0
    )
    if density:
        hist = a.div(hist, a.mul(reductions.sum(hist), diff(edges)))
    return return_types.histogram(hist, edges)


def real_part(x: Tensor) -> Tensor:
    """Return the real part of complex numbers, or a real tensor itself."""
    return x.real if x.spec.dtype.is_complex else x


def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return the covariance of the rows of a matrix, each column an observation; of one row its variance.

    `fweights` says how often each observation was made, `aweights` how much it counts. Weights that are
    negative, or whose sum is 0, raise on `cpu`; a lazy device does not look at them.

    >>> import tabgrad as tg
    >>> tg.cov(tg.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]], device="cpu"))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    given = {"fweights": fweights, "aweights": aweights}
    weights = {name: w for name, w in given.items() if w is not None}
    if all(map(readable, weights.values())):
        product: Any = 1
        for name, w in weights.items():
            if reading.item(reductions.any(r.lt(w, 0))):
                raise ArgumentError(f"cov(): {name} cannot be negative")
            product = a.mul(w, product)
        if weights and product.spec.size and not reading.item(reductions.sum(product)):
            raise ArgumentError("cov(): weights sum to zero, can't be normalized")
    return _cov(input, correction, fweights, aweights)


@chained
@widened
def _cov(
    input: Tensor, correction: int, fweights: Tensor | None, aweights: Tensor | None
) -> Tensor:
    if input.spec.dtype is dt.bool_:
        raise DTypeError("cov(): bool dtype is not supported for input; cast it with .float()")
    for name, given, integral in (("fweights", fweights, True), ("aweights", aweights, False)):
        its = None if given is None else given.spec.dtype
        if its is not None and its.category != (dt.INT if integral else dt.FLOAT):
            raise DTypeError(
                f"cov(): expected {name} to have {'integral' if integral else 'floating point'} dtype but got "
                f"{name} with {its.title} dtype"
            )
    x = floating("cov", input)
    if len(x.spec.shape) > 2:
        raise ShapeError(f"cov: expected at most 2 dimensions, got shape {x.spec.shape}")
    rows = x if len(x.spec.shape) == 2 else v.reshape.bind(x, shape=(1, x.spec.size))
    n = rows.spec.shape[1]
    if not n:
        # no observations give nan; not by a product, as some adapters take 0 times nan for 0
        c = a.add(mm(rows, adjoint(rows)), math.nan)
        return c if len(x.spec.shape) == 2 else v.reshape.bind(c, shape=())
    weight = constant(1, rows.spec, x.device)
    for w in (fweights, aweights):
        if w is not None:
            weight = a.mul(weight, cast(w, x.spec.dtype))
    total = reductions.sum(weight, 1, True)
    gap = a.sub(rows, a.div(reductions.sum(a.mul(rows, weight), 1, True), total))
    line = (
        v.part(total, 0, 0, 1) if rows.spec.shape[0] else filled((1, 1), n, x.spec.dtype, x.device)
    )
    if aweights is None:
        left = a.sub(line, float(correction))
    else:
        heavy = a.mul(v.part(weight, 0, 0, 1), cast(aweights, x.spec.dtype))
        left = a.sub(line, a.div(a.mul(reductions.sum(heavy, 1, True), float(correction)), line))
    c = a.div(mm(a.mul(gap, weight), adjoint(gap)), clamp(real_part(left), 0))
    return v.reshape.bind(c, shape=()) if c.spec.size == 1 else c


@chained
@widened
def corrcoef(input: Tensor) -> Tensor:
    """Return the correlation of the rows of a matrix."""
    c = _cov(input, 1, None, None)
    if not c.spec.shape:
        return a.div(c, c)
    d = elementary.sqrt(real_part(diagonal(c)))
    y = a.div(a.div(c, v.reshape.bind(d, shape=(d.spec.size, 1))), d)
    if not y.spec.dtype.is_complex:
        return clamp(y, -1, 1)
    return complex_numbers().complex(clamp(y.real, -1, 1), clamp(y.imag, -1, 1))


class StatisticsMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    bincount = bincount
    corrcoef = corrcoef
    cov = cov
    histc = histc
    histogram = histogram
    mode = mode
    nanquantile = nanquantile
    quantile = quantile


__all__ = ["bincount", "corrcoef", "cov", "histc", "histogram", "mode", "nanquantile", "quantile"]

publish(globals())

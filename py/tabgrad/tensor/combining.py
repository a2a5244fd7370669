"""Elements that an index sends to places: the last one stays, or their sum, mean, product or an extreme.

A maximum is the last one that a scatter of the sorted elements writes; a product is made of pairs, those of
elements for one place, in as many rounds as the number of elements has binary digits. Both take memory for
the elements alone, and always combine in the same order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, ShapeError
from tabgrad.core.kinks import kinked
from tabgrad.core.promotion import cast, refuse_bool, single
from tabgrad.core.scalars import fits
from tabgrad.core.spec import spec
from tabgrad.core.trace import Box, constant
from tabgrad.ops import elementwise as e, indexing as i, rounding as r, sorting, view as v
from tabgrad.tensor.arguments import axis, scalar
from tabgrad.tensor.inplace import in_place
from tabgrad.tensor.public import publish, takes_out
from tabgrad.tensor.selecting import lined, scatter_add, scattered, slices
from tabgrad.transforms.custom import custom_jvp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Number


@takes_out
def scatter(
    input: Tensor, dim: int, index: Tensor, src: Tensor | Number | None = None, *,
    value: Tensor | Number | None = None, reduce: str | None = None,
) -> Tensor:  # fmt: skip
    """Return `input` with src[i][j] written at [index[i][j]][j] for dim 0, and so on.

    If several sources go to one place the last one stays, and gets the derivative. `src` may be a
    number. `reduce` "add" or "multiply" combines with what is there instead.
    """
    given: Any = value if src is None else src
    if src is None and isinstance(value, Box):
        given = v.expand.bind(scalar("scatter", value, input), shape=index.spec.shape)
    if reduce is None:
        return scattered("scatter", i.scatter, input, dim, index, given)
    if reduce not in ("add", "multiply"):
        raise ShapeError(f"scatter: reduce argument must be either add or multiply, got {reduce!r}")
    if not isinstance(given, Box):
        filled = spec(index.spec.shape, input.spec.dtype)
        given = constant(fits("scatter", given, input.spec.dtype), filled, input.device)
    return scatter_reduce(input, dim, index, given, "sum" if reduce == "add" else "prod")


@takes_out
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """Combine the elements of `src` that `index` sends to each place of `input` by `reduce`.

    `reduce` is "sum", "prod", "mean", "amax" or "amin"; `include_self` counts the element that was there.
    Equal extremes share the derivative.

    >>> import tabgrad as tg
    >>> x, index = tg.zeros(2, device="cpu"), tg.tensor([0, 0, 1], device="cpu")
    >>> tg.scatter_reduce(x, 0, index, tg.tensor([3.0, 5.0, -1.0], device="cpu"), "amax")
    tensor([5., 0.])
    """
    at = axis("scatter_reduce", dim, len(input.spec.shape))
    if reduce == "sum" and include_self:
        return scatter_add(input, at, index, src)
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise ShapeError(
            f"scatter_reduce: reduce must be sum, prod, mean, amax or amin, got {reduce!r}"
        )
    if reduce == "mean":
        refuse_bool("scatter_reduce", input)

    def combined(x: Tensor, k: Tensor, values: Tensor, *, axis: int) -> Tensor:
        kind = x.spec.dtype
        if kind is dt.bool_:
            x, values = cast(x, dt.int32), cast(values, dt.int32)
        return cast(_combined(x, k, values, axis, reduce, include_self), kind)

    return scattered("scatter_reduce", combined, input, at, index, src)


@takes_out
def index_reduce(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *,
    include_self: bool = True,
) -> Tensor:  # fmt: skip
    """Return `input` with the slices of `source` combined at the places of a 1-d `index` along `dim`.

    By "prod", "mean", "amax" or "amin"; `include_self` counts the slice that was there.

    >>> import tabgrad as tg
    >>> x, index = tg.ones(3, device="cpu"), tg.tensor([0, 0], device="cpu")
    >>> tg.index_reduce(x, 0, index, tg.tensor([2.0, 3.0], device="cpu"), "prod")
    tensor([6., 1., 1.])
    """
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise ArgumentError(
            f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}."
        )
    refuse_bool("index_reduce", input)
    x, at, k = slices("index_reduce", input, dim, index, source)
    found = _combined(x, k, lined(source), at, reduce, include_self)
    return v.reshape.bind(found, shape=input.spec.shape)


def _combined(
    x: Tensor, k: Tensor, values: Tensor, at: int, reduce: str, include_self: bool
) -> Tensor:
    if not values.spec.shape[at]:
        return e.copy.bind(x)
    if reduce in ("amax", "amin"):
        return _extreme(x, k, values, at, reduce == "amax", include_self)
    hits = _counted(x, k, at)
    hit = r.gt(hits, 0)
    if reduce == "prod":
        found = cast(_products(x, k, single(values), at), x.spec.dtype)
        return e.mul(x, found) if include_self else e.where(hit, found, x)
    start = x if include_self else e.where(hit, 0, x)
    total = i.scatter_add.bind(start, k, values, axis=at)
    if reduce == "sum":
        return total
    count = e.add(hits, 1 if include_self else 0)
    divisor = e.where(r.lt(count, 1), 1, count)
    if x.spec.dtype.category >= dt.FLOAT:
        return e.div(total, cast(divisor, x.spec.dtype))
    kind = hits.spec.dtype
    return cast(e.floor_divide(cast(total, kind), divisor), x.spec.dtype)


def _counted(x: Tensor, k: Tensor, at: int) -> Tensor:
    """Return how many elements go to each place; a narrow dtype of `x` would wrap round."""
    kind = x.device.index_dtype
    none = constant(0, spec(x.spec.shape, kind), x.device)
    one = constant(1, spec(k.spec.shape, kind), x.device)
    return i.scatter_add.bind(none, k, one, axis=at)


# -- products --------------------------------------------------------------------------------------


def _products(x: Tensor, k: Tensor, values: Tensor, at: int) -> Tensor:
    """Return the product of the elements for each place, 1 where there is none."""
    order = sorting.argsort.bind(k, axis=at, descending=False, dtype=k.device.index_dtype)
    k, running = (i.gather.bind(each, order, axis=at) for each in (k, values))
    m = k.spec.shape[at]
    step = 1
    while step < m:
        # each element is the product of up to `step` elements for its place, itself the last of them
        same = r.eq(k, e.sub(_back(e.add(k, 1), at, step), 1))
        running = e.mul(running, e.where(same, _back(running, at, step), 1))
        step *= 2
    ones = constant(1, spec(x.spec.shape, values.spec.dtype), x.device)
    return i.scatter.bind(ones, k, running, axis=at)


def _back(x: Any, at: int, step: int) -> Any:
    """Return what is `step` before each element, 0 before the first ones."""
    rank = len(x.spec.shape)
    low = tuple(step if d == at else 0 for d in range(rank))
    kept = v.part(x, at, 0, x.spec.shape[at] - step)
    return v.pad.bind(kept, low=low, high=(0,) * rank, interior=(0,) * rank)


# -- extremes --------------------------------------------------------------------------------------


@kinked
def _extreme(
    x: Tensor, k: Tensor, values: Tensor, at: int, greatest: bool, include_self: bool
) -> Tensor:
    return _found(at, greatest, include_self, x, k, values)


def _last(values: Tensor, at: int, greatest: bool) -> Tensor:
    """Return the order in which the extreme, a nan if there is one, is the last: of equal ones the first."""
    floats = values.spec.dtype.is_floating_point
    # a nan counts as the largest
    key = values if greatest or not floats else e.neg(values)
    down = greatest or floats
    order = sorting.argsort.bind(key, axis=at, descending=down, dtype=values.device.index_dtype)
    return v.flip.bind(order, axes=(at,))


def _value(
    at: int, greatest: bool, include_self: bool, x: Tensor, k: Tensor, values: Tensor
) -> Any:
    order = _last(values, at, greatest)
    # of several elements for one place a scatter leaves the last
    places, sources = (i.gather.bind(each, order, axis=at) for each in (k, values))
    found = i.scatter.bind(x, places, sources, axis=at)
    if not include_self:
        return found
    better = (r.gt if greatest else r.lt)(found, x)
    if x.spec.dtype.is_floating_point:
        better = r.bitwise_or(better, r.isnan(found))
    # what is there stays beside its equal, also a zero of the other sign
    return e.where(better, found, x)


_found = custom_jvp(_value, nondiff_argnums=(0, 1, 2))


def _same(x: Tensor, y: Tensor) -> Tensor:
    """Return whether elements are equal, as a nan is to a nan here."""
    found = r.eq(x, y)
    if not x.spec.dtype.is_floating_point:
        return found
    return r.bitwise_or(found, r.bitwise_and(r.isnan(x), r.isnan(y)))


@_found.defjvp
def _slope(
    at: int, greatest: bool, include_self: bool, primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Any, Any]:
    x, k, values = primals
    y = _found(at, greatest, include_self, x, k, values)
    best = e.stop_gradient(y)
    own = _same(x, best)
    if not include_self:
        own = r.bitwise_and(own, r.eq(_counted(x, k, at), 0))
    own = cast(own, x.spec.dtype)
    given = cast(_same(values, i.gather.bind(best, k, axis=at)), x.spec.dtype)
    count = i.scatter_add.bind(own, k, given, axis=at)
    moved = i.scatter_add.bind(e.mul(own, tangents[0]), k, e.mul(given, tangents[2]), axis=at)
    return y, e.div(moved, count)


class CombiningMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    index_reduce, index_reduce_ = index_reduce, in_place(index_reduce)
    scatter, scatter_ = scatter, in_place(scatter)
    scatter_reduce, scatter_reduce_ = scatter_reduce, in_place(scatter_reduce)


__all__ = ["index_reduce", "scatter", "scatter_reduce"]

publish(globals())

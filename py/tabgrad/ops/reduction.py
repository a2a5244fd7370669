"""Reductions: many elements to one, over static axes that are dropped from the shape."""

from __future__ import annotations

from typing import Any

from tabgrad.core.dtype import DType
from tabgrad.core.families import reduction
from tabgrad.ops.elementwise import cast, where
from tabgrad.ops.indexing import iota
from tabgrad.ops.rounding import bitwise_and, bitwise_or, eq, ge, isnan
from tabgrad.ops.view import spread

Operand = Any
Array = Any
Ints = tuple[int, ...]


def keep(y: Any, x: Any, axes: Ints) -> Any:
    """Return the reduced `y` repeated over `axes`, where `x` had them."""
    return spread.bind(y, shape=x.shape, axes=axes) if axes else y


@reduction(
    kind="sum",
    derivative=lambda dx, _x, _y, *, axes: reduce_sum.bind(dx, axes=axes),
    transpose=lambda ct, x, *, axes: keep(ct, x, axes),
    kinds="iufc",
)
def reduce_sum(x: Operand, *, axes: Ints) -> Array:
    """Return the sum over `axes`."""
    return x.sum(axes, dtype=x.dtype)


def _prod_derivative(dx: Any, x: Any, y: Any, *, axes: Ints) -> Any:
    # the product of all the other elements, which division by x would lose where x is 0
    others = _product_of_others(x, axes)
    return reduce_sum.bind(dx * others, axes=axes)


def _product_of_others(x: Any, axes: Ints) -> Any:
    from tabgrad.ops.scan import product_of_others

    return product_of_others(x, axes)


@reduction(kind="prod", derivative=_prod_derivative)
def reduce_prod(x: Operand, *, axes: Ints) -> Array:
    """Return the product over `axes`."""
    return x.prod(axes, dtype=x.dtype)


def _extreme_derivative(dx: Any, x: Any, y: Any, *, axes: Ints) -> Any:
    best = keep(y, x, axes)
    mask = eq(x, best)
    if x.spec.dtype.is_floating_point:
        # a nan is the extreme where there is one, though it equals nothing
        mask = bitwise_or(mask, bitwise_and(isnan(x), isnan(best)))
    hits = cast(mask, dtype=x.dtype)
    share = hits / keep(reduce_sum.bind(hits, axes=axes), x, axes)
    return reduce_sum.bind(dx * share, axes=axes)


@reduction(kind="max", derivative=_extreme_derivative, kinds="biuf")
def reduce_max(x: Operand, *, axes: Ints) -> Array:
    """Return the maximum over `axes`, nan where there is one; ties share the derivative equally."""
    return x.max(axes)


@reduction(kind="max", derivative=None, kinds="biuf")
def peak(x: Operand, *, axes: Ints) -> Array:
    """Return the maximum over `axes` as a constant: what keeps exp() in range is no part of a derivative."""
    return x.max(axes)


@reduction(kind="min", derivative=_extreme_derivative, kinds="biuf")
def reduce_min(x: Operand, *, axes: Ints) -> Array:
    """Return the minimum over `axes`, nan where there is one; ties share the derivative equally."""
    return x.min(axes)


@reduction(kind="any", derivative=None, result="bool", kinds="b")
def reduce_any(x: Operand, *, axes: Ints) -> Array:
    """Return whether any element over `axes` is true."""
    return x.any(axes)


@reduction(kind="all", derivative=None, result="bool", kinds="b")
def reduce_all(x: Operand, *, axes: Ints) -> Array:
    """Return whether all elements over `axes` are true."""
    return x.all(axes)


@reduction(kind="argmax", derivative=None, result="index", kinds="biuf")
def argmax(x: Operand, *, axes: Ints, dtype: DType) -> Array:
    """Return the index of the first maximum along the one axis in `axes`; a nan counts as the maximum."""
    return x.argmax(axes[0])


@reduction(kind="argmin", derivative=None, result="index", kinds="biuf")
def argmin(x: Operand, *, axes: Ints, dtype: DType) -> Array:
    """Return the index of the first minimum along the one axis in `axes`; a nan counts as the minimum."""
    return x.argmin(axes[0])


def first_place(x: Any, y: Any, axis: int) -> Any:
    """Return where along `axis` the maximum `y` of `x` was met: at the last nan, or else at its first place.

    So does max pooling count, which goes on at each nan.
    """
    axes = (axis,)
    if not x.spec.dtype.is_floating_point:
        return argmax.bind(x, axes=axes, dtype=x.device.index_dtype)
    n = x.shape[axis]
    at = iota_along(x, axis)
    score = where(eq(x, keep(y, x, axes)), n - 1 - at, -1)
    best = reduce_max.bind(where(isnan(x), at + n, score), axes=axes)
    return where(ge(best, n), best - n, n - 1 - best)


def _first_derivative(dx: Any, x: Any, y: Any, *, axes: Ints) -> Any:
    (axis,) = axes
    here = eq(keep(first_place(x, y, axis), x, axes), iota_along(x, axis))
    return reduce_sum.bind(where(here, dx, 0), axes=axes)


def iota_along(x: Any, axis: int) -> Any:
    """Return the index along `axis` at every element of `x`."""
    line = iota(x.shape[axis], x.device.index_dtype, x.device)
    return keep(line, x, tuple(i for i in range(len(x.shape)) if i != axis))


@reduction(kind="max", derivative=_first_derivative, kinds="biuf")
def first_max(x: Operand, *, axes: Ints) -> Array:
    """Return the maximum along the one axis in `axes`; the derivative goes to its `first_place` alone."""
    return x.max(axes)

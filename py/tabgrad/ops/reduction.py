"""Reductions of many elements to one, over static axes that are dropped from the shape."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tabgrad.core.dtype import DType
from tabgrad.core.families import reduction
from tabgrad.core.forms import form
from tabgrad.core.lazy_numpy import Late, np
from tabgrad.core.op import Array, Ints, Operand
from tabgrad.ops.elementwise import cast, where
from tabgrad.ops.indexing import iota, iota_along
from tabgrad.ops.rounding import bitwise_and, bitwise_or, eq, ge, isnan, lt
from tabgrad.ops.scan import product_of_others
from tabgrad.ops.view import expand, reshape, spread

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor

pooling_numpy: Any = Late("tabgrad.ops.pooling_numpy")
FEW, SHORT = 1 << 13, 16
"""From more elements than FEW, a last axis that is SHORT is reduced by operations on all others."""
PART = 128
ONE_BY_ONE = 1024
"""The most float32 numbers that are added up one after the other."""


def keep(y: Tensor, x: Tensor, axes: Ints) -> Tensor:
    """Repeat the reduced `y` over the `axes` of `x`."""
    return spread.bind(y, shape=x.shape, axes=axes) if axes else y


@reduction(
    kind="sum",
    derivative=lambda dx, _x, _y, *, axes: reduce_sum.bind(dx, axes=axes),
    transpose=lambda ct, x, *, axes: keep(ct, x, axes),
    kinds="iufc",
)
def reduce_sum(x: Operand, *, axes: Ints) -> Array:
    """Compute the sum over `axes`."""
    if x.size <= ONE_BY_ONE:
        return np.add.reduce(x, one_axis(axes), x.dtype)
    if (
        x.size > FEW
        and axes == tuple(range(len(axes)))
        and len(axes) < x.ndim
        and _is_tall(x, axes)
    ):
        return _in_parts(x, len(axes))
    if x.size > FEW and x.shape[-1] <= SHORT and axes == (x.ndim - 1,):
        return _over_few(np.add, x)
    return np.add.reduce(x, axes, summing(x, axes)).astype(x.dtype, copy=False)


def _is_tall(x: Array, axes: Ints) -> bool:
    """Whether more float32 rows are added up than may be one by one."""
    return (
        x.dtype.char == "f"
        and math.prod(x.shape[: len(axes)]) > ONE_BY_ONE
        and x.flags.c_contiguous
    )


def _in_parts(x: Array, leading: int) -> Array:
    """Add up rows, some in float32 and their sums in float64: all in float64 takes ten times as long."""
    rows = x.reshape(-1, *x.shape[leading:])
    total = np.zeros(rows.shape[1:], np.float64)
    for start in range(0, len(rows), PART):
        total += np.add.reduce(rows[start : start + PART], 0)
    return total.astype(x.dtype)


def _over_few(fold: Any, x: Array) -> Array:
    """Reduce a short last axis, whose elements NumPy would take one by one for each result."""
    y = np.copy(x[..., 0])
    for k in range(1, x.shape[-1]):
        fold(y, x[..., k], out=y)
    return y


def _extreme(fold: Any, x: Array, axes: Ints) -> Array:
    if x.size > FEW and x.shape[-1] <= SHORT and axes == (x.ndim - 1,):
        return _over_few(fold, x)
    return fold.reduce(x, one_axis(axes))


def one_axis(axes: Ints) -> Any:
    """Return a single axis as a number, which NumPy takes sooner than a tuple."""
    return axes[0] if len(axes) == 1 else axes


def summing(x: Array, axes: Ints) -> Any:
    """Choose the dtype to sum in: float64 if NumPy would add up many float32 numbers one by one.

    NumPy adds in pairs along the axis whose elements are closest together, and one by one along the others.
    """
    if x.dtype.char not in "fF" or x.size <= ONE_BY_ONE:
        return x.dtype
    if len(axes) == x.ndim and x.flags.forc:
        return x.dtype
    inner = min((i for i in range(x.ndim) if x.shape[i] > 1), key=lambda i: abs(x.strides[i]))
    if math.prod(x.shape[i] for i in axes if i != inner) <= ONE_BY_ONE:
        return x.dtype
    return np.promote_types(x.dtype, np.float64)


def _prod_derivative(dx: Tensor, x: Tensor, y: Tensor, *, axes: Ints) -> Tensor:
    # the product of all other elements, which a division by x would lose if x is 0
    others = product_of_others(x, axes)
    return reduce_sum.bind(dx * others, axes=axes)


@reduction(kind="prod", derivative=_prod_derivative, kinds="iufc")
def reduce_prod(x: Operand, *, axes: Ints) -> Array:
    """Compute the product over `axes`."""
    return np.multiply.reduce(x, axes, x.dtype)


def _extreme_derivative(dx: Tensor, x: Tensor, y: Tensor, *, axes: Ints) -> Tensor:
    best = keep(y, x, axes)
    mask = eq(x, best)
    if x.spec.dtype.is_floating_point:
        # a nan is the extreme if there is one, though it equals nothing
        mask = bitwise_or(mask, bitwise_and(isnan(x), isnan(best)))
    hits = cast(mask, dtype=x.dtype)
    share = hits / keep(reduce_sum.bind(hits, axes=axes), x, axes)
    return reduce_sum.bind(dx * share, axes=axes)


@reduction(kind="max", derivative=_extreme_derivative, kinds="biuf")
def reduce_max(x: Operand, *, axes: Ints) -> Array:
    """Compute the maximum over `axes`, nan where there is one; ties share the derivative equally."""
    return _extreme(np.maximum, x, axes)


@reduction(kind="max", derivative=None, kinds="biuf")
def peak(x: Operand, *, axes: Ints) -> Array:
    """Compute the maximum over `axes` as a constant without derivative, which keeps exp() in range."""
    return _extreme(np.maximum, x, axes)


@reduction(kind="min", derivative=_extreme_derivative, kinds="biuf")
def reduce_min(x: Operand, *, axes: Ints) -> Array:
    """Compute the minimum over `axes`, nan where there is one; ties share the derivative equally."""
    return _extreme(np.minimum, x, axes)


@reduction(kind="any", derivative=None, result="bool", kinds="b")
def reduce_any(x: Operand, *, axes: Ints) -> Array:
    """Test whether any element over `axes` is true."""
    return np.logical_or.reduce(x, axes)


@reduction(kind="all", derivative=None, result="bool", kinds="b")
def reduce_all(x: Operand, *, axes: Ints) -> Array:
    """Test whether all elements over `axes` are true."""
    return np.logical_and.reduce(x, axes)


@reduction(kind="argmax", derivative=None, result="index", kinds="biuf")
def argmax(x: Operand, *, axes: Ints, dtype: DType) -> Array:
    """Compute the index of the first maximum along the one axis in `axes`; a nan counts as the maximum."""
    return x.argmax(axes[0])


@reduction(kind="argmin", derivative=None, result="index", kinds="biuf")
def argmin(x: Operand, *, axes: Ints, dtype: DType) -> Array:
    """Compute the index of the first minimum along the one axis in `axes`; a nan counts as the minimum."""
    return x.argmin(axes[0])


def first_place(x: Tensor, y: Tensor, axis: int, padded: tuple[Ints, ...] = ()) -> Tensor:
    """Find the index along `axis` of the maximum `y` of `x`: of the last nan, else of the first maximum.

    Max pooling has this rule. If `x` are windows over a padded input (see `inside`), padding does not count.
    """
    axes = (axis,)
    floats = x.spec.dtype.is_floating_point
    if not floats and not padded:
        return argmax.bind(x, axes=axes, dtype=x.device.index_dtype)
    n = x.shape[axis]
    at = iota_along(x, axis)
    same = eq(x, keep(y, x, axes))
    if padded:
        same = bitwise_and(same, inside(padded, x))
    score = where(same, n - 1 - at, -1)
    best = reduce_max.bind(where(isnan(x), at + n, score) if floats else score, axes=axes)
    return where(ge(best, n), best - n, n - 1 - best)


def _first_derivative(
    dx: Tensor, x: Tensor, y: Tensor, *, axes: Ints, padded: tuple[Ints, ...] = ()
) -> Tensor:
    (axis,) = axes
    place = first_place(x, y, axis, padded)
    here = eq(keep(place, x, axes), iota_along(x, axis))
    return reduce_sum.bind(where(here, dx, 0), axes=axes)


def inside(padded: tuple[Ints, ...], x: Tensor) -> Tensor:
    """Tell which elements of windows over a padded input, [..., *counts, kernel elements], are not padding.

    `padded` has for each axis its size, and number, sizes, strides, dilation and padding of the windows.
    """
    shape = (*(axis[1] for axis in padded), *(axis[2] for axis in padded))
    found: Any = True
    for i, (size, count, kernel, stride, dilation, before) in enumerate(padded):
        starts = iota(count, x.device.index_dtype, x.device) * stride - before
        steps = iota(kernel, x.device.index_dtype, x.device) * dilation
        place = _line(starts, shape, i) + _line(steps, shape, len(padded) + i)
        here = bitwise_and(ge(place, 0), lt(place, size))
        found = here if found is True else bitwise_and(found, here)
    counts = shape[: len(padded)]
    flat = reshape.bind(found, shape=(*counts, math.prod(shape[len(padded) :])))
    return expand.bind(flat, shape=x.shape)


def _line(x: Tensor, shape: Ints, axis: int) -> Tensor:
    return spread.bind(x, shape=shape, axes=tuple(i for i in range(len(shape)) if i != axis))


def _first_pull(
    ct: Tensor, x: Tensor, y: Tensor, *, axes: Ints, padded: tuple[Ints, ...] = ()
) -> Tensor:
    found = first_pull.compute(ct, x, y, axis=axes[0], padded=padded)
    if found is not None:
        return found
    (axis,) = axes
    place = first_place(x, y, axis, padded)
    return where(eq(keep(place, x, axes), iota_along(x, axis)), keep(ct, x, axes), 0)


@form(like=1)
def first_pull(ct: Array, x: Array, y: Array, *, axis: int, padded: tuple[Ints, ...]) -> Array:
    """Give each first maximum its cotangent, and what is no maximum 0; of nan, the last counts."""
    return pooling_numpy.first_pull(ct, x, y, axis, padded)


@reduction(kind="max", derivative=_first_derivative, pull=_first_pull, kinds="biuf")
def first_max(x: Operand, *, axes: Ints, padded: tuple[Ints, ...] = ()) -> Array:
    """Compute the maximum along the one axis in `axes`; only its `first_place` gets the derivative.

    `padded` describes windows over a padded input, see `inside`; padding gets no derivative.
    """
    return _extreme(np.maximum, x, axes)

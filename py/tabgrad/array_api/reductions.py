"""Sums, extremes, statistics, running sums and products of arrays."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad import matmul as matmul

Tensor = tg.Tensor
Axes = int | tuple[int, ...] | None

_WIDE = {tg.uint8: tg.uint64, tg.uint16: tg.uint64, tg.uint32: tg.uint64}


def _axes(x: Tensor, axis: Axes) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(x.ndim))
    return (axis,) if isinstance(axis, int) else tuple(axis)


def _summed(x: Tensor, dtype: Any) -> Tensor:
    """Return `x` in the dtype of its sums: given, or as wide as there is for integers."""
    if dtype is None:
        dtype = _WIDE.get(x.dtype) or (
            tg.int64 if not _fractional(x) and x.dtype is not tg.uint64 else None
        )
    return x if dtype is None else x.to(x.device.canonical(dtype))


def _fractional(x: Tensor) -> bool:
    return x.is_floating_point() or x.is_complex()


def sum(x: Tensor, /, *, axis: Axes = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """Return sums over axes."""
    y, over = _summed(x, dtype), _axes(x, axis)
    return tg.sum(y, over, keepdims, dtype=y.dtype) if over else tg.clone(y)


def prod(x: Tensor, /, *, axis: Axes = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """Return products over axes."""
    y = _summed(x, dtype)
    for a in sorted([a % x.ndim for a in _axes(x, axis)], reverse=True):
        y = tg.prod(y, a, keepdims, dtype=y.dtype)
    return y


def max(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the largest elements over axes; nan where there is one."""
    over = _axes(x, axis)
    return tg.amax(x, over, keepdims) if over else tg.clone(x)


def min(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the smallest elements over axes; nan where there is one."""
    over = _axes(x, axis)
    return tg.amin(x, over, keepdims) if over else tg.clone(x)


def mean(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return means over axes."""
    over = _axes(x, axis)
    return tg.mean(x, over, keepdims) if over else tg.clone(x)


def var(
    x: Tensor, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False
) -> Tensor:
    """Return variances over axes, of sums divided by the count less `correction`."""
    over = _axes(x, axis)
    return tg.var(x, over, correction=correction, keepdim=keepdims) if over else tg.zeros_like(x)


def std(
    x: Tensor, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False
) -> Tensor:
    """Return standard deviations over axes: roots of variances."""
    return tg.sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def all(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return whether all elements over axes are nonzero."""
    over, y = _axes(x, axis), x != 0
    return tg.all(y, over, keepdims) if over else y


def any(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return whether elements over axes are nonzero."""
    over, y = _axes(x, axis), x != 0
    return tg.any(y, over, keepdims) if over else y


def count_nonzero(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return how many elements over axes are nonzero."""
    return sum((x != 0).to(tg.int32), axis=axis, keepdims=keepdims)


def cumulative_sum(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Return the sums up to each element along an axis; with `include_initial` a 0 comes first."""
    return _running(tg.cumsum, x, axis, dtype, include_initial, 0)


def cumulative_prod(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Return the products up to each element along an axis; with `include_initial` a 1 comes first."""
    return _running(tg.cumprod, x, axis, dtype, include_initial, 1)


def _running(fn: Any, x: Tensor, axis: int | None, dtype: Any, initial: bool, first: int) -> Tensor:
    if axis is None:
        if x.ndim != 1:
            raise ValueError("axis must be specified for arrays that have not one axis")
        axis = 0
    y = _summed(x, dtype)
    found: Tensor = fn(y, axis, dtype=y.dtype)
    if not initial:
        return found
    shape = list(found.shape)
    shape[axis] = 1
    return tg.cat(
        [tg.full(tuple(shape), first, dtype=found.dtype, device=found.device), found], axis
    )


def diff(
    x: Tensor,
    /,
    *,
    axis: int = -1,
    n: int = 1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """Return differences of neighbours along an axis, `n` times."""
    return tg.diff(x, n, axis, prepend, append)


def tensordot(x1: Tensor, x2: Tensor, /, *, axes: Any = 2) -> Tensor:
    """Return sums of products over the last axes of one array and the first of the other, or given ones."""
    return tg.tensordot(x1, x2, axes)


def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """Return dot products along an axis, with the conjugates of the first array."""
    return tg.linalg.vecdot(x1, x2, dim=axis)


__all__ = [
    "all", "any", "count_nonzero", "cumulative_prod", "cumulative_sum", "diff", "matmul", "max", "mean", "min",
    "prod", "std", "sum", "tensordot", "var", "vecdot",
]  # fmt: skip

"""Places, orders and sets of elements."""

from __future__ import annotations

from typing import Any, NamedTuple

import tabgrad as tg

Tensor = tg.Tensor


class UniqueAllResult(NamedTuple):
    """The distinct elements, where each is first, which one each element is, and how often each is there."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCountsResult(NamedTuple):
    """The distinct elements, and how often each is there."""

    values: Tensor
    counts: Tensor


class UniqueInverseResult(NamedTuple):
    """The distinct elements, and which one each element is."""

    values: Tensor
    inverse_indices: Tensor


def argmax(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return where the largest element is, the first of equal ones."""
    return tg.argmax(x, axis, keepdims)


def argmin(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return where the smallest element is, the first of equal ones."""
    return tg.argmin(x, axis, keepdims)


def nonzero(x: Tensor, /) -> tuple[Tensor, ...]:
    """Return where the nonzero elements are, an array for each axis."""
    if x.ndim == 0:
        raise ValueError("nonzero: an array without axes has no places")
    return tuple(tg.nonzero(x, as_tuple=True))


def searchsorted(
    x1: Tensor, x2: Any, /, *, side: str = "left", sorter: Tensor | None = None
) -> Tensor:
    """Return where elements would be inserted in a sorted array to keep it so."""
    return tg.searchsorted(x1, x2, side=side, sorter=sorter)


def where(condition: Tensor, x1: Any, x2: Any, /) -> Tensor:
    """Return the elements of one array where a condition holds, those of the other elsewhere."""
    return tg.where(condition, x1, x2)


def take(x: Tensor, indices: Tensor, /, *, axis: int | None = None) -> Tensor:
    """Return the slices of these indices along an axis."""
    if axis is None:
        if x.ndim != 1:
            raise ValueError("axis must be specified for arrays that have not one axis")
        axis = 0
    size = x.shape[axis]
    flat = tg.index_select(x, axis, tg.where(indices < 0, indices + size, indices).flatten())
    if indices.ndim == 1:
        return flat
    lead = axis % x.ndim
    return flat.reshape(*x.shape[:lead], *indices.shape, *x.shape[lead + 1 :])


def take_along_axis(x: Tensor, indices: Tensor, /, *, axis: int = -1) -> Tensor:
    """Return the elements of these indices along an axis, for each place of the others."""
    size = x.shape[axis]
    return tg.take_along_dim(x, tg.where(indices < 0, indices + size, indices), axis)


def argsort(
    x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True
) -> Tensor:
    """Return the indices that sort along an axis; equal elements keep their order."""
    return tg.argsort(x, dim=axis, descending=descending, stable=True)


def sort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """Return the elements sorted along an axis."""
    return tg.sort(x, dim=axis, descending=descending, stable=True)[0]


def isin(x1: Any, x2: Any, /, *, invert: bool = False) -> Tensor:
    """Return whether each element is one of others, or with `invert` none of them."""
    return tg.isin(x1, x2, invert=invert)


def unique_all(x: Tensor, /) -> UniqueAllResult:
    """Return the distinct elements with all that is known of their places."""
    values, inverse, counts = tg.unique(x, return_inverse=True, return_counts=True)
    flat = inverse.flatten()
    order = tg.argsort(flat, stable=True)
    starts = tg.cumsum(counts, 0) - counts
    return UniqueAllResult(values, order[starts], inverse, counts)


def unique_counts(x: Tensor, /) -> UniqueCountsResult:
    """Return the distinct elements, and how often each is there."""
    return UniqueCountsResult(*tg.unique(x, return_counts=True))


def unique_inverse(x: Tensor, /) -> UniqueInverseResult:
    """Return the distinct elements, and which one each element is."""
    return UniqueInverseResult(*tg.unique(x, return_inverse=True))


def unique_values(x: Tensor, /) -> Tensor:
    """Return the distinct elements."""
    found: Tensor = tg.unique(x)
    return found


__all__ = [
    "argmax", "argmin", "argsort", "isin", "nonzero", "searchsorted", "sort", "take", "take_along_axis",
    "unique_all", "unique_counts", "unique_inverse", "unique_values", "where",
]  # fmt: skip

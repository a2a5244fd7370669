"""New arrays."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad import (
    empty_like as empty_like,
    from_dlpack as from_dlpack,
    full_like as full_like,
    ones_like as ones_like,
    zeros_like as zeros_like,
)  # fmt: skip

Tensor = tg.Tensor
Shape = int | tuple[int, ...]


def _sizes(shape: Shape) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def asarray(
    obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None
) -> Tensor:
    """Return `obj` as an array, copied if `copy` is true, else only where it must be."""
    return tg.asarray(obj, dtype=dtype, device=device, copy=copy)


def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """Return the numbers from `start` up to `stop`, which is not one of them; with one number from 0."""
    first, last = (0, start) if stop is None else (start, stop)
    if (last - first) * step <= 0:
        kind = dtype or (tg.int64 if all(isinstance(n, int) for n in (first, last, step)) else None)
        return tg.empty(0, dtype=kind, device=device)
    return tg.arange(first, last, step, dtype=dtype, device=device)


def empty(shape: Shape, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Return an array whose values mean nothing."""
    return tg.empty(_sizes(shape), dtype=dtype, device=device)


def zeros(shape: Shape, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Return zeros."""
    return tg.zeros(_sizes(shape), dtype=dtype, device=device)


def ones(shape: Shape, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Return ones."""
    return tg.ones(_sizes(shape), dtype=dtype, device=device)


def full(shape: Shape, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Return an array filled with a number."""
    return tg.full(_sizes(shape), fill_value, dtype=dtype, device=device)


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None
) -> Tensor:
    """Return ones on diagonal `k` and zeros elsewhere."""
    columns = n_rows if n_cols is None else n_cols
    made = tg.zeros(n_rows, columns, dtype=dtype, device=device)
    if -n_rows < k < columns:
        made.diagonal(k).fill_(1)
    return made


def linspace(
    start: Any,
    stop: Any,
    /,
    num: int,
    *,
    dtype: Any = None,
    device: Any = None,
    endpoint: bool = True,
) -> Tensor:
    """Return `num` numbers in equal steps; without `endpoint` the last one is a step before `stop`."""
    if endpoint:
        return tg.linspace(start, stop, num, dtype=dtype, device=device)
    return tg.linspace(start, stop, num + 1, dtype=dtype, device=device)[:-1]


def meshgrid(*arrays: Tensor, indexing: str = "xy") -> tuple[Tensor, ...]:
    """Return the coordinates of a grid, an array for each axis."""
    return tuple(tg.meshgrid(*arrays, indexing=indexing)) if arrays else ()


def tril(x: Tensor, /, *, k: int = 0) -> Tensor:
    """Return the elements on and below diagonal `k`, and zeros."""
    return tg.tril(x, k)


def triu(x: Tensor, /, *, k: int = 0) -> Tensor:
    """Return the elements on and above diagonal `k`, and zeros."""
    return tg.triu(x, k)


__all__ = [
    "arange", "asarray", "empty", "empty_like", "eye", "from_dlpack", "full", "full_like", "linspace",
    "meshgrid", "ones", "ones_like", "tril", "triu", "zeros", "zeros_like",
]  # fmt: skip

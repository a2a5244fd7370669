"""Strides that a view would have in memory: what `stride()`, `is_contiguous()` and `reshape` go by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tabgrad.core.dtype import DType
from tabgrad.core.errors import ShapeError
from tabgrad.core.shape import strides as row_major
from tabgrad.core.spec import spec

if TYPE_CHECKING:
    from tabgrad.tensor.types import Ints


def is_row_major(shape: Ints, strides: Ints) -> bool:
    """Whether elements of these strides lie side by side in row-major order; where there are none they do."""
    if 0 in shape:
        return True
    step = 1
    for n, s in zip(reversed(shape), reversed(strides), strict=True):
        if n != 1:
            if s != step:
                return False
            step *= n
    return True


def overlap(shape: Ints, strides: Ints) -> bool:
    """Whether two elements of these strides may lie at one place.

    >>> overlap((2, 3), (0, 1)), overlap((2, 2), (1, 1)), overlap((2, 2), (3, 2))
    (True, True, False)
    """
    if 0 in shape:
        return False
    reach = 0
    for step, n in sorted((s, n) for n, s in zip(shape, strides, strict=True) if n != 1):
        if step <= reach:
            return True
        reach += step * (n - 1)
    return False


def reshape(shape: Ints, strides: Ints, new: Ints) -> Ints | None:
    """Return the strides of a view of `new` shape, None where only a copy can have it.

    >>> reshape((3, 4), (4, 1), (12,))
    (1,)
    >>> reshape((4, 3), (1, 4), (12,)) is None
    True
    """
    if 0 in shape:
        return row_major(new)
    groups = _groups(shape, strides)
    out: list[int] = []
    it = iter(groups)
    size, step = next(it, (1, 1))
    for n in reversed(new):
        while size == 1 and n != 1:
            found = next(it, None)
            if found is None:
                return None
            size, step = found
        if size % n:
            return None
        out.append(step)
        size //= n
        step *= n
    return tuple(reversed(out)) if size == 1 else None


def _groups(shape: Ints, strides: Ints) -> list[tuple[int, int]]:
    """Runs of axes that are one in memory, as (size, innermost stride), the last one first."""
    out: list[tuple[int, int]] = []
    for n, s in zip(reversed(shape), reversed(strides), strict=True):
        if n == 1:
            continue
        if out and out[-1][0] * out[-1][1] == s:
            out[-1] = (out[-1][0] * n, out[-1][1])
        else:
            out.append((n, s))
    return out


def _reshape(
    shape: Ints, strides: Ints, offset: int, params: Mapping[str, Any]
) -> tuple[Ints, Ints, int]:
    new = params["shape"]
    found = reshape(shape, strides, new)
    # if strides can't describe the view it counts as a copy
    return (new, row_major(new), 0) if found is None else (new, found, offset)


def _permute(
    shape: Ints, strides: Ints, offset: int, params: Mapping[str, Any]
) -> tuple[Ints, Ints, int]:
    dims = params["dims"]
    return tuple(shape[d] for d in dims), tuple(strides[d] for d in dims), offset


def _expand(
    shape: Ints, strides: Ints, offset: int, params: Mapping[str, Any]
) -> tuple[Ints, Ints, int]:
    new = params["shape"]
    lead = len(new) - len(shape)
    out = tuple(
        0 if i < lead or (shape[i - lead] == 1 and n != 1) else strides[i - lead]
        for i, n in enumerate(new)
    )
    return new, out, offset


def _slice(
    shape: Ints, strides: Ints, offset: int, params: Mapping[str, Any]
) -> tuple[Ints, Ints, int]:
    starts, stops, steps = params["starts"], params["stops"], params["steps"]
    new = tuple(len(range(*s)) for s in zip(starts, stops, steps, strict=True))
    offset += sum(a * s for a, s in zip(starts, strides, strict=True))
    return new, tuple(s * k for s, k in zip(strides, steps, strict=True)), offset


def _windows(
    shape: Ints, strides: Ints, offset: int, params: Mapping[str, Any]
) -> tuple[Ints, Ints, int]:
    sizes, moves, gaps = params["sizes"], params["strides"], params["dilations"]
    n = len(sizes)
    lead = len(shape) - 2 * n
    counts = tuple(
        (m - (k - 1) * d - 1) // s + 1
        for m, k, s, d in zip(shape[lead : lead + n], sizes, moves, gaps, strict=True)
    )
    spatial = strides[lead : lead + n]
    out = (
        *strides[:lead],
        *(a * s for a, s in zip(spatial, moves, strict=True)),
        *(a * d for a, d in zip(spatial, gaps, strict=True)),
    )
    return (*shape[:lead], *counts, *sizes), out, offset


def _strided(
    shape: Ints, strides: Ints, offset: int, params: Mapping[str, Any]
) -> tuple[Ints, Ints, int]:
    return params["sizes"], params["strides"], params["offset"]


_RULES: dict[str, Callable[[Ints, Ints, int, Mapping[str, Any]], tuple[Ints, Ints, int]]] = {
    "reshape": _reshape, "permute": _permute, "expand": _expand, "slice": _slice,
    "rewindow": _windows, "strided": _strided, "conj": lambda *placed: placed[:3],
}  # fmt: skip


def as_dtype(
    shape: Ints, strides: Ints, offset: int, old: DType, new: DType
) -> tuple[Ints, Ints, int]:
    """Return shape, strides and offset of the same memory in elements of `new`. Raises if there are none."""
    if old.itemsize == new.itemsize:
        return shape, strides, offset
    words = f"view {old.title} as {new.title} (different element sizes)"
    if not shape:
        raise ShapeError(f"self.dim() cannot be 0 to {words}")
    bytes_, size = old.itemsize, new.itemsize
    if size > bytes_:
        ratio = size // bytes_
        for name, value in (
            ("self.size(-1)", shape[-1]), ("self.storage_offset()", offset),
        ):  # fmt: skip
            if value % ratio:
                raise ShapeError(f"{name} must be divisible by {ratio} to {words}, but got {value}")
    if strides[-1] != 1:
        raise ShapeError(
            f"self.stride(-1) must be 1 to {words}, but got {strides[-1]}; use .contiguous().view(dtype)"
        )
    for i, s in enumerate(strides[:-1]):
        if s * bytes_ % size:
            raise ShapeError(
                f"self.stride({i}) must be divisible by {size // bytes_} to {words}, but got {s}"
            )
    lead = tuple(s * bytes_ // size for s in strides[:-1])
    return (*shape[:-1], shape[-1] * bytes_ // size), (*lead, 1), offset * bytes_ // size


def along(
    shape: Ints, dtype: DType, steps: Iterable[tuple[Any, Any]],
    start: tuple[Ints, int] | None = None,
) -> tuple[Ints, int]:  # fmt: skip
    """Return the strides and the offset after `steps`, (op, params) each, from `shape` and `dtype`.

    `start` holds the strides and the offset before them, by default row-major ones from 0.
    """
    strides, offset = start or (row_major(shape), 0)
    for op, params in steps:
        if op.name == "bitcast":
            shape, strides, offset = as_dtype(shape, strides, offset, dtype, params["dtype"])
            dtype = params["dtype"]
        elif op.name not in _RULES:
            # a view of the parts of complex numbers
            shape, strides, offset = op.placed(shape, strides, offset)
            dtype = op.infer((spec((2,), dtype),), params).dtype
        else:
            shape, strides, offset = _RULES[op.name](shape, strides, offset, params)
    return strides, offset

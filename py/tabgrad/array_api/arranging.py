"""Arrays in another shape or order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tabgrad as tg
from tabgrad import broadcast_shapes as broadcast_shapes

Tensor = tg.Tensor
Axes = int | tuple[int, ...] | None


def broadcast_arrays(*arrays: Tensor) -> tuple[Tensor, ...]:
    """Return the arrays in their common shape."""
    return tuple(tg.broadcast_tensors(*arrays))


def broadcast_to(x: Tensor, /, shape: tuple[int, ...]) -> Tensor:
    """Return the array in a larger shape, without a copy."""
    return tg.broadcast_to(x, shape)


def concat(arrays: Sequence[Tensor], /, *, axis: int | None = 0) -> Tensor:
    """Join arrays along an axis, or flattened ones for None."""
    kind = arrays[0].dtype
    for other in arrays[1:]:
        kind = tg.promote_types(kind, other.dtype)
    same = [x.to(kind) for x in arrays]
    if axis is None:
        return tg.cat([x.flatten() for x in same])
    return tg.cat(same, axis)


def stack(arrays: Sequence[Tensor], /, *, axis: int = 0) -> Tensor:
    """Join arrays along a new axis."""
    return tg.stack(list(arrays), axis)


def unstack(x: Tensor, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """Return the slices along an axis."""
    return tuple(tg.unbind(x, axis))


def expand_dims(x: Tensor, /, axis: int | tuple[int, ...]) -> Tensor:
    """Return the array with axes of size 1 at these places of the result."""
    places = (axis,) if isinstance(axis, int) else axis
    rank = x.ndim + len(places)
    if any(not -rank <= a < rank for a in places):
        raise IndexError(f"expand_dims: axis {axis} is out of range for a result of {rank} axes")
    found = {a % rank for a in places}
    if len(found) != len(places):
        raise ValueError(f"expand_dims: repeated axis in {axis}")
    for a in sorted(found):
        x = tg.unsqueeze(x, a)
    return x


def squeeze(x: Tensor, /, axis: int | tuple[int, ...]) -> Tensor:
    """Remove axes, which must have size 1."""
    places = (axis,) if isinstance(axis, int) else axis
    for a in places:
        if x.shape[a] != 1:
            raise ValueError(f"squeeze: axis {a} has size {x.shape[a]}, not 1")
    return tg.squeeze(x, tuple(places))


def flip(x: Tensor, /, *, axis: Axes = None) -> Tensor:
    """Turn the order along axes, of all for None."""
    places = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return tg.flip(x, tuple(places))


def roll(x: Tensor, /, shift: int | tuple[int, ...], *, axis: Axes = None) -> Tensor:
    """Shift along axes, with what leaves at one end entering at the other; flattened for None."""
    return tg.roll(x, shift, axis) if axis is not None else tg.roll(x, shift)


def matrix_transpose(x: Tensor, /) -> Tensor:
    """Exchange the last two axes."""
    if x.ndim < 2:
        raise ValueError(f"matrix_transpose: expected at least two axes, got {x.ndim}")
    return x.mT


def moveaxis(x: Tensor, source: Any, destination: Any, /) -> Tensor:
    """Move axes to other places."""
    return tg.movedim(x, source, destination)


def permute_dims(x: Tensor, /, axes: tuple[int, ...]) -> Tensor:
    """Return the array with its axes in this order."""
    return tg.permute(x, axes)


def reshape(x: Tensor, /, shape: tuple[int, ...], *, copy: bool | None = None) -> Tensor:
    """Return the elements in another shape: of a copy if `copy` is true, of none if it is false."""
    if copy:
        return tg.clone(x).reshape(shape)
    if copy is False:
        return x.view(shape)
    return tg.reshape(x, shape)


def repeat(x: Tensor, repeats: int | Tensor, /, *, axis: int | None = None) -> Tensor:
    """Repeat each element, or each slice along an axis."""
    return tg.repeat_interleave(x, repeats, axis)


def tile(x: Tensor, repetitions: tuple[int, ...], /) -> Tensor:
    """Repeat the whole array along its axes."""
    return tg.tile(x, repetitions)


__all__ = [
    "broadcast_arrays", "broadcast_shapes", "broadcast_to", "concat", "expand_dims", "flip",
    "matrix_transpose", "moveaxis", "permute_dims", "repeat", "reshape", "roll", "squeeze", "stack", "tile",
    "unstack",
]  # fmt: skip

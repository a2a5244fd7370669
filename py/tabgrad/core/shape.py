"""Arithmetic on shapes: broadcasting, axes, slices. `Size` is the tuple that users see."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, SupportsIndex, overload

from tabgrad.core.errors import ShapeError
from tabgrad.core.naming import Package

Shape = tuple[int, ...]

MOST_AXES = 64
"""NumPy's arrays have no more."""
MOST_BYTES = 1 << 63
"""A tensor has fewer."""


def size(shape: Shape) -> int:
    """Return the number of elements."""
    return math.prod(shape)


def strides(shape: Shape) -> Shape:
    """Return the row-major strides, in elements."""
    out: list[int] = []
    step = 1
    for n in reversed(shape):
        out.append(step)
        step *= n
    return tuple(reversed(out))


def broadcast(name: str, *shapes: Shape) -> Shape:
    """Return the shape that all `shapes` broadcast to; errors begin with the op's `name`."""
    rank = max(map(len, shapes), default=0)
    out = []
    for axis in range(-rank, 0):
        sizes = {s[axis] for s in shapes if len(s) >= -axis}
        sizes.discard(1)
        if len(sizes) > 1:
            raise ShapeError(_clash(name, shapes, axis))
        out.append(sizes.pop() if sizes else 1)
    return tuple(out)


def _clash(name: str, shapes: tuple[Shape, ...], axis: int) -> str:
    a, b, *_ = dict.fromkeys(s[axis] for s in shapes if len(s) >= -axis and s[axis] != 1)
    text = " and ".join(str(s) for s in shapes)
    return (
        f"{name}: The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton dimension "
        f"{max(map(len, shapes)) + axis}: shapes {text} do not broadcast, their sizes must be equal or 1"
    )


def axis_index(name: str, axis: int, rank: int) -> int:
    """Count `axis` from the front; raise IndexError outside [-rank, rank)."""
    bound = max(rank, 1)
    axis = axis.__index__()
    if not -bound <= axis < bound:
        raise IndexError(
            f"{name}: Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], "
            f"but got {axis})"
        )
    return axis % bound


def axis_of(name: str, axis: int, shape: Shape) -> int:
    """Do what `axis_index` does, and raise IndexError for a 0-d tensor, which has no axis."""
    if not shape:
        raise IndexError(f"{name}: Dimension specified as {axis} but tensor has no dimensions")
    return axis_index(name, axis, len(shape))


def needs_rank(name: str, shape: Shape, least: int) -> None:
    """Raise ShapeError for less than so many dims."""
    if len(shape) < least:
        raise ShapeError(f"{name} expects an input of at least {least} dims, got shape {shape}")


def axes_tuple(name: str, axes: Any, rank: int) -> Shape:
    """Normalize an int, ints or None (all axes) to a sorted tuple of axes counted from the front."""
    if axes is None:
        return tuple(range(rank))
    # a 0-d tensor has no axis, but takes the dims of a 1-d one
    if hasattr(axes, "__index__") and not getattr(axes, "shape", ()):
        axis = axis_index(name, axes.__index__(), rank or 1)
        return (axis,) if rank else ()
    out = tuple(sorted(axis_index(name, a, rank or 1) for a in axes))
    if len(set(out)) != len(out):
        raise ShapeError(f"{name}: dim {tuple(axes)} names an axis twice")
    return out if rank else ()


def without(shape: Shape, axes: Sequence[int]) -> Shape:
    """Return `shape` with `axes` left out."""
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def with_ones(shape: Shape, axes: Sequence[int]) -> Shape:
    """Return `shape` with `axes` set to 1."""
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def infer_reshape(shape: Shape, new: Sequence[int]) -> Shape:
    """Return `new` with its -1 filled in; raise ShapeError where the sizes differ."""
    return _inferred(shape, tuple([int(n) for n in new]))


@functools.lru_cache(4096)
def _inferred(shape: Shape, out: Shape) -> Shape:
    total = size(shape)
    if out.count(-1) > 1:
        raise ShapeError(
            f"reshape: only one dimension can be inferred: one size can be -1, got {out}"
        )
    if -1 in out:
        rest = math.prod(n for n in out if n != -1)
        if rest == 0 or total % rest:
            raise ShapeError(
                f"reshape: shape '{list(out)}' is invalid for input of size {total}: "
                f"{shape} has {total} elements, which {out} can't divide evenly"
            )
        out = tuple(total // rest if n == -1 else n for n in out)
    if math.prod(out) != total or any(n < 0 for n in out):
        raise ShapeError(
            f"reshape: shape '{list(out)}' is invalid for input of size {total}: "
            f"{shape} has {total} elements, {out} needs {math.prod(out)}"
        )
    return out


def slice_length(start: int, stop: int, step: int) -> int:
    """Return how many indices `range(start, stop, step)` has."""
    return len(range(start, stop, step))


class Size(tuple[int, ...]):
    """The sizes of a tensor's dims: a tuple of ints.

    >>> Size([2, 3]).numel()
    6
    """

    __slots__ = ()
    __module__ = "tabgrad"

    def numel(self) -> int:
        """Return the number of elements."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"{Package.name}.Size({list(self)})"

    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Size: ...
    def __getitem__(self, index: Any) -> Any:
        found = tuple.__getitem__(self, index)
        return Size(found) if isinstance(index, slice) else found

    def __add__(self, other: Any) -> Size:
        return Size(tuple.__add__(self, other))

    def __radd__(self, other: Any) -> Size:
        return Size(tuple.__add__(other, self)) if isinstance(other, tuple) else NotImplemented

    def __mul__(self, times: Any) -> Size:
        return Size(tuple.__mul__(self, times))

    __rmul__ = __mul__


_SIZES: dict[tuple[int, ...], Size] = {}


def size_of(shape: tuple[int, ...]) -> Size:
    """Return the one Size of this shape."""
    found = _SIZES.get(shape)
    if found is None:
        found = _SIZES[shape] = Size(shape)
    return found

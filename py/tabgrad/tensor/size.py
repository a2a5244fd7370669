"""Size: what `x.shape` is, a tuple that knows its product."""

from __future__ import annotations

import math
from typing import Any, SupportsIndex, overload


class Size(tuple[int, ...]):
    """The sizes of a tensor's dims: a tuple of ints.

    >>> Size([2, 3]).numel()
    6
    """

    __slots__ = ()

    def numel(self) -> int:
        """Return the number of elements."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"tabgrad.Size({list(self)})"

    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Size: ...
    def __getitem__(self, index: Any) -> Any:
        found = tuple.__getitem__(self, index)
        return Size(found) if isinstance(index, slice) else found

    def __add__(self, other: Any) -> Size:
        return Size(tuple.__add__(self, other))

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


__all__ = ["Size"]

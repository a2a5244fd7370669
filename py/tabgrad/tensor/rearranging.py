"""Elements in another order, or repeated: copies, not views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabgrad.core.errors import ArgumentError, ShapeError
from tabgrad.core.shape import axis_of, needs_rank
from tabgrad.ops import elementwise as e, view as v
from tabgrad.tensor.arguments import axes, axis, ints
from tabgrad.tensor.chained import chained
from tabgrad.tensor.joining import cat, narrow
from tabgrad.tensor.shaping import ravel, transpose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Dims


def flip(input: Tensor, *args: Dims, dims: Dims | None = None) -> Tensor:
    """Return a copy with the order along `dims` reversed: flip(input, 0, 1) or flip(input, dims=(0, 1))."""
    rank = len(input.spec.shape)
    over = axes("flip", ints("flip", args, dims), rank, empty_is_all=False)
    return v.flip.bind(input, axes=over)


def fliplr(input: Tensor) -> Tensor:
    """Return a copy with dim 1 reversed."""
    needs_rank("fliplr", input.spec.shape, 2)
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """Return a copy with dim 0 reversed."""
    if not input.spec.shape:
        raise ShapeError("flipud: Input must be >= 1-d, got a 0-d tensor")
    return flip(input, 0)


@chained
def roll(input: Tensor, shifts: Dims, dims: Dims = ()) -> Tensor:
    """Move the elements `shifts` places along `dims`; those that leave at one end enter at the other.

    >>> import tabgrad as tg
    >>> tg.roll(tg.arange(4, device="cpu"), 1)
    tensor([3, 0, 1, 2])
    """
    by = ints("roll", (shifts,))
    shape = input.spec.shape
    if dims is None or dims == ():
        if len(by) != 1:
            raise ShapeError(f"roll: without dims expected one shift, got {by}")
        return v.reshape.bind(roll(ravel(input), by[0], 0), shape=shape)
    over = ints("roll", (dims,))
    if len(by) != len(over):
        raise ShapeError(
            f"roll: shifts and dimensions must align. shifts: {len(by)}, dims: {len(over)}"
        )
    out = input
    for shift, dim in zip(by, over, strict=True):
        at = axis_of("roll", dim, shape)
        n = shape[at]
        shift = shift % n if n else 0
        if shift:
            out = cat([narrow(out, at, n - shift, shift), narrow(out, at, 0, n - shift)], at)
    return e.copy.bind(input) if out is input else out


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Rotate `input` by k quarter turns in the plane of two dims, from the first to the second."""
    if len(dims) != 2:
        raise ArgumentError(f"rot90: expected total rotation dims == 2, but got dims = {len(dims)}")
    if len(input.spec.shape) < 2:
        raise ShapeError(f"rot90: expected total dims >= 2, but got shape {input.spec.shape}")
    a, b = (axis("rot90", d, len(input.spec.shape)) for d in dims)
    if a == b:
        raise ShapeError(f"rot90: expected two different dims, got {tuple(dims)}")
    k %= 4
    if k == 0:
        return e.copy.bind(input)
    if k == 2:
        return flip(input, a, b)
    return flip(transpose(input, a, b), a) if k == 1 else transpose(flip(input, a), a, b)


@chained
def repeat(self: Tensor, *args: Dims, repeats: Dims | None = None) -> Tensor:
    """Repeat the tensor so many times along each dim; more numbers than dims add dims in front.

    >>> import tabgrad as tg
    >>> tg.tensor([1, 2], device="cpu").repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    times = ints("repeat", args, repeats)
    shape = self.spec.shape
    if len(times) < len(shape):
        raise ShapeError(
            "repeat: Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            f"tensor: {len(times)} < {len(shape)}"
        )
    if any(n < 0 for n in times):
        raise ShapeError(f"repeat: repeats must not be negative, got {times}")
    shape = (1,) * (len(times) - len(shape)) + shape
    pairs = tuple(n for pair in zip(times, shape, strict=True) for n in pair)
    ones = tuple(n for size in shape for n in (1, size))
    x = v.expand.bind(v.reshape.bind(self, shape=ones), shape=pairs)
    new = tuple(n * size for n, size in zip(times, shape, strict=True))
    return v.reshape.bind(x, shape=new)


def tile(input: Tensor, *args: Dims, dims: Dims | None = None) -> Tensor:
    """Return `input` repeated `dims` times; missing dims in front count as 1."""
    times = ints("tile", args, dims)
    return repeat(input, (1,) * (len(input.spec.shape) - len(times)) + times)


class RearrangingMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    flip = flip
    fliplr = fliplr
    flipud = flipud
    roll = roll
    rot90 = rot90
    repeat = repeat
    tile = tile


__all__ = ["flip", "fliplr", "flipud", "roll", "rot90", "tile"]

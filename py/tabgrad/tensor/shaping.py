"""Shapes: reshaping, permuting, broadcasting, flipping. What PyTorch makes a view is a view here."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, overload

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError
from tabgrad.core.shape import (
    Size,
    axis_of,
    broadcast,
    infer_reshape,
    size_of,
    strides as row_major,
)
from tabgrad.core.spec import intern_params, shape_params
from tabgrad.core.trace import Box
from tabgrad.ops import elementwise as e, view as v
from tabgrad.tensor import strides
from tabgrad.tensor.aliasing import View, conjugate, look_behind, reshaped, view, view_with
from tabgrad.tensor.arguments import axes, axis, ints, listed, spread, tensors
from tabgrad.tensor.bits import view_as_dtype
from tabgrad.tensor.inplace import reshaped_in_place
from tabgrad.tensor.layout import check_format, contiguous_format, layout as Layout, strided

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tabgrad.core.dtype import DType
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.layout import memory_format as MemoryFormat
    from tabgrad.tensor.types import Dims


def reshape(input: Tensor, *args: Dims, shape: Dims | None = None) -> Tensor:
    """Return the elements in another shape, row-major; one size may be -1.

    A view where memory could show it so, else a copy, as in PyTorch.

    >>> import tabgrad as tg
    >>> tg.arange(4, device="cpu").reshape(2, -1)
    tensor([[0, 1],
            [2, 3]])
    """
    new = infer_reshape(input.spec.shape, ints("reshape", args, shape))
    its = input.alias
    if its.__class__ is View:
        its.refresh(input)
        if strides.reshape(input.spec.shape, its.strides[0], new) is None:
            return v.reshape.bind(input, shape=new)
    return view(v.reshape, input, shape_params(new))


def view_(
    self: Tensor, *shape: Dims | DType, dtype: DType | None = None, size: Dims | None = None
) -> Tensor:
    """Return a view of the elements in another shape, or of their bits as another dtype.

    Every shape of the same size can be viewed here, also where PyTorch's memory could not show it.
    As a dtype of another item size the last dim grows or shrinks; no derivative passes.

    >>> import tabgrad as tg
    >>> tg.tensor([1.0, -2.0], device="cpu").view(tg.int32)
    tensor([ 1065353216, -1073741824], dtype=tabgrad.int32)
    """
    given: tuple[Any, ...] = (*shape, *(v for v in (dtype, size) if v is not None))
    if size is not None:
        shape = (size,)
    if dtype is not None or (shape and isinstance(shape[0], (dt.DType, type))):
        if len(given) != 1:
            raise DTypeError(f"view: expected a dtype or a shape, got {given}")
        return view_as_dtype(self, given[0])
    return reshaped(self, infer_reshape(self.spec.shape, ints("view", shape)))


def view_as(self: Tensor, other: Tensor) -> Tensor:
    """Return a view in the shape of `other`."""
    return view_(self, other.spec.shape)


def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """Return the elements in the shape of `other`."""
    return reshape(self, other.spec.shape)


def ravel(input: Tensor) -> Tensor:
    """Return the elements in one row."""
    return reshape(input, input.spec.size)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Return `input` with the dims from `start_dim` to `end_dim` made one.

    >>> import tabgrad as tg
    >>> tg.flatten(tg.zeros(2, 3, 4, device="cpu"), 1).shape
    tabgrad.Size([2, 12])
    """
    shape = input.spec.shape
    first, last = axis("flatten", start_dim, len(shape)), axis("flatten", end_dim, len(shape))
    if first > last:
        raise ShapeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if not shape:
        return reshape(input, 1)
    if first == last:
        return input
    return reshape(input, *shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Return `input` with one dim split into `sizes`, of which one may be -1."""
    shape = input.spec.shape
    at = axis_of("unflatten", dim, shape)
    inner = infer_reshape((shape[at],), tuple(sizes))
    return reshape(input, *shape[:at], *inner, *shape[at + 1 :])


def squeeze(input: Tensor, dim: Dims | None = None) -> Tensor:
    """Return `input` without its dims of size 1: all, or those of `dim` that have it.

    >>> import tabgrad as tg
    >>> tg.squeeze(tg.zeros(1, 2, 1, device="cpu")).shape
    tabgrad.Size([2])
    """
    shape = input.spec.shape
    drop = axes("squeeze", dim, len(shape), empty_is_all=False)
    return reshaped(input, tuple(n for k, n in enumerate(shape) if n != 1 or k not in drop))


def squeeze_method(self: Tensor, *args: Dims, dim: Dims | None = None) -> Tensor:
    """Return the tensor without its dims of size 1: all, or those of `dim` that have it."""
    return squeeze(self, spread(args, dim))


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Return `input` with a new dim of size 1 at `dim`."""
    shape = input.spec.shape
    at = axis("unsqueeze", dim, len(shape) + 1)
    return reshaped(input, (*shape[:at], 1, *shape[at:]))


def permute(input: Tensor, *args: Dims, dims: Dims | None = None) -> Tensor:
    """Return the dims in another order."""
    rank = len(input.spec.shape)
    given = ints("permute", args, dims)
    order = tuple(axis("permute", d, rank) for d in given)
    if len(order) != rank or len(set(order)) != rank:
        raise ShapeError(f"permute: expected each of {rank} dims once, got {given}")
    return view(v.permute, input, intern_params({"dims": order}))


_SWAP2 = intern_params({"dims": (1, 0)})


def transpose(input: Tensor, dim0: Any, dim1: int | None = None) -> Tensor:
    """Return `input` with two dims swapped, or with its dims in the order `dim0`."""
    if dim1 is None:
        return permute(input, *dim0)
    rank = len(input.spec.shape)
    a, b = axis("transpose", dim0, rank), axis("transpose", dim1, rank)
    order = list(range(rank))
    if rank:
        order[a], order[b] = b, a
    return view(v.permute, input, intern_params({"dims": tuple(order)}))


swapdims = transpose


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """Return `input` with two dims swapped, as `transpose`."""
    return transpose(input, axis0, axis1)


def t(input: Tensor) -> Tensor:
    """Return the transpose of a matrix; tensors of fewer dims stay as they are."""
    rank = len(input.spec.shape)
    if rank > 2:
        raise ShapeError(f"t() expects a tensor with <= 2 dimensions, but self is {rank}D")
    return view(v.permute, input, _SWAP2) if rank == 2 else reshaped(input, input.spec.shape)


def transposed(self: Tensor) -> Tensor:
    """The dims in reverse order: of a matrix, its transpose."""
    rank = len(self.spec.shape)
    if rank == 2:
        return view(v.permute, self, _SWAP2)
    return view_with(v.permute, self, dims=tuple(range(rank))[::-1])


def matrix_transposed(self: Tensor) -> Tensor:
    """The last two dims swapped."""
    if len(self.spec.shape) < 2:
        raise ShapeError(f"mT: expected at least 2 dimensions, got shape {self.spec.shape}")
    return transpose(self, -2, -1)


def adjoint(input: Tensor) -> Tensor:
    """The last two dims swapped, complex elements conjugated, as a view."""
    x = matrix_transposed(input) if input.spec.shape else input
    return conjugate(x) if x.spec.dtype.is_complex else x


def movedim(input: Tensor, source: Dims, destination: Dims) -> Tensor:
    """Return `input` with the dims `source` moved to `destination`, the others in their order."""
    rank = len(input.spec.shape)
    origin, target = (
        [axis("movedim", d, rank) for d in ints("movedim", (dims,))]
        for dims in (source, destination)
    )
    if (
        len(origin) != len(target)
        or len(set(origin)) != len(origin)
        or len(set(target)) != len(target)
    ):
        raise ShapeError(
            f"movedim: {source} and {destination} must be as many dims, each named once"
        )
    rest = iter(k for k in range(rank) if k not in origin)
    places = dict(zip(target, origin, strict=True))
    return view_with(
        v.permute, input, dims=tuple(places[k] if k in places else next(rest) for k in range(rank))
    )


moveaxis = movedim


def expand(input: Tensor, *args: Dims, size: Dims | None = None, implicit: bool = False) -> Tensor:
    """Return a view with dims of size 1 repeated to `sizes`; -1 keeps a size, new dims go in front.

    It can't be written to in place: many elements are one. `implicit` changes nothing, as in PyTorch.
    """
    shape, new = input.spec.shape, ints("expand", args, size)
    lead = len(new) - len(shape)
    if lead < 0:
        raise ShapeError(
            f"expand: the number of sizes provided ({len(new)}) must be greater or equal to the number of "
            f"dimensions in the tensor ({len(shape)})"
        )
    out = []
    for k, n in enumerate(new):
        old = shape[k - lead] if k >= lead else 1
        if n == -1 and k < lead:
            raise ShapeError(f"expand: -1 isn't allowed for the new dim {k}")
        if n not in (-1, old) and old != 1:
            raise ShapeError(
                f"expand: The expanded size of the tensor ({n}) must match the existing size ({old}) at "
                f"non-singleton dimension {k}. Target sizes: {new}. Tensor sizes: {shape}"
            )
        out.append(old if n == -1 else n)
    return view_with(v.expand, input, shape=tuple(out))


def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """Return a view broadcast to the shape of `other`."""
    return expand(self, other.spec.shape)


def broadcast_to(input: Tensor, size: Dims) -> Tensor:
    """Return a view broadcast to `size`."""
    return expand(input, size)


def broadcast_to_method(self: Tensor, *args: Dims, size: Dims | None = None) -> Tensor:
    """Return a view broadcast to `size`."""
    return expand(self, *args, size=size)


def broadcast_tensors(*tensors_: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the tensors broadcast to one shape."""
    several = listed(tensors_)
    if not several:
        return ()
    given = tensors("broadcast_tensors", several)
    shape = broadcast("broadcast_tensors", *(x.spec.shape for x in given))
    return tuple(x if x.spec.shape == shape else expand(x, shape) for x in given)


def broadcast_shapes(*shapes: Dims) -> Size:
    """Return the shape that all `shapes` broadcast to."""
    given = (tuple(s) if hasattr(s, "__iter__") else (s,) for s in shapes)
    return Size(broadcast("broadcast_shapes", *given))


# -- moving and repeating elements -----------------------------------------------------------------


def contiguous(self: Tensor, memory_format: MemoryFormat | None = contiguous_format) -> Tensor:
    """Return `self`, or a copy where its elements would not lie in row-major order.

    With `memory_format` a format whose channels come last, a copy whose strides are such.
    """
    check_format("contiguous", memory_format, len(self.spec.shape))
    if is_contiguous(self, memory_format):
        return self
    if memory_format is None or memory_format.rank is None:
        return e.copy.bind(self)
    return in_format(self, memory_format.rank)


def in_format(x: Tensor, rank: int) -> Tensor:
    """Return a copy whose channels come last: its strides are those of a view of one that is row-major."""
    last = (0, *range(2, rank), 1)
    back = (0, rank - 1, *range(1, rank - 1))
    return permute(e.copy.bind(v.permute.bind(x, dims=last)), back)


def is_contiguous(self: Tensor, memory_format: MemoryFormat | None = contiguous_format) -> bool:
    """Return whether the elements would lie in row-major order in PyTorch's memory, or in a format's."""
    shape = self.spec.shape
    check_format("is_contiguous", memory_format, None)
    if memory_format is not None and memory_format.rank is not None:
        if memory_format.rank != len(shape):
            return False
        found = stride(self)
        last = (0, *range(2, memory_format.rank), 1)
        return strides.is_row_major(tuple(shape[d] for d in last), tuple(found[d] for d in last))
    its = self.alias
    return its.__class__ is not View or strides.is_row_major(shape, its.strides[0])


def stride(self: Tensor, dim: int | None = None) -> Any:
    """Return the distance in memory, in elements, between neighbours along each dim, or along `dim`."""
    its = self.alias
    shape = self.spec.shape
    found = its.strides[0] if its.__class__ is View else row_major(tuple([n or 1 for n in shape]))
    return found if dim is None else found[axis("stride", dim, len(shape))]


def storage_offset(self: Tensor) -> int:
    """Return the place of the first element in the base's memory, in elements."""
    its = self.alias
    look_behind(self, "storage_offset")
    return its.strides[1] if its.__class__ is View else 0


def clone(input: Tensor, *, memory_format: MemoryFormat | None = None) -> Tensor:
    """Return a copy with values of its own; derivatives flow through."""
    check_format("clone", memory_format, len(input.spec.shape))
    if memory_format is not None and memory_format.rank is not None:
        return in_format(input, memory_format.rank)
    return e.copy.bind(input)


def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Return the windows of `size` along `dimension`, `step` apart, in a new last dim.

    >>> import tabgrad as tg
    >>> tg.arange(4, device="cpu").unfold(0, 2, 1)
    tensor([[0, 1],
            [1, 2],
            [2, 3]])
    """
    shape = self.spec.shape
    at = axis("unfold", dimension, len(shape))
    if size < 0:
        raise ArgumentError(f"unfold: size is {size} but must be >= 0")
    if not shape:
        return reshaped(self, (1,))
    if size > shape[at]:
        raise ShapeError(
            f"unfold: maximum size for tensor at dimension {at} is {shape[at]} but size is {size}"
        )
    if step <= 0:
        raise ShapeError(f"unfold: step is {step} but must be > 0")
    last = len(shape) - 1
    x = movedim(self, at, last) if at != last else self
    wide = view_with(v.expand, unsqueeze(x, -1), shape=(*x.spec.shape, size))
    windows = view_with(v.rewindow, wide, sizes=(size,), strides=(step,), dilations=(1,))
    return movedim(windows, last, at) if at != last else windows


def atleast_1d(*tensors_: Tensor | Sequence[Tensor]) -> Any:
    """Return each tensor with at least 1 dim."""
    return _at_least(tensors_, lambda x: reshaped(x, (1,)) if not x.spec.shape else x)


def atleast_2d(*tensors_: Tensor | Sequence[Tensor]) -> Any:
    """Return each tensor with at least 2 dims, new ones in front."""
    return _at_least(
        tensors_, lambda x: x if len(x.spec.shape) > 1 else reshaped(x, (1, x.spec.size))
    )


def atleast_3d(*tensors_: Tensor | Sequence[Tensor]) -> Any:
    """Return each tensor with at least 3 dims."""

    def lift(x: Tensor) -> Tensor:
        shape = x.spec.shape
        if len(shape) > 2:
            return x
        return reshaped(x, (*shape, 1) if len(shape) == 2 else (1, x.spec.size, 1))

    return _at_least(tensors_, lift)


def _at_least(
    given: tuple[Tensor | Sequence[Tensor], ...], lift: Callable[[Tensor], Tensor]
) -> Any:
    if len(given) == 1 and isinstance(given[0], Box):
        return lift(given[0])
    return tuple(lift(x) for x in listed(given))


class ShapingMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    @property
    def T(self: Any) -> Tensor:
        """The dims in reverse order: of a matrix, its transpose."""
        return transposed(self)

    @property
    def mT(self: Any) -> Tensor:
        """The last two dims swapped."""
        return matrix_transposed(self)

    @property
    def H(self: Any) -> Tensor:
        """The last two dims swapped, complex elements conjugated."""
        return adjoint(self)

    mH = H

    @overload
    def size(self: Any) -> Size: ...
    @overload
    def size(self: Any, dim: int) -> int: ...
    def size(self: Any, dim: int | None = None) -> Any:
        """Return the sizes of the dims, or that of one."""
        shape = self.spec.shape
        if dim is None:
            return size_of(shape)
        if not shape:
            raise IndexError("Dimension specified as 0 but tensor has no dimensions")
        return shape[axis("size", dim, len(shape))]

    @property
    def layout(self) -> Layout:
        """How the elements are stored: `strided`, as those of all tensors here."""
        return strided

    adjoint = adjoint
    broadcast_to = broadcast_to_method
    clone = clone
    contiguous = contiguous
    expand = expand
    expand_as = expand_as
    flatten = flatten
    is_contiguous = is_contiguous
    movedim = movedim
    moveaxis = moveaxis
    permute = permute
    ravel = ravel
    reshape = reshape
    reshape_as = reshape_as
    squeeze = squeeze_method
    squeeze_ = reshaped_in_place(squeeze_method)
    storage_offset = storage_offset
    stride = stride
    t, t_ = t, reshaped_in_place(t)
    transpose, transpose_ = transpose, reshaped_in_place(transpose)
    swapaxes, swapaxes_ = swapaxes, reshaped_in_place(swapaxes)
    swapdims, swapdims_ = transpose, transpose_
    unflatten = unflatten
    unfold = unfold
    unsqueeze, unsqueeze_ = unsqueeze, reshaped_in_place(unsqueeze)
    view = view_
    view_as = view_as


__all__ = [
    "adjoint", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_shapes", "broadcast_tensors",
    "broadcast_to", "clone", "flatten", "moveaxis", "movedim", "permute", "ravel", "reshape", "squeeze",
    "swapaxes", "swapdims", "t", "transpose", "unflatten", "unsqueeze",
]  # fmt: skip

"""Views of the memory behind a tensor, by strides: what PyTorch says of storages.

The memory behind a tensor is that of its base, or of itself, in row-major order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabgrad.core.errors import GradientError, ShapeError
from tabgrad.core.shape import strides as row_major
from tabgrad.core.spec import intern_params, spec
from tabgrad.core.trace import MODE, constant, wrap
from tabgrad.ops.elementwise import copy
from tabgrad.ops.indexing import cat
from tabgrad.ops.strided import strided
from tabgrad.ops.view import reshape, size as count
from tabgrad.tensor.aliasing import (
    Storage,
    View,
    conjugate,
    conjugated,
    look_behind,
    own,
    refreshed,
    root_of,
    view,
    write,
)
from tabgrad.tensor.arguments import ints
from tabgrad.tensor.bits import view_as_dtype
from tabgrad.tensor.strides import is_row_major
from tabgrad.tensor.writing import set_data

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.layout import memory_format as MemoryFormat
    from tabgrad.tensor.types import Dims, Ints


def as_strided(
    input: Tensor, size: Dims, stride: Dims, storage_offset: int | None = None
) -> Tensor:
    """Return the view of the memory behind `input` with these sizes and strides, from an offset in elements.

    Derivatives flow to what the memory belongs to: where elements are shown several times they add up.

    >>> import tabgrad as tg
    >>> tg.arange(5, device="cpu").as_strided((2, 2), (2, 1), 1)
    tensor([[1, 2],
            [3, 4]])
    """
    sizes, steps = ints("as_strided", (size,)), ints("as_strided", (stride,))
    its = refreshed(input).alias
    flipped, negative = conjugated(input)
    if flipped and input.spec.dtype.is_complex:
        return conjugate(as_strided(conjugate(input), size, stride, storage_offset))
    if flipped or negative:
        raise ShapeError(
            "as_strided: the memory has not the parts of conjugates; clone() them first"
        )
    look_behind(input, "as_strided")
    offset = storage_offset
    if offset is None:
        offset = its.strides[1] if its.__class__ is View else 0
    flat, start = _memory(input)
    offset -= start
    if len(sizes) != len(steps):
        raise ShapeError(
            f"mismatch in length of strides and shape: as_strided got {len(sizes)} sizes and {len(steps)} "
            "strides"
        )
    if any(s < 0 for s in steps):
        raise ShapeError(
            f"as_strided: Negative strides are not supported at the moment, got strides: {list(steps)}"
        )
    last = offset + sum((n - 1) * s for n, s in zip(sizes, steps, strict=True))
    if offset < 0 or (0 not in sizes and last >= flat.spec.size):
        raise ShapeError(
            f"setStorage: sizes {list(sizes)}, strides {list(steps)}, storage offset {offset + start} are "
            f"out of bounds for a storage of {start + flat.spec.size} elements"
        )
    params = {"sizes": sizes, "strides": steps, "offset": offset if 0 not in sizes else 0}
    return view(strided, flat, intern_params(params))


def _memory(x: Tensor) -> tuple[Any, int]:
    """Return the memory behind `x` in one row, in elements of `x`, and at which of them it begins.

    It ends where derivatives do: at a view that requires grad though its base does not.
    """
    base = x
    while base.alias.__class__ is View and (base.alias.base.tracked or not base.tracked):
        base = base.alias.base
    steps, start = base.alias.strides if base.alias.__class__ is View else ((), 0)
    if steps and not is_row_major(base.spec.shape, steps):
        raise GradientError(
            f"as_strided: the view of shape {base.spec.shape} requires grad and is not contiguous: its memory "
            "has elements without derivatives; clone() it first"
        )
    flat = view(reshape, base, intern_params({"shape": (base.spec.size,)}))
    if base.spec.dtype is not x.spec.dtype:
        flat = view_as_dtype(flat, x.spec.dtype)
    return flat, start * base.spec.dtype.itemsize // x.spec.dtype.itemsize


def as_strided_(
    input: Tensor, size: Dims, stride: Dims, storage_offset: int | None = None
) -> Tensor:
    """Become the view that `as_strided` returns; return self. Raises for a tensor that requires grad."""
    _check(input, "as_strided_")
    _become(input, as_strided(_rooted(input), size, stride, storage_offset))
    return input


def as_strided_scatter(
    input: Tensor, src: Tensor, size: Dims, stride: Dims, storage_offset: int | None = None
) -> Tensor:
    """Return `input` with `src` in place of as_strided(input, size, stride, storage_offset)."""
    whole = copy.bind(input)
    target = as_strided(whole, size, stride, storage_offset or 0)
    if target.spec.shape != src.spec.shape:
        raise ShapeError(
            f"expected src to have a size equal to the slice of self. src size = {list(src.spec.shape)}, "
            f"slice size = {list(target.spec.shape)}"
        )
    write(target, own(src), "as_strided_scatter")
    return refreshed(whole)


def resize_(
    self: Tensor, *args: Dims, size: Dims | None = None, memory_format: MemoryFormat | None = None
) -> Tensor:
    """Change the shape; return self. The memory stays: elements that are hidden now can come back later.

    New elements are zeros; a tensor that shares its memory can't get more. A tensor without elements has no
    memory.
    """
    sizes = ints("resize_", args, size)
    if sizes == self.spec.shape:
        return self
    _check(self, "resize_")
    its = self.alias
    look_behind(self, "resize_")
    offset = its.strides[1] if its.__class__ is View else 0
    need = offset + count(sizes)
    root = root_of(self).spec
    memory = root.size * root.dtype.itemsize // self.spec.dtype.itemsize
    if not count(sizes) or not self.spec.size or need > memory:
        _become(self, _plain(self, sizes))
    else:
        steps = row_major(tuple([n or 1 for n in sizes]))
        _become(self, as_strided(_rooted(self), sizes, steps, offset))
    return self


def _plain(x: Tensor, sizes: Ints) -> Tensor:
    """Return a tensor of its own of these sizes: the elements of `x`, then zeros."""
    more = count(sizes) - x.spec.size
    if x.alias is not None and count(sizes) and x.spec.size:
        raise ShapeError(
            f"resize_: {list(sizes)} needs more elements than there are, and the memory is shared with other "
            "tensors; resize a clone()"
        )
    y = constant(0, spec((max(more, 0),), x.spec.dtype), x.device)
    if count(sizes) and x.spec.size:
        y = cat.bind(reshape.bind(x, shape=(x.spec.size,)), y, axis=0)
    y = reshape.bind(y, shape=sizes)
    y._version = x._version
    return y


def resize_as_(
    input: Tensor, the_template: Tensor, *, memory_format: MemoryFormat | None = None
) -> Tensor:
    """Change the shape to that of another tensor, as `resize_`; return self."""
    return resize_(input, the_template.spec.shape)


def set_(
    self: Tensor, source: Any = None, storage_offset: int = 0, size: Dims | None = None,
    stride: Dims | None = None,
) -> Tensor:  # fmt: skip
    """Share the memory of the tensor `source`, its shape included, or with a size and strides; return self.

    A storage is a row of elements of the tensor's dtype. Without a source: become empty.
    """
    if hasattr(source, "untyped"):
        source = source.untyped().tensor(self.spec.dtype)
    if source is None:
        none = constant(0, spec((0,), self.spec.dtype), self.device)
        source = wrap(none.value, none.spec, none.device)
    elif source.spec.dtype is not self.spec.dtype:
        raise ShapeError(
            f"Could not set tensor of type {source.spec.dtype!r} to a tensor of type {self.spec.dtype!r}"
        )
    if size is not None:
        shape = ints("set_", (size,))
        steps = row_major(shape) if stride is None else stride
        source = as_strided(source, shape, steps, storage_offset)
    set_data(self, source)
    return self


def _check(x: Tensor, name: str) -> None:
    refreshed(x)
    if x.tracked:
        raise GradientError(f"cannot resize variables that require grad: {name}")
    if x.owner is not None:
        raise ShapeError(f"{name}: a tensor of a transform keeps its shape; make another one")


def _rooted(x: Tensor) -> Tensor:
    """Return a tensor with the memory of `x`: the one behind it if it is a view."""
    if x.alias.__class__ is View:
        return x
    root = wrap(x.value, x.spec, x.device)
    root._version = x._version
    if x.alias.__class__ is Storage:
        root.alias = x.alias
    return root


def _become(x: Tensor, y: Tensor) -> None:
    """Make `x` the view `y`."""
    capture = MODE.get().capture
    if capture is not None:
        capture.note((x,))
    x.value, x.spec, x.alias, x._version = y.value, y.spec, y.alias, y._version


class StorageMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    as_strided = as_strided
    as_strided_ = as_strided_
    as_strided_scatter = as_strided_scatter
    resize_ = resize_
    resize_as_ = resize_as_
    set_ = set_


__all__ = ["as_strided", "as_strided_", "as_strided_scatter", "resize_as_"]

"""Methods that change a tensor in place: its values, or its place in the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.capture import clear_grad
from tabgrad.core.errors import DTypeError, GradientError, ShapeError
from tabgrad.core.locks import WRITING
from tabgrad.core.promotion import moved
from tabgrad.core.scalars import fits
from tabgrad.core.trace import MODE, Box
from tabgrad.core.undoing import Before
from tabgrad.tensor import conversion, creation, indexing
from tabgrad.tensor.aliasing import (
    View,
    check_writable,
    fitting,
    own,
    refreshed,
    root_of,
    write,
)
from tabgrad.tensor.diagonals import diagonal
from tabgrad.transforms.levels import check_written
from tabgrad.transforms.node import is_leaf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Number


def copy_(self: Tensor, other: Any, non_blocking: bool = False) -> Tensor:
    """Take the values of `other`, broadcast, cast and moved from its device; return self."""
    check_writable(self)
    if not isinstance(other, Box):
        other = creation.tensor(other, device=self.device)
    if other.device is not self.device:
        other = conversion.convert(other, None, self.device, False)
    with WRITING:
        return write(self, own(refreshed(other)))


def fill_(input: Tensor, value: Tensor | Number) -> Tensor:
    """Take `value`, a number or a 0-d tensor, in every element; return the tensor."""
    check_writable(input)
    s = input.spec
    if isinstance(value, Box):
        if value.spec.shape:
            raise GradientError(
                f"fill_ only supports 0-dimension value tensor but got shape {value.spec.shape}"
            )
        there = moved(value, input.device)
        return write(input, own(fitting(input, there, "fill_")), "fill_")
    number = fits("fill_", value, s.dtype)
    return write(input, creation.filled(s.shape, number, s.dtype, input.device), "fill_")


def zero_(input: Tensor) -> Tensor:
    """Take 0 in every element; return the tensor."""
    return fill_(input, 0)


def fill_diagonal_(self: Tensor, fill_value: Number, wrap: bool = False) -> Tensor:
    """Take `fill_value` on the main diagonal; return self.

    With `wrap` the diagonal of a matrix goes on below its square, after a row without. A tensor of more than
    two dims must have equal sizes, and takes it where all indices are equal.
    """
    shape = self.spec.shape
    if len(shape) < 2:
        raise ShapeError(f"fill_diagonal_: expected at least two dims, got shape {shape}")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise ShapeError(
            f"fill_diagonal_: all dimensions of input must be of equal length, got {shape}"
        )
    if len(shape) == 2 and not wrap:
        fill_(diagonal(self), fill_value)
    elif self.spec.size:
        step = sum(shape[-1] ** k for k in range(len(shape)))
        check_writable(self)
        flat = self.clone().reshape(self.spec.size)
        fill_(flat[::step], fill_value)
        write(self, flat.reshape(shape), "fill_diagonal_")
    return self


def index_put_(
    input: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False
) -> Tensor:
    """Write, or add, `values` at the places that a tuple of index tensors names; return the tensor."""
    indices = indexing.checked_indices("index_put_", indices)
    if not accumulate:
        indexing.setitem(input, indices, values, "index_put_")
        return input
    check_writable(input)
    return write(
        input, indexing.put_indices(input, indices, values, True, "index_put_"), "index_put_"
    )


def detach_(input: Tensor) -> Tensor:
    """Forget the history, so that the tensor becomes a leaf; return the tensor. Raises for a view."""
    if input.alias.__class__ is View and not input.alias.detached:
        raise GradientError("Can't detach views in-place. Use detach() instead.")
    input.node = None
    input.tracked = False
    return input


def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Say whether gradients of this leaf are wanted; return self."""
    self.requires_grad = requires_grad
    return self


def reset_grads(leaves: Sequence[Tensor], set_to_none: bool) -> None:
    """Drop the gradients of leaves, or set them to zero in place, without history: all or none."""
    grads = () if set_to_none else [g for g in [leaf.grad for leaf in leaves] if g is not None]
    with Before([refreshed(root_of(g)) for g in grads if g._parts is None], leaves):
        if set_to_none:
            for leaf in leaves:
                clear_grad(leaf)
        for grad in grads:
            if grad._parts is not None:
                grad.detach_().zero_()
                continue
            if is_leaf(grad):
                grad.requires_grad_(False)
            else:
                detach_(grad)
            zero_(grad)


def set_data(self: Tensor, new: Tensor) -> None:
    """Share the values of `new` from now on, its shape, dtype and device included; the history stays."""
    if not isinstance(new, Box):
        raise TypeError(f"data: expected a tensor, got {type(new).__name__}")
    if self.requires_grad and new.spec.dtype.category < dt.FLOAT:
        raise DTypeError(
            "data set to a tensor that requires gradients must be floating point or complex dtype, got "
            f"{new.spec.dtype!r}"
        )
    source = new.detach()
    if source.owner is not None and source.owner is not self.owner:
        check_written(self, source, "assignment to .data")
    if source.spec is not self.spec and self.node is not None and is_leaf(self):
        self.node = None
    mode = MODE.get()
    if mode.capture is not None:
        mode.capture.note_write(self)
    self.value, self.owner = source.value, source.owner
    self.spec, self.device = source.spec, source.device
    self.alias, self.born, self._version = source.alias, source.born, source._version


class WritingMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    copy_ = copy_
    detach_ = detach_
    fill_ = fill_
    fill_diagonal_ = fill_diagonal_
    index_put_ = index_put_
    requires_grad_ = requires_grad_
    zero_ = zero_

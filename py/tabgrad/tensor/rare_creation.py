"""Ways to make tensors that few programs use: by old names, with strides, as copies of what views show."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.dtype import DType
from tabgrad.core.errors import DTypeError, NumberRangeError, ShapeError, warn
from tabgrad.core.scalars import limits, number
from tabgrad.core.shape import axis_of
from tabgrad.ops.elementwise import copy
from tabgrad.tensor import aliasing, creation, diagonals, joining, ranges, shaping, storage
from tabgrad.tensor.indexing import getitem
from tabgrad.tensor.layout import layout as Layout
from tabgrad.tensor.public import fills_out, publish, takes_out

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import DeviceLike, Dims, Number


def scalar_tensor(
    s: Number, *, dtype: DType | None = None, layout: Layout | None = None,
    device: DeviceLike | None = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a number as a 0-d tensor, of the default dtype unless `dtype` is given.

    >>> import tabgrad as tg
    >>> tg.scalar_tensor(2, device="cpu")
    tensor(2.)
    """
    where, target = creation.placed(dtype, device, layout)
    return creation.tensor(s, dtype=target, device=where, requires_grad=requires_grad)


@fills_out
def logspace(
    start: Number, end: Number, steps: int, base: float = 10.0, *, dtype: DType | None = None,
    layout: Layout | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return base ** linspace(start, end, steps)."""
    where_to, target = creation.placed(dtype, device, layout)
    if target.category == dt.BOOL:
        raise DTypeError("logspace: not implemented for 'Bool': expected a number dtype")
    if target.category == dt.INT:
        found = _whole_powers(
            ranges.end_of("logspace", start), ranges.end_of("logspace", end), steps, base
        )
        low, high = limits(target)
        numbers = [(n - low & high - low) + low for n in found]
        return creation.require(
            creation.tensor(numbers, dtype=target, device=where_to), requires_grad
        )
    x = ranges.linspace(start, end, steps, dtype=target, device=device)
    return creation.require(base**x, requires_grad)


def _whole_powers(start: float, end: float, steps: int, base: float) -> list[int]:
    """Return the powers as integers: the exponents begin and end at integers, unless there is one."""
    if steps < 0:
        raise RuntimeError(f"logspace: number of steps must be non-negative, got {steps}")
    if steps == 1:
        return [int(base**start)]
    first, last = int(start), int(end)
    step = (last - first) / (steps - 1) if steps else 0.0
    return [int(base**n) for n in ranges.from_both_ends(first, last, step, steps)]


@fills_out
def range(
    start: float, end: float, step: float = 1, *, dtype: DType | None = None,
    device: DeviceLike | None = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return start, start + step, ... up to and with `end`, of the default dtype; deprecated, see `arange`.

    >>> import tabgrad as tg
    >>> import warnings
    >>> warnings.simplefilter("ignore")
    >>> tg.range(1, 3, device="cpu")
    tensor([1., 2., 3.])
    """
    warn(
        "tabgrad.range is deprecated, as PyTorch's is: its behavior is inconsistent with Python's range. Use "
        "tabgrad.arange, which produces values in [start, end).",
        UserWarning,
    )
    where, target = creation.placed(dtype, device, None)
    if target.category not in (dt.INT, dt.FLOAT) or target is dt.bool_:
        raise DTypeError(f"\"range\" not implemented for '{target.title}'")
    start, end, step = (number("range", n) for n in (start, end, step))
    if not (math.isfinite(start) and math.isfinite(end)):
        raise NumberRangeError(f"range: unsupported range: {start} -> {end}")
    if target.category == dt.INT:
        start, end, step = int(start), int(end), int(step)
    if step == 0:
        raise NumberRangeError("range: step must be nonzero")
    if (end - start) * step < 0:
        raise NumberRangeError("range: upper bound and lower bound inconsistent with step sign")
    last = start + math.floor((end - start) / step) * step
    return ranges.arange(
        start, last + step / 2 if target.category == dt.FLOAT else last + (1 if step > 0 else -1), step,
        dtype=target, device=where, requires_grad=requires_grad,
    )  # fmt: skip


def empty_strided(
    size: Sequence[int], stride: Sequence[int], *, dtype: DType | None = None,
    layout: Layout | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a tensor of this size and these strides, its values not yet set (here they are 0).

    >>> import tabgrad as tg
    >>> tg.empty_strided((2, 3), (1, 2), device="cpu").stride()
    (1, 2)
    """
    if len(size) != len(stride):
        raise ShapeError(
            f"empty_strided: dimensionality of sizes ({len(size)}) must match dimensionality of strides "
            f"({len(stride)})"
        )
    last = sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    n = 0 if 0 in tuple(size) else last + 1
    where, target = creation.placed(dtype, device, layout)
    memory = creation.empty(n, dtype=target, device=where)
    return creation.require(storage.as_strided(memory, size, stride), requires_grad)


def empty_permuted(
    size: Sequence[int], physical_layout: Sequence[int], *, dtype: DType | None = None,
    layout: Layout | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a tensor whose dims lie in memory in the order `physical_layout`, its values not yet set.

    >>> import tabgrad as tg
    >>> tg.empty_permuted((2, 3, 5), (0, 2, 1), device="cpu").stride()
    (15, 1, 3)
    """
    order = [int(k) for k in physical_layout]
    if sorted(order) != [*builtins.range(len(size))]:
        raise ShapeError(
            f"empty_permuted: physical_layout must name each of the {len(size)} dims once, got {order}"
        )
    made = creation.empty([size[k] for k in order], dtype=dtype, device=device, layout=layout)
    back: Any = [order.index(k) for k in builtins.range(len(size))]
    return creation.require(made.permute(back), requires_grad)


def new_empty_strided(
    self: Tensor, size: Sequence[int], stride: Sequence[int], *, dtype: DType | None = None,
    layout: Layout | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a tensor of this size and these strides, with the dtype and device of this one by default."""
    return empty_strided(
        size, stride, dtype=dtype or self.spec.dtype, layout=layout, device=device or self.device,
        requires_grad=requires_grad,
    )  # fmt: skip


def _copied(found: Any) -> Any:
    return tuple([copy.bind(x) for x in found]) if isinstance(found, tuple) else copy.bind(found)


@takes_out
def alias_copy(input: Tensor) -> Tensor:
    """Return a copy."""
    return copy.bind(input)


@takes_out
def as_strided_copy(
    input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """Return a copy of what `as_strided` shows."""
    return copy.bind(storage.as_strided(input, size, stride, storage_offset))


@takes_out
def detach_copy(input: Tensor) -> Tensor:
    """Return a copy without history."""
    return copy.bind(aliasing.detach(input))


@takes_out
def diagonal_copy(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Return a copy of what `diagonal` shows."""
    return copy.bind(diagonals.diagonal(input, offset, dim1, dim2))


@takes_out
def expand_copy(input: Tensor, size: Sequence[int], *, implicit: bool = False) -> Tensor:
    """Return a copy of what `expand` shows."""
    return copy.bind(shaping.expand(input, size))


@takes_out
def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """Return a copy of what `narrow` shows.

    >>> import tabgrad as tg
    >>> tg.narrow_copy(tg.tensor([1, 2, 3], device="cpu"), 0, 1, 2)
    tensor([2, 3])
    """
    return copy.bind(joining.narrow(input, dim, start, length))


@takes_out
def permute_copy(input: Tensor, dims: Sequence[int]) -> Tensor:
    """Return a copy of what `permute` shows."""
    return copy.bind(shaping.permute(input, dims))


@takes_out
def select_copy(input: Tensor, dim: int, index: int) -> Tensor:
    """Return a copy of what `select` shows."""
    return copy.bind(joining.select(input, dim, index))


@takes_out
def slice_copy(
    input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """Return a copy of input[start:end:step] along `dim`."""
    at = axis_of("slice_copy", dim, input.spec.shape)
    return copy.bind(getitem(input, (slice(None),) * at + (slice(start, end, step),)))


@takes_out
def split_copy(input: Tensor, split_size: int, dim: int = 0) -> Any:
    """Return copies of what `split` shows."""
    return _copied(joining.split(input, split_size, dim))


@takes_out
def split_with_sizes_copy(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> Any:
    """Return copies of what `split_with_sizes` shows."""
    return _copied(joining.split(input, split_sizes, dim))


@takes_out
def squeeze_copy(input: Tensor, dim: Dims | None = None) -> Tensor:
    """Return a copy of what `squeeze` shows."""
    return copy.bind(shaping.squeeze(input) if dim is None else shaping.squeeze(input, dim))


@takes_out
def t_copy(input: Tensor) -> Tensor:
    """Return a copy of what `t` shows."""
    return copy.bind(shaping.t(input))


@takes_out
def transpose_copy(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Return a copy of what `transpose` shows."""
    return copy.bind(shaping.transpose(input, dim0, dim1))


@takes_out
def unbind_copy(input: Tensor, dim: int = 0) -> Any:
    """Return copies of what `unbind` shows."""
    return _copied(joining.unbind(input, dim))


@takes_out
def unfold_copy(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Return a copy of what `Tensor.unfold` shows."""
    return copy.bind(shaping.unfold(input, dimension, size, step))


@takes_out
def unsqueeze_copy(input: Tensor, dim: int) -> Tensor:
    """Return a copy of what `unsqueeze` shows."""
    return copy.bind(shaping.unsqueeze(input, dim))


@takes_out
def view_copy(
    input: Tensor, size: Sequence[int] | DType | None = None, *, dtype: DType | None = None
) -> Tensor:
    """Return a copy in another shape, or of the bits as another dtype."""
    if isinstance(size, DType):
        size, dtype = None, size
    return copy.bind(shaping.view_(input, size=size, dtype=dtype))


class RareCreationMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    narrow_copy = narrow_copy
    new_empty_strided = new_empty_strided


__all__ = [
    "alias_copy", "as_strided_copy", "detach_copy", "diagonal_copy", "empty_permuted", "empty_strided",
    "expand_copy", "logspace", "narrow_copy", "permute_copy", "range", "scalar_tensor", "select_copy",
    "slice_copy", "split_copy", "split_with_sizes_copy", "squeeze_copy", "t_copy", "transpose_copy",
    "unbind_copy", "unfold_copy", "unsqueeze_copy", "view_copy",
]  # fmt: skip

publish(globals())

"""Tensors that count: ranges, grids, identity matrices, triangles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.dtype import DType
from tabgrad.core.errors import DTypeError, NumberRangeError, ShapeError
from tabgrad.core.promotion import cast
from tabgrad.core.scalars import fits, number
from tabgrad.ops.elementwise import add, mul, where
from tabgrad.ops.indexing import iota
from tabgrad.ops.rounding import ge, le
from tabgrad.ops.view import expand, reshape
from tabgrad.tensor import aliasing, creation
from tabgrad.tensor.arguments import listed, tensors
from tabgrad.tensor.chained import chained
from tabgrad.tensor.creation import place, placed, require
from tabgrad.tensor.inplace import in_place
from tabgrad.tensor.layout import layout as Layout
from tabgrad.tensor.public import fills_out, takes_out

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tabgrad.hosts.devices import Device
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import DeviceLike, Number


@fills_out
def arange(
    *args: float, start: float | None = None, end: float | None = None, step: float = 1,
    dtype: DType | None = None, layout: Layout | None = None, device: DeviceLike | None = None,
    pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return start, start + step, ... up to but without `end`: arange(end) or arange(start, end, step=1).

    int64 if all three are ints, else the default dtype.

    >>> import tabgrad as tg
    >>> tg.arange(1, 6, 2, device="cpu")
    tensor([1, 3, 5])
    """
    given = list(args)
    if start is None:
        start = given.pop(0) if len(given) > 1 or (given and end is not None) else 0
    if end is None:
        if not given:
            raise TypeError("arange: expected an end, got none")
        end = given.pop(0)
    if given:
        step = given.pop(0)
    if given:
        raise TypeError(f"arange: takes at most start, end and step, got {len(args)} numbers")
    start, end, step = (number("arange", 1 if n is None else n) for n in (start, end, step))
    _check_range(start, end, step)
    place_ = place(device, layout)
    whole = all(isinstance(n, int) for n in (start, end, step))
    asked = dt.as_dtype(dtype or (dt.int64 if whole else dt.get_default_dtype()))
    target = place_.canonical(asked, dtype is not None)
    if asked is dt.int64 and not whole:
        # PyTorch counts in integers here
        start, end, step = int(start), int(end), int(step)
        _check_range(start, end, step)
        whole = True
    elif target.category not in (dt.INT, dt.FLOAT):
        raise DTypeError(
            f'"arange" not implemented for {target!r}: expected an integer or floating-point dtype'
        )
    n = -int((start - end) // step) if whole else math.ceil((end - start) / step)
    if target.category == dt.INT:
        start, step = int(start), int(step)
    if n and dt.NARROW.get(asked) is target and target.category == dt.INT:
        fits("arange", start + (n - 1) * step, target)
    x = iota(n, target, place_)
    if step != 1:
        x = mul(x, step)
    if start != 0:
        x = add(x, start)
    return require(x, requires_grad)


def _check_range(start: float, end: float, step: float) -> None:
    if step == 0:
        raise NumberRangeError("arange: step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"arange: unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError(
            f"arange: upper bound and lower bound inconsistent with step sign: {start} to {end} by {step}"
        )


def end_of(name: str, value: Any) -> Any:
    if getattr(value, "shape", ()):
        raise ShapeError(
            f"{name} only supports 0-dimensional start and end tensors, got shape {tuple(value.shape)}"
        )
    return number(name, value)


@fills_out
def linspace(
    start: Number, end: Number, steps: int, *, dtype: DType | None = None,
    layout: Layout | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return `steps` numbers from `start` to `end`, both included, at equal distances.

    >>> import tabgrad as tg
    >>> tg.linspace(0, 1, 5, device="cpu")
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    if steps < 0:
        raise RuntimeError(f"linspace: number of steps must be non-negative, got {steps}")
    where_to, target = placed(dtype, device, layout)
    start, end = end_of("linspace", start), end_of("linspace", end)
    if target.category == dt.BOOL:
        raise DTypeError("linspace: not implemented for 'Bool': expected a number dtype")
    if target.category == dt.INT:
        first, last = fits("linspace", start, target), fits("linspace", end, target)
        step = (last - first) / (steps - 1) if steps > 1 else 0.0
        whole = [int(n) for n in from_both_ends(first, last, step, steps)]
        return require(creation.tensor(whole, dtype=target, device=where_to), requires_grad)
    if steps == 1:
        return require(
            creation.filled((1,), fits("linspace", start, target), target, where_to), requires_grad
        )
    return require(_spaced(start, end, steps, target, where_to), requires_grad)


@chained
def _spaced(start: Number, end: Number, steps: int, dtype: DType, device: Device) -> Tensor:
    line = iota(steps, dt.real_of(dtype), device)
    i = cast(line, dtype)
    step = (end - start) / (steps - 1) if steps else 0.0
    return where(line < steps / 2, i * step + start, end - (steps - 1 - i) * step)


def from_both_ends(first: float, last: float, step: float, steps: int) -> list[Any]:
    """Return `steps` numbers, each counted from the nearer end, so that both ends are exact."""
    near = [first + step * i for i in range(steps // 2)]
    if steps % 2:
        near.append(last - step * (steps // 2) if steps > 1 else first)
    return near + [last - step * i for i in reversed(range(steps // 2))]


@fills_out
def eye(
    n: int, m: int | None = None, *, dtype: DType | None = None, layout: Layout | None = None,
    device: DeviceLike | None = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return the n by m matrix with ones on its diagonal.

    >>> import tabgrad as tg
    >>> tg.eye(2, device="cpu")
    tensor([[1., 0.],
            [0., 1.]])
    """
    columns = n if m is None else m
    if n < 0 or columns < 0:
        raise ShapeError(f"eye: sizes must not be negative, got {n} and {columns}")
    where_to, target = placed(dtype, device, layout)
    return require(_ones_on_diagonal(n, columns, target, where_to), requires_grad)


@chained
def _ones_on_diagonal(n: int, m: int, dtype: DType, device: Device) -> Tensor:
    row, column = row_and_column(n, m, device)
    return cast(row.eq(column), dtype)


def row_and_column(n: int, m: int, device: Device) -> tuple[Any, Any]:
    """Return the row index and the column index at every place of an n by m matrix."""
    dtype = device.index_dtype
    row = reshape.bind(iota(n, dtype, device), shape=(n, 1))
    column = reshape.bind(iota(m, dtype, device), shape=(1, m))
    return expand.bind(row, shape=(n, m)), expand.bind(column, shape=(n, m))


def _triangle(name: str, x: Tensor, diagonal: int, keep: Callable[..., Tensor]) -> Tensor:
    shape = x.spec.shape
    if len(shape) < 2:
        raise ShapeError(f"{name}: expected at least 2 dimensions, got shape {shape}")
    diagonal = diagonal.__index__()
    row, column = row_and_column(shape[-2], shape[-1], x.device)
    zero = False if x.spec.dtype.category == dt.BOOL else 0
    return where(keep(column, row + diagonal), x, zero)


@takes_out
@chained
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return the lower triangle of each matrix, zeros above the k-th diagonal.

    >>> import tabgrad as tg
    >>> tg.tril(tg.ones(2, 2, device="cpu"))
    tensor([[1., 0.],
            [1., 1.]])
    """
    return _triangle("tril", input, diagonal, le)


@takes_out
@chained
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return the upper triangle of each matrix, zeros below the k-th diagonal."""
    return _triangle("triu", input, diagonal, ge)


def _indices(
    pairs: list[tuple[int, int]], dtype: DType | None, device: DeviceLike | None,
    layout: Layout | None, requires_grad: bool,
) -> Tensor:  # fmt: skip
    where_to = place(device, layout)
    target = where_to.canonical(dtype or dt.int64)
    if not pairs:
        return require(creation.filled((2, 0), 0, target, where_to), requires_grad)
    lines = [list(line) for line in zip(*pairs, strict=True)]
    return creation.tensor(lines, dtype=target, device=where_to, requires_grad=requires_grad)


def _check_sizes(name: str, row: int, col: int) -> None:
    if row < 0 or col < 0:
        raise ShapeError(f"{name}: row and col must be non-negative, got {row} and {col}")


def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: DType | None = None,
    layout: Layout | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return the rows and columns of the lower triangle of a row by col matrix, as a 2 by k tensor."""
    _check_sizes("tril_indices", row, col)
    pairs = [(i, j) for i in range(row) for j in range(min(col, i + offset + 1))]
    return _indices(pairs, dtype, device, layout, requires_grad)


def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: DType | None = None,
    layout: Layout | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return the rows and columns of the upper triangle of a row by col matrix, as a 2 by k tensor."""
    _check_sizes("triu_indices", row, col)
    pairs = [(i, j) for i in range(row) for j in range(max(0, i + offset), col)]
    return _indices(pairs, dtype, device, layout, requires_grad)


def meshgrid(
    *tensors_: Tensor | Sequence[Tensor], indexing: str | None = None
) -> tuple[Tensor, ...]:
    """Return one tensor for each 1-d input, with its values along its own axis of a common grid.

    `indexing` is "ij" by default. With "xy" the first two axes change places, as for plots.

    >>> import tabgrad as tg
    >>> a, b = tg.meshgrid(tg.arange(2, device="cpu"), tg.arange(3, device="cpu"), indexing="ij")
    >>> a
    tensor([[0, 0, 0],
            [1, 1, 1]])
    """
    if indexing not in (None, "ij", "xy"):
        raise ValueError(f'meshgrid: indexing must be "ij" or "xy", got {indexing!r}')
    given = tensors("meshgrid", listed(tensors_))
    lines = [x if x.spec.shape else aliasing.reshaped(x, (1,)) for x in given]
    for x in lines:
        if len(x.spec.shape) != 1:
            raise ShapeError(f"meshgrid: expected 0-d or 1-d tensors, got shape {x.spec.shape}")
    order = list(range(len(lines)))
    if indexing == "xy" and len(lines) > 1:
        order[0], order[1] = 1, 0
    shape = tuple(lines[k].spec.size for k in order)
    out = []
    for k, x in enumerate(lines):
        if order[-1] != k:
            own = tuple([n if order[i] == k else 1 for i, n in enumerate(shape)])
            x = aliasing.reshaped(x, own)
        out.append(aliasing.view_with(expand, x, shape=shape))
    return tuple(out)


class RangesMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    tril, tril_ = tril, in_place(tril)
    triu, triu_ = triu, in_place(triu)


__all__ = [
    "arange", "eye", "linspace", "meshgrid", "tril", "tril_indices", "triu", "triu_indices",
]  # fmt: skip

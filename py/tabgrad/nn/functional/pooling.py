"""Pooling over windows, and its inverse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, ShapeError
from tabgrad.core.kinks import kinked
from tabgrad.core.promotion import needs_float, widened
from tabgrad.core.shape import needs_rank, size
from tabgrad.core.spec import spec
from tabgrad.core.trace import constant
from tabgrad.nn.functional.windows import Geometry, each_axis, lowest, vector
from tabgrad.ops.checked import within
from tabgrad.ops.elementwise import (
    abs_,
    add,
    div,
    floor_divide,
    fmod,
    mul,
    pow_,
    remainder,
    sign,
    stop_gradient,
    sub,
    where,
)
from tabgrad.ops.indexing import iota, scatter, scatter_add
from tabgrad.ops.reduction import first_max, first_place, reduce_sum
from tabgrad.ops.rounding import eq, isfinite
from tabgrad.ops.special import relu
from tabgrad.ops.view import reshape
from tabgrad.tensor import Tensor
from tabgrad.tensor.chained import chained

if TYPE_CHECKING:
    from tabgrad.tensor.types import Dims, Ints


@kinked
@chained
def _max_pool(
    n: int, x: Tensor, kernel_size: Dims, stride: Dims | None = None,
    padding: Dims = 0, dilation: Dims = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Compute the maximum of each window over the last `n` axes; the derivative goes to the first maximum.

    With `return_indices` the result has its index too, counted through the spatial axes of the input.
    """
    name = f"max_pool{n}d"
    if x.spec.dtype is dt.bool_ or (n == 1 and not return_indices):
        needs_float(name, x)
    g = Geometry(name, x, n, kernel_size, stride, padding, dilation, ceil_mode)
    w = g.windows(x, lowest(x))
    last = len(w.spec.shape) - 1
    # padding after an element must not count as before it
    padded = {"padded": g.padded} if g.padded else {}
    y = first_max.bind(w, axes=(last,), **padded)
    return (y, _window_indices(w, y, g)) if return_indices else y


def _window_indices(w: Tensor, y: Tensor, g: Geometry) -> Tensor:
    """Find the index of the maximum of each window, counted through the unpadded spatial axes."""
    kind = w.device.index_dtype
    inner: Any = first_place(stop_gradient(w), stop_gradient(y), len(w.spec.shape) - 1, g.padded)
    shape = inner.spec.shape
    lead = len(shape) - g.n
    flat: Any = None
    rest = inner
    for i in reversed(range(g.n)):
        inside = remainder(rest, g.kernel[i]) if i else rest
        rest = floor_divide(rest, g.kernel[i]) if i else rest
        line = iota(g.counts[i], kind, w.device)
        line = reshape.bind(
            line, shape=tuple(g.counts[i] if k == lead + i else 1 for k in range(len(shape)))
        )
        at = add(mul(inside, g.dilations[i]), add(mul(line, g.strides[i]), -g.padding[i]))
        step = size(g.spatial[i + 1 :])
        term = at if step == 1 else mul(at, step)
        flat = term if flat is None else add(flat, term)
    return flat


@kinked
@chained
@widened
def _avg_pool(
    n: int, x: Tensor, kernel_size: Dims, stride: Dims | None = None,
    padding: Dims = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """Compute the mean of each window over the last `n` axes, rounded towards 0 for int64."""
    name = f"avg_pool{n}d"
    if x.spec.dtype is not x.device.canonical(dt.int64):
        needs_float(name, x)
    g = Geometry(name, x, n, kernel_size, stride, padding, 1, ceil_mode)
    w = g.windows(x, 0)
    total = reduce_sum.bind(w, axes=(len(w.spec.shape) - 1,))
    if divisor_override == 0:
        raise ArgumentError(f"{name}: divisor must be not zero")
    if divisor_override is not None:
        return _share(total, divisor_override)
    whole = all(hi <= p for (_, hi), p in zip(g.pairs(), g.padding, strict=True))
    if whole and (count_include_pad or not any(g.padding)):
        return _share(total, size(g.kernel))
    return _share(total, _counts(g, x, count_include_pad))


def _share(total: Tensor, count: Tensor | int) -> Tensor:
    """Compute total / count, rounded towards 0 for integers."""
    if total.spec.dtype.category < dt.FLOAT:
        return floor_divide(sub(total, fmod(total, count)), count)
    return mul(total, 1 / count) if isinstance(count, int) else div(total, count)


def _counts(g: Geometry, x: Tensor, include_pad: bool) -> Tensor:
    """Count the elements of each window, from one line for each axis."""
    lines = []
    for m, k, s, p, c in zip(g.spatial, g.kernel, g.strides, g.padding, g.counts, strict=True):
        low, high = (-p, m + p) if include_pad else (0, m)
        start = [i * s - p for i in range(c)]
        lines.append([min(b + k, high) - max(b, low) for b in start])
    total: Any = None
    for i, line in enumerate(lines):
        n = len(line)
        one = vector(line, x)
        one = reshape.bind(one, shape=tuple(n if j == i else 1 for j in range(g.n)))
        total = one if total is None else mul(total, one)
    return total


@chained
@widened
def _lp_pool(
    n: int, x: Tensor, norm_type: float, kernel_size: Dims, stride: Dims | None = None,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """Compute the p-norm of each window; for odd p the sum of powers keeps its sign, as in PyTorch.

    As there, a window that passes the edge counts as if its mean filled the whole.
    """
    name = f"lp_pool{n}d"
    p = float(norm_type)
    g = Geometry(name, x, n, kernel_size, stride, 0, 1, ceil_mode)
    w = g.windows(pow_(x, p), 0)
    total = reduce_sum.bind(w, axes=(len(w.spec.shape) - 1,))
    if any(hi > 0 for _, hi in g.pairs()):
        total = div(mul(total, size(g.kernel)), _counts(g, x, True))
    total = mul(sign(total), relu(abs_(total)))
    # the infinite slope of a root at 0 is replaced by 0
    zero = eq(total, 0)
    return where(zero, 0, pow_(where(zero, 1, total), 1 / p))


def _unpooled_sizes(
    name: str, n: int, x: Tensor, kernel_size: Dims, stride: Dims | None, padding: Dims,
    output_size: Sequence[int] | None,
) -> Ints:  # fmt: skip
    """Choose the spatial sizes before pooling: `output_size`, or the smallest possible ones."""
    needs_rank(name, x.spec.shape, n)
    kernel = each_axis(f"{name}: kernel_size", kernel_size, n)
    strides = kernel if stride is None else each_axis(f"{name}: stride", stride, n)
    pads = each_axis(f"{name}: padding", padding, n)
    if output_size is not None:
        return tuple(int(m) for m in tuple(output_size)[-n:])
    spatial = x.spec.shape[len(x.spec.shape) - n :]
    return tuple(
        (m - 1) * s - 2 * p + k for m, k, s, p in zip(spatial, kernel, strides, pads, strict=True)
    )


def _max_unpool(
    n: int, x: Tensor, indices: Tensor, kernel_size: Dims, stride: Dims | None, padding: Dims,
    output_size: Sequence[int] | None,
) -> Tensor:  # fmt: skip
    """Put the elements of `x` at `indices` among zeros.

    If several elements go to one place, the last stays; each gets the whole derivative, as in PyTorch.
    """
    name = f"max_unpool{n}d"
    sizes = _unpooled_sizes(name, n, x, kernel_size, stride, padding, output_size)
    needs_float(name, x)
    shape = x.spec.shape
    lead = shape[: len(shape) - n]
    if indices.spec.shape != shape:
        raise ShapeError(
            f"{name}: Expected shape of indices to be same as that of the input tensor ({shape}) but got "
            f"indices tensor with shape: {indices.spec.shape}"
        )
    rows = reshape.bind(x, shape=(*lead, size(shape[len(lead) :])))
    at = within(name, indices, size(sizes), len(lead))
    at = reshape.bind(at, shape=rows.spec.shape)
    empty = constant(0, spec((*lead, size(sizes)), x.spec.dtype), x.device)
    value = scatter.bind(empty, at, stop_gradient(rows), axis=len(lead))
    total = scatter_add.bind(empty, at, rows, axis=len(lead))
    # its value is zero, its derivative that of the sum
    change = where(isfinite(total), sub(total, stop_gradient(total)), 0)
    return reshape.bind(add(value, change), shape=(*lead, *sizes))


def max_pool1d(
    input: Tensor, kernel_size: Dims, stride: Dims | None = None, padding: Dims = 0,
    dilation: Dims = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Compute the maximum of each window of `input` [N, C, L] (or [C, L]).

    The derivative goes to the first maximum. `stride` is the kernel size unless given; `return_indices` also
    gives where each maximum lies, counted through the spatial axes.
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Tensor, kernel_size: Dims, stride: Dims | None = None, padding: Dims = 0,
    dilation: Dims = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Compute the maximum of each window of `input` [N, C, H, W] (or [C, H, W]).

    The derivative goes to the first maximum. `stride` is the kernel size unless given; `return_indices` also
    gives where each maximum lies, counted through the spatial axes.

    >>> import tabgrad as tg
    >>> x = tg.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], device="cpu")
    >>> tg.nn.functional.max_pool2d(x, 2)
    tensor([[[[4.]]]])
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@widened(cpu=True)
def max_pool3d(
    input: Tensor, kernel_size: Dims, stride: Dims | None = None, padding: Dims = 0,
    dilation: Dims = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Compute the maximum of each window of `input` [N, C, D, H, W] (or [C, D, H, W]).

    The derivative goes to the first maximum. `stride` is the kernel size unless given; `return_indices` also
    gives where each maximum lies, counted through the spatial axes.
    """
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool1d_with_indices(
    input: Tensor, kernel_size: Dims, stride: Dims | None = None, padding: Dims = 0,
    dilation: Dims = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Compute the maximum of each window of `input` [N, C, L], and where it lies."""
    return max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool2d_with_indices(
    input: Tensor, kernel_size: Dims, stride: Dims | None = None, padding: Dims = 0,
    dilation: Dims = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Compute the maximum of each window of `input` [N, C, H, W], and where it lies."""
    return max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool3d_with_indices(
    input: Tensor, kernel_size: Dims, stride: Dims | None = None, padding: Dims = 0,
    dilation: Dims = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Compute the maximum of each window of `input` [N, C, D, H, W], and where it lies."""
    return max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def avg_pool1d(
    input: Tensor, kernel_size: Dims, stride: Dims | None = None, padding: Dims = 0,
    ceil_mode: bool = False, count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """Compute the mean of each window of `input` [N, C, L] (or [C, L])."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    input: Tensor, kernel_size: Dims, stride: Dims | None = None, padding: Dims = 0,
    ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """Compute the mean of each window of `input` [N, C, H, W] (or [C, H, W])."""
    return _avg_pool(
        2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


@widened(cpu=True)
def avg_pool3d(
    input: Tensor, kernel_size: Dims, stride: Dims | None = None, padding: Dims = 0,
    ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """Compute the mean of each window of `input` [N, C, D, H, W] (or [C, D, H, W])."""
    return _avg_pool(
        3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Dims, stride: Dims | None = None,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """Compute the p-norm of each window of `input` [N, C, L] (or [C, L]); p is `norm_type`."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def max_unpool1d(
    input: Tensor, indices: Tensor, kernel_size: Dims, stride: Dims | None = None,
    padding: Dims = 0, output_size: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """Put the elements of `input` among zeros at the `indices` that `max_pool1d` gave."""
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Dims, stride: Dims | None = None,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """Compute the p-norm of each window of `input` [N, C, H, W] (or [C, H, W]); p is `norm_type`."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def max_unpool2d(
    input: Tensor, indices: Tensor, kernel_size: Dims, stride: Dims | None = None,
    padding: Dims = 0, output_size: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """Put the elements of `input` among zeros at the `indices` that `max_pool2d` gave."""
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Dims, stride: Dims | None = None,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """Compute the p-norm of each window of `input` [N, C, D, H, W] (or [C, D, H, W]); p is `norm_type`."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


def max_unpool3d(
    input: Tensor, indices: Tensor, kernel_size: Dims, stride: Dims | None = None,
    padding: Dims = 0, output_size: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """Put the elements of `input` among zeros at the `indices` that `max_pool3d` gave."""
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


__all__ = [
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "lp_pool1d", "lp_pool2d", "lp_pool3d", "max_pool1d",
    "max_pool1d_with_indices", "max_pool2d", "max_pool2d_with_indices", "max_pool3d",
    "max_pool3d_with_indices", "max_unpool1d", "max_unpool2d", "max_unpool3d",
]  # fmt: skip

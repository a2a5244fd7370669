"""Adaptive pooling: the output size determines the windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core.errors import ArgumentError, ShapeError
from tabgrad.core.kinks import kinked
from tabgrad.core.promotion import needs_float, widened
from tabgrad.core.shape import size
from tabgrad.core.spec import spec
from tabgrad.core.trace import constant
from tabgrad.nn.functional.padding import pad_constant
from tabgrad.nn.functional.windows import lowest, vector
from tabgrad.ops.elementwise import copy, div, mul, stop_gradient
from tabgrad.ops.indexing import cat, gather, iota
from tabgrad.ops.reduction import first_max, first_place, reduce_sum
from tabgrad.ops.view import expand, part, reshape
from tabgrad.tensor import Tensor

if TYPE_CHECKING:
    from tabgrad.tensor.types import Dims, Ints


def _adaptive_bounds(n: int, out: int) -> list[tuple[int, int]]:
    return [(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]


def adaptive_sizes(
    name: str, x: Tensor, n: int, output_size: Dims | Sequence[int | None] | None
) -> Ints:
    """Complete the spatial sizes of the output; None stands for the size of the input."""
    shape = x.spec.shape
    if len(shape) not in (n + 1, n + 2):
        raise ShapeError(f"{name}: expected an input of {n + 1} or {n + 2} dimensions, got {shape}")
    given = (
        (output_size,) * n
        if output_size is None or hasattr(output_size, "__index__")
        else tuple(output_size)
    )
    if len(given) == 1:
        given = given * n
    found = tuple(
        m if o is None else int(o) for o, m in zip(given, shape[len(shape) - n :], strict=True)
    )
    if min(found) < 0:
        raise ArgumentError(
            f"{name}: elements of output_size must be greater than or equal to 0 but received {found}"
        )
    return found


def adaptive_windows(x: Tensor, axis: int, out: int, value: float) -> tuple[Any, list[int]]:
    """Cut out the regions along `axis` as [..., out, longest], padded with `value`, with their lengths."""
    n = x.spec.shape[axis]
    if not out:
        shape = (*x.spec.shape[:axis], 0, 1, *x.spec.shape[axis + 1 :])
        return constant(0, spec(shape, x.spec.dtype), x.device), [1]
    bounds = _adaptive_bounds(n, out)
    lengths = [b - a for a, b in bounds]
    shape = x.spec.shape
    if n % out == 0:
        return reshape.bind(x, shape=(*shape[:axis], out, n // out, *shape[axis + 1 :])), lengths
    longest = max(lengths)
    pieces = []
    for a, b in bounds:
        piece = part(x, axis, a, b)
        pairs = tuple((0, longest - (b - a)) if i == axis else (0, 0) for i in range(len(shape)))
        piece = pad_constant(piece, pairs, value)
        pieces.append(reshape.bind(piece, shape=(*shape[:axis], 1, longest, *shape[axis + 1 :])))
    return cat.bind(*pieces, axis=axis), lengths


@kinked
@widened
def adaptive_avg_pool(
    name: str, n: int, x: Tensor, output_size: Dims | Sequence[int | None] | None
) -> Tensor:
    """Compute the means of the windows that give `output_size` along the last `n` axes."""
    needs_float(name, x)
    sizes = adaptive_sizes(name, x, n, output_size)
    first = len(x.spec.shape) - n
    given = x
    for i, out in enumerate(sizes):
        axis = first + i
        if x.spec.shape[axis] == out:
            continue
        w, lengths = adaptive_windows(x, axis, out, 0)
        total = reduce_sum.bind(w, axes=(axis + 1,))
        if len(set(lengths)) == 1:
            x = mul(total, 1 / lengths[0])
        else:
            line = vector(lengths, x)
            shape = tuple(out if k == axis else 1 for k in range(len(total.spec.shape)))
            x = div(total, reshape.bind(line, shape=shape))
    return copy.bind(x) if x is given else x


@kinked
def _adaptive_max_pool(
    n: int, x: Tensor, output_size: Dims | Sequence[int | None] | None,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """Compute the maxima of the windows that give `output_size` along the last `n` axes."""
    name = f"adaptive_max_pool{n}d"
    needs_float(name, x)
    sizes = adaptive_sizes(name, x, n, output_size)
    spatial = x.spec.shape[len(x.spec.shape) - n :]
    kind = x.device.index_dtype
    first = len(x.spec.shape) - n
    given = x
    place = reshape.bind(iota(size(spatial), kind, x.device), shape=spatial)
    place = expand.bind(place, shape=x.spec.shape)
    # starting with the last axis, so that the first of equal elements in row-major order counts
    for axis, out in reversed(list(enumerate(sizes, first))):
        if x.spec.shape[axis] == out:
            continue
        w, _ = adaptive_windows(x, axis, out, lowest(x))
        x = first_max.bind(w, axes=(axis + 1,))
        if return_indices:
            where_, _ = adaptive_windows(place, axis, out, 0)
            at = first_place(stop_gradient(w), stop_gradient(x), axis + 1)
            at = reshape.bind(at, shape=(*at.spec.shape[: axis + 1], 1, *at.spec.shape[axis + 1 :]))
            place = gather.bind(where_, at, axis=axis + 1)
            place = reshape.bind(place, shape=x.spec.shape)
    x = copy.bind(x) if x is given else x
    return (x, place) if return_indices else x


def adaptive_avg_pool1d(input: Tensor, output_size: Dims | Sequence[int | None] | None) -> Tensor:
    """Compute the means of as many regions of `input` [N, C, L] (or [C, L]) as `output_size` says."""
    return adaptive_avg_pool("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_max_pool1d(
    input: Tensor, output_size: Dims | Sequence[int | None] | None, return_indices: bool = False
) -> Any:
    """Compute the maxima of as many regions of `input` [N, C, L] (or [C, L]), and where they lie if asked."""
    return _adaptive_max_pool(1, input, output_size, return_indices)


def adaptive_avg_pool2d(input: Tensor, output_size: Dims | Sequence[int | None] | None) -> Tensor:
    """Compute the means of as many regions of `input` [N, C, H, W] (or [C, H, W]) as `output_size` says."""
    return adaptive_avg_pool("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_max_pool2d(
    input: Tensor, output_size: Dims | Sequence[int | None] | None, return_indices: bool = False
) -> Any:
    """Compute the maxima of as many regions of `input` [N, C, H, W] (or [C, H, W]), and where they lie."""
    return _adaptive_max_pool(2, input, output_size, return_indices)


@widened(cpu=True)
def adaptive_avg_pool3d(input: Tensor, output_size: Dims | Sequence[int | None] | None) -> Tensor:
    """Compute the means of as many regions of `input` [N, C, D, H, W] as `output_size` says."""
    return adaptive_avg_pool("adaptive_avg_pool3d", 3, input, output_size)


def adaptive_max_pool3d(
    input: Tensor, output_size: Dims | Sequence[int | None] | None, return_indices: bool = False
) -> Any:
    """Compute the maxima of as many regions of `input` [N, C, D, H, W], and where they lie if asked."""
    return _adaptive_max_pool(3, input, output_size, return_indices)


def adaptive_max_pool1d_with_indices(
    input: Tensor, output_size: Dims | Sequence[int | None] | None, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """Compute the maxima of as many regions of `input` [N, C, L], and where they lie."""
    return adaptive_max_pool1d(input, output_size, True)


def adaptive_max_pool2d_with_indices(
    input: Tensor, output_size: Dims | Sequence[int | None] | None, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """Compute the maxima of as many regions of `input` [N, C, H, W], and where they lie."""
    return adaptive_max_pool2d(input, output_size, True)


def adaptive_max_pool3d_with_indices(
    input: Tensor, output_size: Dims | Sequence[int | None] | None, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """Compute the maxima of as many regions of `input` [N, C, D, H, W], and where they lie."""
    return adaptive_max_pool3d(input, output_size, True)


__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d", "adaptive_max_pool3d_with_indices",
]  # fmt: skip

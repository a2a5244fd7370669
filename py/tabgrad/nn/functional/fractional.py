"""Max pooling over windows of random places, so that a size may shrink by any ratio (Graham 2014)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tabgrad as tg
from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError
from tabgrad.core.kinks import kinked
from tabgrad.core.promotion import needs_float, single
from tabgrad.nn.functional.windows import each_axis
from tabgrad.ops.elementwise import add, cast, mul, stop_gradient, sub
from tabgrad.ops.indexing import cat, gather, iota
from tabgrad.ops.reduction import first_max, first_place
from tabgrad.ops.rounding import trunc
from tabgrad.ops.view import expand, part, permute, reshape
from tabgrad.tensor import Tensor

if TYPE_CHECKING:
    from tabgrad.tensor.types import Dims, Ints


def _sizes(
    name: str, x: Tensor, n: int, output_size: Dims | None,
    output_ratio: float | Sequence[float] | None,
) -> Ints:  # fmt: skip
    """Return the sizes of the result."""
    if output_size is not None:
        return each_axis(f"{name}: output_size", output_size, n)
    if output_ratio is None:
        raise ArgumentError(f"{name} requires specifying either an output_size or an output_ratio")
    ratios: Any = output_ratio if isinstance(output_ratio, Sequence) else (output_ratio,) * n
    if len(ratios) != n:
        raise ArgumentError(
            f"{name} requires output_ratio to either be a single number or {n} of them"
        )
    spatial = x.spec.shape[len(x.spec.shape) - n :]
    return tuple([int(m * ratio) for m, ratio in zip(spatial, ratios, strict=True)])


def _starts(sample: Tensor, size: int, out: int, kernel: int) -> Tensor:
    """Return where the windows along one axis begin: [..., out], from random numbers [...]."""
    kind, shape = sample.device.index_dtype, sample.spec.shape
    last = expand.bind(
        reshape.bind(tg.tensor(size - kernel, dtype=kind, device=sample.device), shape=(1,) * (len(shape) + 1)),
        shape=(*shape, 1),
    )  # fmt: skip
    if out == 1:
        return last
    step = (size - kernel) / (out - 1)
    wide = (*shape, out - 1)
    line = cast.bind(iota(out - 1, kind, sample.device), dtype=sample.spec.dtype)
    line = expand.bind(reshape.bind(line, shape=(*(1,) * len(shape), out - 1)), shape=wide)
    drawn = expand.bind(reshape.bind(sample, shape=(*shape, 1)), shape=wide)
    begin = sub(trunc(mul(add(line, drawn), step)), trunc(mul(drawn, step)))
    return cat.bind(cast.bind(begin, dtype=kind), last, axis=len(shape))


def _windows(x: Tensor, at: int, starts: Tensor, kernel: int) -> Tensor:
    """Return the windows of `x` [N, C, ...] along an axis: its size becomes out * kernel."""
    n, c, out = starts.spec.shape
    wide = (n, c, out, kernel)
    line = expand.bind(iota(kernel, starts.spec.dtype, x.device), shape=wide)
    index = add(expand.bind(reshape.bind(starts, shape=(n, c, out, 1)), shape=wide), line)
    lined = tuple([out * kernel if k == at else 1 for k in range(2, len(x.spec.shape))])
    index = reshape.bind(index, shape=(n, c, *lined))
    shape = (*x.spec.shape[:at], out * kernel, *x.spec.shape[at + 1 :])
    return gather.bind(x, expand.bind(index, shape=shape), axis=at)


def _geometry(
    n: int, input: Tensor, kernel_size: Dims, output_size: Dims | None,
    output_ratio: float | Sequence[float] | None,
) -> tuple[Ints, Ints]:  # fmt: skip
    """Return the sizes of the result and of the windows; raise for what does not fit."""
    name, shape = f"fractional_max_pool{n}d", input.spec.shape
    needs_float(name, input)
    if len(shape) not in (n + 1, n + 2):
        raise ShapeError(f"{name}: expected an input of {n + 1} or {n + 2} dimensions, got {shape}")
    sizes = _sizes(name, input, n, output_size, output_ratio)
    kernel = each_axis(f"{name}: kernel_size", kernel_size, n)
    for m, out, k in zip(shape[len(shape) - n :], sizes, kernel, strict=True):
        # PyTorch wants one more element in three dims
        if k < 1 or out < 1 or out + k - 1 + (n == 3) > m:
            raise ShapeError(
                f"{name}: pool {kernel} too large relative to input {shape} for an output of {sizes}"
            )
    return sizes, kernel


def _drawn(n: int, x: Tensor, samples: Tensor | None) -> Tensor:
    """Return the random numbers [N, C, n] that place the windows."""
    wanted = (*x.spec.shape[:2], n)
    if samples is None:
        return tg.rand(wanted, dtype=dt.float32, device=x.device)
    if samples.spec.dtype is not x.spec.dtype:
        raise DTypeError(
            f"fractional_max_pool{n}d: Expect _random_samples to have the same dtype as input, got "
            f"{samples.spec.dtype!r} and {x.spec.dtype!r}"
        )
    if samples.spec.shape != wanted:
        raise ShapeError(
            f"fractional_max_pool{n}d: expected _random_samples of shape {wanted}, got {samples.spec.shape}"
        )
    return single(stop_gradient(samples))


@kinked
def _pooled(
    n: int, input: Tensor, kernel_size: Dims, output_size: Dims | None,
    output_ratio: float | Sequence[float] | None, samples: Tensor | None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the maxima, and where they lie, counted through the spatial axes."""
    sizes, kernel = _geometry(n, input, kernel_size, output_size, output_ratio)
    shape = input.spec.shape
    spatial = shape[len(shape) - n :]
    x = reshape.bind(input, shape=(1, *shape)) if len(shape) == n + 1 else input
    batch, channels = x.spec.shape[:2]
    samples = _drawn(n, x, samples)
    places = iota(math.prod(spatial), x.device.index_dtype, x.device)
    places = expand.bind(reshape.bind(places, shape=spatial), shape=x.spec.shape)
    for i in range(n):
        # in two dims the first random number is that of the last one
        k = n - 1 - i if n == 2 else i
        drawn = reshape.bind(part(samples, 2, k, k + 1), shape=(batch, channels))
        starts = _starts(drawn, spatial[i], sizes[i], kernel[i])
        x, places = (_windows(t, i + 2, starts, kernel[i]) for t in (x, places))
    x, places = (_gathered(t, sizes, kernel) for t in (x, places))
    last = 2 + n
    y = first_max.bind(x, axes=(last,))
    inner = first_place(stop_gradient(x), stop_gradient(y), last)
    found = gather.bind(places, reshape.bind(inner, shape=(*inner.spec.shape, 1)), axis=last)
    result = (*shape[: len(shape) - n], *sizes)
    return reshape.bind(y, shape=result), reshape.bind(found, shape=result)


def _gathered(x: Tensor, sizes: Ints, kernel: Ints) -> Tensor:
    """Return [N, C, *sizes, elements of a window] from [N, C, size * kernel, ...]."""
    lead, n = x.spec.shape[:2], len(sizes)
    pairs = tuple([m for pair in zip(sizes, kernel, strict=True) for m in pair])
    x = reshape.bind(x, shape=(*lead, *pairs))
    x = permute.bind(x, dims=(0, 1, *range(2, 2 + 2 * n, 2), *range(3, 2 + 2 * n, 2)))
    return reshape.bind(x, shape=(*lead, *sizes, math.prod(kernel)))


def fractional_max_pool2d_with_indices(
    input: Tensor, kernel_size: Dims, output_size: Dims | None = None,
    output_ratio: float | Sequence[float] | None = None, return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Compute the maximum of each of random windows of `input` [N, C, H, W], and where it lies."""
    return _pooled(2, input, kernel_size, output_size, output_ratio, _random_samples)


def fractional_max_pool3d_with_indices(
    input: Tensor, kernel_size: Dims, output_size: Dims | None = None,
    output_ratio: float | Sequence[float] | None = None, return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Compute the maximum of each of random windows of `input` [N, C, D, H, W], and where it lies."""
    return _pooled(3, input, kernel_size, output_size, output_ratio, _random_samples)


def fractional_max_pool2d(
    input: Tensor, kernel_size: Dims, output_size: Dims | None = None,
    output_ratio: float | Sequence[float] | None = None, return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:  # fmt: skip
    """Compute the maximum of each of random windows of `input` [N, C, H, W] (or [C, H, W]).

    There are as many windows as `output_size` says, or `output_ratio` of the size of the input. They are drawn
    for each sample and channel; `_random_samples` [N, C, 2] from [0, 1) decide them if given.

    >>> import tabgrad as tg
    >>> x = tg.arange(16.0, device="cpu").reshape(1, 1, 4, 4)
    >>> tg.nn.functional.fractional_max_pool2d(x, 2, output_size=1)
    tensor([[[[15.]]]])
    """
    found = _pooled(2, input, kernel_size, output_size, output_ratio, _random_samples)
    return found if return_indices else found[0]


def fractional_max_pool3d(
    input: Tensor, kernel_size: Dims, output_size: Dims | None = None,
    output_ratio: float | Sequence[float] | None = None, return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:  # fmt: skip
    """Compute the maximum of each of random windows of `input` [N, C, D, H, W]; see `fractional_max_pool2d`."""
    found = _pooled(3, input, kernel_size, output_size, output_ratio, _random_samples)
    return found if return_indices else found[0]


__all__ = [
    "fractional_max_pool2d", "fractional_max_pool2d_with_indices", "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices",
]  # fmt: skip

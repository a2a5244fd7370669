"""Rows of tables, one-hot codes, and distances between vectors."""

from __future__ import annotations

from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError
from tabgrad.core.promotion import needs_float, widened
from tabgrad.core.shape import axes_tuple, axis_index, with_ones
from tabgrad.ops.checked import within
from tabgrad.ops.elementwise import (
    abs_,
    add,
    cast,
    div,
    maximum,
    mul,
    pow_,
    sqrt,
    square,
    stop_gradient,
    sub,
    where,
)
from tabgrad.ops.indexing import gather, iota
from tabgrad.ops.reduction import keep, reduce_max, reduce_min, reduce_sum
from tabgrad.ops.rounding import eq, ne
from tabgrad.ops.special import radius
from tabgrad.ops.view import expand, permute, reshape, spread


def embedding(
    input: Any, weight: Any, padding_idx: int | None = None, name: str = "embedding"
) -> Any:
    """Return the rows of `weight` [V, D] that the integers `input` [...] name: [..., D].

    `padding_idx` is a row that gets no gradient.
    """
    if input.spec.dtype not in (dt.int64, dt.int32):
        raise DTypeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; "
            f"but got {input.spec.dtype!r}"
        )
    if len(weight.spec.shape) != 2:
        raise ShapeError(f"embedding: 'weight' must be 2-D, got shape {weight.spec.shape}")
    rows, width = weight.spec.shape
    n = input.spec.size
    flat = input if len(input.spec.shape) == 1 else reshape.bind(input, shape=(n,))
    at = spread.bind(within(name, flat, rows), shape=(n, width), axes=(1,))
    y = gather.bind(weight, at, axis=0)
    if padding_idx is not None:
        padding_idx = axis_index("embedding: padding_idx", padding_idx, rows)
        y = where(eq(at, padding_idx), stop_gradient(y), y)
    return y if flat is input else reshape.bind(y, shape=(*input.spec.shape, width))


def one_hot(tensor: Any, num_classes: int) -> Any:
    """Return 1 at the class of each integer and 0 elsewhere, along a new last axis of size `num_classes`.

    An integer outside [0, num_classes) raises.
    """
    if tensor.spec.dtype is not tensor.device.canonical(dt.int64):
        raise DTypeError(
            "one_hot is only applicable to index tensor of type LongTensor, "
            f"got {tensor.spec.dtype!r}"
        )
    tensor = within("one_hot", tensor, num_classes, what="class")
    shape = (*tensor.spec.shape, num_classes)
    wide = spread.bind(tensor, shape=shape, axes=(len(shape) - 1,))
    line = expand.bind(iota(num_classes, tensor.spec.dtype, tensor.device), shape=shape)
    return cast.bind(eq(wide, line), dtype=tensor.spec.dtype)


def vector_norm(x: Any, p: float, axes: tuple[int, ...]) -> Any:
    """Return the p-norm over `axes`: the one definition. At 0 its derivative is 0, whatever p.

    The second derivative of the 2-norm of zeros is nan, as it has none.
    """
    if p == 2:
        return radius(reduce_sum.bind(square(x), axes=axes))
    size = abs_(x)
    if p == 1:
        return reduce_sum.bind(size, axes=axes)
    if p == float("inf"):
        return reduce_max.bind(size, axes=axes)
    if p == float("-inf"):
        return reduce_min.bind(size, axes=axes)
    if p == 0:
        # a count hangs on the numbers, with a derivative of 0
        return reduce_sum.bind(where(ne(x, 0), 1, mul(x, 0)), axes=axes)
    if p < 1:
        zero = eq(size, 0)
        powers = where(zero, 0 if p > 0 else float("inf"), pow_(where(zero, 1, size), p))
    else:
        powers = pow_(size, p)
    total = reduce_sum.bind(powers, axes=axes)
    zero = eq(total, 0)
    return where(zero, 0 if p > 0 else float("inf"), pow_(where(zero, 1, total), 1 / p))


def root(x: Any) -> Any:
    """Return the square root of what is not negative, with the derivative 0 at 0."""
    zero = eq(x, 0)
    return where(zero, 0, sqrt(where(zero, 1, x)))


@widened(autocast=True)
def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Any:
    """Return `input` divided by its p-norm over `dim`, which counts as at least `eps`.

    >>> import tabgrad as tg
    >>> tg.nn.functional.normalize(tg.tensor([3.0, 4.0], device="cpu"), dim=0)
    tensor([0.6000, 0.8000])
    """
    needs_float("normalize: linalg.vector_norm", input)
    axes = axes_tuple("normalize", dim, len(input.spec.shape))
    return div.bind(input, keep(maximum(vector_norm(input, p, axes), eps), input, axes))


@widened(autocast=True)
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """Return the cosine of the angle between the vectors along `dim`; norms count as at least `eps`."""
    needs_float("cosine_similarity", x1, x2, any_of=True)
    product = mul(x1, x2)
    at = axis_index("cosine_similarity", dim, len(product.spec.shape))
    axes = (at,) if product.spec.shape else ()
    shape = product.spec.shape
    x1, x2 = (x if x.spec.shape == shape else expand.bind(x, shape=shape) for x in (x1, x2))
    norms = [maximum(vector_norm(x, 2, axes), eps) for x in (x1, x2)]
    return div(reduce_sum.bind(product, axes=axes), mul(*norms))


@widened(autocast=True)
def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    """Return the p-norm of x1 - x2 + eps over the last axis."""
    d = add(sub(x1, x2), eps)
    axes = (len(d.spec.shape) - 1,) if d.spec.shape else ()
    y = vector_norm(d, p, axes)
    return reshape.bind(y, shape=with_ones(d.spec.shape, axes)) if keepdim else y


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """Return [..., C * r^2, H, W] as [..., C, H * r, W * r]."""
    *lead, c, h, w = input.spec.shape
    r = upscale_factor
    if r < 1:
        raise ArgumentError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    if c % (r * r):
        raise ShapeError(
            f"pixel_shuffle: the channels of {input.spec.shape} must be divisible by {r * r}"
        )
    n = len(lead)
    x = reshape.bind(input, shape=(*lead, c // (r * r), r, r, h, w))
    x = permute.bind(x, dims=(*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return reshape.bind(x, shape=(*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """Return [..., C, H * r, W * r] as [..., C * r^2, H, W]."""
    *lead, c, h, w = input.spec.shape
    r = downscale_factor
    if r < 1:
        raise ArgumentError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    if h % r or w % r:
        raise ShapeError(
            f"pixel_unshuffle: the last two sizes of {input.spec.shape} must be divisible by {r}"
        )
    n = len(lead)
    x = reshape.bind(input, shape=(*lead, c, h // r, r, w // r, r))
    x = permute.bind(x, dims=(*range(n), n, n + 2, n + 4, n + 1, n + 3))
    return reshape.bind(x, shape=(*lead, c * r * r, h // r, w // r))


def channel_shuffle(input: Any, groups: int) -> Any:
    """Return [N, C, ...] with the channels of the groups interleaved."""
    n, c, *rest = input.spec.shape
    if groups < 1:
        raise ArgumentError(
            f"channel_shuffle: Number of groups to divide channels in must be positive. got {groups}"
        )
    if c % groups:
        raise ShapeError(
            f"channel_shuffle: the channels of {input.spec.shape} must be divisible by {groups}"
        )
    x = reshape.bind(input, shape=(n, groups, c // groups, *rest))
    x = permute.bind(x, dims=(0, 2, 1, *range(3, 3 + len(rest))))
    return reshape.bind(x, shape=input.spec.shape)

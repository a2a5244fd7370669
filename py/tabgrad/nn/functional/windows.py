"""Sliding windows over the last axes, for `unfold` and pooling, and their inverse."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, ShapeError
from tabgrad.core.promotion import needs_float
from tabgrad.core.shape import size
from tabgrad.core.spec import spec
from tabgrad.core.trace import constant
from tabgrad.nn.functional.padding import pad_constant
from tabgrad.ops.conv import reach
from tabgrad.ops.indexing import cat
from tabgrad.ops.reduction import reduce_sum
from tabgrad.ops.view import expand, part, permute, reshape, rewindow, unwindow

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Dims, Ints


def each_axis(name: str, value: Dims, n: int) -> Ints:
    """Expand a number, or check a sequence of them, to one number for each of `n` spatial axes."""
    given: Any = value
    if hasattr(value, "__index__") and not getattr(value, "shape", ()):
        return (given.__index__(),) * n
    out = tuple(int(v) for v in given)
    if len(out) == 1:
        return out * n
    if len(out) != n:
        raise ShapeError(f"{name}: expected one number or {n}, got {tuple(given)}")
    return out


def windows(x: Tensor, kernel: Ints, strides: Ints, dilations: Ints) -> Tensor:
    """Take the windows over the last axes of `x`: [..., *counts, *kernel]."""
    n = len(kernel)
    shape = x.spec.shape
    lead, spatial = shape[: len(shape) - n], shape[len(shape) - n :]
    if strides == kernel and all(d == 1 for d in dilations):
        return _tiles(x, lead, spatial, kernel)
    wide = reshape.bind(x, shape=(*shape, *(1,) * n))
    wide = expand.bind(wide, shape=(*shape, *kernel))
    return rewindow.bind(wide, sizes=kernel, strides=strides, dilations=dilations)


def _tiles(x: Tensor, lead: Ints, spatial: Ints, kernel: Ints) -> Tensor:
    # windows without overlap are a reshape, whose transpose needs no sum
    n, at = len(kernel), len(lead)
    counts = tuple(m // k for m, k in zip(spatial, kernel, strict=True))
    for i, (c, k) in enumerate(zip(counts, kernel, strict=True)):
        x = part(x, at + i, 0, c * k)
    pairs = tuple(v for pair in zip(counts, kernel, strict=True) for v in pair)
    x = reshape.bind(x, shape=(*lead, *pairs))
    order = (*range(at), *range(at, at + 2 * n, 2), *range(at + 1, at + 2 * n, 2))
    return permute.bind(x, dims=order)


class Geometry:
    """The geometry of windows over the spatial axes of a pooled input."""

    def __init__(
        self, name: str, x: Tensor, n: int, kernel_size: Dims, stride: Dims | None,
        padding: Dims, dilation: Dims, ceil_mode: bool,
    ) -> None:  # fmt: skip
        shape = x.spec.shape
        if len(shape) not in (n + 1, n + 2):
            raise ShapeError(
                f"{name}: expected an input of {n + 1} or {n + 2} dimensions, got {shape}"
            )
        self.name, self.n = name, n
        self.spatial = shape[len(shape) - n :]
        self.kernel = each_axis(f"{name}: kernel_size", kernel_size, n)
        given = self.kernel if stride is None or stride in ((), []) else stride
        self.strides = each_axis(f"{name}: stride", given, n)
        self.padding = each_axis(f"{name}: padding", padding, n)
        self.dilations = each_axis(f"{name}: dilation", dilation, n)
        if min(self.kernel) < 1 or min(self.strides) < 1 or min(self.dilations) < 1:
            raise ArgumentError(f"{name}: kernel_size, stride and dilation must be positive")
        for k, p in zip(self.kernel, self.padding, strict=True):
            if not 0 <= 2 * p <= k:
                raise ArgumentError(
                    f"{name}: padding {p} must be at most half of the kernel size {k}"
                )
        self.counts = tuple(self._count(i, ceil_mode) for i in range(n))
        if min(self.counts, default=1) < 1:
            raise ShapeError(
                f"{name}: the kernel {self.kernel} is larger than the padded input {shape}"
            )

    def _count(self, i: int, ceil_mode: bool) -> int:
        m, s, p = self.spatial[i], self.strides[i], self.padding[i]
        room = m + 2 * p - reach(self.kernel[i], self.dilations[i])
        if room < 0:
            return 0
        count = -(-room // s) + 1 if ceil_mode else room // s + 1
        # the last window must begin inside the input or its left padding
        return count - 1 if ceil_mode and (count - 1) * s >= m + p else count

    def pairs(self) -> list[tuple[int, int]]:
        """Compute the padding that makes every window complete."""
        out = []
        for m, k, s, p, d, c in zip(
            self.spatial,
            self.kernel,
            self.strides,
            self.padding,
            self.dilations,
            self.counts,
            strict=True,
        ):
            out.append((p, max(0, (c - 1) * s + reach(k, d) - m - p)))
        return out

    @property
    def padded(self) -> tuple[Ints, ...]:
        """The geometry that `inside` needs to tell elements from padding; () without padding."""
        if not any(self.padding):
            return ()
        return tuple(
            zip(
                self.spatial, self.counts, self.kernel, self.strides, self.dilations, self.padding,
                strict=True,
            )
        )  # fmt: skip

    def windows(self, x: Tensor, value: float) -> Tensor:
        """Take the windows of `x` padded with `value`: [..., *counts, kernel elements]."""
        lead = x.spec.shape[: len(x.spec.shape) - self.n]
        x = pad_constant(x, (*((0, 0) for _ in lead), *self.pairs()), value)
        w = windows(x, self.kernel, self.strides, self.dilations)
        for i, c in enumerate(self.counts):
            w = part(w, len(lead) + i, 0, c)
        return reshape.bind(w, shape=(*lead, *self.counts, size(self.kernel)))


def lowest(x: Tensor) -> float:
    if x.spec.dtype.is_floating_point:
        return -math.inf
    return -(2 ** (8 * x.spec.dtype.itemsize - 1)) if x.spec.dtype.signed else 0


def vector(numbers: list[int], x: Tensor) -> Tensor:
    """Make a 1-d tensor of a few numbers, most of them equal, by joining constants."""
    pieces, start = [], 0
    for i in range(1, len(numbers) + 1):
        if i == len(numbers) or numbers[i] != numbers[start]:
            pieces.append(constant(numbers[start], spec((i - start,), x.spec.dtype), x.device))
            start = i
    return pieces[0] if len(pieces) == 1 else cat.bind(*pieces, axis=0)


def _columns(name: str, x: Tensor, **given: Any) -> list[Ints]:
    """Expand the arguments of `fold` and `unfold` to both axes, and check them."""
    if x.spec.dtype is not dt.bool_:
        needs_float(name, x)
    found = {what: each_axis(name, value, 2) for what, value in given.items()}
    for what, pair in found.items():
        least = 0 if what == "padding" else 1
        if min(pair) < least:
            rule = "greater than zero" if least else "non-negative"
            raise ArgumentError(f"{name}: {what} should be {rule}, but got {pair}")
    return list(found.values())


def unfold(
    input: Tensor, kernel_size: Dims, dilation: Dims = 1, padding: Dims = 0, stride: Dims = 1
) -> Tensor:
    """Take the windows of [N, C, H, W] (or [C, H, W]) as columns: [N, C * kernel elements, windows]."""
    shape = input.spec.shape
    if len(shape) not in (3, 4):
        raise ShapeError(f"unfold: expected an input [N, C, H, W] or [C, H, W], got {shape}")
    kernel, d, p, s = _columns(
        "unfold", input, kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride
    )
    x = pad_constant(input, (*((0, 0),) * (len(shape) - 2), *((q, q) for q in p)))
    for m, k, e in zip(x.spec.shape[-2:], kernel, d, strict=True):
        if reach(k, e) > m:
            raise ShapeError(
                f"unfold: the kernel {kernel} is larger than the padded input {x.spec.shape}"
            )
    w = windows(x, kernel, s, d)
    lead = len(shape) - 2
    w = permute.bind(w, dims=(*range(lead), lead + 2, lead + 3, lead, lead + 1))
    counts = w.spec.shape[-2:]
    return reshape.bind(w, shape=(*shape[: lead - 1], shape[lead - 1] * size(kernel), size(counts)))


def fold(
    input: Tensor, output_size: Dims, kernel_size: Dims, dilation: Dims = 1, padding: Dims = 0,
    stride: Dims = 1,
) -> Tensor:  # fmt: skip
    """Compute the sum of columns [N, C * kernel elements, windows] at their places in [N, C, *output_size]."""
    shape = input.spec.shape
    out = each_axis("fold", output_size, 2)
    kernel, d, p, s = _columns(
        "fold", input, kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride
    )
    counts = tuple(
        (m + 2 * q - reach(k, e)) // t + 1
        for m, q, k, e, t in zip(out, p, kernel, d, s, strict=True)
    )
    if len(shape) not in (2, 3) or shape[-2] % size(kernel) or shape[-1] != size(counts):
        raise ShapeError(
            f"fold: expected [N, C * {size(kernel)}, {size(counts)}] for output_size {out}, got {shape}"
        )
    lead = (*shape[:-2], shape[-2] // size(kernel))
    w = reshape.bind(input, shape=(*lead, *kernel, *counts))
    at = len(lead)
    w = permute.bind(w, dims=(*range(at), at + 2, at + 3, at, at + 1))
    padded = tuple(m + 2 * q for m, q in zip(out, p, strict=True))
    spread = unwindow.bind(w, spatial=padded, strides=s, dilations=d)
    total = reduce_sum.bind(spread, axes=(at + 2, at + 3))
    return pad_constant(total, (*((0, 0),) * at, *((-q, -q) for q in p)))


def window_sum(x: Tensor, axis: int, count: int, before: int, after: int) -> Tensor:
    """Compute the sum of `count` neighbours along `axis`, zeros beyond the ends."""
    rank = len(x.spec.shape)
    order = (*(i for i in range(rank) if i != axis), axis)
    y = permute.bind(x, dims=order)
    y = pad_constant(y, (*((0, 0),) * (rank - 1), (before, after)))
    y = reduce_sum.bind(windows(y, (count,), (1,), (1,)), axes=(rank,))
    return permute.bind(y, dims=tuple(order.index(i) for i in range(rank)))


__all__ = ["fold", "unfold"]

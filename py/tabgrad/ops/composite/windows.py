"""Sliding windows, pooling over them, and their inverse."""

from __future__ import annotations

import math
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, ShapeError
from tabgrad.core.kinks import kinked
from tabgrad.core.promotion import needs_float, widened
from tabgrad.core.shape import size
from tabgrad.core.spec import spec
from tabgrad.core.trace import constant
from tabgrad.ops.checked import within
from tabgrad.ops.composite.padding import pad_constant
from tabgrad.ops.conv import reach
from tabgrad.ops.elementwise import (
    add,
    copy,
    div,
    floor_divide,
    fmod,
    mul,
    remainder,
    stop_gradient,
    sub,
    where,
)
from tabgrad.ops.indexing import cat, gather, iota, scatter, scatter_add
from tabgrad.ops.reduction import first_max, first_place, reduce_max, reduce_sum
from tabgrad.ops.rounding import bitwise_and, eq, ge, isfinite, isnan
from tabgrad.ops.view import expand, part, permute, reshape, rewindow, unwindow

Ints = tuple[int, ...]


def each_axis(name: str, value: Any, n: int) -> Ints:
    """Return one number for each of `n` spatial axes."""
    if hasattr(value, "__index__") and not getattr(value, "shape", ()):
        return (value.__index__(),) * n
    out = tuple(int(v) for v in value)
    if len(out) == 1:
        return out * n
    if len(out) != n:
        raise ShapeError(f"{name}: expected one number or {n}, got {tuple(value)}")
    return out


def windows(x: Any, kernel: Ints, strides: Ints, dilations: Ints) -> Any:
    """Return the windows over the last axes of `x`: [..., *counts, *kernel]."""
    n = len(kernel)
    shape = x.spec.shape
    lead, spatial = shape[: len(shape) - n], shape[len(shape) - n :]
    if strides == kernel and all(d == 1 for d in dilations):
        return _tiles(x, lead, spatial, kernel)
    wide = reshape.bind(x, shape=(*shape, *(1,) * n))
    wide = expand.bind(wide, shape=(*shape, *kernel))
    return rewindow.bind(wide, sizes=kernel, strides=strides, dilations=dilations)


def _tiles(x: Any, lead: Ints, spatial: Ints, kernel: Ints) -> Any:
    # windows that do not overlap are a reshape, whose transpose has no sum
    n, at = len(kernel), len(lead)
    counts = tuple(m // k for m, k in zip(spatial, kernel, strict=True))
    for i, (c, k) in enumerate(zip(counts, kernel, strict=True)):
        x = part(x, at + i, 0, c * k)
    pairs = tuple(v for pair in zip(counts, kernel, strict=True) for v in pair)
    x = reshape.bind(x, shape=(*lead, *pairs))
    order = (*range(at), *range(at, at + 2 * n, 2), *range(at + 1, at + 2 * n, 2))
    return permute.bind(x, dims=order)


class Geometry:
    """How windows lie over the spatial axes of a pooled input."""

    def __init__(
        self, name: str, x: Any, n: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
        ceil_mode: bool,
    ) -> None:  # fmt: skip
        shape = x.spec.shape
        if len(shape) not in (n + 1, n + 2):
            raise ShapeError(
                f"{name}: expected an input of {n + 1} or {n + 2} dimensions, got {shape}"
            )
        self.name, self.n = name, n
        self.spatial = shape[len(shape) - n :]
        self.kernel = each_axis(f"{name}: kernel_size", kernel_size, n)
        given = stride is not None and stride != () and stride != []
        self.strides = each_axis(f"{name}: stride", stride, n) if given else self.kernel
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
        """Return the padding that makes every window complete."""
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

    def windows(self, x: Any, value: Any) -> Any:
        """Return the windows of `x` padded with `value`: [..., *counts, kernel elements]."""
        lead = x.spec.shape[: len(x.spec.shape) - self.n]
        x = pad_constant(x, (*((0, 0) for _ in lead), *self.pairs()), value)
        w = windows(x, self.kernel, self.strides, self.dilations)
        for i, c in enumerate(self.counts):
            w = part(w, len(lead) + i, 0, c)
        return reshape.bind(w, shape=(*lead, *self.counts, size(self.kernel)))


def _lowest(x: Any) -> Any:
    if x.spec.dtype.is_floating_point:
        return -math.inf
    return -(2 ** (8 * x.spec.dtype.itemsize - 1)) if x.spec.dtype.signed else 0


@kinked
def max_pool(
    name: str, n: int, x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Return the maximum of each window over the last `n` axes; the derivative goes to the first maximum.

    With `return_indices` also where it was, counted through the spatial axes of the input.
    """
    if x.spec.dtype is dt.bool_ or (n == 1 and not return_indices):
        needs_float(name, x)
    g = Geometry(name, x, n, kernel_size, stride, padding, dilation, ceil_mode)
    w = g.windows(x, _lowest(x))
    last = len(w.spec.shape) - 1
    y = first_max.bind(w, axes=(last,))
    return (y, _window_indices(x, w, y, g)) if return_indices else y


def _first_maximum(x: Any, w: Any, y: Any, g: Geometry) -> Any:
    """Return which element of each window is `y`: the last nan, or else the first one that is no padding."""
    kind, shape = w.device.index_dtype, w.spec.shape
    last, n = len(shape) - 1, shape[-1]
    y = expand.bind(reshape.bind(y, shape=(*y.spec.shape, 1)), shape=shape)
    same = eq(w, y)
    if any(pair != (0, 0) for pair in g.pairs()):
        inside = g.windows(constant(1, spec(g.spatial, kind), x.device), 0)
        same = bitwise_and(same, expand.bind(eq(inside, 1), shape=shape))
    at = expand.bind(iota(n, kind, w.device), shape=shape)
    score = where(same, sub(n - 1, at), -1)
    if w.spec.dtype.is_floating_point:
        score = where(isnan(w), add(at, n), score)
    best = reduce_max.bind(score, axes=(last,))
    return where(ge(best, n), sub(best, n), sub(n - 1, best))


def _window_indices(x: Any, w: Any, y: Any, g: Geometry) -> Any:
    """Return where the maximum of each window lies, counted through the unpadded spatial axes."""
    kind = w.device.index_dtype
    inner: Any = _first_maximum(x, stop_gradient(w), stop_gradient(y), g)
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
@widened
def avg_pool(
    name: str, n: int, x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Any:  # fmt: skip
    """Return the mean of each window over the last `n` axes; of int64 its whole part, towards 0."""
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


def _share(total: Any, count: Any) -> Any:
    """Return total / count; of integers the whole part."""
    if total.spec.dtype.category < dt.FLOAT:
        return floor_divide(sub(total, fmod(total, count)), count)
    return mul(total, 1 / count) if isinstance(count, int) else div(total, count)


def _counts(g: Geometry, x: Any, include_pad: bool) -> Any:
    """Return how many elements each window covers, from one line for each axis."""
    lines = []
    for m, k, s, p, c in zip(g.spatial, g.kernel, g.strides, g.padding, g.counts, strict=True):
        low, high = (-p, m + p) if include_pad else (0, m)
        start = [i * s - p for i in range(c)]
        lines.append([min(b + k, high) - max(b, low) for b in start])
    total: Any = None
    for i, line in enumerate(lines):
        n = len(line)
        one = _vector(line, x)
        one = reshape.bind(one, shape=tuple(n if j == i else 1 for j in range(g.n)))
        total = one if total is None else mul(total, one)
    return total


def _vector(numbers: list[int], x: Any) -> Any:
    """Return a 1-d tensor of a few numbers, most of them equal, as constants joined together."""
    pieces, start = [], 0
    for i in range(1, len(numbers) + 1):
        if i == len(numbers) or numbers[i] != numbers[start]:
            pieces.append(constant(numbers[start], spec((i - start,), x.spec.dtype), x.device))
            start = i
    return pieces[0] if len(pieces) == 1 else cat.bind(*pieces, axis=0)


@widened
def lp_pool(
    name: str, n: int, x: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:  # fmt: skip
    """Return the p-norm of each window (of |x|, where p is odd the sign of the sum is kept as PyTorch does)."""
    from tabgrad.ops.elementwise import abs_, pow_, sign, where
    from tabgrad.ops.rounding import eq
    from tabgrad.ops.special import relu

    p = float(norm_type)
    g = Geometry(name, x, n, kernel_size, stride, 0, 1, ceil_mode)
    w = g.windows(pow_(x, p), 0)
    total = reduce_sum.bind(w, axes=(len(w.spec.shape) - 1,))
    total = mul(sign(total), relu(abs_(total)))
    # at 0 the slope of a root is infinite, and counts as 0
    zero = eq(total, 0)
    return where(zero, 0, pow_(where(zero, 1, total), 1 / p))


# -- adaptive --------------------------------------------------------------------------------------


def _adaptive_bounds(n: int, out: int) -> list[tuple[int, int]]:
    return [(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]


def adaptive_sizes(name: str, x: Any, n: int, output_size: Any) -> Ints:
    """Return the wanted spatial sizes; None keeps the input's."""
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


def adaptive_windows(x: Any, axis: int, out: int, value: Any) -> tuple[Any, list[int]]:
    """Return the regions along `axis` as [..., out, longest], padded with `value`, and their lengths."""
    n = x.spec.shape[axis]
    if not out:
        shape = (*x.spec.shape[:axis], 0, 1, *x.spec.shape[axis + 1 :])
        return constant(0, spec(shape, x.spec.dtype), x.device), [1]
    bounds = _adaptive_bounds(n, out)
    lengths = [b - a for a, b in bounds]
    shape = x.spec.shape
    if n % out == 0:
        return reshape.bind(x, shape=(*shape[:axis], out, n // out, *shape[axis + 1 :])), lengths
    from tabgrad.ops.indexing import cat

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
def adaptive_avg_pool(name: str, n: int, x: Any, output_size: Any) -> Any:
    """Return the means of as many regions as asked for, along each of the last `n` axes."""
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
            line = _vector(lengths, x)
            shape = tuple(out if k == axis else 1 for k in range(len(total.spec.shape)))
            x = div(total, reshape.bind(line, shape=shape))
    return copy.bind(x) if x is given else x


@kinked
def adaptive_max_pool(
    name: str, n: int, x: Any, output_size: Any, return_indices: bool = False
) -> Any:
    """Return the maxima of as many regions as asked for, along each of the last `n` axes."""
    needs_float(name, x)
    sizes = adaptive_sizes(name, x, n, output_size)
    spatial = x.spec.shape[len(x.spec.shape) - n :]
    kind = x.device.index_dtype
    first = len(x.spec.shape) - n
    given = x
    place = reshape.bind(iota(size(spatial), kind, x.device), shape=spatial)
    place = expand.bind(place, shape=x.spec.shape)
    # from the last axis on: of equal ones the first in row-major order counts
    for axis, out in reversed(list(enumerate(sizes, first))):
        if x.spec.shape[axis] == out:
            continue
        w, _ = adaptive_windows(x, axis, out, _lowest(x))
        x = first_max.bind(w, axes=(axis + 1,))
        if return_indices:
            where_, _ = adaptive_windows(place, axis, out, 0)
            at = first_place(stop_gradient(w), stop_gradient(x), axis + 1)
            at = reshape.bind(at, shape=(*at.spec.shape[: axis + 1], 1, *at.spec.shape[axis + 1 :]))
            place = gather.bind(where_, at, axis=axis + 1)
            place = reshape.bind(place, shape=x.spec.shape)
    x = copy.bind(x) if x is given else x
    return (x, place) if return_indices else x


# -- back from windows -----------------------------------------------------------------------------


def unpooled_sizes(
    name: str, n: int, x: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> Ints:
    """Return the spatial sizes that pooling came from, the smallest unless `output_size` is given."""
    kernel = each_axis(f"{name}: kernel_size", kernel_size, n)
    strides = kernel if stride is None else each_axis(f"{name}: stride", stride, n)
    pads = each_axis(f"{name}: padding", padding, n)
    if output_size is not None:
        return tuple(int(m) for m in tuple(output_size)[-n:])
    spatial = x.spec.shape[len(x.spec.shape) - n :]
    return tuple(
        (m - 1) * s - 2 * p + k for m, k, s, p in zip(spatial, kernel, strides, pads, strict=True)
    )


def max_unpool(name: str, n: int, x: Any, indices: Any, sizes: Ints) -> Any:
    """Return zeros of the spatial `sizes` with the elements of `x` at `indices`.

    Of elements that name one place the last stays; each gets the whole derivative of it, as in PyTorch.
    """
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
    # zeros with the derivative of the sum
    change = where(isfinite(total), sub(total, stop_gradient(total)), 0)
    return reshape.bind(add(value, change), shape=(*lead, *sizes))


def _columns(name: str, x: Any, **given: Any) -> list[Ints]:
    """Return the arguments of `fold` and `unfold` for both axes."""
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
    input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """Return the windows of [N, C, H, W] (or [C, H, W]) as columns: [N, C * kernel elements, windows]."""
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
    input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:  # fmt: skip
    """Return the sum of columns [N, C * kernel elements, windows] at their places in [N, C, *output_size]."""
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


def window_sum(x: Any, axis: int, count: int, before: int, after: int) -> Any:
    """Return the sum of `count` neighbours along `axis`, zeros beyond the ends."""
    rank = len(x.spec.shape)
    order = (*(i for i in range(rank) if i != axis), axis)
    y = permute.bind(x, dims=order)
    y = pad_constant(y, (*((0, 0),) * (rank - 1), (before, after)))
    y = reduce_sum.bind(windows(y, (count,), (1,), (1,)), axes=(rank,))
    return permute.bind(y, dims=tuple(order.index(i) for i in range(rank)))


__all__ = [
    "adaptive_avg_pool", "adaptive_max_pool", "avg_pool", "each_axis", "fold", "lp_pool", "max_pool",
    "max_unpool", "unfold", "unpooled_sizes", "window_sum", "windows",
]  # fmt: skip

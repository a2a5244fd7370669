"""Views: they move data and compute nothing, and cost nothing inside a kernel."""

from __future__ import annotations

import functools
import itertools
import math
from typing import TYPE_CHECKING, Any

from tabgrad.core.families import to_front, view
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import REGISTRY, Array, Ints, Operand
from tabgrad.core.shape import size, slice_length, strides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tabgrad.core.op import Operands
    from tabgrad.tensor import Tensor


def _sum(x: Tensor, axes: Ints) -> Tensor:
    return REGISTRY["reduce_sum"].bind(x, axes=axes) if axes else x


# -- reshape ---------------------------------------------------------------------------------------


def _reshape_index(i: Any, source: Ints, *, shape: Ints) -> Any:
    out: list[Any] = []
    # each run of axes with the same number of elements in both by itself
    for sizes, start, stop in _runs(source, shape):
        linear = 0
        for e, s in zip(i[start:stop], strides(shape[start:stop]), strict=True):
            linear = linear + e * s
        first = True
        for n, s in zip(sizes, strides(sizes), strict=True):
            if n < 2 or not s:  # one element, or none
                out.append(linear * 0)
            else:
                out.append(linear // s if first else linear // s % n)
                first = False
    return tuple(out), ()


@functools.lru_cache(4096)
def _runs(source: Ints, shape: Ints) -> list[tuple[Ints, int, int]]:
    """Split both shapes into runs that match: the sizes in `source`, and which axes of `shape`."""
    if not size(source):
        return [(source, 0, len(shape))]
    out, first, start, stop, ours, theirs = [], 0, 0, 0, 1, 1
    for axis, n in enumerate(source):
        ours *= n
        while theirs < ours:
            theirs *= shape[stop]
            stop += 1
        if theirs == ours and n > 1:
            out.append((source[first : axis + 1], start, stop))
            first, start, ours, theirs = axis + 1, stop, 1, 1
    if first < len(source) or start < len(shape):
        out.append((source[first:], start, len(shape)))
    return out


@view(
    shape=lambda source, *, shape: shape,
    index=_reshape_index,
    transpose=lambda ct, x, *, shape: reshape.bind(ct, shape=x.shape),
    lift=lambda n, *, shape: {"shape": (n, *shape)},
    inverse=lambda source, *, shape: {"shape": source},
    samples=(((2, 3, 4), {"shape": (4, 6)}), ((6,), {"shape": (1, 2, 3)})),
)
def reshape(x: Operand, *, shape: Ints) -> Array:
    """Give the same elements another shape, in row-major order."""
    if x.size > FEW and x.shape[-1] <= SHORT and not x.flags.c_contiguous:
        x = _packed(x)
    return x.reshape(shape)


FEW, SHORT = 1 << 13, 16


def _packed(x: Array) -> Array:
    """Copy many elements in row-major order; NumPy alone would copy as many at once as the last axis has."""
    last = next((k for k in range(x.ndim) if math.prod(x.shape[k:]) <= SHORT), x.ndim)
    out = np.empty(x.shape, x.dtype)
    for at in itertools.product(*map(range, x.shape[last:])):
        out[(..., *at)] = x[(..., *at)]
    return out


# -- permute ---------------------------------------------------------------------------------------


def _inverse(dims: Ints) -> Ints:
    out = [0] * len(dims)
    for i, d in enumerate(dims):
        out[d] = i
    return tuple(out)


@view(
    shape=lambda source, *, dims: tuple(source[d] for d in dims),
    index=lambda i, source, *, dims: (tuple(i[k] for k in _inverse(dims)), ()),
    transpose=lambda ct, _x, *, dims: permute.bind(ct, dims=_inverse(dims)),
    lift=lambda n, *, dims: {"dims": (0, *(d + 1 for d in dims))},
    inverse=lambda source, *, dims: {"dims": _inverse(dims)},
    samples=(((2, 3, 4), {"dims": (2, 0, 1)}),),
)
def permute(x: Operand, *, dims: Ints) -> Array:
    """Put the axes in the order `dims`."""
    return np.transpose(x, dims)


# -- expand ----------------------------------------------------------------------------------------


def _expand_index(i: Any, source: Ints, *, shape: Ints) -> Any:
    tail = i[len(shape) - len(source) :]
    return tuple(e * 0 if n == 1 else e for e, n in zip(tail, source, strict=True)), ()


def _expand_transpose(ct: Tensor, x: Tensor, *, shape: Ints) -> Tensor:
    lead = len(shape) - len(x.shape)
    axes = tuple(
        i for i in range(len(shape)) if i < lead or (x.shape[i - lead] == 1 and shape[i] != 1)
    )
    out = _sum(ct, axes)
    return out if out.spec.shape == x.shape else reshape.bind(out, shape=x.shape)


def _expand_lift(n: int, *, shape: Ints) -> dict[str, Ints]:
    return {"shape": (n, *shape)}


@view(
    shape=lambda source, *, shape: shape,
    index=_expand_index,
    transpose=_expand_transpose,
    lift=_expand_lift,
    samples=(((3, 1), {"shape": (2, 3, 4)}), ((2, 1, 4), {"shape": (2, 3, 4)})),
)
def expand(x: Operand, *, shape: Ints) -> Array:
    """Broadcast `x` to `shape`: axes of size 1 are repeated, leading axes are added."""
    return _repeated(x, shape)


FEW = 1 << 10
"""The most elements that are copied sooner than NumPy broadcasts them without a copy."""


def _repeated(x: Array, shape: Ints) -> Array:
    if not x.ndim or math.prod(shape) > FEW:
        return np.broadcast_to(x, shape)
    out = np.empty(shape, x.dtype)
    out[...] = x
    return out


def _expand_batch(
    self: Any, n: int, args: Operands, dims: Sequence[int | None], params: Any
) -> Tensor:
    x = to_front(args[0], dims[0], n)
    shape = params["shape"]
    ones = (1,) * (len(shape) + 1 - len(x.spec.shape))
    if ones:
        x = reshape.bind(x, shape=(n, *ones, *x.spec.shape[1:]))
    return expand.bind(x, shape=(n, *shape))


@view(
    shape=lambda source, *, shape, axes: shape,
    index=lambda i, source, *, shape, axes: (
        tuple(e for k, e in enumerate(i) if k not in axes),
        (),
    ),
    transpose=lambda ct, _x, *, shape, axes: _sum(ct, axes),
    lift=lambda n, *, shape, axes: {"shape": (n, *shape), "axes": tuple(a + 1 for a in axes)},
    samples=(
        ((3,), {"shape": (2, 3, 4), "axes": (0, 2)}),
        ((2, 4), {"shape": (2, 3, 4), "axes": (1,)}),
        ((2,), {"shape": (2, 0), "axes": (1,)}),
    ),
)
def spread(x: Operand, *, shape: Ints, axes: Ints) -> Array:
    """Repeat `x` along the new axes `axes` of `shape`: the transpose of a sum over them."""
    return _repeated(x[new_axes(len(shape), axes)], shape)


@functools.lru_cache(4096)
def new_axes(rank: int, axes: Ints) -> tuple[slice | None, ...]:
    """Return the index that adds `axes` of size 1, so that there are `rank`."""
    return tuple([None if i in axes else slice(None) for i in range(rank)])


# -- slice, flip, pad ------------------------------------------------------------------------------


def _slice_shape(source: Ints, *, starts: Ints, stops: Ints, steps: Ints) -> Ints:
    return tuple(slice_length(*s) for s in zip(starts, stops, steps, strict=True))


def _slice_transpose(ct: Tensor, x: Tensor, *, starts: Ints, stops: Ints, steps: Ints) -> Tensor:
    shape = ct.spec.shape
    last = tuple(
        a + (n - 1) * s if n else a - 1 for a, n, s in zip(starts, shape, steps, strict=True)
    )
    high = tuple(n - 1 - e for n, e in zip(x.shape, last, strict=True))
    return pad.bind(ct, low=starts, high=high, interior=tuple(s - 1 for s in steps))


@view(
    shape=_slice_shape,
    index=lambda i, source, *, starts, stops, steps: (
        tuple(e * s + a for e, a, s in zip(i, starts, steps, strict=True)),
        (),
    ),
    transpose=_slice_transpose,
    lift=lambda n, *, starts, stops, steps: {
        "starts": (0, *starts), "stops": (n, *stops), "steps": (1, *steps)
    },
    samples=(((5, 6), {"starts": (1, 0), "stops": (5, 6), "steps": (2, 3)}),),
)  # fmt: skip
def slice_(x: Operand, *, starts: Ints, stops: Ints, steps: Ints) -> Array:
    """Slice x[start:stop:step] along every axis; steps are positive, bounds within the axis."""
    return x[slices(starts, stops, steps)]


@functools.lru_cache(4096)
def slices(starts: Ints, stops: Ints, steps: Ints) -> tuple[slice, ...]:
    """Return the index that slices every axis."""
    """Return the index of a slice along every axis."""
    return tuple([slice(*s) for s in zip(starts, stops, steps, strict=True)])


def part(x: Tensor, axis: int, start: int, stop: int, step: int = 1) -> Tensor:
    """Slice x[start:stop:step] along one axis; give `x` itself if that is all of it."""
    shape = x.spec.shape
    if start == 0 and stop == shape[axis] and step == 1:
        return x
    return slice_.bind(
        x,
        starts=tuple(start if i == axis else 0 for i in range(len(shape))),
        stops=tuple(stop if i == axis else n for i, n in enumerate(shape)),
        steps=tuple(step if i == axis else 1 for i in range(len(shape))),
    )


@view(
    shape=lambda source, *, axes: source,
    index=lambda i, source, *, axes: (
        tuple(source[k] - 1 - e if k in axes else e for k, e in enumerate(i)),
        (),
    ),
    transpose=lambda ct, _x, *, axes: flip.bind(ct, axes=axes),
    lift=lambda n, *, axes: {"axes": tuple(a + 1 for a in axes)},
    inverse=lambda source, *, axes: {"axes": axes},
    samples=(((3, 4), {"axes": (1,)}),),
)
def flip(x: Operand, *, axes: Ints) -> Array:
    """Reverse the elements along `axes`."""
    return np.flip(x, axes)


def _pad_shape(source: Ints, *, low: Ints, high: Ints, interior: Ints) -> Ints:
    return tuple(
        max(0, a + b + n + max(0, n - 1) * k)
        for n, a, b, k in zip(source, low, high, interior, strict=True)
    )


def _pad_index(i: Any, source: Ints, *, low: Ints, high: Ints, interior: Ints) -> Any:
    out, conditions = [], []
    for e, n, a, b, k in zip(i, source, low, high, interior, strict=True):
        if a == 0 and b == 0 and k == 0:
            out.append(e)
            continue
        j = e - a
        if k:
            conditions.append((j % (k + 1), 0, 1))
            conditions.append((j, 0, (n - 1) * (k + 1) + 1 if n else 0))
            j = j // (k + 1)
        else:
            conditions.append((j, 0, n))
        out.append(j)
    return tuple(out), tuple(conditions)


def _pad_transpose(ct: Tensor, x: Tensor, *, low: Ints, high: Ints, interior: Ints) -> Tensor:
    # a negative pad crops, so its transpose pads
    full, shape = ct.spec.shape, x.shape
    before = tuple(max(0, -a) for a in low)
    after = tuple(max(0, -b) for b in high)
    if any(before) or any(after):
        ct = pad.bind(ct, low=before, high=after, interior=(0,) * len(full))
    starts = tuple(max(0, a) for a in low)
    steps = tuple(k + 1 for k in interior)
    stops = tuple(
        a + (n - 1) * s + 1 if n else a for a, n, s in zip(starts, shape, steps, strict=True)
    )
    return slice_.bind(ct, starts=starts, stops=stops, steps=steps)


@view(
    shape=_pad_shape,
    index=_pad_index,
    transpose=_pad_transpose,
    lift=lambda n, *, low, high, interior: {
        "low": (0, *low), "high": (0, *high), "interior": (0, *interior)
    },
    samples=(
        ((3, 4), {"low": (1, 0), "high": (2, 1), "interior": (0, 0)}),
        ((3, 4), {"low": (-1, 2), "high": (0, -1), "interior": (1, 2)}),
    ),
    fills=True,
)  # fmt: skip
def pad(x: Operand, *, low: Ints, high: Ints, interior: Ints) -> Array:
    """Put zeros around `x` and `interior` zeros between its elements; negative pads crop."""
    out = np.zeros(_pad_shape(x.shape, low=low, high=high, interior=interior), x.dtype)
    source, target = [], []
    for n, m, a, k in zip(x.shape, out.shape, low, interior, strict=True):
        first = max(0, -(a // (k + 1)))
        count = (
            len(range(a + first * (k + 1), min(m, a + (n - 1) * (k + 1) + 1), k + 1)) if n else 0
        )
        source.append(slice(first, first + count))
        at = a + first * (k + 1)
        target.append(slice(at, at + count * (k + 1), k + 1) if count else slice(0, 0))
    out[tuple(target)] = x[tuple(source)]
    return out


# -- windows ---------------------------------------------------------------------------------------
# Sliding windows over the last axes are `rewindow` of an `expand`; folding is a sum of `unwindow`.


def _rewindow_shape(source: Ints, *, sizes: Ints, strides: Ints, dilations: Ints) -> Ints:
    n = len(sizes)
    lead, spatial = source[: len(source) - 2 * n], source[len(source) - 2 * n : len(source) - n]
    counts = tuple(
        (m - (k - 1) * d - 1) // s + 1
        for m, k, s, d in zip(spatial, sizes, strides, dilations, strict=True)
    )
    return (*lead, *counts, *sizes)


def _rewindow_index(i: Any, source: Ints, *, sizes: Ints, strides: Ints, dilations: Ints) -> Any:
    n = len(sizes)
    lead, o, k = i[: -2 * n], i[-2 * n : -n], i[-n:]
    at = tuple(a * s + b * d for a, b, s, d in zip(o, k, strides, dilations, strict=True))
    return (*lead, *at, *k), ()


def _unwindow_index(i: Any, source: Ints, *, spatial: Ints, strides: Ints, dilations: Ints) -> Any:
    n = len(spatial)
    counts = source[len(source) - 2 * n : len(source) - n]
    lead, at, k = i[: -2 * n], i[-2 * n : -n], i[-n:]
    o, conditions = [], []
    for e, b, s, d, c in zip(at, k, strides, dilations, counts, strict=True):
        j = e - b * d
        if s > 1:
            conditions.append((j % s, 0, 1))
        conditions.append((j, 0, (c - 1) * s + 1))
        o.append(j // s)
    return (*lead, *o, *k), tuple(conditions)


@view(
    shape=_rewindow_shape,
    index=_rewindow_index,
    transpose=lambda ct, x, *, sizes, strides, dilations: unwindow.bind(
        ct, spatial=x.shape[len(x.shape) - 2 * len(sizes) : len(x.shape) - len(sizes)],
        strides=strides, dilations=dilations,
    ),
    lift=lambda n, *, sizes, strides, dilations: {
        "sizes": sizes, "strides": strides, "dilations": dilations
    },
    samples=(((2, 7, 3), {"sizes": (3,), "strides": (2,), "dilations": (1,)}),),
)  # fmt: skip
def rewindow(x: Operand, *, sizes: Ints, strides: Ints, dilations: Ints) -> Array:
    """Take y[..., o, k] = x[..., o * stride + k * dilation, k] over pairs of spatial and window axes."""
    shape = _rewindow_shape(x.shape, sizes=sizes, strides=strides, dilations=dilations)
    index, _ = _rewindow_index(
        np.ix_(*map(np.arange, shape)), x.shape, sizes=sizes, strides=strides, dilations=dilations
    )
    return x[index]


def _unwindow_shape(source: Ints, *, spatial: Ints, strides: Ints, dilations: Ints) -> Ints:
    n = len(spatial)
    return (*source[: len(source) - 2 * n], *spatial, *source[len(source) - n :])


@view(
    shape=_unwindow_shape,
    index=_unwindow_index,
    transpose=lambda ct, x, *, spatial, strides, dilations: rewindow.bind(
        ct, sizes=x.shape[len(x.shape) - len(spatial) :], strides=strides, dilations=dilations
    ),
    lift=lambda n, *, spatial, strides, dilations: {
        "spatial": spatial, "strides": strides, "dilations": dilations
    },
    samples=(((2, 3, 3), {"spatial": (7,), "strides": (2,), "dilations": (1,)}),),
    fills=True,
)  # fmt: skip
def unwindow(x: Operand, *, spatial: Ints, strides: Ints, dilations: Ints) -> Array:
    """Compute the transpose of `rewindow`: y[..., o * stride + k * dilation, k] = x[..., o, k], else 0."""
    n = len(spatial)
    out = np.zeros(
        _unwindow_shape(x.shape, spatial=spatial, strides=strides, dilations=dilations), x.dtype
    )
    index, _ = _rewindow_index(
        np.ix_(*map(np.arange, x.shape)), out.shape, sizes=x.shape[len(x.shape) - n :],
        strides=strides, dilations=dilations,
    )  # fmt: skip
    out[index] = x
    return out


expand.batch = _expand_batch.__get__(expand)

__all__ = [
    "expand", "flip", "math", "pad", "part", "permute", "reshape", "rewindow", "size", "slice_",
    "spread", "unwindow",
]  # fmt: skip

"""Convolution over any number of spatial axes; both of its transposes are convolutions again."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from tabgrad.core.errors import ShapeError
from tabgrad.core.families import bilinear, to_front
from tabgrad.core.lazy_numpy import Late, np
from tabgrad.core.op import Array, Ints, Operand
from tabgrad.core.shape import size, strides as row_major
from tabgrad.core.trace import zeros_like
from tabgrad.ops.view import flip, permute, reshape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tabgrad.core.op import Operands
    from tabgrad.tensor import Tensor

Pairs = tuple[tuple[int, int], ...]
conv_numpy: Any = Late("tabgrad.ops.conv_numpy")
FEW = 1 << 14
"""The most elements of windows that are copied one by one."""


def reach(kernel: int, dilation: int) -> int:
    """Count the input positions that a dilated kernel covers."""
    return (kernel - 1) * dilation + 1


def dilated(n: int, dilation: int) -> int:
    """Compute the length of an axis of `n` elements with gaps between them."""
    return (n - 1) * dilation + 1 if n else 0


def _conv_shape(
    x: Ints, w: Ints, *, strides: Ints, padding: Pairs, dilations: Ints, lhs_dilations: Ints,
    groups: int,
) -> Ints:  # fmt: skip
    if x[1] != w[1] * groups or w[0] % groups:
        raise ShapeError(
            f"conv: {groups} group(s) of {w[1]} input channels need an input with {w[1] * groups} channels "
            f"and a number of output channels divisible by {groups}; got input {x} and weight {w}"
        )
    out = []
    for n, k, s, (lo, hi), d, e in zip(
        x[2:], w[2:], strides, padding, dilations, lhs_dilations, strict=True
    ):
        full = dilated(n, e) + lo + hi
        if reach(k, d) > full:
            raise ShapeError(
                f"conv: the kernel covers {reach(k, d)} elements, more than the padded input's {full}; "
                f"got input {x}, weight {w}, padding {padding}, dilation {dilations}"
            )
        out.append((full - reach(k, d)) // s + 1)
    return (x[0], w[0], *out)


def _lhs(
    ct: Tensor, x: Tensor, w: Tensor, *, strides: Ints, padding: Pairs, dilations: Ints,
    lhs_dilations: Ints, groups: int,
) -> Tensor:  # fmt: skip
    """Slide the flipped kernel, with inputs and outputs exchanged, over the dilated cotangent."""
    if not ct.spec.size or not w.spec.size:
        return zeros_like(x)
    kernel = w.shape[2:]
    pairs = []
    for n, m, k, s, (lo, _), d, e in zip(
        x.shape[2:], ct.shape[2:], kernel, strides, padding, dilations, lhs_dilations, strict=True
    ):
        pairs.append(((k - 1) * d - lo, (n - 1) * e + lo - (m - 1) * s))
    turned = _exchange(w, groups, kernel)
    return conv.bind(
        ct, turned, strides=lhs_dilations, padding=tuple(pairs), dilations=dilations,
        lhs_dilations=strides, groups=groups,
    )  # fmt: skip


def _exchange(w: Tensor, groups: int, kernel: Ints) -> Tensor:
    """Flip the kernel, and exchange input and output channels within each group."""
    n = len(kernel)
    if any(k > 1 for k in kernel):
        w = flip.bind(w, axes=tuple(range(2, 2 + n)))
    if groups == 1:
        return permute.bind(w, dims=(1, 0, *range(2, 2 + n)))
    o, c = w.shape[0] // groups, w.shape[1]
    w = reshape.bind(w, shape=(groups, o, c, *kernel))
    w = permute.bind(w, dims=(0, 2, 1, *range(3, 3 + n)))
    return reshape.bind(w, shape=(groups * c, o, *kernel))


def _rhs(
    ct: Tensor, x: Tensor, w: Tensor, *, strides: Ints, padding: Pairs, dilations: Ints,
    lhs_dilations: Ints, groups: int,
) -> Tensor:  # fmt: skip
    """Slide the cotangent as a kernel over the input; the batch takes the place of the channels."""
    if not ct.spec.size or not x.spec.size:
        return zeros_like(w)
    spatial = x.shape[2:]
    n = len(spatial)
    pairs = []
    for size_, m, k, s, (lo, _), d, e in zip(
        spatial, ct.shape[2:], w.shape[2:], strides, padding, dilations, lhs_dilations, strict=True
    ):
        pairs.append((lo, (k - 1) * d + reach(m, s) - lo - dilated(size_, e)))
    tail = tuple(range(2, 2 + n))
    if groups == 1:
        rows = permute.bind(x, dims=(1, 0, *tail))
    else:
        batch, c = x.shape[0], x.shape[1] // groups
        rows = reshape.bind(x, shape=(batch, groups, c, *spatial))
        rows = permute.bind(rows, dims=(2, 1, 0, *(i + 1 for i in tail)))
        rows = reshape.bind(rows, shape=(c, groups * batch, *spatial))
    out = conv.bind(
        rows, permute.bind(ct, dims=(1, 0, *tail)), strides=dilations, padding=tuple(pairs),
        dilations=strides, lhs_dilations=lhs_dilations, groups=groups,
    )  # fmt: skip
    return permute.bind(out, dims=(1, 0, *tail))


def _conv_batch(
    b: int, args: Operands, dims: Sequence[int | None], *, groups: int, **params: Any
) -> Tensor:
    x, w = args
    if dims[1] is None:
        x = to_front(x, dims[0], b)
        n, shape = x.shape[1], x.shape[2:]
        y = conv.bind(reshape.bind(x, shape=(b * n, *shape)), w, groups=groups, **params)
        return reshape.bind(y, shape=(b, n, *y.shape[1:]))
    w = to_front(w, dims[1], b)
    return _batched_kernel(b, x, dims[0], w, groups, params)


def _batched_kernel(
    b: int, x: Tensor, dim: int | None, w: Tensor, groups: int, params: Any
) -> Tensor:
    """Turn each element of the batch into groups of its own, or into more outputs if the input is shared."""
    o, c, kernel = w.shape[1] // groups, w.shape[2], w.shape[3:]
    tail = tuple(range(3, 3 + len(kernel)))
    if dim is None:
        w = reshape.bind(w, shape=(b, groups, o, c, *kernel))
        w = permute.bind(w, dims=(1, 0, 2, 3, *(i + 1 for i in tail)))
        w = reshape.bind(w, shape=(groups * b * o, c, *kernel))
        y = conv.bind(x, w, groups=groups, **params)
        n, out = y.shape[0], y.shape[2:]
        y = reshape.bind(y, shape=(n, groups, b, o, *out))
        y = permute.bind(y, dims=(2, 0, 1, 3, *(i + 1 for i in tail)))
        return reshape.bind(y, shape=(b, n, groups * o, *out))
    x = to_front(x, dim, b)
    n, channels, spatial = x.shape[1], x.shape[2], x.shape[3:]
    x = reshape.bind(permute.bind(x, dims=(1, 0, 2, *tail)), shape=(n, b * channels, *spatial))
    w = reshape.bind(w, shape=(b * groups * o, c, *kernel))
    y = conv.bind(x, w, groups=b * groups, **params)
    out = y.shape[2:]
    y = reshape.bind(y, shape=(n, b, groups * o, *out))
    return permute.bind(y, dims=(1, 0, 2, *tail))


def _plain(n: int, **changes: Any) -> dict[str, Any]:
    plain = {
        "strides": (1,) * n, "padding": ((0, 0),) * n, "dilations": (1,) * n,
        "lhs_dilations": (1,) * n, "groups": 1,
    }  # fmt: skip
    return {**plain, **changes}


@bilinear(
    shape=_conv_shape,
    lhs=_lhs,
    rhs=_rhs,
    batching=_conv_batch,
    kinds="iufc",
    samples=(
        (((2, 3, 7), (4, 3, 2)), _plain(1, padding=((1, 2),))),
        (
            ((2, 4, 5, 6), (6, 2, 3, 2)),
            _plain(2, groups=2, strides=(2, 1), padding=((1, 0), (0, 2))),
        ),
        (((1, 2, 9), (3, 2, 2)), _plain(1, strides=(3,), dilations=(2,))),
        (((2, 2, 3, 4), (3, 2, 2, 3)), _plain(2, lhs_dilations=(2, 3), padding=((-1, 1), (2, -1)))),
        (((1, 1, 3, 4, 3), (2, 1, 2, 2, 2)), _plain(3)),
        (((2, 3, 1), (3, 1, 1)), _plain(1, groups=3, strides=(2,))),
    ),
)
def conv(
    x: Operand, w: Operand, *, strides: Ints, padding: Pairs, dilations: Ints, lhs_dilations: Ints,
    groups: int,
) -> Array:  # fmt: skip
    """Compute y[n, o, p] = sum over c and k of x[n, c, p * stride + k * dilation - lo] w[o, c, k].

    `x` is [N, C, *spatial], `w` [O, C / groups, *kernel]. `padding` holds (lo, hi) for each spatial axis;
    negative ones crop. `lhs_dilations` spreads the input with zeros first, which makes the transpose of a
    strided convolution a convolution.
    """
    options = strides, padding, dilations, lhs_dilations, groups
    y, shape, steps = _windows(x.shape, w.shape, x.dtype.itemsize, *options)
    if not size(y):
        return np.zeros(y, x.dtype)
    batch, outs, kernel = x.shape[0], w.shape[0] // groups, size(w.shape[1:])
    if batch * size(y[2:]) * kernel * groups > FEW:
        found = _large(x, w, y, *options)
        if found is not None:
            return found
    padded = np.ascontiguousarray(_dilate_and_pad(x, padding, lhs_dilations))
    cols = np.ndarray(shape, padded.dtype, padded, 0, steps).reshape(
        groups, kernel, batch * size(y[2:])
    )
    out = np.matmul(w.reshape(groups, outs, kernel), cols)
    return out.reshape(groups, outs, batch, size(y[2:])).transpose(2, 0, 1, 3).reshape(y)


def _large(
    x: Array, w: Array, y: Ints, strides: Ints, padding: Pairs, dilations: Ints, lhs_dilations: Ints,
    groups: int,
) -> Array | None:  # fmt: skip
    """Convolve as large arrays are; None where strides and zeros between elements come together."""
    if all(e == 1 for e in lhs_dilations):
        return conv_numpy.convolve(x, w, y, strides, padding, dilations, groups)
    if all(s == 1 for s in strides):
        return conv_numpy.spread_out(x, w, y, padding, dilations, lhs_dilations, groups)
    return None


@functools.lru_cache(1024)
def _windows(
    x: Ints, w: Ints, width: int, strides: Ints, padding: Pairs, dilations: Ints, lhs_dilations: Ints,
    groups: int,
) -> tuple[Ints, Ints, Ints]:  # fmt: skip
    """Return the shape of a convolution, and shape and strides in bytes of its windows over the padded input.

    They are [groups, C / groups, *kernel, N, *out], for one product for each group.
    """
    y = _conv_shape(
        x, w, strides=strides, padding=padding, dilations=dilations, lhs_dilations=lhs_dilations,
        groups=groups,
    )  # fmt: skip
    full = tuple(
        dilated(n, e) + lo + hi
        for n, e, (lo, hi) in zip(x[2:], lhs_dilations, padding, strict=True)
    )
    batch, channel, *by = [width * step for step in row_major((*x[:2], *full))]
    counts = w[2:] + y[2:]
    jumps = [b * n for b, n in zip(by * 2, dilations + strides, strict=True)]
    # a huge step that is never taken is none
    jumps = [jump if n > 1 else 0 for jump, n in zip(jumps, counts, strict=True)]
    n = len(strides)
    shape = (groups, w[1], *counts[:n], x[0], *counts[n:])
    return y, shape, (w[1] * channel, channel, *jumps[:n], batch, *jumps[n:])


def _dilate_and_pad(x: Array, padding: Pairs, dilations: Ints) -> Array:
    spatial = x.shape[2:]
    if all(e == 1 for e in dilations) and not any(lo or hi for lo, hi in padding):
        return x
    full = tuple(dilated(n, e) for n, e in zip(spatial, dilations, strict=True))
    out = np.zeros(
        (
            *x.shape[:2],
            *(n + max(0, lo) + max(0, hi) for n, (lo, hi) in zip(full, padding, strict=True)),
        ),
        x.dtype,
    )
    at = (
        slice(max(0, lo), max(0, lo) + n, e)
        for n, (lo, _), e in zip(full, padding, dilations, strict=True)
    )
    out[(slice(None), slice(None), *at)] = x
    crop = (
        slice(max(0, -lo), n + max(0, lo) + max(0, hi) - max(0, -hi))
        for n, (lo, hi) in zip(full, padding, strict=True)
    )
    return out[(slice(None), slice(None), *crop)]


__all__ = ["conv", "dilated", "reach"]

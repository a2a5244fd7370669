"""Resizing and sampling of images.

Linear and cubic resizing reads the neighbours of each place, axis by axis; with antialiasing, where a place has
many, it is a product with a matrix of weights, made of comparisons of coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core.dtype import FLOAT, float32, promote, uint8
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError, warn
from tabgrad.core.kinks import kinked
from tabgrad.core.promotion import cast, needs_float, same_dtype, widened
from tabgrad.core.scalars import is_number
from tabgrad.core.shape import needs_rank, size
from tabgrad.core.trace import constant
from tabgrad.nn.functional.adaptive import adaptive_avg_pool
from tabgrad.ops.elementwise import (
    abs_,
    add,
    attached,
    copy,
    div,
    maximum,
    minimum,
    mul,
    sub,
    where,
)
from tabgrad.ops.indexing import cat, gather, iota
from tabgrad.ops.linalg import matmul
from tabgrad.ops.reduction import keep, reduce_sum
from tabgrad.ops.rounding import (
    bitwise_and,
    bitwise_or,
    eq,
    floor,
    ge,
    gt,
    isfinite,
    isnan,
    le,
    lt,
    ne,
    round_,
)
from tabgrad.ops.special import relu
from tabgrad.ops.view import expand, part, permute, reshape, spread
from tabgrad.tensor.chained import chained

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Dims, Ints

AXES = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2}
MODES = ("nearest", "nearest-exact", "area", *AXES)


def _sizes(
    x: Tensor, size_: Dims | None, scale_factor: float | Sequence[float] | None
) -> tuple[Ints, list[float | None]]:
    spatial = x.spec.shape[2:]
    n = len(spatial)
    if (size_ is None) == (scale_factor is None):
        raise ArgumentError("interpolate: expected either size or scale_factor")
    if size_ is not None:
        given = (size_,) * n if hasattr(size_, "__index__") else tuple(size_)
        if len(given) != n:
            raise ShapeError(
                f"interpolate: expected {n} sizes for an input {x.spec.shape}, got {given}"
            )
        return tuple(int(s) for s in given), [None] * n
    scale: Any = scale_factor
    factors: list[float] = [scale] * n if is_number(scale) else list(scale)
    if len(factors) != n:
        raise ShapeError(
            f"interpolate: expected {n} scale factors for an input {x.spec.shape}, got {tuple(factors)}"
        )
    out = tuple(math.floor(m * f) for m, f in zip(spatial, factors, strict=True))
    return out, [float(f) for f in factors]


@chained
@widened
def interpolate(
    input: Tensor, size: Dims | None = None, scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest", align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None, antialias: bool = False,
) -> Tensor:  # fmt: skip
    """Resize `input` [N, C, ...] to `size`, or by `scale_factor`, along its last axes.

    Modes: "nearest", "nearest-exact", "area", "linear" (one spatial axis), "bilinear" and "bicubic" (two),
    "trilinear" (three). `align_corners` lets the corners of input and output coincide; `antialias` widens the
    kernel where the image shrinks.
    """
    if input.spec.dtype is not uint8 or mode == "area":
        needs_float("interpolate", input)
    elif mode in AXES:
        raise DTypeError(
            f"interpolate: mode {mode!r} of uint8 images is not available; cast them with .float()"
        )
    if mode not in MODES:
        raise ArgumentError(f"interpolate: mode must be one of {', '.join(MODES)}, got {mode!r}")
    n = len(input.spec.shape) - 2
    if n < 1 or AXES.get(mode, n) != n:
        raise ShapeError(
            f"interpolate: mode {mode!r} needs an input of {AXES.get(mode, 1) + 2} dimensions, "
            f"got {input.spec.shape}"
        )
    if align_corners is not None and mode not in AXES:
        raise ArgumentError(f"interpolate: align_corners has no meaning for mode {mode!r}")
    sizes, factors = _sizes(input, size, scale_factor)
    if min(sizes) < 1:
        raise ArgumentError(
            "interpolate: Input and output sizes should be greater than 0, but got input "
            f"{input.spec.shape[2:]} and output {sizes}"
        )
    if recompute_scale_factor:
        factors = [None] * n
    if mode == "area":
        return adaptive_avg_pool("interpolate", n, input, sizes)
    given = input
    for i, (out, factor) in enumerate(zip(sizes, factors, strict=True)):
        axis, m = 2 + i, input.spec.shape[2 + i]
        ratio = m / out if factor is None else 1 / factor
        if mode in ("nearest", "nearest-exact"):
            input = _nearest(input, axis, out, ratio, mode == "nearest-exact")
        elif not antialias and (out != m or ratio != 1):
            input = _from_neighbours(
                input, axis, out, ratio, mode == "bicubic", bool(align_corners)
            )
        elif out != m or ratio != 1:
            input = _by_matrix(input, axis, out, ratio, mode == "bicubic", bool(align_corners))
    return copy.bind(input) if input is given else input


def _nearest(x: Tensor, axis: int, out: int, ratio: float, centered: bool) -> Tensor:
    shape = x.spec.shape
    m = shape[axis]
    if out % m == 0 and ratio == m / out:
        # a repetition is a view
        k = out // m
        wide = reshape.bind(x, shape=(*shape[: axis + 1], 1, *shape[axis + 1 :]))
        wide = expand.bind(wide, shape=(*shape[: axis + 1], k, *shape[axis + 1 :]))
        return reshape.bind(wide, shape=(*shape[:axis], out, *shape[axis + 1 :]))
    line = _line(out, (out,), x)
    place = floor(mul(add(line, 0.5) if centered else line, ratio))
    place = cast(minimum(place, m - 1), x.device.index_dtype)
    wide = reshape.bind(place, shape=tuple(out if i == axis else 1 for i in range(len(shape))))
    at = expand.bind(wide, shape=tuple(out if i == axis else n for i, n in enumerate(shape)))
    return gather.bind(x, at, axis=axis)


# -- weights ---------------------------------------------------------------------------------------


def _horner(d: Tensor, *coefficients: float) -> Tensor:
    y = add(mul(d, coefficients[0]), coefficients[1])
    for c in coefficients[2:]:
        y = add(mul(d, y), c)
    return y


def _near(d: Tensor, a: float) -> Tensor:
    """Compute the cubic convolution kernel (Keys 1981) at a distance `d` of 0 to 1."""
    return _horner(d, a + 2, -(a + 3), 0, 1)


def _far(d: Tensor, a: float) -> Tensor:
    """Compute the cubic convolution kernel at a distance `d` of 1 to 2."""
    return _horner(d, a, -5 * a, 8 * a, -4 * a)


def _cubic(d: Tensor, a: float) -> Tensor:
    """Compute the cubic convolution kernel at the distance `d`."""
    return where(le(d, 1), _near(d, a), where(lt(d, 2), _far(d, a), 0))


def _hat(d: Tensor) -> Tensor:
    return relu(sub(1, d))


def _line(n: int, shape: Ints, x: Tensor, start: int = 0) -> Tensor:
    """Count start, start + 1, ... as floats along the axis of `shape` that is not 1."""
    kind = promote(x.spec.dtype, float32)
    line = cast(iota(n, x.device.index_dtype, x.device), kind)
    line = reshape.bind(line, shape=shape)
    return add(line, start) if start else line


def _by_matrix(x: Tensor, axis: int, out: int, ratio: float, cubic: bool, corners: bool) -> Tensor:
    """Resize `x` by a kernel that is widened if the axis shrinks."""
    m, rank = x.spec.shape[axis], len(x.spec.shape)
    if corners:
        ratio = (m - 1) / (out - 1) if out > 1 else 0.0
    place = _line(out, (1, out), x)
    wide = max(ratio, 1.0)
    d = mul(abs_(sub(_line(m, (m, 1), x), add(mul(place, ratio), 0.5 * ratio - 0.5))), 1 / wide)
    w = _cubic(d, -0.5) if cubic else _hat(d)
    w = cast(div(w, keep(reduce_sum.bind(w, axes=(0,)), w, (0,))), x.spec.dtype)
    order = (*(i for i in range(rank) if i != axis), axis)
    rows = permute.bind(x, dims=order)
    lead = rows.spec.shape[:-1]
    y = _product(reshape.bind(rows, shape=(size(lead), m)), w)
    y = reshape.bind(y, shape=(*lead, out))
    return permute.bind(y, dims=tuple(order.index(i) for i in range(rank)))


def _product(x: Tensor, w: Tensor) -> Tensor:
    """Compute x @ w, leaving out weights of 0: plain products of 0 with inf or nan would give nan."""
    plain = isfinite(x)
    kind = x.spec.dtype

    def met(mask: Tensor, weights: Tensor) -> Tensor:
        return gt(matmul.bind(cast(mask, kind), cast(weights, kind)), 0)

    high, low = eq(x, math.inf), eq(x, -math.inf)
    above, below = gt(w, 0), lt(w, 0)
    up = bitwise_or(met(high, above), met(low, below))
    down = bitwise_or(met(low, above), met(high, below))
    bad = bitwise_or(met(isnan(x), ne(w, 0)), bitwise_and(up, down))
    y = matmul.bind(where(plain, x, 0), w)
    return where(bad, math.nan, where(up, math.inf, where(down, -math.inf, y)))


def _from_neighbours(
    x: Tensor, axis: int, out: int, ratio: float, cubic: bool, corners: bool
) -> Tensor:
    """Compute the weighted sum of the two (cubic: four) elements around each place along `axis`.

    This is no product with a matrix of weights: one infinite element would make all results nan.
    """
    shape = x.spec.shape
    m = shape[axis]
    if corners:
        ratio = (m - 1) / (out - 1) if out > 1 else 0.0
    line = _line(out, (out,), x)
    source = mul(line, ratio) if corners else add(mul(line, ratio), 0.5 * ratio - 0.5)
    if not cubic:
        source = maximum(source, 0)
    low = floor(source)
    total: Any = None
    for k in range(-1, 3) if cubic else range(2):
        at = add(low, k)
        d = abs_(sub(source, at))
        weight = cast(_cubic(d, -0.75) if cubic else _hat(d), x.spec.dtype)
        at = cast(minimum(maximum(at, 0), m - 1), x.device.index_dtype)
        wide = tuple(out if i == axis else n for i, n in enumerate(shape))
        others = tuple(i for i in range(len(shape)) if i != axis)
        at, weight = (spread.bind(t, shape=wide, axes=others) for t in (at, weight))
        term = mul(gather.bind(x, at, axis=axis), weight)
        total = term if total is None else add(total, term)
    return total


# -- sampling at given places ----------------------------------------------------------------------


@chained
@widened
def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Compute the places [N, ..., n] of the pixels of `size` under the maps `theta` [N, n, n + 1]."""
    if theta.spec.dtype.category < FLOAT:
        raise DTypeError(
            f"Expected theta to have floating point type, but got {theta.spec.dtype!r}"
        )
    n = len(size) - 2
    needs_rank("affine_grid", theta.spec.shape, 3)
    batch = theta.spec.shape[0]
    if theta.spec.shape != (size[0], n, n + 1):
        raise ShapeError(
            f"affine_grid: expected theta ({size[0]}, {n}, {n + 1}) for size {tuple(size)}, "
            f"got {theta.spec.shape}"
        )
    spatial = tuple(int(s) for s in size[2:])
    columns = []
    for i in reversed(range(n)):
        m = spatial[i]
        line = cast(iota(m, theta.device.index_dtype, theta.device), theta.spec.dtype)
        line = sub(mul(line, 2 / (m - 1) if m > 1 else 0.0), 1 if m > 1 else 0)
        line = line if align_corners else mul(line, (m - 1) / m)
        line = reshape.bind(line, shape=tuple(m if k == i else 1 for k in range(n)))
        columns.append(
            reshape.bind(expand.bind(line, shape=spatial), shape=(math.prod(spatial), 1))
        )
    columns.append(add(mul(columns[0], 0), 1))
    base = cat.bind(*columns, axis=1)
    base = expand.bind(base, shape=(batch, *base.spec.shape))
    y = matmul.bind(base, permute.bind(theta, dims=(0, 2, 1)))
    return reshape.bind(y, shape=(batch, *spatial, n))


def _unnormalized(g: Tensor, m: int, corners: bool) -> Tensor:
    return mul(add(g, 1), (m - 1) / 2) if corners else add(mul(g, m / 2), (m - 1) / 2)


def _reflected(p: Tensor, m: int, corners: bool) -> Tensor:
    low, span = (0.0, m - 1) if corners else (-0.5, m)
    if span == 0:
        return mul(p, 0)
    d = abs_(sub(p, low))
    turn = floor(mul(d, 1 / span))
    rest = sub(d, mul(turn, span))
    odd = eq(sub(turn, mul(floor(mul(turn, 0.5)), 2)), 1)
    return add(where(odd, sub(span, rest), rest), low)


def _padded(p: Tensor, m: int, padding: str, corners: bool) -> Tensor:
    """Move places beyond an axis of `m` elements to the places that are read instead."""
    if padding == "reflection":
        p = _reflected(p, m, corners)
    if padding == "zeros":
        return p
    # at the border the derivative is 0, and nan counts as the first place, as in PyTorch
    inner = bitwise_and(gt(p, 0), lt(p, m - 1))
    return where(inner, p, where(ge(p, m - 1), m - 1, 0))


@kinked
@chained
@widened(cpu=True)
def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:  # fmt: skip
    """Read `input` [N, C, ...] at the places `grid` [N, ..., n], which run from -1 to 1; x comes first.

    Modes "bilinear", "nearest" and for two axes "bicubic"; beyond the border "zeros", the "border" itself, or
    its "reflection".
    """
    same_dtype("grid_sample:", input, grid)
    n = len(input.spec.shape) - 2
    if n not in (2, 3) or grid.spec.shape[0] != input.spec.shape[0] or grid.spec.shape[-1] != n:
        raise ShapeError(
            f"grid_sample: expected a grid [N, ..., {n}] for an input {input.spec.shape}, got {grid.spec.shape}"
        )
    modes, paddings = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")
    if mode not in modes or padding_mode not in paddings:
        raise ArgumentError(
            f"grid_sample: expected a mode of {modes} and a padding_mode of {paddings}, got {mode!r} and "
            f"{padding_mode!r}"
        )
    if mode == "bicubic" and n != 2:
        raise ShapeError(
            "grid_sampler(): bicubic interpolation only supports 4D input; use mode='bilinear' for "
            f"{input.spec.shape}"
        )
    batch, spatial, out = input.spec.shape[0], input.spec.shape[2:], grid.spec.shape[1:-1]
    flat = reshape.bind(grid, shape=(batch, size(out), n))
    places = []
    for i, m in enumerate(spatial):
        p = reshape.bind(part(flat, 2, n - 1 - i, n - i), shape=(batch, size(out)))
        p = _unnormalized(p, m, bool(align_corners))
        places.append(p if mode == "bicubic" else _padded(p, m, padding_mode, bool(align_corners)))
    if mode == "bicubic":
        y = _cubically(input, places, padding_mode, bool(align_corners))
    else:
        y = _sampled(input, places, spatial, mode == "nearest")
        if mode == "nearest":
            y = attached(y, reshape.bind(places[0], shape=(batch, 1, size(out))))
    return reshape.bind(y, shape=(*input.spec.shape[:2], *out))


def _sampled(x: Tensor, places: list[Any], spatial: Ints, nearest: bool) -> Tensor:
    """Compute the weighted sum of the elements around `places`: [N, C, L]."""
    lows = [round_(p) if nearest else floor(p) for p in places]
    total: Any = None
    for corner in range(1 if nearest else 2 ** len(spatial)):
        index: Any = None
        weight: Any = None
        there: Any = None
        for i, m in enumerate(spatial):
            up = corner >> i & 1
            at = add(lows[i], 1) if up else lows[i]
            inside = bitwise_and(ge(at, 0), le(at, m - 1))
            if nearest:
                share = constant(1, at.spec, at.device)
            else:
                # not by the distance, which has a kink if a place is exactly an element
                share = sub(places[i], lows[i]) if up else sub(add(lows[i], 1), places[i])
            outside: Any = 0
            if len(spatial) == 2 and not nearest:
                # in two dims PyTorch gives nan for a place that is not finite, in three dims it does not
                outside = mul(places[i], where(isfinite(at), 0, math.nan))
            share = where(inside, share, outside)
            weight = share if weight is None else mul(weight, share)
            there = inside if there is None else bitwise_and(there, inside)
            safe = cast(where(inside, at, 0), x.device.index_dtype)
            index = safe if index is None else add(mul(index, m), safe)
        term = _rows(x, index, weight, there)
        total = term if total is None else add(total, term)
    return total


def _rows(x: Tensor, index: Tensor, weight: Tensor, there: Tensor) -> Tensor:
    batch, channels = x.spec.shape[:2]
    wide = (batch, channels, index.spec.shape[1])
    rows = reshape.bind(x, shape=(batch, channels, size(x.spec.shape[2:])))
    at, share, inside = (
        expand.bind(reshape.bind(t, shape=(batch, 1, wide[2])), shape=wide)
        for t in (index, weight, there)
    )
    # the element read in place of one outside may be infinite
    return mul(where(inside, gather.bind(rows, at, axis=2), 0), share)


def _cubically(x: Tensor, places: list[Any], padding: str, corners: bool) -> Tensor:
    """Compute the sum of four times four elements around `places`, weighted by cubic convolution: [N, C, L]."""
    axes = []
    for p, m in zip(places, x.spec.shape[2:], strict=True):
        low = floor(p)
        t = sub(p, low)
        shares = (
            _far(add(t, 1), -0.75), _near(t, -0.75), _near(sub(1, t), -0.75), _far(sub(2, t), -0.75),
        )  # fmt: skip
        line = []
        for k, share in enumerate(shares, -1):
            at = _padded(add(low, k) if k else low, m, padding, corners)
            inside = bitwise_and(ge(at, 0), le(at, m - 1))
            # places are whole numbers: rounding removes the error that a reflection has added
            safe = cast(round_(where(inside, at, 0)), x.device.index_dtype)
            line.append((safe, share, inside))
        axes.append(line)
    total: Any = None
    for row, down, here in axes[0]:
        for column, across, there in axes[1]:
            index = add(mul(row, x.spec.shape[3]), column)
            term = _rows(x, index, mul(down, across), bitwise_and(here, there))
            total = term if total is None else add(total, term)
    return total


def upsample(
    input: Tensor, size: Dims | None = None, scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest", align_corners: bool | None = None,
) -> Tensor:  # fmt: skip
    """Resize as `interpolate` does, by an old name: a UserWarning says so."""
    warn(
        "`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.",
        UserWarning,
    )
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: Tensor, size: Dims | None = None, scale_factor: float | Sequence[float] | None = None
) -> Tensor:
    """Resize as `interpolate` does with mode "nearest", by an old name: a UserWarning says so."""
    warn(
        "`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` instead.",
        UserWarning,
    )
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(
    input: Tensor, size: Dims | None = None, scale_factor: float | Sequence[float] | None = None
) -> Tensor:
    """Resize as `interpolate` does with aligned corners, by an old name: a UserWarning says so."""
    warn(
        "`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` instead.",
        UserWarning,
    )
    return interpolate(input, size, scale_factor, "bilinear", True)


__all__ = [
    "affine_grid", "grid_sample", "interpolate", "upsample", "upsample_bilinear", "upsample_nearest",
]  # fmt: skip

"""Padding: with a constant, by reflection, by repeating the edge, and circular."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, ShapeError
from tabgrad.core.kinks import kinked
from tabgrad.core.promotion import refuse_bool
from tabgrad.core.scalars import fits
from tabgrad.core.spec import spec
from tabgrad.core.tensor_arguments import of_tensors
from tabgrad.core.trace import constant
from tabgrad.ops.elementwise import copy, where
from tabgrad.ops.indexing import cat
from tabgrad.ops.view import expand, flip, pad as pad_zeros, part
from tabgrad.tensor.chained import chained

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor

Pairs = tuple[tuple[int, int], ...]


def pad_constant(x: Tensor, pairs: Pairs, value: complex = 0) -> Tensor:
    """Put (lo, hi) elements of `value` around each axis of `x`; negative numbers crop."""
    if not any(lo or hi for lo, hi in pairs):
        return x
    low, high = tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)
    none = (0,) * len(pairs)
    y = pad_zeros.bind(x, low=low, high=high, interior=none)
    parts = (value.real, value.imag) if isinstance(value, complex) else (value,)
    zero = not value and all(math.copysign(1.0, part) > 0 for part in parts)
    if zero or not any(lo > 0 or hi > 0 for lo, hi in pairs):
        return y
    inside = constant(True, spec(x.spec.shape, dt.bool_), x.device)
    return where(pad_zeros.bind(inside, low=low, high=high, interior=none), y, value)


def _edge(x: Tensor, axis: int, lo: int, hi: int) -> Tensor:
    n, shape = x.spec.shape[axis], x.spec.shape

    def repeated(start: int, count: int) -> Tensor:
        wide = tuple(count if i == axis else m for i, m in enumerate(shape))
        return expand.bind(part(x, axis, start, start + 1), shape=wide)

    pieces = [repeated(0, lo)] if lo else []
    pieces.append(x)
    if hi:
        pieces.append(repeated(n - 1, hi))
    return cat.bind(*pieces, axis=axis)


def _mirror(x: Tensor, axis: int, lo: int, hi: int) -> Tensor:
    n = x.spec.shape[axis]
    if lo >= n or hi >= n:
        raise ShapeError(
            f"pad: reflection of ({lo}, {hi}) needs more than {max(lo, hi)} elements in dim {axis}, "
            f"got {x.spec.shape}"
        )
    pieces = [x]
    if lo:
        pieces.insert(0, flip.bind(part(x, axis, 1, lo + 1), axes=(axis,)))
    if hi:
        pieces.append(flip.bind(part(x, axis, n - 1 - hi, n - 1), axes=(axis,)))
    return cat.bind(*pieces, axis=axis)


def _around(x: Tensor, axis: int, lo: int, hi: int) -> Tensor:
    n = x.spec.shape[axis]
    if lo > n or hi > n:
        raise ShapeError(
            f"pad: circular padding of ({lo}, {hi}) may be at most the size {n} of dim {axis}, "
            f"got {x.spec.shape}"
        )
    pieces = [x]
    if lo:
        pieces.insert(0, part(x, axis, n - lo, n))
    if hi:
        pieces.append(part(x, axis, 0, hi))
    return cat.bind(*pieces, axis=axis)


_MODES = {"reflect": _mirror, "replicate": _edge, "circular": _around}


@of_tensors
@chained
def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Pad `input`: `pad` holds (before, after) for the last dim, then for the one before it, ...

    Modes: "constant" (with `value`, 0 if None; negative sizes crop), "reflect", "replicate", "circular".

    >>> import tabgrad as tg
    >>> tg.nn.functional.pad(tg.tensor([1.0, 2.0], device="cpu"), (1, 2), value=9.0)
    tensor([9., 1., 2., 9., 9.])
    """
    rank = len(input.spec.shape)
    if not hasattr(pad, "__iter__"):
        raise TypeError(f"pad(): argument 'pad' must be tuple of ints, not {type(pad).__name__}")
    sizes = [int(n) for n in pad]
    if len(sizes) % 2 or len(sizes) > 2 * rank:
        raise ShapeError(
            f"pad: expected an even number of sizes, at most {2 * rank} for {input.spec.shape}, "
            f"got {tuple(pad)}"
        )
    pairs = [(0, 0)] * rank
    for k in range(0, len(sizes), 2):
        pairs[rank - 1 - k // 2] = (sizes[k], sizes[k + 1])
    for n, (lo, hi) in zip(input.spec.shape, pairs, strict=True):
        if n + lo + hi < 0:
            raise ShapeError(f"pad: {tuple(pad)} crops more than there is of {input.spec.shape}")
    if not any(sizes):
        return copy.bind(input)
    if mode in ("reflect", "replicate"):
        refuse_bool(f"{'reflection' if mode == 'reflect' else 'replication'}_pad", input)
    if mode == "constant":
        fill = 0 if value is None else fits("pad", value, input.spec.dtype)
        return pad_constant(input, tuple(pairs), fill)
    if mode not in _MODES:
        raise ArgumentError(f"pad: mode must be constant, {', '.join(_MODES)}; got {mode!r}")
    lasts = len(sizes) // 2
    if lasts > 3 or rank not in (lasts + 1, lasts + 2):
        raise ArgumentError(
            f"pad: mode {mode!r} with {len(sizes)} sizes is not for {rank} dims; it pads up to 3 dims, with 1 "
            "or 2 more in front"
        )
    if value is not None and value != 0:
        raise ArgumentError(f"pad: mode {mode!r} takes no value")
    return _by_mode(input, pairs, mode) if mode == "circular" else _hanging(input, pairs, mode)


def _by_mode(input: Tensor, pairs: list[tuple[int, int]], mode: str) -> Tensor:
    for axis, (lo, hi) in enumerate(pairs):
        crop = (max(-lo, 0), max(-hi, 0))
        if mode == "circular" and any(crop):
            input = part(input, axis, crop[0], input.spec.shape[axis] - crop[1])
        if lo > 0 or hi > 0:
            input = _MODES[mode](input, axis, max(lo, 0), max(hi, 0))
        if mode != "circular" and any(crop):
            # cropped last, so that edges and reflections are those of the whole input
            input = part(input, axis, crop[0], input.spec.shape[axis] - crop[1])
    return input


_hanging = kinked(_by_mode)


__all__ = ["pad"]

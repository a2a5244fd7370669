"""Writing through views: the new value of a base when a part of it, which steps show, is replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabgrad.core.dtype import bool_
from tabgrad.core.errors import ShapeError
from tabgrad.core.op import Op
from tabgrad.core.spec import Params, spec
from tabgrad.core.trace import bind, constant
from tabgrad.ops.bits import bitcast
from tabgrad.ops.elementwise import conj, where
from tabgrad.ops.indexing import cat, iota, scatter
from tabgrad.ops.strided import strided
from tabgrad.ops.view import expand, pad, permute, reshape, rewindow, slice_

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Ints

Step = tuple[Op, Params]


def write_through(base: Tensor, steps: tuple[Step, ...], new: Tensor) -> Tensor:
    """Return `base` with the part that `steps` show replaced by `new`."""
    if not new.spec.size:
        return base
    if any(op in _REPEATING for op, _ in steps):
        return _write_places(base, *_of_places(base, steps, new))
    values = [base]
    for op, params in steps[:-1]:
        values.append(bind(op, (values[-1],), params))
    for (op, params), x in zip(reversed(steps), reversed(values), strict=True):
        new = (_WRITERS.get(op) or op.writes)(x, new, **params)  # type: ignore[attr-defined]
    return new


_REPEATING: tuple[Any, ...] = (expand, rewindow, strided)
"""Steps that can show an element in many places, of which later steps may choose one."""


def _write_places(base: Tensor, steps: tuple[Step, ...], new: Tensor) -> Tensor:
    """Write each element of `new` to the place in `base` that the same steps lead to from there."""
    size = base.spec.size
    at = reshape.bind(iota(size, base.device.index_dtype, base.device), shape=base.spec.shape)
    for op, params in steps:
        at = bind(op, (at,), params)
    line, index, source = (
        reshape.bind(y, shape=(n,))
        for y, n in ((base, size), (at, at.spec.size), (new, at.spec.size))
    )
    return reshape.bind(scatter.bind(line, index, source, axis=0), shape=base.spec.shape)


def _of_places(
    base: Tensor, steps: tuple[Step, ...], new: Tensor
) -> tuple[tuple[Step, ...], Tensor]:
    """Return steps that only move elements, and what is written in the dtype of `base`."""
    if any(op is conj for op, _ in steps) and new.spec.dtype is base.spec.dtype:
        # conjugation and moves can change places
        odd = sum(op is conj for op, _ in steps) % 2
        return _of_places(
            base, tuple(s for s in steps if s[0] is not conj), conj.bind(new) if odd else new
        )
    if all(op is not bitcast for op, _ in steps):
        if any(hasattr(op, "writes") or op is conj for op, _ in steps):
            raise ShapeError(
                "the parts of complex numbers that may lie at one place can't be written to; clone() them first"
            )
        return steps, new
    if new.spec.dtype.itemsize != base.spec.dtype.itemsize:
        raise ShapeError(
            f"a view as {new.spec.dtype!r} of elements of {base.spec.dtype!r} that may lie at one place can't "
            "be written to; clone() it first, or view the whole memory as that dtype"
        )
    moves = tuple((op, params) for op, params in steps if op is not bitcast)
    return moves, bitcast.bind(new, dtype=base.spec.dtype)


def _unpermute(x: Tensor, new: Tensor, *, dims: Ints) -> Tensor:
    order = [0] * len(dims)
    for i, d in enumerate(dims):
        order[d] = i
    return permute.bind(new, dims=tuple(order))


def _write_slice(x: Tensor, new: Tensor, *, starts: Ints, stops: Ints, steps: Ints) -> Tensor:
    shape = x.spec.shape
    if not new.spec.size:
        return x
    partial = [
        k
        for k, n in enumerate(shape)
        if not (starts[k] == 0 and steps[k] == 1 and new.spec.shape[k] == n)
    ]
    if not partial:
        return new
    if len(partial) == 1 and steps[partial[0]] == 1:
        return _splice(x, new, partial[0], starts[partial[0]])
    last = tuple(a + (n - 1) * s for a, n, s in zip(starts, new.spec.shape, steps, strict=True))
    high = tuple(n - 1 - e for n, e in zip(shape, last, strict=True))
    where_to = {"low": starts, "high": high, "interior": tuple(s - 1 for s in steps)}
    yes = constant(True, spec(new.spec.shape, bool_), new.device)
    return where(pad.bind(yes, **where_to), pad.bind(new, **where_to), x)


def _splice(x: Tensor, new: Tensor, axis: int, start: int) -> Tensor:
    n = x.spec.shape[axis]
    stop = start + new.spec.shape[axis]
    parts = [new]
    if start:
        parts.insert(0, _band(x, axis, 0, start))
    if stop < n:
        parts.append(_band(x, axis, stop, n))
    return cat.bind(*parts, axis=axis)


def _band(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    shape = x.spec.shape
    starts = tuple(start if k == axis else 0 for k in range(len(shape)))
    stops = tuple(stop if k == axis else n for k, n in enumerate(shape))
    return slice_.bind(x, starts=starts, stops=stops, steps=(1,) * len(shape))


_WRITERS: dict[Any, Any] = {
    bitcast: lambda x, new, dtype: bitcast.bind(new, dtype=x.spec.dtype),
    conj: lambda x, new: conj.bind(new),
    reshape: lambda x, new, shape: reshape.bind(new, shape=x.spec.shape),
    permute: _unpermute,
    slice_: _write_slice,
}

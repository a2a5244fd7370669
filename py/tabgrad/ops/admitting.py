"""Checks of ops that come from outside, for example from a file: everything about them is verified.

The rules of ops assume that callers have made shapes, dtypes and parameters fit. `admitted` checks first
that they do, so that every op it admits runs on every device.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError
from tabgrad.core.op import Ints, Op
from tabgrad.core.several import Several
from tabgrad.core.shape import MOST_AXES, MOST_BYTES, size
from tabgrad.core.spec import Spec, intern_params

LETTERS = "bifc"
"""The letter of each category of dtypes in an op's `kinds`; unsigned integers have the letter u."""


def admitted(op: Op, specs: Sequence[Spec], params: dict[str, Any]) -> Spec:
    """Check the operands and parameters of an op, and return the Spec of its result.

    Raises ArgumentError, or an error of the op's own rules, for operands that the op can't be applied to.
    """
    need(
        not isinstance(op, Several),
        f"a program has the parts of an op with several results, as {op.name}.0",
    )
    count = len(op.operands)
    need(
        len(specs) == count or (op.variadic and len(specs) >= 1),
        f"expected {'at least 1' if op.variadic else count} operands, got {len(specs)}",
    )
    _parameters(op, params)
    for rule in (FAMILIES.get(op.family), RULES.get(op.name)):
        if rule is not None:
            rule(op, *specs, **params)
    found = op.infer(tuple(specs), intern_params(params))
    possible(found)
    return found


def need(holds: bool, message: str) -> None:
    """Raise ArgumentError with the message if something does not hold."""
    if not holds:
        raise ArgumentError(message)


def possible(s: Spec) -> None:
    """Raise ArgumentError for a shape that no tensor has."""
    need(len(s.shape) <= MOST_AXES, f"{len(s.shape)} axes; there can be {MOST_AXES}")
    need(all(n >= 0 for n in s.shape), f"sizes can't be negative: {s.shape}")
    whole = s.dtype.itemsize * size(tuple(max(n, 1) for n in s.shape))
    need(whole < MOST_BYTES, f"the shape {_short(s.shape)} is too large")


# -- parameters ------------------------------------------------------------------------------------


@functools.cache
def _hints(op: Op) -> dict[str, tuple[Any, bool]]:
    """Find the type of each parameter, and whether it may be left out."""
    types_ = typing.get_type_hints(op.fn)
    return {
        p.name: (types_.get(p.name, Any), p.default is not p.empty)
        for p in inspect.signature(op.fn).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    }


def _parameters(op: Op, params: dict[str, Any]) -> None:
    """Raise ArgumentError if a parameter is missing, unknown, or not of its type."""
    hints = _hints(op)
    for name in params:
        need(name in hints, f"there is no parameter {_short(name)}")
    for name, (hint, optional) in hints.items():
        need(name in params or optional, f"the parameter {name} is missing")
        if name in params:
            value = params[name]
            need(_conforms(value, hint), f"{name} can't be {_short(value)}")


def _conforms(value: Any, hint: Any) -> bool:
    """Test whether a value has the type that an op's signature gives the parameter."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return isinstance(value, int | float | str | dt.DType | None)
    if origin in (typing.Union, types.UnionType):
        return any(_conforms(value, h) for h in inner)
    if origin is typing.Literal:
        return any(value is x or (type(value) is str and value == x) for x in inner)
    if origin is tuple:
        if type(value) is not tuple:
            return False
        if inner[-1] is ...:
            return all(_conforms(v, inner[0]) for v in value)
        return len(value) == len(inner) and all(map(_conforms, value, inner))
    if hint is int:
        return type(value) is int and -MOST_BYTES <= value < MOST_BYTES
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint


def _short(value: Any) -> str:
    text = f"{type(value).__name__}" if isinstance(value, int) and abs(value) >> 64 else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


# -- families --------------------------------------------------------------------------------------


def _letter(dtype: dt.DType) -> str:
    return "u" if dtype.category == dt.INT and not dtype.signed else LETTERS[dtype.category]


def _computes(op: Op, dtype: dt.DType) -> None:
    """Raise ArgumentError if the op is not defined for this dtype."""
    kinds = op.kinds  # type: ignore[attr-defined]
    need(_letter(dtype) in kinds, f"is not for {dtype!r}")


def _one_dtype(specs: Sequence[Spec]) -> None:
    need(all(s.dtype is specs[0].dtype for s in specs), f"operands of several dtypes, {specs}")


def _elementwise(op: Any, *specs: Spec, **params: Any) -> None:
    if op.name == "where":
        need(specs[0].dtype is dt.bool_, f"the condition must be bool, got {specs[0]}")
        specs = specs[1:]
    _one_dtype(specs)
    if op.name not in ("cast", "bitcast"):
        dtype = specs[0].dtype
        _computes(op, dtype)
        need(
            op.integers == "same" or dtype.is_differentiable,
            f"is not for the integers of {dtype!r}",
        )


def _axes(axes: Ints, rank: int) -> None:
    need(
        all(0 <= a < rank for a in axes) and len({*axes}) == len(axes),
        f"axes {_short(axes)} of {rank}",
    )


def _reduction(op: Any, x: Spec, *, axes: Ints, dtype: Any = None, **_: Any) -> None:
    _axes(axes, len(x.shape))
    need(list(axes) == sorted(axes), f"axes {axes} must ascend")
    _computes(op, x.dtype)
    if op.result == "index" or op.name == "first_max":
        need(len(axes) == 1, f"expected one axis, got {axes}")
    _integer(dtype)
    if op.kind not in ("sum", "prod", "any", "all"):
        rest = size(tuple(n for i, n in enumerate(x.shape) if i not in axes))
        full = not rest or all(x.shape[a] for a in axes)
        need(full, f"nothing has no {op.kind}: {x.shape} over axes {axes}")


def _integer(dtype: Any) -> None:
    need(dtype is None or dtype.category == dt.INT, f"an index can't be of {dtype!r}")


def _bilinear(op: Any, x: Spec, y: Spec, **_: Any) -> None:
    _one_dtype((x, y))
    _computes(op, x.dtype)
    need(len(x.shape) == len(y.shape) >= 2, f"operands of {len(x.shape)} and {len(y.shape)} axes")


FAMILIES: dict[str, Callable[..., None]] = {
    "elementwise": _elementwise, "reduction": _reduction, "bilinear": _bilinear,
}  # fmt: skip
"""The checks of operands by family."""


# -- ops -------------------------------------------------------------------------------------------


def _each(n: int, least: int | None = None, **given: Sequence[Any]) -> None:
    """Raise ArgumentError unless a parameter has one entry, at least `least`, for each of `n` axes."""
    for name, values in given.items():
        need(len(values) == n, f"{name} {_short(values)} for {n} axes")
        if least is not None:
            need(all(v >= least for v in values), f"{name} {_short(values)}: from {least} on")


def _reshape(_op: Op, x: Spec, *, shape: Ints) -> None:
    _each(len(shape), 0, shape=shape)
    need(size(shape) == x.size, f"{x.shape} has {x.size} elements, {_short(shape)} {size(shape)}")


def _permute(_op: Op, x: Spec, *, dims: Ints) -> None:
    need(sorted(dims) == [*range(len(x.shape))], f"dims {_short(dims)} of {x.shape}")


def _expand(_op: Op, x: Spec, *, shape: Ints) -> None:
    tail = shape[len(shape) - len(x.shape) :] if len(shape) >= len(x.shape) else ()
    fits = len(tail) == len(x.shape) and all(
        n in (1, m) for n, m in zip(x.shape, tail, strict=True)
    )
    need(fits, f"{x.shape} does not broadcast to {_short(shape)}")


def _spread(_op: Op, x: Spec, *, shape: Ints, axes: Ints) -> None:
    _axes(axes, len(shape))
    kept = tuple(n for i, n in enumerate(shape) if i not in axes)
    need(kept == x.shape, f"{x.shape} is not {_short(shape)} without axes {axes}")


def _slice(_op: Op, x: Spec, *, starts: Ints, stops: Ints, steps: Ints) -> None:
    n = len(x.shape)
    _each(n, 0, starts=starts, stops=stops)
    _each(n, 1, steps=steps)
    inside = all(a <= m and b <= m for a, b, m in zip(starts, stops, x.shape, strict=True))
    need(inside, f"starts {_short(starts)}, stops {_short(stops)} of {x.shape}")


def _flip(_op: Op, x: Spec, *, axes: Ints) -> None:
    _axes(axes, len(x.shape))


def _pad(_op: Op, x: Spec, *, low: Ints, high: Ints, interior: Ints) -> None:
    _each(len(x.shape), None, low=low, high=high)
    _each(len(x.shape), 0, interior=interior)


def _rewindow(_op: Op, x: Spec, *, sizes: Ints, strides: Ints, dilations: Ints) -> None:
    n, rank = len(sizes), len(x.shape)
    need(1 <= n and 2 * n <= rank, f"{n} windows of {x.shape}")
    _each(n, 1, strides=strides, dilations=dilations)
    need(x.shape[rank - n :] == sizes, f"sizes {_short(sizes)} of {x.shape}")
    for m, k, d in zip(x.shape[rank - 2 * n :], sizes, dilations, strict=False):
        need((k - 1) * d < max(m, 1), f"windows of {k}, dilated by {d}, over {m}")


def _unwindow(_op: Op, x: Spec, *, spatial: Ints, strides: Ints, dilations: Ints) -> None:
    n, rank = len(spatial), len(x.shape)
    need(1 <= n and 2 * n <= rank, f"{n} windows of {x.shape}")
    _each(n, 0, spatial=spatial)
    _each(n, 1, strides=strides, dilations=dilations)
    counts, kernel = x.shape[rank - 2 * n : rank - n], x.shape[rank - n :]
    for m, c, k, s, d in zip(spatial, counts, kernel, strides, dilations, strict=True):
        need(
            not c or not k or (c - 1) * s + (k - 1) * d < m,
            f"{c} windows of {k}, each {s} further and dilated by {d}, over {m}",
        )


def _strided(_op: Op, x: Spec, *, sizes: Ints, strides: Ints, offset: int) -> None:
    need(len(x.shape) >= 1, "a tensor without axes has no places")
    _each(len(sizes), 0, sizes=sizes)
    _each(len(sizes), None, strides=strides)
    if all(sizes):
        moves = [(n - 1) * s for n, s in zip(sizes, strides, strict=True)]
        first = offset + sum(m for m in moves if m < 0)
        last = offset + sum(m for m in moves if m > 0)
        need(0 <= first and last < x.shape[-1], f"places {first} to {last} of {x.shape[-1]}")


def _bitcast(_op: Op, x: Spec, *, dtype: dt.DType) -> None:
    if dtype.itemsize != x.dtype.itemsize:
        fits = len(x.shape) >= 1 and x.shape[-1] * x.dtype.itemsize % dtype.itemsize == 0
        need(fits, f"the bytes of {x} make no whole {dtype!r}")


def _checked(_op: Op, index: Spec, *, size: int, **_: Any) -> None:
    need(size >= 0, f"size {size}")


def _conv(
    _op: Op, x: Spec, w: Spec, *, strides: Ints, padding: Any, dilations: Ints, lhs_dilations: Ints,
    groups: int,
) -> None:  # fmt: skip
    n = len(x.shape) - 2
    need(1 <= n <= MOST_AXES // 2 - 2, f"{n} spatial axes")
    _each(n, 1, strides=strides, dilations=dilations, lhs_dilations=lhs_dilations)
    _each(n, 1, kernel=w.shape[2:])
    _each(n, None, padding=padding)
    need(groups >= 1, f"groups {groups}")


def _counting(_op: Op, _like: Spec, *, size: int, dtype: dt.DType) -> None:
    need(size >= 0, f"size {size}")
    need(dtype is not dt.bool_, f"can't count in {dtype!r}")


def _along(_op: Op, *specs: Spec, axis: int, dtype: Any = None, **_: Any) -> None:
    """Check an op along one axis of operands with the same number of axes."""
    rank = len(specs[0].shape)
    need(0 <= axis < rank, f"axis {axis} of {rank}")
    need(all(len(s.shape) == rank for s in specs), f"operands of several ranks, {specs}")
    _integer(dtype)


def _placed(op: Op, x: Spec, index: Spec, *src: Spec, axis: int) -> None:
    _along(op, x, index, *src, axis=axis)
    _integer(index.dtype)


def _scan(op: Op, *specs: Spec, axis: int, **params: Any) -> None:
    _along(op, *specs, axis=axis)
    need(all(s.shape == specs[0].shape for s in specs), f"operands of several shapes, {specs}")
    _one_dtype(specs)
    if op.name == "logcumsumexp":
        need(specs[0].dtype.category >= dt.FLOAT, f"is not for {specs[0].dtype!r}")


def _ordered(op: Op, x: Spec, *, axis: int, dtype: dt.DType, **_: Any) -> None:
    _along(op, x, axis=axis, dtype=dtype)
    need(not x.dtype.is_complex, f"{x.dtype!r} has no order")


def _random_bits(_op: Op, *keys: Spec, shape: Ints) -> None:
    need(
        all(k.dtype is dt.uint32 and not k.shape for k in keys),
        f"keys are uint32 numbers, got {keys}",
    )
    _each(len(shape), 0, shape=shape)


RULES: dict[str, Callable[..., None]] = {
    "reshape": _reshape, "permute": _permute, "expand": _expand, "spread": _spread,
    "slice": _slice, "flip": _flip, "pad": _pad, "rewindow": _rewindow, "unwindow": _unwindow,
    "strided": _strided, "bitcast": _bitcast, "checked": _checked, "conv": _conv,
    "counting": _counting, "cat": _along, "gather": _placed, "scatter": _placed,
    "scatter_add": _placed, "cumsum": _scan, "linear_scan": _scan, "logcumsumexp": _scan,
    "running_extreme": _ordered, "argsort": _ordered, "random_bits": _random_bits,
}  # fmt: skip
"""Further checks of single ops."""

__all__ = ["admitted", "possible"]

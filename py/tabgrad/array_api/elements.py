"""Functions of each element, by the standard's names."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad import (
    abs as abs,
    acos as acos,
    acosh as acosh,
    add as add,
    asin as asin,
    asinh as asinh,
    atan as atan,
    atan2 as atan2,
    atanh as atanh,
    bitwise_and as bitwise_and,
    bitwise_left_shift as bitwise_left_shift,
    bitwise_not as bitwise_invert,
    bitwise_or as bitwise_or,
    bitwise_right_shift as bitwise_right_shift,
    bitwise_xor as bitwise_xor,
    copysign as copysign,
    cos as cos,
    cosh as cosh,
    div as divide,
    eq as equal,
    exp as exp,
    expm1 as expm1,
    floor_divide as floor_divide,
    ge as greater_equal,
    gt as greater,
    hypot as hypot,
    isfinite as isfinite,
    isinf as isinf,
    isnan as isnan,
    le as less_equal,
    log as log,
    log1p as log1p,
    log2 as log2,
    log10 as log10,
    logaddexp as logaddexp,
    logical_and as logical_and,
    logical_not as logical_not,
    logical_or as logical_or,
    logical_xor as logical_xor,
    lt as less,
    maximum as maximum,
    minimum as minimum,
    mul as multiply,
    ne as not_equal,
    neg as negative,
    nextafter as nextafter,
    positive as positive,
    pow as pow,
    reciprocal as reciprocal,
    remainder as remainder,
    sgn as sign,
    signbit as signbit,
    sin as sin,
    sinh as sinh,
    sqrt as sqrt,
    square as square,
    sub as subtract,
    tan as tan,
    tanh as tanh,
)  # fmt: skip

Tensor = tg.Tensor


def _whole(x: Tensor) -> bool:
    return not (x.is_floating_point() or x.is_complex())


def ceil(x: Tensor, /) -> Tensor:
    """Round up; integers stay."""
    return x if _whole(x) else tg.ceil(x)


def floor(x: Tensor, /) -> Tensor:
    """Round down; integers stay."""
    return x if _whole(x) else tg.floor(x)


def trunc(x: Tensor, /) -> Tensor:
    """Round towards zero; integers stay."""
    return x if _whole(x) else tg.trunc(x)


def round(x: Tensor, /) -> Tensor:
    """Round to the nearest integer, halves to the even one; integers stay."""
    if x.is_complex():
        return tg.complex(tg.round(x.real), tg.round(x.imag))
    return x if _whole(x) else tg.round(x)


def conj(x: Tensor, /) -> Tensor:
    """Return the complex conjugates; real numbers stay."""
    return tg.conj(x).resolve_conj()


def real(x: Tensor, /) -> Tensor:
    """Return the real parts."""
    return x.real


def imag(x: Tensor, /) -> Tensor:
    """Return the imaginary parts, of real numbers zeros."""
    return x.imag if x.is_complex() else tg.zeros_like(x)


def clip(x: Tensor, /, min: Any = None, max: Any = None) -> Tensor:
    """Return the elements no smaller than `min` and no larger than `max`, in the dtype of `x`."""
    if min is None and max is None:
        return tg.clone(x)
    sides = [s for s in (min, max) if isinstance(s, Tensor)]
    shape = tg.broadcast_shapes(x.shape, *[s.shape for s in sides])
    found = x.expand(shape)
    if min is not None:
        found = tg.maximum(found, _like(min, found))
    if max is not None:
        found = tg.minimum(found, _like(max, found))
    return found


def _like(side: Any, x: Tensor) -> Tensor:
    made = side if isinstance(side, Tensor) else tg.tensor(side, device=x.device)
    return made.to(x.dtype)


__all__ = [
    "abs",
    "acos",
    "acosh",
    "add",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "ceil",
    "clip",
    "conj",
    "copysign",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "expm1",
    "floor",
    "floor_divide",
    "greater",
    "greater_equal",
    "hypot",
    "imag",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "nextafter",
    "not_equal",
    "positive",
    "pow",
    "real",
    "reciprocal",
    "remainder",
    "round",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "trunc",
]  # fmt: skip

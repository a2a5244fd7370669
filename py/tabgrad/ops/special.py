"""Special functions and activations, element by element."""

from __future__ import annotations

import math
from typing import Any

from tabgrad.core.families import elementwise
from tabgrad.core.numpy import np
from tabgrad.ops.elementwise import exp, mul, where
from tabgrad.ops.rounding import gt

Operand = Any
Array = Any


@elementwise(code="erf_f32({x})", derivative=lambda x, _y: exp(-(x * x)) * (2 / math.sqrt(math.pi)), kinds="f")
def erf(x: Operand) -> Array:
    """Return the error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    return np.vectorize(math.erf, otypes=[x.dtype])(x)


@elementwise(code="erfc_f32({x})", derivative=lambda x, _y: exp(-(x * x)) * (-2 / math.sqrt(math.pi)), kinds="f")
def erfc(x: Operand) -> Array:
    """Return 1 - erf(x), accurate for large x."""
    return np.vectorize(math.erfc, otypes=[x.dtype])(x)


@elementwise(code="sigmoid_f32({x})", derivative=lambda _x, y: y * (1 - y), kinds="f")
def sigmoid(x: Operand) -> Array:
    """Return 1 / (1 + exp(-x)), without overflow."""
    return np.exp(-np.logaddexp(0, -x))


@elementwise(
    code={"wgsl": "max_f32({x}, {x} * 0.0)", "cuda": "max_f32({x}, {x} * 0)", "int": "max({x}, {x} * 0)"},
    along=lambda t, _x, y: where(gt(y, 0), t, 0),
    integers="same",
    kinds="iuf",
    domain=(0.2, 2.0),
)
def relu(x: Operand) -> Array:
    """Return max(x, 0); the derivative at 0 is 0."""
    return np.maximum(x, 0)


__all__ = ["erf", "erfc", "mul", "relu", "sigmoid"]

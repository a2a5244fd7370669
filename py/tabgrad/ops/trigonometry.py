"""Trigonometric and hyperbolic functions and their inverses, element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabgrad.core.families import elementwise
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Array, Operand
from tabgrad.ops.elementwise import FLOATS, rsqrt, where

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


@elementwise(code="sin_{f}({x})", derivative=lambda x, _y: cos(x))
def sin(x: Operand) -> Array:
    """Compute the sine; angles are radians."""
    return np.sin(x)


@elementwise(code="cos_{f}({x})", derivative=lambda x, _y: -sin(x))
def cos(x: Operand) -> Array:
    """Compute the cosine; angles are radians."""
    return np.cos(x)


@elementwise(code="tan_{f}({x})", derivative=lambda _x, y: 1 + y * y, domain=(-1.2, 1.2))
def tan(x: Operand) -> Array:
    """Compute the tangent; angles are radians."""
    return np.tan(x)


@elementwise(code="asin_{f}({x})", derivative=lambda x, _y: rsqrt(1 - x * x), domain=(-0.9, 0.9))
def asin(x: Operand) -> Array:
    """Compute the inverse sine in radians."""
    return np.arcsin(x)


@elementwise(code="acos_{f}({x})", derivative=lambda x, _y: -rsqrt(1 - x * x), domain=(-0.9, 0.9))
def acos(x: Operand) -> Array:
    """Compute the inverse cosine in radians."""
    return np.arccos(x)


@elementwise(code="atan_{f}({x})", derivative=lambda x, _y: 1 / (1 + x * x))
def atan(x: Operand) -> Array:
    """Compute the inverse tangent in radians."""
    return np.arctan(x)


def _squares(x: Tensor, y: Tensor) -> Tensor:
    """Compute x² + y², but 1 at the origin, so that the derivatives of the angle are 0 there."""
    found = x * x + y * y
    return where(found == 0, 1, found)


@elementwise(
    code="atan2_{f}({x}, {y})",
    derivative=(lambda x, y, _z: y / _squares(x, y), lambda x, y, _z: -x / _squares(x, y)),
    kinds=FLOATS,
    domain=((0.3, 2.0), (-2.0, 2.0)),
)
def atan2(x: Operand, y: Operand) -> Array:
    """Compute the angle of the point (y, x) in radians, by quadrant."""
    return np.arctan2(x, y)


@elementwise(code="sinh_{f}({x})", derivative=lambda x, _y: cosh(x))
def sinh(x: Operand) -> Array:
    """Compute the hyperbolic sine."""
    return np.sinh(x)


@elementwise(code="cosh_{f}({x})", derivative=lambda x, _y: sinh(x))
def cosh(x: Operand) -> Array:
    """Compute the hyperbolic cosine."""
    return np.cosh(x)


@elementwise(code="tanh_{f}({x})", derivative=lambda _x, y: 1 - y * y)
def tanh(x: Operand) -> Array:
    """Compute the hyperbolic tangent."""
    return np.tanh(x)


@elementwise(code="asinh_{f}({x})", derivative=lambda x, _y: rsqrt(1 + x * x))
def asinh(x: Operand) -> Array:
    """Compute the inverse hyperbolic sine."""
    return np.arcsinh(x)


def _acosh_slope(x: Tensor, _y: Tensor) -> Tensor:
    if x.spec.dtype.is_complex:
        # not of the product, which is on the other branch in the left half plane
        return rsqrt(x - 1) * rsqrt(x + 1)
    return rsqrt(x * x - 1)


@elementwise(code="acosh_{f}({x})", derivative=_acosh_slope, domain=(1.2, 3.0))
def acosh(x: Operand) -> Array:
    """Compute the inverse hyperbolic cosine."""
    return np.arccosh(x)


@elementwise(code="atanh_{f}({x})", derivative=lambda x, _y: 1 / (1 - x * x), domain=(-0.8, 0.8))
def atanh(x: Operand) -> Array:
    """Compute the inverse hyperbolic tangent."""
    return np.arctanh(x)

"""Special functions for NumPy arrays, to the last few digits of float64, without SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable

from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Array


def each(fn: Callable[[float], float], x: Array) -> Array:
    """Apply `fn` to every element."""
    flat = [fn(v) for v in x.reshape(-1).tolist()]
    return np.array(flat, dtype=x.dtype).reshape(x.shape)


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), relatively accurate where it is small."""
    if x.dtype.char == "f":
        e = np.exp(-x)
        y = np.divide(1, 1 + e, dtype=x.dtype)
        if y.all():  # exp was finite everywhere
            return y
    left = x.real < 0
    e = np.exp(np.where(left, x, -x) if x.dtype.kind == "c" else -np.abs(x))
    return np.where(left, e, 1) / (1 + e)


FEW = 256
"""Of so many elements the functions of Python's own library take each one."""
_BLOCK = 1 << 13
_TAIL = (3213.75132752, -5608.0533321, 3399.87336777, -912.048675941, 279.020695404, 2.33813978787,
         15.2285129487, 4.65331794931, 1.69714068306, 0.564125690079)  # fmt: skip
"""exp(x²) erfc(x) (x + 3) as a polynomial of 1 / (x + 3), for x from 0 to 12: a Chebyshev fit, to 6e-9."""
_CENTRE = (-9.63499549398e-06, 0.000112546422041, -0.000848250793084, 0.00522092322859,
           -0.0268653921288, 0.112837818392, -0.37612638426, 1.12837916706)  # fmt: skip
"""erf(x) / x as a polynomial of x², for x from 0 to 1: a Chebyshev fit, to 4e-11."""


def _polynomial(factors: tuple[float, ...], x: Array) -> Array:
    y = x * factors[0]
    for c in factors[1:-1]:
        y += c
        y *= x
    y += factors[-1]
    return y


def _erfc(x: Array) -> Array:
    far = np.minimum(np.abs(x), 12)
    r = 1 / (far + 3)
    y = _polynomial(_TAIL, r)
    y *= r
    far *= far
    y *= np.exp(np.negative(far, far), far)
    return np.where(x < 0, 2 - y, y)


def _erf(x: Array) -> Array:
    near = np.minimum(np.abs(x), 1)
    near *= near
    return np.where(np.abs(x) < 1, x * _polynomial(_CENTRE, near), 1 - _erfc(x))


def _in_float64(fn: Callable[[Array], Array], x: Array) -> Array:
    """Apply `fn`, which is written for float64, to each block of many float32 numbers."""
    flat = x.reshape(-1)
    y = np.empty_like(flat)
    for k in range(0, flat.size, _BLOCK):
        y[k : k + _BLOCK] = fn(flat[k : k + _BLOCK].astype(np.float64))
    return y.reshape(x.shape)


def erf(x: Array) -> Array:
    """Compute the error function."""
    many = x.dtype.char == "f" and x.size > FEW
    return _in_float64(_erf, x) if many else each(math.erf, x)


def erfc(x: Array) -> Array:
    """Compute 1 - erf(x), relatively accurate where it is small."""
    many = x.dtype.char == "f" and x.size > FEW
    return _in_float64(_erfc, x) if many else each(math.erfc, x)


def _lgamma(v: float) -> float:
    if math.isinf(v) or (v <= 0 and v == math.floor(v)):
        return math.inf
    try:
        return math.lgamma(v)
    except OverflowError:
        return math.inf


def lgamma(x: Array) -> Array:
    """Compute ln |gamma(x)|; the poles give inf."""
    return each(_lgamma, x)


def erfinv(x: Array) -> Array:
    """Compute the inverse error function: a first guess (Giles 2012), then three steps of Halley's method."""
    x = x.astype(np.float64) if x.dtype != np.float64 else x
    tail = np.minimum(np.abs(x), 1)
    w = -np.log(np.maximum((1 - tail) * (1 + tail), 1e-300))
    low, high = w - 2.5, np.sqrt(w) - 3
    guess = np.where(
        w < 5,
        np.polyval(
            [2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
             -0.00417768164, 0.246640727, 1.50140941], low,
        ),
        np.polyval(
            [-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
             0.00943887047, 1.00167406, 2.83297682], high,
        ),
    ) * tail  # fmt: skip
    for _ in range(3):
        # erfc keeps its digits where erf is near 1
        error = np.where(
            tail < 0.5, each(math.erf, guess) - tail, (1 - tail) - each(math.erfc, guess)
        )
        step = error / (2 / math.sqrt(math.pi) * np.exp(-guess * guess))
        guess = guess - step / (1 + guess * step)
    guess = np.where(tail == 1, np.inf, np.copysign(guess, x))
    guess = np.copysign(guess, x)
    return np.where(np.abs(x) > 1, np.nan, np.where(np.isnan(x), x, guess))


def digamma(x: Array) -> Array:
    """Compute the derivative of lgamma: reflection, the recurrence up to 10, then DLMF 5.11.2."""
    x = x.astype(np.float64)
    pole = (x <= 0) & (x == np.floor(x))
    v = np.where(x < 0, 1 - x, x)
    below = np.zeros_like(v)
    for _ in range(10):
        small = v < 10
        below -= np.where(small, 1 / np.where(v == 0, 1, v), 0)
        v = np.where(small, v + 1, v)
    z = 1 / (v * v)
    series = z * np.polyval([1 / 12, -691 / 32760, 1 / 132, -1 / 240, 1 / 252, -1 / 120, 1 / 12], z)
    y = np.log(v) - 0.5 / v - series + below
    turned = y - np.pi / np.tan(np.pi * (x - np.round(x)))
    y = np.where(x < 0, turned, y)
    return np.where(x == 0, -np.copysign(np.inf, x), np.where(pole, np.nan, y))


def trigamma(x: Array) -> Array:
    """Compute the second derivative of lgamma: reflection, the recurrence up to 10, then DLMF 5.15.8."""
    x = x.astype(np.float64)
    pole = (x <= 0) & (x == np.floor(x))
    reflect = x < 0.5
    v = np.where(reflect, 1 - x, x)
    total = np.zeros_like(v)
    for _ in range(10):
        small = v < 10
        total += np.where(small, 1 / (v * v), 0)
        v = np.where(small, v + 1, v)
    z = 1 / (v * v)
    series = np.polyval([7 / 6, -691 / 2730, 5 / 66, -1 / 30, 1 / 42, -1 / 30, 1 / 6], z)
    y = total + 1 / v + z / 2 + z * series / v
    w = np.pi / np.sin(np.pi * (x - np.round(x)))
    return np.where(pole & (x != -np.inf), np.inf, np.where(reflect, w * w - y, y))


def recurrence(n: Array, first: Array, following: Callable[[int, Array, Array], Array]) -> Array:
    """Return the polynomial of degree `n`, cut to an integer, that begins with 1 and `first`.

    `following(k, p, q)` is the polynomial of degree k + 1 after p and q. It is 0 below degree 0, nan above
    65,535.
    """
    p, q = np.ones_like(first), first
    last = n[n < 65536].max(initial=0)
    for k in range(1, int(last)):
        p, q = q, np.where(n >= k + 1, following(k, p, q), q)
    y = np.where(n < 1, np.where(n <= -1, 0, 1), q)
    return np.where(n < 65536, y, np.nan).astype(first.dtype)

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
    left = x.real < 0
    e = np.exp(np.where(left, x, -x) if x.dtype.kind == "c" else -np.abs(x))
    return np.where(left, e, 1) / (1 + e)


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

"""Float64 references for functions NumPy does not have, and NumPy twins of our own bit recipes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

erf = np.vectorize(math.erf, otypes=[float])
erfc = np.vectorize(math.erfc, otypes=[float])


def erfinv(y: np.ndarray) -> np.ndarray:
    """Halley's method, on the complement where that keeps the tail accurate."""
    y = np.asarray(y, float)
    a = np.abs(y)
    w = -np.log((1 - a) * (1 + a))
    x = np.where(w < 5, a * (1.5 + 0.245 * (w - 2.5)), np.sqrt(np.maximum(w, 1e-300)) - 0.17)
    x = np.where(a < 0.5, a * math.sqrt(math.pi) / 2, x)
    for _ in range(60):
        error = np.where(a < 0.5, erf(x) - a, (1 - a) - erfc(x))
        step = error * math.sqrt(math.pi) / 2 * np.exp(x * x)
        x = x - np.clip(step / (1 + x * step), -0.3, 0.3)
    return np.copysign(x, y)


def complex_log1p(z: np.ndarray) -> np.ndarray:
    """NumPy's is log(1 + z) for complex numbers, which has no digits near 0."""
    near = np.abs(z) < 0.5
    s = np.where(near, z, 0)
    size = 0.5 * np.log1p(s.real * (2 + s.real) + s.imag * s.imag)
    angle = np.arctan2(s.imag, 1 + s.real)
    return np.where(near, size + 1j * angle, np.log(1 + np.where(near, 1, z)))


def sin_pi(x: np.ndarray) -> np.ndarray:
    n = np.round(2 * x)
    r = (x - n / 2) * np.pi
    quadrant = n.astype(np.int64) & 3
    value = np.where(quadrant & 1, np.cos(r), np.sin(r))
    return np.where(quadrant >= 2, -value, value)


@np.vectorize
def lgamma(x: float) -> float:
    return math.inf if x <= 0 and (math.isinf(x) or x == math.floor(x)) else math.lgamma(x)


def _asymptotic(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """digamma and trigamma of x > 0: recurrence to 20, then asymptotic series (DLMF 5.11.2)."""
    first, second, v = np.zeros_like(x), np.zeros_like(x), x.copy()
    for _ in range(20):
        small = v < 20
        first -= np.where(small, 1 / v, 0)
        second += np.where(small, 1 / v**2, 0)
        v = v + small
    u = 1 / v
    z = u * u
    first += np.log(v) - u / 2 - z * (1 / 12 - z * (1 / 120 - z * (1 / 252 - z / 240)))
    second += u + z / 2 + u * z * (1 / 6 - z * (1 / 30 - z * (1 / 42 - z / 30)))
    return first, second


def digamma(x: np.ndarray) -> np.ndarray:
    reflected = np.where(x < 0, 1 - x, x)
    value = _asymptotic(reflected)[0]
    value = np.where(x < 0, value - np.pi * sin_pi(x + 0.5) / sin_pi(x), value)
    value = np.where((x < 0) & (x == np.floor(x)), np.nan, value)
    return np.where(x == 0, np.copysign(np.inf, -x), value)


def trigamma(x: np.ndarray) -> np.ndarray:
    reflected = np.where(x < 0.5, 1 - x, x)
    value = _asymptotic(reflected)[1]
    return np.where(x < 0.5, (np.pi / sin_pi(x)) ** 2 - value, value)


ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def threefry2x32(
    key0: np.ndarray, key1: np.ndarray, c0: np.ndarray, c1: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Threefry-2x32-20 (Salmon, Moraes, Dror, Shaw 2011), written as the paper has it: a loop."""
    keys = [
        np.uint32(key0),
        np.uint32(key1),
        np.uint32(key0) ^ np.uint32(key1) ^ np.uint32(0x1BD11BDA),
    ]
    with np.errstate(over="ignore"):
        x, y = np.uint32(c0) + keys[0], np.uint32(c1) + keys[1]
        for group in range(5):
            for amount in ROTATIONS[group % 2]:
                x = x + y
                y = (y << np.uint32(amount) | y >> np.uint32(32 - amount)) ^ x
            x = x + keys[(group + 1) % 3]
            y = y + keys[(group + 2) % 3] + np.uint32(group + 1)
    return x, y


def bfloat16_bits(x: np.ndarray) -> np.ndarray:
    """Round to bfloat16, nearest even, by comparing distances in float64."""
    x32 = np.asarray(x, np.float32)
    low = x32.view(np.uint32) >> np.uint32(16)
    down, up = (np.uint32(low + step) << np.uint32(16) for step in (np.uint32(0), np.uint32(1)))
    down_value, up_value = down.view(np.float32).astype(float), up.view(np.float32).astype(float)
    exact = x32.astype(float)
    nearer_up = np.abs(up_value - exact) < np.abs(exact - down_value)
    tie = np.abs(up_value - exact) == np.abs(exact - down_value)
    return low + (nearer_up | (tie & (low & 1 == 1)))


def half_bits(x: np.ndarray) -> np.ndarray:
    return np.asarray(x, np.float32).astype(np.float16).view(np.uint16).astype(np.uint32)


def sort_key(x: np.ndarray) -> np.ndarray:
    """What IEEE's total order makes of the bits, but for zeros, which are equal, and NaN, last."""
    signed = (np.asarray(x, np.float32) + np.float32(0)).view(np.int32).astype(np.int64)
    key = np.where(signed < 0, -(signed + 2**31) - 1, signed) + 2**31
    return np.where(np.isnan(x), 2**32 - 1, key).astype(np.uint32)


def remainder(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return x modulo y with the sign of y, and zeros with that of x."""
    rest = np.fmod(x, y)
    return np.where((rest != 0) & (np.signbit(rest) != np.signbit(y)), rest + y, rest)


def _recurrence(
    n: np.ndarray, first: np.ndarray, following: Callable[..., np.ndarray]
) -> np.ndarray:
    """Return a polynomial of degree n, by its coefficients' own recurrence."""
    p, q = np.ones_like(first), first
    y = np.where(n < 1, p, q)
    for k in range(1, int(n.max(initial=0))):
        p, q = q, following(k, p, q)
        y = np.where(n >= k + 1, q, y)
    return y


def hermite_h(x: np.ndarray, n: np.ndarray) -> np.ndarray:
    return _recurrence(n, 2 * x, lambda k, p, q: 2 * x * q - 2 * k * p)


def hermite_he(x: np.ndarray, n: np.ndarray) -> np.ndarray:
    return _recurrence(n, x, lambda k, p, q: x * q - k * p)


def laguerre(x: np.ndarray, n: np.ndarray) -> np.ndarray:
    return _recurrence(n, 1 - x, lambda k, p, q: ((2 * k + 1 - x) * q - k * p) / (k + 1))


def legendre(x: np.ndarray, n: np.ndarray) -> np.ndarray:
    return _recurrence(n, x, lambda k, p, q: ((2 * k + 1) * x * q - k * p) / (k + 1))


def chebyshev(x: np.ndarray, first: np.ndarray, n: np.ndarray) -> np.ndarray:
    return _recurrence(n, first, lambda k, p, q: 2 * x * q - p)

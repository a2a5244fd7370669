"""The domains of the special functions: at which points each is held to its true value, and how closely.

A result may be off by `units` units of rounding (of float64, or of float32) of the scale of its value. The
points are numbers of float32, so that one true value serves all devices; the `wide` ones are for float64 alone.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

Point = tuple[float, ...]
Scale = Callable[..., float]


class Domain(NamedTuple):
    """A function of `special`, the points of its domain, and its bound in float64 and in float32."""

    name: str
    points: list[Point]
    wide: list[Point]
    units: tuple[float, float]
    scale: Scale


def single(x: float) -> float:
    """Round to float32."""
    return float(struct.unpack("f", struct.pack("f", x))[0])


def line(low: float, high: float, n: int = 40) -> list[float]:
    """Return numbers at even steps, off the round ones."""
    return [single(low + (high - low) * (i + 0.37) / n) for i in range(n)]


def powers(low: float, high: float, n: int = 24) -> list[float]:
    """Return numbers at even ratios."""
    return [single(low * (high / low) ** (i / (n - 1))) for i in range(n)]


def far(low: float, high: float, n: int = 12) -> list[float]:
    """Return numbers at even ratios that float32 may not have."""
    return [low * (high / low) ** (i / (n - 1)) for i in range(n)]


def relative(y: float, *_args: float) -> float:
    return abs(y)


def absolute(y: float, *_args: float) -> float:
    return max(abs(y), 1.0)


def squared(y: float, x: float) -> float:
    """Return the scale of a power of exp(x * x)."""
    return abs(y) * max(1.0, x * x)


def sized(y: float, x: float) -> float:
    """Return the scale of a power of exp(x)."""
    return abs(y) * max(1.0, abs(x))


def bounded(y: float, x: float) -> float:
    """Return the scale of what is summed from exp(x cos t - |x|), up to the series for large x."""
    return abs(y) * max(1.0, min(abs(x), 150.0))


def phased(y: float, x: float) -> float:
    """Return the scale of Airy's function: its argument's rounding moves the phase |x|^1.5."""
    return max(abs(y), 0.1) * max(1.0, abs(x) ** 1.5)


def of_exponent(y: float, a: float, x: float) -> float:
    """Return the scale of what multiplies exponentials of a ln(x) - x."""
    return max(abs(y), 0.1)


def terms(kind: str) -> Scale:
    """Return the scale of a polynomial: n times the sum of its terms' sizes."""

    def scale(_y: float, x: float, n: float) -> float:
        x = 2 * abs(x) + 1 if kind.startswith("shifted") else abs(x)
        if "chebyshev" in kind:
            within = x <= 1 or (kind.startswith("shifted") and x <= 3)
            grown = 1.0 if within else (x + math.sqrt(x * x - 1)) ** n
            return (2 * n + 1) ** 2 * 4 * grown
        p, q = 1.0, {"h": 2 * x, "he": x, "l": 1 + x, "p": x}[kind]
        for k in range(1, int(n)):
            following = {
                "h": 2 * (x * q + k * p), "he": x * q + k * p,
                "l": ((2 * k + 1 + x) * q + k * p) / (k + 1),
                "p": (2 * k + 1) / (k + 1) * x * q + k / (k + 1) * p,
            }[kind]  # fmt: skip
            p, q = q, following
        return max(1.0, q) * max(1.0, n)

    return scale


def one(
    name: str, points: Iterable[float], units: tuple[float, float], scale: Scale = relative,
    wide: Iterable[float] = (),
) -> Domain:  # fmt: skip
    """Return the domain of a function of one number."""
    return Domain(name, [(x,) for x in points], [(x,) for x in wide], units, scale)


def signed(numbers: Sequence[float]) -> list[float]:
    """Return the numbers and their opposites."""
    return [*numbers, *[-x for x in numbers]]


TINY = powers(1e-30, 1e-2, 8)
WAVES = [*signed(line(0, 40)), 7.999, 8.0, 8.001, *powers(50, 1e4, 8)]
RIGHT = [*line(0, 40), *TINY, 1.999, 2.0, 2.001, 7.999, 8.0, 8.001]
GAMMAS = [
    (single(a), single(x))
    for a in (1e-6, 0.01, 0.3, 0.999, 1.0, 1.5, 4.0, 7.9, 8.1, 30.0, 200.0, 3000.0, 1e5)
    for x in [*(a * r for r in (0.01, 0.5, 0.9, 0.99, 1.0, 1.01, 1.1, 2.0, 5.0)), 0.001, 0.5, 2.0]
]
DEGREES = (0.0, 1.0, 2.0, 3.0, 5.0, 6.0, 7.0, 8.0, 12.0, 25.0)


def degrees(points: Sequence[float]) -> list[Point]:
    """Return all pairs of points and degrees."""
    return list(itertools.product(points, DEGREES))


DOMAINS = [
    one("airy_ai", [*line(-30, 12, 60), -4.001, -3.999, 1.999, 2.001], (8, 8), phased, far(13, 100, 6)),
    one("bessel_j0", WAVES, (8, 8), absolute),
    one("bessel_j1", [*WAVES, *TINY], (8, 8), absolute),
    one("bessel_y0", RIGHT, (12, 12), absolute, far(1e-200, 1e-40, 6)),
    one("bessel_y1", RIGHT, (12, 12), absolute, far(1e-200, 1e-40, 6)),
    one("spherical_bessel_j0", [*WAVES, *TINY, 0.499, 0.501], (4, 4), absolute),
    one("modified_bessel_i0", line(-40, 40), (8, 8), sized, far(90, 600, 6)),
    one("modified_bessel_i1", line(-40, 40), (8, 8), sized, far(90, 600, 6)),
    one("i0e", [*signed(powers(1e-3, 1e5)), *line(-10, 10)], (8, 8), bounded),
    one("i1e", [*signed(powers(1e-3, 1e5)), *line(-10, 10)], (8, 8), bounded),
    one("modified_bessel_k0", [*RIGHT, 60.0], (8, 32), relative, far(90, 600, 6)),
    one("modified_bessel_k1", [*RIGHT, 60.0], (8, 32), relative, far(90, 600, 6)),
    one("scaled_modified_bessel_k0", [*RIGHT, *powers(50, 1e8, 8)], (8, 8), relative, far(1e9, 1e200, 6)),
    one("scaled_modified_bessel_k1", [*RIGHT, *powers(50, 1e8, 8)], (8, 8), relative, far(1e9, 1e200, 6)),
    one("erfcx", [*line(-9, 9), *TINY, *powers(10, 1e15, 10)], (8, 8), relative,
        [-26.0, -20.3, *far(1e20, 1e200, 5)]),
    one("erf", [*line(-5, 5), *TINY], (4, 8)),
    one("erfc", line(-5, 9), (8, 16), relative, line(9, 26, 8)),
    one("erfinv", [*line(-1, 1), single(0.999), single(-0.99999)], (8, 8)),
    one("ndtr", line(-12, 8), (8, 8), squared, line(-37, -12, 8)),
    one("log_ndtr", [*line(-30, 8), *[-x for x in powers(40, 1e6, 8)]], (16, 32), squared),
    one("ndtri", [*line(0, 1), *powers(1e-37, 0.2), 0.1399, 0.1401], (8, 8), relative, far(1e-300, 1e-40, 8)),
    one("gammaln", [*line(-9, 9), *powers(10, 1e20)], (32, 32), absolute),
    one("digamma", [*line(-9, 9), *powers(10, 1e20)], (64, 128), absolute),
    one("entr", [*TINY, *line(0, 20)], (4, 8), absolute),
    one("exp2", line(-100, 100), (4, 4)),
    one("expm1", [*line(-20, 20), *TINY], (4, 4)),
    one("log1p", [*line(-1, 3), *TINY, *powers(10, 1e30)], (4, 4)),
    one("expit", [*line(-40, 40), *TINY], (8, 8)),
    one("logit", [*line(0, 1), *TINY], (8, 8), absolute),
    one("sinc", [*line(-20, 20), *TINY], (8, 8), absolute),
    Domain("gammainc", GAMMAS, [(1e7, 1e7), (1e7, 0.9999e7)], (100, 100), of_exponent),
    Domain("gammaincc", GAMMAS, [(1e7, 1e7), (1e7, 1.0001e7)], (100, 100), of_exponent),
    Domain("zeta", list(itertools.product((1.1, 1.5, 2.0, 3.7, 9.0), (0.3, 1.0, 2.5, 9.5, 40.0))),
        [], (32, 64), relative),
    Domain("xlogy", list(itertools.product(line(-3, 3, 8), powers(1e-20, 1e20, 8))), [], (4, 8), relative),
    Domain("xlog1py", list(itertools.product(line(-3, 3, 8), [*TINY, *line(-1, 9, 8)])), [], (4, 8), relative),
    *[
        Domain(f"{s}chebyshev_polynomial_{k}", degrees(line(-(not s) * 1.5, 1.5, 15)), [],
            (2, 2), terms(f"{s}chebyshev"))
        for s in ("", "shifted_")
        for k in "tuvw"
    ],
    Domain("hermite_polynomial_h", degrees(line(-3, 3, 12)), [], (4, 4), terms("h")),
    Domain("hermite_polynomial_he", degrees(line(-3, 3, 12)), [], (4, 4), terms("he")),
    Domain("laguerre_polynomial_l", degrees(line(-3, 9, 12)), [], (4, 4), terms("l")),
    Domain("legendre_polynomial_p", degrees(line(-1.5, 1.5, 12)), [], (4, 4), terms("p")),
]  # fmt: skip

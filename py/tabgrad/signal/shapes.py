"""The formulas of windows, computed on the device: one kernel each, in float32 for half precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.dtype import DType
from tabgrad.core.promotion import cast
from tabgrad.hosts.devices import Device
from tabgrad.ops.indexing import iota
from tabgrad.special import i0e
from tabgrad.tensor import Tensor, creation
from tabgrad.tensor.elementary import abs, cos, exp, sin, sqrt, square

Formula = Callable[[Any, int, float], Any]
"""What gives the values for 0, 1, ..., for a number of points and the distance between the window's ends."""


def window(
    formula: Formula, points: int, periodic: bool, target: DType, where: Device,
    requires_grad: bool, single: float = 1.0,
) -> Tensor:  # fmt: skip
    """Return `points` values of a window; a periodic one is the next longer one without its last value.

    A window of one point is `single`, since its ends are not apart.
    """
    if points < 2:
        x = creation.filled((points,), single, target, where)
    else:
        wide = dt.float32 if target in dt.HALVES else target
        n = iota(points, wide, where)
        x = cast(formula(n, points + periodic, points - 1 + periodic), target)
    return creation.require(x, requires_grad)


def bartlett(n: Any, points: int, last: float) -> Any:
    """Return a triangle that is 0 at both ends."""
    return 1 - abs((n * 2 - last) / last)


def cosines(coefficients: Sequence[float]) -> Formula:
    """Return the formula of a sum of cosines with signs in turn: a₀ - a₁ cos x + a₂ cos 2x - ..."""

    def formula(n: Any, points: int, last: float) -> Any:
        total: Any = n * 0
        for i, a in enumerate(coefficients):
            total = total + (cos(n * (2 * math.pi * i / last)) * (a * (-1) ** i) if i else a)
        return total

    return formula


def sine(n: Any, points: int, last: float) -> Any:
    """Return half a period of the sine, at the middles of as many parts as there are points."""
    return sin((n + 0.5) * (math.pi / points))


def exponential(center: float | None, tau: float) -> Formula:
    """Return the formula of exp(-|n - center| / tau), by default around the middle."""
    return lambda n, points, last: exp(abs(n - (last / 2 if center is None else center)) / -tau)


def gaussian(std: float) -> Formula:
    """Return the formula of a normal law of this standard deviation around the middle."""
    return lambda n, points, last: exp(square((n - last / 2) / std) * -0.5)


def kaiser(beta: float) -> Formula:
    """Return the formula of I₀(beta √(1 - t²)) / I₀(beta), t going from -1 to 1.

    Both are scaled by their exponentials, whose quotient is that of a difference which doesn't cancel.
    """

    def formula(n: Any, points: int, last: float) -> Any:
        t = (n * 2 - last) / last
        root = sqrt((1 - t) * (1 + t))
        scale = exp(square(t) / (root + 1) * -beta)
        return i0e(root * beta) * scale / i0e(n * 0 + beta)

    return formula

"""The windows that PyTorch has at its root: `hann_window` and its like, periodic unless told otherwise.

They take any floating-point dtype.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tabgrad.core import dtype as dt
from tabgrad.core.dtype import DType
from tabgrad.core.errors import ArgumentError, DTypeError
from tabgrad.signal import shapes
from tabgrad.tensor import Tensor
from tabgrad.tensor.creation import placed
from tabgrad.tensor.layout import layout as Layout

if TYPE_CHECKING:
    from tabgrad.tensor.types import DeviceLike


def _made(
    name: str, formula: shapes.Formula, points: int, periodic: bool, dtype: DType | None,
    layout: Layout | None, device: DeviceLike | None, requires_grad: bool,
) -> Tensor:  # fmt: skip
    """Return the window of a formula, or raise for what PyTorch refuses."""
    if not hasattr(points, "__index__") or isinstance(points, bool):
        raise TypeError(
            f"{name}(): argument 'window_length' must be int, not {type(points).__name__}"
        )
    if points < 0:
        raise ArgumentError(
            f"{name} requires non-negative window_length, got window_length={points}"
        )
    where, target = placed(dtype, device, layout)
    if target.category != dt.FLOAT:
        raise DTypeError(f"{name} expects floating point dtypes, got: {target!r}")
    return shapes.window(formula, points.__index__(), periodic, target, where, requires_grad)


def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype: DType | None = None,
    layout: Layout | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a window: a triangle that is 0 at both ends.

    >>> import tabgrad as tg
    >>> tg.bartlett_window(4, device="cpu")
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _made(
        "bartlett_window", shapes.bartlett, window_length, periodic, dtype, layout, device,
        requires_grad,
    )  # fmt: skip


def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: DType | None = None,
    layout: Layout | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a window: 0.42 - 0.5 cos x + 0.08 cos 2x, x going from 0 to 2π.

    >>> import tabgrad as tg
    >>> tg.blackman_window(4, device="cpu")
    tensor([-1.4901e-08,  3.4000e-01,  1.0000e+00,  3.4000e-01])
    """
    return _made(
        "blackman_window", shapes.cosines((0.42, 0.5, 0.08)), window_length, periodic, dtype, layout, device,
        requires_grad,
    )  # fmt: skip


def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *,
    dtype: DType | None = None, layout: Layout | None = None, device: DeviceLike | None = None,
    pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a window: alpha - beta cos x, x going from 0 to 2π.

    >>> import tabgrad as tg
    >>> tg.hamming_window(4, device="cpu")
    tensor([0.0800, 0.5400, 1.0000, 0.5400])
    """
    return _made(
        "hamming_window", shapes.cosines((alpha, beta)), window_length, periodic, dtype, layout, device,
        requires_grad,
    )  # fmt: skip


def hann_window(
    window_length: int, periodic: bool = True, *, dtype: DType | None = None,
    layout: Layout | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a window: 0.5 - 0.5 cos x, x going from 0 to 2π.

    >>> import tabgrad as tg
    >>> tg.hann_window(4, device="cpu")
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _made(
        "hann_window", shapes.cosines((0.5, 0.5)), window_length, periodic, dtype, layout, device,
        requires_grad,
    )  # fmt: skip


def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: DType | None = None,
    layout: Layout | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a window: I₀(beta √(1 - t²)) / I₀(beta), t going from -1 to 1.

    >>> import tabgrad as tg
    >>> tg.kaiser_window(4, device="cpu")
    tensor([5.2773e-05, 2.1567e-01, 1.0000e+00, 2.1567e-01])
    """
    return _made(
        "kaiser_window", shapes.kaiser(math.fabs(beta)), window_length, periodic, dtype, layout, device,
        requires_grad,
    )  # fmt: skip


__all__ = ["bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window"]

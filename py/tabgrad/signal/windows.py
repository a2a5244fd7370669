"""Windows for spectra and filters; PyTorch's `signal.windows`.

Each takes the number of points `M`; `sym=False` gives the periodic window, which is the symmetric one of M + 1
points without its last: the form for a Fourier transform. They are computed on the device, in float32 or
float64. With `requires_grad` the window is a leaf that wants gradients.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tabgrad.core import dtype as dt
from tabgrad.core.dtype import DType
from tabgrad.signal import shapes
from tabgrad.tensor import Tensor
from tabgrad.tensor.creation import placed
from tabgrad.tensor.layout import layout as Layout, strided

if TYPE_CHECKING:
    from tabgrad.tensor.types import DeviceLike


def _made(
    name: str, formula: shapes.Formula, M: int, sym: bool, dtype: DType | None, layout: Layout,
    device: DeviceLike | None, requires_grad: bool, single: float = 1.0,
) -> Tensor:  # fmt: skip
    """Return the window of a formula, or raise for what PyTorch refuses."""
    if not hasattr(M, "__index__") or isinstance(M, bool):
        raise TypeError(f"{name}: M must be an int, the number of points, not {type(M).__name__}")
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout is not strided:
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout!r}")
    asked = dtype or dt.get_default_dtype()
    if asked not in (dt.float32, dt.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {asked!r}")
    where, target = placed(dtype, device, layout)
    return shapes.window(formula, M.__index__(), not sym, target, where, requires_grad, single)


def bartlett(
    M: int, *, sym: bool = True, dtype: DType | None = None, layout: Layout = strided,
    device: DeviceLike | None = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a window of M points: a triangle that is 0 at both ends.

    >>> import tabgrad as tg
    >>> tg.signal.windows.bartlett(5, device="cpu")
    tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """
    return _made("bartlett", shapes.bartlett, M, sym, dtype, layout, device, requires_grad)


def blackman(
    M: int, *, sym: bool = True, dtype: DType | None = None, layout: Layout = strided,
    device: DeviceLike | None = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a window of M points: 0.42 - 0.5 cos x + 0.08 cos 2x, x going from 0 to 2π.

    >>> import tabgrad as tg
    >>> tg.signal.windows.blackman(5, device="cpu")
    tensor([-1.4901e-08,  3.4000e-01,  1.0000e+00,  3.4000e-01, -1.4901e-08])
    """
    return _made(
        "blackman", shapes.cosines((0.42, 0.5, 0.08)), M, sym, dtype, layout, device, requires_grad
    )


def cosine(
    M: int, *, sym: bool = True, dtype: DType | None = None, layout: Layout = strided,
    device: DeviceLike | None = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a window of M points: half a period of the sine, which is 0 just outside both ends.

    >>> import tabgrad as tg
    >>> tg.signal.windows.cosine(5, device="cpu")
    tensor([0.3090, 0.8090, 1.0000, 0.8090, 0.3090])
    """
    return _made("cosine", shapes.sine, M, sym, dtype, layout, device, requires_grad)


def exponential(
    M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True,
    dtype: DType | None = None, layout: Layout = strided, device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a window of M points: exp(-|n - center| / tau), n counting the points.

    `center` may be given with `sym=False`; it is the middle otherwise.

    >>> import tabgrad as tg
    >>> tg.signal.windows.exponential(5, device="cpu")
    tensor([0.1353, 0.3679, 1.0000, 0.3679, 0.1353])
    """
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    single = math.exp(-abs(center or 0.0) / tau)
    return _made(
        "exponential", shapes.exponential(center, tau), M, sym, dtype, layout, device, requires_grad,
        single,
    )  # fmt: skip


def gaussian(
    M: int, *, std: float = 1.0, sym: bool = True, dtype: DType | None = None, layout: Layout = strided,
    device: DeviceLike | None = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a window of M points: a normal law of standard deviation `std` around the middle.

    `std` is in points; the highest value is 1.

    >>> import tabgrad as tg
    >>> tg.signal.windows.gaussian(5, device="cpu")
    tensor([0.1353, 0.6065, 1.0000, 0.6065, 0.1353])
    """
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    return _made("gaussian", shapes.gaussian(std), M, sym, dtype, layout, device, requires_grad)


def general_cosine(
    M: int, *, a: Iterable[float], sym: bool = True, dtype: DType | None = None, layout: Layout = strided,
    device: DeviceLike | None = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a window of M points: a₀ - a₁ cos x + a₂ cos 2x - ..., x going from 0 to 2π.

    >>> import tabgrad as tg
    >>> tg.signal.windows.general_cosine(5, a=[0.5, 0.5], device="cpu")
    tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """
    if not isinstance(a, Iterable):
        raise TypeError("Coefficients must be a list/tuple")
    a = tuple(a)
    if not a:
        raise ValueError("Coefficients cannot be empty")
    return _made("general_cosine", shapes.cosines(a), M, sym, dtype, layout, device, requires_grad)


def general_hamming(
    M: int, *, alpha: float = 0.54, sym: bool = True, dtype: DType | None = None, layout: Layout = strided,
    device: DeviceLike | None = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a window of M points: alpha - (1 - alpha) cos x, x going from 0 to 2π.

    >>> import tabgrad as tg
    >>> tg.signal.windows.general_hamming(5, device="cpu")
    tensor([0.0800, 0.5400, 1.0000, 0.5400, 0.0800])
    """
    return _made(
        "general_hamming",
        shapes.cosines((alpha, 1.0 - alpha)),
        M,
        sym,
        dtype,
        layout,
        device,
        requires_grad,
    )


def hamming(
    M: int, *, sym: bool = True, dtype: DType | None = None, layout: Layout = strided,
    device: DeviceLike | None = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a window of M points: 0.54 - 0.46 cos x, x going from 0 to 2π.

    >>> import tabgrad as tg
    >>> tg.signal.windows.hamming(5, device="cpu")
    tensor([0.0800, 0.5400, 1.0000, 0.5400, 0.0800])
    """
    return _made(
        "hamming", shapes.cosines((0.54, 0.46)), M, sym, dtype, layout, device, requires_grad
    )


def hann(
    M: int, *, sym: bool = True, dtype: DType | None = None, layout: Layout = strided,
    device: DeviceLike | None = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a window of M points: 0.5 - 0.5 cos x, x going from 0 to 2π.

    >>> import tabgrad as tg
    >>> tg.signal.windows.hann(5, device="cpu")
    tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """
    return _made("hann", shapes.cosines((0.5, 0.5)), M, sym, dtype, layout, device, requires_grad)


def kaiser(
    M: int, *, beta: float = 12.0, sym: bool = True, dtype: DType | None = None, layout: Layout = strided,
    device: DeviceLike | None = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a window of M points: I₀(beta √(1 - t²)) / I₀(beta), t going from -1 to 1.

    It does not overflow, however large `beta` is.

    >>> import tabgrad as tg
    >>> tg.signal.windows.kaiser(5, device="cpu")
    tensor([5.2773e-05, 2.1567e-01, 1.0000e+00, 2.1567e-01, 5.2773e-05])
    """
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    return _made("kaiser", shapes.kaiser(float(beta)), M, sym, dtype, layout, device, requires_grad)


def nuttall(
    M: int, *, sym: bool = True, dtype: DType | None = None, layout: Layout = strided,
    device: DeviceLike | None = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a window of M points: the sum of four cosines of least side lobes (Nuttall 1981).

    >>> import tabgrad as tg
    >>> tg.signal.windows.nuttall(5, device="cpu")
    tensor([3.6280e-04, 2.2698e-01, 1.0000e+00, 2.2698e-01, 3.6280e-04])
    """
    return _made(
        "nuttall",
        shapes.cosines((0.3635819, 0.4891775, 0.1365995, 0.0106411)),
        M,
        sym,
        dtype,
        layout,
        device,
        requires_grad,
    )

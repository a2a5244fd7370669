"""Fourier transforms, by the standard's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tabgrad as tg

Tensor = tg.Tensor


def _line(name: str) -> Callable[..., Tensor]:
    transform = getattr(tg.fft, name)

    def of_lines(
        x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward"
    ) -> Tensor:
        found: Tensor = transform(x, n, axis, norm)
        return found

    of_lines.__name__ = of_lines.__qualname__ = name
    of_lines.__doc__ = f"Transform along an axis, as `tabgrad.fft.{name}`."
    return of_lines


def _all(name: str) -> Callable[..., Tensor]:
    transform = getattr(tg.fft, name)

    def of_axes(x: Tensor, /, *, s: Any = None, axes: Any = None, norm: str = "backward") -> Tensor:
        found: Tensor = transform(x, s, axes, norm)
        return found

    of_axes.__name__ = of_axes.__qualname__ = name
    of_axes.__doc__ = f"Transform along several axes, as `tabgrad.fft.{name}`."
    return of_axes


fft, ifft, rfft, irfft = _line("fft"), _line("ifft"), _line("rfft"), _line("irfft")
hfft, ihfft = _line("hfft"), _line("ihfft")
fftn, ifftn, rfftn, irfftn = _all("fftn"), _all("ifftn"), _all("rfftn"), _all("irfftn")


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """Return the frequencies of a transform's elements."""
    return tg.fft.fftfreq(n, d, dtype=dtype, device=device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """Return the frequencies of the elements of a real transform."""
    return tg.fft.rfftfreq(n, d, dtype=dtype, device=device)


def fftshift(x: Tensor, /, *, axes: Any = None) -> Tensor:
    """Move the frequency zero to the middle."""
    return tg.fft.fftshift(x, axes)


def ifftshift(x: Tensor, /, *, axes: Any = None) -> Tensor:
    """Move the frequency zero from the middle to the front."""
    return tg.fft.ifftshift(x, axes)


__all__ = [
    "fft", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifftn", "ifftshift", "ihfft", "irfft", "irfftn",
    "rfft", "rfftfreq", "rfftn",
]  # fmt: skip

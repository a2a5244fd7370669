"""Transforms along one dim, for functions that have read their arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabgrad.fft.arguments import resized, scale_of
from tabgrad.ops import elementwise as e, fourier

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


def whole(name: str, x: Tensor, n: int, dim: int, norm: str | None, inverse: bool) -> Tensor:
    """Return the transform of `n` complex elements along `dim`."""
    scale = scale_of(name, norm, n, inverse)
    return fourier.fft.bind(resized(x, dim, n), axis=dim, inverse=inverse, scale=scale)


def half(name: str, x: Tensor, n: int, dim: int, norm: str | None, inverse: bool) -> Tensor:
    """Return the first n // 2 + 1 elements of the transform of `n` real elements along `dim`."""
    scale = scale_of(name, norm, n, inverse)
    found = fourier.rfft.bind(resized(x, dim, n), axis=dim, doubled=False, scale=scale)
    return e.conj.bind(found) if inverse else found


def hermitian(name: str, x: Tensor, n: int, dim: int, norm: str | None, inverse: bool) -> Tensor:
    """Return the `n` real elements along `dim` whose transform begins with n // 2 + 1 elements of `x`."""
    scale = scale_of(name, norm, n, inverse)
    x = resized(x, dim, n // 2 + 1)
    x = x if inverse else e.conj.bind(x)
    return fourier.irfft.bind(x, axis=dim, n=n, halved=False, scale=scale)

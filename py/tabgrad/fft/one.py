"""Transforms along one dim.

`n` is the number of points: longer lines are cut off at the end, shorter ones continued by zeros. `norm` says
which direction is divided: "backward" (the default) the inverse by n, "forward" the other by n, "ortho" both by
√n. Integers take the default dtype; half precision is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabgrad.fft import arguments as a, lines
from tabgrad.tensor.public import takes_out

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


@takes_out
def fft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """Return the discrete Fourier transform along `dim`: Σ x[j] exp(-2πi jk/n).

    >>> import tabgrad as tg
    >>> tg.fft.fft(tg.tensor([1.0, 2.0, 3.0, 4.0], device="cpu"))
    tensor([10.+0.j, -2.+2.j, -2.+0.j, -2.-2.j])
    """
    return _complex("fft", input, n, dim, norm, False)


@takes_out
def ifft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """Return the inverse of `fft` along `dim`: Σ X[k] exp(2πi jk/n) / n.

    >>> import tabgrad as tg
    >>> tg.fft.ifft(tg.tensor([4.0, 0.0, 0.0, 0.0], device="cpu"))
    tensor([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j])
    """
    return _complex("ifft", input, n, dim, norm, True)


@takes_out
def rfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """Return the first n // 2 + 1 elements of the transform of real ones along `dim`.

    The others are conjugates of these. Raises DTypeError for a complex tensor.

    >>> import tabgrad as tg
    >>> tg.fft.rfft(tg.tensor([1.0, 2.0, 3.0, 4.0], device="cpu"))
    tensor([10.+0.j, -2.+2.j, -2.+0.j])
    """
    return _real("rfft", input, n, dim, norm, False)


@takes_out
def irfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """Return the inverse of `rfft` along `dim`; `n` is the number of results, by default even.

    `input` is half of a Hermitian spectrum. Of its first element, and of that for half of an even `n`, only the
    real part counts.

    >>> import tabgrad as tg
    >>> tg.fft.irfft(tg.fft.rfft(tg.tensor([1.0, 2.0, 3.0, 4.0], device="cpu")))
    tensor([1., 2., 3., 4.])
    """
    return _hermitian("irfft", input, n, dim, norm, True)


@takes_out
def hfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """Return the transform, which is real, of a Hermitian signal along `dim`, of which `input` is a half.

    `n` is the number of results, by default even.

    >>> import tabgrad as tg
    >>> tg.fft.hfft(tg.tensor([1.0, 2.0, 3.0], device="cpu"))
    tensor([ 8., -2.,  0., -2.])
    """
    return _hermitian("hfft", input, n, dim, norm, False)


@takes_out
def ihfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """Return the inverse of `hfft` along `dim`: half of a Hermitian signal, n // 2 + 1 elements of it.

    Raises DTypeError for a complex tensor.

    >>> import tabgrad as tg
    >>> tg.fft.ihfft(tg.tensor([4.0, 0.0, 0.0, 0.0], device="cpu"))
    tensor([1.-0.j, 1.-0.j, 1.-0.j])
    """
    return _real("ihfft", input, n, dim, norm, True)


def _complex(
    name: str, x: Tensor, n: int | None, dim: int, norm: str | None, inverse: bool
) -> Tensor:
    x = a.complex_(name, x)
    at = a.along(name, dim, x)
    return lines.whole(name, x, a.length(name, n, x.spec.shape[at]), at, norm, inverse)


def _real(name: str, x: Tensor, n: int | None, dim: int, norm: str | None, inverse: bool) -> Tensor:
    x = a.real(name, x)
    at = a.along(name, dim, x)
    return lines.half(name, x, a.length(name, n, x.spec.shape[at]), at, norm, inverse)


def _hermitian(
    name: str, x: Tensor, n: int | None, dim: int, norm: str | None, inverse: bool
) -> Tensor:
    x = a.complex_(name, x)
    at = a.along(name, dim, x)
    points = a.length(name, n, 2 * (x.spec.shape[at] - 1))
    return lines.hermitian(name, x, points, at, norm, inverse)


__all__ = ["fft", "hfft", "ifft", "ihfft", "irfft", "rfft"]

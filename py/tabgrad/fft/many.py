"""Transforms along several dims, one after the other.

`s` is the number of points along each, and `dim` names the dims: by default the last `len(s)`, or all. Of real
and of Hermitian tensors the last one named is halved. What is said in `one.py` of a dim holds for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tabgrad.fft import arguments as a, lines
from tabgrad.tensor.public import takes_out

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Dims


@takes_out
def fftn(
    input: Tensor, s: Dims | None = None, dim: Dims | None = None, norm: str | None = None
) -> Tensor:
    """Return the discrete Fourier transform along several dims.

    >>> import tabgrad as tg
    >>> tg.fft.fftn(tg.tensor([[1.0, 2.0], [3.0, 4.0]], device="cpu"))
    tensor([[10.+0.j, -2.+0.j],
            [-4.+0.j,  0.+0.j]])
    """
    return _complex("fftn", input, s, dim, norm, False)


@takes_out
def ifftn(
    input: Tensor, s: Dims | None = None, dim: Dims | None = None, norm: str | None = None
) -> Tensor:
    """Return the inverse of `fftn`.

    >>> import tabgrad as tg
    >>> tg.fft.ifftn(tg.tensor([[4.0, 0.0], [0.0, 0.0]], device="cpu"))
    tensor([[1.+0.j, 1.+0.j],
            [1.+0.j, 1.+0.j]])
    """
    return _complex("ifftn", input, s, dim, norm, True)


@takes_out
def rfftn(
    input: Tensor, s: Dims | None = None, dim: Dims | None = None, norm: str | None = None
) -> Tensor:
    """Return the transform of a real tensor along several dims, of the last one half.

    >>> import tabgrad as tg
    >>> tg.fft.rfftn(tg.ones(2, 4, device="cpu"))
    tensor([[8.+0.j, 0.+0.j, 0.+0.j],
            [0.+0.j, 0.+0.j, 0.+0.j]])
    """
    return _real("rfftn", input, s, dim, norm, False)


@takes_out
def irfftn(
    input: Tensor, s: Dims | None = None, dim: Dims | None = None, norm: str | None = None
) -> Tensor:
    """Return the inverse of `rfftn`; the last of `s` is the number of results along the last dim.

    >>> import tabgrad as tg
    >>> tg.fft.irfftn(tg.fft.rfftn(tg.ones(2, 4, device="cpu")))
    tensor([[1., 1., 1., 1.],
            [1., 1., 1., 1.]])
    """
    return _hermitian("irfftn", input, s, dim, norm, True)


@takes_out
def hfftn(
    input: Tensor, s: Dims | None = None, dim: Dims | None = None, norm: str | None = None
) -> Tensor:
    """Return the transform, which is real, of a Hermitian tensor along several dims.

    `input` is half of it along the last one.

    >>> import tabgrad as tg
    >>> tg.fft.hfftn(tg.ones(2, 3, device="cpu"))
    tensor([[8., 0., 0., 0.],
            [0., 0., 0., 0.]])
    """
    return _hermitian("hfftn", input, s, dim, norm, False)


@takes_out
def ihfftn(
    input: Tensor, s: Dims | None = None, dim: Dims | None = None, norm: str | None = None
) -> Tensor:
    """Return the inverse of `hfftn` of a real tensor.

    >>> import tabgrad as tg
    >>> tg.fft.ihfftn(tg.ones(2, 2, device="cpu")).shape
    tabgrad.Size([2, 2])
    """
    return _real("ihfftn", input, s, dim, norm, True)


@takes_out
def fft2(
    input: Tensor, s: Dims | None = None, dim: Dims = (-2, -1), norm: str | None = None
) -> Tensor:
    """Return the discrete Fourier transform along two dims, by default the last; see `fftn`."""
    return _complex("fft2", input, s, dim, norm, False)


@takes_out
def ifft2(
    input: Tensor, s: Dims | None = None, dim: Dims = (-2, -1), norm: str | None = None
) -> Tensor:
    """Return the inverse of `fft2`; see `ifftn`."""
    return _complex("ifft2", input, s, dim, norm, True)


@takes_out
def rfft2(
    input: Tensor, s: Dims | None = None, dim: Dims = (-2, -1), norm: str | None = None
) -> Tensor:
    """Return the transform of a real tensor along two dims, by default the last; see `rfftn`."""
    return _real("rfft2", input, s, dim, norm, False)


@takes_out
def irfft2(
    input: Tensor, s: Dims | None = None, dim: Dims = (-2, -1), norm: str | None = None
) -> Tensor:
    """Return the inverse of `rfft2`; see `irfftn`."""
    return _hermitian("irfft2", input, s, dim, norm, True)


@takes_out
def hfft2(
    input: Tensor, s: Dims | None = None, dim: Dims = (-2, -1), norm: str | None = None
) -> Tensor:
    """Return the transform of a Hermitian tensor along two dims, by default the last; see `hfftn`."""
    return _hermitian("hfft2", input, s, dim, norm, False)


@takes_out
def ihfft2(
    input: Tensor, s: Dims | None = None, dim: Dims = (-2, -1), norm: str | None = None
) -> Tensor:
    """Return the inverse of `hfft2`; see `ihfftn`."""
    return _real("ihfft2", input, s, dim, norm, True)


def _complex(
    name: str, x: Tensor, s: Dims | None, dim: Dims | None, norm: str | None, inverse: bool
) -> Tensor:
    x = a.complex_(name, x)
    dims, points = a.dims_and_lengths(name, x, s, dim)
    return _along(name, x, dims, points, norm, inverse)


def _real(
    name: str, x: Tensor, s: Dims | None, dim: Dims | None, norm: str | None, inverse: bool
) -> Tensor:
    x = a.real(name, x)
    dims, points = a.dims_and_lengths(name, x, s, dim)
    a.some(name, dims)
    x = lines.half(name, x, points[-1], dims[-1], norm, inverse)
    return _along(name, x, dims[:-1], points[:-1], norm, inverse)


def _hermitian(
    name: str, x: Tensor, s: Dims | None, dim: Dims | None, norm: str | None, inverse: bool
) -> Tensor:
    x = a.complex_(name, x)
    dims, points = a.dims_and_lengths(name, x, s, dim, halved=True)
    a.some(name, dims)
    x = a.resized(x, dims[-1], points[-1] // 2 + 1)
    x = _along(name, x, dims[:-1], points[:-1], norm, inverse)
    return lines.hermitian(name, x, points[-1], dims[-1], norm, inverse)


def _along(
    name: str,
    x: Tensor,
    dims: Sequence[int],
    points: Sequence[int],
    norm: str | None,
    inverse: bool,
) -> Tensor:
    """Return the transform of complex elements along each of `dims`."""
    for d, n in zip(dims, points, strict=True):
        x = lines.whole(name, x, n, d, norm, inverse)
    return x


__all__ = [
    "fft2", "fftn", "hfft2", "hfftn", "ifft2", "ifftn", "ihfft2", "ihfftn", "irfft2", "irfftn", "rfft2",
    "rfftn",
]  # fmt: skip

"""The frequencies of the elements of a transform, and the order in which they lie."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tabgrad.core import dtype as dt
from tabgrad.core.dtype import DType
from tabgrad.core.errors import DTypeError, ShapeError
from tabgrad.core.promotion import cast
from tabgrad.ops.elementwise import where
from tabgrad.ops.indexing import iota
from tabgrad.tensor import rearranging
from tabgrad.tensor.arguments import axis, ints
from tabgrad.tensor.creation import placed, require
from tabgrad.tensor.layout import layout as Layout
from tabgrad.tensor.public import fills_out

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import DeviceLike, Dims


@fills_out
def fftfreq(
    n: int, d: float = 1.0, *, dtype: DType | None = None, layout: Layout | None = None,
    device: DeviceLike | None = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return the frequencies of the elements of `fft` for `n` points a time of `d` apart.

    >>> import tabgrad as tg
    >>> tg.fft.fftfreq(4, device="cpu")
    tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """
    target, k = _counted("fftfreq", n, n, dtype, layout, device)
    k = where(k < (n + 1) // 2, k, k - n)
    return require(cast(_scaled(k, n, d), target), requires_grad)


@fills_out
def rfftfreq(
    n: int, d: float = 1.0, *, dtype: DType | None = None, layout: Layout | None = None,
    device: DeviceLike | None = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return the frequencies of the elements of `rfft` for `n` points a time of `d` apart.

    >>> import tabgrad as tg
    >>> tg.fft.rfftfreq(4, device="cpu")
    tensor([0.0000, 0.2500, 0.5000])
    """
    target, k = _counted("rfftfreq", n, n // 2 + 1, dtype, layout, device)
    return require(cast(_scaled(k, n, d), target), requires_grad)


def _counted(
    name: str, n: int, count: int, dtype: DType | None, layout: Layout | None, device: DeviceLike | None
) -> tuple[DType, Tensor]:  # fmt: skip
    """Return the dtype of the result, and 0, 1, ..., count - 1 in the dtype that it is computed in."""
    if n < 0:
        raise ShapeError(f"fft.{name}: Trying to create tensor with negative dimension {n}: [{n}]")
    at, target = placed(dtype, device, layout)
    if target.category < dt.FLOAT:
        raise DTypeError(
            f"fft.{name}: {name} requires a floating point or complex dtype, got {target!r}"
        )
    if target.is_complex:
        raise DTypeError(f"fft.{name}: \"arange\" not implemented for '{target.title}'")
    return target, iota(count, dt.float32 if target in dt.HALVES else target, at)


def _scaled(k: Tensor, n: int, d: float) -> Tensor:
    if n * d:
        return k * (1 / (n * d))
    # 0 times infinity would be 0 on some adapters
    return where(k == 0, math.nan, k * math.copysign(math.inf, d))


def fftshift(input: Tensor, dim: Dims | None = None) -> Tensor:
    """Return the elements with frequency 0 moved to the middle of each `dim`, by default of all.

    >>> import tabgrad as tg
    >>> tg.fft.fftshift(tg.fft.fftfreq(4, device="cpu"))
    tensor([-0.5000, -0.2500,  0.0000,  0.2500])
    """
    return _rolled("fftshift", input, dim, 0)


def ifftshift(input: Tensor, dim: Dims | None = None) -> Tensor:
    """Return the elements with those in the middle of each `dim` moved to its start, as `fftshift` found them.

    >>> import tabgrad as tg
    >>> tg.fft.ifftshift(tg.tensor([-1, 0, 1], device="cpu"))
    tensor([ 0,  1, -1])
    """
    return _rolled("ifftshift", input, dim, 1)


def _rolled(name: str, x: Tensor, dim: Dims | None, more: int) -> Tensor:
    shape = x.spec.shape
    over = range(len(shape)) if dim is None else ints(f"fft.{name}", (dim,))
    dims = [axis(f"fft.{name}", d, len(shape)) for d in over]
    if not dims:
        raise ShapeError(f"fft.{name}: `shifts` required; name a dim of a tensor that has one")
    return rearranging.roll(x, [(shape[d] + more) // 2 if shape else 0 for d in dims], dims)


__all__ = ["fftfreq", "fftshift", "ifftshift", "rfftfreq"]

"""Softmax and its relatives: functions of rows, each one kernel where rows fit.

The maximum that keeps exp() in range is a constant to the derivative: the results do not depend on it, so
leaving it out is exact to every order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tabgrad.core.dtype import DType
from tabgrad.core.errors import DTypeError
from tabgrad.core.kinks import kinked
from tabgrad.core.promotion import cast, widened
from tabgrad.core.shape import axes_tuple, with_ones
from tabgrad.ops.elementwise import add, copy, div, exp, log, sub, where
from tabgrad.ops.reduction import keep, peak, reduce_sum
from tabgrad.ops.rounding import isfinite
from tabgrad.ops.view import reshape
from tabgrad.tensor.arguments import floating
from tabgrad.tensor.chained import composed
from tabgrad.tensor.public import takes_out

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Ints


def _axes(name: str, x: Tensor, dim: int, dtype: DType | None) -> tuple[Any, Ints]:
    if dtype is not None:
        x = cast(x, x.device.canonical(dtype, True))
    if not x.spec.dtype.is_floating_point:
        raise DTypeError(
            f"{name}: expected a floating-point tensor, got {x.spec.dtype!r}; pass dtype=..."
        )
    return x, axes_tuple(name, dim, len(x.spec.shape))


def top(x: Tensor, axes: Ints) -> Tensor:
    """Return the maximum over `axes` as a constant, with the shape of `x`."""
    return keep(peak.bind(x, axes=axes), x, axes)


@takes_out
def softmax(input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """Return exp(x) / sum(exp(x)) along `dim`; `dtype` casts first.

    >>> import tabgrad as tg
    >>> tg.softmax(tg.tensor([0.0, 0.0], device="cpu"), dim=0)
    tensor([0.5000, 0.5000])
    """
    return _softmax(*_axes("softmax", input, dim, dtype))


@kinked
def _nothing(x: Tensor) -> Tensor:
    return copy.bind(x)


@composed
@widened(autocast=True)
def _softmax(x: Tensor, axes: Ints) -> Tensor:
    if not x.spec.size:
        return _nothing(x)
    e = exp(sub.bind(x, top(x, axes)))
    return div.bind(e, keep(reduce_sum.bind(e, axes=axes), x, axes))


@takes_out
def log_softmax(input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """Return log(softmax(x)) along `dim`, accurate where the softmax is tiny.

    >>> import tabgrad as tg
    >>> tg.log_softmax(tg.tensor([0.0, 0.0], device="cpu"), dim=0)
    tensor([-0.6931, -0.6931])
    """
    return _log_softmax(*_axes("log_softmax", input, dim, dtype))


@composed
@widened(autocast=True)
def _log_softmax(x: Tensor, axes: Ints) -> Tensor:
    if not x.spec.size:
        return _nothing(x)
    z = sub.bind(x, top(x, axes))
    return sub.bind(z, keep(log(reduce_sum.bind(exp(z), axes=axes)), x, axes))


@takes_out
@composed
@widened(autocast=True)
def logsumexp(input: Tensor, dim: int | Iterable[int], keepdim: bool = False) -> Tensor:
    """Return log(sum(exp(x))) over `dim`, without overflow; rows of -inf give -inf.

    >>> import tabgrad as tg
    >>> tg.logsumexp(tg.tensor([0.0, 0.0], device="cpu"), 0)
    tensor(0.6931)
    """
    x = floating("logsumexp", input)
    axes = axes_tuple("logsumexp", dim, len(x.spec.shape))
    if x.spec.size:
        high = peak.bind(x.real if x.spec.dtype.is_complex else x, axes=axes)
        high = where(isfinite(high), high, 0)
        high = cast(high, x.spec.dtype)
        total = log(reduce_sum.bind(exp(sub.bind(x, keep(high, x, axes))), axes=axes))
        y = add.bind(total, high)
    else:
        y = log(reduce_sum.bind(x, axes=axes))
    return reshape.bind(y, shape=with_ones(x.spec.shape, axes)) if keepdim else y


class SoftmaxMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    log_softmax = log_softmax
    logsumexp = logsumexp
    softmax = softmax


__all__ = ["log_softmax", "logsumexp", "softmax"]

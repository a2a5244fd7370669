"""Reductions: sums, means, extremes, variances and norms over dims."""

from __future__ import annotations

import builtins
import math
from typing import TYPE_CHECKING, Any, overload

from tabgrad.core import dtype as dt
from tabgrad.core.dtype import DType
from tabgrad.core.errors import DTypeError, ShapeError
from tabgrad.core.op import Op, real_only
from tabgrad.core.promotion import cast, needs_float, refuse_bool, widened
from tabgrad.core.shape import with_ones
from tabgrad.core.spec import Params, intern_params
from tabgrad.core.trace import Box, bind
from tabgrad.ops import elementwise as e, reduction as r, rounding
from tabgrad.ops.indexing import gather
from tabgrad.ops.view import expand, reshape
from tabgrad.tensor import arithmetic as a, elementary, return_types
from tabgrad.tensor.arguments import as_dtype, axes, axis, countable, spread
from tabgrad.tensor.chained import chained, composed
from tabgrad.tensor.comparison import truth
from tabgrad.tensor.norms import root
from tabgrad.tensor.public import takes_out

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Dims, Ints

    Pair = tuple[Tensor, Tensor]


# one Params for each rank, so that the most frequent reductions intern nothing
_ALL: list[Params] = [intern_params({"axes": tuple(range(n))}) for n in range(9)]


def reduce(op: Op, x: Tensor, over: Ints, keepdim: bool) -> Tensor:
    """Return `x` reduced by the primitive `op` over the axes `over`, which stay as ones if `keepdim`."""
    kind = x.spec.dtype
    if kind.category < dt.FLOAT and kind.itemsize < 4 and op in (r.reduce_sum, r.reduce_prod):
        # added up in 32 bits, as devices do; the total wraps at the end
        y = cast(op.bind(cast(x, dt.int32), axes=over), kind)
    else:
        y = op.bind(x, axes=over)
    return keep_axes(y, x, over) if keepdim else y


def keep_axes(y: Tensor, x: Tensor, over: Ints) -> Tensor:
    """Return the reduced `y` with the axes `over` of `x` back as ones."""
    return reshape.bind(y, shape=with_ones(x.spec.shape, over))


def _summand(name: str, x: Tensor, dtype: DType | None) -> Tensor:
    if x.spec.dtype is dt.bool_:
        countable(name, x.spec.size, x.device)
    if dtype is not None:
        return cast(x, x.device.canonical(dtype, True))
    return as_dtype(x, dt.int64) if x.spec.dtype.category < dt.FLOAT else x


@takes_out
def sum(
    input: Tensor, dim: Dims | None = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Return the sum over `dim`: an int, a tuple of ints, or None for all. Integers add up as int64.

    >>> import tabgrad as tg
    >>> tg.sum(tg.ones(2, 3, device="cpu"), dim=1)
    tensor([3., 3.])
    """
    s = input.spec
    plain = dim is None and dtype is None and not keepdim
    if plain and s.dtype.category >= dt.FLOAT and len(s.shape) < 9:
        return bind(_SUM, (input,), _ALL[len(s.shape)])
    x = _summand("sum", input, dtype)
    return reduce(r.reduce_sum, x, axes("sum", dim, len(s.shape)), keepdim)


_SUM: Op = r.reduce_sum


@takes_out
@chained
def nansum(
    input: Tensor, dim: Dims | None = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Return the sum over `dim`, a nan counting as 0."""
    if input.spec.dtype.is_complex:
        raise DTypeError(f"nansum does not support complex inputs, got {input.spec.dtype!r}")
    if input.spec.dtype.category < dt.FLOAT:
        return sum(input, dim, keepdim, dtype=dtype)
    return sum(e.where(rounding.isnan(input), 0.0, input), dim, keepdim, dtype=dtype)


@takes_out
def mean(
    input: Tensor, dim: Dims | None = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Return the mean over `dim`; integers need a `dtype` to become floats. No elements give nan.

    >>> import tabgrad as tg
    >>> tg.mean(tg.tensor([1.0, 3.0], device="cpu"))
    tensor(2.)
    """
    x = input if dtype is None else cast(input, input.device.canonical(dtype, True))
    if x.spec.dtype.category < dt.FLOAT:
        raise DTypeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or complex "
            f"dtype. Got: {x.spec.dtype!r}"
        )
    return _mean(x, axes("mean", dim, len(x.spec.shape)), keepdim)


@composed
@widened(autocast=True)
def _mean(x: Tensor, over: Ints, keepdim: bool) -> Tensor:
    total = reduce(r.reduce_sum, x, over, keepdim)
    count = math.prod(x.spec.shape[k] for k in over)
    # not a product: compilers may replace 0 times anything by 0
    return a.div(total, float(count)) if count else a.add(total, math.nan)


@takes_out
@chained
@widened(autocast=True)
def nanmean(
    input: Tensor, dim: Dims | None = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Return the mean over `dim` of what is not nan."""
    needs_float("nanmean(): expected input to have floating point or complex dtype", input)
    there = cast(negated(rounding.isnan(input)), input.spec.dtype)
    return a.div(nansum(input, dim, keepdim, dtype=dtype), sum(there, dim, keepdim, dtype=dtype))


def negated(x: Tensor) -> Tensor:
    """Return the negation of a bool tensor."""
    return rounding.bitwise_not(x)


@takes_out
def prod(
    input: Tensor, dim: Dims | None = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Return the product over `dim`, one int or None for all. Integers multiply as int64."""
    x = _summand("prod", input, dtype)
    return reduce(r.reduce_prod, x, axes("prod", dim, len(x.spec.shape)), keepdim)


def _check_some(name: str, x: Tensor, over: Ints, error: type[Exception] = IndexError) -> None:
    if builtins.any(x.spec.shape[k] == 0 for k in over):
        raise error(
            f"{name}(): Expected reduction dim to have non-zero size, got shape {x.spec.shape}"
        )


@takes_out
@chained
def amax(input: Tensor, dim: Dims = (), keepdim: bool = False) -> Tensor:
    """Return the maximum over `dim`, or of all; ties share the derivative equally, a nan has none."""
    return _extremes("amax", r.reduce_max, input, dim, keepdim)


@takes_out
@chained
def amin(input: Tensor, dim: Dims = (), keepdim: bool = False) -> Tensor:
    """Return the minimum over `dim`, or of all; ties share the derivative equally, a nan has none."""
    return _extremes("amin", r.reduce_min, input, dim, keepdim)


def _extremes(name: str, op: Op, x: Tensor, dim: Dims, keepdim: bool) -> Tensor:
    """Return `x` reduced by `op`. Where the result is nan, so is its derivative by each element."""
    over = axes(name, dim, len(x.spec.shape))
    _check_some(name, x, over, ShapeError if dim in ((), None) else IndexError)
    y = reduce(op, x, over, keepdim)
    if not y.spec.dtype.is_floating_point:
        return y
    return e.mul(y, cast(e.where(rounding.isnan(y), math.nan, 1.0), y.spec.dtype))


def _arg(name: str, op: Op, x: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    rank = len(x.spec.shape)
    if dim is None:
        _check_some(name, x, tuple(range(rank)))
        flat = reshape.bind(x, shape=(x.spec.size,))
        countable(name, x.spec.size, x.device)
        y = op.bind(flat, axes=(0,), dtype=x.device.index_dtype)
        return reshape.bind(y, shape=(1,) * rank) if keepdim else y
    if not rank:
        axis(name, dim, 0)
        return _arg(name, op, x, None, False)
    over = (axis(name, dim, rank),)
    _check_some(name, x, over)
    countable(name, math.prod(x.spec.shape[i] for i in over), x.device)
    y = op.bind(x, axes=over, dtype=x.device.index_dtype)
    return keep_axes(y, x, over) if keepdim else y


@takes_out
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Return the index of the first maximum along `dim`, or in the flattened tensor; a nan is the maximum."""
    refuse_bool("argmax", input)
    return _arg("argmax", r.argmax, input, dim, keepdim)


@takes_out
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Return the index of the first minimum along `dim`, or in the flattened tensor; a nan is the minimum."""
    refuse_bool("argmin", input)
    return _arg("argmin", r.argmin, input, dim, keepdim)


@chained
def _extreme(name: str, x: Tensor, dim: int, keepdim: bool) -> Pair:
    most = name == "max"
    if not len(x.spec.shape):
        axis(name, dim, 0)
        real_only(name, x.spec)
        return e.copy.bind(x), e.cast.bind(a.mul(e.stop_gradient(x), 0), dtype=x.device.index_dtype)
    over = axis(name, dim, len(x.spec.shape))
    at = _arg(name, r.argmax if most else r.argmin, x, over, True)
    values = gather.bind(x, at, axis=over)
    if keepdim:
        return values, at
    shape = tuple(n for k, n in enumerate(x.spec.shape) if k != over)
    return reshape.bind(values, shape=shape), reshape.bind(at, shape=shape)


def _extreme_of_all(name: str, op: Op, x: Tensor) -> Tensor:
    rank = len(x.spec.shape)
    if x.spec.size and rank < len(_ALL):
        return bind(op, (x,), _ALL[rank])
    over = tuple(range(rank))
    _check_some(name, x, over, ShapeError)
    return reduce(op, x, over, False)


@overload
def max(input: Tensor, *, out: Tensor | None = None) -> Tensor: ...
@overload
def max(
    input: Tensor, dim: int, keepdim: bool = False, *, out: Pair | None = None
) -> return_types.max: ...
@overload
def max(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor: ...
def max(  # type: ignore[misc] # takes_out adds `out`
    input: Tensor,
    dim: int | Tensor | None = None,
    keepdim: bool = False,
    *,
    other: Tensor | None = None,
) -> Any:
    """Return the maximum of all; or, along `dim`, (values, indices); or of two tensors, element by element.

    Along a dim the derivative goes to the first maximum; over all, ties share it.

    >>> import tabgrad as tg
    >>> tg.max(tg.tensor([[1.0, 3.0], [4.0, 2.0]], device="cpu"), 1).indices
    tensor([1, 0])
    """
    if other is not None:
        return a.maximum(input, other)
    if isinstance(dim, Box):
        return a.maximum(input, dim)
    if dim is None:
        return _extreme_of_all("max", r.reduce_max, input)
    return return_types.max(*_extreme("max", input, dim, keepdim))


takes_out(max)


@overload
def min(input: Tensor, *, out: Tensor | None = None) -> Tensor: ...
@overload
def min(
    input: Tensor, dim: int, keepdim: bool = False, *, out: Pair | None = None
) -> return_types.min: ...
@overload
def min(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor: ...
def min(  # type: ignore[misc] # takes_out adds `out`
    input: Tensor,
    dim: int | Tensor | None = None,
    keepdim: bool = False,
    *,
    other: Tensor | None = None,
) -> Any:
    """Return the minimum of all; or, along `dim`, (values, indices); or of two tensors, element by element."""
    if other is not None:
        return a.minimum(input, other)
    if isinstance(dim, Box):
        return a.minimum(input, dim)
    if dim is None:
        return _extreme_of_all("min", r.reduce_min, input)
    return return_types.min(*_extreme("min", input, dim, keepdim))


takes_out(min)


@takes_out
def aminmax(
    input: Tensor, *, dim: int | None = None, keepdim: bool = False
) -> return_types.aminmax:
    """Return (min, max) along `dim` or of all."""
    over = () if dim is None else dim
    return return_types.aminmax(amin(input, over, keepdim), amax(input, over, keepdim))


def _logical(op: Op, name: str, x: Tensor, dim: Dims | None, keepdim: bool) -> Tensor:
    y = reduce(op, truth(x), axes(name, dim, len(x.spec.shape), empty_is_all=False), keepdim)
    return cast(y, dt.uint8) if x.spec.dtype is dt.uint8 else y


@takes_out
def any(input: Tensor, dim: Dims | None = None, keepdim: bool = False) -> Tensor:
    """Return whether any element over `dim` is nonzero; of none, false."""
    return _logical(r.reduce_any, "any", input, dim, keepdim)


@takes_out
def all(input: Tensor, dim: Dims | None = None, keepdim: bool = False) -> Tensor:
    """Return whether all elements over `dim` are nonzero; of none, true."""
    return _logical(r.reduce_all, "all", input, dim, keepdim)


def count_nonzero(input: Tensor, dim: Dims | None = None) -> Tensor:
    """Return how many elements over `dim` are nonzero."""
    countable("count_nonzero", input.spec.size, input.device)
    return sum(as_dtype(truth(input), dt.int64), dim)


def count_nonzero_method(self: Tensor, *args: Dims, dim: Dims | None = None) -> Tensor:
    """Return how many elements over `dim` are nonzero."""
    return count_nonzero(self, spread(args, dim))


# -- spread ----------------------------------------------------------------------------------------


def _over(
    name: str, x: Tensor, dim: Dims | None, unbiased: bool, correction: float | None
) -> tuple[Ints, float]:
    if x.spec.dtype.category < dt.FLOAT:
        raise DTypeError(
            f"{name}: only support floating point and complex dtypes, got {x.spec.dtype!r}"
        )
    if isinstance(dim, bool):
        # var(x, False) is PyTorch's old way of saying correction=0
        unbiased, dim = dim, None
    return axes(name, dim, len(x.spec.shape)), float(unbiased if correction is None else correction)


@chained
@widened
def _spread(x: Tensor, over: Ints, keepdim: bool, correction: float) -> Pair:
    """Return the variance and the mean."""
    count = math.prod(x.spec.shape[k] for k in over)
    center = _mean(x, over, True)
    gap = a.sub(x, expand.bind(center, shape=x.spec.shape))
    total = reduce(r.reduce_sum, elementary.squared_size(gap), over, keepdim)
    left = count - correction
    if left > 0:
        variance = a.div(total, left)
    else:
        # not by a division by zero, which some devices don't carry out
        variance = a.add(e.where(rounding.gt(total, 0.0), math.inf, math.nan), a.mul(total, 0.0))
    if not keepdim:
        center = reshape.bind(center, shape=total.spec.shape)
    return variance, center


@chained
@widened
def _deviation(x: Tensor, over: Ints, keepdim: bool, correction: float) -> Pair:
    """Return the root of the variance, and the mean."""
    variance, center = _spread(x, over, keepdim, correction)
    return root(variance), center


@takes_out
def var(
    input: Tensor, dim: Dims | None = None, unbiased: bool = True, keepdim: bool = False, *,
    correction: float | None = None,
) -> Tensor:  # fmt: skip
    """Return the variance over `dim`: the sum of squared distances from the mean, over n - correction.

    `correction` is 1 by default; `unbiased` is PyTorch's older word for it.

    >>> import tabgrad as tg
    >>> tg.var(tg.tensor([1.0, 2.0, 3.0], device="cpu"))
    tensor(1.)
    """
    over, less = _over("var", input, dim, unbiased, correction)
    return _spread(input, over, keepdim, less)[0]


@takes_out
def std(
    input: Tensor, dim: Dims | None = None, unbiased: bool = True, keepdim: bool = False, *,
    correction: float | None = None,
) -> Tensor:  # fmt: skip
    """Return the standard deviation over `dim`, the root of `var`; its derivative at 0 is 0."""
    over, less = _over("std", input, dim, unbiased, correction)
    return _deviation(input, over, keepdim, less)[0]


def var_mean(
    input: Tensor, dim: Dims | None = None, unbiased: bool = True, keepdim: bool = False, *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the variance and the mean over `dim`."""
    over, less = _over("var_mean", input, dim, unbiased, correction)
    return _spread(input, over, keepdim, less)


def std_mean(
    input: Tensor, dim: Dims | None = None, unbiased: bool = True, keepdim: bool = False, *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the standard deviation and the mean over `dim`."""
    over, less = _over("std_mean", input, dim, unbiased, correction)
    return _deviation(input, over, keepdim, less)


class ReductionsMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    all = all
    amax = amax
    amin = amin
    aminmax = aminmax
    any = any
    argmax = argmax
    argmin = argmin
    count_nonzero = count_nonzero_method
    max = max
    mean = mean
    min = min
    nanmean = nanmean
    nansum = nansum
    prod = prod
    std = std
    sum = sum
    var = var


__all__ = [
    "all", "amax", "amin", "aminmax", "any", "argmax", "argmin", "count_nonzero", "max", "mean", "min",
    "nanmean", "nansum", "prod", "std", "std_mean", "sum", "var", "var_mean",
]  # fmt: skip

"""Comparisons, logic, and choosing by a condition."""

from __future__ import annotations

import builtins
import math
from typing import TYPE_CHECKING, Any, overload

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError
from tabgrad.core.op import real_only
from tabgrad.core.promotion import cast, expand
from tabgrad.core.shape import broadcast
from tabgrad.core.spec import spec
from tabgrad.core.tensor_arguments import of_tensors
from tabgrad.core.trace import Box, constant
from tabgrad.ops import elementwise as e, rounding as r
from tabgrad.ops.reduction import reduce_all
from tabgrad.tensor import nonzero
from tabgrad.tensor.arguments import scalar
from tabgrad.tensor.arithmetic import sub
from tabgrad.tensor.chained import chained
from tabgrad.tensor.elementary import abs
from tabgrad.tensor.fronts import binary, plain_unary
from tabgrad.tensor.inplace import in_place
from tabgrad.tensor.public import takes_out

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Number

eq = binary(r.eq)
ne = not_equal = binary(r.ne)
lt = less = binary(r.lt)
le = less_equal = binary(r.le)
gt = greater = binary(r.gt)
ge = greater_equal = binary(r.ge)
isnan = plain_unary(r.isnan)
isinf = plain_unary(r.isinf)
isfinite = plain_unary(r.isfinite)


@takes_out
def isposinf(input: Tensor) -> Tensor:
    """Return whether each element is plus infinity."""
    real_only("isposinf", input.spec)
    return eq(input, math.inf)


@takes_out
def isneginf(input: Tensor) -> Tensor:
    """Return whether each element is minus infinity."""
    real_only("isneginf", input.spec)
    return eq(input, -math.inf)


def isreal(input: Tensor) -> Tensor:
    """Return whether each element has no imaginary part."""
    if not input.spec.dtype.is_complex:
        return ones_mask(input)
    return eq(input, cast(cast(input, dt.real_of(input.spec.dtype)), input.spec.dtype))


def ones_mask(like: Tensor) -> Tensor:
    """Return a bool tensor of the shape of `like` that is true everywhere."""
    return constant(True, spec(like.spec.shape, dt.bool_), like.device)


def truth(x: Tensor) -> Tensor:
    """Return whether each element is nonzero."""
    return cast(x, dt.bool_)


@takes_out
def logical_not(input: Tensor) -> Tensor:
    """Return whether each element is zero."""
    return r.bitwise_not(truth(input))


@takes_out
def logical_and(input: Tensor, other: Tensor) -> Tensor:
    """Return whether both elements are nonzero."""
    return r.bitwise_and(truth(input), truth(other))


@takes_out
def logical_or(input: Tensor, other: Tensor) -> Tensor:
    """Return whether either element is nonzero."""
    return r.bitwise_or(truth(input), truth(other))


@takes_out
def logical_xor(input: Tensor, other: Tensor) -> Tensor:
    """Return whether exactly one of the elements is nonzero."""
    return r.bitwise_xor(truth(input), truth(other))


@of_tensors
@chained
def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """Return whether |input - other| <= atol + rtol * |other|; infinities are close to themselves."""
    if input.spec.dtype is not other.spec.dtype:
        raise DTypeError(f"isclose: {input.spec.dtype!r} did not match {other.spec.dtype!r}")
    same = r.eq(input, other)
    if input.spec.dtype.category >= dt.FLOAT and equal_nan:
        same = r.bitwise_or(same, r.bitwise_and(r.isnan(input), r.isnan(other)))
    if not rtol and not atol:
        return same
    real = cast(input, dt.get_default_dtype()) if input.spec.dtype.category < dt.FLOAT else input
    target = cast(other, real.spec.dtype)
    gap = abs(sub(real, target))
    near = r.le(gap, abs(target) * rtol + atol)
    return r.bitwise_or(same, r.bitwise_and(near, r.isfinite(gap)))


@of_tensors
def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> builtins.bool:
    """Return whether all elements are close; see `isclose`. Reads the answer back.

    >>> import tabgrad as tg
    >>> x = tg.ones(2, device="cpu")
    >>> tg.allclose(x, x + 1e-7)
    True
    """
    return builtins.bool(_all_close(input, other, rtol, atol, equal_nan).item())


@chained
def _all_close(
    input: Tensor, other: Tensor, rtol: float, atol: float, equal_nan: builtins.bool
) -> Tensor:
    close = isclose(input, other, rtol, atol, equal_nan)
    return reduce_all.bind(close, axes=tuple(range(len(close.spec.shape))))


@of_tensors
def equal(input: Tensor, other: Tensor) -> builtins.bool:
    """Return whether two tensors have the same shape and elements. Reads the answer back."""
    if input.spec.shape != other.spec.shape:
        return False
    same = r.eq(input, other)
    return builtins.bool(reduce_all.bind(same, axes=tuple(range(len(same.spec.shape)))).item())


@overload
def where(condition: Tensor, *, out: Tensor | None = None) -> tuple[Tensor, ...]: ...
@overload
def where(
    condition: Tensor, input: Tensor | Number, other: Tensor | Number, *, out: Tensor | None = None
) -> Tensor: ...
def where(  # type: ignore[misc] # takes_out adds `out`
    condition: Tensor, input: Tensor | Number | None = None, other: Tensor | Number | None = None
) -> Any:
    """Return `input` where `condition` holds and `other` elsewhere; both may be numbers.

    With the condition alone: the indices of its true elements, as nonzero(as_tuple=True).

    >>> import tabgrad as tg
    >>> x = tg.tensor([-1.0, 2.0], device="cpu")
    >>> tg.where(x > 0, x, 0.0)
    tensor([0., 2.])
    """
    if input is None and other is None:
        return nonzero.nonzero(condition, as_tuple=True)
    if condition.spec.dtype is not dt.bool_:
        if condition.spec.dtype is not dt.uint8:
            raise DTypeError(
                f"where: expected condition to be a boolean tensor, got {condition.spec.dtype!r}"
            )
        condition = truth(condition)
    if not isinstance(input, Box) and not isinstance(other, Box):
        fill: Any = input
        target = condition.device.canonical(dt.with_scalar(dt.scalar_dtype(fill), other), False)
        input = constant(fill, spec((), target), condition.device)
    return e.where(condition, input, other)


takes_out(where)


def where_method(self: Tensor, condition: Tensor, other: Tensor | Number) -> Tensor:
    """Return `self` where `condition` holds and `other` elsewhere."""
    return where(condition, self, other)


@of_tensors
@chained
def masked_fill(input: Tensor, mask: Tensor, value: Tensor | Number) -> Tensor:
    """Return `input` with `value`, a number or a 0-d tensor, where `mask` holds.

    >>> import tabgrad as tg
    >>> x = tg.ones(2, device="cpu")
    >>> tg.masked_fill(x, tg.tensor([True, False], device="cpu"), 5.0)
    tensor([5., 1.])
    """
    if mask.spec.dtype is not dt.bool_:
        raise DTypeError(
            f"masked_fill: only supports boolean masks, but got mask with dtype {mask.spec.dtype!r}"
        )
    shape = broadcast("masked_fill", input.spec.shape, mask.spec.shape)
    fill = expand(scalar("masked_fill", value, input), shape)
    return e.where(expand(mask, shape), fill, expand(input, shape))


class ComparisonMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    allclose = allclose
    eq, eq_ = eq, in_place(eq)
    equal = equal
    ge, ge_ = ge, in_place(ge)
    greater, greater_ = greater, in_place(greater)
    greater_equal, greater_equal_ = greater_equal, in_place(greater_equal)
    gt, gt_ = gt, in_place(gt)
    isclose = isclose
    isfinite = isfinite
    isinf = isinf
    isnan = isnan
    isneginf = isneginf
    isposinf = isposinf
    isreal = isreal
    le, le_ = le, in_place(le)
    less, less_ = less, in_place(less)
    less_equal, less_equal_ = less_equal, in_place(less_equal)
    logical_and, logical_and_ = logical_and, in_place(logical_and)
    logical_not, logical_not_ = logical_not, in_place(logical_not)
    logical_or, logical_or_ = logical_or, in_place(logical_or)
    logical_xor, logical_xor_ = logical_xor, in_place(logical_xor)
    lt, lt_ = lt, in_place(lt)
    masked_fill, masked_fill_ = masked_fill, in_place(masked_fill)
    ne, ne_ = ne, in_place(ne)
    not_equal, not_equal_ = not_equal, in_place(not_equal)
    where = where_method


__all__ = [
    "allclose", "eq", "equal", "ge", "greater", "greater_equal", "gt", "isclose", "isfinite", "isinf", "isnan",
    "isneginf", "isposinf", "isreal", "le", "less", "less_equal", "logical_and", "logical_not",
    "logical_or", "logical_xor", "lt", "masked_fill", "ne", "not_equal", "where",
]  # fmt: skip

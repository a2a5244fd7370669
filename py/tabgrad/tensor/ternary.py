"""Element-wise mathematics of three operands: clamping, blending, adding products and quotients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError
from tabgrad.core.promotion import call, needs_float, refuse_bool, result_dtype, widened
from tabgrad.core.scalars import fits, number
from tabgrad.core.trace import Box
from tabgrad.ops import elementwise as e, rounding as r, special as s
from tabgrad.tensor.arithmetic import FLOAT, add, div, mul, rsub, sub
from tabgrad.tensor.chained import chained
from tabgrad.tensor.elementary import abs
from tabgrad.tensor.inplace import in_place
from tabgrad.tensor.public import takes_out

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Number


@takes_out
@chained
def clamp(
    input: Tensor, min: Tensor | Number | None = None, max: Tensor | Number | None = None
) -> Tensor:
    """Return each element moved into [min, max]; either bound may be missing, a number or a tensor.

    On a bound the derivative is 1. Where min > max the result is max.

    >>> import tabgrad as tg
    >>> tg.clamp(tg.tensor([-2.0, 0.5, 2.0], device="cpu"), min=0, max=1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    if min is None and max is None:
        raise RuntimeError("clamp: At least one of 'min' or 'max' must not be None")
    x = input
    bounds = [n for n in (min, max) if n is not None]
    if result_dtype(input, *bounds) is dt.bool_ and not isinstance(bounds[0], Box):
        needs_float("clamp", input)
    min, max = (_bound(input, n) for n in (min, max))
    if min is not None:
        if isinstance(min, Box) and max is not None and x.spec.dtype.category >= FLOAT:
            # if the interval is empty the result is `max`, without a derivative by `min`
            min = e.where(r.lt(min, max), min, e.stop_gradient(min))
        x = call(s.at_least, x, min)
    return x if max is None else call(s.at_most, x, max)


clip = clamp


def _bound(input: Tensor, given: Tensor | Number | None) -> Tensor | Number | None:
    """Return a bound of `clamp`; a number must fit the dtype of the result."""
    if given is None or isinstance(given, Box):
        return given
    given = number("clamp", given)
    return fits("clamp", given, result_dtype(input, given))


@takes_out
def clamp_min(input: Tensor, min: Tensor | Number) -> Tensor:
    """Return each element, or `min` where it is less."""
    return clamp(input, min)


@takes_out
def clamp_max(input: Tensor, max: Tensor | Number) -> Tensor:
    """Return each element, or `max` where it is more."""
    return clamp(input, None, max)


@takes_out
@chained
@widened
def lerp(input: Tensor, end: Tensor, weight: Tensor | float) -> Tensor:
    """Return input + weight * (end - input)."""
    needs_float("lerp", input)
    if end.spec.dtype is not input.spec.dtype:
        raise DTypeError(
            f"lerp: expected dtype {input.spec.dtype!r} for `end` but got dtype {end.spec.dtype!r}"
        )
    if isinstance(weight, Box) and input.spec.dtype.is_floating_point:
        return call(s.blend, input, end, weight)
    gap = sub(end, input)
    near = add(input, mul(gap, weight))
    # counted from the nearer end, so that a weight of 1 gives `end` exactly
    if isinstance(weight, Box):
        return e.where(r.lt(abs(weight), 0.5), near, sub(end, mul(gap, rsub(weight, 1))))
    close = (weight * weight.conjugate()).real < 0.25
    return near if close else sub(end, mul(gap, 1 - weight))


@takes_out
@chained
@widened
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """Return input + value * tensor1 * tensor2."""
    if result_dtype(input, tensor1, tensor2) is dt.bool_:
        refuse_bool("addcmul", input)
    if value != 1:
        tensor1 = mul(tensor1, fits("addcmul", value, result_dtype(tensor1, tensor2)))
    return add(input, mul(tensor1, tensor2))


@takes_out
@chained
@widened
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """Return input + value * tensor1 / tensor2."""
    if result_dtype(tensor1, tensor2).category < FLOAT:
        raise DTypeError(
            "addcdiv: Integer division with addcdiv is no longer supported; cast the tensors with .float()"
        )
    quotient = div(tensor1, tensor2)
    if value != 1:
        quotient = mul(quotient, fits("addcdiv", value, quotient.spec.dtype))
    return add(input, quotient)


class TernaryMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    addcdiv, addcdiv_ = addcdiv, in_place(addcdiv)
    addcmul, addcmul_ = addcmul, in_place(addcmul)
    clamp, clamp_ = clamp, in_place(clamp)
    clamp_max, clamp_max_ = clamp_max, in_place(clamp_max)
    clamp_min, clamp_min_ = clamp_min, in_place(clamp_min)
    clip, clip_ = clip, in_place(clip)
    lerp, lerp_ = lerp, in_place(lerp)


__all__ = ["addcdiv", "addcmul", "clamp", "clamp_max", "clamp_min", "clip", "lerp"]

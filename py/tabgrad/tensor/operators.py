"""Python's operators with a tensor on one side and any object on the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import SparseError
from tabgrad.core.spec import NO_PARAMS
from tabgrad.core.trace import Box, bind, operand
from tabgrad.ops import elementwise, rounding
from tabgrad.tensor import arithmetic, comparison, conversion, creation, elementary, linear

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor

FLOAT = dt.FLOAT


def _operand(self: Tensor, other: Any) -> Any:
    """Return the other operand of an operator, or NotImplemented for an object that can't be one.

    A NumPy array becomes a tensor on the device of this one, a NumPy scalar a number.
    """
    if isinstance(other, Box | int | float | complex):
        return other
    if hasattr(other, "item") and hasattr(other, "__array_interface__"):
        return other.item() if other.shape == () else creation.tensor(other, device=self.device)
    return NotImplemented


def operator(
    fn: Callable[..., Any], op: Any = None, swapped: bool = False
) -> Callable[[Any, Any], Tensor]:
    """Return the method of an operator; with a primitive `op`, floats of one spec take a short way."""
    most = FLOAT if op is None or "c" not in op.kinds else dt.COMPLEX

    def method(self: Tensor, other: Any) -> Any:
        try:
            if op is not None and FLOAT <= self.spec.dtype.category <= most:
                want = self.spec
                kind = other.__class__
                if (kind is float or kind is int) and want.dtype not in dt.HALVES:
                    other = operand(other, want, self.device)
                    return bind(op, (other, self) if swapped else (self, other), NO_PARAMS)
                if isinstance(other, Box) and other.spec is want:
                    return bind(op, (self, other), NO_PARAMS)
            other = _operand(self, other)
            if other is NotImplemented:
                return other
            return fn(other, self) if swapped else fn(self, other)
        except SparseError:
            # the sparse tensor has the operator
            return NotImplemented

    method.__doc__ = fn.__doc__
    return method


def product(self: Tensor, other: Any) -> Tensor:
    """Return self @ other; an array and the tensor take the dtype that holds both."""
    made = _operand(self, other)
    if made is NotImplemented or made is other:
        try:
            return linear.matmul(self, other)
        except SparseError:
            return NotImplemented
    dtype = dt.promote(self.spec.dtype, made.spec.dtype)
    return linear.matmul(
        conversion.convert(self, dtype, None, False), conversion.convert(made, dtype, None, False)
    )


def product_from_left(self: Tensor, other: Any) -> Tensor:
    """Return other @ self."""
    made = _operand(self, other)
    if not conversion.is_tensor(made):
        return NotImplemented
    dtype = dt.promote(self.spec.dtype, made.spec.dtype)
    return linear.matmul(
        conversion.convert(made, dtype, None, False), conversion.convert(self, dtype, None, False)
    )


def assigning(write: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Tensor]:
    """Return the method of an assigning operator that writes by this in-place method."""

    def method(self: Tensor, other: Any) -> Any:
        other = _operand(self, other)
        return other if other is NotImplemented else write(self, other)

    return method


class OperatorsMethods:
    """Python's operators as methods of Tensor."""

    __slots__ = ()

    __add__ = __radd__ = operator(arithmetic.add, elementwise.add)
    __mul__ = __rmul__ = operator(arithmetic.mul, elementwise.mul)
    __sub__ = operator(arithmetic.sub, elementwise.sub)
    __rsub__ = operator(arithmetic.sub, elementwise.sub, True)
    __truediv__ = operator(arithmetic.div, elementwise.div)
    __rtruediv__ = operator(arithmetic.div, elementwise.div, True)
    __floordiv__ = operator(arithmetic.floor_divide)
    __rfloordiv__ = operator(arithmetic.floor_divide, None, True)
    __mod__ = operator(arithmetic.remainder)
    __rmod__ = operator(arithmetic.remainder, None, True)
    __pow__ = operator(arithmetic.pow)
    __rpow__ = operator(arithmetic.pow, None, True)
    __matmul__ = product
    __rmatmul__ = product_from_left
    __and__ = __rand__ = operator(arithmetic.bitwise_and)
    __or__ = __ror__ = operator(arithmetic.bitwise_or)
    __xor__ = __rxor__ = operator(arithmetic.bitwise_xor)
    __lshift__ = operator(arithmetic.bitwise_left_shift)
    __rlshift__ = operator(arithmetic.bitwise_left_shift, None, True)
    __rshift__ = operator(arithmetic.bitwise_right_shift)
    __rrshift__ = operator(arithmetic.bitwise_right_shift, None, True)
    __lt__ = operator(comparison.lt, rounding.lt)
    __le__ = operator(comparison.le, rounding.le)
    __gt__ = operator(comparison.gt, rounding.gt)
    __ge__ = operator(comparison.ge, rounding.ge)
    if TYPE_CHECKING:

        def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]

    else:
        __eq__ = operator(comparison.eq, rounding.eq)
        __ne__ = operator(comparison.ne, rounding.ne)
    __neg__ = elementary.neg
    __pos__ = elementary.positive
    __abs__ = elementary.abs
    __invert__ = elementary.bitwise_not
    __iadd__ = assigning(arithmetic.ArithmeticMethods.add_)
    __isub__ = assigning(arithmetic.ArithmeticMethods.sub_)
    __imul__ = assigning(arithmetic.ArithmeticMethods.mul_)
    __itruediv__ = assigning(arithmetic.ArithmeticMethods.div_)
    __ifloordiv__ = assigning(arithmetic.ArithmeticMethods.floor_divide_)
    __imod__ = assigning(arithmetic.ArithmeticMethods.remainder_)
    __ipow__ = assigning(arithmetic.ArithmeticMethods.pow_)
    __iand__ = assigning(arithmetic.ArithmeticMethods.bitwise_and_)
    __ior__ = assigning(arithmetic.ArithmeticMethods.bitwise_or_)
    __ixor__ = assigning(arithmetic.ArithmeticMethods.bitwise_xor_)
    __ilshift__ = assigning(arithmetic.ArithmeticMethods.bitwise_left_shift_)
    __irshift__ = assigning(arithmetic.ArithmeticMethods.bitwise_right_shift_)

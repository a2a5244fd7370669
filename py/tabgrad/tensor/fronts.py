"""Functions that apply one primitive each, after casting and broadcasting; floats of one spec skip these."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.promotion import call, result_dtype
from tabgrad.core.spec import NO_PARAMS
from tabgrad.core.trace import Box, bind, operand
from tabgrad.tensor.public import WithOut, takes_out

if TYPE_CHECKING:
    from tabgrad.core.op import Op
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Number

FLOAT = dt.FLOAT


def unary(op: Any) -> WithOut[[Tensor], Tensor]:
    """Return the function of one tensor that applies `op` and takes `out`."""
    return takes_out(plain_unary(op))


def plain_unary(op: Any) -> Callable[[Tensor], Tensor]:
    """Return the function of one tensor that applies `op`."""

    floats = "f" in op.kinds

    def front(input: Tensor) -> Tensor:
        if floats and isinstance(input, Box) and input.spec.dtype.category == FLOAT:
            return bind(op, (input,), NO_PARAMS)
        return call(op, input)

    return _named(front, op)


def binary(op: Any) -> WithOut[[Tensor, Tensor | Number], Tensor]:
    """Return the function of two tensors or numbers that applies `op` and takes `out`."""
    plain = op.kinds == "biufc"

    def front(input: Tensor, other: Tensor | Number) -> Tensor:
        if plain and other.__class__ is float and isinstance(input, Box):
            want = input.spec
            if want.dtype.category >= FLOAT and want.dtype not in dt.HALVES:
                return bind(op, (input, operand(other, want, input.device)), NO_PARAMS)
        return call(op, input, other)

    return takes_out(_named(front, op))


def dividing(op: Op) -> WithOut[[Tensor, Tensor | Number], Tensor]:
    """Return `binary(op)` that refuses to divide integers by the number 0 on every device."""
    plain = binary(op)

    def front(input: Tensor, other: Tensor | Number) -> Tensor:
        if not isinstance(other, Box) and not other and result_dtype(input, other).category < FLOAT:
            raise RuntimeError(
                f"ZeroDivisionError: {op.name} of integers by 0; divide by 0.0 for inf and nan"
            )
        return plain(input, other)

    return takes_out(_named(front, op))


def _named(front: Any, op: Op) -> Any:
    front.__name__ = front.__qualname__ = op.name
    front.__doc__ = op.__doc__
    return front


def memory() -> Any:
    """Import what shares memory with other code, at the first call."""
    return import_module("tabgrad.tensor.memory")


def complex_numbers() -> Any:
    """Import the functions of complex numbers, at the first call."""
    return import_module("tabgrad.tensor.complex_numbers")

"""Functions that PyTorch keeps for itself and that packages call: conditions to check, a softmax's gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tabgrad.core.trace import Box

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor

Message = Callable[[], object] | None


def _check_with(error_type: type[Exception], cond: bool, message: Message) -> None:
    """Raise an error of this type unless `cond`; `message()` is its text."""
    if not isinstance(cond, bool):
        raise TypeError(f"cond must be a bool, but got {type(cond)}")
    if cond:
        return
    if message is not None and not callable(message):
        raise TypeError("message must be a callable")
    raise error_type(
        "Expected cond to be True, but got False."
        if message is None else str(message())
    )  # fmt: skip


def _check(cond: bool, message: Message = None) -> None:
    """Raise RuntimeError unless `cond`.

    >>> _check(1 < 2, lambda: "one is less than two")
    """
    _check_with(RuntimeError, cond, message)


def _assert(condition: Any, message: str) -> None:
    """Raise AssertionError with `message` unless `condition`; a tensor of one element is read."""
    if not condition:
        raise AssertionError(message)


def _check_index(cond: bool, message: Message = None) -> None:
    """Raise IndexError unless `cond`."""
    _check_with(IndexError, cond, message)


def _check_value(cond: bool, message: Message = None) -> None:
    """Raise ValueError unless `cond`."""
    _check_with(ValueError, cond, message)


def _check_type(cond: bool, message: Message = None) -> None:
    """Raise TypeError unless `cond`."""
    _check_with(TypeError, cond, message)


def _check_not_implemented(cond: bool, message: Message = None) -> None:
    """Raise NotImplementedError unless `cond`."""
    _check_with(NotImplementedError, cond, message)


def _check_tensor_all_with(
    error_type: type[Exception], cond: Tensor, message: Message = None
) -> None:
    """Raise an error of this type unless all elements of a tensor of bools are true."""
    if not isinstance(cond, Box):
        raise TypeError(f"cond must be a tensor, but got {type(cond)}")
    if cond.spec.dtype.name != "bool":
        raise TypeError(f"cond tensor must have dtype torch.bool, but got {cond.spec.dtype!r}")
    _check_with(error_type, bool(cond.all().item()), message)


def _check_tensor_all(cond: Tensor, message: Message = None) -> None:
    """Raise RuntimeError unless all elements of a tensor of bools are true."""
    _check_tensor_all_with(RuntimeError, cond, message)


def _softmax_backward_data(
    grad_output: Tensor, output: Tensor, dim: int, input_dtype: Any
) -> Tensor:
    """Return the gradient of the argument of a softmax over `dim` that gave `output`, in `input_dtype`.

    It is y (g − Σ g y).
    """
    inner = (grad_output * output).sum(dim, keepdim=True)
    return (output * (grad_output - inner)).to(input_dtype)

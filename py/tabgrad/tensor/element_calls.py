"""Functions of Python applied to each element of a tensor on the CPU, in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tabgrad.core.errors import DeviceError, DTypeError, GradientError
from tabgrad.core.trace import Box
from tabgrad.tensor import creation, shaping

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


def _check(name: str, *tensors: Tensor) -> None:
    """Raise for tensors whose elements can't be handed to Python."""
    for x in tensors:
        if not isinstance(x, Box):
            raise TypeError(f"{name}(): expected tensors, got {type(x).__name__}")
        if x.requires_grad:
            raise GradientError(
                f"Can't call {name}() on Variable that requires grad. Use var.detach().{name}() instead."
            )
        if x.device.type != "cpu":
            raise DeviceError(
                f"{name} is only implemented on CPU tensors, got one on {x.device}; move it with .to('cpu')"
            )
        if x.spec.dtype is not tensors[0].spec.dtype:
            raise DTypeError(
                f"{name}: expected tensors of one dtype, got {tensors[0].spec.dtype!r} and {x.spec.dtype!r}"
            )


def _written(x: Tensor, call: Callable[..., Any], *others: Tensor) -> Tensor:
    """Write what `call` makes of the elements to `x`; nothing is written where it raises."""
    lists = [shaping.flatten(y).tolist() for y in (x, *others)]
    values = [call(*each) for each in zip(*lists, strict=True)]
    made: Any = creation.tensor(values, dtype=x.spec.dtype, device=x.device)
    return x.copy_(made.reshape(x.spec.shape))


def apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Replace each element by what a function of Python returns for it; return self.

    It is slow, for tensors on the CPU alone, and has no derivative.

    >>> import tabgrad as tg
    >>> tg.tensor([1.0, -2.0], device="cpu").apply_(lambda x: x * 10)
    tensor([ 10., -20.])
    """
    _check("apply_", self)
    return _written(self, callable)


def map_(self: Tensor, other: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Replace each element by what a function of Python returns for it and that of `other`; return self.

    `other` has the same dtype, and a shape that can be expanded. As `apply_`.

    >>> import tabgrad as tg
    >>> x = tg.tensor([1.0, -2.0], device="cpu")
    >>> x.map_(tg.tensor([5.0, 3.0], device="cpu"), max)
    tensor([5., 3.])
    """
    _check("map_", self, other)
    return _written(self, callable, other.expand(self.spec.shape))


def map2_(self: Tensor, x: Tensor, y: Tensor, callable: Callable[[Any, Any, Any], Any]) -> Tensor:
    """Replace each element by what a function of Python returns for it and those of two tensors; as `map_`."""
    _check("map2_", self, x, y)
    shape = self.spec.shape
    return _written(self, callable, x.expand(shape), y.expand(shape))


class ElementCallMethods:
    """The methods of Tensor that are here."""

    __slots__ = ()

    apply_ = apply_
    map_ = map_
    map2_ = map2_


__all__: list[str] = []

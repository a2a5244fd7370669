"""PyTorch's deprecated `Variable`: the tensor with gradients, from before every tensor could have them."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.core.errors import warn
from tabgrad.transforms.hooks import queue_callback


class _Engine:
    """What programs call of PyTorch's engine."""

    queue_callback = staticmethod(queue_callback)


class _Variables(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, tg.Tensor)


class Variable(metaclass=_Variables):
    """Another name of Tensor, from before every tensor could have gradients: `requires_grad` says it today.

    `Variable(data, requires_grad)` is `data.detach().requires_grad_(requires_grad)`, and every tensor is an
    instance of Variable.

    >>> import tabgrad as tg
    >>> tg.autograd.Variable(tg.tensor([1.0]), requires_grad=True)
    tensor([1.], requires_grad=True)
    """

    _execution_engine = _Engine()

    def __new__(
        cls, data: Any = None, requires_grad: bool = False, volatile: bool | None = None
    ) -> Any:
        """Make a tensor that shares the values of `data`; without it, one of no elements."""
        if data is None:
            data = tg.empty(0)
        if volatile:
            warn(
                "volatile was removed and has no effect: use `with no_grad():` instead",
            )
        if not isinstance(data, tg.Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        return data.detach().requires_grad_(requires_grad)

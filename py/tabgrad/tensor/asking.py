"""Names of types, equal shapes, numbers of threads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from tabgrad.core.errors import ArgumentError
from tabgrad.core.settings import setting
from tabgrad.core.trace import Box
from tabgrad.tensor.public import publish

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


@setting
class _Threads:
    wanted = 0


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Return whether two tensors have one shape.

    >>> import tabgrad as tg
    >>> tg.is_same_size(tg.zeros(2, device="cpu"), tg.ones(2, device="cpu"))
    True
    """
    return input.spec.shape == other.spec.shape


def typename(obj: Any, /) -> str:
    """Return the name of the type of `obj` with its module; of a tensor the name for its dtype and device.

    >>> import tabgrad as tg
    >>> tg.typename(3), tg.typename(tg.nn.ReLU())
    ('int', 'tabgrad.nn.activation.ReLU')
    """
    if isinstance(obj, Box):
        return str(obj.type())  # type: ignore[attr-defined]
    kind = obj if isinstance(obj, type) else type(obj)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def get_num_threads() -> int:
    """Return the number that `set_num_threads` was told, at first that of the processors."""
    return _Threads.wanted or os.cpu_count() or 1


def set_num_threads(num: int) -> None:
    """Remember a number of threads. NumPy decides by itself how many its products take.

    >>> import tabgrad as tg
    >>> tg.set_num_threads(2)
    >>> tg.get_num_threads()
    2
    """
    if not hasattr(num, "__index__") or isinstance(num, bool):
        raise TypeError(f"set_num_threads expects an int, but got {type(num).__name__}")
    if num < 1:
        raise ArgumentError(f"set_num_threads expects a positive integer, got {num}")
    _Threads.wanted = num.__index__()


class AskingMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    is_same_size = is_same_size


__all__ = ["get_num_threads", "is_same_size", "set_num_threads", "typename"]

publish(globals())

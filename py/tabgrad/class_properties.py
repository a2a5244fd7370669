"""Properties that ask `__torch_function__`, in classes that have one: plain tensors pay nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import tabgrad as tg

READ = (
    "device",
    "dtype",
    "grad_fn",
    "is_cuda",
    "is_leaf",
    "itemsize",
    "layout",
    "nbytes",
    "ndim",
    "shape",
)
WRITTEN = ("data", "grad", "requires_grad")


def put(cls: Any, asked: Any) -> Callable[[], None]:
    """Let the properties of a class ask first, and return what undoes it.

    `asked(inner, func)` returns a call of `inner` that asks. What is told to be called is the `__get__` or
    `__set__` of the property of Tensor, as in PyTorch.
    """
    added = []
    for name in READ + WRITTEN:
        held = inspect.getattr_static(tg.Tensor, name)
        if inspect.getattr_static(cls, name) is held:
            setattr(cls, name, _asking(held, asked, name in WRITTEN))
            added.append(name)

    def undo() -> None:
        for name in added:
            delattr(cls, name)

    return undo


def _asking(held: Any, asked: Any, written: bool) -> property:
    get = asked(lambda self: held.__get__(self, type(self)), held.__get__)
    put = asked(held.__set__, held.__set__) if written else held.__set__
    # tensors are made by setting their fields, of which nobody need know
    return property(lambda self: get(self), lambda self, value: put(self, value), doc=held.__doc__)

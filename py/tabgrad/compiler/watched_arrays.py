"""NumPy arrays among the arguments of a compiled call: inputs, if only tabgrad reads their numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

_QUIET = frozenset(
    ("__array_interface__", "__array__", "__array_struct__", "shape", "dtype", "ndim", "size", "nbytes",
     "itemsize", "__class__", "__dict__", "__len__", "__array_finalize__", "__array_ufunc__",
     "__array_function__", "__array_priority__", "origin")
)  # fmt: skip
"""Attributes that reveal no element."""


class Origin:
    """An argument's array: its position, its contents before the call, and whether code has read them."""

    def __init__(self, array: np.ndarray[Any, Any], index: int) -> None:
        self.array = array
        self.index = index
        self.read = False
        self.before: bytes | None = None
        self.view: Any = None

    def let_go(self) -> None:
        """Stop watching."""
        object.__setattr__(self.view, "origin", None)
        self.view = None


class Watched(np.ndarray):
    """An array in a captured call, which notes that code reads its numbers."""

    origin: Origin | None = None

    def __array_finalize__(self, source: object) -> None:
        object.__setattr__(self, "origin", getattr(source, "origin", None))

    def __getattribute__(self, name: str) -> Any:
        if name not in _QUIET:
            _note(self)
        return super().__getattribute__(name)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: object, **kwargs: Any) -> Any:
        out = kwargs.get("out")
        if out is not None:
            kwargs["out"] = tuple(_plain(x) for x in out)
        return getattr(ufunc, method)(*map(_plain, inputs), **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return func(*_all_plain(args), **_all_plain(kwargs))


def _note(x: Watched) -> None:
    origin = object.__getattribute__(x, "origin")
    if origin is not None:
        origin.read = True


def _plain(x: object) -> Any:
    if isinstance(x, Watched):
        _note(x)
        return np.asarray(x)
    return x


def _all_plain(tree: object) -> Any:
    if isinstance(tree, dict):
        return {k: _all_plain(v) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(map(_all_plain, tree))
    return _plain(tree)


def _reading(name: str) -> Callable[..., Any]:
    def method(self: Watched, *args: object) -> Any:
        _note(self)
        return getattr(np.ndarray, name)(self, *args)

    method.__name__ = name
    return method


for _name in (
    "__getitem__", "__setitem__", "__iter__", "__bool__", "__int__", "__float__", "__index__", "__complex__",
    "__contains__", "__repr__", "__str__", "__format__", "__copy__", "__deepcopy__", "__reduce_ex__",
):  # fmt: skip
    if hasattr(np.ndarray, _name):
        setattr(Watched, _name, _reading(_name))


def watched(array: np.ndarray[Any, Any], index: int) -> tuple[Any, Origin]:
    """Make a view of `array` that notes reads of its numbers in an Origin; return both."""
    origin = Origin(array, index)
    view = origin.view = array.view(Watched)
    object.__setattr__(view, "origin", origin)
    return view, origin

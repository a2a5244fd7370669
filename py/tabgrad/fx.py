"""Names of PyTorch's symbolic traces: there are none here. `export` makes programs of modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from tabgrad.core.submodules import missing_from as _missing_from

_F = TypeVar("_F", bound="str | Callable[..., Any]")


class Proxy:
    """Would stand for a value while a module is traced; nothing is an instance of it.

    >>> import tabgrad as tg
    >>> isinstance(tg.ones(1), Proxy)
    False
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise NotImplementedError."""
        raise NotImplementedError(
            f"{cls.__name__}: there are no symbolic traces here; export.export makes a program of a module"
        )


class Graph(Proxy):
    """Would be a traced program; nothing is an instance of it."""


class GraphModule(Proxy):
    """Would be a module with a traced program; nothing is an instance of it."""


class Node(Proxy):
    """Would be a step of a traced program; nothing is an instance of it."""


def wrap(fn_or_name: _F) -> _F:
    """Return what it gets, as PyTorch does: it marks a function that traces don't go into."""
    return fn_or_name


__path__: list[str] = []  # modules of `core/paths.py` stand below it
if not TYPE_CHECKING:
    __getattr__ = _missing_from(__name__)
__all__ = ["Graph", "GraphModule", "Node", "Proxy", "wrap"]

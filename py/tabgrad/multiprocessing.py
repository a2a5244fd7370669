"""Python's `multiprocessing`, which PyTorch shows under its own name; tensors travel by pickling."""

from __future__ import annotations

import multiprocessing as _python
from typing import TYPE_CHECKING


def get_sharing_strategy() -> str:
    """Return how tensors travel between processes: here they are pickled."""
    return "file_system"


def get_all_sharing_strategies() -> set[str]:
    """Return the ways in which tensors can travel between processes."""
    return {"file_system"}


def set_sharing_strategy(new_strategy: str) -> None:
    """Choose how tensors travel between processes; there is one way.

    >>> import tabgrad as tg
    >>> tg.multiprocessing.set_sharing_strategy("file_system")
    """
    if new_strategy not in get_all_sharing_strategies():
        raise ValueError(
            f"set_sharing_strategy: expected 'file_system', the one there is, got {new_strategy!r}"
        )


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Return the name of Python's module."""
        if name.startswith("__"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(_python, name)

    def __dir__() -> list[str]:
        """Return the names of Python's module, and those here."""
        return sorted({*globals(), *dir(_python)})

"""What programs around a training loop need."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

if _TYPE_CHECKING:
    from tabgrad.utils import checkpoint as checkpoint, data as data, hooks as hooks


def __getattr__(name: str) -> object:
    """Import a part when it is first asked for."""
    if name in ("checkpoint", "data", "hooks"):
        return _import_module(f"tabgrad.utils.{name}")
    raise AttributeError(f"module 'tabgrad.utils' has no attribute {name!r}")

"""Models averaged every few steps."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from tabgrad.core.submodules import missing_from

if not TYPE_CHECKING:
    _missing = missing_from(__name__)

    def __getattr__(name: str) -> object:
        """Import a submodule when it is asked for."""
        if name in ("averagers",):
            return import_module(f"{__name__}.{name}")
        return _missing(name)

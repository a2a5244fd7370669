"""Models averaged every few steps."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from tabgrad.core.submodules import missing_from as _missing_from

if TYPE_CHECKING:
    from tabgrad.distributed.algorithms.model_averaging import (
        averagers as averagers,
    )
else:
    _missing = _missing_from(__name__)

    def __getattr__(name: str) -> object:
        """Import a submodule when it is asked for."""
        if name in ("averagers",):
            return import_module(f"{__name__}.{name}")
        return _missing(name)

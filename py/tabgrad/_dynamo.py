"""Switches of PyTorch's compiler that programs set; `compile` here has none of them."""

from __future__ import annotations

from typing import Any

from tabgrad.compiler.marks import (
    allow_in_graph as allow_in_graph,
    disable as disable,
    is_compiling as is_compiling,
    reset as reset,
)
from tabgrad.core.settings import on_restore


class _Config:
    """Remembers what a program sets: cache sizes, logging, whether errors are passed over."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


config = _Config()


@on_restore
def _forget() -> None:
    vars(config).clear()

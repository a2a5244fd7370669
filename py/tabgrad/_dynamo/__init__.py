"""Switches of PyTorch's compiler that programs set; `compile` here has none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabgrad.compiler.marks import (
    allow_in_graph as allow_in_graph,
    assume_constant_result as assume_constant_result,
    disable as disable,
    is_compiling as is_compiling,
    reset as reset,
)
from tabgrad.core.settings import on_restore
from tabgrad.core.submodules import missing_from


class _Config:
    """Remembers what a program sets: cache sizes, logging, whether errors are passed over."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


def mark_static_address(t: Any, guard: bool = False) -> None:
    """Do nothing: a compiled call finds tensors by what they are, not where they lie."""


def mark_dynamic(t: Any, index: Any, **hints: Any) -> None:
    """Do nothing: `compile` finds out itself which sizes change; see its `dynamic`."""


mark_static = maybe_mark_dynamic = mark_dynamic

config = _Config()
if not TYPE_CHECKING:
    __getattr__ = missing_from(__name__)


@on_restore
def _forget() -> None:
    vars(config).clear()

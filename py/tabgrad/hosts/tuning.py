"""Whether kernels are chosen by measuring them; `tabgrad.backends.webgpu` sets it."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from tabgrad.core.settings import setting

CHOOSING: WeakSet[Any] = WeakSet()
"""The backends that choose among kernels."""


@setting
class Tuning:
    """The settings."""

    benchmark: bool | None = None
    """Whether variants of kernels are timed on the adapter: None for all adapters but software."""
    deterministic = False
    """Whether every choice is the fixed one, so that all adapters of one kind compute the same bits."""


def measures(software: bool) -> bool:
    """Whether an adapter's kernels are chosen by measuring them."""
    if Tuning.deterministic:
        return False
    return not software if Tuning.benchmark is None else Tuning.benchmark


def tune(benchmark: bool | None, deterministic: bool) -> None:
    """Set how kernels are chosen; plans with others are lowered again."""
    if (Tuning.benchmark, Tuning.deterministic) == (benchmark, deterministic):
        return
    Tuning.benchmark, Tuning.deterministic = benchmark, deterministic
    for backend in list(CHOOSING):
        if not backend.left():
            backend.choose_anew()

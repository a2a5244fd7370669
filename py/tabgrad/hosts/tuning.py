"""Whether kernels are chosen by measuring them; `tabgrad.backends.webgpu` sets it."""

from __future__ import annotations

from tabgrad.core.settings import setting
from tabgrad.hosts.devices import connected


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
    for where in connected():
        if where.recorder is not None:
            where.recorder.choose_anew()

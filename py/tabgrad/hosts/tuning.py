"""Whether kernels are chosen by measuring them, which `tabgrad.backends.webgpu` sets, and whether products of
float32 may be rounded to tf32, which `set_float32_matmul_precision` sets."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from tabgrad.core.capture import capturing
from tabgrad.core.settings import on_restore, setting

CHOOSING: WeakSet[Any] = WeakSet()
"""The backends that choose among kernels."""


@setting
class Tuning:
    """The settings."""

    benchmark: bool | None = None
    """Whether variants of kernels are timed on the adapter: None for all adapters but software."""
    deterministic = False
    """Whether every choice is the fixed one, so that all adapters of one kind compute the same bits."""


class Precision:
    """How products are computed; `allow_tf32` sets it."""

    tf32 = False
    """Whether CUDA devices may round float32 operands of products to tf32, which has 10 bits of fraction."""


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


def allow_tf32(allowed: bool) -> None:
    """Set whether products may use tf32; what was recorded before is computed as it was asked for."""
    if Precision.tf32 == allowed:
        return
    if capturing() is None:
        for backend in list(CHOOSING):
            if backend.limits.tensor_cores and not backend.left():
                backend.flush_all()
    _switch(allowed)


def _switch(allowed: bool) -> None:
    if Precision.tf32 == allowed:
        return
    Precision.tf32 = allowed
    for backend in list(CHOOSING):
        if backend.limits.tensor_cores and not backend.left():
            backend.choose_anew(every=True)


on_restore(lambda: _switch(False))

"""Tools for programs around a training loop."""

import typing as _typing
from importlib import import_module as _import_module

from tabgrad.utils.accumulation import GradientAccumulator as GradientAccumulator

if _typing.TYPE_CHECKING:
    from tabgrad.utils import (
        checkpoint as checkpoint,
        data as data,
        hooks as hooks,
        recovery as recovery,
    )  # fmt: skip
else:

    def __getattr__(name: str) -> object:
        """Import a module on first use, as `tabgrad.utils.checkpoint`."""
        if name in ("checkpoint", "data", "hooks", "recovery"):
            return _import_module(f"tabgrad.utils.{name}")
        raise AttributeError(f"module 'tabgrad.utils' has no attribute {name!r}")

    def __dir__() -> list[str]:
        """List all names, including those that are imported on first use."""
        return sorted({*globals(), "checkpoint", "data", "hooks", "recovery"})

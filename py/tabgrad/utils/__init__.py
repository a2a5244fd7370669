"""Tools for programs around a training loop."""

import typing as _typing
from importlib import import_module as _import_module

from tabgrad.core.submodules import missing_from as _missing_from
from tabgrad.utils.accumulation import GradientAccumulator as GradientAccumulator

if _typing.TYPE_CHECKING:
    from tabgrad.utils import (
        benchmark as benchmark,
        checkpoint as checkpoint,
        data as data,
        hooks as hooks,
        recovery as recovery,
    )  # fmt: skip
else:
    _ON_DEMAND = (
        "_pytree",
        "benchmark",
        "checkpoint",
        "data",
        "einops",
        "hooks",
        "recovery",
        "scipy",
    )

    def __getattr__(name: str) -> object:
        """Import a module on first use, as `tabgrad.utils.checkpoint`."""
        if name in _ON_DEMAND:
            return _import_module(f"tabgrad.utils.{name}")
        return _missing_from(__name__)(name)

    def __dir__() -> list[str]:
        """List all names, including those that are imported on first use."""
        return sorted({*globals(), *_ON_DEMAND})

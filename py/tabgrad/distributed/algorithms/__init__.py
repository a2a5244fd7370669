"""What is built of collective calls: compression of gradients, uneven inputs, averages of models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from tabgrad.core.submodules import missing_from as _missing_from
from tabgrad.distributed.algorithms.join import (
    Join as Join,
    Joinable as Joinable,
    JoinHook as JoinHook,
)

if TYPE_CHECKING:
    from tabgrad.distributed.algorithms import (
        ddp_comm_hooks as ddp_comm_hooks,
        model_averaging as model_averaging,
    )
else:
    _missing = _missing_from(__name__)

    def __getattr__(name: str) -> object:
        """Import a submodule when it is asked for."""
        if name in ("ddp_comm_hooks", "model_averaging"):
            return import_module(f"{__name__}.{name}")
        return _missing(name)

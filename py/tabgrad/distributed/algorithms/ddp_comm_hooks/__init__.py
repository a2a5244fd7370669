"""Hooks that average the gradients of DistributedDataParallel, most of them compressed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from tabgrad.core.submodules import missing_from as _missing_from

if TYPE_CHECKING:
    from tabgrad.distributed.algorithms.ddp_comm_hooks import (
        default_hooks as default_hooks,
        post_localSGD_hook as post_localSGD_hook,
        powerSGD_hook as powerSGD_hook,
        quantization_hooks as quantization_hooks,
        sign_hooks as sign_hooks,
        sparsification_hooks as sparsification_hooks,
    )
else:
    _missing = _missing_from(__name__)

    def __getattr__(name: str) -> object:
        """Import a submodule when it is asked for."""
        if name in (
            "default_hooks",
            "post_localSGD_hook",
            "powerSGD_hook",
            "quantization_hooks",
            "sign_hooks",
            "sparsification_hooks",
        ):
            return import_module(f"{__name__}.{name}")
        return _missing(name)

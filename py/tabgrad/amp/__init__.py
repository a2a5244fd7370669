"""Mixed precision: fast ops in half precision, delicate ones in single; PyTorch's `amp`."""

import typing as _typing

from tabgrad.amp.autocast_mode import (
    autocast as autocast,
    custom_bwd as custom_bwd,
    custom_fwd as custom_fwd,
    get_autocast_dtype as get_autocast_dtype,
    is_autocast_available as is_autocast_available,
    is_autocast_enabled as is_autocast_enabled,
    set_autocast_dtype as set_autocast_dtype,
    set_autocast_enabled as set_autocast_enabled,
)  # fmt: skip
from tabgrad.amp.grad_scaler import GradScaler as GradScaler
from tabgrad.core.submodules import missing_from as _missing_from

if not _typing.TYPE_CHECKING:
    __getattr__ = _missing_from(__name__)

"""PyTorch's older names for mixed precision on CUDA; `tabgrad.amp` has the present ones."""

from __future__ import annotations

from typing import Any

from tabgrad import amp as _amp
from tabgrad.core.dtype import DType, float16
from tabgrad.hosts.devices import is_available as _has


class autocast(_amp.autocast):
    """`amp.autocast("cuda", ...)`; without the device it casts nothing and says so once a program."""

    def __init__(
        self, enabled: bool = True, dtype: DType = float16, cache_enabled: bool = True
    ) -> None:
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(_amp.GradScaler):
    """`amp.GradScaler("cuda", ...)`; without the device it scales nothing."""

    def __init__(
        self, init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5,
        growth_interval: int = 2000, enabled: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            "cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled
        )


def custom_fwd(fwd: Any = None, *, cast_inputs: DType | None = None) -> Any:
    """Run a Function's forward under the autocast that it is applied in."""
    return _amp.custom_fwd(fwd, device_type="cuda", cast_inputs=cast_inputs)


def custom_bwd(bwd: Any) -> Any:
    """Run a Function's backward under the autocast of its forward."""
    return _amp.custom_bwd(bwd, device_type="cuda")


def amp_definitely_not_available() -> bool:
    """Whether there is no CUDA device."""
    return not _has("cuda")

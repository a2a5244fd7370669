"""PyTorch's older names for asking and switching autocast, one for each type of device."""

from __future__ import annotations

from tabgrad.amp.autocast_mode import (
    get_autocast_dtype,
    is_autocast_enabled,
    set_autocast_dtype,
    set_autocast_enabled,
)  # fmt: skip
from tabgrad.core.dtype import DType
from tabgrad.core.settings import setting


@setting
class _Cache:
    enabled = True


def is_autocast_cpu_enabled() -> bool:
    """Return whether autocast is on for the CPU; `is_autocast_enabled("cpu")`.

    >>> import tabgrad as tg
    >>> tg.is_autocast_cpu_enabled()
    False
    """
    return is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """Switch autocast on or off for the CPU; `set_autocast_enabled("cpu", enabled)`."""
    set_autocast_enabled("cpu", _flag("set_autocast_cpu_enabled", enabled))


def get_autocast_cpu_dtype() -> DType:
    """Return the dtype that autocast uses for the CPU; `get_autocast_dtype("cpu")`."""
    return get_autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype: DType) -> None:
    """Choose the dtype that autocast uses for the CPU; `set_autocast_dtype("cpu", dtype)`."""
    set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype() -> DType:
    """Return the dtype that autocast uses for CUDA; `get_autocast_dtype("cuda")`."""
    return get_autocast_dtype("cuda")


def set_autocast_gpu_dtype(dtype: DType) -> None:
    """Choose the dtype that autocast uses for CUDA; `set_autocast_dtype("cuda", dtype)`."""
    set_autocast_dtype("cuda", dtype)


def is_autocast_cache_enabled() -> bool:
    """Return what `set_autocast_cache_enabled` was last told; nothing is cached, because casts are fused.

    >>> import tabgrad as tg
    >>> tg.is_autocast_cache_enabled()
    True
    """
    return _Cache.enabled


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Remember whether cast weights are to be kept for the next use."""
    _Cache.enabled = _flag("set_autocast_cache_enabled", enabled)


def _flag(name: str, given: object) -> bool:
    if not isinstance(given, bool):
        raise TypeError(f"{name}: enabled must be a bool (got {type(given).__name__})")
    return given


__all__ = [
    "get_autocast_cpu_dtype", "get_autocast_gpu_dtype", "is_autocast_cache_enabled", "is_autocast_cpu_enabled",
    "set_autocast_cache_enabled", "set_autocast_cpu_dtype", "set_autocast_cpu_enabled",
    "set_autocast_gpu_dtype",
]  # fmt: skip

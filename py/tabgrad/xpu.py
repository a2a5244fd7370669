"""Intel's GPUs by PyTorch's names, as on a machine that has none: `webgpu` drives them here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabgrad.core.submodules import missing_from as _missing_from


def is_available() -> bool:
    """Whether there is a device "xpu": there is none.

    >>> is_available()
    False
    """
    return False


def device_count() -> int:
    """Return the number of devices, 0."""
    return 0


def is_initialized() -> bool:
    """Whether the devices are in use: there are none."""
    return False


def is_bf16_supported() -> bool:
    """Whether the devices have bfloat16: there are none."""
    return False


def empty_cache() -> None:
    """Do nothing: there is no memory of such devices."""


def manual_seed(seed: int) -> None:
    """Do nothing: the devices whose generator it would seed are not here."""


def manual_seed_all(seed: int) -> None:
    """Do nothing, as `manual_seed`."""


if not TYPE_CHECKING:
    __getattr__ = _missing_from(__name__)
__all__ = [
    "device_count", "empty_cache", "is_available", "is_bf16_supported", "is_initialized", "manual_seed",
    "manual_seed_all",
]  # fmt: skip

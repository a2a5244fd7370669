"""The CPU asked as if it were an accelerator; PyTorch's `cpu`."""

from __future__ import annotations

from typing import Any


def is_available() -> bool:
    """Whether there is a CPU.

    >>> import tabgrad as tg
    >>> tg.cpu.is_available(), tg.cpu.device_count()
    (True, 1)
    """
    return True


def device_count() -> int:
    """Return 1: all processors are one device."""
    return 1


def current_device() -> str:
    """Return "cpu"."""
    return "cpu"


def synchronize(device: Any = None) -> None:
    """Do nothing: an op on the CPU is done when it returns."""

"""The accelerator of this machine, if there is one; PyTorch's `torch.accelerator`."""

from __future__ import annotations

from typing import Any

from tabgrad.hosts.devices import (
    Device,
    device as device_of,
    get_default_device,
    is_available as _has,
)

KINDS = ("cuda", "webgpu")


def current_accelerator(check_available: bool = False) -> Device | None:
    """Return the accelerator that tensors go to: the default device, or the best there is; None without.

    >>> import tabgrad as tg
    >>> tg.accelerator.current_accelerator() is None or tg.accelerator.is_available()
    True
    """
    default = get_default_device()
    if default.type != "cpu":
        return default
    return next((device_of(kind) for kind in KINDS if _has(kind)), None)


def is_available() -> bool:
    """Return whether there is an accelerator; looking may open it."""
    return current_accelerator() is not None


def device_count() -> int:
    """Return how many accelerators can be used: 0 or 1."""
    return int(is_available())


def synchronize(device: Any = None) -> None:
    """Wait until the accelerator has done all that it was given."""
    found = current_accelerator() if device is None else device_of(device)
    if found is not None:
        found.backend.synchronize()


async def synchronize_async(device: Any = None) -> None:
    """Await what `synchronize` waits for: works where Python can't wait."""
    found = current_accelerator() if device is None else device_of(device)
    if found is not None:
        await found.backend.synchronize_async()

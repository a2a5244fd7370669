"""The accelerator by the name it has in programs for Macs; PyTorch's `mps`."""

from __future__ import annotations

from tabgrad import accelerator
from tabgrad.hosts.devices import is_available as _has
from tabgrad.tensor import generator


def is_available() -> bool:
    """Whether "mps" names a device: under the alias `torch` it does if there is an accelerator.

    >>> import tabgrad as tg
    >>> tg.mps.is_available()
    False
    """
    return _has("mps")


def device_count() -> int:
    """Return the number of devices, 0 or 1."""
    return int(is_available())


def synchronize() -> None:
    """Wait until the accelerator has finished all work."""
    accelerator.synchronize()


def manual_seed(seed: int) -> None:
    """Seed the default generator, which all devices share."""
    generator.manual_seed(seed)


def empty_cache() -> None:
    """Release the unused buffers that are kept for later tensors."""
    accelerator.empty_cache()


def current_allocated_memory() -> int:
    """Return the bytes of buffers that tensors use."""
    return accelerator.memory_allocated()


def driver_allocated_memory() -> int:
    """Return the bytes of all buffers on the device, in use or kept for later tensors."""
    return accelerator.memory_reserved()

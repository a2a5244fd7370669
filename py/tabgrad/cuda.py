"""CUDA devices, by PyTorch's names."""

from __future__ import annotations

from typing import Any

from tabgrad.functions import generator
from tabgrad.hosts.devices import device as device_of, is_available as _has


def is_available() -> bool:
    """Return whether there is a CUDA device; looking may open it.

    >>> import tabgrad as tg
    >>> device = "cuda" if tg.cuda.is_available() else "cpu"
    """
    return _has("cuda")


def device_count() -> int:
    """Return how many CUDA devices can be used: 0 or 1."""
    return int(is_available())


def current_device() -> int:
    """Return the index of the CUDA device."""
    return 0


def get_device_name(device: Any = None) -> str:
    """Return the name of the CUDA device."""
    return str(device_of("cuda").backend.host.hello.adapter.name)


def synchronize(device: Any = None) -> None:
    """Wait until the CUDA device has done all that it was given."""
    device_of("cuda" if device is None else device).backend.synchronize()


def manual_seed(seed: int) -> None:
    """Start the generator, which serves every device, anew from `seed`."""
    generator.manual_seed(seed)


manual_seed_all = manual_seed


def empty_cache() -> None:
    """Do nothing: buffers are given back as tensors are dropped."""

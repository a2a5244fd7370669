"""CUDA devices, by PyTorch's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabgrad import accelerator
from tabgrad.hosts.devices import device as _device, is_available as _has
from tabgrad.tensor import generator

if TYPE_CHECKING:
    from tabgrad.tensor.types import DeviceLike


def is_available() -> bool:
    """Whether a CUDA device is available; this may connect to it.

    >>> import tabgrad as tg
    >>> device = "cuda" if tg.cuda.is_available() else "cpu"
    """
    return _has("cuda")


def device_count() -> int:
    """Return the number of available CUDA devices, 0 or 1."""
    return int(is_available())


def current_device() -> int:
    """Return the index of the CUDA device."""
    return 0


def get_device_name(device: DeviceLike | None = None) -> str:
    """Return the name of the CUDA device."""
    recorder = _device("cuda").recorder
    assert recorder is not None
    return str(recorder.host.hello.adapter.name)


def synchronize(device: DeviceLike | None = None) -> None:
    """Wait until the CUDA device has finished all work."""
    _device("cuda" if device is None else device).backend.synchronize()


def manual_seed(seed: int) -> None:
    """Seed the default generator, which all devices share."""
    generator.manual_seed(seed)


manual_seed_all = manual_seed


def empty_cache() -> None:
    """Release the unused buffers that are kept for later tensors, if the device is available."""
    if _has("cuda"):
        accelerator.empty_cache("cuda")


def memory_allocated(device: DeviceLike | None = None) -> int:
    """Return the bytes of buffers that tensors use."""
    return accelerator.memory_allocated("cuda" if device is None else device)


def max_memory_allocated(device: DeviceLike | None = None) -> int:
    """Return the peak of the bytes in use."""
    return accelerator.max_memory_allocated("cuda" if device is None else device)


def memory_reserved(device: DeviceLike | None = None) -> int:
    """Return the bytes of all buffers, in use or kept for later tensors."""
    return accelerator.memory_reserved("cuda" if device is None else device)


def memory_summary(device: DeviceLike | None = None, abbreviated: bool = False) -> str:
    """Describe the memory use of the device, in lines of text; there is one length of it."""
    return accelerator.memory_summary("cuda" if device is None else device)

"""The accelerator of this machine, if there is one; PyTorch's `torch.accelerator`."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

from tabgrad.core.errors import DeviceError
from tabgrad.core.settings import on_restore
from tabgrad.hosts.devices import (
    Device,
    best_accelerator,
    connected,
    device as device_of,
    get_default_device,
)

if TYPE_CHECKING:
    from tabgrad.hosts.pool import Pool
    from tabgrad.tensor.types import DeviceLike


def current_accelerator(check_available: bool = False) -> Device | None:
    """Return the default device if it is an accelerator, else the best one available, or None.

    >>> import tabgrad as tg
    >>> tg.accelerator.current_accelerator() is None or tg.accelerator.is_available()
    True
    """
    default = get_default_device()
    if default.type != "cpu":
        return default
    return best_accelerator()


def is_available() -> bool:
    """Whether an accelerator is available; this may connect to it."""
    return current_accelerator() is not None


def device_count() -> int:
    """Return the number of available accelerators, 0 or 1."""
    return int(is_available())


def current_device_index() -> int:
    """Return the index of the accelerator: there is one, of index 0."""
    return 0


def set_device_index(device: DeviceLike | int, /) -> None:
    """Choose the accelerator that is used: there is one, so its index is 0, or negative for no change.

    >>> import tabgrad as tg
    >>> tg.accelerator.set_device_index(0)
    """
    index = device if isinstance(device, int) else device_of(device).index or 0
    if index > 0:
        raise DeviceError(f"set_device_index: there is one device, of index 0; got {index}")


current_device_idx, set_device_idx = current_device_index, set_device_index


def synchronize(device: DeviceLike | None = None) -> None:
    """Wait until the accelerator has finished all work."""
    found = current_accelerator() if device is None else device_of(device)
    if found is not None:
        found.backend.synchronize()


async def synchronize_async(device: DeviceLike | None = None) -> None:
    """Do what `synchronize` does, without blocking."""
    found = current_accelerator() if device is None else device_of(device)
    if found is not None:
        await found.backend.synchronize_async()


def _pool(device: DeviceLike | None) -> Pool | None:
    """Return the buffer pool of the accelerator, with dropped buffers taken back; None if there is none."""
    found = current_accelerator() if device is None else device_of(device)
    recorder = None if found is None else found.recorder
    if recorder is None:
        return None
    with recorder.lock:
        recorder.graph.collect()
        recorder.pool.reclaim()
    return recorder.pool


def empty_cache(device: DeviceLike | None = None) -> None:
    """Release the unused buffers that are kept for later tensors."""
    pool = _pool(device)
    if pool is not None:
        with pool.backend.lock:
            pool.trim(0)
            pool.backend.submit_pending()


def memory_allocated(device_index: DeviceLike | None = None, /) -> int:
    """Return the bytes of buffers that tensors use; a value that is not yet computed uses none.

    >>> import tabgrad as tg
    >>> tg.accelerator.memory_allocated("cpu")
    0
    """
    pool = _pool(device_index)
    return 0 if pool is None else int(pool.live_bytes)


def max_memory_allocated(device_index: DeviceLike | None = None, /) -> int:
    """Return the peak of the bytes in use since the start, or since `reset_peak_memory_stats`."""
    pool = _pool(device_index)
    return 0 if pool is None else int(pool.peak_bytes)


def reset_peak_memory_stats(device_index: DeviceLike | None = None, /) -> None:
    """Reset the peak to the bytes in use now."""
    pool = _pool(device_index)
    if pool is not None:
        pool.peak_bytes = pool.live_bytes


def memory_reserved(device_index: DeviceLike | None = None, /) -> int:
    """Return the bytes of all buffers on the device, in use or kept for later tensors."""
    pool = _pool(device_index)
    return 0 if pool is None else int(pool.live_bytes + pool.spare_bytes)


def set_memory_limit(nbytes: int | None, device: DeviceLike | None = None) -> None:
    """Limit the bytes that tensors use on the accelerator, also after it was lost; None removes the limit.

    A step that would need more raises OutOfMemoryError and has no effect.
    """
    limit = None if nbytes is None else _bytes(nbytes)
    pool = _pool(device)
    if pool is not None:
        pool.limit = pool.backend.device.memory_limit = limit


def _bytes(n: object) -> int:
    """Convert a user's number of bytes to an int; raise unless it is a whole number from 0 on."""
    expected = "set_memory_limit: expected bytes, a whole number from 0 on, or None"
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"{expected}, got {n!r}, a {type(n).__name__}")
    whole = operator.index(n)
    if whole < 0:
        raise ValueError(f"{expected}, got {whole}")
    return whole


@on_restore
def _begin_anew() -> None:
    for where in connected():
        if where.recorder is not None:
            where.recorder.pool.limit = where.memory_limit = None
            reset_peak_memory_stats(where)


def memory_summary(device: DeviceLike | None = None) -> str:
    """Describe the memory use of the accelerator, in lines of text.

    >>> import tabgrad as tg
    >>> print(tg.accelerator.memory_summary("cpu"))
    no buffers: tensors of this device are NumPy arrays
    """
    pool = _pool(device)
    if pool is None:
        return "no buffers: tensors of this device are NumPy arrays"
    rows = [
        ("in use", pool.live, pool.live_bytes),
        ("most at one time", None, pool.peak_bytes),
        ("kept for the next", sum(map(len, pool.spare.values())), pool.spare_bytes),
        ("largest there can be", None, pool.most),
        ("limit that was set", None, pool.limit),
    ]
    return "\n".join(
        f"{what:<21}{'' if n is None else n:>8}{'' if n is None else ' buffers':<9}"
        + ("none" if nbytes is None else f"{nbytes / 2**20:,.2f} MiB").rjust(16)
        for what, n, nbytes in rows
    )

"""The accelerator of this machine, if there is one; PyTorch's `torch.accelerator`."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from tabgrad.core.settings import on_restore
from tabgrad.hosts.devices import (
    Device,
    connected,
    device as device_of,
    get_default_device,
    is_available as _has,
)

if TYPE_CHECKING:
    from tabgrad.hosts.pool import Pool
    from tabgrad.tensor.types import DeviceLike

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


def synchronize(device: DeviceLike | None = None) -> None:
    """Wait until the accelerator has done all that it was given."""
    found = current_accelerator() if device is None else device_of(device)
    if found is not None:
        found.backend.synchronize()


async def synchronize_async(device: DeviceLike | None = None) -> None:
    """Await what `synchronize` waits for: works where Python can't wait."""
    found = current_accelerator() if device is None else device_of(device)
    if found is not None:
        await found.backend.synchronize_async()


def _pool(device: DeviceLike | None) -> Pool | None:
    """Return the buffers of the accelerator, after what was dropped has been taken back; None without one."""
    found = current_accelerator() if device is None else device_of(device)
    recorder = None if found is None else found.recorder
    if recorder is None:
        return None
    with recorder.lock:
        recorder.graph.collect()
        recorder.pool.reclaim()
    return recorder.pool


def empty_cache(device: DeviceLike | None = None) -> None:
    """Give the buffers that are kept for the next tensors back to the device."""
    pool = _pool(device)
    if pool is not None:
        with pool.backend.lock:
            pool.trim(0)
            pool.backend.submit_pending()


def memory_allocated(device: DeviceLike | None = None) -> int:
    """Return the bytes of the buffers that tensors are in; what is not yet computed takes none.

    >>> import tabgrad as tg
    >>> tg.accelerator.memory_allocated("cpu")
    0
    """
    pool = _pool(device)
    return 0 if pool is None else int(pool.live_bytes)


def max_memory_allocated(device: DeviceLike | None = None) -> int:
    """Return the most bytes that were in use at one time since the start, or `reset_peak_memory_stats`."""
    pool = _pool(device)
    return 0 if pool is None else int(pool.peak_bytes)


def reset_peak_memory_stats(device: DeviceLike | None = None) -> None:
    """Begin a new peak from what is in use now."""
    pool = _pool(device)
    if pool is not None:
        pool.peak_bytes = pool.live_bytes


def memory_reserved(device: DeviceLike | None = None) -> int:
    """Return the bytes of all buffers on the device: in use, and kept for the next tensors."""
    pool = _pool(device)
    return 0 if pool is None else int(pool.live_bytes + pool.spare_bytes)


def set_memory_limit(nbytes: int | None, device: DeviceLike | None = None) -> None:
    """Let tensors take at most so many bytes on the accelerator; None takes the limit away.

    What would take more raises OutOfMemoryError, and nothing of it is done.
    """
    limit = None if nbytes is None else _bytes(nbytes)
    pool = _pool(device)
    if pool is not None:
        pool.limit = limit


def _bytes(n: Any) -> int:
    """Return a number of bytes that a user gives; raise where it is no whole number, or less than none."""
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
            where.recorder.pool.limit = None
            reset_peak_memory_stats(where)


def memory_summary(device: DeviceLike | None = None) -> str:
    """Return what takes the memory of the accelerator, as lines of text.

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

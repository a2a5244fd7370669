"""Reads bytes back from a wgpu-py device: staging buffers, and waits with deadlines."""

import asyncio
import threading
import weakref
from collections.abc import Callable
from typing import Any

import wgpu

from tabgrad.core.errors import DeadlineError, HostError
from tabgrad.core.interrupts import interruptible

KEPT_BYTES = 64 << 20
"""How many bytes of free buffers are kept; others are released when their read is done."""


class Staging:
    """Mappable buffers, kept by size for later reads."""

    def __init__(self, device: wgpu.GPUDevice) -> None:
        self._device = device
        self._free: dict[int, list[Any]] = {}
        self._nbytes = 0
        self._waiting: list[threading.Event] = []

    def take(self, nbytes: int) -> Any:
        """Return a free staging buffer of at least `nbytes`."""
        capacity = 1 << max(8, (nbytes - 1).bit_length())
        most = self._device.limits["max-buffer-size"]
        capacity = capacity if capacity <= most else nbytes
        if free := self._free.get(capacity):
            self._nbytes -= capacity
            return free.pop()
        return self._device.create_buffer(
            size=capacity, usage=wgpu.BufferUsage.MAP_READ | wgpu.BufferUsage.COPY_DST
        )

    def wait_for(self, event: threading.Event) -> None:
        """Register an event for which a read waits."""
        self._waiting = [e for e in self._waiting if not e.is_set()] + [event]

    def wake(self) -> None:
        """Wake all waiting reads, because the device is gone."""
        for event in self._waiting:
            event.set()

    def give(self, buffer: Any) -> None:
        """Take back a buffer that is no longer mapped."""
        if self._nbytes + buffer.size > KEPT_BYTES:
            buffer.destroy()
            return
        self._nbytes += buffer.size
        self._free.setdefault(buffer.size, []).append(buffer)


class Mapping:
    """A staging buffer that is being mapped; wait for it once."""

    def __init__(
        self,
        buffer: Any,
        nbytes: int,
        staging: Staging,
        lock: Any,
        check: Callable[[], None],
        failed: Callable[[Exception], HostError],
    ) -> None:
        self._buffer = buffer
        self._nbytes = nbytes
        self._staging = staging
        self._lock = lock
        self._check = check
        self._failed = failed
        # wgpu-py's "READ" would submit once more to be sure that the copy was sent.
        try:
            self._promise = buffer.map_async("READ_NOSYNC", 0, max(nbytes, 4))
        except (wgpu.GPUError, RuntimeError, AttributeError) as error:
            # AttributeError: wgpu-py takes away the poller of a destroyed device.
            raise failed(error) from None
        # Nobody awaits it: an event loop that is closed by the time it comes would only complain.
        self._promise._call_soon_threadsafe = None
        staging.wait_for(self._promise._thread_event)

    def wait(self, timeout: float) -> bytes:
        """Return the bytes, or raise DeadlineError."""
        if not self._come(timeout):
            raise self._deadline(timeout)
        return self._finish()

    @interruptible
    def _come(self, timeout: float) -> bool:
        # The promise's own `sync_wait` has no deadline.
        return bool(self._promise._thread_event.wait(timeout))

    async def wait_async(self, timeout: float) -> bytes:
        """Return the bytes, or raise DeadlineError."""
        event = self._promise._thread_event
        if not await asyncio.to_thread(event.wait, timeout):
            raise self._deadline(timeout)
        return self._finish()

    def _deadline(self, timeout: float) -> DeadlineError:
        return DeadlineError(f"no answer from the device within {timeout:g} s")

    def _finish(self) -> bytes:
        with self._lock:
            self._check()
            try:
                self._promise.sync_wait()
            except RuntimeError as error:
                raise self._failed(error) from None
            data = b""
            if self._nbytes:
                data = bytes(self._buffer.read_mapped(0, self._nbytes, copy=False))
            self._buffer.unmap()
            self._staging.give(self._buffer)
            return data


def hold_destroy(device: wgpu.GPUDevice, lock: threading.RLock, staging: Staging) -> None:
    """Delay `destroy` of a device during reads of its buffers, because wgpu-native would end the process.

    Waiting reads then learn of it. This covers calls of this Python object, not what destroys the device below
    it.
    """
    # weak references, so that the device is part of no cycle
    of, waiting = weakref.ref(device), weakref.ref(staging)

    def destroy() -> None:
        held, there = of(), waiting()
        if held is not None:
            with lock:
                type(held).destroy(held)
                if there is not None:
                    there.wake()

    device.destroy = destroy

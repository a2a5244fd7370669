"""Streams and events: each device here has one queue, which its ops join in order."""

from __future__ import annotations

import time
from typing import Any

from tabgrad import accelerator


class Stream:
    """The one queue of a device; as a context manager, or given to `cuda.stream`, it changes nothing."""

    def __init__(self, device: Any = None, priority: int = 0, **kwargs: Any) -> None:
        self.device = device
        self.priority = priority

    def synchronize(self) -> None:
        """Wait until the device has finished all work."""
        accelerator.synchronize()

    def wait_stream(self, stream: Stream) -> None:
        """Do nothing: what the other stream was given before is done before."""

    def wait_event(self, event: Event) -> None:
        """Do nothing: what was recorded before the event is done before."""

    def record_event(self, event: Event | None = None) -> Event:
        """Record an event on the queue; return it."""
        found = Event() if event is None else event
        found.record(self)
        return found

    def query(self) -> bool:
        """Wait for all work, and return that it is done."""
        self.synchronize()
        return True

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        return None


class Event:
    """A moment of a device's queue; with `enable_timing` it is the clock's, once all work before is done.

    >>> import tabgrad as tg
    >>> start, end = (tg.cuda.Event(enable_timing=True) for _ in range(2))
    >>> start.record(), end.record()
    (None, None)
    >>> start.elapsed_time(end) >= 0
    True
    """

    def __init__(
        self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False,
        external: bool = False,
    ) -> None:  # fmt: skip
        self._timed = enable_timing
        self._at: float | None = None

    def record(self, stream: Stream | None = None) -> None:
        """Note the moment; with `enable_timing` after waiting for all work before it."""
        if self._timed:
            accelerator.synchronize()
        self._at = time.perf_counter()

    def elapsed_time(self, end_event: Event) -> float:
        """Return the milliseconds from this event to the other."""
        if self._at is None or end_event._at is None:
            raise RuntimeError("elapsed_time: both events must be recorded first")
        if not (self._timed and end_event._timed):
            raise RuntimeError("elapsed_time: both events need enable_timing=True")
        return 1000 * (end_event._at - self._at)

    def synchronize(self) -> None:
        """Wait until the device has finished all work."""
        accelerator.synchronize()

    def wait(self, stream: Stream | None = None) -> None:
        """Do nothing: what was recorded before the event is done before."""

    def query(self) -> bool:
        """Wait for all work, and return that it is done."""
        self.synchronize()
        return True


_STREAM = Stream()


def current_stream(device: Any = None) -> Stream:
    """Return the queue of the device."""
    return _STREAM


def default_stream(device: Any = None) -> Stream:
    """Return the queue of the device."""
    return _STREAM


class StreamContext:
    """A context in which ops join the queue of the device, as they do anyway."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = _STREAM if stream is None else stream

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        return None


def stream(stream: Stream | None) -> StreamContext:
    """Return a context in which ops join the queue of the device, as they do anyway."""
    return StreamContext(stream)

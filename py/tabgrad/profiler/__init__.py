"""Time by op, kernel and line, memory by op and line, and counts of what is sent to devices.

`profile` is PyTorch's. Unlike timings, counts (dispatches, submits, compiles, bytes) are the same at every run.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from tabgrad.core.submodules import missing_from as _missing_from
from tabgrad.hosts.devices import connected
from tabgrad.profiler.averages import Average as Average, Averages as Averages
from tabgrad.profiler.events import Event as Event
from tabgrad.profiler.live import (
    MemoryReport as MemoryReport,
    memory_difference as memory_difference,
)
from tabgrad.profiler.recording import (
    ProfilerAction as ProfilerAction,
    ProfilerActivity as ProfilerActivity,
    profile as profile,
    record_function as record_function,
    schedule as schedule,
    supported_activities as supported_activities,
    tensorboard_trace_handler as tensorboard_trace_handler,
)  # fmt: skip


@dataclass
class Counts:
    """Dispatches, queue submits, pipelines compiled, plans made, and bytes moved to and from the devices."""

    dispatches: int = 0
    submits: int = 0
    pipelines: int = 0
    plans: int = 0
    bytes_up: int = 0
    bytes_down: int = 0


@dataclass
class Memory:
    """Buffers and bytes that tensors hold, the most bytes they have held, and the bytes kept for reuse."""

    buffers: int = 0
    bytes: int = 0
    peak: int = 0
    spare: int = 0


def counters() -> Counts:
    """Return the counts of all devices since the program began."""
    total = Counts()
    for device in connected():
        if device.recorder is not None:
            for f in fields(Counts):
                more = getattr(device.recorder.counters, f.name)
                setattr(total, f.name, getattr(total, f.name) + more)
    return total


class count:
    """Count what a block of code sends: `with profiler.count() as c: ...`, then `c.dispatches` and so on.

    Work that is still recorded when the block ends is not counted: read a value in it, or synchronize.

    >>> import tabgrad as tg
    >>> with tg.profiler.count() as c:
    ...     x = tg.ones(3, device="cpu") + 1
    >>> c.dispatches
    0
    """

    def __init__(self) -> None:
        self.counts = Counts()
        self.start = Counts()

    def __enter__(self) -> Counts:
        self.start = counters()
        return self.counts

    def __exit__(self, *exc: object) -> None:
        now = counters()
        for f in fields(Counts):
            setattr(self.counts, f.name, getattr(now, f.name) - getattr(self.start, f.name))


def memory(reset_peak: bool = False) -> Memory:
    """Return the memory in use on all GPU devices; the arrays of `cpu` are not counted.

    `reset_peak` starts a new peak from what is in use now.
    """
    total = Memory()
    for device in connected():
        recorder = device.recorder
        if recorder is None:
            continue
        pool = recorder.pool
        with recorder.lock:
            recorder.graph.collect()
            pool.reclaim()
        total.buffers += pool.live
        total.bytes += pool.live_bytes
        total.peak += pool.peak_bytes
        total.spare += pool.spare_bytes
        if reset_peak:
            pool.peak_bytes = pool.live_bytes
    return total


if not TYPE_CHECKING:
    __getattr__ = _missing_from(__name__)

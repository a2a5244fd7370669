"""Sends packets; what a failed packet would have defined is forgotten."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tabgrad.core.errors import DeviceLostError, LostValueError, OutOfMemoryError
from tabgrad.hosts.commands import (
    Alloc,
    Copy,
    Dispatch,
    Drop,
    Fault,
    Free,
    Pipeline,
    Read,
    Replay,
    Routine,
    Store,
    TimedReplay,
    Write,
    WriteBlob,
)  # fmt: skip
from tabgrad.hosts.encoder import Encoder
from tabgrad.hosts.faults import error_with_context, forget
from tabgrad.hosts.protocol import decode

if TYPE_CHECKING:
    from tabgrad.hosts.device import DeviceBackend
    from tabgrad.hosts.pool import Buffer

REMEMBERED = 64
"""For how many packets the number of the first command is kept: a fault may come that many packets later."""
REFUSED = ("memory", "validation", "compile", "protocol")
"""Kinds of fault after which the values of the packet are missing."""


class Sender:
    """Sends the packets of one device.

    If `Host.submit` does not take a packet, because of an exception, its commands are sent with the next one.
    If a packet fails, the buffers, pipelines and lists that it would have defined are forgotten, and using a
    value that it would have computed raises LostValueError. `lost` has the ranges of numbers of such commands
    (see `Encoder.clock`).
    """

    def __init__(self, backend: DeviceBackend) -> None:
        self.backend = backend
        self.host = backend.host
        self.encoder: Encoder = backend.encoder
        self.began: deque[tuple[int, int]] = deque(maxlen=REMEMBERED)
        self.lost: list[tuple[int, int, str]] = []
        self.under_way: tuple[int, int] | None = None
        self.aside: list[Fault] = []
        self.time = 0.0

    def send(self) -> int:
        """Send the packet; return the number of queue submits."""
        host = self.host
        if host.lost:
            self.raise_faults()
            raise DeviceLostError(
                f"{self.backend.device}: the device is lost; its tensors are gone. Make new ones: the next use "
                "of the device connects again"
            )
        submits = self._once()
        if host.stopped >= 0:
            submits += self._again()
        self.time = time.perf_counter()
        self.raise_faults()
        return submits

    def _once(self) -> int:
        """Submit the packet, and begin a new one if the whole packet was taken."""
        self.cut_taken()
        encoder, host = self.encoder, self.host
        packet, n, blobs = encoder.finish()
        start = encoder.start
        self.under_way = host.packets, encoder.clock
        submits = 0
        try:
            submits = host.submit(packet, n, blobs)
        finally:
            # also after an exception that came when the host was done: nothing is sent twice
            self.cut_taken()
        self.began.append((host.packets, start))
        counters = self.backend.counters
        counters.bytes_up += n + sum(len(memoryview(b).cast("B")) for b in blobs)
        return submits

    def cut_taken(self) -> None:
        """Remove the commands that the host has taken from the packet."""
        if self.under_way is not None:
            before, clock = self.under_way
            if self.host.packets != before and self.host.stopped < 0:
                self.encoder.cut(clock)
            self.under_way = None

    def _again(self) -> int:
        """Handle a packet that was refused, or stopped because memory ran out.

        In the second case release unused buffers and send the rest once more. If that fails, forget the packet.
        """
        encoder, host, pool = self.encoder, self.host, self.backend.pool
        encoder.cut(encoder.start + host.stopped)
        faults = host.faults()
        submits = 0
        if all(fault.kind == "memory" for fault in faults):
            freeing = Encoder(256)
            pool.trim(0, named_in(encoder), freeing)
            host.submit(*freeing.finish())
            submits = self._once()
            if host.stopped < 0:
                return submits
            encoder.cut(encoder.start + host.stopped)
            faults = self.new_faults()
        error = error_with_context(self.backend, faults[0])
        if isinstance(error, DeviceLostError):
            forget(self.backend)
        else:
            self.forget_packet(str(error))
            self.backend.roll_back()
        raise error

    def forget_packet(self, why: str) -> None:
        """Forget the packet in the encoder, with everything that it would have defined and computed."""
        encoder, backend = self.encoder, self.backend
        packet, n, blobs = encoder.finish()
        buffers: set[int] = set()
        freed: list[int] = []
        numbers: set[int] = set()
        dropped: list[int] = []
        for command in decode(packet, n, blobs):
            if isinstance(command, Alloc):
                buffers.add(command.id)
            elif isinstance(command, Pipeline):
                numbers.add(command.id)
            elif isinstance(command, Store):
                numbers.add(command.list_id)
            elif isinstance(command, Free):
                freed += command.ids
            elif isinstance(command, Drop):
                dropped += command.ids
        self.forget_since(encoder.start, why)
        backend.pool.forget(buffers)
        forget_plans(backend, numbers)
        encoder.reset()
        if rest := [i for i in freed if i not in buffers]:
            encoder.free(rest)
        if rest := [i for i in dropped if i not in numbers]:
            encoder.drop(rest)

    def forget_since(self, start: int, why: str) -> None:
        """Note that the commands from number `start` on have failed."""
        self.lost.append((start, self.encoder.clock, why))
        self.backend.pool.failures += 1
        self.backend.reports.restart()

    def check(self, buffers: Sequence[Buffer]) -> None:
        """Raise LostValueError if one of these buffers was not filled."""
        for start, end, why in self.lost:
            for buffer in buffers:
                if start < buffer.born <= end:
                    raise LostValueError(
                        f"a tensor's value was lost when the device failed to compute it; make it anew. "
                        f"The failure was: {why}"
                    )

    def put_aside(self, faults: Sequence[Fault]) -> None:
        """Keep faults that were found beside the program's packets, and are not those of a trial, for later."""
        self.aside += faults if self.backend.probe is None else self.backend.probe.own(faults)

    def new_faults(self) -> list[Fault]:
        """Return the faults since the last call, but for those of trials."""
        self.put_aside(self.host.faults())
        found, self.aside = self.aside, []
        return found

    def raise_faults(self, cause: BaseException | None = None) -> None:
        """Raise the first fault of the host; do nothing if there is none."""
        faults = self.new_faults()
        if not faults:
            if self.host.lost:
                forget(self.backend)
            return
        error = error_with_context(self.backend, faults[0])
        failed = [f for f in faults if f.kind in REFUSED and f.packet]
        if failed:
            first = min(f.packet for f in failed)
            start = max((at for n, at in self.began if n <= first), default=0)
            self.forget_since(start, str(error))
        for fault in faults:
            if fault.kind == "compile":
                forget_plans(self.backend, {fault.pipeline})
        if isinstance(error, OutOfMemoryError):
            self.backend.pool.trim(0)
        if isinstance(error, DeviceLostError):
            forget(self.backend)
        raise error from cause


def named_in(encoder: Encoder) -> set[int]:
    """Return the buffers that the commands of a packet allocate or use."""
    ids: set[int] = set()
    for command in decode(*encoder.finish()):
        match command:
            case Alloc(number, _) | Write(number, _, _) | WriteBlob(number, _, _, _):
                ids.add(number)
            case Read(_, number, _, _):
                ids.add(number)
            case Copy(src, _, dst, _, _):
                ids |= {src, dst}
            case Replay(_, slots, _) | TimedReplay(_, _, slots, _):
                ids |= set(slots)
            case Dispatch() | Routine():
                ids |= set(command.buffers)
            case Free(numbers):
                ids |= set(numbers)
    return ids


def forget_plans(backend: DeviceBackend, numbers: set[int]) -> None:
    """Forget the pipelines and lists with these numbers, and the plans that use them."""
    if not numbers:
        return
    for key, stored in list(backend.plans.items()):
        if stored.id in numbers or numbers & stored.pipelines:
            stored.gone = True
            del backend.plans[key]
    backend.pipelines = {k: n for k, n in backend.pipelines.items() if n not in numbers}
    for number in numbers:
        backend.kernels.pop(number, None)

"""A host without a GPU, for tests: it logs packets as text and answers reads.

Writes and copies are applied to bytes in memory, so written data can be read back. Dispatches are only logged,
unless `run` is given.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tabgrad.core.errors import DeviceLostError, HostError
from tabgrad.hosts.commands import (
    LIMITS,
    TIMERS,
    VERSION,
    Adapter,
    Alloc,
    Buffer,
    Command,
    Copy,
    Dispatch,
    Fault,
    Free,
    Hello,
    Nested,
    PacketError,
    Pipeline,
    Read,
    Replay,
    Routine,
    Store,
    TimedReplay,
    Window,
    Write,
    WriteBlob,
)
from tabgrad.hosts.ledger import Ledger
from tabgrad.hosts.protocol import decode

Run = Callable[[Dispatch | Routine, Sequence[Any]], None]


class RecordingHost:
    """Keeps every packet as `commands` and as `lines` of text.

    `answers` has the bytes of some read tokens; other reads see the buffer, which starts as zeros, and a timed
    dispatch takes a microsecond.
    `soon` has the pipelines to be compiled in the background, of which `slow` are not finished.
    `run(command, buffers)` is called for each dispatch and routine. `pipelines` has the compiled pipelines by
    id.

    >>> from tabgrad.hosts.encoder import Encoder
    >>> host, encoder = RecordingHost(), Encoder()
    >>> encoder.alloc(1, 8)
    >>> encoder.write(1, 4, b"abcd")
    >>> encoder.read(1, 1, 0, 8)
    >>> host.submit(*encoder.finish())
    1
    >>> host.read(1, timeout=1.0)
    b'\\x00\\x00\\x00\\x00abcd'
    >>> print(host.text())
    packet 1
      alloc 1: 8 bytes
      write 1 +4: 61626364
      read 1 +0: 8 bytes as token 1
    """

    def __init__(
        self, language: str = "wgsl", limits: Mapping[str, int] | None = None, features: Sequence[str] = (),
        routines: Sequence[str] = (), answers: Mapping[int, bytes] | None = None, run: Run | None = None,
    ) -> None:  # fmt: skip
        adapter = Adapter(name="recording", backend="none", software=True)
        limits = {**LIMITS, **(limits or {})}
        self.hello = Hello(VERSION, language, limits, frozenset(features), tuple(routines), adapter)
        self.lost = False
        self.packets = 0
        self.stopped = -1
        self.commands: list[Command] = []
        self.lines: list[str] = []
        self.buffers: dict[int, bytearray] = {}
        self.pipelines: dict[int, Pipeline] = {}
        self.soon: list[Pipeline] = []
        self.slow = 0
        self.foresee: Callable[[Pipeline], None] | None = None
        self._answers = dict(answers or {})
        self._run = run
        self._ledger = Ledger(len(routines), TIMERS in features)
        self._lists: dict[int, Store] = {}
        self._reads: dict[int, bytes] = {}
        self._faults: list[Fault] = []

    def text(self) -> str:
        """Return the whole log."""
        return "\n".join(self.lines)

    def submit(self, packet: bytearray | memoryview, nbytes: int, blobs: Sequence[Buffer]) -> int:
        """Log a packet, and apply its writes and copies."""
        self.packets += 1
        self.stopped = -1
        if self.lost:
            self.fail("lost", "the device is lost")
            return 0
        try:
            commands = decode(packet, nbytes, blobs)
            self._ledger.check(commands)
        except PacketError as error:
            self.fail("protocol", str(error), error.command)
            self.stopped = 0
            return 0
        self.lines.append(f"packet {self.packets}")
        for command in commands:
            self.lines += ["  " + line for line in describe(command)]
            self._do(command, blobs)
        self.commands += commands
        return 1

    def fail(self, kind: str, message: str, command: int = -1) -> None:
        """Simulate a failure; `kind` "lost" loses the device."""
        self._faults.append(Fault(kind, message, 0, command, self.packets))
        if kind == "lost":
            self.lost = True

    def compile_soon(self, pipeline: Pipeline) -> None:
        """Log a pipeline to be compiled in the background."""
        self.soon.append(pipeline)

    def compiling(self) -> int:
        """Return `slow`."""
        return self.slow

    def read(self, token: int, timeout: float) -> bytes:
        """Return the bytes of a read."""
        if self.lost:
            raise DeviceLostError("the device is lost")
        if token not in self._reads:
            raise HostError(f"no read with token {token} is outstanding")
        self._ledger.answered(token)
        return self._reads.pop(token)

    async def read_async(self, token: int, timeout: float) -> bytes:
        """Return the bytes of a read."""
        return self.read(token, timeout)

    def give_up(self, token: int) -> None:
        """Cancel a read."""
        self._ledger.answered(token)
        self._reads.pop(token, None)

    def can_block(self) -> bool:
        """Always true: there is nothing to wait for."""
        return True

    def faults(self) -> list[Fault]:
        """Return the faults since the last call."""
        faults, self._faults = self._faults, []
        return faults

    def synchronize(self, timeout: float) -> None:
        """Return at once: there is nothing to wait for."""
        if self.lost:
            raise DeviceLostError("the device is lost")

    async def synchronize_async(self, timeout: float) -> None:
        """Return at once: there is nothing to wait for."""
        self.synchronize(timeout)

    def close(self) -> None:
        """Forget all buffers."""
        self.buffers.clear()
        self.lost = True

    def _do(self, command: Command, blobs: Sequence[Buffer]) -> None:
        if isinstance(command, Alloc):
            self.buffers[command.id] = bytearray(command.nbytes)
        elif isinstance(command, Free):
            for number in command.ids:
                del self.buffers[number]
        elif isinstance(command, Write):
            self._put(command.id, command.offset, command.data)
        elif isinstance(command, WriteBlob):
            data = bytes(memoryview(blobs[command.blob]))
            self._put(command.id, command.offset, data)
        elif isinstance(command, Read):
            end = command.offset + command.nbytes
            data = bytes(self.buffers[command.id][command.offset : end])
            self._reads[command.token] = self._answers.pop(command.token, data)
        elif isinstance(command, Pipeline):
            # kept, because lists stored with a dropped pipeline still run
            self.pipelines[command.id] = command
        elif isinstance(command, Store):
            self._lists[command.list_id] = command
        elif isinstance(command, Replay):
            self._replay(command)
        elif isinstance(command, TimedReplay):
            self._replay(Replay(command.list_id, command.slots, command.patches))
            stored = self._lists[command.list_id].commands
            n = 2 * sum(isinstance(c, Dispatch | Routine) for c in stored)
            times = struct.pack(f"<{n}Q", *range(0, 1000 * n, 1000))
            self._reads[command.token] = self._answers.pop(command.token, times)
        elif isinstance(command, Copy | Dispatch | Routine):
            self._nested(command, self.buffers)

    def _put(self, number: int, offset: int, data: bytes) -> None:
        self.buffers[number][offset : offset + len(data)] = data

    def _nested(self, command: Copy | Dispatch | Routine, buffers: Mapping[int, Any]) -> None:
        if isinstance(command, Copy):
            end = command.src_offset + command.nbytes
            data = buffers[command.src][command.src_offset : end]
            start = command.dst_offset
            buffers[command.dst][start : start + command.nbytes] = data
        elif self._run is not None:
            self._run(command, [buffers[number] for number in command.buffers])

    def _replay(self, command: Replay) -> None:
        stored = patched(self._lists[command.list_id], command.patches)
        self._lists[command.list_id] = stored
        slots: dict[int, bytearray | memoryview] = {
            i: self.buffers[number] for i, number in enumerate(command.slots)
        }
        for nested in stored.commands:
            if isinstance(nested, Window):
                end = nested.offset + nested.nbytes
                slots[len(slots)] = memoryview(slots[nested.slot])[nested.offset : end]
            else:
                self._nested(nested, slots)


def patched(stored: Store, patches: Sequence[int]) -> Store:
    """Return a stored list with some of its uniform words changed."""
    if not patches:
        return stored
    changes = dict(zip(patches[::2], patches[1::2], strict=True))
    index = 0
    commands: list[Nested] = []
    for nested in stored.commands:
        if isinstance(nested, Dispatch):
            words = tuple(changes.get(index + i, word) for i, word in enumerate(nested.uniform))
            index += len(words)
            grid = (nested.gx, nested.gy, nested.gz)
            nested = Dispatch(nested.pipeline, *grid, nested.buffers, words)
        commands.append(nested)
    return Store(stored.list_id, stored.n_slots, tuple(commands))


def describe(command: Command) -> list[str]:
    """Describe a command in one line of text, or more for a stored list.

    >>> describe(Dispatch(3, 4, 1, 1, (7, 8), (2,)))
    ['dispatch pipeline 3 on 4x1x1: buffers 7 8, uniform 2']
    """
    match command:
        case Alloc(number, nbytes):
            return [f"alloc {number}: {nbytes} bytes"]
        case Write(number, offset, data):
            shown = data.hex() if len(data) <= 32 else f"{len(data)} bytes"
            return [f"write {number} +{offset}: {shown}"]
        case WriteBlob(number, offset, nbytes, blob):
            return [f"write {number} +{offset}: blob {blob}, {nbytes} bytes"]
        case Copy(src, src_offset, dst, dst_offset, nbytes):
            return [f"copy {src} +{src_offset} to {dst} +{dst_offset}: {nbytes} bytes"]
        case Pipeline(number, label, source, bindings, overrides):
            given = "".join(f" {name}={value:g}" for name, value in overrides)
            lines = len(source.splitlines())
            return [f"pipeline {number} {label!r} {bindings}{given}: {lines} lines"]
        case Dispatch(number, gx, gy, gz, buffers, uniform):
            words = f", uniform{_listed(uniform)}" if uniform else ""
            return [
                f"dispatch pipeline {number} on {gx}x{gy}x{gz}: buffers{_listed(buffers)}{words}"
            ]
        case Routine(number, buffers, parameters):
            words = f", parameters{_listed(parameters)}" if parameters else ""
            return [f"routine {number}: buffers{_listed(buffers)}{words}"]
        case Read(token, number, offset, nbytes):
            return [f"read {number} +{offset}: {nbytes} bytes as token {token}"]
        case Window(slot, offset, nbytes):
            return [f"window of slot {slot} +{offset}: {nbytes} bytes"]
        case Store(number, n_slots, commands):
            inner = [f"  {line}" for nested in commands for line in describe(nested)]
            return [f"store {number}: {n_slots} slots", *inner]
        case Replay(number, slots, patches):
            pairs = "".join(
                f" {index}={word}" for index, word in zip(patches[::2], patches[1::2], strict=True)
            )
            words = f", patches{pairs}" if patches else ""
            return [f"replay {number}: slots{_listed(slots)}{words}"]
        case TimedReplay(token, number, slots, patches):
            (line,) = describe(Replay(number, slots, patches))
            return [f"{line}, timed as token {token}"]
        case _:
            return [f"{type(command).__name__.lower()}{_listed(command.ids)}"]


def _listed(values: Sequence[int]) -> str:
    return "".join(f" {value}" for value in values)

"""Runs packets with CuPy: kernels in CUDA C, cuBLAS, and CUDA graphs for replays.

What a kernel must look like and what the routines take is in native/README.md.
"""

import asyncio
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy

from tabgrad.core.errors import (
    DeadlineError,
    DeviceError,
    DeviceLostError,
    HostError,
    OutOfMemoryError,
)
from tabgrad.core.interrupts import interruptible
from tabgrad.hosts.commands import (
    Alloc,
    Buffer,
    Command,
    Copy,
    Dispatch,
    Drop,
    DropPipeline,
    Fault,
    Free,
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
from tabgrad.hosts.host import compile_message
from tabgrad.hosts.ledger import CompilesAtOnce, Ledger
from tabgrad.hosts.protocol import decode
from tabgrad_native import cublaslt
from tabgrad_native.cupy_adapter import hello_of
from tabgrad_native.cupy_lists import (
    CompiledKernel,
    Launch,
    StoredList,
    Table,
    Times,
    bytes_of,
    place,
)
from tabgrad_native.cupy_routines import Routines

TABLES = 8
"""For how many slot tables a stored list keeps launches and graphs."""

# errors after which a CUDA context is unusable
_FATAL = frozenset({46, 214, 215, 219, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 999})


class CupyHost(CompilesAtOnce):
    """Runs packets on a CUDA device; see `tabgrad.hosts.host.Host`."""

    def __init__(self, cupy: Any, *, diagnose: bool = False) -> None:
        self._cupy = cupy
        self._runtime = cupy.cuda.runtime
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._pool = cupy.cuda.MemoryPool()
        lt = cublaslt.load(cupy)
        self._routines = Routines(cupy, lt)
        self.hello = hello_of(cupy, lt)
        self.lost = False
        self._diagnose = diagnose
        self.packets = 0
        self.stopped = -1
        self._lock = threading.RLock()
        self._faults: list[Fault] = []
        self._ledger = Ledger(len(self.hello.routines), timers=True)
        self._buffers: dict[int, Any] = {}
        self._kernels: dict[int, CompiledKernel] = {}
        self._lists: dict[int, StoredList] = {}
        self._tables_of: dict[int, set[tuple[StoredList, tuple[int, ...]]]] = {}
        self._reads: dict[int, tuple[Any, int, Any] | None] = {}
        self._arena: Any = None
        self._arena_words = 0
        self._starts: Iterator[int] = iter(())
        self._failed = False

    # Packets

    def submit(self, packet: bytearray | memoryview, nbytes: int, blobs: Sequence[Buffer]) -> int:
        """Run a packet; return 1, because a CUDA stream has no queue submits."""
        with self._lock:
            if self.lost:
                self._fault("lost", "the device is lost", -1)
                self.stopped, self.packets = -1, self.packets + 1
                return 0
            try:
                commands = decode(packet, nbytes, blobs)
                self._ledger.check(commands)
            except PacketError as error:
                self._fault("protocol", str(error), error.command)
                self.stopped, self.packets = 0, self.packets + 1
                return 0
            try:
                taken = self._allocate(commands)
                if taken < len(commands):
                    self._ledger.undo()
                    self._ledger.check(commands[:taken])
                self._carry_out(commands[:taken], blobs)
            except BaseException:
                # the stream starts the packet when its first command is launched
                self._lose("a packet was broken off half-way")
                raise
            self.stopped = taken if taken < len(commands) else -1
            self.packets += 1
            return 1

    def _allocate(self, commands: Sequence[Command]) -> int:
        """Allocate the buffers of a packet; return the index of the command for which memory ran out."""
        self._failed = False
        with self._stream:
            for index, command in enumerate(commands):
                if isinstance(command, Alloc):
                    self._guard(index, command, partial(self._alloc, command))
                    if self._failed:
                        return index
        return len(commands)

    def _carry_out(self, commands: Sequence[Command], blobs: Sequence[Buffer]) -> None:
        self._failed, freed = False, list[int]()
        with self._stream:
            self._guard(-1, None, lambda: self._send_uniforms(commands))
            for index, command in enumerate(commands):
                if isinstance(command, Free):
                    freed += command.ids
                elif not isinstance(command, Alloc):
                    self._guard(index, command, partial(self._do, command, blobs))
            for number in freed:
                self._free(number)

    def _guard(self, index: int, command: Command | None, work: Launch) -> None:
        try:
            work()
            if self._diagnose:
                self._stream.synchronize()
        except Exception as error:
            self._caught(error, index, command)

    def _caught(self, error: Exception, index: int, command: Command | None) -> None:
        # later commands may depend on a failed one, so none of them runs
        self._failed = True
        pipeline = command.pipeline if isinstance(command, Dispatch) else 0
        cuda = self._cupy.cuda
        if getattr(error, "status", 0) in _FATAL:
            self._lose(str(error), index, pipeline)
        elif isinstance(error, OutOfMemoryError | cuda.memory.OutOfMemoryError):
            self._fault("memory", str(error), index)
        elif isinstance(error, cuda.compiler.CompileException):
            assert isinstance(command, Pipeline)
            message = compile_message(command.label, error.get_message(), command.source)
            self._fault("compile", message, index, command.id)
        elif isinstance(error, HostError) or hasattr(error, "status"):
            self._fault("validation", str(error), index, pipeline)
        else:
            raise error

    def _lose(self, why: str, index: int = -1, pipeline: int = 0) -> None:
        if not self.lost:
            self._fault("lost", f"the device is lost: {why}", index, pipeline)
        self.lost = True

    def _fault(self, kind: str, message: str, index: int, pipeline: int = 0) -> None:
        self._faults.append(Fault(kind, message, pipeline, index, self.packets + 1))

    def _do(self, command: Command, blobs: Sequence[Buffer]) -> None:
        if isinstance(command, Write):
            self._write(command.id, command.offset, command.data)
        elif isinstance(command, WriteBlob):
            self._write(command.id, command.offset, blobs[command.blob])
        elif isinstance(command, Copy | Dispatch | Routine):
            if self._failed:
                return
            offset, kernel = 0, None
            if isinstance(command, Dispatch):
                kernel = self._kernels[command.pipeline]
                if command.uniform:
                    offset = self._arena.ptr + 4 * next(self._starts)
            self._launch(command, self._live, kernel, offset)()
        else:
            _ACTIONS[type(command)](self, command)

    def _send_uniforms(self, commands: Sequence[Command]) -> None:
        """Copy the uniform words of all dispatches to the arena at once."""
        words = array("I")
        starts = [
            place(words, command.uniform)
            for command in commands
            if isinstance(command, Dispatch) and command.uniform
        ]
        self._starts = iter(starts)
        if not words:
            return
        if len(words) > self._arena_words:
            self._arena_words = max(2 * self._arena_words, len(words), 4096)
            self._arena = self._pool.malloc(4 * self._arena_words)
        self._upload(self._arena.ptr, words)

    def _upload(self, pointer: int, data: Buffer) -> None:
        # from memory that is not pinned, this returns when the bytes have been read
        host = numpy.frombuffer(data, numpy.uint8)
        kind = self._runtime.memcpyHostToDevice
        self._runtime.memcpyAsync(pointer, host.ctypes.data, host.size, kind, self._stream.ptr)

    # Commands

    def _live(self, number: int) -> Any:
        return self._buffers[number]

    def _alloc(self, command: Alloc) -> None:
        limit = self.hello.limits["max_buffer_size"]
        if command.nbytes > limit:
            raise OutOfMemoryError(
                f"a buffer of {command.nbytes} bytes is above the device's limit of {limit}"
            )
        self._buffers[command.id] = self._pool.malloc(max(command.nbytes, 4))

    def _free(self, number: int) -> None:
        for stored, slots in list(self._tables_of.get(number, ())):
            self._drop_table(stored, slots)
        self._tables_of.pop(number, None)
        # the pool reuses memory in the order of the stream
        del self._buffers[number]

    def _drop_table(self, stored: StoredList, slots: tuple[int, ...]) -> None:
        stored.tables.pop(slots, None)
        for number in set(slots):
            self._tables_of.get(number, set()).discard((stored, slots))

    def _write(self, number: int, offset: int, data: Buffer) -> None:
        if not self._failed and memoryview(data).nbytes:
            self._upload(self._live(number).ptr + offset, data)

    def _pipeline(self, command: Pipeline) -> None:
        kernel = CompiledKernel(command)
        self._kernels[command.id] = kernel
        options = ["--std=c++17"]
        for name, value in command.overrides:
            text = str(int(value)) if value == int(value) else repr(value)
            options.append(f"-D{name}=({text})")
        module = self._cupy.RawModule(code=command.source, options=tuple(options))
        module.compile()
        kernel.function = module.get_function("main_kernel")

    def _drop_pipelines(self, command: DropPipeline) -> None:
        for number in command.ids:
            del self._kernels[number]

    def _launch(
        self,
        command: Copy | Dispatch | Routine,
        live: Callable[[int], Any],
        kernel: CompiledKernel | None,
        offset: int,
    ) -> Launch:
        """Return a function that runs a command with buffers `live(number)`."""
        if isinstance(command, Copy):
            return self._copy(command, live(command.src), live(command.dst))
        buffers = [live(number) for number in command.buffers]
        if isinstance(command, Routine):
            run, routine, words = self._routines.run, command.routine, command.parameters
            return lambda: run(routine, buffers, words)
        assert kernel is not None
        if kernel.function is None:
            raise HostError(f"kernel {kernel.command.label!r} did not compile")
        grid, block = (command.gx, command.gy, command.gz), kernel.block
        if not all(grid):
            return lambda: None
        args = tuple(buffer.ptr for buffer in buffers)
        args += (offset,) if command.uniform else ()
        function = kernel.function
        return lambda: function(grid, block, args)

    def _copy(self, command: Copy, src: Any, dst: Any) -> Launch:
        nbytes = command.nbytes
        start, stop = src.ptr + command.src_offset, dst.ptr + command.dst_offset
        kind, copy = self._runtime.memcpyDeviceToDevice, self._runtime.memcpyAsync
        stream = self._stream.ptr
        if not nbytes:
            return lambda: None
        if abs(start - stop) >= nbytes:
            return lambda: copy(stop, start, nbytes, kind, stream)
        between = self._pool.malloc(nbytes)

        def twice() -> None:
            copy(between.ptr, start, nbytes, kind, stream)
            copy(stop, between.ptr, nbytes, kind, stream)

        return twice

    def _store(self, command: Store) -> None:
        stored = self._lists[command.list_id] = StoredList(command, self._kernels)
        if stored.words:
            stored.device_words = self._pool.malloc(4 * len(stored.words))
            self._upload(stored.device_words.ptr, stored.words)

    def _drop_lists(self, command: Drop) -> None:
        for number in command.ids:
            stored = self._lists.pop(number)
            for slots in list(stored.tables):
                self._drop_table(stored, slots)

    def _replay(self, command: Replay | TimedReplay) -> None:
        stored = self._lists[command.list_id]
        if isinstance(command, TimedReplay):
            self._reads[command.token] = None
        if command.patches:
            stored.patch(command.patches)
            self._upload(stored.device_words.ptr, stored.words)
        if self._failed:
            return
        table = stored.tables.get(command.slots)
        if table is None:
            table = self._table(stored, command.slots)
        if isinstance(command, TimedReplay):
            times = Times(self._cupy, self._stream)
            times.run(stored, table)
            self._reads[command.token] = (times, times.nbytes, self._stream.record())
            return
        table.runs += 1
        if table.runs == 2:
            self._capture(stored, table)
        if table.graph is not None:
            table.graph.launch(self._stream)
            return
        for launch in table.launches:
            launch()

    def _table(self, stored: StoredList, slots: tuple[int, ...]) -> Table:
        dispatches = zip(stored.kernels, stored.starts, strict=True)
        base = stored.device_words.ptr if stored.device_words is not None else 0
        launches = []
        bound = [self._live(number) for number in slots]
        for nested in stored.command.commands:
            if isinstance(nested, Window):
                bound.append(bound[nested.slot] + nested.offset)
                continue
            kernel, start = next(dispatches) if isinstance(nested, Dispatch) else (None, 0)
            offset = base + 4 * start
            launches.append(self._launch(nested, bound.__getitem__, kernel, offset))
        if len(stored.tables) >= TABLES:
            self._drop_table(stored, next(iter(stored.tables)))
        table = stored.tables[slots] = Table(launches)
        for number in set(slots):
            self._tables_of.setdefault(number, set()).add((stored, slots))
        return table

    def _capture(self, stored: StoredList, table: Table) -> None:
        """Record a table's launches as a CUDA graph, if all of them can be recorded."""
        for nested in stored.command.commands:
            if isinstance(nested, Routine) and not Routines.capturable(nested.routine):
                return
        if len(table.launches) < 2:
            return
        self._stream.begin_capture()
        try:
            for launch in table.launches:
                launch()
        finally:
            table.graph = self._stream.end_capture()

    def _read(self, command: Read) -> None:
        self._reads[command.token] = None
        if self._failed:
            return
        pinned = self._cupy.cuda.alloc_pinned_memory(max(command.nbytes, 4))
        if command.nbytes:
            source = self._live(command.id).ptr + command.offset
            kind = self._runtime.memcpyDeviceToHost
            stream = self._stream.ptr
            self._runtime.memcpyAsync(pinned.ptr, source, command.nbytes, kind, stream)
        self._reads[command.token] = (pinned, command.nbytes, self._stream.record())

    # Waiting

    def give_up(self, token: int) -> None:
        """Cancel a read."""
        with self._lock:
            self._ledger.answered(token)
            self._reads.pop(token, None)

    def can_block(self) -> bool:
        """Always true: native programs can wait."""
        return True

    def read(self, token: int, timeout: float) -> bytes:
        """Wait for a read's bytes."""
        with self._lock:
            pinned, nbytes, event = self._answer(token)
        self._wait(event, timeout)
        return bytes_of(pinned, nbytes)

    async def read_async(self, token: int, timeout: float) -> bytes:
        """Return a read's bytes without blocking."""
        with self._lock:
            pinned, nbytes, event = self._answer(token)
        await self._wait_async(event, timeout)
        return bytes_of(pinned, nbytes)

    def _answer(self, token: int) -> tuple[Any, int, Any]:
        if self.lost:
            raise DeviceLostError("the device is lost")
        if token not in self._reads:
            raise HostError(f"no read with token {token} is outstanding")
        self._ledger.answered(token)
        entry = self._reads.pop(token)
        if entry is None:
            raise HostError(f"read {token} failed with the packet it was in")
        return entry

    def _polls(self, event: Any, timeout: float) -> Iterator[float]:
        """Yield the time to sleep before the next check, until `event` is done."""
        start = time.monotonic()
        while True:
            try:
                if event.done:
                    return
            except self._runtime.CUDARuntimeError as error:
                self._lose(str(error))
                raise DeviceLostError(f"the device is lost: {error}") from None
            waited = time.monotonic() - start
            if waited > timeout:
                raise DeadlineError(f"no answer from the device within {timeout:g} s")
            yield 0.0 if waited < 0.001 else 0.0002

    @interruptible
    def _wait(self, event: Any, timeout: float) -> None:
        for seconds in self._polls(event, timeout):
            time.sleep(seconds)

    async def _wait_async(self, event: Any, timeout: float) -> None:
        for seconds in self._polls(event, timeout):
            await asyncio.sleep(seconds)

    def _fence(self) -> Any:
        if self.lost:
            raise DeviceLostError("the device is lost")
        return self._stream.record()

    def synchronize(self, timeout: float) -> None:
        """Wait until everything submitted has run."""
        self._wait(self._fence(), timeout)

    async def synchronize_async(self, timeout: float) -> None:
        """Do what `synchronize` does, without blocking."""
        await self._wait_async(self._fence(), timeout)

    def faults(self) -> list[Fault]:
        """Return the faults since the last call."""
        faults, self._faults = self._faults, []
        return faults

    def close(self) -> None:
        """Release the memory of the device."""
        self.lost = True
        self._buffers.clear()
        self._lists.clear()
        self._tables_of.clear()
        self._arena = None
        self._pool.free_all_blocks()


_ACTIONS: dict[type[Command], Callable[[CupyHost, Any], None]] = {
    Pipeline: CupyHost._pipeline,
    Read: CupyHost._read,
    Store: CupyHost._store,
    Replay: CupyHost._replay,
    TimedReplay: CupyHost._replay,
    Drop: CupyHost._drop_lists,
    DropPipeline: CupyHost._drop_pipelines,
}


def connect(*, diagnose: bool = False) -> CupyHost:
    """Open the current CUDA device."""
    import cupy

    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(f"no CUDA device: {error}. Use device 'webgpu' or 'cpu'") from None
    return CupyHost(cupy, diagnose=diagnose)

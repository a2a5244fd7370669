"""Runs packets with wgpu-py: WebGPU on Vulkan, Metal and Direct3D.

The calls of a dispatch go directly to the C library of wgpu-py, because its classes take five times as long.
Errors inside a pass are raised by its end or by `encoder.finish`, which are calls of these classes.
"""

import threading
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import wgpu
from wgpu.backends.wgpu_native import ffi, lib

from tabgrad.core.errors import DeviceLostError, HostError, OutOfMemoryError
from tabgrad.hosts.commands import (
    TIMERS,
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
    Store,
    TimedReplay,
    Write,
    WriteBlob,
)
from tabgrad.hosts.host import compile_message
from tabgrad.hosts.ledger import Ledger
from tabgrad.hosts.protocol import decode
from tabgrad_native.wgpu_adapter import hello_of, request_adapter, request_device
from tabgrad_native.wgpu_pipelines import Pipelines, StoredList
from tabgrad_native.wgpu_staging import Mapping, Staging, hold_destroy
from tabgrad_native.wgpu_timing import Timing

TABLES = 8
"""For how many slot tables a stored list keeps bind groups."""

STORAGE = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC | wgpu.BufferUsage.COPY_DST

_set_pipeline = lib.wgpuComputePassEncoderSetPipeline
_set_bind_group = lib.wgpuComputePassEncoderSetBindGroup
_dispatch = lib.wgpuComputePassEncoderDispatchWorkgroups


class WgpuHost(Timing):
    """Runs packets on a device of wgpu-py; see `tabgrad.hosts.host.Host`."""

    foresee = None  # it compiles all of a packet at once, in threads

    def __init__(self, adapter: wgpu.GPUAdapter, *, diagnose: bool = False) -> None:
        super().__init__(request_device(adapter))
        self.hello = hello_of(adapter, self._device)
        self.lost = False
        self._diagnose = diagnose
        self.packets = 0
        self.stopped = -1
        self._lock = threading.RLock()
        self._ended: list[Free | Drop | DropPipeline] = []
        self._whole = -1
        self._before = 0
        self._faults: list[Fault] = []
        self._ledger = Ledger(timers=TIMERS in self.hello.features)
        self._pipelines = Pipelines(self._device)
        self._staging = Staging(self._device)
        hold_destroy(self._device, self._lock, self._staging)
        self._offset = ffi.new("uint32_t[1]")

    # Packets

    def submit(self, packet: bytearray | memoryview, nbytes: int, blobs: Sequence[Buffer]) -> int:
        """Run a packet; return the number of queue submits."""
        with self._lock:
            self._begin()
            if self.lost:
                self._fault("lost", "the device is lost", -1)
                self.stopped, self.packets = -1, self.packets + 1
                return 0
            commands: list[Command] = []
            try:
                commands = decode(packet, nbytes, blobs)
                self._ledger.check(commands)
                self._take(commands, blobs)
            except PacketError as error:
                self._fault("protocol", str(error), error.command)
                self.stopped, self.packets = 0, self.packets + 1
            except BaseException:
                self._undo(commands)
                raise
            return self._submits

    def _begin(self) -> None:
        self._finish()
        self._ledger.begin()
        self._submits = 0
        self._whole = -1
        self._before = self.packets

    def _take(self, commands: Sequence[Command], blobs: Sequence[Buffer]) -> None:
        """Run a checked packet, up to the command for which memory runs out."""
        self._pipelines.compile_ahead(commands)
        taken = self._allocate(commands)
        if taken < len(commands):
            self._ledger.undo()
            self._ledger.check(commands[:taken])
        self._carry_out(commands[:taken], blobs)
        self.stopped, self.packets = taken if taken < len(commands) else -1, self.packets + 1
        self._finish()

    def _allocate(self, commands: Sequence[Command]) -> int:
        """Allocate the buffers of a packet; return the index of the command for which memory ran out."""
        for index, command in enumerate(commands):
            if isinstance(command, Alloc):
                try:
                    self._alloc(command)
                except (wgpu.GPUError, HostError, MemoryError) as error:
                    self._caught(error, index, command)
                    return index
        return len(commands)

    def _carry_out(self, commands: Sequence[Command], blobs: Sequence[Buffer]) -> None:
        self._failed = False
        ended: list[Free | Drop | DropPipeline] = []
        for index, command in enumerate(commands):
            if isinstance(command, Free | Drop | DropPipeline):
                ended.append(command)
            elif not isinstance(command, Alloc):
                self._guard(index, command, blobs)
                if self._diagnose:
                    self._guard_flush(index, command)
                if self.lost:
                    return
        self._ended, self._whole = ended, self._submits + (self._encoder is not None)
        self._guard_flush(-1, None)

    def _finish(self) -> None:
        """Release what earlier packets have freed or dropped."""
        self._uniform_end = self._uniform_sent = 0
        while self._ended:
            command = self._ended.pop()
            if isinstance(command, Free):
                for number in command.ids:
                    self._free(number)
            elif isinstance(command, Drop):
                for number in command.ids:
                    self._drop_list(number)
            else:
                for number in command.ids:
                    self._pipelines.drop(number)

    def _undo(self, commands: Sequence[Command]) -> None:
        """Restore the state before the packet after an exception; if part of it has run, give up the device."""
        if self._submits == self._whole and self._submits:
            self.stopped, self.packets = -1, self._before + 1
            return
        self._ended = []
        if self._submits:
            self._lose(-1, "a packet was broken off half-way")
            return
        self._abandon()
        self._ledger.undo()
        for command in reversed(commands):
            if isinstance(command, Alloc) and command.id in self._buffers:
                self._free(command.id)
            elif isinstance(command, Read | TimedReplay):
                self._reads.pop(command.token, None)
            elif isinstance(command, Store) and command.list_id in self._lists:
                self._drop_list(command.list_id)
            elif isinstance(command, Pipeline) and command.id in self._pipelines.by_id:
                self._pipelines.drop(command.id)

    def _guard(self, index: int, command: Command, blobs: Sequence[Buffer]) -> None:
        try:
            if isinstance(command, Write):
                self._write(command.id, command.offset, command.data)
            elif isinstance(command, WriteBlob):
                data = memoryview(blobs[command.blob])
                self._write(command.id, command.offset, data)
            else:
                _ACTIONS[type(command)](self, command)
        except (wgpu.GPUError, HostError) as error:
            self._caught(error, index, command)

    def _guard_flush(self, index: int, command: Command | None) -> None:
        try:
            self._flush()
        except wgpu.GPUError as error:
            self._caught(error, index, command)

    def _caught(self, error: Exception, index: int, command: Command | None) -> None:
        # as in a browser, commands that were encoded with a failed one are not submitted
        self._abandon()
        pipeline = command.pipeline if isinstance(command, Dispatch) else 0
        text = str(error)
        if "device is lost" in text.lower():
            self._lose(index)
        elif isinstance(error, wgpu.GPUOutOfMemoryError | MemoryError):
            self._fault("memory", text, index)
        elif isinstance(command, Pipeline):
            message = compile_message(command.label, text, command.source)
            self._fault("compile", message, index, command.id)
        else:
            self._fault("validation", text, index, pipeline or self._pipelines.named_in(text))

    def _fault(self, kind: str, message: str, index: int, pipeline: int = 0) -> None:
        self._faults.append(Fault(kind, message, pipeline, index, self.packets + 1))

    # Commands

    def _alloc(self, command: Alloc) -> None:
        limit = self.hello.limits["max_buffer_size"]
        if command.nbytes > limit:
            raise OutOfMemoryError(
                f"a buffer of {command.nbytes} bytes is above the device's limit of {limit}"
            )
        # a binding may not be empty, so an empty buffer gets one word
        self._buffers[command.id] = self._device.create_buffer(
            label=f"buffer {command.id}", size=max(command.nbytes, 4), usage=STORAGE
        )

    def _free(self, number: int) -> None:
        for key in list(self._groups_of.get(number, ())):
            self._forget_group(key)
        self._groups_of.pop(number, None)
        for table in list(self._tables_of.get(number, ())):
            self._drop_table(*table)
        self._tables_of.pop(number, None)
        self._buffers.pop(number).destroy()

    def _drop_table(self, stored: StoredList, slots: tuple[int, ...]) -> None:
        stored.tables.pop(slots, None)
        for number in set(slots):
            self._tables_of.get(number, set()).discard((stored, slots))

    def _write(self, number: int, offset: int, data: Buffer) -> None:
        if self._failed or not len(data):
            return
        # a write takes effect before the next submit, so earlier encoded commands on the buffer go first
        if number in self._used:
            self._flush()
        self._queue.write_buffer(self._buffers[number], offset, data)

    def _copy(self, command: Copy) -> None:
        if self._failed or not command.nbytes:
            return
        src, dst = self._buffers[command.src], self._buffers[command.dst]
        encoder = self._open()
        self._close_pass()
        self._used.update((command.src, command.dst))
        src_offset, dst_offset = command.src_offset, command.dst_offset
        nbytes = command.nbytes
        if src is dst:
            # WebGPU can't copy inside one buffer
            src = self._device.create_buffer(size=nbytes, usage=STORAGE)
            encoder.copy_buffer_to_buffer(dst, src_offset, src, 0, nbytes)
            src_offset = 0
        encoder.copy_buffer_to_buffer(src, src_offset, dst, dst_offset, nbytes)

    def _pipeline(self, command: Pipeline) -> None:
        self._pipelines.add(command)

    def _store(self, command: Store) -> None:
        self._lists[command.list_id] = StoredList(command, self._pipelines.by_id)

    def _drop_list(self, number: int) -> None:
        stored = self._lists.pop(number)
        for slots in list(stored.tables):
            self._drop_table(stored, slots)

    def _one_dispatch(self, command: Dispatch) -> None:
        if self._failed:
            return
        pipeline = self._pipelines.by_id[command.pipeline]
        offset = -1
        nbytes = 4 * len(command.uniform)
        if nbytes:
            offset = self._put_uniform(array("I", command.uniform))
        group = self._group(pipeline, command.buffers, nbytes)
        self._used.update(command.buffers)
        grid = (command.gx, command.gy, command.gz)
        self._encode([(pipeline.gpu._internal, group._internal, *grid, offset)], 0)

    def _encode(self, steps: list[tuple[Any, ...]], base: int) -> None:
        open_pass = self._open_pass()
        offsets = self._offset
        current = None
        for step in steps:
            if len(step) == 1:
                self._copy(step[0])
                open_pass = self._open_pass()
                current = None
                continue
            pipeline, group, gx, gy, gz, offset = step
            if pipeline is not current:
                _set_pipeline(open_pass, pipeline)
                current = pipeline
            if offset < 0:
                _set_bind_group(open_pass, 0, group, 0, ffi.NULL)
            else:
                offsets[0] = base + offset
                _set_bind_group(open_pass, 0, group, 1, offsets)
            _dispatch(open_pass, gx, gy, gz)

    def _replay(self, command: Replay | TimedReplay) -> None:
        stored = self._lists[command.list_id]
        stored.patch(command.patches)
        token = command.token if isinstance(command, TimedReplay) else 0
        if token:
            self._reads[token] = None
        if self._failed:
            return
        base = self._put_uniform(stored.image) if stored.image else 0
        found = stored.tables.get(command.slots)
        table = found[0] if found is not None else self._table(stored, command.slots)
        self._used.update(command.slots)
        if token:
            self._encode_timed(token, table, base)
        else:
            self._encode(table, base)

    def _table(self, stored: StoredList, slots: tuple[int, ...]) -> list[tuple[Any, ...]]:
        """Resolve a list's steps for these buffers, and cache the result."""
        table: list[tuple[Any, ...]] = []
        groups = []
        for step in stored.steps:
            if isinstance(step, Copy):
                copy = replace(step, src=slots[step.src], dst=slots[step.dst])
                table.append((copy,))
                continue
            pipeline, buffers, grid, offset, nbytes = step
            ids = tuple([slots[slot] for slot in buffers if isinstance(slot, int)])
            if len(ids) < len(buffers):
                group = self._group_of_windows(pipeline, buffers, slots, nbytes)
            else:
                group = self._group(pipeline, ids, nbytes)
            groups.append(group)
            gpu, bound = pipeline.gpu._internal, group._internal
            table.append((gpu, bound, *grid, offset))
        if len(stored.tables) >= TABLES:
            self._drop_table(stored, next(iter(stored.tables)))
        stored.tables[slots] = table, groups
        for number in set(slots):
            self._tables_of.setdefault(number, set()).add((stored, slots))
        return table

    def _read(self, command: Read) -> None:
        self._reads[command.token] = None
        if self._failed:
            return
        staging = self._staging.take(max(command.nbytes, 4))
        if command.nbytes:
            source = self._buffers[command.id]
            encoder = self._open()
            self._close_pass()
            encoder.copy_buffer_to_buffer(source, command.offset, staging, 0, command.nbytes)
            self._used.add(command.id)
        self._reads[command.token] = (staging, command.nbytes)
        self._pending.append(command.token)

    def compile_soon(self, pipeline: Pipeline) -> None:
        """Compile a pipeline in a thread."""
        if not self.lost:
            self._pipelines.compile_soon(pipeline)

    def compiling(self) -> int:
        """Return how many pipelines are compiled in the background; -1 if one of the last failed."""
        return self._pipelines.compiling()

    # Waiting

    def give_up(self, token: int) -> None:
        """Cancel a read."""
        with self._lock:
            self._ledger.answered(token)
            self._reads.pop(token, None)
            self._timed.discard(token)

    def can_block(self) -> bool:
        """Always true: native programs can wait."""
        return True

    def read(self, token: int, timeout: float) -> bytes:
        """Wait for a read's bytes."""
        with self._lock:
            mapping = self._mapped(*self._answer(token))
        return self._told(token, mapping.wait(timeout))

    async def read_async(self, token: int, timeout: float) -> bytes:
        """Return a read's bytes without blocking."""
        with self._lock:
            mapping = self._mapped(*self._answer(token))
        return self._told(token, await mapping.wait_async(timeout))

    def _answer(self, token: int) -> tuple[Any, int]:
        if self.lost:
            raise DeviceLostError("the device is lost")
        if token not in self._reads:
            raise HostError(f"no read with token {token} is outstanding")
        self._ledger.answered(token)
        entry = self._reads.pop(token)
        if entry is None:
            raise HostError(f"read {token} failed with the packet it was in")
        staging: Any
        staging, nbytes = entry
        return staging, nbytes

    def _mapped(self, staging: wgpu.GPUBuffer, nbytes: int) -> Mapping:
        return Mapping(staging, nbytes, self._staging, self._lock, self._check, self._map_failed)

    def _check(self) -> None:
        """Raise DeviceLostError if the device was destroyed."""
        if self._device._poller is None and not self.lost:
            self._lose(-1)
        if self.lost:
            raise DeviceLostError("the device is lost")

    def _map_failed(self, error: Exception) -> HostError:
        try:
            self._check()
        except DeviceLostError as lost:
            return lost
        try:
            self._device.create_command_encoder().finish()
        except wgpu.GPUError:
            self._lose(-1)
            return DeviceLostError("the device is lost")
        return HostError(f"read failed: {error}")

    def _lose(self, index: int, why: str = "") -> None:
        self.lost = True
        self._fault("lost", "the device is lost" + (f": {why}" if why else ""), index)

    def _fence(self) -> Mapping:
        """Map a buffer that the last submit writes: when it is mapped, the queue has run."""
        if self.lost:
            raise DeviceLostError("the device is lost")
        staging = self._staging.take(4)
        try:
            encoder = self._device.create_command_encoder()
            encoder.clear_buffer(staging, 0, 4)
            self._queue.submit([encoder.finish()])
        except wgpu.GPUError as error:
            raise self._map_failed(error) from None
        return self._mapped(staging, 4)

    def synchronize(self, timeout: float) -> None:
        """Wait until everything submitted has run."""
        with self._lock:
            fence = self._fence()
        fence.wait(timeout)

    async def synchronize_async(self, timeout: float) -> None:
        """Do what `synchronize` does, without blocking."""
        with self._lock:
            fence = self._fence()
        await fence.wait_async(timeout)

    def faults(self) -> list[Fault]:
        """Return the faults since the last call."""
        faults, self._faults = self._faults, []
        return faults

    def close(self) -> None:
        """Release the device."""
        with self._lock:
            if not self.lost:
                self.lost = True
                self._device.destroy()


_ACTIONS: dict[type[Command], Callable[[WgpuHost, Any], None]] = {
    Copy: WgpuHost._copy,
    Pipeline: WgpuHost._pipeline,
    Dispatch: WgpuHost._one_dispatch,
    Read: WgpuHost._read,
    Store: WgpuHost._store,
    Replay: WgpuHost._replay,
    TimedReplay: WgpuHost._replay,
}


def connect(*, diagnose: bool = False) -> WgpuHost:
    """Open the fastest WebGPU device."""
    return WgpuHost(request_adapter(), diagnose=diagnose)

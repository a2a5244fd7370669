"""Encodes a packet on a wgpu-py device: command encoder, pass, uniform words and bind groups."""

from collections.abc import Sequence
from typing import Any

import wgpu

from tabgrad.core.errors import HostError
from tabgrad.hosts.commands import Buffer, Window
from tabgrad_native.wgpu_pipelines import SLOT, Compiled, StoredList

GROUPS = 2048
"""How many bind groups are kept; the oldest is dropped first."""


class Encoding:
    """The part of `WgpuHost` that encodes commands and submits them."""

    def __init__(self, device: wgpu.GPUDevice) -> None:
        self._device = device
        self._queue = device.queue
        self._buffers: dict[int, Any] = {}
        self._lists: dict[int, StoredList] = {}
        self._groups: dict[tuple[int, ...], Any] = {}
        self._groups_of: dict[int, set[tuple[int, ...]]] = {}
        self._uniform_sent = 0
        self._uniform_end = 0
        self._tables_of: dict[int, set[tuple[StoredList, tuple[int, ...]]]] = {}
        self._reads: dict[int, tuple[Any, int] | None] = {}
        self._make_arena(256 * 1024)
        self._encoder: Any = None
        self._pass: Any = None
        self._pass_id: Any = None
        self._used: set[int] = set()
        self._pending: list[int] = []
        self._failed = False
        self._submits = 0
        self._timed: set[int] = set()
        self._queries: Any = None

    def _open(self) -> Any:
        if self._encoder is None:
            self._encoder = self._device.create_command_encoder()
        return self._encoder

    def _open_pass(self) -> Any:
        if self._pass is None:
            self._pass = self._open().begin_compute_pass()
            self._pass_id = self._pass._internal
        return self._pass_id

    def _close_pass(self) -> None:
        if self._pass is not None:
            # reset first: if `end` raises, this pass must not be ended again
            ending, self._pass = self._pass, None
            ending.end()

    def _abandon(self) -> None:
        self._failed = True
        self._encoder = None
        self._pass = None
        self._used.clear()
        for token in self._pending:
            self._reads[token] = None
        self._pending.clear()

    def _flush(self) -> None:
        """Submit the encoded commands, after one write of their uniform words."""
        if self._encoder is None:
            return
        self._close_pass()
        encoder, self._encoder = self._encoder, None
        buffer = encoder.finish()
        start, end = self._uniform_sent, self._uniform_end
        if end > start:
            self._queue.write_buffer(self._arena, start, self._arena_bytes[start:end])
        # the rest of the packet puts its uniforms after these: no arena byte is written twice in one packet
        self._uniform_sent = end
        # one statement: an interrupt can't leave a submit uncounted
        self._submits, _ = self._submits + 1, self._queue.submit([buffer])
        self._used.clear()
        self._pending.clear()

    def _make_arena(self, nbytes: int) -> None:
        self._arena = self._device.create_buffer(
            size=nbytes, usage=wgpu.BufferUsage.UNIFORM | wgpu.BufferUsage.COPY_DST
        )
        self._arena_size = nbytes
        self._arena_bytes = memoryview(bytearray(nbytes))
        self._uniform_end = 0
        self._uniform_sent = 0
        self._groups = {}
        self._groups_of = {}
        for stored in self._lists.values():
            stored.tables.clear()
        self._tables_of = {}

    def _put_uniform(self, data: Buffer) -> int:
        """Put uniform words into the arena; return their offset."""
        view = memoryview(data).cast("B")
        nbytes = len(view)
        start = self._uniform_end
        end = start + (nbytes + SLOT - 1) // SLOT * SLOT
        if end > self._arena_size:
            self._flush()
            self._make_arena(max(2 * self._arena_size, end))
            start, end = 0, end - start
        self._arena_bytes[start : start + nbytes] = view
        self._uniform_end = end
        return start

    def _group(self, pipeline: Compiled, ids: tuple[int, ...], nbytes: int) -> Any:
        """Return the bind group of these buffers and `nbytes` of uniform words."""
        nbytes = (nbytes + SLOT - 1) // SLOT * SLOT
        key = (pipeline.layout.number, nbytes, *ids)
        group = self._groups.get(key)
        if group is not None:
            return group
        group = self._make_group(pipeline, [{"buffer": self._buffers[i]} for i in ids], nbytes)
        if len(self._groups) >= GROUPS:
            self._forget_group(next(iter(self._groups)))
        for number in set(ids):
            self._groups_of.setdefault(number, set()).add(key)
        self._groups[key] = group
        return group

    def _forget_group(self, key: tuple[int, ...]) -> None:
        """Drop a bind group; encoded commands and tables that use it keep it alive."""
        # an interrupt in the middle leaves a part, which is done again with the buffer's end
        self._groups.pop(key, None)
        for number in set(key[2:]):
            self._groups_of.get(number, set()).discard(key)

    def _group_of_windows(
        self, pipeline: Compiled, bound: Sequence[int | Window], slots: Sequence[int], nbytes: int
    ) -> Any:
        """Make a bind group of parts of buffers, which only its table keeps."""
        resources = [
            {"buffer": self._buffers[slots[w.slot]], "offset": w.offset, "size": w.nbytes}
            if isinstance(w, Window)
            else {"buffer": self._buffers[slots[w]]}
            for w in bound
        ]
        return self._make_group(pipeline, resources, (nbytes + SLOT - 1) // SLOT * SLOT)

    def _make_group(self, pipeline: Compiled, resources: list[Any], nbytes: int) -> Any:
        if pipeline.gpu is None:
            raise HostError(f"kernel {pipeline.command.label!r} did not compile")
        if nbytes:
            resources.append({"buffer": self._arena, "offset": 0, "size": nbytes})
        entries = [{"binding": i, "resource": resource} for i, resource in enumerate(resources)]
        return self._device.create_bind_group(layout=pipeline.layout.group, entries=entries)

"""Measures the kernels of a wgpu-py device with timestamp queries."""

from array import array
from typing import Any

import wgpu
from wgpu.backends.wgpu_native import ffi, lib

from tabgrad.core.errors import HostError
from tabgrad_native.wgpu_encoding import Encoding
from tabgrad_native.wgpu_staging import Staging

QUERIES = 4096
"""The most queries of a set that WebGPU allows."""


class Timing(Encoding):
    """The part of `WgpuHost` that encodes dispatches with their times."""

    _staging: Staging

    def _encode_timed(self, token: int, table: list[tuple[Any, ...]], base: int) -> None:
        """Encode a list's steps, each dispatch in a pass of its own, and ask for their times."""
        steps = [step for step in table if len(step) > 1]
        nbytes = 16 * len(steps)
        staging = self._staging.take(max(nbytes, 4))
        done = at = 0
        for step in table:
            if len(step) == 1:
                self._copy(step[0])
                continue
            self._one_timed(step, base, at)
            at += 2
            if at == QUERIES:
                self._resolve(at, staging, done)
                done, at = done + 8 * at, 0
        if at:
            self._resolve(at, staging, done)
        self._reads[token] = (staging, nbytes)
        self._timed.add(token)
        self._pending.append(token)

    def _copy(self, command: Any) -> None:
        raise NotImplementedError

    def _one_timed(self, step: tuple[Any, ...], base: int, at: int) -> None:
        pipeline, group, gx, gy, gz, offset = step
        self._close_pass()
        writes = {
            "query_set": self._query_set()[0],
            "beginning_of_pass_write_index": at,
            "end_of_pass_write_index": at + 1,
        }
        timed = self._open().begin_compute_pass(timestamp_writes=writes)
        raw = timed._internal
        lib.wgpuComputePassEncoderSetPipeline(raw, pipeline)
        if offset < 0:
            lib.wgpuComputePassEncoderSetBindGroup(raw, 0, group, 0, ffi.NULL)
        else:
            start = ffi.new("uint32_t[1]", [base + offset])
            lib.wgpuComputePassEncoderSetBindGroup(raw, 0, group, 1, start)
        lib.wgpuComputePassEncoderDispatchWorkgroups(raw, gx, gy, gz)
        timed.end()

    def _query_set(self) -> tuple[Any, Any]:
        """Return the device's queries, and the buffer that takes their answers."""
        if self._queries is None:
            usage = wgpu.BufferUsage.QUERY_RESOLVE | wgpu.BufferUsage.COPY_SRC
            queries = self._device.create_query_set(type="timestamp", count=QUERIES)
            self._queries = queries, self._device.create_buffer(size=8 * QUERIES, usage=usage)
        found: tuple[Any, Any] = self._queries
        return found

    def _resolve(self, count: int, staging: Any, at: int) -> None:
        queries, answers = self._query_set()
        encoder = self._open()
        self._close_pass()
        encoder.resolve_query_set(queries, 0, count, answers, 0)
        encoder.copy_buffer_to_buffer(answers, 0, staging, at, 8 * count)

    def _told(self, token: int, data: bytes) -> bytes:
        """Return the bytes of a read; ticks become nanoseconds."""
        if token not in self._timed:
            return data
        self._timed.discard(token)
        period = lib.wgpuQueueGetTimestampPeriod(self._queue._internal)
        if not period > 0:
            raise HostError("the driver does not say how long a tick of its timer is")
        if period == 1:
            return data
        # small numbers first: a float has no room for all digits of a clock
        ticks = array("Q", data)
        first = min(ticks, default=0)
        return array("Q", [round((t - first) * period) for t in ticks]).tobytes()

"""Reads values back from a device, waits for it, and raises what went wrong."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tabgrad.core.dtype import HALVES
from tabgrad.core.errors import WouldBlockError
from tabgrad.core.graph import Graph, Value
from tabgrad.core.spec import Spec
from tabgrad.hosts.faults import lost_tensor
from tabgrad.hosts.shared_buffers import place
from tabgrad.hosts.storage import from_storage
from tabgrad.lower.ir import FULL

if TYPE_CHECKING:
    from tabgrad.hosts.device import Counters
    from tabgrad.hosts.devices import Device
    from tabgrad.hosts.encoder import Encoder
    from tabgrad.hosts.error_reports import ErrorReports
    from tabgrad.hosts.host import Host
    from tabgrad.hosts.pool import Buffer
    from tabgrad.hosts.reads_ahead import ReadsAhead
    from tabgrad.hosts.sending import Sender
    from tabgrad.lower.dialect import Dialect

MOST = 1 << 14
"""The most elements of a constant that is written out instead of read."""
TIMEOUT = 120.0
"""The longest a blocking read waits, in seconds."""


def filled(number: Any, spec: Spec) -> memoryview | None:
    """Return the bytes of a constant; None where a device has to say what they are."""
    dtype = spec.dtype
    if not dtype.letter or dtype.is_complex or dtype in HALVES or spec.size > MOST:
        return None
    try:
        return memoryview(struct.pack("=" + dtype.letter, number) * spec.size)
    except (struct.error, OverflowError, TypeError):
        return None


class Answers:
    """The part of a device backend that reads values."""

    graph: Graph
    host: Host
    encoder: Encoder
    reports: ErrorReports
    sender: Sender
    counters: Counters
    dialect: Dialect
    device: Device
    wanted: Callable[[], list[int]]
    compute: Callable[[list[int]], None]
    compute_for: Callable[[int, list[int]], None]
    flush_all: Callable[[], None]
    submit: Callable[[], None]
    reads_ahead: ReadsAhead
    next: int
    ahead: int

    def ask(self, value: Value, spec: Spec) -> list[int]:
        """Compute `value` and request its bytes from the host.

        Returns the token of that read, then the tokens of reads of error reports, if kernels may have written
        any.
        """
        if value.graph is not self.graph:
            raise lost_tensor("read")
        graph = self.graph
        graph.collect()
        nbytes = self.dialect.nbytes(spec.dtype, spec.size)
        i, offset = self.locate(value.id, spec)
        buffer = graph.buffer[i]
        if buffer is not None and (tokens := self.reads_ahead.take(buffer, offset, nbytes)):
            return tokens
        with graph.held():
            wanted = self.wanted()
            if graph.buffer[i] is None and i not in wanted:
                # nobody else asks for the rest of it
                i, offset = value.id, 0
                if i not in wanted:
                    wanted.append(i)
            if wanted:
                self.compute_for(value.id, wanted)
        if graph.buffer[i] is None:
            # it shares a buffer with others, or the whole has no room
            i, offset = self.locate(value.id, spec)
        if graph.buffer[i] is None:
            i, offset = value.id, 0
            if graph.buffer[i] is None:
                self.compute([i])
        buffer = graph.buffer[i]
        self.reads_ahead.note(buffer, offset, nbytes, alone=not wanted)
        if self.sender.lost:
            self.sender.check([buffer])
        token = self.request(buffer, offset, nbytes)
        self.reads_ahead.miss()
        errors = self.reports.ask(buffer.carried)
        self.submit()
        return [token, *errors]

    def request(self, buffer: Buffer, offset: int, nbytes: int) -> int:
        """Add a read to the packet; return its token."""
        token = self.next
        self.next += 1
        self.encoder.read(token, buffer.id, offset, nbytes)
        return token

    def locate(self, i: int, spec: Spec) -> tuple[int, int]:
        """Return the node whose buffer has, or will have, the elements of node `i`, and the byte they begin at.

        It is `i` where they don't lie side by side, or begin within a word: `i` gets a buffer of its own.
        """
        op = self.graph.op[i]
        if op is not None and op.family == "view":
            found = place(self.graph, i)
            if found is not None:
                start = found[1] * self.dialect.stored_bytes(spec.dtype)
                if start % 4 == 0:
                    return found[0], start
        return i, 0

    def at_hand(self, value: Value, spec: Spec) -> memoryview | None:
        """Return the bytes of a value that is known without the device; None for any other.

        These are constants, and small data as they were uploaded, with their views, while no kernel has an
        error to report.
        """
        graph, i = self.graph, value.id
        if value.graph is not graph or self.host.lost or self.sender.lost:
            return None
        if self.reads_ahead.errors or self.reports.waiting():
            return None
        op: Any = graph.op[i]
        while op is not None and op.family == "view" and not op.fills:
            i = graph.srcs[i][0]
            op = graph.op[i]
        if op is FULL:
            return filled(graph.aux[i], spec)
        held = graph.aux[i] if op is None else None
        if held.__class__ is not bytes:
            return None
        found = place(graph, value.id)
        if found is None:
            return None
        width = spec.dtype.itemsize
        return memoryview(held)[found[1] * width : (found[1] + spec.size) * width]

    def read(self, value: Value, spec: Spec) -> memoryview:
        """Return the bytes of `value`; blocks until they are there."""
        if (held := self.at_hand(value, spec)) is not None:
            return held
        if not self.host.can_block():
            raise WouldBlockError(
                "reading a value of the GPU has to wait, and Python can't wait here: use "
                "`await x.item_async()`, `await x.tolist_async()` or `await x.numpy_async()`"
            )
        if not spec.size:
            return memoryview(b"")
        tokens = self.ask(value, spec)
        with self.awaited(tokens):
            data = [self.host.read(t, TIMEOUT) for t in tokens]
        return self.answer(tokens, data, spec)

    def begin_read(self, value: Value, spec: Spec) -> Callable[[], bytearray | memoryview]:
        """Submit what `value` needs and a copy of its bytes; the result, called once, waits for them."""
        held = self.at_hand(value, spec) if spec.size else memoryview(b"")
        if held is not None:
            return lambda: held
        tokens = self.ask(value, spec)

        def finish() -> memoryview:
            with self.awaited(tokens):
                data = [self.host.read(t, TIMEOUT) for t in tokens]
            return self.answer(tokens, data, spec)

        return finish

    async def read_async(self, value: Value, spec: Spec) -> memoryview:
        """Return the bytes of `value` without blocking."""
        held = self.at_hand(value, spec) if spec.size else memoryview(b"")
        if held is not None:
            return held
        tokens = self.ask(value, spec)
        with self.awaited(tokens):
            data = [await self.host.read_async(t, TIMEOUT) for t in tokens]
        return self.answer(tokens, data, spec)

    @contextmanager
    def awaited(self, tokens: Sequence[int]) -> Iterator[None]:
        """After an exception of a wait in the block, cancel the reads and raise the faults behind it."""
        try:
            yield
        except BaseException as e:
            self.give_up(tokens)
            if isinstance(e, Exception):
                self.sender.raise_faults(e)
            raise

    def give_up(self, tokens: Sequence[int]) -> None:
        """Cancel reads; the error reports among them are requested again later."""
        for token in tokens:
            self.host.give_up(token)
        self.reports.give_up(tokens)

    def answer(self, tokens: Sequence[int], got: Sequence[bytes], spec: Spec) -> memoryview:
        """Return the bytes of a finished read, or raise the faults that came with it."""
        data, *errors = got
        self.sender.raise_faults()
        self.ahead = 0
        self.counters.bytes_down += len(data)
        if errors:
            self.tell(tokens[1:], errors)
        return from_storage(self.dialect.widens, data, spec)

    def synchronize(self) -> None:
        """Run everything recorded, and wait until it has run."""
        self.flush_all()
        self.wait()

    def wait(self) -> None:
        """Wait until everything that was sent has run."""
        tokens = self.ask_errors()
        with self.awaited(tokens):
            self.host.synchronize(TIMEOUT)
            errors = [self.host.read(t, TIMEOUT) for t in tokens]
        self.ahead = 0
        self.sender.raise_faults()
        if tokens:
            self.tell(tokens, errors)

    async def synchronize_async(self) -> None:
        """Do what `synchronize` does, without blocking."""
        self.flush_all()
        tokens = self.ask_errors()
        with self.awaited(tokens):
            await self.host.synchronize_async(TIMEOUT)
            errors = [await self.host.read_async(t, TIMEOUT) for t in tokens]
        self.ahead = 0
        self.sender.raise_faults()
        if tokens:
            self.tell(tokens, errors)

    def tell(self, tokens: Sequence[int], errors: Sequence[bytes]) -> None:
        """Raise the errors that kernels have reported."""
        self.reports.tell(tokens, errors)

    def ask_errors(self) -> list[int]:
        """Request the error reports that no read has brought back; return the tokens."""
        self.reads_ahead.miss()
        errors = self.reports.ask()
        if errors:
            self.submit()
        return errors

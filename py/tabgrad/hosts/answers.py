"""Bringing values of a device back: reads, waits, and what went wrong on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tabgrad.core.errors import DeviceLostError, WouldBlockError
from tabgrad.core.graph import Graph, Value
from tabgrad.core.spec import Spec
from tabgrad.hosts.storage import from_storage

if TYPE_CHECKING:
    from tabgrad.hosts.devices import Device
    from tabgrad.hosts.encoder import Encoder
    from tabgrad.hosts.host import Host

TIMEOUT = 120.0
"""Seconds a blocking read waits."""


def lost_tensor(what: str) -> DeviceLostError:
    """Return the error for a tensor whose device is gone, met by `what`."""
    return DeviceLostError(f"{what}: a tensor is of a device that was lost; make it anew")


class Answers:
    """The half of a device that reads."""

    graph: Graph
    host: Host
    encoder: Encoder
    reports: Any
    sender: Any
    counters: Any
    dialect: Any
    device: Device
    wanted: Any
    compute: Any
    compute_for: Any
    flush_all: Any
    submit: Any
    next: int
    ahead: int

    def ask(self, value: Value, spec: Spec) -> list[int]:
        """Compute `value`, ask the host for its bytes, and return the token of the answer and those of the
        checks of indices, where there is something to tell."""
        if value.graph is not self.graph:
            raise lost_tensor("read")
        graph = self.graph
        graph.collect()
        with graph.held():
            wanted = self.wanted()
            if graph.buffer[value.id] is None and value.id not in wanted:
                wanted.append(value.id)
            if wanted:
                self.compute_for(value.id, wanted)
        buffer = graph.buffer[value.id]
        offset = 0
        if buffer is None:
            # it came out as part of another buffer: read it through a copy of its own
            self.compute([value.id])
            buffer = graph.buffer[value.id]
        if self.sender.lost:
            self.sender.check([buffer])
        token = self.next
        self.next += 1
        self.encoder.read(token, buffer.id, offset, self.dialect.nbytes(spec.dtype, spec.size))
        errors = self.reports.ask(buffer.carried)
        self.submit()
        return [token, *errors]

    def read(self, value: Value, spec: Spec) -> memoryview:
        """Return the bytes of `value`, waiting for them."""
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

    async def read_async(self, value: Value, spec: Spec) -> memoryview:
        """Return the bytes of `value`, awaiting them."""
        if not spec.size:
            return memoryview(b"")
        tokens = self.ask(value, spec)
        with self.awaited(tokens):
            data = [await self.host.read_async(t, TIMEOUT) for t in tokens]
        return self.answer(tokens, data, spec)

    @contextmanager
    def awaited(self, tokens: Sequence[int]) -> Iterator[None]:
        """Wait for the host inside: where that ends in an exception nobody waits for the answers any more, and
        the faults that led to it are raised."""
        try:
            yield
        except BaseException as e:
            self.give_up(tokens)
            if isinstance(e, Exception):
                self.sender.raise_faults(e)
            raise

    def give_up(self, tokens: Sequence[int]) -> None:
        """Let go of answers that nobody waits for any more; the checks will be asked for again."""
        for token in tokens:
            self.host.give_up(token)
        self.reports.give_up(tokens)

    def answer(self, tokens: Sequence[int], got: Sequence[Any], spec: Spec) -> memoryview:
        """Return what a read gave, after the faults that came with it."""
        data, *errors = got
        self.sender.raise_faults()
        self.ahead = 0
        self.counters.bytes_down += len(data)
        if errors:
            self.tell(tokens[1:], errors)
        return from_storage(self.dialect.widens, data, spec)

    def synchronize(self) -> None:
        """Wait until everything recorded has run."""
        self.flush_all()
        self.wait()

    def wait(self) -> None:
        """Wait until everything sent has run."""
        tokens = self.ask_errors()
        with self.awaited(tokens):
            self.host.synchronize(TIMEOUT)
            errors = [self.host.read(t, TIMEOUT) for t in tokens]
        self.ahead = 0
        self.sender.raise_faults()
        if tokens:
            self.tell(tokens, errors)

    async def synchronize_async(self) -> None:
        """Await what `synchronize` waits for."""
        self.flush_all()
        tokens = self.ask_errors()
        with self.awaited(tokens):
            await self.host.synchronize_async(TIMEOUT)
            errors = [await self.host.read_async(t, TIMEOUT) for t in tokens]
        self.ahead = 0
        self.sender.raise_faults()
        if tokens:
            self.tell(tokens, errors)

    def tell(self, tokens: Sequence[int], errors: Sequence[Any]) -> None:
        """Raise for what the checks of indices have found."""
        self.reports.tell(tokens, errors)

    def ask_errors(self) -> list[int]:
        """Ask for the checks that no read has brought back; return the tokens."""
        errors = self.reports.ask()
        if errors:
            self.submit()
        return errors

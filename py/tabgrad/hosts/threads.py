"""A device that several threads may use: one lock around each of its entries, and none in a child process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from threading import get_ident
from typing import TYPE_CHECKING, Any

from tabgrad.core.graph import Graph
from tabgrad.hosts.device import DeviceBackend
from tabgrad.hosts.error_reports import ErrorBuffer, ErrorReports
from tabgrad.hosts.host import forked_error
from tabgrad.hosts.pool import Buffer

if TYPE_CHECKING:
    from tabgrad.hosts.devices import Device
    from tabgrad.hosts.host import Host


class SharedGraph(Graph):
    """A graph whose handles any thread may drop."""

    def __init__(self, lock: threading.RLock) -> None:
        super().__init__()
        self.lock = lock
        self.lists: dict[int, dict[int, float]] = {}
        self.user = get_ident()
        self.acting = 0

    def current(self) -> int:
        """Return the thread that records, or that the current one acts for."""
        return self.acting or get_ident()

    def switch(self) -> None:
        """Let the current thread record: what each has recorded is computed apart, as if alone.

        What was left by threads that have ended becomes its own.
        """
        self.lists[self.user] = self.recorded
        self.user = self.current()
        self.recorded = self.lists.pop(self.user, {})
        for other in self.lists.keys() - running():
            self.recorded |= self.lists.pop(other)

    def collect(self) -> None:
        """Release what was dropped; what another thread is in the middle of leaves it for the next time."""
        if self.lock.acquire(False):
            try:
                super().collect()
            finally:
                self.lock.release()


def running() -> set[int]:
    """Return the threads that have not ended."""
    return {thread.ident or 0 for thread in threading.enumerate()}


class SharedErrorReports(ErrorReports):
    """What the kernels of each thread have found, told to that thread, and to those that read what came of it.

    A thread that ends without reading leaves its errors to whoever reads next.
    """

    backend: SharedBackend

    def __init__(self, backend: SharedBackend) -> None:
        super().__init__(backend)
        self.threads: dict[int, ErrorBuffer] = {}

    def mine(self) -> ErrorBuffer:
        ident = self.backend.graph.current()
        found = self.threads.get(ident)
        if found is None:
            threading.current_thread()  # so that one that Python did not start counts as running too
            found = self.threads[ident] = self.taken_over() or ErrorBuffer(1 << len(self.threads))
        return found

    def taken_over(self) -> ErrorBuffer | None:
        """Return one that a thread which has ended has left with nothing to tell."""
        now = running()
        for ident, found in self.threads.items():
            if found.asked and ident not in now:
                return self.threads.pop(ident)
        return None

    def met(self, carried: int) -> list[ErrorBuffer]:
        mine = self.mine()
        if len(self.threads) == 1:
            return [mine]
        now = running()
        others = (
            found
            for ident, found in self.threads.items()
            if found is not mine and (carried & found.bit or ident not in now)
        )
        return [mine, *others]

    def carried(self, inputs: Sequence[Buffer], noting: bool) -> int:
        bits = self.mine().bit if noting else 0
        for buffer in inputs:
            bits |= buffer.carried
        return bits

    def told(self, found: ErrorBuffer) -> bool:
        # a thread that goes on will find its error itself
        now = running()
        return found is self.mine() or all(
            i not in now for i, f in self.threads.items() if f is found
        )

    def restart(self) -> None:
        for found in self.threads.values():
            found.buffer, found.asked = None, True


class SharedBackend(DeviceBackend):
    """Records and runs ops for all threads of a process. The lock is not held while a thread waits."""

    graph: SharedGraph
    checks: SharedErrorReports

    def __init__(self, host: Host, device: Device) -> None:
        self.lock = threading.RLock()
        super().__init__(host, device)
        self.graph = SharedGraph(self.lock)
        self.reports = SharedErrorReports(self)

    def flush_all(self) -> None:
        """Compute and send what all threads have recorded, what each finds noted as its own."""
        graph = self.graph
        try:
            for ident in [*graph.lists]:
                graph.acting = ident
                # a thread whose work has no room is told so when it uses it
                self.flush()
        finally:
            graph.acting = 0
        super().flush_all()


def _locked(name: str) -> Callable[..., Any]:
    method = getattr(SharedBackend, name)

    @wraps(method)
    def entry(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            if self.graph.user != self.graph.current():
                self.graph.switch()
            return method(self, *args, **kwargs)

    return entry


ENTRIES = (
    "upload", "own_buffer", "flush", "flush_all", "advance", "prepare", "planned", "ask", "ask_errors",
    "tell", "submit", "submit_held", "submit_pending", "pending", "give_up", "remember",
)  # fmt: skip
"""What is called from outside and changes the graph, the packet or the plans."""

for _name in ENTRIES:
    setattr(SharedBackend, _name, _locked(_name))


class ForkedBackend:
    """What a child process finds in place of a device that its parent has opened."""

    gone = True

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, what: str) -> Any:
        raise forked_error(self.name)


_ABANDONED: list[Any] = []


def abandon(devices: Iterable[Any]) -> None:
    """Leave the parent's devices alone, for good: their threads are not in this process."""
    for device in devices:
        backend = device._backend
        if isinstance(backend, SharedBackend):
            backend.graph.busy = True
            _ABANDONED.append(backend)
            device._backend = ForkedBackend(str(device))

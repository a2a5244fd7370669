"""Thread-safe devices: one lock guards all entry points; a forked child process can't use them."""

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
    """A graph whose handles may be dropped by any thread."""

    def __init__(self, lock: threading.RLock) -> None:
        super().__init__()
        self.lock = lock
        self.lists: dict[int, dict[int, float]] = {}
        self.user = get_ident()
        self.acting = 0

    def current(self) -> int:
        """Return the id of the current thread, or of the thread that it acts for."""
        return self.acting or get_ident()

    def switch(self) -> None:
        """Make the current thread the one that records; each thread's nodes are computed separately.

        The current thread takes over the nodes of threads that have ended.
        """
        self.lists[self.user] = self.recorded
        self.user = self.current()
        self.recorded = self.lists.pop(self.user, {})
        for other in self.lists.keys() - running():
            self.recorded |= self.lists.pop(other)

    def collect(self) -> None:
        """Release dropped handles now, or later if another thread holds the lock."""
        if self.lock.acquire(False):
            try:
                super().collect()
            finally:
                self.lock.release()


def running() -> set[int]:
    """Return the ids of the threads that have not ended."""
    return {thread.ident or 0 for thread in threading.enumerate()}


class SharedErrorReports(ErrorReports):
    """Error reports with one buffer per thread, raised in that thread and in threads that read affected values.

    If a thread ends without reading, the next reader gets its errors.
    """

    backend: SharedBackend

    def __init__(self, backend: SharedBackend) -> None:
        super().__init__(backend)
        self.threads: dict[int, ErrorBuffer] = {}

    def mine(self) -> ErrorBuffer:
        ident = self.backend.graph.current()
        found = self.threads.get(ident)
        if found is None:
            threading.current_thread()  # registers a thread that Python did not start: it counts as running
            found = self.threads[ident] = self.taken_over() or ErrorBuffer(1 << len(self.threads))
        return found

    def taken_over(self) -> ErrorBuffer | None:
        """Take over the buffer of an ended thread, if all its errors have been read."""
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
        # a running thread raises its own error
        now = running()
        return found is self.mine() or all(
            i not in now for i, f in self.threads.items() if f is found
        )

    def restart(self) -> None:
        for found in self.threads.values():
            found.buffer, found.asked = None, True


class SharedBackend(DeviceBackend):
    """Records and runs ops for all threads of a process; the lock is free while a thread waits."""

    graph: SharedGraph
    checks: SharedErrorReports

    def __init__(self, host: Host, device: Device) -> None:
        self.lock = threading.RLock()
        super().__init__(host, device)
        self.graph = SharedGraph(self.lock)
        self.reports = SharedErrorReports(self)

    def flush_all(self) -> None:
        """Compute and send what all threads have recorded; errors are reported to the thread that recorded."""
        graph = self.graph
        try:
            for ident in [*graph.lists]:
                graph.acting = ident
                # if memory runs out, the thread gets the error when it uses the value
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
    "tell", "submit", "submit_held", "submit_pending", "pending", "give_up", "remember", "side_by_side",
)  # fmt: skip
"""The methods that other modules call and that change the graph, the packet or the plans."""

for _name in ENTRIES:
    setattr(SharedBackend, _name, _locked(_name))


class ForkedBackend:
    """Replaces, in a forked child process, the backend of a device that the parent has opened."""

    gone = True

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, what: str) -> Any:
        raise forked_error(self.name)


_ABANDONED: list[SharedBackend] = []


def abandon(devices: Iterable[Device]) -> None:
    """Disable the parent's devices in this process, which lacks their threads."""
    for device in devices:
        backend = device._backend
        if isinstance(backend, SharedBackend):
            backend.graph.busy = True
            _ABANDONED.append(backend)
            device._backend = ForkedBackend(str(device))

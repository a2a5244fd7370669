"""A device that several threads may use: one lock around each of its entries, and none in a child process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import wraps
from threading import get_ident
from typing import Any

from tabgrad.core.graph import Graph
from tabgrad.hosts.device import DeviceBackend
from tabgrad.hosts.host import forked_error


class SharedGraph(Graph):
    """A graph whose handles any thread may drop."""

    def __init__(self, lock: threading.RLock) -> None:
        super().__init__()
        self.lock = lock
        self.lists: dict[int, dict[int, float]] = {}
        self.user = get_ident()

    def switch(self) -> None:
        """Let the current thread record: what each thread has recorded is computed apart, as if alone."""
        self.lists[self.user] = self.recorded
        self.user = get_ident()
        self.recorded = self.lists.pop(self.user, {})
        ended = self.lists.keys() - {thread.ident for thread in threading.enumerate()}
        for ident in ended:
            self.recorded |= self.lists.pop(ident)

    def gather(self) -> None:
        """Take what all threads have recorded as the current one's."""
        for recorded in self.lists.values():
            self.recorded |= recorded
        self.lists.clear()

    def collect(self) -> None:
        """Release what was dropped; what another thread is in the middle of leaves it for the next time."""
        if self.lock.acquire(False):
            try:
                super().collect()
            finally:
                self.lock.release()


class SharedBackend(DeviceBackend):
    """Records and runs ops for all threads of a process. The lock is not held while a thread waits."""

    graph: SharedGraph

    def __init__(self, host: Any, device: Any) -> None:
        self.lock = threading.RLock()
        super().__init__(host, device)
        self.graph = SharedGraph(self.lock)

    def flush_all(self) -> None:
        """Compute and send what all threads have recorded."""
        self.graph.gather()
        super().flush_all()


def _locked(name: str) -> Callable[..., Any]:
    method = getattr(SharedBackend, name)

    @wraps(method)
    def entry(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            if self.graph.user != get_ident():
                self.graph.switch()
            return method(self, *args, **kwargs)

    return entry


ENTRIES = (
    "upload", "settled", "flush", "flush_all", "advance", "prepare", "planned", "ask", "ask_errors",
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

"""What moves the operations of a process on: one thread, or whoever waits; with a deadline for each.

MPI makes progress on what was begun only while the process is inside MPI. So a thread asks for it all the
time that something is under way, and `backward` goes on in the meantime. An operation is a generator that
yields lists of MPI requests; it goes on when all of them are complete. Those of one group run in the order of
the calls, which is the same on all ranks.

Nothing is sent to see whether the others live. An operation that nears its deadline asks the other ranks of its
group where they are: one that has not begun it is late, and one that doesn't answer is dead, stopped or out of
reach. The error says which; it is told to all ranks, so that none of them waits for its own deadline.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tabgrad.distributed.errors import DistBackendError

if TYPE_CHECKING:
    from tabgrad.distributed.group import ProcessGroup
    from tabgrad.distributed.messages import Messages
    from tabgrad.distributed.work import Work

IDLE = 0.02
"""Seconds between two looks for messages of other ranks while nothing is under way."""
BUSY = 0.0005
"""Seconds between two looks while something is."""


class Operation:
    """One call on one rank."""

    def __init__(
        self, group: ProcessGroup, name: str, number: int, timeout: float, steps: Iterator[Any] | None = None
    ) -> None:  # fmt: skip
        self.group = group
        self.name = name
        self.number = number
        """The how-manieth collective call of the group it is; 0 for messages between two ranks."""
        self.steps = steps
        self.requests: list[Any] = []
        self.done = False
        self.error: BaseException | None = None
        self.source = -1
        self.began = time.monotonic()
        self.given = self.ended = 0.0
        self.asked = False
        self.timeout = timeout
        self.peers: list[int] | None = None
        """The ranks, of the world, that it needs; None for all of the group."""

    def __str__(self) -> str:
        return f"{self.name} #{self.number}" if self.number else self.name

    def due_in(self, seconds: float) -> None:
        """Move the deadline to so many seconds from now."""
        self.timeout = time.monotonic() - self.began + seconds

    @property
    def left(self) -> float:
        """Seconds to the deadline."""
        return self.began + self.timeout - time.monotonic()

    def fail(self, error: BaseException) -> None:
        """End with an error."""
        if not self.done:
            self.error, self.done, self.ended = error, True, time.monotonic()

    def step(self, all_complete: Callable[[list[Any]], bool]) -> None:
        """Go on as far as it can without waiting."""
        while not self.done:
            if self.requests and not all_complete(self.requests):
                return
            assert self.steps is not None
            found = next(self.steps, None)
            if found is None:
                self.done, self.ended = True, time.monotonic()
            else:
                self.requests = list(found)


class Engine:
    """The operations under way in this process, and the thread that moves them on."""

    def __init__(self, mpi: Any, messages: Messages, threaded: bool) -> None:
        self.mpi = mpi
        self.messages = messages
        self.broken: str | None = None
        """Why nothing goes on; told by this rank or another."""
        self.queues: dict[int, list[Operation]] = {}
        self.loose: list[Operation] = []
        self.unbegun: list[Work] = []
        """The calls whose values a device is still to compute."""
        self.lock = threading.RLock()
        self.wake = threading.Event()
        self.stopped = False
        self.threaded = threaded
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, where MPI was started in a way that lets another thread call it."""
        if self.threaded:
            self.thread = threading.Thread(target=self._serve, name="tabgrad mpi", daemon=True)
            self.thread.start()

    def stop(self) -> None:
        """End the thread."""
        self.stopped = True
        self.wake.set()
        if self.thread is not None:
            self.thread.join(5.0)

    def _serve(self) -> None:
        while not self.stopped:
            self.wake.clear()
            busy = self.advance()
            self.wake.wait(BUSY if busy else IDLE)

    def add(self, operation: Operation, ordered: bool = True) -> None:
        """Begin an operation, after those of its group that were begun before it if `ordered`."""
        operation.given = time.monotonic()
        if self.broken is not None:
            operation.fail(DistBackendError(self.broken))
            return
        with self.lock:
            if ordered:
                self.queues.setdefault(id(operation.group), []).append(operation)
            else:
                self.loose.append(operation)
        self.advance()
        self.wake.set()

    def advance(self) -> bool:
        """Move all operations on as far as they can go; return whether any is under way."""
        with self.lock:
            if self.stopped:
                return False
            for queue in self.queues.values():
                while queue and self._moved(queue[0]):
                    del queue[:1]  # a failure has emptied it
            going = [op for op in list(self.loose) if not self._moved(op)]
            self.loose[:] = [op for op in going if not op.done]
            # after what could be completed: a rank that has ended may have taken part in it
            self.messages.serve(self)
            return any(self.queues.values()) or bool(self.loose)

    def _moved(self, operation: Operation) -> bool:
        """Move one on; return whether it has ended."""
        try:
            operation.step(self.mpi.all_complete)
        except Exception as error:
            told = self.mpi.explained(error)
            self.fail_all(f"{operation}: {told}" if told else f"{operation}: {error}")
            return True
        except BaseException as error:  # an interrupt: what it was doing is lost
            self.fail_all(f"{operation}: interrupted by {type(error).__name__}")
            raise
        if not operation.done:
            self._watch(operation)
        return operation.done

    def _watch(self, operation: Operation) -> None:
        left = operation.left
        if self.messages.never(operation):
            self.fail_all(self.messages.verdict(operation))
            return
        grace = min(2.0, operation.timeout / 3)
        if left <= grace and not operation.asked:
            operation.asked = True
            self.messages.ask(operation)
        if left <= grace / 2:
            self.fail_all(self.messages.verdict(operation))

    def fail_all(self, reason: str, tell: bool = True) -> None:
        """End everything with an error, here and, if `tell`, on all ranks."""
        with self.lock:
            if self.broken is not None:
                return
            self.broken = reason
            for queue in [*self.queues.values(), self.loose]:
                for operation in queue:
                    operation.fail(DistBackendError(reason))
                queue.clear()
            if tell:
                self.messages.tell_broken(reason)
        self.wake.set()

    def wait(self, operation: Operation) -> None:
        """Wait until the operation has ended; raise its error."""
        pause = 0.0
        while True:
            self.advance()
            if operation.done:
                break
            time.sleep(pause)
            pause = min(pause + 0.00001, BUSY)
        if operation.error is not None:
            raise operation.error

    def check(self) -> None:
        """Raise DistBackendError if something has failed, here or on another rank."""
        if self.broken is not None:
            raise DistBackendError(self.broken)

    def serve_for(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Answer the other ranks for so long, or until that is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            with self.lock:
                self.messages.serve(self)
            time.sleep(0.005)


def flush_output() -> None:
    """Let what was printed be seen before the process ends abruptly."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue

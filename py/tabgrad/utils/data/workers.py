"""Worker processes that make a loader's batches, and the iterator that hands out the batches in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

from tabgrad.core import interrupts
from tabgrad.core.locks import lock
from tabgrad.utils.data.fetching import Fetcher
from tabgrad.utils.data.parcels import Failure, Luggage, Parcel, packed_index, receive
from tabgrad.utils.data.worker import work

PATIENCE = 5.0
"""Seconds that workers have to finish when their batches are no longer wanted."""
_STARTING = lock()
"""Held while a worker starts, so that no other worker inherits its end of the line."""


Task = tuple[int, int, bytes]
"""The number of a pass, the number of a batch over all passes, and the pickled indices."""


class Crew:
    """The worker processes of one iterator; they end with it."""

    def __init__(self, owner: object, loader: Any, luggage: Luggage, base_seed: int) -> None:
        self.count = loader.num_workers
        self._context = loader.multiprocessing_context or multiprocessing.get_context()
        self._lines: list[Connection] = []
        self._processes: list[Any] = []
        self._heard: set[int] = set()
        self._maker = os.getpid()
        self._failed = ""
        self.open = True
        interrupts.install()  # one that comes while the finalizer runs is raised after it, not lost in it
        weakref.finalize(owner, self.close)
        try:
            for worker in range(self.count):
                self._start(luggage, worker, base_seed)
        except BaseException as error:
            self.close(0)
            if self._method != "fork" and isinstance(error, Exception):
                error.add_note(
                    f"With start method {self._method!r} the data set, collate_fn and worker_init_fn are "
                    "pickled: define them at the top of a module."
                )
            raise

    @property
    def _method(self) -> str:
        return str(self._context.get_start_method())

    @interrupts.uninterruptible  # the mask does not hold where other threads take the signal
    def _start(self, luggage: Luggage, worker: int, base_seed: int) -> None:
        with _STARTING, _without_interrupts():
            ours, theirs = self._context.Pipe()
            try:
                process = self._context.Process(
                    target=work,
                    args=(theirs, luggage, worker, self.count, base_seed),
                    name=f"DataLoader-worker-{worker}",
                    daemon=True,
                )
                process.start()
            except BaseException:
                ours.close()
                raise
            finally:
                theirs.close()
            self._lines.append(ours)
            self._processes.append(process)

    def ask(self, worker: int, task: Task) -> None:
        """Send a task; a worker that is gone is noticed when its answer is awaited."""
        with suppress(OSError):
            self._lines[worker].send(task)

    def next_answer(self, seconds: float | None) -> tuple[int, Parcel] | None:
        """Wait for an answer and give it with its worker, None if none comes; raise if a worker has died."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while self.open:
            left = 1.0 if deadline is None else min(1.0, deadline - time.monotonic())
            ready = wait([*self._lines, *(p.sentinel for p in self._processes)], max(0.0, left))
            for worker, (line, process) in enumerate(
                zip(self._lines, self._processes, strict=True)
            ):
                # also asked each second: a process that the user forked may hold the sentinel open
                gone = process.sentinel in ready or (not ready and process.exitcode is not None)
                if line in ready or (gone and line.poll()):
                    return worker, self._answer_of(worker)
                if gone:
                    self._mourn(worker)
            if not ready and left < 1.0:
                return None
        raise RuntimeError(self._failed or "the workers of this iterator have ended")

    def _answer_of(self, worker: int) -> Parcel:
        try:
            answer = receive(self._lines[worker])
        except BaseException as error:
            # a user's handler of signals may raise TimeoutError; the rest of the message would stay there
            if isinstance(error, (EOFError, OSError)) and not isinstance(error, TimeoutError):
                self._mourn(worker)
            self.close(0)
            raise
        self._heard.add(worker)
        return answer

    def _mourn(self, worker: int) -> NoReturn:
        """End the other workers, and raise an error that says how one ended."""
        process = self._processes[worker]
        process.join(1)
        code, pid = process.exitcode, process.pid
        how = f"with exit code {code}"
        if code is None:
            how = "from its loop: its connection is closed"
        elif code < 0:
            how = f"by signal {-code} ({signal.strsignal(-code)})"
        said = (
            f"DataLoader worker {worker} (pid {pid}) exited unexpectedly, {how}. "
            "What it was doing is lost; with num_workers=0 the error may show itself."
        )
        if worker not in self._heard and self._method != "fork":
            said += (
                f" It had made nothing yet: with start method {self._method!r} each worker imports the main "
                'module, so what starts workers must stand under `if __name__ == "__main__":` there.'
            )
        self._failed = said
        self.close(0)
        raise RuntimeError(said)

    def close(self, patience: float | None = None) -> None:
        """Let the workers end; end them by force after `patience` seconds."""
        if os.getpid() != self._maker:
            return
        self.open = False
        for line in self._lines:
            if not line.closed:
                _hang_up(line)
        deadline = time.monotonic() + (PATIENCE if patience is None else patience)
        for process in self._processes:
            process.join(max(0.0, deadline - time.monotonic()))
        for end in ("terminate", "kill"):
            still = [process for process in self._processes if process.is_alive()]
            for process in still:
                getattr(process, end)()
            for process in still:
                process.join(1)
        self._lines.clear()
        self._processes.clear()


def _hang_up(line: Connection) -> None:
    """Close a line for both sides, even if other processes have inherited this end."""
    if hasattr(socket, "AF_UNIX"):
        with suppress(OSError), socket.socket(fileno=os.dup(line.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)
    line.close()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold back interrupts, also in a process that starts meanwhile, until it handles them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class WorkerIterator(Iterator[Any]):
    """Hands out the batches that workers make, some of them ahead.

    Tasks go to workers in turn; `_owed` maps the number of each open task to its worker, `_ready` holds answers
    that came before their turn.
    """

    def __init__(self, loader: Any, fetcher: Fetcher, order: Iterator[Any], seed: int) -> None:
        if loader.prefetch_factor <= 0:
            raise AssertionError(
                f"prefetch_factor must be greater than 0 to make batches, got {loader.prefetch_factor}"
            )
        self._timeout = loader.timeout or None
        self._ahead = loader.prefetch_factor
        self._in_order = loader.in_order
        self._keep = loader.persistent_workers
        self._turn = lock()  # threads may share an iterator
        self._epoch = 0
        self._number = 0
        self._crew = Crew(self, loader, Luggage(fetcher, loader.worker_init_fn), seed)
        self._indices = loader._index_sampler
        self.start(order)

    @property
    def open(self) -> bool:
        """True if there are workers for another pass."""
        return self._crew.open

    def start(self, order: Iterator[Any]) -> None:
        """Begin a pass, the first one or another."""
        self._order: Iterator[Any] | None = order
        self._late: Exception | None = None
        self._epoch += 1
        self._owed: dict[int, int] = {}
        self._ready: dict[int, Parcel] = {}
        self._finished: set[int] = set()
        self._last = -1
        try:
            self._fill()
        except BaseException as error:
            self._end_for(error)
            raise

    def __getstate__(self) -> Any:
        raise NotImplementedError(
            "WorkerIterator cannot be pickled or copied: its workers are its own"
        )

    def __next__(self) -> Any:
        try:
            with self._turn:
                answer = self._take()
        except BaseException as error:
            self._end_for(error)
            raise
        if isinstance(answer, Failure):
            raise answer.error()
        return answer

    def _end_for(self, error: BaseException) -> None:
        """End all workers if this is an interrupt, after which the state of the tasks is unknown."""
        if not isinstance(error, Exception):
            self._order = None
            self._owed.clear()
            self._crew.close(0)

    def _take(self) -> Any:
        while self._owed:
            due = next(iter(self._owed if self._in_order else self._ready), None)
            if due is not None and due in self._ready:
                del self._owed[due]
                parcel = self._ready.pop(due)
                self._fill()
                return parcel.unpack()
            self._receive()
        if not self._keep:
            self._crew.close()
        late, self._late = self._late, None
        raise late or StopIteration

    def _receive(self) -> None:
        found = self._crew.next_answer(self._timeout)
        if found is None:
            raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")
        worker, parcel = found
        if parcel.epoch != self._epoch:
            return
        if parcel.ended:
            self._finished.add(worker)
            del self._owed[parcel.number]
            self._fill()
        else:
            self._ready[parcel.number] = parcel

    def _fill(self) -> None:
        """Give out tasks, as many as are made ahead; an error of the order is raised in its turn."""
        while self._order is not None:
            active = [w for w in range(self._crew.count) if w not in self._finished]
            if len(self._owed) >= self._ahead * len(active):
                self._order = self._order if active else None
                return
            try:
                index = packed_index(next(self._order))
            except StopIteration:
                self._order = None
                return
            except Exception as error:
                self._order, self._late = None, error
                return
            self._number += 1
            worker = self._next_of(active)
            self._owed[self._number] = worker
            self._crew.ask(worker, (self._epoch, self._number, index))

    def __len__(self) -> int:
        return len(self._indices)

    def _next_of(self, active: list[int]) -> int:
        """Choose the worker of the next task: in turn, or the one with the fewest tasks if unordered."""
        if self._in_order:
            last = self._last
            self._last = next((w for w in active if w > last), active[0])
            return self._last
        busy = list(self._owed.values())
        return min(active, key=busy.count)

"""The main function of a loader's worker process."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from types import FrameType
from typing import Any

import tabgrad as tg
from tabgrad.core.trace import MODE, Mode
from tabgrad.utils.data.fetching import Exhausted, Fetcher, WorkerInfo, become
from tabgrad.utils.data.parcels import Failure, Luggage, Packed


def work(line: Connection, luggage: Luggage, worker: int, workers: int, base_seed: int) -> None:
    """Make the batches that the other end of `line` asks for, until it hangs up.

    An interrupt ends it silently, because the caller has been interrupted too.
    """
    try:
        _heed_signals()
        desk = _Desk(line)
        fetcher, failed = None, None
        try:
            _settle(base_seed, worker)
            fetcher, prepare = luggage.unpack()
            become(WorkerInfo(worker, workers, base_seed + worker, fetcher.dataset))
            if prepare is not None:
                prepare(worker)
        except Exception as error:
            failed = Failure(error, worker)
        _serve(desk, worker, fetcher, failed)
    except KeyboardInterrupt:
        pass


def _heed_signals() -> None:
    """Take the first interrupt, even if it came while the process began; end at SIGTERM."""
    signal.set_wakeup_fd(-1)  # an event loop of the caller's would hear of signals that come here
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _settle(base_seed: int, worker: int) -> None:
    """Set the mode of a new thread, the CPU as default device, and this worker's own random seeds."""
    MODE.set(Mode())
    tg.set_default_device("cpu")
    random.seed(base_seed + worker)
    tg.manual_seed(base_seed + worker)
    import numpy as np

    # `random` and `numpy.random` use the same generator: from one seed both would draw the same.
    entropy = [worker, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    np.random.seed(np.random.SeedSequence(entropy).generate_state(4))


def _serve(desk: _Desk, worker: int, fetcher: Fetcher | None, failed: Failure | None) -> None:
    current, ended = 0, False
    for epoch, number, index in desk.tasks():
        answer: Any = failed
        try:
            if fetcher is not None and failed is None:
                if epoch != current:
                    fetcher.begin()
                    current, ended = epoch, False
                answer = None if ended else fetcher(pickle.loads(index))
        except Exhausted:
            ended, answer = True, None
        except Exception as error:
            answer = Failure(error, worker)
        desk.answer(_packed(answer, worker), epoch, number, ended)


def _packed(answer: Any, worker: int) -> Packed:
    """Pack a batch, or the error of packing it; an error that can't be sent becomes a RuntimeError."""
    try:
        return Packed(answer)
    except Exception as error:
        if isinstance(answer, Failure):
            answer.kind = RuntimeError
        else:
            error.add_note("Batches are pickled on their way to the caller, and this one can't be.")
            answer = Failure(error, worker)
        return _packed(answer, worker)


class _Desk:
    """Receives tasks and sends answers in two threads, so that neither side waits for the other."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self._coming: SimpleQueue[Any] = SimpleQueue()
        self._going: SimpleQueue[Any] = SimpleQueue()
        self._over = False
        self._parent = os.getppid()
        for act in (self._receive, self._send):
            threading.Thread(target=act, daemon=True).start()

    def tasks(self) -> Iterator[Any]:
        """Yield the tasks, until the caller hangs up."""
        while (task := self._coming.get()) is not None and not self._over:
            yield task

    def answer(self, packed: Packed, *about: Any) -> None:
        """Queue an answer to be sent."""
        self._going.put((packed, about))

    def _receive(self) -> None:
        with suppress(EOFError, OSError):
            while self._called():
                self._coming.put(self._line.recv())
        self._over = True
        self._coming.put(None)

    def _called(self) -> bool:
        """Wait until the caller says something or ends: this process may have its end of the line as well."""
        caller = multiprocessing.parent_process()
        ends = [caller.sentinel] if caller is not None else []
        while True:
            ready = wait([self._line, *ends], 1)
            if self._line in ready:
                return True
            if ready or os.getppid() != self._parent:
                return False

    def _send(self) -> None:
        try:
            while True:
                packed, about = self._going.get()
                packed.send(self._line, *about)
        except OSError:  # the caller is gone
            return

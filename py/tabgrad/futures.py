"""Results that come later: PyTorch's `torch.futures`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")
S = TypeVar("S")


class Future(Generic[T]):
    """A value that comes later, and what is to be done with it.

    The future of work that goes on between processes is moved on by whoever waits for it or asks `done()`,
    and its callbacks run there, in the thread that asks: they may use tensors as any code does.

    >>> import tabgrad as tg
    >>> future = tg.futures.Future()
    >>> twice = future.then(lambda f: 2 * f.value())
    >>> future.set_result(21)
    >>> twice.wait()
    42
    """

    def __init__(self, *, devices: Any = None) -> None:
        self._set = threading.Event()
        self._lock = threading.RLock()
        self._value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Future[T]], Any]] = []
        self._drive: Callable[[], Any] | None = None
        self._ready: Callable[[], bool] | None = None

    @classmethod
    def driven(cls, drive: Callable[[], T], ready: Callable[[], bool]) -> Future[T]:
        """Make a future of what `drive()` returns; `ready()` tells whether that would return at once."""
        future = cls()
        future._drive, future._ready = drive, ready
        return future

    def done(self) -> bool:
        """Whether the value, or an error, is there."""
        if not self._set.is_set() and self._ready is not None and self._ready():
            self._run()
        return self._set.is_set()

    def wait(self) -> T:
        """Wait for the value and return it, or raise the error that came in its place."""
        if self._drive is not None:
            self._run()
        self._set.wait()
        return self.value()

    def _run(self) -> None:
        with self._lock:
            drive, self._drive = self._drive, None
            if drive is None:
                return
            try:
                value = drive()
            except Exception as error:
                self._end(None, error)
            else:
                self.set_result(value)

    def value(self) -> T:
        """Return the value of a future that is done, or raise its error."""
        if not self.done():
            raise RuntimeError("value: the future is not done; call wait()")
        if self._error is not None:
            raise self._error
        return cast(T, self._value)

    def then(self, callback: Callable[[Future[T]], S]) -> Future[S]:
        """Return a future of what `callback(self)` returns, called when this one is done."""
        if self._drive is not None:

            def drive() -> Any:
                if self._drive is not None:
                    self._run()
                return callback(self)

            return Future.driven(drive, self.done)
        later: Future[S] = Future()

        def forward(future: Future[T]) -> None:
            try:
                later.set_result(callback(future))
            except Exception as error:
                later._end(None, error)

        self.add_done_callback(forward)
        return later

    def add_done_callback(self, callback: Callable[[Future[T]], Any]) -> None:
        """Call `callback(self)` when it is done, or now if it is."""
        with self._lock:
            if not self._set.is_set():
                self._callbacks.append(callback)
                return
        callback(self)

    def set_result(self, result: T) -> None:
        """Give the value; a future has one."""
        self._end(result, None)

    def set_exception(self, result: T) -> None:
        """Give an error in place of the value: `wait` and `value` raise it."""
        if not isinstance(result, Exception):
            raise TypeError(
                f"set_exception: {result!r} is of type {type(result)}, not an Exception."
            )
        self._end(None, result)

    def _end(self, value: Any, error: BaseException | None) -> None:
        with self._lock:
            if self._set.is_set():
                raise RuntimeError("Future can only be marked completed once")
            self._value, self._error = value, error
            self._drive = self._ready = None
            self._set.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)


def collect_all(futures: list[Future[Any]]) -> Future[list[Future[Any]]]:
    """Return a future of the list of these futures, done when all of them are.

    >>> import tabgrad as tg
    >>> both = [tg.futures.Future(), tg.futures.Future()]
    >>> for n, future in enumerate(both):
    ...     future.set_result(n)
    >>> [f.value() for f in tg.futures.collect_all(both).wait()]
    [0, 1]
    """

    def drive() -> list[Future[Any]]:
        for future in futures:
            try:
                future.wait()
            except Exception:
                pass
        return futures

    return Future.driven(drive, lambda: all([f.done() for f in futures]))


def wait_all(futures: Sequence[Future[Any]]) -> list[Any]:
    """Wait for all of them and return their values, or raise the error of the first that has one."""
    return [future.value() for future in collect_all(list(futures)).wait()]


__all__ = ["Future", "collect_all", "wait_all"]

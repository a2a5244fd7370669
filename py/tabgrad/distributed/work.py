"""Handles of what goes on between processes while the program does something else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tabgrad.futures import Future

if TYPE_CHECKING:
    from tabgrad.distributed.engine import Engine, Operation


class Work:
    """A collective call, or a message, under way.

    The tensors that it changes have their new values after `wait()`, or once `is_completed()` was True.
    """

    def __init__(
        self, engine: Engine, operation: Operation, tensors: Sequence[Any], begin: Callable[[], None],
        finish: Callable[[], None],
    ) -> None:  # fmt: skip
        self._engine = engine
        self._operation = operation
        self._tensors = list(tensors)
        self._begin: Callable[[], None] | None = begin
        self._finish: Callable[[], None] | None = finish
        self._future: Future[Any] | None = None

    def begin(self) -> None:
        """Hand the values to the engine, waiting for the device to have computed them."""
        begin, self._begin = self._begin, None
        if begin is not None:
            try:
                begin()
            except BaseException as error:
                self._operation.fail(error)
                raise

    def wait(self, timeout: timedelta | None = None) -> bool:
        """Wait until it is done; raise DistBackendError at the deadline, or if it failed on another rank.

        Without `timeout` the deadline is the group's, counted from the call that began it.
        """
        operation = self._operation
        operation.group.begin_all()
        if timeout is not None:
            operation.due_in(timeout.total_seconds())
        self._engine.wait(operation)
        self._done()
        return True

    def _done(self) -> None:
        finish, self._finish = self._finish, None
        if finish is not None:
            finish()

    def is_completed(self) -> bool:
        """Whether it is done or has failed; moves it on, and never waits for another rank."""
        self._operation.group.begin_all()
        self._engine.advance()
        if self._operation.done and self._operation.error is None:
            self._done()
        return self._operation.done

    def is_success(self) -> bool:
        """Whether it is done and nothing failed."""
        return self.is_completed() and self._operation.error is None

    def exception(self) -> BaseException | None:
        """Return why it failed; None if it did not."""
        return self._operation.error

    def result(self) -> list[Any]:
        """Return the tensors that it changes."""
        return self._tensors

    def source_rank(self) -> int:
        """Return the rank that the received message came from."""
        if self._operation.source < 0:
            raise RuntimeError("source_rank: only a finished `irecv` has one")
        return self._operation.group.ranks[self._operation.source]

    def synchronize(self) -> None:
        """Wait until it is done."""
        self.wait()

    def get_future(self) -> Future[Any]:
        """Return a Future of the list of the tensors. Its callbacks run where it is waited for."""
        if self._future is None:
            self._future = Future.driven(self._waited, self.is_completed)
        return self._future

    def _waited(self) -> list[Any]:
        self.wait()
        return self._tensors


__all__ = ["Work"]

"""Locks of this process: the order of taking them, lending them to threads, and freeing them after a fork."""

from __future__ import annotations

import os
from _thread import RLock
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any


def lock() -> RLock:
    """Make a reentrant lock that is free in a forked child process."""
    made = RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=made._at_fork_reinit)  # type: ignore[attr-defined]
    return made


WRITING = lock()
"""Held while a tensor or a gradient is read, changed and written: two threads that add to it lose nothing. A
thread that also needs a device's lock takes this one first."""

_HELD: ContextVar[tuple[Any, ...]] = ContextVar("tabgrad_held", default=())
"""Locks that the current task holds for longer than one step."""


@contextmanager
def alone(others: Iterable[object]) -> Iterator[None]:
    """Hold the writing lock and the given devices' locks inside the block."""
    locks = (WRITING, *[each for each in others if isinstance(each, RLock)])
    with ExitStack() as stack:
        for each in locks:
            stack.enter_context(each)
        token = _HELD.set(locks)
        try:
            yield
        finally:
            _HELD.reset(token)


@contextmanager
def lent() -> Iterator[None]:
    """Release the locks of `alone` inside the block: a thread of this task can then take them by `borrowed`."""
    locks = _HELD.get()
    depths = [each._release_save() for each in locks]
    try:
        yield
    finally:
        for each, depth in zip(locks, depths, strict=True):
            each._acquire_restore(depth)


@contextmanager
def borrowed() -> Iterator[None]:
    """Hold the locks that the thread which started this one has `lent`."""
    with ExitStack() as stack:
        for each in _HELD.get():
            stack.enter_context(each)
        yield

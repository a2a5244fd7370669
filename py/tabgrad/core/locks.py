"""Locks of this process: the order in which they are taken, lending, and a child process that has them free."""

from __future__ import annotations

import os
from _thread import RLock
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any


def lock() -> RLock:
    """Return a new lock, which a thread may take again while it has it."""
    made = RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=made._at_fork_reinit)  # type: ignore[attr-defined]
    return made


WRITING = lock()
"""Held from reading an old value to writing the new one, of a tensor or a gradient: of two threads that add to
one, none is lost. Whoever needs a device's lock as well takes this one first."""

_HELD: ContextVar[tuple[Any, ...]] = ContextVar("tabgrad_held", default=())
"""What the current task holds of others' locks for longer than one step."""


@contextmanager
def alone(devices: Iterable[Any]) -> Iterator[None]:
    """Let no other thread write or use these devices' locks meanwhile."""
    locks = (WRITING, *[each for each in devices if isinstance(each, RLock)])
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
    """Give what `alone` holds to a thread of this task, which takes it by `borrowed`, and wait for it there."""
    locks = _HELD.get()
    depths = [each._release_save() for each in locks]
    try:
        yield
    finally:
        for each, depth in zip(locks, depths, strict=True):
            each._acquire_restore(depth)


@contextmanager
def borrowed() -> Iterator[None]:
    """Hold what the thread that started this one has lent."""
    with ExitStack() as stack:
        for each in _HELD.get():
            stack.enter_context(each)
        yield

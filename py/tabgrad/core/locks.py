"""Locks of this process: a child made by fork has them free, whoever held them in its parent."""

from __future__ import annotations

import os
from _thread import RLock


def lock() -> RLock:
    """Return a new lock, which a thread may take again while it has it."""
    made = RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=made._at_fork_reinit)  # type: ignore[attr-defined]
    return made

"""Registration of hooks."""

from __future__ import annotations

from typing import Any

from tabgrad.transforms.node import RemovableHandle as RemovableHandle


def add(hooks: dict[int, Any], hook: Any, prepend: bool = False) -> RemovableHandle:
    """Put a hook at the end (or beginning) of an ordered table; return the handle that removes it."""
    handle = RemovableHandle(hooks)
    later = dict(hooks) if prepend else {}
    if prepend:
        hooks.clear()
    hooks[handle.id] = hook
    hooks.update(later)
    return handle

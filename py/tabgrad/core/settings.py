"""Settings of the whole process: each is declared where it is used, and `restore` resets all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

C = TypeVar("C", bound="type[Any]")

_ACTIONS: list[Callable[[], object]] = []


def setting(holder: C) -> C:
    """Declare the attributes of a class as settings, with their current values as the defaults."""
    defaults = {name: value for name, value in vars(holder).items() if not name.startswith("__")}

    def bring_back() -> None:
        for name, value in defaults.items():
            setattr(holder, name, value)

    on_restore(bring_back)
    return holder


def on_restore(action: Callable[[], object]) -> Callable[[], object]:
    """Register `action`, which resets a setting that no class holds; return it."""
    _ACTIONS.append(action)
    return action


def restore() -> None:
    """Reset all settings to their defaults, those of this thread or task too.

    Code that runs several programs in one process calls this before each.
    """
    for action in _ACTIONS:
        action()

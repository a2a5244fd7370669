"""Settings of the whole process: declared where they live, brought back to their defaults together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

C = TypeVar("C", bound="type[Any]")

_ACTIONS: list[Callable[[], object]] = []


def setting(holder: C) -> C:
    """Declare that the attributes of a class are settings, and that what they are now are the defaults."""
    defaults = {name: value for name, value in vars(holder).items() if not name.startswith("__")}

    def bring_back() -> None:
        for name, value in defaults.items():
            setattr(holder, name, value)

    on_restore(bring_back)
    return holder


def on_restore(action: Callable[[], object]) -> Callable[[], object]:
    """Have `action` bring back a setting that no class holds; return it."""
    _ACTIONS.append(action)
    return action


def restore() -> None:
    """Bring all settings back to their defaults, those of this thread or task too.

    What runs one program after another in one process begins each with this.
    """
    for action in _ACTIONS:
        action()

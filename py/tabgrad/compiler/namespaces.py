"""Tables of names of which some are read, and what is read without being named."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tabgrad.compiler.code import OUTSIDE, PURE, home, module_kind, mro_of

SPECIAL = frozenset(
    n for cls in (int, float, list, dict, set) for n in dir(cls) if n.startswith("__")
) - frozenset(("__dict__", "__doc__", "__class__", "__new__")) | frozenset(
    ("__bool__", "__call__", "__enter__", "__exit__", "__getattr__", "__get__", "__set__", "__missing__",
     "__next__")
)  # fmt: skip
"""Methods that no name in the code leads to."""


MEMBERS = ("_member_map_", "_value2member_map_")
"""Where an enum keeps its members, which code gets by item, by value and in turn."""


class Namespace:
    """A table of names of which some are read: globals, a class, or what an instance holds."""

    __slots__ = ("follows", "found", "path", "table", "whole")

    def __init__(self, table: Any, path: str, whole: Iterable[str], follows: Any) -> None:
        self.table = table
        self.path = path
        self.whole = set(whole)
        self.found: dict[str, Any] = {}
        self.follows = follows
        """The types of the values that are followed; of others only the identity counts."""

    @property
    def shallow(self) -> bool:
        """Whether this is a table of a library: of it only what code names counts."""
        return self.follows is not object


def of_a_library(kind: type) -> bool:
    """Whether instances hold attributes that code of Python's library reads, whose names are not looked at."""
    return any(
        module_kind(home(cls)) in (PURE, OUTSIDE)
        for cls in mro_of(kind)
        if home(cls) not in ("builtins", "abc", "typing")
    )

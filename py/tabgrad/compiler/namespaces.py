"""Namespaces (globals, classes, attributes of instances), and the names in them that a call may read."""

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
"""Methods that code calls without naming them, such as `__bool__`."""


MEMBERS = ("_member_map_", "_value2member_map_")
"""The attributes in which an enum keeps its members; code gets them without naming these attributes."""


class Namespace:
    """Globals, a class, or the attributes of an instance, of which the call may read some names."""

    __slots__ = ("follows", "found", "path", "table", "whole")

    def __init__(
        self, table: Any, path: str, whole: Iterable[str], follows: type | tuple[type, ...]
    ) -> None:
        self.table = table
        self.path = path
        self.whole = set(whole)
        self.found: dict[str, Any] = {}
        self.follows = follows
        """The types of values whose own state counts; of other values only the identity counts."""

    @property
    def shallow(self) -> bool:
        """Whether this belongs to a library, of which only the named entries count."""
        return self.follows is not object


def of_a_library(kind: type) -> bool:
    """Whether code of Python's library, whose names are not analysed, may read attributes of instances."""
    return any(
        module_kind(home(cls)) in (PURE, OUTSIDE)
        for cls in mro_of(kind)
        if home(cls) not in ("builtins", "abc", "typing")
    )

"""What printed names of sizes, dtypes and types begin with: "tabgrad", or "torch" under the alias."""

from __future__ import annotations

from typing import Any

from tabgrad.core.settings import setting

ROOT = "tabgrad"


@setting
class Package:
    """The name that a program has imported the package by."""

    name = ROOT


class Home(str):
    """The module of a class or function as the alias calls it; `own` is the module that it is from.

    A pickle gets tabgrad's name of the place, which is there without the alias too. `name` is that of a class.
    """

    __slots__ = ("name", "own")
    own: str
    name: str

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return str, (ROOT + self.removeprefix("torch"),)


def module_of(what: Any) -> str:
    """Return the name of the module that a class or function is from, whatever the alias calls it."""
    name = what.__module__
    return name.own if name.__class__ is Home else name or ""


def name_of(what: Any) -> str:
    """Return the qualified name that a class or function has in its file."""
    home = what.__module__
    return str((home.__class__ is Home and home.name) or what.__qualname__)


def is_own(what: Any) -> bool:
    """Whether a class or function is the library's."""
    return module_of(what).partition(".")[0] == ROOT

"""Modules of the table `core/paths.py`, whose names live in other modules, and names that no module has."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from tabgrad.core.naming import ROOT, Package
from tabgrad.core.paths import PATHS


class MissingNameError(AttributeError):
    """A module has no such name; the message tells the nearest ones."""

    def __init__(self, module: str, name: str) -> None:
        super().__init__(module, name)
        self.module = module
        self.missing = name

    def __str__(self) -> str:
        shown = Package.name + self.module.removeprefix(ROOT)
        near = nearest(self.missing, dir(sys.modules.get(self.module)))
        return f"module {shown!r} has no attribute {self.missing!r}" + near


def nearest(name: str, names: Sequence[str]) -> str:
    """Tell which of the names are most like `name`, as the end of a message; nothing where none is.

    >>> nearest("Linaer", ["Linear", "ReLU"])
    "; the nearest is 'Linear'"
    """
    from difflib import get_close_matches

    near = get_close_matches(name, [n for n in names if n != name and n[:2] != "__"], 3, 0.7)
    if not near:
        return ""
    return f"; the nearest {'is' if len(near) == 1 else 'are'} {', '.join(map(repr, near))}"


def below(package: str, name: str) -> Any:
    """Return the module of the table that stands below a package; raise MissingNameError for another name."""
    if not name.startswith("__"):
        path = f"{package.removeprefix(ROOT).lstrip('.')}.{name}".lstrip(".")
        if path in PATHS:
            return import_module(f"{ROOT}.{path}")
    raise MissingNameError(package, name)


def entries(path: str) -> Iterator[tuple[str, str, str]]:
    """Yield each name of a module of the table, the module it lives in, and its name there."""
    return parsed(PATHS[path])


def parsed(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield the same of the text of a table's row."""
    home = ""
    for word in text.split():
        if word.endswith(":"):
            home = word[:-1]
        else:
            name, _, there = word.partition("=")
            yield name, home, there or name


class Place(ModuleType):
    """A module of the table: its names live in other modules."""

    __path__: list[str]

    def __init__(self, name: str, doc: str | None = None) -> None:
        super().__init__(name, doc)
        self.__path__ = []  # so that modules may stand below it
        self._names = {n: at for n, *at in entries(name.removeprefix(f"{ROOT}."))}
        self.__all__ = [n for n in self._names if not n.startswith("_")]

    def __getattr__(self, name: str) -> Any:
        at = None if name == "_names" else self._names.get(name)
        if at is None:
            return below(self.__name__, name)
        found = getattr(import_module(at[0]), at[1])
        setattr(self, name, found)
        return found

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._names})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function of the same name, which PyTorch shows in place of such a module."""
        own = self.__name__.rpartition(".")[2]
        if own not in self._names:
            raise TypeError(f"the module {self.__name__!r} is not a function")
        return getattr(self, own)(*args, **kwargs)


def settle(module: ModuleType) -> None:
    """Put the object in its place where the path is that of an object: `backends.cudnn`."""
    path = module.__name__.removeprefix(f"{ROOT}.")
    if PATHS[path].startswith("="):
        above, _, name = PATHS[path][1:].rpartition(".")
        sys.modules[module.__name__] = getattr(import_module(above), name)
    elif (own := path.rpartition(".")[2]) in dir(module):
        getattr(module, own)  # now: the module will stand where the function stood

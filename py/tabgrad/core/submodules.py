"""Modules that PyTorch has by a path of their own, and whose names live elsewhere here: `nn.modules.conv`.

`core/paths.py` is the table of them. Such a module is made when it is imported, or asked for as an attribute
of the package above it; its names are imported when they are asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from tabgrad.core.naming import Package

ROOT = "tabgrad"


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


def missing_from(package: str) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package: it imports the submodules of the table, and else raises."""
    inside = package.removeprefix(ROOT).lstrip(".")

    def __getattr__(name: str) -> Any:
        if not name.startswith("__"):
            path = f"{inside}.{name}" if inside else name
            if path in paths():
                return import_module(f"{ROOT}.{path}")
        raise MissingNameError(package, name)

    return __getattr__


def paths() -> dict[str, str]:
    """Return the table, with the packages that only stand above others in it."""
    from tabgrad.core.paths import PATHS

    return PATHS


def entries(path: str) -> Iterator[tuple[str, str, str]]:
    """Yield each name of a module of the table, the module it lives in, and its name there."""
    return parsed(paths()[path])


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
            return missing_from(self.__name__)(name)
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


class Finder:
    """Finds the modules of the table after all finders of files."""

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return how to make a module of the table, None for every other name."""
        root, _, inside = name.partition(".")
        if root != ROOT or inside not in paths():
            return None
        return ModuleSpec(name, cls, is_package=True)  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> Any:
        """Make the module."""
        return Place(spec.name, "Names that live in other modules; PyTorch has them here too.")

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Put the object in its place where the path is that of an object: `backends.cudnn`."""
        path = module.__name__.removeprefix(f"{ROOT}.")
        if paths()[path].startswith("="):
            above, _, name = paths()[path][1:].rpartition(".")
            sys.modules[module.__name__] = getattr(import_module(above), name)
        elif (own := path.rpartition(".")[2]) in dir(module):
            getattr(module, own)  # now: the module will stand where the function stood


def install() -> None:
    """Let modules of the table be imported."""
    if Finder not in sys.meta_path:
        sys.meta_path.append(Finder)

"""Finds modules that PyTorch has by a path of their own, whose names live elsewhere here: `nn.modules.conv`.

`core/paths.py` is the table of them, `core/places.py` what they are. Such a module is made when it is imported,
or asked for as an attribute of the package above it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from tabgrad.core.naming import ROOT


def missing_from(package: str) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package: it imports the submodules of the table, and else raises."""

    def __getattr__(name: str) -> Any:
        from tabgrad.core.places import below

        return below(package, name)

    return __getattr__


def paths() -> dict[str, str]:
    """Return the table, with the packages that only stand above others in it."""
    from tabgrad.core.paths import PATHS

    return PATHS


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
        from tabgrad.core.places import Place

        return Place(spec.name, "Names that live in other modules; PyTorch has them here too.")

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Put the object in its place where the path is that of an object: `backends.cudnn`."""
        from tabgrad.core.places import settle

        settle(module)


def install() -> None:
    """Let modules of the table be imported."""
    if Finder not in sys.meta_path:
        sys.meta_path.append(Finder)

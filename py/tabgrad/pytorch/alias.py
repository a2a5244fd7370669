"""The module `torch` and the finder of it and of what is below it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from importlib.util import find_spec as find
from types import ModuleType
from typing import Any, cast

import tabgrad
from tabgrad import library, version
from tabgrad.core.naming import ROOT, Package
from tabgrad.core.places import MissingNameError
from tabgrad.core.settings import on_restore
from tabgrad.core.submodules import Finder as Places
from tabgrad.hosts.devices import name_accelerators
from tabgrad.pytorch import homes
from tabgrad.pytorch.homes import OURS

NAME = "torch"
ACCELERATORS = ("cuda", "mps")
"""The names of devices that mean the accelerator there is."""
ELSEWHERE = {
    "__version__": version.__version__, "version": version, "torch_version": version, "ops": library.ops,
}  # fmt: skip


class Torch(ModuleType):
    """The module `torch`: tabgrad, but for its version and for packages that PyTorch has not."""

    def __getattr__(self, name: str) -> Any:
        if name in ELSEWHERE:
            found = ELSEWHERE[name]
        elif name in OURS and isinstance(vars(tabgrad).get(name), ModuleType):
            raise MissingNameError("tabgrad", name)
        else:
            found = getattr(tabgrad, name)
        setattr(self, name, found)
        return found

    def __dir__(self) -> list[str]:
        hidden = {n for n in OURS if isinstance(vars(tabgrad).get(n), ModuleType)}
        return sorted({*super().__dir__(), *ELSEWHERE, *dir(tabgrad)} - hidden)


class Finder(DistributionFinder):
    """Finds `torch` and its modules before all other finders do."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return how to make the module; None where there is none, or where the name is not torch's."""
        root, _, inside = name.partition(".")
        if root == ROOT:
            return self._moving(name, path, target)
        if root != NAME:
            return None
        if not isinstance(ELSEWHERE.get(inside, ""), str):
            return ModuleSpec(name, Loader, origin="tabgrad")  # type: ignore[arg-type]
        if inside.partition(".")[0] in OURS:
            return None
        ours = f"tabgrad.{inside}".rstrip(".")
        if ours in sys.modules:
            package = hasattr(sys.modules[ours], "__path__")
        else:
            found = find(ours)
            if found is None:
                return None
            package = found.submodule_search_locations is not None
        return ModuleSpec(name, Loader, origin="tabgrad", is_package=package)  # type: ignore[arg-type]

    def _moving(self, name: str, path: Any, target: Any) -> ModuleSpec | None:
        """Find a module of tabgrad as the other finders do; what stands in it shall have PyTorch's homes."""
        for other in sys.meta_path:
            spec = None if other is self else other.find_spec(name, path, target)
            if spec is not None:
                loader: Any = spec.loader
                if loader is not None and loader is not Places:
                    spec.loader = cast("Any", homes.Moving(loader))
                return spec
        return None

    def find_distributions(
        self,
        context: DistributionFinder.Context = DistributionFinder.Context(),  # noqa: B008
    ) -> Iterator[Distribution]:
        """Yield the package `torch`, so that `importlib.metadata.version("torch")` answers."""
        if context.name in (None, NAME):
            yield Installed()


class Installed(Distribution):
    """What `importlib.metadata` tells of the package `torch`."""

    def read_text(self, filename: str) -> str | None:
        """Return the name and version as a package's METADATA."""
        if filename != "METADATA":
            return None
        return f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version.__version__}\n"

    def locate_file(self, path: Any) -> Any:
        """Raise: there are no files."""
        raise FileNotFoundError(f"{NAME} is a name of tabgrad here and has no file {path}")


class Loader:
    """Makes the module `torch`, and for what is below it takes tabgrad's module itself."""

    @staticmethod
    def create_module(spec: ModuleSpec) -> Any:
        """Return the module."""
        inside = spec.name.partition(".")[2]
        if not inside:
            made = Torch(NAME, tabgrad.__doc__)
            made.__path__ = []  # no file of tabgrad is found a second time below it
            return made
        found = ELSEWHERE[inside] if inside in ELSEWHERE else import_module(f"tabgrad.{inside}")
        _SPECS[spec.name] = getattr(found, "__spec__", None)
        return found

    @staticmethod
    def get_code(name: str) -> Any:
        """Return the code of a module, which `python -m` runs anew."""
        ours = ROOT + name.removeprefix(NAME)
        spec = find(ours)
        return getattr(spec and spec.loader, "get_code", lambda ours: None)(ours)

    @staticmethod
    def exec_module(module: Any) -> None:
        """Give a module of tabgrad back its own spec, which Python has written over."""
        if isinstance(module, Torch):
            return
        name = module.__spec__.name
        module.__spec__ = _SPECS.pop(name)


_SPECS: dict[str, Any] = {}
_FINDER = Finder()


def placed() -> bool:
    """Whether `import torch` means tabgrad now."""
    return _FINDER in sys.meta_path


def put() -> None:
    """Put the alias in place."""
    present = sys.modules.get(NAME)
    if present is not None and not isinstance(present, Torch):
        raise ImportError(
            f"as_torch: the real torch {getattr(present, '__version__', '')} is imported already, by "
            f"{getattr(present, '__file__', 'another module')}; call tabgrad.as_torch() first",
            name=NAME,
        )
    if placed():
        return
    name_accelerators(ACCELERATORS)
    Package.name = NAME
    sys.meta_path.insert(0, _FINDER)
    homes.move_all()


@on_restore
def remove() -> None:
    """Take the alias away, and what was imported by it out of the table of modules."""
    if not placed():
        return
    sys.meta_path.remove(_FINDER)
    homes.move_back()
    for name in [n for n in sys.modules if n == NAME or n.startswith(f"{NAME}.")]:
        del sys.modules[name]
    name_accelerators(())
    Package.name = "tabgrad"

"""Names of classes and functions in files: PyTorch's, for what PyTorch has too."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import tabgrad as tg
from tabgrad.core.errors import FileFormatError
from tabgrad.core.naming import module_of
from tabgrad.core.places import entries
from tabgrad.core.submodules import paths

OTHER = "privateuseone"
"""PyTorch's name for a device of somebody else's: `webgpu` in files, so that PyTorch reads them."""

_AGAIN = ("nn.modules.linear_cross_entropy",)
"""Paths whose names have another home."""


@cache
def _homes() -> dict[str, str]:
    """Return the paths of PyTorch's modules by the names of the modules."""
    there = [p for p in paths() if p.startswith("nn.modules.") and p not in _AGAIN]
    return {name: path for path in there for name, *_ in entries(path)}


def _ours(path: str, name: str) -> Any:
    return getattr(import_module(f"tabgrad.{path}"), name, None)


def in_files(what: Any) -> tuple[str, str] | None:
    """Return module and name of one of our modules or functions in files, None for anything else."""
    name = getattr(what, "__name__", "")
    if isinstance(what, type):
        home = _homes().get(name)
        return (f"torch.{home}", name) if home and _ours(home, name) is what else None
    home = module_of(what) if hasattr(what, "__module__") else ""
    if home.startswith("tabgrad.nn.functional") and getattr(tg.nn.functional, name, None) is what:
        return "torch.nn.functional", name
    return ("torch", name) if home.startswith("tabgrad.tensor") and hasattr(tg, name) else None


def in_tabgrad(module: str, name: str) -> Any:
    """Return our class or function for a name in a file that PyTorch's modules have, or None.

    Raises FileFormatError for an optimizer or a schedule: theirs hold other things than ours.
    """
    if module.startswith("torch.optim."):
        raise FileFormatError(f"the file has a whole {name}; save its state_dict()")
    home = module.removeprefix("torch.")
    if _homes().get(name) == home:
        return _ours(home, name)
    if (module, name) == ("torch.nn.parameter", "Parameter"):
        return tg.nn.Parameter
    if module in ("torch.nn.functional", "torch._C._nn"):
        return getattr(tg.nn.functional, name, None)
    if module in ("torch", "torch._C._VariableFunctions") and not name.startswith("_"):
        return getattr(tg, name, None)
    return None

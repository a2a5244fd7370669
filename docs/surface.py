"""What is public, read from the modules as they are: the reference is made from this.

A public module is one that `tabgrad`, or a public module, re-exports (`from tabgrad import nn as nn`). Its
public names are those of `__all__`, or else what it re-exports (`from ... import relu as relu`,
`import *`) and defines without an underscore.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pathlib
import pkgutil
import types
from dataclasses import dataclass
from typing import Any

ROOT = "tabgrad"
TOPICS = "tabgrad.tensor"
"""The package whose modules are the topics of functions and methods of tensors."""


@dataclass(frozen=True)
class Public:
    """One public name: the module that shows it, and the module whose file it comes from."""

    module: str
    name: str
    source: str

    @property
    def full(self) -> str:
        """The name to import it by."""
        return f"{self.module}.{self.name}"

    @property
    def thing(self) -> Any:
        """What the name stands for."""
        return getattr(importlib.import_module(self.module), self.name)

    @property
    def under(self) -> Any:
        """What is the same for all names of one thing: the function that public forms are made of."""
        return beneath(self.thing)


def beneath(thing: Any) -> Any:
    """Return the function that a public form or a method is made of; anything else as it is."""
    while True:
        inner = getattr(thing, "__wrapped__", None) or getattr(thing, "fn", None)
        if inner is None or (not isinstance(thing, types.FunctionType) and not _stands_in(thing)):
            return thing
        thing = inner


def _stands_in(thing: Any) -> bool:
    return type(thing).__module__ == "tabgrad.tensor.public"


@functools.cache
def tree_of(module: str) -> ast.Module:
    """Return the parsed file of a module."""
    file = importlib.import_module(module).__file__
    assert file is not None
    return ast.parse(pathlib.Path(file).read_text("utf-8"))


@functools.cache
def names_of(module: str) -> tuple[Public, ...]:
    """Return the public names of a module in the order of its file; submodules are among them."""
    found: dict[str, str] = {}
    _collect(tree_of(module).body, module, found)
    listed = getattr(importlib.import_module(module), "__all__", None)
    if listed is not None:
        found = {name: found.get(name, module) for name in listed}
    return tuple([Public(module, name, source) for name, source in found.items()])


def _collect(body: list[ast.stmt], module: str, found: dict[str, str]) -> None:
    for node in body:
        if isinstance(node, ast.If):
            # what is imported on demand is written down for type checkers
            _collect(node.body, module, found)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if alias.name == "*":
                    found.update(
                        dict.fromkeys(importlib.import_module(node.module).__all__, node.module)
                    )
                elif alias.asname == alias.name:
                    found[alias.name] = node.module
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.update({node.name: module} if node.name[0] != "_" else {})
        elif isinstance(node, ast.Assign | ast.AnnAssign) and not _short(node):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for name in (n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)):
                if name[0] != "_" and not name.isupper() and _shown(module, name):
                    found[name] = module


def _short(node: ast.Assign | ast.AnnAssign) -> bool:
    """Whether a file gives itself a short name for what the package shows: `Tensor = tg.Tensor`."""
    return node.value is not None and ast.unparse(node.value).startswith("tg.")


def _shown(module: str, name: str) -> bool:
    """Whether a variable of a module is meant for users: not a type that annotations use."""
    value = getattr(importlib.import_module(module), name, None)
    for_types = type(value).__module__ in ("typing", "types", "collections.abc") or value is Any
    return not for_types and not inspect.ismodule(value)


def modules() -> list[str]:
    """Return the public modules, the package first."""
    found = [ROOT]
    for module in found:
        for public in names_of(module):
            if inspect.ismodule(public.thing) and public.thing.__name__ not in found:
                found.append(public.thing.__name__)
    return found


def topics() -> list[str]:
    """Return the modules that hold functions or methods of tensors."""
    package = importlib.import_module(TOPICS.rpartition(".")[0])
    path = [str(pathlib.Path(package.__path__[0]) / TOPICS.rpartition(".")[2])]
    names = [f"{TOPICS}.{m.name}" for m in pkgutil.iter_modules(path)]
    return [
        n for n in names if getattr(importlib.import_module(n), "__all__", None) or methods_of(n)
    ]


@functools.cache
def methods_of(topic: str) -> tuple[str, ...]:
    """Return the public methods and properties of Tensor that a topic's file gives it, in its order."""
    import tabgrad

    taken: set[str] = set()
    for kind in tabgrad.Tensor.__mro__[1:]:
        names = [n for n in vars(kind) if n[0] != "_" and n not in taken]
        if kind.__module__ == topic:
            return tuple(names)
        taken.update(names)
    return ()


def own_methods() -> tuple[str, ...]:
    """Return the public methods and properties of Tensor that no topic gives it.

    Slots are the library's own, but for those that the class names once more.
    """
    import tabgrad

    given = {name for topic in topics() for name in methods_of(topic)}
    kind = tabgrad.Tensor
    names = [n for n in dir(kind) if n[0] != "_" and n not in given]
    slots = {n for n in names if inspect.ismemberdescriptor(inspect.getattr_static(kind, n))}
    return tuple([n for n in names if n not in slots or n in kind.__annotations__])

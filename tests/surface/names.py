"""Which names of tabgrad are PyTorch's, and how a default is spelled."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from tabgrad.core.paths import PATHS
from tabgrad.core.places import entries

MODULES = (
    "", "accelerator", "amp", "autograd", "autograd.forward_ad", "autograd.functional",
    "autograd.graph", "backends", "cuda", "distributed",
    "distributed.algorithms.ddp_comm_hooks.default_hooks",
    "distributed.algorithms.ddp_comm_hooks.powerSGD_hook", "distributed.algorithms.join",
    "distributed.checkpoint", "distributions", "distributions.constraints", "fft", "func", "futures",
    "linalg", "nn", "nn.attention", "nn.functional", "nn.init", "nn.parallel", "nn.utils",
    "nn.utils.rnn", "optim",
    "optim.lr_scheduler", "random", "signal.windows", "sparse", "special", "testing",
    "utils.checkpoint", "utils.data", "utils.hooks",
)  # fmt: skip


def module(place: str) -> Any:
    """Return the module of tabgrad of this name, an empty one standing for the package."""
    return importlib.import_module(f"tabgrad.{place}" if place else "tabgrad")


def public() -> list[tuple[str, str]]:
    """Return (module, name) of every public function and class, in order."""
    found = []
    for place in MODULES:
        found += [
            (place, name)
            for name in sorted(dir(module(place)))
            if not name.startswith("_") and _ours(getattr(module(place), name))
        ]
    return found


def placed() -> list[tuple[str, str]]:
    """Return (module, name) of public functions and classes, and of what PyTorch has by paths of their own."""
    found = set(public())
    for path in [p for p, text in PATHS.items() if not text.startswith("=")]:
        its = [name for name, home, _ in entries(path) if "absent" not in home]
        if (
            path.rpartition(".")[2] not in its
        ):  # once imported such a module stands in a function's place
            found.update((path, name) for name in its)
    return sorted(found)


def _ours(thing: Any) -> bool:
    made = str(getattr(thing, "__module__", "")).startswith("tabgrad")
    return callable(thing) and made and not inspect.ismodule(thing)


def methods() -> list[str]:
    """Return the public methods of Tensor, in order."""
    import tabgrad as tg

    return [
        name
        for name in sorted(dir(tg.Tensor))
        if not name.startswith("_") and callable(getattr(tg.Tensor, name))
    ]


def members() -> list[tuple[str, str, str]]:
    """Return (module, class, method) of the public methods of classes, each where it is public first."""
    found = []
    classes = [
        (place, name, kind)
        for place, name in public()
        if inspect.isclass(kind := getattr(module(place), name))
    ]
    known = {kind for _, _, kind in classes}
    for place, name, kind in classes:
        if name == "Tensor":
            continue
        above = known & set(kind.__mro__[1:])
        for method in sorted(dir(kind)):
            fn = getattr(kind, method)
            mine = _ours(fn) and inspect.isroutine(fn) and method[0] != "_"
            if mine and all(getattr(base, method, None) is not fn for base in above):
                found.append((place, name, method))
    return found


def spelled(default: Any) -> str:
    """Return the text of a default: a plain value, or the name of a dtype, class or function; else `...`."""
    if default is None or isinstance(default, bool | int | float | str | tuple | list):
        return repr(default)
    if inspect.isclass(default) or inspect.isroutine(default):
        return str(default.__name__)
    text = str(default).rsplit(".", 1)[-1]
    return text if text.isidentifier() else "..."

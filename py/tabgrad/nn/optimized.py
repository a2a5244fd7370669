"""`OptimizedModule`, the result of `tabgrad.compile(module)`: its calls are compiled calls of that module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tabgrad.compiler.compiled import Compiled
from tabgrad.nn.module import Module

_OWN = frozenset(("_orig_mod", "_compiled", "_options", "_ready"))
"""The attributes of an `OptimizedModule` itself, beside those of every module."""


class OptimizedModule(Module):
    """A module that wraps `_orig_mod` and compiles its calls; made by `tabgrad.compile`.

    Names in its state dict begin with `_orig_mod.`. Attributes are those of the module inside, whether they
    are read, set or deleted; so are length and items. Hooks registered here run around the compiled call;
    those of every module run once, for the module inside.

    >>> import tabgrad as tg
    >>> layer = tg.nn.Linear(2, 3)
    >>> fast = tg.compile(layer)
    >>> list(fast.state_dict()), fast.out_features, fast._orig_mod is layer
    (['_orig_mod.weight', '_orig_mod.bias'], 3, True)
    """

    _is_every = False
    _orig_mod: Any
    _compiled: Compiled
    _options: tuple[bool | None, bool]

    def __init__(self, mod: Module, dynamic: bool | None = None, fullgraph: bool = False) -> None:
        # an optimized module is optimized again from the module inside
        mod = mod._orig_mod if isinstance(mod, OptimizedModule) else mod
        # set first: later lines may read attributes, which are those of the module inside
        object.__setattr__(self, "_orig_mod", mod)
        object.__setattr__(self, "_ready", False)
        super().__init__()
        self._orig_mod = mod
        self._options = (dynamic, fullgraph)
        self._compiled = Compiled(mod, dynamic, fullgraph)
        self._ready = True

    @property
    def training(self) -> bool:
        """True if the module inside is in training mode."""
        return bool(self._orig_mod.training)

    @training.setter
    def training(self, value: bool) -> None:
        # a new module is set to training mode, which must not change the module inside
        if self._ready:
            self._orig_mod.training = value

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module inside, compiled."""
        return self._compiled(*args, **kwargs)

    def explain(self, *args: Any, **kwargs: Any) -> Any:
        """Explain what is captured for calls with such arguments; see `tabgrad.compiler.explain`."""
        return self._compiled.explain(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__
        inside = fields.get("_modules", {}).get("_orig_mod")
        if name == "_orig_mod" and inside is not None:
            return inside
        if inside is None:
            raise AttributeError(f"'OptimizedModule' object has no attribute '{name}'")
        try:
            return getattr(inside, name)
        except AttributeError:
            compiled = fields.get("_compiled")
            if compiled is None or name not in vars(compiled):
                raise
            return vars(compiled)[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN or hasattr(type(self), name):
            super().__setattr__(name, value)
        else:
            setattr(self._orig_mod, name, value)

    def __delattr__(self, name: str) -> None:
        if name in _OWN or hasattr(type(self), name):
            super().__delattr__(name)
        else:
            delattr(self._orig_mod, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._orig_mod)})

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        del state["_compiled"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._compiled = Compiled(self._orig_mod, *self._options)

    def __len__(self) -> int:
        if not hasattr(type(self._orig_mod), "__len__"):
            raise TypeError(f"{type(self._orig_mod).__name__} does not support len()")
        return len(self._orig_mod)

    def __bool__(self) -> bool:
        return bool(self._orig_mod)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._orig_mod)

    def __contains__(self, item: object) -> bool:
        return item in self._orig_mod

    def __getitem__(self, key: Any) -> Any:
        return self._orig_mod[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._orig_mod[key] = value

    def __delitem__(self, key: Any) -> None:
        del self._orig_mod[key]

    def extra_repr(self) -> str:
        """Count the plans, dispatches and guards."""
        return repr(self._compiled).partition(": ")[2][:-1]

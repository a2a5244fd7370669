"""Modules made without their initial values."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

import tabgrad as tg
from tabgrad.nn.module import Module

M = TypeVar("M", bound=Module)


def skip_init(module_cls: type[M], *args: Any, **kwargs: Any) -> M:
    """Return `module_cls(*args, **kwargs)` with parameters and buffers that have no values yet.

    No random numbers are used up. The class must take `device`.

    >>> import tabgrad as tg
    >>> tg.nn.utils.skip_init(tg.nn.Linear, 5, 1, device="cpu")
    Linear(in_features=5, out_features=1, bias=True)
    """
    if not inspect.isclass(module_cls) or not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    with tg.random.fork_rng():
        return module_cls(*args, **kwargs).to_empty(device=kwargs.get("device"))

"""Errors for arguments that should have been tensors."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

ASKED = ("spec", "device", "tracked", "owner", "born", "alias")
"""Attributes that functions read first of a tensor."""


def not_a_tensor(
    fn: Callable[..., Any],
    error: AttributeError,
    args: tuple[object, ...],
    named: Mapping[str, object],
) -> Exception:
    """Return a TypeError in PyTorch's words if `error` comes from an argument that is no tensor, else it."""
    if error.name not in ASKED or not any(error.obj is x for x in (*args, *named.values())):
        return error
    given = list(inspect.signature(fn).bind(*args, **named).arguments.items())
    name = getattr(fn, "__name__", "the function")
    kind = type(error.obj)
    text = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    for place, (argument, value) in enumerate(given, 1):
        if value is error.obj:
            return TypeError(
                f"{name}(): argument '{argument}' (position {place}) must be Tensor, not {text}; make one with "
                "tabgrad.tensor()"
            )
    return TypeError(f"{name}(): expected tensors, got a {text}; make one with tabgrad.tensor()")


def of_tensors(fn: F) -> F:
    """Make a function raise TypeError for an argument that should have been a tensor."""

    @functools.wraps(fn)
    def call(*args: Any, **named: Any) -> Any:
        try:
            return fn(*args, **named)
        except AttributeError as error:
            raise not_a_tensor(fn, error, args, named) from None

    return call  # type: ignore[return-value]


__all__ = ["not_a_tensor", "of_tensors"]

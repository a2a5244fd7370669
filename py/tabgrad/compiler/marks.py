"""What programs say to PyTorch's compiler about functions; asking whether one is compiled."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tabgrad.core.trace import MODE


def is_compiling() -> bool:
    """Whether the code runs while a call is captured by `compile`.

    >>> import tabgrad as tg
    >>> tg.compiler.is_compiling()
    False
    """
    return MODE.get().capture is not None


def is_dynamo_compiling() -> bool:
    """Whether the code runs while a call is captured by `compile`."""
    return is_compiling()


def is_exporting() -> bool:
    """Whether the code runs for `export`; the same as `is_compiling` is false then."""
    return False


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """Mark a function as not to be compiled: a compiled call that reaches it runs as plain Python.

    >>> import tabgrad as tg
    >>> @tg.compiler.disable
    ... def f(x):
    ...     return x + 1
    >>> f(1)
    2
    """
    if fn is None:
        return functools.partial(disable, recursive=recursive, reason=reason)
    if not callable(fn):
        raise TypeError(f"disable: expected a function or module, got {type(fn).__name__}")

    @functools.wraps(fn)
    def plain(*args: Any, **kwargs: Any) -> Any:
        capture = MODE.get().capture
        if capture is not None:
            capture.refuse(f"calls {getattr(fn, '__name__', fn)}, which is marked with disable")
        return fn(*args, **kwargs)

    return plain


def allow_in_graph(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function as it is: what it does is captured op by op.

    >>> import tabgrad as tg
    >>> tg.compiler.allow_in_graph(abs)
    <built-in function abs>
    """
    return fn


def assume_constant_result(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function as it is: whether its result is the same is looked at, not assumed."""
    return fn


def reset() -> None:
    """Do nothing: compiled functions hold their plans themselves, and lose them when they are dropped."""


def cudagraph_mark_step_begin() -> None:
    """Do nothing: results of a compiled step are never overwritten by the next."""


def list_backends(exclude_tags: tuple[str, ...] = ("debug", "experimental")) -> list[str]:
    """Return the names that `compile` takes as backend.

    >>> import tabgrad as tg
    >>> tg.compiler.list_backends()
    ['inductor']
    """
    return ["inductor"]

"""Functions that are linear in pieces: their gradient depends on its input, but its derivative is zero.

PyTorch keeps the input of such a function for its gradient, so that a gradient with `create_graph=True`
requires grad although nothing but zeros lies behind it. Here the rules keep less; `kinked` says what the
gradient hangs on, and only a walk that records its rules looks at it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from tabgrad.core.tensor_arguments import not_a_tensor
from tabgrad.core.trace import Box

F = TypeVar("F", bound=Callable[..., Any])
HANGS = "hangs"
"""Under this name the notes of a tape node have the nodes that its gradient hangs on."""


def kinked(fn: F) -> F:
    """Say of a function of other ops that its gradient hangs on all tensors it is given."""

    @functools.wraps(fn)
    def call(*args: Any, **named: Any) -> Any:
        try:
            y = fn(*args, **named)
        except AttributeError as error:
            raise not_a_tensor(fn, error, args, named) from None
        for out in y if isinstance(y, tuple) else (y,):
            if out.tracked and out.owner is None:
                _note(out, (*args, *named.values()))
        return y

    return call  # type: ignore[return-value]


def _note(y: Any, inputs: tuple[Any, ...]) -> None:
    node = y.node
    found = [x.node for x in inputs if isinstance(x, Box) and x.tracked and x.owner is None]
    if node in found or None in found:
        return
    if node.notes is None:
        node.notes = {}
    node.notes[HANGS] = tuple(found)


__all__ = ["HANGS", "kinked"]

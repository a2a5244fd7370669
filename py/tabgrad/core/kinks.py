"""Piecewise linear functions: their gradient depends on the input, but the second derivative is zero.

PyTorch saves the input of such a function for its gradient, so a gradient with `create_graph=True` requires
grad although its derivative is zero. tabgrad's rules save less. `kinked` notes which tensors the gradient
depends on, and only a backward pass that records its rules reads the note.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from tabgrad.core.tensor_arguments import not_a_tensor
from tabgrad.core.trace import Box

F = TypeVar("F", bound=Callable[..., Any])
HANGS = "hangs"
"""The key, in the notes of a tape node, of the nodes that its gradient depends on."""


def kinked(fn: F) -> F:
    """Note that the gradient of a function, composed of other ops, depends on all its tensor arguments."""

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


def _note(y: Box, inputs: tuple[object, ...]) -> None:
    node = y.node
    found = [x.node for x in inputs if isinstance(x, Box) and x.tracked and x.owner is None]
    if node is None or node in found or None in found:
        return
    if node.notes is None:
        node.notes = {}
    node.notes[HANGS] = tuple(found)


__all__ = ["HANGS", "kinked"]

"""Gives tensors back what they were, where a statement that changes several of them raises in between."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tabgrad.core.capture import refuse
from tabgrad.core.interrupts import uninterruptible

if TYPE_CHECKING:
    from tabgrad.core.trace import Box


class Before:
    """What tensors are, and the gradients of others: `give_back` undoes what was done to them since.

    The tensors are bases, up to date. Used in a `with` statement it does so where the block raises.
    """

    def __init__(self, tensors: Iterable[Box] = (), leaves: Iterable[Box] = ()) -> None:
        self.tensors = [(x, x.value, x.owner, x.tracked, x.node) for x in tensors]
        self.grads = [(x, x._grad) for x in leaves]

    def note_grad(self, leaf: Any) -> None:
        """Note a gradient that is about to be set, or added to in place."""
        grad = leaf._grad
        if grad is not None and grad._parts is None:
            self.tensors.append((grad, grad.value, grad.owner, grad.tracked, grad.node))
        self.grads.append((leaf, grad))

    @uninterruptible
    def give_back(self) -> None:
        """Restore everything; what was noted twice is what it was first."""
        refuse("undid a statement that raised")
        for x, value, owner, tracked, node in reversed(self.tensors):
            if x.value is not value or getattr(x.alias, "value", value) is not value:
                give(x, value, owner)
            x.tracked, x.node = tracked, node
        for leaf, grad in reversed(self.grads):
            leaf._grad = grad

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.give_back()


def give(x: Box, value: Any, owner: Any) -> None:
    """Give `x` a payload of a level; views and detached siblings take it again."""
    x.value, x.owner = value, owner
    x._version += 1
    if hasattr(x.alias, "version"):
        x.alias.value, x.alias.owner, x.alias.version = value, owner, x._version

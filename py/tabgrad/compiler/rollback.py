"""Undoes a captured call: restores what it has changed if the device runs out of memory for it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

from tabgrad.compiler.capture import Capture
from tabgrad.core.interrupts import uninterruptible
from tabgrad.tensor.aliasing import View, replace

Changes: TypeAlias = "list[tuple[Any, Any]]"


class CallRollback:
    """The old values, gradients and counters of what a captured call has changed.

    Tensors are held by weak references, so that tensors which only the call has made can die.
    """

    def __init__(self, capture: Capture) -> None:
        self.values = [
            (weakref.ref(x), old)
            for x, old in capture.reads.values()
            if x.owner is None
            and x.device.recorder is not None
            and x.alias.__class__ is not View
            and capture.written(x, old)
        ]
        self.grads = [
            (weakref.ref(x), None if old is None else weakref.ref(old))
            for x, old in capture.grads.values()
            if x._grad is not old
        ]
        self.counts = list(capture.counts.values())
        self.undo = capture.undo

    def give_back(self) -> None:
        """Restore everything."""
        for ref, old in self.values:
            x = ref()
            if x is not None and x.value is not old:
                replace(x, old)
        for grad_ref, kept in self.grads:
            leaf = grad_ref()
            if leaf is not None:
                leaf._grad = None if kept is None else kept()
        self.count_back()

    def count_back(self) -> None:
        """Restore the counters."""
        put_back(self.counts, [])
        for undo in self.undo:
            undo()

    def hand_over(self) -> None:
        """Let the devices restore everything, if memory runs out later, after the capture was refused."""
        for ref, old in self.values:
            x = ref()
            backend = None if x is None else x.device.recorder
            if x is not None and backend is not None and x.value is not old:
                backend.before.setdefault(id(x), (x, old, replace))
                backend.remember((), replace, self, self.count_back)


@uninterruptible
def take_back(written: Changes, cleared: Changes) -> None:
    """Restore what a replay has written: tensors and their values, tensors and their gradients."""
    for x, value in reversed(written):
        replace(x, value)
    for x, grad in reversed(cleared):
        x._grad = grad


@uninterruptible
def put_back(
    counts: list[tuple[dict[str, Any], dict[str, Any]]], follows: list[Callable[[], None]]
) -> None:
    """Restore the items of counters, and update what follows from them."""
    for its, numbers in counts:
        for name in its.keys() - numbers.keys():
            del its[name]
        its.update(numbers)
    for follow in follows:
        follow()

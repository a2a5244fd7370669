"""What a call has changed while it was captured, as it was before: given back where there is no room for it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from tabgrad.compiler.capture import Capture
from tabgrad.tensor.aliasing import View, replace


class CallRollback:
    """The values, gradients and counters that a captured call has changed. Tensors are held by reference only:
    what the call alone has made must be seen to die."""

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
        """Make everything what it was."""
        for ref, old in self.values:
            x = ref()
            if x is not None and x.value is not old:
                replace(x, old)
        for ref, kept in self.grads:
            x = ref()
            if x is not None:
                x._grad = None if kept is None else kept()
        self.count_back()

    def count_back(self) -> None:
        """Give counters the numbers they had."""
        put_back(self.counts, [])
        for undo in self.undo:
            undo()

    def hand_over(self) -> None:
        """Have the devices do so, where it turns out later that there is no room: the call is not repeated."""
        for ref, old in self.values:
            x = ref()
            if x is not None and x.value is not old:
                backend = x.device.backend
                backend.before.setdefault(id(x), (x, old, replace))
                backend.remember((), replace, self, self.count_back)


def put_back(
    counts: list[tuple[dict[str, Any], dict[str, Any]]], follows: list[Callable[[], None]]
) -> None:
    """Give counters the numbers they had, and have others follow them."""
    for its, numbers in counts:
        its.clear()
        its.update(numbers)
    for follow in follows:
        follow()

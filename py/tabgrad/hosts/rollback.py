"""Keeps what a step changes until its packet is sent, to undo the step if the device runs out of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tabgrad.core.errors import OutOfMemoryError
    from tabgrad.core.graph import Graph, Value
    from tabgrad.tensor import Tensor

Give = Callable[[Any, Any], None]
Undo = Callable[[], None]


class RollbackLog:
    """The part of a device backend that undoes a step for which there is not enough memory.

    `before` has tensors, the values they had, and functions that restore these; `undo` has functions for other
    state.
    """

    graph: Graph
    compute_all: Callable[[list[int]], OutOfMemoryError | None]

    def __init__(self) -> None:
        self.before: dict[int, tuple[Tensor, Value, Give]] = {}
        self.undo: dict[int, tuple[object, Undo]] = {}

    def remember(
        self, tensors: Iterable[Tensor], give: Give, whose: object = None, undo: Undo | None = None
    ) -> None:
        """Keep the values of tensors that a step is about to write, until its packet has been sent.

        If memory runs out, `give(x, value)` restores them, and `undo` is called: for each `whose`, the first
        one since the last packet.
        """
        for x in tensors:
            if id(x) not in self.before:
                self.before[id(x)] = x, x.value, give
        if undo is not None:
            self.undo.setdefault(id(whose), (whose, undo))

    def forget_before(self) -> None:
        """Drop the kept values, because the step was sent or undone."""
        self.before.clear()
        self.undo.clear()

    def unwritten(self) -> list[int]:
        """Return the nodes of written tensors that still need computing."""
        graph = self.graph
        return [
            x.value.id
            for x, _, _ in self.before.values()
            if x.value.graph is graph
            and graph.buffer[x.value.id] is None
            and graph.op[x.value.id] is not None
            and graph.op[x.value.id].family not in ("view", "constant")
        ]

    def take_back(self) -> None:
        """Compute the written tensors; roll back if there is not enough memory for all of them."""
        if self.before:
            self.compute_all(self.unwritten())
            if self.unwritten():
                self.roll_back()

    def roll_back(self) -> None:
        """Restore the values that tensors had before the step."""
        for x, value, give in self.before.values():
            if x.value is not value:
                give(x, value)
        for _, undo in reversed(self.undo.values()):
            undo()
        self.forget_before()

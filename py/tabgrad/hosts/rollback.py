"""What a step is about to change, kept until its packet is sent: a step without room has not been done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tabgrad.core.graph import Graph

Give = Callable[[Any, Any], None]
Undo = Callable[[], None]


class RollbackLog:
    """The part of a device that takes a step back which there is no room for.

    `before` has a tensor, the value it had, and how to give it back; `undo` is for what is no tensor.
    """

    graph: Graph
    compute_all: Any

    def __init__(self) -> None:
        self.before: dict[int, tuple[Any, Any, Give]] = {}
        self.undo: dict[int, tuple[Any, Undo]] = {}

    def remember(
        self, tensors: Iterable[Any], give: Give, whose: Any = None, undo: Undo | None = None
    ) -> None:
        """Keep the values of tensors that a step is about to write, until its packet has been sent.

        Where there turns out to be no room for the step, `give(x, value)` gives them back. `undo` is called
        then, the first one of the packet for each `whose`.
        """
        for x in tensors:
            if id(x) not in self.before:
                self.before[id(x)] = x, x.value, give
        if undo is not None:
            self.undo.setdefault(id(whose), (whose, undo))

    def forget_before(self) -> None:
        """Keep nothing any more: what was written has been sent, or taken back."""
        self.before.clear()
        self.undo.clear()

    def unwritten(self) -> list[int]:
        """Return the values of tensors that a step has written, and that are not computed."""
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
        """Roll back if some of what was written has no room."""
        if self.before:
            self.compute_all(self.unwritten())
            if self.unwritten():
                self.roll_back()

    def roll_back(self) -> None:
        """Give tensors the values that they had before the packet which there is no room for."""
        for x, value, give in self.before.values():
            if x.value is not value:
                give(x, value)
        for _, undo in reversed(self.undo.values()):
            undo()
        self.forget_before()

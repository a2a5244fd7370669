"""What the interpreters of the stack share: entering, leaving, and the mode of the level below."""

from __future__ import annotations

from typing import Any

from tabgrad.core import tree
from tabgrad.core.trace import MODE, Box, Mode, descend, using


class Level:
    """One level of the interpreter stack, entered with `with level.entered_mode():`.

    `outer` is the mode that the level was pushed on.
    """

    name = "a transform"
    walks = False
    """Whether `.backward()` may be called while this level is on the stack."""

    def __init__(self, outer: Mode | None = None) -> None:
        self.outer = outer if outer is not None else MODE.get()
        self.level = len(self.outer.levels) + 1
        self.seen: tuple[Any, Any] = (None, None)

    def below(self, mode: Mode) -> Mode:
        """Return the mode under which the level below works, given the one of this level."""
        seen = self.seen
        if seen[0] is mode:
            found: Mode = seen[1]
            return found
        # autocast changes what the program calls, not what a rule makes of it
        found = mode.replace(levels=self.outer.levels).extra("autocast", None)
        self.seen = (mode, found)
        return found

    def entered(self, mode: Mode) -> Mode:
        """Return the mode of this level where `mode` may be that of a level above."""
        return mode if len(mode.levels) == self.level else descend(mode, self.level)

    def inside(self) -> using:
        """Return the context in which this level is on the stack."""
        return _Inside(self)

    def inner(self) -> Mode:
        """Return the mode inside: the outer one with this level pushed."""
        return self.outer.replace(levels=(*self.outer.levels, self))


class _Inside(using):
    """The context in which a level is on the stack."""

    __slots__ = ("level",)

    def __init__(self, level: Level) -> None:
        super().__init__(level.inner())
        self.level = level

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        # a remembered mode holds the level: its tensors would wait for the collector of cycles
        self.level.seen = (None, None)


def settled(out: Any) -> Any:
    """Bring the tensors in `out` up to date with what was written in place to their bases; return `out`.

    Whoever takes tensors apart that a user's function returned does this first, under the level they are of.
    """
    for x in tree.leaves(out):
        if isinstance(x, Box) and x.alias is not None:
            x.alias.refresh(x)
    return out

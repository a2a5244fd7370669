"""The base class of interpreters: entering, leaving, and the mode of the level below."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from tabgrad.core import tree
from tabgrad.core.errors import TransformError
from tabgrad.core.trace import MODE, Box, Mode, descend, using

_next = itertools.count(1).__next__


class Level:
    """One level of the interpreter stack, entered with `with level.entered_mode():`.

    `outer` is the mode that the level was pushed on.
    """

    name = "a transform"
    walks = False
    """True if `.backward()` may be called while this level is on the stack."""
    rewrites = False
    """True if a write to a tensor of this level writes to the tensors below that it is made of (`rewrite`)."""
    advice = ""
    """Further advice for the error that a tensor from outside can't be written to."""
    restore: Callable[..., Any] | None = None
    """Gives each tensor from outside that was written to a value that outlives the level.

    A level without it refuses such writes, which would leave a tensor with a value of a level that is gone.
    """

    outlive: Callable[..., None] | None = None
    """Turns a tensor of this level, which has ended, into one of a level below; without it there is none."""

    def rewrite(self, x: Box, y: Box, write: Callable[[Any, Any], Any]) -> None:
        """Write the values of `y` to the tensors below that `x`, of this level, is made of."""
        raise NotImplementedError

    def wrote(self, x: Box) -> None:
        """Take notice that `x`, a tensor from outside, is about to take a value of this level."""

    def __init__(self, outer: Mode | None = None) -> None:
        self.outer = outer if outer is not None else MODE.get()
        self.level = len(self.outer.levels) + 1
        self.serial = _next()
        self.seen: tuple[Any, Any] = (None, None)

    def below(self, mode: Mode) -> Mode:
        """The mode of the level below, where `mode` is that of this level."""
        seen = self.seen
        if seen[0] is mode:
            found: Mode = seen[1]
            return found
        # autocast changes the ops that the program calls, not those that a rule calls
        found = mode.replace(levels=self.outer.levels, autocast=None)
        self.seen = (mode, found)
        return found

    def entered(self, mode: Mode) -> Mode:
        """The mode of this level, where `mode` may be that of a level above."""
        return mode if len(mode.levels) == self.level else descend(mode, self.level)

    def inside(self) -> using:
        """Make a context in which this level is on the stack."""
        return _Inside(self)

    def inner(self) -> Mode:
        """The mode inside: the outer one with this level pushed."""
        return self.outer.replace(levels=(*self.outer.levels, self))


class _Inside(using):
    """The context in which a level is on the stack."""

    __slots__ = ("level",)

    def __init__(self, level: Level) -> None:
        super().__init__(level.inner())
        self.level = level

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        # a remembered mode holds the level: without this its tensors would wait for the collector of cycles
        self.level.seen = (None, None)


def check_written(x: Any, y: Any, name: str) -> None:
    """Raise TransformError if `y`, which is written to `x`, was made in a level that `x` outlives."""
    level = y.owner
    mine = x.owner
    if mine is not None and mine.level >= level.level:
        return
    # x.born holds the serial number of the level that `x` was made in
    if x.born >> 1 >= level.serial:
        return
    if level.restore is None:
        raise TransformError(
            f"{level.name}: in-place {name} would mutate a captured tensor: the value to be written was "
            f"computed inside {level.name}, and a tensor made outside of it can't hold that afterwards. Write "
            "to an argument of the function or to a tensor made inside it, such as a clone(), and return what "
            f"is needed outside{level.advice}"
        )
    level.wrote(x)


def all_refreshed(out: Any) -> Any:
    """Bring the tensors in `out` up to date with writes in place to their bases; return `out`.

    Call it on the result of a user's function, under the level of its tensors, before they are taken apart.
    """
    for x in tree.leaves(out):
        if isinstance(x, Box) and x.alias is not None:
            x.alias.refresh(x)
    return out

"""One dispatch of a plan, and how many workgroups it takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tabgrad.lower.dialect import U32, Dialect
from tabgrad.lower.index import Expr
from tabgrad.lower.tokens import UNIFORMS, Size, Template
from tabgrad.lower.windows import Span

GRID = 65535
"""Workgroups in one dimension of a grid."""
BLOCK = 64
"""Threads of a workgroup in which each works alone."""
TURNS = 65535
"""Turns of loops that one thread may make on a software adapter: llvmpipe leaves every loop after so many."""


@dataclass(frozen=True)
class Work:
    """The work of a kernel as its printer knows it, against which `verify.py` checks the kernel.

    A workgroup takes `each` of the numbers below `count`; if that is 0, no thread is guarded off. `stores` are
    the (slot, place) of each element-wise write; `words` is the number of uniform words that the text names.
    """

    count: int = 0
    each: int = 1
    stores: tuple[tuple[int, Expr], ...] = ()
    words: int = 0


@dataclass
class Kernel:
    """One dispatch of a plan.

    `slots` are the buffers in the order of the bindings, `uniforms` (constant, compute type) in the order
    of the words, then come `words`; `ops` are the names of what it computes, `origins` the nodes it was
    recorded as; `turn` is which dispatch of its group it is, and of how many. `verbatim` is a user's own text,
    which must not change. If `spans` are given, they tell what part of each slot is bound. `again` makes the
    kernel that takes its place if it runs often, with the same results. Until it is `written`, its source is a
    template, and its bindings leave out the uniform words.
    """

    label: str
    source: str
    bindings: str
    slots: list[int]
    grid: tuple[int, int, int]
    overrides: tuple[tuple[str, float], ...] = ()
    uniforms: list[tuple[Any, str]] = field(default_factory=list)
    ops: tuple[str, ...] = ()
    origins: tuple[int, ...] = ()
    routine: str = ""
    words: tuple[int, ...] = ()
    verbatim: bool = False
    spans: tuple[Span | None, ...] = ()
    work: Work = Work()
    turn: tuple[int, int] = (0, 1)
    again: Callable[[], Kernel] | None = field(default=None, compare=False)

    def written(self, d: Dialect, lifted: Sequence[bool] = ()) -> Kernel:
        """Write out the kernel's text; a size that is `lifted` becomes one more uniform word."""
        if self.routine or self.verbatim:
            return self
        template = Template(self.source)
        first = sum(d.words(kind) for _, kind in self.uniforms)
        words = list(self.words)
        up = iter(lifted)
        total = first + len(words) + sum(lifted)
        named = 0

        def fill(field: Any) -> str:
            nonlocal named
            if field == UNIFORMS:
                return d.uniforms(len(self.bindings), total) if total else ""
            if isinstance(field, Size):
                if not next(up, False):
                    return f"{int(field)}u"
                words.append(int(field))
                field = len(words) - 1
            named = max(named, field + 1)
            return d.uniform(first + field, U32)

        source = template.filled(fill)
        bindings = self.bindings + ("u" if total else "")
        work = replace(self.work, words=self.work.words + named)
        made = replace(self, source=source, bindings=bindings, words=tuple(words), work=work)
        if self.again is not None:
            again, turn = self.again, self.turn
            made.again = lambda: replace(again().written(d), turn=turn)
        return made


def numbered(made: Sequence[Kernel]) -> list[Kernel]:
    """Return the dispatches of one group, each with its turn."""
    return [replace(k, turn=(i, len(made))) for i, k in enumerate(made)]


def grid_of(groups: int) -> tuple[int, int, int]:
    """Choose a grid of at least `groups` workgroups, folded past the limit of one dimension."""
    if groups <= GRID:
        return (max(groups, 1), 1, 1)
    rows = math.ceil(groups / GRID)
    return (math.ceil(groups / rows), rows, 1)

"""One dispatch of a plan, and how many workgroups it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from tabgrad.lower.parts import Span

GRID = 65535
"""Workgroups in one dimension of a grid."""
BLOCK = 64
"""Threads of a workgroup where they don't work together."""
TURNS = 65535
"""Turns of loops that one thread may make on a software adapter: llvmpipe leaves every loop after so many."""


@dataclass
class Kernel:
    """One dispatch of a plan.

    `slots` are the buffers in the order of the bindings, `uniforms` (constant, compute type) in the order
    of the words, then come `words`; `ops` are the names of what it computes, `origins` the nodes it was
    recorded as. `verbatim` is the text of a user, which nothing may change. Where `spans` are given, they tell
    what part of each slot is bound.
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


def grid_of(groups: int) -> tuple[int, int, int]:
    """Return a grid of at least `groups` workgroups, folded past the limit of one dimension."""
    if groups <= GRID:
        return (max(groups, 1), 1, 1)
    rows = math.ceil(groups / GRID)
    return (math.ceil(groups / rows), rows, 1)

"""How many threads of a GPU share a row of a reduction.

Along the last axis neighbouring threads read neighbouring elements of a row. Along another axis they would read
elements that lie far apart, and neighbouring rows are neighbours in memory: where there are enough rows, each
thread takes one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from tabgrad.lower.across import joins_by_subgroups
from tabgrad.lower.group import Group
from tabgrad.lower.limits import Limits
from tabgrad.lower.variants import size_class

COUNTS = (1, 32, 64, 128, 256)
"""The numbers of threads to choose from."""
MANY_COLUMNS = 2048
"""So many rows that lie side by side fill a GPU with a thread each."""


class RowThreads(NamedTuple):
    """How many threads share a row; with `subgroups` they join what they have found by operations of these.

    >>> str(RowThreads(64, True)), str(RowThreads(64))
    ('64 subgroups', '64')
    """

    threads: int
    subgroups: bool = False

    def __str__(self) -> str:
        return f"{self.threads}" + " subgroups" * self.subgroups


ONE = RowThreads(1)
"""A thread that works alone."""


def row_threads(g: Group, limits: Limits) -> RowThreads:
    """Choose the number of threads: as measured on the adapter, else the fixed one, without subgroups."""
    most = min(limits.threads, 256)
    columns = lies_apart(g)
    what = " ".join(dict.fromkeys(h.name for h in g.heavies))
    sizes = f"{size_class(g.rows, 1 << 20)} {size_class(g.row_size, 1 << 20)}"

    def variants() -> list[RowThreads]:
        plain = [RowThreads(n) for n in COUNTS if n <= min(most, 2 * g.row_size)]
        if not limits.quads or not joins_by_subgroups(g):
            return plain
        return [*plain, *(RowThreads(n, True) for n, _ in plain if n > 1)]

    return limits.pick(
        f"threads of a {'column' if columns else 'row'} {what} {sizes}",
        g.heavies[0].origin,
        variants,
        lambda: (
            ONE
            if columns and g.rows >= MANY_COLUMNS
            else RowThreads(min(most, 2 ** math.ceil(math.log2(g.row_size))))
        ),
    )


def lies_apart(g: Group) -> bool:
    """Whether the last axis is none of those that are reduced, so that rows are columns of a matrix."""
    last = max((i for i, n in enumerate(g.shape) if n > 1), default=0)
    return last not in g.axes


__all__ = ["ONE", "RowThreads", "row_threads"]

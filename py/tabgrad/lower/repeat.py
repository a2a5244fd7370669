"""Statements written several times: a processor that plays a GPU spends more on the turn of a loop, and on a
thread, than on an addition. Names lie in blocks of their own, so each copy is the same text."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from tabgrad.lower.dialect import U32, Dialect
from tabgrad.lower.kernel import BLOCK, grid_of
from tabgrad.lower.limits import Limits
from tabgrad.lower.tokens import Size

MOST = 8
"""The most copies."""
WORK = 48
"""The lines that all copies may have together: each costs time when a kernel is compiled."""
CALL = 6
"""The lines that a call of a function of the library counts for."""
SPAN = 1024
"""The most elements of a workgroup: those of a long row would lie far apart in a transposed operand."""
GROUPS = 64
"""Workgroups that are left where threads compute several elements: some for each of many cores."""
CALLS = re.compile(r"\w_[fc](?:32|64|128)\(")


def copies(limits: Limits, lines: Sequence[str]) -> int:
    """Choose how often these lines are written, 1 where the threads are not the processor's own.

    A lowering for several sizes asks once, so that its texts differ in numbers only.
    """
    if not limits.software:
        return 1
    size = len(lines) + CALL * sum(len(CALLS.findall(line)) for line in lines)
    n = MOST
    while n > 1 and n * size > WORK:
        n //= 2
    return n


def loop(
    d: Dialect, limits: Limits, name: str, bounds: tuple[str, int, int], lines: Sequence[str]
) -> list[str]:
    """Write a loop of `lines` over `name`, from the text `start` on below a size, a number of steps at a time.

    `bounds` are (start, size, step). Several turns are one where that is cheaper; they keep their order.
    """
    start, size, step = bounds
    n = limits.decide("copies", lambda: min(copies(limits, lines), max(size // step, 1)))
    if n < 2:
        return [d.loop(name, start, f"{Size(size)}", f"{step}u"), *_inside(lines), "}"]
    if limits.dynamic is None and size <= n and step == 1:
        return [line for k in range(size) for line in block(d, name, f"{k}u", lines)]
    whole = size // (n * step) * (n * step)
    every = f"{name}_first"
    out = [d.loop(every, start, f"{Size(whole)}", f"{n * step}u")]
    for k in range(n):
        at = f"{every} + {k * step}u" if k else every
        out += _inside(block(d, name, at, lines))
    out.append("}")
    if whole < size or limits.dynamic is not None:
        rest = f"{Size(whole)}" if start == "0u" else f"{Size(whole)} + {start}"
        out += [d.loop(name, rest, f"{Size(size)}", f"{step}u"), *_inside(lines), "}"]
    return out


class Share:
    """The part of a map over `count` elements that a thread of a software adapter computes: as many copies of
    the lines as keep it busy, once they are known."""

    def __init__(self, d: Dialect, limits: Limits, count: int) -> None:
        self.d, self.limits, self.count = d, limits, count
        self.copies, self.block = 1, BLOCK

    @property
    def each(self) -> int:
        """The number of elements of a workgroup."""
        return self.copies * self.block

    @property
    def grid(self) -> tuple[int, int, int]:
        """The workgroups."""
        return grid_of(math.ceil(self.count / self.each))

    def choose(self, lines: Sequence[str]) -> tuple[int, int]:
        """Choose the copies, and the threads of a workgroup: many only where many workgroups are left."""
        n = copies(self.limits, lines)
        while n > 1 and self.count < GROUPS * BLOCK * n:
            n //= 2
        wide = min(SPAN // n, 256, self.limits.threads)
        return n, wide if self.count >= GROUPS * wide * n else BLOCK

    def written(self, lines: Sequence[str]) -> list[str]:
        """Write the statements of a thread, of which `lines` compute element `g`."""
        d, count = self.d, Size(self.count)
        n, self.block = self.limits.decide("elements", lambda: self.choose(lines))
        self.copies = n
        across = self.grid[0]
        group = d.group_x if self.grid[1] == 1 else f"({d.group_y} * {Size(across)} + {d.group_x})"
        at = f"{group} * {self.block}u + {d.lane}"
        first = "g" if n == 1 else "g_first"
        out = [
            d.let(first, U32, at if n == 1 else f"({at}) * {n}u"),
            f"if ({first} >= {count}) {{ return; }}",
        ]
        if n == 1:
            return [*out, *lines]
        uneven = self.count % n or self.limits.dynamic is not None
        for k in range(n):
            part = lines
            if k and uneven:
                part = [f"if (g < {count}) {{", *_inside(lines), "}"]
            out += block(d, "g", f"g_first + {k}u" if k else "g_first", part)
        return out


def block(d: Dialect, name: str, value: str, lines: Sequence[str]) -> list[str]:
    """Write one copy of `lines`, in which `name` is `value`."""
    return ["{", "  " + d.let(name, U32, value), *_inside(lines), "}"]


def _inside(lines: Sequence[str]) -> list[str]:
    return ["  " + line for line in lines]


__all__ = ["Share", "copies", "loop"]

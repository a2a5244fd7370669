"""Statements written several times: a processor that plays a GPU spends more on the turn of a loop, and on a
thread, than on an addition. Names lie in blocks of their own, so each copy is the same text."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from tabgrad.lower.dialect import BOOL, U32, Dialect
from tabgrad.lower.jam import Fours, along
from tabgrad.lower.kernel import BLOCK, grid_of
from tabgrad.lower.limits import Limits
from tabgrad.lower.neighbours import Neighbours
from tabgrad.lower.tokens import Size

MOST = 8
"""The most copies."""
WORK = 120
"""The lines that all copies may have together: each costs time when a kernel is compiled."""
CALL = 6
"""The lines that a call of a function of the library counts for."""
SPAN = 1024
"""The most elements of a workgroup: those of a long row would lie far apart in a transposed operand."""
GROUPS = 64
"""Workgroups that are left where threads compute several elements: some for each of many cores."""
REPEATS = 8
"""The turns of a thread that goes the long way, if at all, once for all of them."""
ROWS = 4
"""The rows that a thread has at once."""
MANY = 512
"""The least rows of which threads have several."""
JAMMED = 120
"""The most lines that are written for several rows."""
NEAR = (8, 4)
"""The most copies of a short way: the first for which there are workgroups enough."""
RARE = re.compile(r"\b(sin|cos|tan)_f32\((\w+)\)")
CALLS = re.compile(r"\w_[fcu](?:32|64|128)\(")
LONG = re.compile(r"\brandom_bits\(")
LONG_CALL = 40
"""The lines that a call of one of these counts for."""


def copies(limits: Limits, lines: Sequence[str]) -> int:
    """Choose how often these lines are written, 1 where the threads are not the processor's own.

    A lowering for several sizes asks once, so that its texts differ in numbers only.
    """
    if not limits.software:
        return 1
    work, n = size(lines), MOST
    while n > 1 and n * work > WORK:
        n //= 2
    return n


def size(lines: Sequence[str]) -> int:
    """Count lines, calls as several."""
    text = "\n".join(lines)
    return len(lines) + CALL * len(CALLS.findall(text)) + LONG_CALL * len(LONG.findall(text))


def loop(
    d: Dialect, limits: Limits, name: str, bounds: tuple[str, int, int], fours: Fours | None,
    lines: Sequence[str],
) -> list[str]:  # fmt: skip
    """Write a loop of `lines` over `name`, from the text `start` on below a size, a number of steps at a time.

    `bounds` are (start, size, step). Several turns are one where that is cheaper; they keep their order. With
    `fours`, what lies side by side is loaded four elements at a time.
    """
    start, total, step = bounds

    def choose() -> int:
        # where the total varies, the last whole turn would be a number of its own, and a text for each
        varies = limits.dynamic is not None and limits.dynamic.varies(total)
        n = min(copies(limits, lines), max(total // step, 1))
        # compilers take a loop of one turn apart, and Mesa's takes exponential time for functions of functions
        once = total < 2 * n * step and any(map(CALLS.search, lines))
        return 1 if varies or once else n

    n = limits.decide("copies", choose)
    if n < 2:
        return [d.loop(name, start, f"{Size(total)}", f"{step}u"), *_inside(lines), "}"]
    if limits.dynamic is None and total <= n and step == 1:
        return [line for k in range(total) for line in block(d, name, f"{k}u", lines)]
    whole = total // (n * step) * (n * step)
    out = _turns(d, name, (start, whole, step), n, fours, lines)
    if whole < total or limits.dynamic is not None:
        rest = f"{Size(whole)}" if start == "0u" else f"{Size(whole)} + {start}"
        out += [d.loop(name, rest, f"{Size(total)}", f"{step}u"), *_inside(lines), "}"]
    return out


def _turns(
    d: Dialect, name: str, bounds: tuple[str, int, int], n: int, fours: Fours | None,
    lines: Sequence[str],
) -> list[str]:  # fmt: skip
    """Write the loop whose turns are `n` of `lines` each."""
    start, whole, step = bounds
    every, quarters = f"{name}_first", f"{name}_four"
    before: list[list[str]] = []
    turns: list[Sequence[str]] = [lines] * n
    if fours is not None and n % 4 == 0:
        before, turns = along(lines, name, n, fours)
    if any(before):
        head = d.loop(quarters, start, f"{Size(whole // 4)}", f"{n // 4}u")
        out = [head, *_inside([d.let(every, U32, f"{quarters} * 4u")])]
    else:
        out = [d.loop(every, start, f"{Size(whole)}", f"{n * step}u")]
    if fours is not None:
        common = Neighbours(d, name, every, turns)
        out, turns = [*out, *_inside(common.before)], [*common.turns]
    for k, turn in enumerate(turns):
        at = f"{every} + {k * step}u" if k else every
        out += _inside(before[k // 4] if before and k % 4 == 0 else [])
        out += _inside(block(d, name, at, turn))
    return [*out, "}"]


class Share:
    """The part of a map over `count` elements that a thread of a software adapter computes: as many copies of
    the lines as keep it busy, once they are known.

    Where a function has a long way for rare arguments, which such an adapter would go for each element, the
    copies take the short way several times, and the thread then goes over its elements again if one was rare.
    `twice` says that an element can be computed again.
    """

    def __init__(self, d: Dialect, limits: Limits, count: int) -> None:
        self.d, self.limits, self.count = d, limits, count
        self.copies, self.block, self.turns = 1, BLOCK, 1
        self.twice = False

    @property
    def each(self) -> int:
        """The number of elements of a workgroup."""
        return self.copies * self.turns * self.block

    @property
    def grid(self) -> tuple[int, int, int]:
        """The workgroups."""
        return grid_of(math.ceil(self.count / self.each))

    def choose(self, lines: Sequence[str], near: Sequence[str] | None) -> tuple[int, int, int]:
        """Choose the copies, the threads of a workgroup, and the turns of the short way: many of each only
        where many workgroups are left."""
        turns, n = 1, copies(self.limits, lines)
        for most in NEAR if near is not None else ():
            few = min(copies(self.limits, near or lines), most)
            often = REPEATS
            while often > 1 and self.count < GROUPS * BLOCK * few * often:
                often //= 2
            if often >= REPEATS // 2:
                turns, n = often, few
                break
        while n > 1 and self.count < GROUPS * BLOCK * n:
            n //= 2
        wide = min(SPAN // n, 256, self.limits.threads)
        return n, wide if self.count >= GROUPS * wide * n and turns == 1 else BLOCK, turns

    def written(self, lines: Sequence[str]) -> list[str]:
        """Write the statements of a thread, of which `lines` compute element `g`."""
        d, count = self.d, Size(self.count)
        near = short_way(lines) if self.twice and d.name == "wgsl" else None
        n, self.block, self.turns = self.limits.decide("elements", lambda: self.choose(lines, near))
        self.copies = n
        group = d.group_x
        if self.grid[1] > 1:
            group = f"({d.group_y} * {Size(self.grid[0])} + {group})"
        at = f"{group} * {self.block}u + {d.lane}"
        if n * self.turns == 1:
            return [d.let("g", U32, at), f"if (g >= {count}) {{ return; }}", *lines]
        first = "g_first" if self.turns == 1 else "g_start"
        out = [
            d.let(first, U32, f"({at}) * {n * self.turns}u"),
            f"if ({first} >= {count}) {{ return; }}",
        ]
        if self.turns > 1 and near is not None:
            return [*out, *self._again(near, lines)]
        common, turns = self._turns(lines)
        out += common.before if common else []
        for k, turn in enumerate(turns):
            part = self._guarded(turn) if k else turn
            out += block(d, "g", f"g_first + {k}u" if k else "g_first", part)
        return out

    def _turns(self, lines: Sequence[str]) -> tuple[Neighbours | None, list[Sequence[str]]]:
        """Write what the elements that lie side by side have in common, and the lines of each."""
        turns = [lines] * self.copies
        if self.limits.dynamic is not None:
            return None, turns
        common = Neighbours(self.d, "g", "g_first", turns)
        return common, [*common.turns]

    def _again(self, near: Sequence[str], lines: Sequence[str]) -> list[str]:
        d, n = self.d, self.copies
        stop = f"g_start + {n * self.turns}u"
        common, parts = self._turns(near)
        outside, after = common.carried("g_start") if common else ([], [])
        out = [d.var("far", BOOL, "false"), *outside]
        out.append(d.loop("g_first", "g_start", stop, f"{n}u"))
        out += _inside(common.before if common else [])
        for k, part in enumerate(parts):
            at = f"g_first + {k}u" if k else "g_first"
            out += _inside(block(d, "g", at, self._guarded(part)))
        whole = [d.loop("g", "g_start", stop, "1u"), *_inside(self._guarded(lines)), "}"]
        return [*out, *_inside(after), "}", "if (far) {", *_inside(whole), "}"]

    def _guarded(self, lines: Sequence[str]) -> Sequence[str]:
        """Write `lines` for elements that there are, where not all threads have equally many."""
        if self.count % (self.copies * self.turns) or self.limits.dynamic is not None:
            return [f"if (g < {Size(self.count)}) {{", *_inside(lines), "}"]
        return lines


def short_way(lines: Sequence[str]) -> list[str] | None:
    """Write `lines` with the short way of each function, noting in `far` whether that serves; None if they call
    no such function."""
    out = []
    for line in lines:
        out.append(RARE.sub(r"\1_near(\2)", line))
        indent = " " * (len(line) - len(line.lstrip()))
        out += [f"{indent}far = far | is_far_turn({x});" for _, x in RARE.findall(line)]
    return out if len(out) > len(lines) else None


def block(d: Dialect, name: str, value: str, lines: Sequence[str]) -> list[str]:
    """Write one copy of `lines`, in which `name` is `value`."""
    return ["{", "  " + d.let(name, U32, value), *_inside(lines), "}"]


def _inside(lines: Sequence[str]) -> list[str]:
    return ["  " + line for line in lines]


__all__ = ["Share", "copies", "loop"]

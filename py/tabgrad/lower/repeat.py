"""Statements written several times: a processor that plays a GPU spends more on the turn of a loop, and on a
thread, than on an addition. Names lie in blocks of their own, so each copy is the same text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tabgrad.lower.dialect import U32, Dialect
from tabgrad.lower.limits import Limits
from tabgrad.lower.tokens import Size

MOST = 8
"""The most copies."""
WORK = 40
"""The lines that all copies may have together: each costs time when a kernel is compiled."""
CALL = 6
"""The lines that a call of a function of the library counts for."""
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


def block(d: Dialect, name: str, value: str, lines: Sequence[str]) -> list[str]:
    """Write one copy of `lines`, in which `name` is `value`."""
    return ["{", "  " + d.let(name, U32, value), *_inside(lines), "}"]


def _inside(lines: Sequence[str]) -> list[str]:
    return ["  " + line for line in lines]


__all__ = ["block", "copies", "loop"]

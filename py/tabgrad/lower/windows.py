"""Buffers larger than one binding: kernels bind parts of them as windows.

A kernel that binds such a buffer reads and writes it through functions that find the window. It is cut along
its outermost index into several dispatches where each then reaches one window of each buffer; otherwise it
binds as many windows as it reaches. Nothing changes for kernels whose buffers are bound whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tabgrad.core import dtype as dt
from tabgrad.lower.index import Atom, Expr
from tabgrad.lower.tokens import Word

if TYPE_CHECKING:
    from tabgrad.lower.emit import Emitter

ALIGNMENT = 256
"""The alignment of a binding's first byte."""
FINEST = 16
"""The most dispatches that a kernel is cut into, for each window of its largest buffer."""

Span = tuple[int, int]
"""The offset of a window in its buffer and its length, in bytes."""


class TooLarge(Exception):
    """A kernel reaches more of its buffers at once than the device binds."""

    def __init__(self, ops: tuple[str, ...], origins: tuple[int, ...], nbytes: int) -> None:
        super().__init__(ops, origins, nbytes)
        self.ops, self.origins, self.nbytes = ops, origins, nbytes


class Windows:
    """The slots that are larger than the `most` bytes of one binding; 0 means no limit."""

    def __init__(self, sizes: Sequence[int] = (), most: int = 0) -> None:
        self.sizes = sizes
        self.most = most // ALIGNMENT * ALIGNMENT

    def __contains__(self, slot: int) -> bool:
        return 0 < self.most < self.sizes[slot]

    def each(self, dtype: dt.DType) -> int:
        """Count the elements of a window."""
        return self.most // width(dtype)

    def whole(self, slot: int) -> Reach:
        """Give the reach that covers a whole slot."""
        return Reach(0, math.ceil(self.sizes[slot] / self.most))

    def spans(self, slot: int, dtype: dt.DType, reach: Reach | None) -> list[Span | None]:
        """List the windows of `reach`, or of the whole slot if that is None."""
        reach = reach or self.whole(slot)
        first = reach.first * width(dtype)
        starts = [first + k * self.most for k in range(reach.windows)]
        return [(start, min(self.most, self.sizes[slot] - start)) for start in starts]


NONE = Windows()


@dataclass(frozen=True)
class Reach:
    """The part of a slot that a kernel reaches: its first element and its number of windows."""

    first: int
    windows: int


@dataclass(frozen=True)
class Part:
    """One dispatch of a kernel that is cut: its start, its count, and its reach in each slot."""

    start: int
    count: int
    reach: dict[int, Reach]

    @property
    def windows(self) -> int:
        """The number of windows that it binds."""
        return sum(r.windows for r in self.reach.values())


def width(dtype: dt.DType) -> int:
    """Count the bytes of an element in a buffer."""
    return 2 if dtype is dt.float16 else max(dtype.itemsize, 4)


class Cut:
    """A kernel that is cut along `variable`, which runs to `count`, at multiples of `unit`.

    The emitter tells it every place of a large slot that the kernel reads or writes.
    """

    def __init__(self, windows: Windows, variable: str, count: int, unit: int) -> None:
        self.windows = windows
        self.variable, self.count, self.unit = variable, count, unit
        self.places: dict[int, dict[Expr, None]] = {}
        self.anywhere: set[int] = set()

    def note(self, slot: int, place: Expr, anywhere: bool) -> None:
        """Remember a place that the kernel accesses, `anywhere` if an offset is added to it at each run."""
        if slot in self.windows:
            self.places.setdefault(slot, {})[place] = None
            if anywhere:
                self.anywhere.add(slot)

    def parts(self, e: Emitter, room: int) -> list[Part]:
        """Choose the dispatches: the fewest that bind one window of each slot, else the fewest whose windows
        fit in `room` bindings, else none."""
        large = [(slot, dtype) for slot, _, dtype in e.access if slot in self.windows]
        room -= len(e.access) - len(large)
        finest = FINEST * max((self.windows.whole(slot).windows for slot, _ in large), default=1)
        best: list[Part] = []
        number = 1
        while number <= finest:
            step = math.ceil(self.count / number / self.unit) * self.unit
            made = [
                self.part(start, min(step, self.count - start), large)
                for start in range(0, self.count, step)
            ]
            most = max(p.windows for p in made)
            if most == len(large):
                return made
            if not best and most <= room:
                best = made
            if step == self.unit:
                break
            number *= 2
        return best

    def part(self, start: int, count: int, large: list[tuple[int, dt.DType]]) -> Part:
        """Make the dispatch that does `count` from `start` on."""
        return Part(start, count, {slot: self.reach(slot, d, start, count) for slot, d in large})

    def reach(self, slot: int, dtype: dt.DType, start: int, count: int) -> Reach:
        """Compute the reach of a dispatch in a slot."""
        places = self.places.get(slot)
        if not places or slot in self.anywhere:
            return self.windows.whole(slot)
        last = self.windows.sizes[slot] // width(dtype) - 1
        ranges = [span(p, self.variable, start, start + count - 1) for p in places]
        # a place outside is behind a condition that fails
        low = min(max(min(a for a, _ in ranges), 0), last)
        high = max(min(max(b for _, b in ranges), last), low)
        aligned = ALIGNMENT // width(dtype)
        first = low // aligned * aligned
        return Reach(first, math.ceil((high + 1 - first) / self.windows.each(dtype)))

    def take(self, e: Emitter, part: Part, across: int) -> None:
        """Let an emitter print the dispatch that does `part` in a grid `across` workgroups wide."""
        bases = [part.reach[slot].first for slot, _, _ in e.access if slot in part.reach]
        e.reach = part.reach
        e.own = (part.start, part.count, across, *bases)


OWN = ("start", "count", "across")
"""The words that tell a dispatch its part; they are followed by the first bound element of each large slot."""
PART = "".join(
    f"fn part_{name}() -> u32 {{\n  return {Word(i)};\n}}\n" for i, name in enumerate(OWN)
)
"""The functions that read these words."""


def span(e: Expr, name: str, low: int, high: int) -> tuple[int, int]:
    """Bound the value of `e` while a variable is between two numbers.

    >>> from tabgrad.lower.index import var
    >>> g = var("g", 100)
    >>> span(g // 10 * 100 + g % 10 + var("r", 5), "g", 20, 29)
    (200, 213)
    """
    a = b = e.const
    for atom, c in e.terms:
        x, y = bounds(atom, name, low, high)
        a += c * (x if c > 0 else y)
        b += c * (y if c > 0 else x)
    return a, b


def bounds(atom: Atom, name: str, low: int, high: int) -> tuple[int, int]:
    """Bound the value of an atom in the same way."""
    if name not in atom.names:
        return atom.lo, atom.hi
    if atom.of is None:
        return low, high
    a, b = span(atom.of, name, low, high)
    if atom.kind == "div":
        return a // atom.n, b // atom.n
    return (a % atom.n, b % atom.n) if a // atom.n == b // atom.n else (0, atom.n - 1)


__all__ = ["NONE", "OWN", "PART", "Cut", "Part", "Reach", "Span", "TooLarge", "Windows", "span"]

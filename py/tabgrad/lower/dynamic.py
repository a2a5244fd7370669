"""Kernels that serve many sizes: numbers of a kernel's text that change with a size become uniform words.

A plan for new sizes is lowered as any other. What is chosen by size (tiles, how many threads share a row) stays
as it was at the first sizes, so the text comes out the same but for its numbers. A number that is a multiple of
a size that is said to vary is a uniform word from the start; one that turns out to vary becomes one when it
does, at the cost of one more compilation. The text with the numbers in it is always that of the plan itself: a
kernel that is served by another's pipeline differs from it in uniform words only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from tabgrad.lower.ir import FULL, RawNode
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.tokens import Template

T = TypeVar("T")

SMALLEST = 2
"""No number below it is a size: it is a first index, or the end of a loop of one."""


class Variant(NamedTuple):
    """A text in which some numbers are uniform words: `lifted` says which, `numbers` are all of them."""

    numbers: tuple[int, ...]
    lifted: tuple[bool, ...]

    def serves(self, numbers: tuple[int, ...]) -> bool:
        """Test whether the other numbers are the same."""
        return all(
            up or a == b for a, b, up in zip(self.numbers, numbers, self.lifted, strict=True)
        )


class Family:
    """Programs that differ in sizes only: what was chosen by size for the first of them, and the variants of
    each kernel's text."""

    def __init__(self) -> None:
        self.choices: dict[tuple[str, int], Any] = {}
        self.counts: dict[str, int] = {}
        self.variants: dict[Any, list[Variant]] = {}

    def decide(self, what: str, choose: Callable[[], T]) -> T:
        """Return what was chosen the last time that this choice of its kind came up, or choose."""
        at = self.counts[what] = self.counts.get(what, -1) + 1
        if (what, at) not in self.choices:
            self.choices[what, at] = choose()
        found: T = self.choices[what, at]
        return found


class Dynamic:
    """The kernels of one compiled function at all the sizes it was called with.

    `sizes` are those of the call at hand that are said to vary.
    """

    def __init__(self) -> None:
        self.sizes: frozenset[int] = frozenset()
        self.families: dict[Any, Family] = {}
        self.family = Family()

    def begin(self, raw: Sequence[RawNode], wanted: Sequence[int]) -> None:
        """Start to lower a program."""
        self.family = self.families.setdefault(structure(raw, wanted), Family())
        self.family.counts.clear()

    def lifted(self, at: int, k: Kernel) -> tuple[bool, ...]:
        """Return which sizes in the text of kernel number `at` of a plan are to be uniform words.

        They are those of a variant that serves the sizes at hand; a new one lifts what has changed.
        """
        template = Template(k.source)
        numbers = template.sizes
        known = self.family.variants.setdefault((at, template.form, k.bindings, k.overrides), [])
        for v in known:
            if v.serves(numbers):
                return v.lifted
        if known:
            last = known[-1]
            pairs = zip(last.numbers, numbers, last.lifted, strict=True)
            lifted = tuple([up or a != b for a, b, up in pairs])
        else:
            lifted = tuple([self.varies(n) for n in numbers])
        known.append(Variant(numbers, lifted))
        return lifted

    def varies(self, number: int) -> bool:
        """Test whether a number is a multiple of a size that varies."""
        return number >= SMALLEST and any(n >= SMALLEST and number % n == 0 for n in self.sizes)


def structure(raw: Sequence[RawNode], wanted: Sequence[int]) -> Any:
    """Return what a program has in common with those of other sizes.

    Whether two uses of a constant share a node is no part of it: constants are remembered for a while only.
    """
    number: list[int] = []
    steps: list[Any] = []
    for op, _, srcs, _ in raw:
        number.append(-1 if op is FULL else len(steps))
        if op is not FULL:
            steps.append((op, tuple([number[s] for s in srcs])))
    return tuple(steps), tuple([number[n] for n in wanted])

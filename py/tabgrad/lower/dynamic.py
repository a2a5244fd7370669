"""Kernels that serve many sizes: numbers in a kernel's text that change with a size become uniform words.

A plan for new sizes is lowered as any other. Choices by size (tiles, how many threads share a row) stay
as they were at the first sizes, so the text is the same but for its numbers. A number that is a multiple of
a size that is declared to vary is a uniform word from the start; another number becomes one when it first
varies, at the cost of one more compilation. The text with its numbers is always that of the plan itself: a
kernel that runs on another's pipeline differs from it in uniform words only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from tabgrad.lower.ir import FULL, RawNode
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.tokens import Template

T = TypeVar("T")

SMALLEST = 2
"""A smaller number is not a size, but a first index or the end of a loop of one turn."""


class Variant(NamedTuple):
    """A text in which some of the `numbers` are uniform words; `lifted` says which."""

    numbers: tuple[int, ...]
    lifted: tuple[bool, ...]

    def serves(self, numbers: tuple[int, ...]) -> bool:
        """Test whether `numbers` differ from those of the text only where they are uniform words."""
        return all(
            up or a == b for a, b, up in zip(self.numbers, numbers, self.lifted, strict=True)
        )


class Family:
    """Programs that differ in sizes only: the choices by size for the first of them, and the variants of
    each kernel's text."""

    def __init__(self) -> None:
        self.choices: dict[tuple[str, int], Any] = {}
        self.counts: dict[str, int] = {}
        self.variants: dict[Any, list[Variant]] = {}

    def decide(self, what: str, choose: Callable[[], T]) -> T:
        """Repeat the choice of the first lowering: the n-th choice of a kind always gives the same result."""
        at = self.counts[what] = self.counts.get(what, -1) + 1
        if (what, at) not in self.choices:
            self.choices[what, at] = choose()
        found: T = self.choices[what, at]
        return found


class Dynamic:
    """The kernels of one compiled function at all the sizes it was called with.

    `sizes` are the sizes of the present call that are declared to vary.
    """

    def __init__(self) -> None:
        self.sizes: frozenset[int] = frozenset()
        self.families: dict[Any, Family] = {}
        self.family = Family()

    def begin(self, raw: Sequence[RawNode], wanted: Sequence[int]) -> None:
        """Start to lower a program."""
        self.family = self.families.setdefault(structure(raw, wanted), Family())
        self.family.counts.clear()

    def forget(self, *what: str) -> None:
        """Let choices of these kinds be made anew."""
        for family in self.families.values():
            family.choices = {k: v for k, v in family.choices.items() if k[0] not in what}

    def lifted(self, at: int, k: Kernel) -> tuple[bool, ...]:
        """Choose the sizes in the text of kernel number `at` of a plan that become uniform words.

        They are those of a variant that serves the present sizes; a new variant lifts the changed numbers.
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
    """Describe a program without its sizes: programs that differ in sizes only are equal in it.

    It does not say whether two uses of a constant share a node: constants are remembered for a while only.
    """
    number: list[int] = []
    steps: list[Any] = []
    for op, _, srcs, _ in raw:
        number.append(-1 if op is FULL else len(steps))
        if op is not FULL:
            its = op.sizeless if op is not None and op.family == "composed" else op  # type: ignore[attr-defined]
            steps.append((its, tuple([number[s] for s in srcs])))
    return tuple(steps), tuple([number[n] for n in wanted])

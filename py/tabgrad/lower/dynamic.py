"""Kernels that serve many sizes: numbers of a kernel's text that change with a size become uniform words.

A plan for new sizes is lowered as any other. What is chosen by size (tiles, how many threads share a row) stays
as it was at the first sizes, so the text comes out the same but for its numbers. A number that is a multiple of
a size that is said to vary is a uniform word from the start; one that turns out to vary becomes one when it
does, at the cost of one more compilation. The text with the numbers in it is always that of the plan itself: a
kernel that is served by another's pipeline differs from it in uniform words only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from tabgrad.lower import library
from tabgrad.lower.dialect import U32, Dialect
from tabgrad.lower.ir import FULL, RawNode
from tabgrad.lower.kernel import Kernel

T = TypeVar("T")

NUMBER = re.compile(r"(?<![\w.])(\d+)u\b")
FUNCTION = re.compile(r"^fn (\w+)\(.*?^\}\n", re.MULTILINE | re.DOTALL)
SIZE = re.compile(r"^const (BATCH|M|N|K|ROWS|LENGTH) = (\d+)u;\n", re.MULTILINE)
CONSTANT = re.compile(r"^const (\w+) = (.*);\n", re.MULTILINE)
SMALLEST = 2
"""No number below it is a size: it is a first index, or the end of a loop of one."""


class Variant:
    """A text in which some numbers are uniform words: `lifted` says which, `numbers` are all of them."""

    def __init__(self, numbers: tuple[int, ...], lifted: tuple[bool, ...]) -> None:
        self.numbers = numbers
        self.lifted = lifted

    def serves(self, numbers: tuple[int, ...]) -> bool:
        """Whether the other numbers are the same."""
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

    def settle(self, what: str, choose: Callable[[], T]) -> T:
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

    def lift(self, d: Dialect, at: int, k: Kernel) -> Kernel:
        """Return kernel number `at` of a plan with its changing numbers as uniform words."""
        if k.routine or k.verbatim:
            return k
        words = sum(d.words(kind) for _, kind in k.uniforms) + len(k.words)
        source = with_sizes_called(k.source) if d.templates else k.source
        pieces, numbers = dissected(d, source)
        v = self.variant(at, (tuple(pieces), k.bindings, k.overrides), numbers)
        text, up = [pieces[0]], list[int]()
        for number, lifted, piece in zip(numbers, v.lifted, pieces[1:], strict=True):
            text += [d.uniform(words + len(up), U32) if lifted else f"{number}u", piece]
            up += [number] if lifted else []
        if not up:
            return k
        letters = k.bindings.removesuffix("u")
        whole = d.with_words("".join(text), len(letters), words + len(up))
        return replace(k, source=whole, bindings=letters + "u", words=(*k.words, *up))

    def variant(self, at: int, key: Any, numbers: tuple[int, ...]) -> Variant:
        """Return the variant of a text that serves these numbers; a new one lifts what has changed."""
        known = self.family.variants.setdefault((at, key), [])
        for v in known:
            if v.serves(numbers):
                return v
        if known:
            last = known[-1]
            pairs = zip(last.numbers, numbers, last.lifted, strict=True)
            lifted = tuple([up or a != b for a, b, up in pairs])
        else:
            lifted = tuple([self.varies(n) for n in numbers])
        known.append(Variant(numbers, lifted))
        return known[-1]

    def varies(self, number: int) -> bool:
        """Whether a number is a multiple of a size that varies."""
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


def dissected(d: Dialect, source: str) -> tuple[list[str], tuple[int, ...]]:
    """Return the text around the numbers in the functions of a source, and the numbers."""
    pieces, numbers, at = [""], [], 0
    for begin, end in bodies(d, source):
        for m in NUMBER.finditer(source, begin, end):
            pieces[-1] += source[at : m.start()]
            pieces.append("")
            numbers.append(int(m[1]))
            at = m.end()
    pieces[-1] += source[at:]
    return pieces, tuple(numbers)


def bodies(d: Dialect, source: str) -> list[tuple[int, int]]:
    """Return where the functions stand in whose text sizes may be: not those of the library, nor the main of a
    product, which knows them by name."""
    if not d.templates:
        return [(len(library.prelude(d.name)), len(source))]
    fixed = {*library.all_functions(), *(("main",) if "fn GROUPS()" in source else ())}
    return [(m.start(), m.end()) for m in FUNCTION.finditer(source) if m[1] not in fixed]


def with_sizes_called(source: str) -> str:
    """Return a WGSL source whose constants for sizes, and those made of them, are functions.

    A constant can't be a uniform word.
    """
    names = {m[1] for m in SIZE.finditer(source)}
    if not names:
        return source
    for m in CONSTANT.finditer(source):
        if names & set(re.findall(r"\w+", m[2])):
            names.add(m[1])
    used = re.compile(r"\b(" + "|".join(sorted(names)) + r")\b")

    def function(m: re.Match[str]) -> str:
        if m[1] not in names:
            return m[0]
        return f"fn {m[1]}() -> u32 {{\n  return {m[2]};\n}}\n"

    defined = CONSTANT.sub(function, source)
    return re.sub(r"(?<!fn )" + used.pattern + r"(?!\()", r"\1()", defined)

"""Copies of statements for numbers that follow one another: what the copies have in common is written once.

A processor that plays a GPU divides one lane after the other. So a quotient and its remainder are computed for
the first number alone, and the others go on from there; what depends on neither is the same for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tabgrad.lower.dialect import U32, Dialect
from tabgrad.lower.tokens import MARK, Size

NAME = re.compile(r"\b[a-zA-Z_]\w*\b")
QUOTIENT = re.compile(
    rf"^let (q\d+): u32 = \((\w+)(?: - {MARK}(\d+){MARK})?\) ([/%]) {MARK}(\d+){MARK};$"
)
"""A quotient or remainder: its name, the number divided, what is taken from that, the sign, the divisor."""
LET = re.compile(r"^let (\w+)(?:: [^=]+)? = (.*);$")
CHANGED = re.compile(r"^ *(?:var )?(\w+)(?:: [^=]+)? = ")


class Neighbours:
    """Writes the statements of `name` for as many numbers as there are `turns`, from `first` on, which is a
    multiple of how many they are.

    `before` are the statements that come before those of all turns.
    """

    def __init__(self, d: Dialect, name: str, first: str, turns: Sequence[Sequence[str]]) -> None:
        self.d, self.name, self.first, self.count = d, name, first, len(turns)
        self.before: list[str] = []
        self.divided: dict[tuple[int, int], tuple[str, str]] = {}
        self.turns = [self.turn(k, lines) for k, lines in enumerate(turns)]

    def turn(self, k: int, lines: Sequence[str]) -> list[str]:
        """Write the statements of the number that comes `k` after the first."""
        out, own = [], {self.name}
        own.update(m[1] for m in map(CHANGED.match, lines) if m is not None)
        for line in lines:
            found = QUOTIENT.match(line)
            if found is not None and found[2] == self.name:
                less, by = int(found[3] or 0), int(found[5])
                # what is less than zero wraps around: multiples of the count do so for all numbers or none
                whole = not by % self.count
                if by >= self.count and (not less or (whole and not less % self.count)):
                    if found[4] == "%" or not whole:
                        own.add(found[1])
                    out.append(self.d.let(found[1], U32, self.divide(k, found[4], by, less)))
                    continue
            let = LET.match(line)
            if let is None or self.varies(let[2], own):
                if let is not None:
                    own.add(let[1])
                out.append(line)
            elif k == 0:
                self.before.append(line)
        return [line for line in out if not self.moved(k, line, own)]

    def moved(self, k: int, line: str, own: set[str]) -> bool:
        """Put a quotient that is the same for all numbers before them."""
        found = LET.match(line)
        if found is None or found[1] in own:
            return False
        if k == 0:
            self.before.insert(2 * len(self.divided), line)
        return True

    def varies(self, value: str, own: set[str]) -> bool:
        """Test whether a value is another one for each number."""
        return any(n in own or "_four" in n for n in NAME.findall(value))

    def divide(self, k: int, sign: str, by: int, less: int) -> str:
        """Write the quotient or remainder by `by` of a number from which `less` is taken."""
        if (less, by) not in self.divided:
            names = [f"{self.name}_{part}{len(self.divided)}" for part in ("over", "left")]
            quotient, rest = self.divided[less, by] = (names[0], names[1])
            at = 2 * len(self.divided) - 2
            first = f"({self.first} - {Size(less)})" if less else self.first
            self.before[at:at] = [
                self.d.let(quotient, U32, f"{first} / {Size(by)}"),
                self.d.let(rest, U32, f"{first} - {quotient} * {Size(by)}"),
            ]
        quotient, rest = self.divided[less, by]
        left = f"{rest} + {k}u" if k else rest
        if by % self.count == 0:
            return quotient if sign == "/" else left
        past = f"{left} >= {Size(by)}"
        if sign == "/":
            return f"{quotient} + {self.d.choose(past, '1u', '0u')}"
        return f"{left} - {self.d.choose(past, f'{Size(by)}', '0u')}"

    def carried(self, start: str) -> tuple[list[str], list[str]]:
        """Take the divisions out of a loop that goes from `start` on by as many numbers as there are turns.

        Return the statements before the loop, and those at the end of its body.
        """
        outside, after, inside = [], [], []
        for (less, by), (quotient, rest) in self.divided.items():
            lets = self.before[:2]
            del self.before[:2]
            if less:
                # it may be less than zero at the start, and wraps around there
                inside += lets
                continue
            outside += [
                self.d.var(quotient, U32, f"{start} / {Size(by)}"),
                self.d.var(rest, U32, f"{start} - {quotient} * {Size(by)}"),
            ]
            past = f"{rest} >= {Size(by)}"
            after += [
                f"{rest} = {rest} + {self.count}u;",
                f"{quotient} = {quotient} + {self.d.choose(past, '1u', '0u')};",
                f"{rest} = {rest} - {self.d.choose(past, f'{Size(by)}', '0u')};",
            ]
        self.before[:0] = inside
        return outside, after


__all__ = ["Neighbours"]

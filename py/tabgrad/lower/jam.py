"""Several rows in one thread, side by side in the same loops, and loads of four elements at a time.

A processor that plays a GPU gathers each scalar load from as many addresses as it has lanes, so a load costs it
more than ten additions. Rows that share a load (a matrix times a vector) go through it together, and four
elements that lie side by side, along the row or across rows, are one load. Each row is added up in its own
order all the same: sums keep their bits. The statements of one row come as lines, and are written again from
these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from tabgrad.lower.tokens import MARK, Size

if TYPE_CHECKING:
    from tabgrad.lower.emit import Emitter

NAME = re.compile(r"\b[a-zA-Z_]\w*\b")
DECLARED = re.compile(r"^(let|var) (\w+)(: [^=]+)? = (.*);$")
LOAD = re.compile(r"^let (\w+): f32 = (b\d+)\[([^\[\]()]*)\];$")
BOUND = re.compile(r"\bb\d+(?=\[)")
BUFFER = re.compile(r"b\d+\[")
TERM = re.compile(rf"^(\w+)(?: \* {MARK}(\d+){MARK})?$")
CONSTANT = re.compile(rf"^(?:{MARK}(\d+){MARK}|(\d+)u)$")
PARTS = "xyzw"

Fours = Callable[[str], str]
"""Gives the name by which a buffer is read four elements at a time, "" where it may not be."""


class Jam:
    """Writes the statements of row `g` for `rows` rows from `g_first` on, for four rows 4 times `g_four`."""

    def __init__(self, rows: int, count: int, fours: Fours) -> None:
        self.rows, self.count, self.fours = rows, count, fours
        self.own = {"g"}
        """The names that each row has for itself."""
        self.shared = False
        """Whether rows have a load in common."""

    def written(self, lines: Sequence[str]) -> list[str] | None:
        """Write the statements; None where some have a form that rows can't share, or nothing is shared."""
        out: list[str] = []
        for k in range(self.rows):
            at = f"g_first + {k}u"
            # a thread that has fewer rows computes its last one again
            at = at if self.count % self.rows == 0 else f"min({at}, {Size(self.count - 1)})"
            out.append(f"let g_{k}: u32 = {at};")
        for line in lines:
            indent = line[: len(line) - len(line.lstrip())]
            made = self.statement(line.strip())
            if made is None:
                return None
            out += [indent + one for one in made]
        return out if self.shared else None

    def statement(self, line: str) -> list[str] | None:
        """Write one statement, or the head or the end of a block."""
        if line in ("{", "}"):
            return [line]
        if line.endswith("{") or line.startswith(("if", "return", "else")):
            names = set(NAME.findall(line))
            return [line] if line.startswith("for (") and not names & self.own else None
        found = DECLARED.match(line)
        if found is None:
            return self.each(line) if self.has_own(line) else [line]
        if found[1] == "let" and not self.has_own(found[4]):
            self.shared = self.shared or BUFFER.match(found[4]) is not None
            return [line]
        self.own.add(found[2])
        return self.across(line) or self.each(line)

    def has_own(self, text: str) -> bool:
        """Test whether a text has a name that each row has for itself."""
        return not self.own.isdisjoint(NAME.findall(text))

    def each(self, line: str) -> list[str]:
        """Write a statement once for each row."""
        return [self.row(line, k) for k in range(self.rows)]

    def row(self, line: str, k: int) -> str:
        """Write a statement with the names of row `k`."""
        return NAME.sub(lambda m: f"{m[0]}_{k}" if m[0] in self.own else m[0], line)

    def across(self, line: str) -> list[str] | None:
        """Write a load whose elements lie side by side in four rows as one."""
        found = LOAD.match(line) if self.rows == 4 and self.count % 4 == 0 else None
        at = quarter(found[3], "g", "g_four") if found is not None else None
        if found is None or at is None or self.has_own(at):
            return None
        name = self.fours(found[2])
        if not name:
            return None
        self.shared = True
        four = f"{found[1]}_four"
        parts = (f"let {found[1]}_{k}: f32 = {four}.{PARTS[k]};" for k in range(4))
        return [f"let {four}: vec4<f32> = {name}[{at}];", *parts]


def quarter(index: str, along: str, quarters: str, add: int = 0) -> str | None:
    """Write a quarter of an index in which `along` is `quarters` times 4, and `add` to it; None if the index
    does not begin a group of four whatever its other variables are."""
    out, seen, total = [], False, add
    for term in index.split(" + "):
        constant = CONSTANT.match(term)
        found = TERM.match(term)
        if constant is not None:
            value = int(constant[1] or constant[2])
            if value % 4:
                return None
            total += value // 4
        elif found is None:
            return None
        elif found[1] == along:
            if found[2] or seen:
                return None
            seen = True
            out.append(quarters)
        else:
            step = int(found[2] or 1)
            if step % 4:
                return None
            out.append(f"{found[1]} * {Size(step // 4)}" if step > 4 else found[1])
    if not seen:
        return None
    return " + ".join([*out, *([f"{total}u"] if total else [])])


def along(
    lines: Iterable[str], variable: str, turns: int, fours: Fours
) -> tuple[list[list[str]], list[Sequence[str]]]:
    """Write the loads of several turns of a loop over `variable` four at a time.

    Return the loads of each four turns, and the lines of each turn. In the first turn `variable` is 4 times a
    variable of its name with `_four` behind it.
    """
    quarters = f"{variable}_four"
    before: list[list[str]] = [[] for _ in range(turns // 4)]
    inside: list[list[str]] = [[] for _ in range(turns)]
    for line in lines:
        found = LOAD.match(line)
        at = quarter(found[3], variable, quarters) if found is not None else None
        name = fours(found[2]) if found is not None and at is not None else ""
        if found is None or not name:
            for turn in inside:
                turn.append(line)
            continue
        for k in range(turns):
            four = f"{found[1]}_four{k // 4}"
            if k % 4 == 0:
                place = quarter(found[3], variable, quarters, k // 4)
                before[k // 4].append(f"let {four}: vec4<f32> = {name}[{place}];")
            inside[k].append(f"let {found[1]}: f32 = {four}.{PARTS[k % 4]};")
    return before, [*inside]


def settled(e: Emitter, names: Mapping[str, str]) -> None:
    """Leave out the bindings that a finished kernel does not read; `names` are those for reading four elements
    at a time, by the name of the other one for the same buffer."""
    used = set(BOUND.findall("\n".join(e.scope.lines)))
    moved = {four: one for one, four in names.items() if four in used and one not in used}
    for four, one in moved.items():
        e.access[int(one[1:])][2] = e.access[int(four[1:])][2]
    gone = {*moved, *(four for four in names.values() if four not in used)}
    kept = [i for i in range(len(e.access)) if f"b{i}" not in gone]
    at = {f"b{i}": f"b{k}" for k, i in enumerate(kept)}
    at.update({four: at[one] for four, one in moved.items()})
    e.scope.lines[:] = [BOUND.sub(lambda m: at[m[0]], line) for line in e.scope.lines]
    e.slots = {slot: int(at[f"b{i}"][1:]) for slot, i in e.slots.items() if f"b{i}" in at}
    e.access = [e.access[i] for i in kept]


__all__ = ["Jam", "along", "quarter", "settled"]

"""Random programs for `tabgrad.compile`: a function of tensors and of state, calls of it, changes in between.

A program is text, so that the plain and the compiled run are of the same code, and a failure can be read.
Values stay small, and nothing discontinuous meets a float: rounding can't send the two ways apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.phrases import (
    ARGUMENTS,
    CHANGES,
    EFFECTS,
    LINES,
    MODES,
    OWN,
    RESULTS,
    SETUP,
    STATICS,
    TRAINING,
    WRITES,
)  # fmt: skip

Draw = Callable[[st.SearchStrategy[Any]], Any]


@dataclass
class Event:
    """What happens outside the function: a call, or a change before one."""

    text: str
    call: bool = False
    mode: str = ""
    repeats: int = 0
    """How often the same call came just before, with nothing in between."""
    poke: int = -1
    """The number of the tensor among the results that is written afterwards."""
    backward: bool = False
    """Whether derivatives of the results are taken afterwards."""


@dataclass
class Program:
    """A function, and what happens to it."""

    setup: str
    body: str
    events: list[Event] = field(default_factory=list)
    repeatable: bool = True
    """Whether each line can be replayed: the third of the same calls must then be."""
    dynamic: bool | None = None

    def text(self) -> str:
        """Return the program for people."""
        lines = [self.setup, self.body]
        for e in self.events:
            extra = f"  # poke {e.poke}" * (e.poke >= 0) + "  # backward" * e.backward
            lines.append(f"{e.mode}: {e.text}{extra}" if e.mode else e.text + extra)
        return "\n".join(lines)


class Body:
    """The lines of a function as they are made, with the variables that stand for rows and for vectors."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.rows = ["x"]
        self.vectors = ["y"]
        self.lines: list[str] = []

    def add(self, phrase: str) -> None:
        """Add a line: `{r}` and `{v}` stand for some rows and some vector, `R` and `V` for new ones."""
        r = self.draw(st.sampled_from(self.rows[::-1]))
        v = self.draw(st.sampled_from(self.vectors[::-1]))
        u = self.draw(st.sampled_from(self.vectors)) if "{u}" in phrase else ""
        text = phrase.format(r=r, v=v, u=u)
        for mark, names in (("R", self.rows), ("V", self.vectors)):
            if text.startswith(f"{mark} = "):
                name = f"{mark.lower()}{len(names)}"
                text = name + text[1:]
                names.append(name)
        self.lines += text.split("\n")


def make(draw: Draw, repeatable: bool) -> Program:
    """Return a program; with `repeatable` one of which each call can be replayed."""
    body = Body(draw)
    kinds = ["lines", "lines", "lines", "writes", "training"] + ["effects"] * (not repeatable)
    tables = {"lines": LINES, "writes": WRITES, "training": TRAINING, "effects": EFFECTS}
    statics = draw(st.sampled_from(sorted(STATICS)))
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(kinds))
        table = tables[kind] + (STATICS[statics][1] if kind == "lines" else [])
        body.add(draw(st.sampled_from(table)))
    body.add(draw(st.sampled_from([r for r, plain in RESULTS if plain or not repeatable])))
    indent = "\n        ".join(body.lines)
    text = (
        "def make(cell):\n"
        "    def step(x, y, a=None):\n"
        "        global COUNT, h, SCALE\n        nonlocal cell\n"
        f"        {indent}\n"
        "    def put(value):\n        nonlocal cell\n        cell = value\n"
        "    return step, put\n"
        "step, put = make(0.5)\nstep = wrap(step)"
    )
    optimizer = draw(st.sampled_from(OPTIMIZERS))
    program = Program(SETUP.replace("OPTIMIZER", optimizer), text, [], repeatable)
    program.dynamic = draw(st.sampled_from([None, None, True, False]))
    for _ in range(draw(st.integers(2, 3))):
        _phase(draw, program, statics)
    return program


OPTIMIZERS = (
    "optim.SGD(model.parameters(), lr=0.05, momentum=0.5)", "optim.SGD([w, *model.parameters()], lr=0.05)",
    "optim.Adam(model.parameters(), lr=0.02, eps=0.01)", "optim.AdamW([w, m], lr=0.02, eps=0.01)",
    "optim.RMSprop(model.parameters(), lr=0.02, eps=0.1)",
)  # fmt: skip


def _phase(draw: Draw, program: Program, statics: str) -> None:
    """Add the same call three times, and what is changed before the next calls."""
    x, y = draw(st.sampled_from(OWN if program.repeatable else ARGUMENTS))
    a = draw(st.sampled_from(STATICS[statics][0]))
    mode = draw(st.sampled_from(MODES)) if not program.repeatable else ""
    call = f"step({x}, {y}, {a})" if a else f"step({x}, {y})"
    poke = draw(st.sampled_from([-1, -1, 0, 1, 2]))
    backward = draw(st.booleans())
    quiet = draw(st.booleans())
    for i in range(3):
        last = i == 2
        program.events.append(
            Event(call, True, mode, i if quiet else 0, poke if last or not quiet else -1, last and backward)
        )  # fmt: skip
    for _ in range(draw(st.integers(0, 2))):
        program.events.append(Event(draw(st.sampled_from(CHANGES))))

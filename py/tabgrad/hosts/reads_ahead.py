"""Requests with a compiled call what was read after the calls before it, and sends the packet at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tabgrad.hosts.answers import Answers
    from tabgrad.hosts.pool import Buffer
    from tabgrad.hosts.replay import Stored

SHORT = 4096
"""The most bytes of a read that is made ahead."""
MOST = 8
"""The most reads made ahead, and runs watched."""
OFTEN = 2
"""So many runs with the same reads make a habit."""

Part = tuple[int, int, int]
"""A slot, an offset and a length in bytes."""


class Habit:
    """What was read after the last run of a plan, how often, and what since."""

    __slots__ = ("noted", "often", "reads")

    def __init__(self) -> None:
        self.reads: list[Part] = []
        self.noted: list[Part] = []
        self.often = 0


class ReadsAhead:
    """The reads of one device that are made before the program asks for them."""

    def __init__(self, backend: Answers) -> None:
        self.backend = backend
        # the habits of the last runs, by the `born` of their results
        self.runs: dict[int, Habit] = {}
        # the tokens of reads by `born` and number of the buffer, offset and length
        self.waiting: dict[tuple[int, int, int, int], int] = {}
        # the tokens of the error reports that came with them: the first answer brings these
        self.errors: list[int] = []
        # whether the packet is to be sent
        self.due = False

    def ran(self, stored: Stored, outputs: dict[int, Buffer]) -> None:
        """Note a run, the last command so far; request what is always read of it."""
        habit = stored.habit
        reads, habit.noted = habit.noted, []
        kept = bool(reads) and reads == habit.reads
        if self.waiting and not kept and habit.often >= OFTEN:
            self.drop()
        habit.often = habit.often + 1 if kept else int(bool(reads))
        habit.reads = reads
        if not stored.dispatches:
            return
        clock = self.backend.encoder.clock
        while len(self.runs) >= MOST:
            del self.runs[next(iter(self.runs))]
        self.runs[clock] = habit
        if habit.often < OFTEN:
            return
        if len(self.waiting) + len(reads) > MOST:
            self.drop()
        for slot, offset, nbytes in reads:
            buffer = outputs[slot]
            token = self.backend.request(buffer, offset, nbytes)
            self.waiting[clock, buffer.id, offset, nbytes] = token
            self.errors += self.backend.reports.ask(buffer.carried)
        self.due = True

    def note(self, buffer: Buffer, offset: int, nbytes: int, alone: bool) -> None:
        """Note a read of what a compiled call computed, `alone` if nothing else was computed for it."""
        habit = self.runs.get(buffer.born)
        if habit is None:
            return
        part = buffer.slot, offset, nbytes
        if not alone or nbytes > SHORT or len(habit.noted) == MOST:
            # it gains nothing, however often it is read
            del self.runs[buffer.born]
            habit.noted = []
        elif part not in habit.noted:
            habit.noted.append(part)

    def take(self, buffer: Buffer, offset: int, nbytes: int) -> list[int]:
        """Return the tokens of a read, none if it was not made ahead."""
        backend = self.backend
        if self.waiting and backend.sender.lost:
            backend.sender.check([buffer])
        token = self.waiting.pop((buffer.born, buffer.id, offset, nbytes), None)
        if token is None:
            return []
        tokens, self.errors = [token, *self.errors], []
        # what is recorded meanwhile would have gone along
        self.note(buffer, offset, nbytes, not backend.graph.recorded or not backend.wanted())
        return tokens

    def miss(self) -> None:
        """Leave error reports to a read that was not made ahead."""
        if self.errors:
            self.drop()

    def drop(self) -> None:
        """Cancel the reads that nobody has asked for."""
        tokens = [*self.waiting.values(), *self.errors]
        self.waiting, self.errors = {}, []
        if tokens:
            self.backend.give_up(tokens)

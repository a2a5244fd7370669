"""Requests with a compiled call what the program reads after each of its calls, and sends the packet at once.

The answer is then under way while Python goes on. What is read is learnt: when two runs of a plan one after the
other were followed by the same short reads, the next run requests these. A run that was not breaks the habit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tabgrad.hosts.answers import Answers
    from tabgrad.hosts.pool import Buffer
    from tabgrad.hosts.replay import Stored

SHORT = 4096
"""The most bytes of a read that is made ahead."""
MOST = 8
"""The most reads after one run that are made ahead, and the most runs whose reads are watched."""
OFTEN = 2
"""So many runs with the same reads make a habit."""

Part = tuple[int, int, int]
"""A slot of a plan, an offset and a length in bytes."""


class Habit:
    """What is read after the runs of a plan: since the last one, and after how many runs before it the same."""

    __slots__ = ("noted", "often", "reads")

    def __init__(self) -> None:
        self.reads: list[Part] = []
        self.noted: list[Part] = []
        self.often = 0


class ReadsAhead:
    """The reads of one device that are made before the program asks for them.

    `runs` has the habits of the last runs by the `born` of their results. `waiting` has the tokens of reads by
    the `born` and number of a buffer, an offset and a length, and `errors` those of the error reports that came
    with them: the first answer brings these. `due` says that the packet is to be sent.
    """

    def __init__(self, backend: Answers) -> None:
        self.backend = backend
        self.runs: dict[int, Habit] = {}
        self.waiting: dict[tuple[int, int, int, int], int] = {}
        self.errors: list[int] = []
        self.due = False

    def ran(self, stored: Stored, outputs: dict[int, Buffer]) -> None:
        """Note a run of a plan, whose command is the last in the packet; request what is always read of it."""
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
        """Note what the program reads, if a compiled call has computed it; `alone` says that nothing else was
        computed for it."""
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
        """Return the tokens of a read that was made ahead; none if it was not."""
        token = self.waiting.pop((buffer.born, buffer.id, offset, nbytes), None)
        if token is None:
            return []
        tokens, self.errors = [token, *self.errors], []
        return tokens

    def miss(self) -> None:
        """See to it that a read which was not made ahead brings the error reports that came with those."""
        if self.errors:
            self.drop()

    def drop(self) -> None:
        """Cancel the reads that nobody has asked for."""
        tokens = [*self.waiting.values(), *self.errors]
        self.waiting, self.errors = {}, []
        if tokens:
            self.backend.give_up(tokens)

"""Finds out which variants of kernels are fastest on this adapter, while a program uses it.

When a plan has run often, the questions that it asked (`lower/variants.py`) are put to the device one by
one: each packet of the program is followed by at most one packet of a trial, which runs one variant beside the
fixed one. The answers are kept for the adapter, and plans that would use another variant are lowered again. All
trials of a session take at most SECONDS, waiting and compiling included, and one packet; what is left open is
asked again in the next session. In a browser nothing waits: the answers are looked for at the next packet.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core.errors import HostError
from tabgrad.hosts import kept_answers
from tabgrad.hosts.commands import TIMERS, Fault
from tabgrad.hosts.encoder import Encoder
from tabgrad.hosts.host import in_browser
from tabgrad.hosts.renewal import outdate
from tabgrad.hosts.trial import LONGEST, Trial, runs_for, seconds
from tabgrad.hosts.tuning import measures

if TYPE_CHECKING:
    from tabgrad.hosts.device import DeviceBackend
    from tabgrad.hosts.replay import Stored

SECONDS = 2.0
"""The most time of a session that trials take; no packet is begun after that."""
FASTER = 0.95
"""A variant is taken if it needs less than this part of the fixed one's time."""
TIMEOUT = 10.0
"""Seconds after which an answer is no longer waited for."""


class Probe:
    """The trials of one device.

    `waiting` are plans whose questions are still to be asked, `trial` is under way, `left` are its variants
    that have not run, and `tokens` the answers that are due, `told` once they are there.
    """

    def __init__(self, backend: DeviceBackend) -> None:
        self.backend = backend
        self.host = backend.host
        self.encoder = Encoder(4096)
        self.waiting: list[Stored] = []
        self.trial: Trial | None = None
        self.left: list[str] = []
        self.name = ""
        self.runs = 0
        self.tokens: list[int] = []
        self.told: list[bytes] | None = None
        self.task: Any = None
        self.spent = 0.0
        self.failed = False
        self.packets: set[int] = set()
        self.over = TIMERS not in self.host.hello.features or not backend.dialect.templates
        self.busy = False

    def notice(self, stored: Stored) -> None:
        """Note that a plan runs often."""
        if stored.plan.asked and not self.over:
            self.waiting.append(stored)

    def step(self) -> None:
        """Do the next part of the trials; called when a packet of the program has been sent."""
        if self.over or self.busy or not measures(self.backend.limits.software):
            return
        self.busy, start = True, time.perf_counter()
        try:
            if self.tokens:
                self.collect()
            elif self.trial is not None or self.waiting:
                self.go_on()
        except HostError:
            # whatever a trial meets, the program goes on without it
            self.stop()
        except BaseException:
            self.stop()
            raise
        finally:
            self.busy = False
            self.spent += time.perf_counter() - start

    # -- trials ------------------------------------------------------------------------------------

    def go_on(self) -> None:
        """Begin a trial, or its next variant."""
        if self.trial is None:
            self.begin()
        elif self.left and self.spent < SECONDS:
            self.name = self.left.pop(0)
            tokens = self.trial.one(self.encoder, self.name, self.runs)
            if tokens:
                self.send(tokens)
            else:
                self.encoder.reset()
        else:
            self.decide()

    def begin(self) -> None:
        """Begin the trial of the next open question."""
        choices = self.backend.choices
        while self.waiting:
            if self.spent >= SECONDS:
                self.waiting.clear()
                return
            stored = self.waiting[0]
            raw = next((key[0] for key, its in self.backend.plans.items() if its is stored), None)
            asked = stored.plan.asked
            open_ = [q for q in asked if q not in choices.answers and q not in choices.skipped]
            if raw is None or not open_:
                self.waiting.pop(0)
                continue
            trial = Trial(self.backend, open_[0], asked[open_[0]], raw, self.number)
            if not trial.possible or not trial.names:
                choices.skipped.add(open_[0])
                continue
            self.trial, self.left, self.name, self.runs = trial, trial.names, "", 2
            self.send(trial.begin(self.encoder, self.runs))
            return

    def number(self) -> int:
        """Make an id of a pipeline, a list or a token; buffers take them too, from far above the pool's."""
        self.backend.next += 1
        return self.backend.next - 1 + FAR

    def decide(self) -> None:
        """End a trial: its best variant is the answer if it is faster than the fixed one."""
        trial, self.trial = self.trial, None
        assert trial is not None
        trial.end(self.encoder)
        self.send([])
        whole = not self.left
        best = min(trial.measured, key=lambda m: m.ratio, default=None)
        faster = best is not None and best.ratio < FASTER
        if not faster and (not whole or trial.question in self.backend.choices.skipped):
            # the time is over, or a run takes too long: the question stays open
            self.backend.choices.skipped.add(trial.question)
            return
        answer = best.name if faster and best is not None else trial.fixed
        self.backend.choices.answers[trial.question] = answer
        kept_answers.keep(self.host, self.backend.choices.answers)
        outdate(self.backend, trial.question, answer)

    # -- packets -----------------------------------------------------------------------------------

    def send(self, tokens: list[int]) -> None:
        """Send the packet of a trial."""
        self.tokens, self.told, self.failed = tokens, None, False
        try:
            self.packets.add(self.host.packets + 1)
            self.host.submit(*self.encoder.finish())
        finally:
            self.encoder.reset()
        if self.host.stopped >= 0:
            self.failed = True
        self.backend.sender.put_aside(self.host.faults())
        if tokens and in_browser():
            import asyncio

            self.task = asyncio.ensure_future(self.receive(tokens))
        elif tokens:
            self.told = self.read()
            self.collect()

    def own(self, faults: Sequence[Fault]) -> list[Fault]:
        """Take the faults of trials from these; return the others."""
        numbers = set(self.trial.pipelines.values()) if self.trial is not None else set()
        others = []
        for fault in faults:
            if fault.kind != "lost" and (fault.packet in self.packets or fault.pipeline in numbers):
                self.failed = True
            else:
                others.append(fault)
        return others

    async def receive(self, tokens: list[int]) -> None:
        """Wait for answers without blocking."""
        told, start = [], time.perf_counter()
        try:
            for token in tokens:
                told.append(await self.host.read_async(token, TIMEOUT))
        except HostError:
            self.failed = True
        if tokens is self.tokens:
            self.told = told
            self.spent += time.perf_counter() - start

    def collect(self) -> None:
        """Take the answers to a packet, if they are there."""
        if self.told is None:
            return
        self.backend.sender.put_aside(self.host.faults())
        trial, told = self.trial, self.told
        tokens, self.tokens, self.told = self.tokens, [], None
        assert trial is not None
        if not self.failed and len(told) == len(tokens):
            self.noted(trial, told)
        elif not self.name:
            # the fixed variant itself could not run here: perhaps there is too little memory
            self.backend.choices.skipped.add(trial.question)
            self.left = []

    def noted(self, trial: Trial, told: list[bytes]) -> None:
        """Note the times of a variant."""
        if self.name:
            trial.note(self.name, told)
            return
        once = seconds(told[0], len(trial.plans[trial.fixed].kernels))
        self.runs = runs_for(once)
        if once > LONGEST:
            self.left = []
            self.backend.choices.skipped.add(trial.question)

    def read(self) -> list[bytes]:
        """Wait for answers: what it takes counts."""
        told = []
        for i, token in enumerate(self.tokens):
            try:
                told.append(self.host.read(token, TIMEOUT))
            except HostError:
                self.failed = True
                for rest in self.tokens[i + 1 :]:
                    self.host.give_up(rest)
                break
        return told

    def stop(self) -> None:
        """Give up all trials of this session."""
        self.over, self.trial, self.tokens, self.waiting = True, None, [], []
        self.encoder.reset()


FAR = 1 << 30
"""Ids of trials begin here, so that none is that of a buffer of the pool."""

__all__ = ["SECONDS", "Probe"]

"""Finds out which variants of kernels are fastest on this adapter, while a program uses it.

When a plan has run often, the questions that it asked (`lower/variants.py`) are put to the device one by
one: each packet of the program is followed by at most one packet of a trial, which runs one variant beside the
fixed one. The answers are kept for the adapter, and plans that would use another variant are lowered again. All
trials of a session take at most SECONDS, waiting and compiling included, and no packet begins that would take
longer than that if it took as long as the last one; what is left open is asked again in the next session. A
trial that fills a session is decided by what ran in it. In a browser nothing waits: the answers are looked for
at the next packet. On a device without timers packets are timed from outside, each when the device has nothing
else to do.
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
from tabgrad.hosts.trial import Answers, Trial
from tabgrad.hosts.tuning import measures

if TYPE_CHECKING:
    from tabgrad.hosts.device import DeviceBackend
    from tabgrad.hosts.replay import Stored

SECONDS = 2.0
"""The most time of a session that trials take; no packet begins that is likely to exceed it."""
TIMEOUT = 10.0
"""Seconds after which an answer is no longer waited for."""


class Probe:
    """The trials of one device.

    `waiting` are plans whose questions are still to be asked. `trial` is under way, and `script` writes its
    packets: it began when `began` seconds were spent, its last packet at `before`. `tokens` are the answers
    that are due, `told` what came back.
    """

    def __init__(self, backend: DeviceBackend) -> None:
        self.backend = backend
        self.host = backend.host
        self.encoder = Encoder(4096)
        self.waiting: list[Stored] = []
        self.trial: Trial | None = None
        self.script: Any = None
        self.tokens: list[int] = []
        self.told: list[bytes] | None = None
        self.elapsed = 0.0
        self.task: Any = None
        self.spent = 0.0
        self.before = 0.0
        self.began = 0.0
        self.failed = False
        self.failures = 0
        self.packets: set[int] = set()
        self.timers = TIMERS in self.host.hello.features
        self.over = not backend.dialect.templates
        self.busy = False
        self.given_up: Trial | None = None

    def notice(self, stored: Stored) -> None:
        """Note that a plan runs often."""
        if stored.plan.asked and not self.over:
            self.waiting.append(stored)

    def step(self) -> None:
        """Do the next part of the trials; called when a packet of the program has been sent."""
        if self.given_up is not None and not self.host.lost:
            trial, self.given_up, self.failures = self.given_up, None, 1
            self.drop(trial)
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

    def go_on(self, answers: Answers = None) -> None:
        """Begin a trial, or send its next packet."""
        # the next packet may take as long as the last one
        over = 2 * self.spent - self.before >= SECONDS
        self.before = self.spent
        if self.trial is None:
            if over:
                self.waiting.clear()
            self.begin()
            return
        try:
            if over:
                raise StopIteration
            self.send(self.script.send(answers))
        except StopIteration:
            self.encoder.reset()
            self.decide()

    def begin(self) -> None:
        """Begin the trial of the next open question."""
        choices = self.backend.choices
        while self.waiting:
            stored = self.waiting[0]
            raw = next((key[0] for key, its in self.backend.plans.items() if its is stored), None)
            asked = stored.plan.asked
            open_ = [q for q in asked if q not in choices.answers and q not in choices.skipped]
            if raw is None or not open_:
                self.waiting.pop(0)
                continue
            question = open_[0]
            trial = Trial(self.backend, question, asked[question], raw, self.number, self.timers)
            if not trial.possible or not trial.names:
                choices.skipped.add(question)
                continue
            self.trial, self.script = trial, trial.conduct(self.encoder)
            self.began = self.spent
            # if this is the end of the program, or of the device, the question is not asked again
            kept_answers.keep(self.host, {**choices.answers, question: trial.fixed})
            self.send(next(self.script))
            return

    def number(self) -> int:
        """Make an id of a pipeline, a list or a token; buffers take them too, from far above the pool's."""
        self.backend.next += 1
        return self.backend.next - 1 + FAR

    def decide(self) -> None:
        """End a trial: its best variant is the answer if it is faster than the fixed one."""
        trial, self.trial = self.trial, None
        assert trial is not None
        self.drop(trial)
        best = trial.best()
        cut = trial.measured and self.began < SECONDS / 2
        if trial.whole or cut:
            # most of a session went into it: another one would come no further
            answer = trial.fixed if best is None else best.name
        else:
            # the time is over, or a run takes too long: the question stays open for the next session
            self.backend.choices.skipped.add(trial.question)
            answer = ""
        if answer:
            self.backend.choices.answers[trial.question] = answer
            outdate(self.backend, trial.question, answer)
        kept_answers.keep(self.host, self.backend.choices.answers)

    def drop(self, trial: Trial) -> None:
        """Drop what a trial has made. After a failure some of it may not exist: each is dropped by itself."""
        for write in trial.ends():
            write(self.encoder)
            if self.failures:
                self.submit()
        if not self.failures and self.encoder.commands:
            self.submit()
        self.failures = 0

    # -- packets -----------------------------------------------------------------------------------

    def send(self, tokens: list[int]) -> None:
        """Send the packet of a trial, and see to its answers: in a browser later, elsewhere now."""
        self.tokens, self.told, self.failed = tokens, None, False
        if tokens and in_browser():
            import asyncio

            if self.timers:
                self.submit()
            self.task = asyncio.ensure_future(self.receive(tokens))
            return
        if tokens and not self.timers:
            self.host.synchronize(TIMEOUT)
        start = time.perf_counter()
        self.submit()
        if tokens:
            self.told, self.elapsed = self.read(), time.perf_counter() - start

    def submit(self) -> None:
        """Hand the packet to the host."""
        try:
            self.packets.add(self.host.packets + 1)
            self.host.submit(*self.encoder.finish())
        finally:
            self.encoder.reset()
        if self.host.stopped >= 0:
            self.failed = True
        self.backend.sender.put_aside(self.host.faults())

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
        """Wait for answers without blocking; without timers, first for what the program has sent."""
        told: list[bytes] = []
        began = start = time.perf_counter()
        try:
            if not self.timers:
                await self.host.synchronize_async(TIMEOUT)
                start = time.perf_counter()
                self.submit()
            for token in tokens:
                told.append(await self.host.read_async(token, TIMEOUT))
                if len(told) == 1:
                    self.elapsed = time.perf_counter() - start
        except HostError:
            self.failed = True
        if tokens is self.tokens:
            self.told = told
            self.spent += time.perf_counter() - began

    def collect(self) -> None:
        """Take the answers to a packet, if they are there, and go on with the trial."""
        if self.told is None:
            return
        self.backend.sender.put_aside(self.host.faults())
        told, tokens, self.tokens, self.told = self.told, self.tokens, [], None
        whole = not self.failed and len(told) == len(tokens)
        self.failures += not whole
        self.go_on((told, self.elapsed) if whole else None)

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
        """Give up all trials of this session; what they have made is dropped later."""
        self.given_up = self.trial
        self.over, self.trial, self.script, self.tokens, self.waiting = True, None, None, [], []
        self.encoder.reset()


FAR = 1 << 30
"""Ids of trials begin here, so that none is that of a buffer of the pool."""

__all__ = ["SECONDS", "Probe"]

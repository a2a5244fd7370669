"""A trial: the variants of one kernel run in turn on a device, on buffers of their own, and are timed.

What runs is a stand-in for the plan that asked: the op itself, with the views that it reads through. Variants
stand beside the fixed one in each packet, so that other work on the device delays both. A variant that does
not compile, or whose numbers differ from those of the fixed one, is out.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.hosts.encoder import Encoder
from tabgrad.hosts.replay import Stored
from tabgrad.lower.ir import FULL, RawNode
from tabgrad.lower.plan import Plan, lower
from tabgrad.lower.variants import Choices

if TYPE_CHECKING:
    from tabgrad.hosts.device import DeviceBackend
    from tabgrad.lower.variants import Asked

MOST_BYTES = 256 << 20
"""The most bytes of buffers of a trial."""
MOST_NODES = 24
"""The most element-wise ops that a stand-in has before its op."""
FASTER = 0.95
"""A variant is taken if it needs less than this part of the fixed one's time."""
LONGEST = 0.1
"""The most seconds that one run of the fixed variant may take: a packet then takes 0.4 of the device's time."""
ENOUGH = 0.004
"""How many seconds of runs are measured of each variant, one run at least and at most MOST_RUNS."""
ENOUGH_BY_WALL = 0.03
"""The same without timers, where a packet itself takes a few milliseconds."""
MOST_RUNS = 20
"""The most runs of a variant in one packet."""
PATTERN = 1 << 14
"""The elements that inputs are filled with, again and again."""
LOOKED_AT = 1024
"""How many neighbouring elements are compared in each of four places of a result."""
CLOSE = 1e-3
"""The difference between variants that rounding may make, in parts of the largest number."""


def stand_ins(raw: Sequence[RawNode], origin: int) -> Iterator[tuple[RawNode, ...]]:
    """List small programs whose last node is node `origin` of a graph, what it reads being inputs: first
    without the element-wise ops before it, then with them."""
    for through in (("view",), ("view", "elementwise")):
        order: list[int] = []
        stack = [(origin, False)]
        seen: set[int] = set()
        while stack:
            i, ready = stack.pop()
            op, _, srcs, _ = raw[i]
            if ready:
                order.append(i)
            elif i not in seen:
                seen.add(i)
                stack.append((i, True))
                if op is not None and (i == origin or op.family in through):
                    stack.extend((s, False) for s in reversed(srcs))
        if len(order) > MOST_NODES:
            continue
        at = {n: k for k, n in enumerate(order)}
        yield tuple(
            (op, params, tuple([at[s] for s in srcs]), spec)
            if op is FULL or all(s in at for s in srcs)
            else (None, None, (), spec)
            for op, params, srcs, spec in (raw[i] for i in order)
        )


@dataclass
class Measured:
    """How a variant did: its seconds, and those of the fixed one in the same packet."""

    name: str
    seconds: float
    beside: float

    @property
    def ratio(self) -> float:
        """Its time in times of the fixed variant's."""
        return self.seconds / self.beside if self.beside > 0 else math.inf


Answers = tuple[Sequence[bytes], float] | None
"""What comes back of a packet: the bytes of each token, and the seconds that took; None if it failed."""


class Trial:
    """The trial of one question. `number` makes new ids of buffers, pipelines and lists.

    `name` is the variant that runs, "" while the fixed one is measured alone; `whole` says that all have run.
    Without `timers` on the device the seconds of whole packets are compared.
    """

    def __init__(
        self, backend: DeviceBackend, question: str, asked: Asked, raw: Sequence[RawNode],
        number: Callable[[], int], timers: bool = True,
    ) -> None:  # fmt: skip
        self.backend, self.question, self.number = backend, question, number
        self.timers = timers
        self.name = ""
        self.whole = False
        self.names: list[str] = []
        self.own: list[int] = []
        self.plans: dict[str, Plan] = {}
        self.fixed = ""
        self.buffers: list[int] = []
        self.lists: dict[tuple[str, int], int] = {}
        self.pipelines: dict[Any, int] = {}
        self.measured: list[Measured] = []
        for program in stand_ins(raw, asked.origin):
            first = self.lowered(program, None)
            found = first.asked.get(question)
            if found is not None and self.can_run(first):
                self.fixed, self.program = found.taken, program
                self.names = [name for name in found.names() if name != self.fixed]
                self.plans[self.fixed] = first
                break

    @property
    def possible(self) -> bool:
        """Whether a stand-in asks the same question."""
        return bool(self.fixed)

    def lowered(self, program: Sequence[RawNode], name: str | None) -> Plan:
        """Lower a stand-in, with this answer to the question."""
        backend = self.backend
        known = {k: v for k, v in backend.choices.answers.items() if k != self.question}
        answers: Mapping[str, str] = known if name is None else {**known, self.question: name}
        limits = replace(backend.limits, dynamic=None, runs=1000, choices=Choices(answers))
        return lower(program, (len(program) - 1,), backend.dialect, limits)

    def can_run(self, plan: Plan) -> bool:
        """Whether a plan needs nothing but a moderate amount of memory and its kernels."""
        return (
            sum(plan.nbytes) <= MOST_BYTES
            and max(plan.nbytes) <= self.backend.pool.most
            and plan.errors < 0
            and bool(plan.kernels)
            and not any(k.routine or k.spans for k in plan.kernels)
        )

    # -- packets -----------------------------------------------------------------------------------

    def conduct(self, e: Encoder) -> Generator[list[int], Answers, None]:
        """Write the packets of the trial one by one; yield the tokens of each, and take the answers."""
        first = self.begin(e)
        answers = yield self.run(e, *first, 2)
        if answers is not None and not self.timers:
            # the first packet has compiled
            answers = yield self.run(e, *first, 2)
        once = math.inf if answers is None else self.seconds(answers, self.fixed, 2)
        if once > LONGEST:
            return
        runs = runs_for(once, ENOUGH if self.timers else ENOUGH_BY_WALL)
        for name in self.names:
            yield from self.compare(e, first, name, runs)
        best = self.best()
        if best is not None:
            # once more: something else may have run beside the fixed variant
            yield from self.compare(e, first, best.name, runs)
        self.whole = True

    def best(self) -> Measured | None:
        """Return the variant that was faster than the fixed one whenever it ran, and most so, if any."""
        worst: dict[str, Measured] = {}
        for m in self.measured:
            if m.name not in worst or worst[m.name].ratio < m.ratio:
                worst[m.name] = m
        best = min(worst.values(), key=lambda m: m.ratio, default=None)
        return best if best is not None and best.ratio < FASTER else None

    def compare(
        self, e: Encoder, first: tuple[str, list[int]], name: str, runs: int
    ) -> Generator[list[int], Answers, None]:
        """Let a variant run beside the fixed one, and note their times."""
        self.name, second = name, self.variant(e, name)
        if second is None:
            return
        tokens = [*self.run(e, *first, runs), *self.run(e, *second, runs)]
        answers = yield [*tokens, *self.reads(e, first, second)]
        if answers is None:
            return
        told, took = answers
        both = (told[1:2], took), (told[:1], took)
        if not self.timers:
            beside = yield self.run(e, *first, runs)
            again = yield self.run(e, *second, runs)
            if beside is None or again is None:
                return
            both = again, beside
        self.note(told[2:], both, runs)

    def begin(self, e: Encoder) -> tuple[str, list[int]]:
        """Make the buffers; return the fixed variant and its slots."""
        plan = self.plans[self.fixed]
        for nbytes in plan.nbytes:
            self.buffers.append(self.number())
            e.alloc(self.buffers[-1], nbytes)
        leaves = [spec for op, _, _, spec in self.program if op is None]
        width = self.backend.dialect.stored_bytes
        for spec, buffer, nbytes in zip(leaves, self.buffers, plan.nbytes, strict=False):
            fill(e, buffer, nbytes, pattern(spec.dtype, width(spec.dtype)))
        return self.fixed, self.buffers

    def variant(self, e: Encoder, name: str) -> tuple[str, list[int]] | None:
        """Lower a variant, with buffers of its own in place of those of the last one; return its slots."""
        plan = self.lowered(self.program, name)
        if plan.asked[self.question].taken != name or not self.can_run(plan):
            return None
        self.plans[name] = plan
        if self.own:
            e.free(self.own)
        self.own = [self.number() for _ in plan.nbytes[plan.inputs :]]
        for buffer, nbytes in zip(self.own, plan.nbytes[plan.inputs :], strict=True):
            e.alloc(buffer, nbytes)
        return name, [*self.buffers[: plan.inputs], *self.own]

    def run(self, e: Encoder, name: str, slots: Sequence[int], runs: int) -> list[int]:
        """Let a variant run some times; return the token of the answer: the times, if there are timers."""
        plan, token = self.plans[name], self.number()
        if self.timers:
            e.timed_replay(token, self.stored(e, name, runs), slots)
        else:
            e.replay(self.stored(e, name, runs), slots)
            e.read(token, slots[plan.outputs[0][0]], 0, 4)
        return [token]

    def reads(self, e: Encoder, *both: tuple[str, list[int]]) -> list[int]:
        """Read parts of both results; return the tokens."""
        tokens = []
        for name, slots in both:
            for at, nbytes in self.places():
                tokens.append(self.number())
                e.read(tokens[-1], slots[self.plans[name].outputs[0][0]], at, nbytes)
        return tokens

    def places(self) -> list[tuple[int, int]]:
        """Choose the parts of a result that are compared: (first byte, bytes)."""
        spec = self.program[-1][3]
        total = self.backend.dialect.nbytes(spec.dtype, spec.size)
        nbytes = min(total, LOOKED_AT * 4)
        starts = {(total - nbytes) * k // 3 & -16 for k in range(3)} | {total - nbytes & -4}
        return [(at, nbytes) for at in sorted(starts)]

    def stored(self, e: Encoder, name: str, runs: int) -> int:
        """Store a list of so many runs of a variant, after its new pipelines, unless that was done."""
        if (name, runs) in self.lists:
            return self.lists[name, runs]
        plan, numbers = self.plans[name], []
        for kernel in plan.kernels:
            key = (kernel.source, kernel.bindings, kernel.overrides)
            if key not in self.pipelines:
                self.pipelines[key] = self.number()
                e.pipeline(
                    self.pipelines[key], kernel.label, kernel.source, kernel.bindings,
                    dict(kernel.overrides),
                )  # fmt: skip
            numbers.append(self.pipelines[key])
        values = [0.5 if k.__class__ is int and k >= 0 else -1 - k for k, _ in plan.uniforms]
        made = Stored(self.number(), plan, self.backend.reports)
        self.lists[name, runs] = made.id
        e.store(made.id, len(plan.nbytes), made.commands(numbers, values) * runs)
        return made.id

    def ends(self) -> list[Callable[[Encoder], None]]:
        """Return what writes the commands that drop everything."""
        lists, pipelines = list(self.lists.values()), list(self.pipelines.values())
        out: list[Callable[[Encoder], None]] = []
        out += [lambda e: e.drop(lists)] if lists else []
        out += [lambda e: e.drop_pipelines(pipelines)] if pipelines else []
        return out + [partial(Encoder.free, buffers=[i]) for i in (*self.buffers, *self.own)]

    # -- answers -----------------------------------------------------------------------------------

    def note(self, parts: Sequence[bytes], answers: tuple[Any, Any], runs: int) -> None:
        """Note the times of a variant and of the fixed one, if parts of their results agree."""
        half = len(parts) // 2
        if all(self.agree(a, b) for a, b in zip(parts[:half], parts[half:], strict=True)):
            took, beside = (
                self.seconds(one, name, runs)
                for one, name in zip(answers, (self.name, self.fixed), strict=True)
            )
            self.measured.append(Measured(self.name, took, beside))

    def seconds(self, answers: tuple[Sequence[bytes], float], name: str, runs: int) -> float:
        """Compute the seconds of one run: by timers, else a share of the packet's."""
        told, elapsed = answers
        return seconds(told[0], len(self.plans[name].kernels)) if self.timers else elapsed / runs

    def agree(self, a: bytes, b: bytes) -> bool:
        """Whether parts of two results are the same but for rounding."""
        dtype = self.program[-1][3].dtype
        if not (dtype.is_floating_point or dtype.is_complex):
            return a == b
        half = self.backend.dialect.stored_bytes(dtype) == 2
        letter = "e" if half else "f"
        x, y = (struct.unpack(f"<{len(p) // struct.calcsize(letter)}{letter}", p) for p in (a, b))
        largest = max(map(abs, x), default=0.0)
        close = CLOSE * 32 if half or dtype is dt.bfloat16 else CLOSE
        # a nan is not less
        return all(abs(p - q) <= close * largest for p, q in zip(x, y, strict=True))


def seconds(answer: bytes, kernels: int) -> float:
    """Compute the seconds of one run from the times of the dispatches of several.

    The first run is left out, and a quarter of the others, the slowest: something else ran beside them. A mean
    of the rest is right for clocks of few digits too.

    >>> seconds(array("Q", [0, 9000, 10000, 12000, 20000, 21000]).tobytes(), 1)
    1.5e-06
    """
    ticks = memoryview(answer).cast("Q").tolist()
    spent = [max(b - a, 0) for a, b in zip(ticks[::2], ticks[1::2], strict=True)]
    each = [sum(spent[k : k + kernels]) for k in range(0, len(spent), kernels)]
    rest = sorted(each[1:] or each)
    rest = rest[: len(rest) - len(rest) // 4]
    return 1e-9 * sum(rest) / len(rest)


def runs_for(once: float, enough: float) -> int:
    """Choose how often a variant runs in a packet, given the seconds of one run of the fixed one."""
    return 1 + max(1, min(MOST_RUNS, math.ceil(enough / max(once, 1e-6))))


def pattern(dtype: dt.DType, width: int) -> bytes:
    """Make elements to fill an input with: numbers between -1 and 1, or 0 to 3."""
    mixed = [(k * 2654435761 >> 7) % 2003 / 1001 - 1 for k in range(PATTERN)]
    if dtype.is_floating_point or dtype.is_complex:
        return struct.pack(f"<{PATTERN}{'e' if width == 2 else 'f'}", *mixed)
    if dtype is dt.bool_:
        return array("I", [k >> 3 & 1 for k in range(PATTERN)]).tobytes()
    return array("I", [(k * 2654435761 >> 9) % 4 for k in range(PATTERN)]).tobytes()


def fill(e: Encoder, buffer: int, nbytes: int, data: bytes) -> None:
    """Add the commands that fill a buffer with data, repeated."""
    size = (nbytes + 3) & -4
    done = min(len(data), size)
    e.write(buffer, 0, data[:done])
    while done < size:
        part = min(done, size - done)
        e.copy(buffer, 0, buffer, done, part)
        done += part


__all__ = ["Measured", "Trial", "runs_for", "seconds", "stand_ins"]

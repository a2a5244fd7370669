"""Timing named parts of a program; PyTorch's `profiler.profile` and `record_function`.

What is timed are the blocks of `record_function`, and steps: an op on a device only takes its place in a queue
when it is called. `profiler.count` counts what the device is sent.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from enum import Enum
from functools import wraps
from typing import Any, NamedTuple


class ProfilerActivity(Enum):
    """What a profile is to look at; the blocks that are timed are those of the CPU's program."""

    CPU = 0
    XPU = 1
    MTIA = 2
    CUDA = 3
    HPU = 4
    PrivateUse1 = 5


class ProfilerAction(Enum):
    """What a profile does in a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities() -> set[ProfilerActivity]:
    """Return what a profile can look at.

    >>> import tabgrad as tg
    >>> tg.profiler.supported_activities()
    {<ProfilerActivity.CPU: 0>}
    """
    return {ProfilerActivity.CPU}


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0,
    skip_first_wait: int = 0,
) -> Callable[[int], ProfilerAction]:  # fmt: skip
    """Return a function that says for each step what to do: skip, wait, warm up, record; and again.

    >>> import tabgrad as tg
    >>> plan = tg.profiler.schedule(wait=1, warmup=1, active=1, repeat=1)
    >>> [plan(i).name for i in range(4)]
    ['NONE', 'WARMUP', 'RECORD_AND_SAVE', 'NONE']
    """
    if min(wait, warmup, repeat, skip_first) < 0 or active < 1:
        raise ValueError("schedule: expected wait, warmup, repeat, skip_first >= 0 and active > 0")
    length = wait + warmup + active

    def action(step: int) -> ProfilerAction:
        step -= skip_first
        if skip_first_wait and step >= 0:
            step += wait
        if step < 0 or (repeat and step // length >= repeat):
            return ProfilerAction.NONE
        at = step % length
        if at < wait:
            return ProfilerAction.NONE
        if at < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if at < length - 1 else ProfilerAction.RECORD_AND_SAVE

    return action


class Block(NamedTuple):
    """A timed block: its name, when it began, and the seconds it took, with and without those inside it."""

    name: str
    start: float
    seconds: float
    own: float


_OPEN: ContextVar[tuple[profile, ...]] = ContextVar("tabgrad_profiles", default=())


class record_function:
    """Name a block of code in a profile: `with record_function("forward"): ...`, or a decorator.

    >>> import tabgrad as tg
    >>> with tg.profiler.profile() as prof:
    ...     with tg.profiler.record_function("square"):
    ...         y = tg.ones(2, device="cpu") ** 2
    >>> [event.key for event in prof.key_averages()]
    ['square']
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name
        self.args = args
        self._inside = 0.0

    def __enter__(self) -> record_function:
        self._start = time.perf_counter()
        self._inside = 0.0
        self._above = _INNERMOST.get()
        _INNERMOST.set(self)
        return self

    def __exit__(self, *exc: object) -> None:
        seconds = time.perf_counter() - self._start
        _INNERMOST.set(self._above)
        if self._above is not None:
            self._above._inside += seconds
        for profile in _OPEN.get():
            profile._note(Block(self.name, self._start, seconds, seconds - self._inside))

    def __call__(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate a function: each of its calls is a block of this name."""

        @wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return fn(*args, **kwargs)

        return call


_INNERMOST: ContextVar[record_function | None] = ContextVar("tabgrad_block", default=None)


class Average:
    """All blocks of one name: how many, and their microseconds, with and without the blocks inside them."""

    def __init__(self, key: str, blocks: Iterable[Block]) -> None:
        found = list(blocks)
        self.key = self.name = key
        self.count = len(found)
        self.cpu_time_total = 1e6 * sum(b.seconds for b in found)
        self.self_cpu_time_total = 1e6 * sum(b.own for b in found)
        self.device_time_total = self.self_device_time_total = 0.0

    @property
    def cpu_time(self) -> float:
        """The mean of their microseconds."""
        return self.cpu_time_total / max(self.count, 1)


class Averages(list[Average]):
    """The blocks of a profile by name; `table` writes them."""

    def table(
        self, sort_by: str | None = None, row_limit: int = 100, max_src_column_width: int = 75,
        header: str | None = None, top_level_events_only: bool = False, **kwargs: Any,
    ) -> str:  # fmt: skip
        """Return the blocks as lines of text, the largest of `sort_by` first."""
        rows = list(self)
        if sort_by is not None:
            rows.sort(key=lambda row: getattr(row, sort_by, 0.0), reverse=True)
        wide = max([len(row.key) for row in rows], default=4) + 2
        lines = [header] if header else []
        lines.append(
            f"{'Name':<{wide}}{'Self CPU':>12}{'CPU total':>12}{'CPU avg':>12}{'Calls':>8}"
        )
        for row in rows if row_limit < 0 else rows[:row_limit]:
            times = (row.self_cpu_time_total, row.cpu_time_total, row.cpu_time)
            lines.append(
                f"{row.key:<{wide}}" + "".join(f"{t:>10.1f}us" for t in times) + f"{row.count:>8}"
            )
        total = sum(row.self_cpu_time_total for row in rows)
        return "\n".join([*lines, f"Self CPU time total: {total:.1f}us"])

    def total_average(self) -> Average:
        """Return all blocks as one."""
        whole = Average("Total", ())
        whole.count = sum(row.count for row in self)
        whole.self_cpu_time_total = sum(row.self_cpu_time_total for row in self)
        whole.cpu_time_total = whole.self_cpu_time_total
        return whole


class profile:
    """Time the blocks of `record_function` in a block of code; with a `schedule` in some of its steps.

    `on_trace_ready(profile)` is called when the steps to record are over. Arguments that ask for shapes,
    memory, stacks or FLOPs are taken and have no effect.
    """

    def __init__(
        self, *, activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[profile], Any] | None = None, record_shapes: bool = False,
        profile_memory: bool = False, with_stack: bool = False, with_flops: bool = False,
        with_modules: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        self.activities = set(activities) if activities is not None else supported_activities()
        self.schedule = schedule
        self.on_trace_ready = on_trace_ready
        self.step_num = 0
        self._blocks: list[Block] = []
        self._token: Any = None

    @property
    def current_action(self) -> ProfilerAction:
        """What the profile does in the present step."""
        return (
            ProfilerAction.RECORD_AND_SAVE
            if self.schedule is None
            else self.schedule(self.step_num)
        )

    def _note(self, block: Block) -> None:
        if self.current_action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE):
            self._blocks.append(block)

    def start(self) -> None:
        """Begin, as entering the context does."""
        _OPEN.set((*_OPEN.get(), self))
        self._begun = time.perf_counter()

    def stop(self) -> None:
        """End, as leaving the context does."""
        _OPEN.set(tuple([p for p in _OPEN.get() if p is not self]))
        if self.on_trace_ready is not None and (self.schedule is None or self._blocks):
            self.on_trace_ready(self)

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def step(self) -> None:
        """Say that the next step begins."""
        now = time.perf_counter()
        took = now - self._begun
        self._note(Block(f"ProfilerStep#{self.step_num}", self._begun, took, took))
        ready = self.schedule is not None and self.current_action is ProfilerAction.RECORD_AND_SAVE
        self.step_num += 1
        if ready and self.on_trace_ready is not None:
            self.on_trace_ready(self)
            self._blocks = []
        self._begun = now

    def events(self) -> list[Block]:
        """Return the blocks in the order in which they ended."""
        return list(self._blocks)

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, **kwargs: Any
    ) -> Averages:
        """Return the blocks by name."""
        names = dict.fromkeys(b.name for b in self._blocks)
        return Averages(Average(n, (b for b in self._blocks if b.name == n)) for n in names)

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the blocks as JSON for chrome://tracing and Perfetto."""
        events = [
            {
                "name": b.name,
                "ph": "X",
                "ts": 1e6 * b.start,
                "dur": 1e6 * b.seconds,
                "pid": 0,
                "tid": 0,
            }
            for b in self._blocks
        ]
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"traceEvents": events}, file)


def tensorboard_trace_handler(
    dir_name: str, worker_name: str | None = None, use_gzip: bool = False
) -> Callable[[profile], None]:
    """Return what `on_trace_ready` takes to write each trace to a folder, as JSON."""

    def write(prof: profile) -> None:
        os.makedirs(dir_name, exist_ok=True)
        name = f"{worker_name or 'worker'}.{time.time_ns() // 1_000_000}.pt.trace.json"
        prof.export_chrome_trace(os.path.join(dir_name, name))

    return write

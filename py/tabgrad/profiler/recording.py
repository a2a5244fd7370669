"""PyTorch's `profiler.profile`, `record_function` and `schedule`.

`watching.py` says what is put around ops and plans while a profile records, `events.py` what becomes of it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from enum import Enum
from functools import wraps
from threading import get_ident
from typing import Any, NamedTuple

from tabgrad.core.errors import user_frame
from tabgrad.hosts.host import available
from tabgrad.profiler.averages import Average, Averages, averaged
from tabgrad.profiler.events import Event, events_of, place
from tabgrad.profiler.live import Allocation, MemoryReport, peaks
from tabgrad.profiler.watching import Watch, collect, finish_devices


class ProfilerActivity(Enum):
    """What a profile is to look at: CPU is the host's time and ops, all others are the kernels of devices."""

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
    """Return what a profile can look at: CPU, CUDA where there is such a device, PrivateUse1 for WebGPU.

    >>> import tabgrad as tg
    >>> tg.profiler.ProfilerActivity.CPU in tg.profiler.supported_activities()
    True
    """
    names = {"cuda": ProfilerActivity.CUDA, "webgpu": ProfilerActivity.PrivateUse1}
    return {ProfilerActivity.CPU, *(names[kind] for kind in available())}


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
    """A timed block: its name, when it began, the seconds it took, its thread, and the line that began it."""

    name: str
    start: float
    seconds: float
    thread: int
    lines: tuple[str, ...] = ()


_OPEN: ContextVar[tuple[profile, ...]] = ContextVar("tabgrad_profiles", default=())


class record_function:
    """Name a block of code in a profile: `with record_function("forward"): ...`, or a decorator.

    >>> import tabgrad as tg
    >>> with tg.profiler.profile() as prof:
    ...     with tg.profiler.record_function("my block"):
    ...         y = tg.ones(2, device="cpu").square()
    >>> [event.key for event in prof.key_averages()]
    ['my block', 'square']
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name
        self.args = args

    def __enter__(self) -> record_function:
        self._start = time.perf_counter()
        return self

    def __exit__(self, *exc: object) -> None:
        open_ = _OPEN.get()
        if open_:
            seconds = time.perf_counter() - self._start
            frame = user_frame(2)
            lines = (
                (f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}",)
                if frame is not None
                else ()
            )
            for profile in open_:
                profile._note(Block(self.name, self._start, seconds, get_ident(), lines))

    def __call__(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate a function: each of its calls is a block of this name."""

        @wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return fn(*args, **kwargs)

        return call


NO_LINE = "(no line)"
_RECORDING = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)


def _activities(given: Iterable[Any]) -> set[ProfilerActivity]:
    """Return activities as a set; raises TypeError for what is none, and ValueError where there are none."""
    listed: list[Any] = (
        list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    )
    odd = [one for one in listed if not isinstance(one, ProfilerActivity)]
    if odd or listed == [given]:
        raise TypeError(
            "profile: expected a list of activities such as [ProfilerActivity.CPU], got "
            f"{odd[0] if odd else given!r}; leave it out to record all"
        )
    if not listed:
        raise ValueError("profile: expected at least one activity; leave them out to record all")
    return set(listed)


class profile:
    """Measure a block of code; with a `schedule` some of its steps.

    Ops of `cpu` are measured where NumPy computes them. On a device an op's time on the host is that of
    recording it; kernels are measured by the device, and the time of a fused kernel is divided among its ops.
    `on_trace_ready(profile)` is called when the steps to record are over. `record_shapes` and `with_stack` let
    `key_averages` group by shapes and lines, `profile_memory` counts memory by op and line, `with_flops` adds
    estimates and achieved rates to the table; `with_modules` has no effect. `activities` without CPU leaves
    ops out, with CPU alone kernels.

    >>> import tabgrad as tg
    >>> with tg.profiler.profile(with_flops=True) as prof:
    ...     x = tg.ones(16, 16, device="cpu") @ tg.ones(16, 16, device="cpu")
    >>> (row,) = [row for row in prof.key_averages() if row.key == "matmul"]
    >>> row.count, row.flops
    (1, 8192)
    """

    def __init__(
        self, *, activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[profile], Any] | None = None, record_shapes: bool = False,
        profile_memory: bool = False, with_stack: bool = False, with_flops: bool = False,
        with_modules: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        self.activities = set(ProfilerActivity) if activities is None else _activities(activities)
        self.schedule = schedule
        self.on_trace_ready = on_trace_ready
        self.record_shapes, self.profile_memory = record_shapes, profile_memory
        self.with_stack, self.with_flops = with_stack, with_flops
        self.step_num = 0
        self._metadata: dict[str, Any] = {}
        self._restart()

    def _restart(self) -> None:
        self._blocks: list[Block] = []
        self._watch = Watch(
            ops=ProfilerActivity.CPU in self.activities,
            device=bool(self.activities - {ProfilerActivity.CPU}),
            lines=self.with_stack,
            memory=self.profile_memory,
        )

    @property
    def current_action(self) -> ProfilerAction:
        """What the profile does in the present step."""
        return (
            ProfilerAction.RECORD_AND_SAVE
            if self.schedule is None
            else self.schedule(self.step_num)
        )

    def _note(self, block: Block) -> None:
        if self.current_action in _RECORDING:
            self._blocks.append(block)

    def _follow(self) -> None:
        """Record, or stop recording, as the present step asks."""
        if self.current_action in _RECORDING:
            self._watch.begin()
        else:
            self._watch.end()

    def start(self) -> None:
        """Begin, as entering the context does."""
        _OPEN.set((*_OPEN.get(), self))
        self._follow()
        self._begun = time.perf_counter()

    def stop(self) -> None:
        """End, as leaving the context does."""
        _OPEN.set(tuple([p for p in _OPEN.get() if p is not self]))
        self._watch.end()
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
        name = f"ProfilerStep#{self.step_num}"
        self._note(Block(name, self._begun, now - self._begun, get_ident()))
        ready = self.schedule is not None and self.current_action is ProfilerAction.RECORD_AND_SAVE
        if ready:
            self._watch.end()
        self.step_num += 1
        if ready:
            if self.on_trace_ready is not None:
                self.on_trace_ready(self)
                self._restart()
        self._follow()
        self._begun = time.perf_counter()

    def events(self) -> list[Event]:
        """Return all events in the order in which they began."""
        collect()
        return events_of(self._watch, self._blocks)

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, **kwargs: Any
    ) -> Averages:
        """Return the events by name, and by shapes and by lines if asked.

        Shapes need `record_shapes`, lines `with_stack`; ValueError is raised without. An op knows the line of
        the program that called it: a larger `group_by_stack_n` adds other lines that a kernel computes.
        """
        if group_by_input_shape and not self.record_shapes:
            raise ValueError("key_averages: grouping by shapes needs profile(record_shapes=True)")
        if group_by_stack_n and not self.with_stack:
            raise ValueError("key_averages: grouping by lines needs profile(with_stack=True)")
        out = averaged(self.events(), group_by_input_shape, group_by_stack_n, False)
        if group_by_input_shape:
            return self._told(out, True, bool(group_by_stack_n), "for what operands")

        def key(a: Allocation) -> tuple[str, tuple[str, ...]]:
            stack = (place(a.line),) if group_by_stack_n > 0 and a.line is not None else ()
            return a.op.partition(".")[0], stack

        self._count_memory(out, key)
        return self._told(out, False, bool(group_by_stack_n))

    def _repr_html_(self) -> str:
        """Return what notebooks show: the table of `key_averages()`."""
        return self.key_averages()._repr_html_()

    def kernels(self, group_by_stack_n: int = 0) -> Averages:
        """Return the kernels of devices by name: what was measured, undivided."""
        out = averaged(self.events(), False, group_by_stack_n, True)
        return self._told(out, False, bool(group_by_stack_n), "by which kernel")

    def lines(self) -> Averages:
        """Return time and memory by line of the program; needs `with_stack`, and raises ValueError without."""
        if not self.with_stack:
            raise ValueError("lines: the time by line needs profile(with_stack=True)")
        events = [e for e in self.events() if e.kind in ("op", "kernel")]
        for event in events:
            event.name = event.lines[0] if event.lines else NO_LINE
            event.shares = tuple([(line, 1 / len(event.lines)) for line in event.lines])
        out = averaged(events, False, 0, False)
        self._count_memory(out, lambda a: (NO_LINE if a.line is None else place(a.line), ()))
        return self._told(out, False, False)

    def _told(self, out: Averages, shapes: bool, stack: bool, unknown: str = "") -> Averages:
        """Say what the table shows; `unknown` is what is not known of allocations, which it leaves out then."""
        out.notes += tuple(sorted(self._watch.notes))
        out.with_memory, out.with_flops = self.profile_memory and not unknown, self.with_flops
        if self.profile_memory and unknown:
            out.notes += (f"memory is left out: it is not known {unknown} it was allocated",)
        out.with_shapes, out.with_stack = shapes, stack
        return out

    def _count_memory(
        self, out: Averages, key: Callable[[Allocation], tuple[str, tuple[str, ...]]]
    ) -> None:
        """Add the bytes of allocations to the rows that `key` names, by name and lines."""
        rows = {(row.key, row.stack): row for row in out}
        for a in self._watch.allocations:
            name, stack = key(a)
            row = rows.get((name, stack))
            if row is None:
                row = rows[name, stack] = Average(name, stack=stack)
                out.append(row)
            row.add_memory(a.device, a.nbytes)

    def memory_snapshot(self) -> MemoryReport:
        """Return what was allocated since the profile began and is alive, by op and line.

        What is recorded on devices is computed first. `memory_difference` compares two of them. Needs
        `profile_memory`, and that the profile is recording; ValueError is raised otherwise.
        """
        self._needs_memory("memory_snapshot")
        if not self._watch.active:
            raise ValueError(
                "memory_snapshot: the profile is not recording, so it knows nothing of what was freed"
            )
        finish_devices()
        alive = [a for a in self._watch.allocations if a.freed is None]
        return MemoryReport("memory in use", alive)

    def memory_peaks(self) -> dict[str, MemoryReport]:
        """Return for each device what was alive when the most bytes were; needs `profile_memory`."""
        self._needs_memory("memory_peaks")
        found = peaks(self._watch.allocations)
        return {d: MemoryReport(f"peak on {d}", alive) for d, (_, alive) in found.items()}

    def _needs_memory(self, name: str) -> None:
        if not self.profile_memory:
            raise ValueError(f"{name}: memory is counted by profile(profile_memory=True)")

    def add_metadata(self, key: str, value: str) -> None:
        """Write a text into the trace, under a key of its own."""
        self._metadata[key] = value

    def add_metadata_json(self, key: str, value: str) -> None:
        """Write a value that is given as JSON into the trace."""
        self._metadata[key] = json.loads(value)

    def export_stacks(
        self, path: str | os.PathLike[str], metric: str = "self_cpu_time_total"
    ) -> None:
        """Write microseconds by line for flame graphs: `file:line function;op time` on each line.

        `metric` is "self_cpu_time_total" or "self_cuda_time_total", which is the time of any device. Needs
        `with_stack`, and raises ValueError without.
        """
        rows = self.key_averages(group_by_stack_n=1) if self.with_stack else self.lines()
        if metric not in ("self_cpu_time_total", "self_cuda_time_total", "self_device_time_total"):
            raise ValueError(f"export_stacks: there is no metric {metric!r}")
        with open(path, "w", encoding="utf-8") as file:
            for row in rows:
                if took := round(getattr(row, metric)):
                    file.write(";".join((*row.stack, row.key)).replace(" ", "_") + f" {took}\n")

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the events as JSON for chrome://tracing and Perfetto; a path that ends in .gz is compressed."""
        traced = [_traced(e) for e in self.events()]
        text = json.dumps({**self._metadata, "traceEvents": traced})
        if os.fspath(path).endswith(".gz"):
            import gzip

            with gzip.open(path, "wt", encoding="utf-8") as file:
                file.write(text)
        else:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)


def _traced(event: Event) -> dict[str, Any]:
    kernel = event.kind == "kernel"
    facts: dict[str, Any] = {"flops": event.flops, "bytes": event.nbytes}
    if event.shapes:
        facts["Input Dims"] = [list(s) for s in event.shapes]
    if event.lines:
        facts["Lines"] = list(event.lines)
    if kernel:
        facts["ops"] = [name for name, _ in event.shares]
    return {
        "name": event.name, "cat": "kernel" if kernel else f"cpu_{event.kind}", "ph": "X",
        "ts": 1e6 * event.start, "dur": 1e6 * event.seconds, "pid": event.device if kernel else "host",
        "tid": 0 if kernel else event.thread, "args": facts,
    }  # fmt: skip


def tensorboard_trace_handler(
    dir_name: str, worker_name: str | None = None, use_gzip: bool = False
) -> Callable[[profile], None]:
    """Return what `on_trace_ready` takes to write each trace to a folder, as JSON; `use_gzip` compresses."""

    def write(prof: profile) -> None:
        os.makedirs(dir_name, exist_ok=True)
        name = f"{worker_name or 'worker'}.{time.time_ns() // 1_000_000}.pt.trace.json"
        prof.export_chrome_trace(os.path.join(dir_name, name + (".gz" if use_gzip else "")))

    return write

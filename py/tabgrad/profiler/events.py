"""Events of a profile, made of what was noted while it recorded: blocks, ops, work of the host, kernels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tabgrad.hosts.faults import where
from tabgrad.profiler import estimates
from tabgrad.profiler.watching import HostNote, OpNote, Run, Watch


class Event:
    """Something that took time: `kind` is "block", "op", "host" (other work of the host) or "kernel".

    `start` and `seconds` are those of the host's clock, `own` are its seconds without the events inside it. For
    a kernel they are the device's, and `shares` divides its seconds among the ops that it computes, by their
    estimated work; `whole` says that it was not measured by itself. `flops` and `nbytes` are estimates, `flops`
    None where nothing is known.
    """

    __slots__ = (
        "device", "flops", "kind", "lines", "name", "nbytes", "own", "seconds", "shapes", "shares", "start",
        "thread", "whole",
    )  # fmt: skip

    def __init__(
        self, kind: str, name: str, start: float, seconds: float, *, thread: int = 0, device: str = "cpu",
        shapes: Any = (), lines: Sequence[str] = (), flops: int | None = 0, nbytes: int = 0,
        shares: Sequence[tuple[str, float]] = (), whole: bool = False,
    ) -> None:  # fmt: skip
        self.kind, self.name, self.start, self.seconds, self.own = (
            kind,
            name,
            start,
            seconds,
            seconds,
        )
        self.thread, self.device, self.shapes, self.lines = thread, device, shapes, tuple(lines)
        self.flops, self.nbytes, self.shares, self.whole = flops, nbytes, tuple(shares), whole

    @property
    def key(self) -> str:
        """The name, as `key_averages` groups by it."""
        return self.name

    @property
    def cpu_time_total(self) -> float:
        """The microseconds of the host."""
        return 0.0 if self.kind == "kernel" else 1e6 * self.seconds

    @property
    def self_cpu_time_total(self) -> float:
        """The microseconds of the host without those of the events inside it."""
        return 0.0 if self.kind == "kernel" else 1e6 * self.own

    @property
    def device_time_total(self) -> float:
        """The microseconds of the device; those of `cpu` are the host's."""
        return 1e6 * self.seconds if self.kind == "kernel" else 0.0

    cuda_time_total = device_time_total
    cpu_time, device_time, cuda_time = cpu_time_total, device_time_total, device_time_total
    count = 1

    @property
    def input_shapes(self) -> list[list[int]]:
        """The shapes of an op's operands."""
        return [list(s) for s in self.shapes]

    @property
    def stack(self) -> list[str]:
        """The lines of the program that it belongs to."""
        return list(self.lines)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name!r}: {1e6 * self.seconds:.1f} us>"


def events_of(watch: Watch, blocks: Iterable[Any]) -> list[Event]:
    """Return all events in the order in which they began, with their own seconds."""
    host = [
        Event("block", b.name, b.start, b.seconds, thread=b.thread, lines=b.lines) for b in blocks
    ]
    host += [_op(OpNote._make(note)) for note in watch.ops]
    host += [_host(note) for note in watch.host]
    host.sort(key=lambda e: (e.start, -e.seconds))
    _subtract(host)
    kernels = [event for run in watch.runs for event in kernels_of(run)]
    return sorted([*host, *kernels], key=lambda e: e.start)


def _subtract(events: list[Event]) -> None:
    """Take from each event the seconds of those right inside it; they are in the order of their beginning."""
    open_: dict[int, list[Event]] = {}
    for event in events:
        above = open_.setdefault(event.thread, [])
        while above and above[-1].start + above[-1].seconds <= event.start:
            above.pop()
        if above:
            above[-1].own = max(above[-1].own - event.seconds, 0.0)
        above.append(event)


def _host(note: HostNote) -> Event:
    return Event("host", note.name, note.start, note.end - note.start, thread=note.thread)


def _op(note: OpNote) -> Event:
    operands = note.operands
    return Event(
        "op", note.op.name.partition(".")[0], note.start, note.end - note.start, thread=note.thread,
        device=str(note.device), shapes=tuple([tuple(s.shape) for s in operands]),
        lines=(place(note.line),) if note.line is not None else (),
        flops=estimates.flops(note.op, operands, note.spec),
        nbytes=estimates.traffic(note.op, operands, note.spec),
    )  # fmt: skip


_PLACES: dict[Any, str] = {}


def place(line: Any) -> str:
    """Write a recorded line as file:line, function."""
    found = _PLACES.get(line)
    if found is None:
        if len(_PLACES) > 4096:
            _PLACES.clear()
        found = _PLACES[line] = f"{where(line)} {line[0].co_name}"
    return found


def kernels_of(run: Run) -> list[Event]:
    """Return the kernels of a plan that ran, if they were measured."""
    plan, n = run.plan, len(run.plan.kernels)
    if run.times is None and run.whole is None:
        return []
    known = [_work(run, k) for k in plan.kernels]
    times = run.times
    if times is None:
        assert run.whole is not None
        weights = [sum(w for _, w in shares) or 1.0 for _, _, shares in known]
        total, at, times = sum(weights), 0.0, []
        for weight in weights:
            seconds = run.whole * weight / total
            times.append((at, seconds))
            at += seconds
    out = []
    for i in range(n):
        flops, nbytes, shares = known[i]
        weight = sum(w for _, w in shares)
        start, seconds = times[i]
        lines = [place(x) for x in (run.lines[i] if run.lines else ()) if x is not None]
        out.append(
            Event(
                "kernel", plan.kernels[i].label, run.start + start, seconds, thread=run.thread,
                device=run.device, lines=tuple(dict.fromkeys(lines)), flops=flops, nbytes=nbytes,
                shares=[(name, w / weight) for name, w in shares], whole=run.whole is not None and n > 1,
            )
        )  # fmt: skip
    return out


def _work(run: Run, kernel: Any) -> tuple[int | None, int, list[tuple[str, float]]]:
    """Return a kernel's estimated operations and bytes, and the work of each op in it."""
    work: dict[str, float] = {}
    if run.raw is None:
        return None, 0, [(name, 1.0) for name in kernel.ops or (kernel.label,)]
    for k in kernel.origins:
        if k < 0:
            continue
        op, _, sources, spec = run.raw[k]
        if op is not None and op.family not in ("view", "constant"):
            operands = [run.raw[s][3] for s in sources]
            name = op.name.partition(".")[0]
            one = estimates.flops(op, operands, spec) or spec.size or 1
            work[name] = work.get(name, 0.0) + one
    flops, nbytes = estimates.of_kernel(run.raw, kernel.origins, max(kernel.turn[1], 1))
    shares = list(work.items()) or [(name, 1.0) for name in kernel.ops or (kernel.label,)]
    return flops, nbytes, shares

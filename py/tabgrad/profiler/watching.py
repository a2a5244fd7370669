"""What is put around ops, plans and buffers while a profile records, and taken away again when none does.

A profile costs nothing while it is off, because nothing in the way of an op asks for it: methods of the
backends are replaced when the first profile begins to record, and restored when the last one ends.
"""

from __future__ import annotations

import struct
import weakref
from collections.abc import Callable
from threading import get_ident
from time import perf_counter
from typing import Any, NamedTuple

from tabgrad.core.errors import HostError, user_frame
from tabgrad.hosts import reference
from tabgrad.hosts.answers import TIMEOUT, Answers
from tabgrad.hosts.chains import Chain
from tabgrad.hosts.commands import TIMERS
from tabgrad.hosts.device import DeviceBackend
from tabgrad.hosts.devices import backend_class
from tabgrad.hosts.pool import Buffer, Pool
from tabgrad.hosts.reference import NumPyBackend
from tabgrad.hosts.replay import Stored
from tabgrad.profiler.live import Allocation

MANY = 512
"""How many plans may wait for their times before they are read."""


class OpNote(NamedTuple):
    """An op that was computed on `cpu`, or recorded on a device."""

    start: float
    end: float
    thread: int
    op: Any
    operands: Any
    spec: Any
    line: Any
    device: str


class HostNote(NamedTuple):
    """Work of the host that belongs to no op: making a plan, submitting, waiting."""

    start: float
    end: float
    thread: int
    name: str


class Run:
    """A plan that ran: its kernels' (seconds from the first, seconds), or the seconds of all together."""

    def __init__(self, backend: Any, stored: Stored, raw: Any, lines: Any, start: float) -> None:
        self.device = str(backend.device)
        self.plan, self.raw, self.lines, self.start = stored.plan, raw, lines, start
        self.thread = get_ident()
        self.backend = backend
        self.token = 0
        self.times: list[tuple[float, float]] | None = None
        self.whole: float | None = None


class Watch:
    """What one profile collects while it records."""

    def __init__(self, *, ops: bool, device: bool, lines: bool, memory: bool) -> None:
        self.with_ops, self.with_device = ops, device
        self.with_lines, self.with_memory = lines, memory
        self.ops: list[Any] = []
        """Tuples that are OpNotes: making those would take longer than many an op."""
        self.host: list[HostNote] = []
        self.runs: list[Run] = []
        self.allocations: list[Allocation] = []
        self.notes: set[str] = set()

    @property
    def active(self) -> bool:
        """Whether it collects."""
        return self in ACTIVE

    def begin(self) -> None:
        """Collect from now on; what devices have recorded before is computed, and is not part of it."""
        if self not in ACTIVE:
            if self.with_device:
                finish_devices()
            ACTIVE.append(self)
            _settle()

    def end(self) -> None:
        """Collect no more, and read the times that devices have measured."""
        if self in ACTIVE:
            try:
                if self.with_device:
                    finish_devices()
                collect()
            finally:
                ACTIVE.remove(self)
                _settle()


ACTIVE: list[Watch] = []
_SINKS: list[Callable[[Any], None]] = []
"""What takes notes of ops."""


class _Wanted:
    """What any of the active profiles wants."""

    lines = memory = device = False


_ORIGINALS: list[tuple[Any, str, Any]] = []
_WAITING: list[Run] = []
_LIVE: dict[Any, Allocation] = {}
_NOW: dict[int, Any] = {}
"""Lines of the kernels of plans, by the plan's number: those of the call that runs it next."""
_RAW: weakref.WeakKeyDictionary[Stored, Any] = weakref.WeakKeyDictionary()


def _settle() -> None:
    _Wanted.lines = any(w.with_lines or w.with_memory for w in ACTIVE)
    _Wanted.memory = any(w.with_memory for w in ACTIVE)
    _SINKS[:] = [w.ops.append for w in ACTIVE if w.with_ops]
    _Wanted.device = any(w.with_device for w in ACTIVE)
    if ACTIVE and not _ORIGINALS:
        _install()
    elif not ACTIVE:
        _WAITING.clear()
        while _ORIGINALS:
            owner, name, original = _ORIGINALS.pop()
            setattr(owner, name, original)
        _LIVE.clear()
        _NOW.clear()


def _replace(owner: Any, name: str, around: Callable[[Any], Any]) -> None:
    original = owner.__dict__.get(name)
    if original is not None:
        _ORIGINALS.append((owner, name, original))
        setattr(owner, name, around(original))


def _install() -> None:
    _replace(NumPyBackend, "run", _around_numpy)
    _replace(DeviceBackend, "run", _around_recording)
    _replace(Chain, "__call__", _around_chain)
    _replace(Stored, "run", _around_plan)
    _replace(DeviceBackend, "realise", _around_realise)
    _replace(DeviceBackend, "lowered", _around_host("[make a plan]"))
    _replace(Answers, "wait", _around_host("[wait for the device]"))
    _replace(Answers, "read", _around_host("[read a value]"))
    for kind in {DeviceBackend, backend_class()}:
        _replace(kind, "submit", _around_host("[submit]"))
        _replace(kind, "prepare", _around_prepare)
    _replace(Pool, "take", _around_take)
    _replace(Buffer, "__del__", _around_drop)


def _line(above: int) -> Any:
    if not _Wanted.lines:
        return None
    frame = user_frame(above)
    return None if frame is None else (frame.f_code, frame.f_lasti)


def _around_numpy(original: Any) -> Any:
    def run(self: Any, op: Any, values: Any, specs: Any, params: Any) -> Any:
        start = perf_counter()
        out = original(self, op, values, specs, params)
        end = perf_counter()
        line = _line(3) if _Wanted.lines else None
        for note in _SINKS:
            note((start, end, get_ident(), op, specs, out[1], line, "cpu"))
        if _Wanted.memory:
            _note_array(out[0], values, op.name, out[1], line)
        return out

    return run


def _around_recording(original: Any) -> Any:
    def run(self: Any, op: Any, values: Any, specs: Any, params: Any) -> Any:
        start = perf_counter()
        out = original(self, op, values, specs, params)
        end = perf_counter()
        line = _line(3) if _Wanted.lines else None
        for note in _SINKS:
            note((start, end, get_ident(), op, specs, out[1], line, self.device))
        return out

    return run


def _around_chain(original: Any) -> Any:
    def call(self: Any, operands: Any) -> Any:
        steps, line = self.steps, _line(3)
        timed = [
            (_timed_step(step, told, line), *step[1:])
            for step, told in zip(steps, self.told, strict=True)
        ]
        twin = object.__new__(Chain)
        twin.run = False
        twin.constants, twin.steps, twin.results = self.constants, timed, self.results
        return original(twin, operands)

    return call


def _timed_step(step: Any, told: Any, line: Any) -> Any:
    body, (op, specs, spec) = step[0], told

    def timed(*values: Any) -> Any:
        start = perf_counter()
        y = body(*values)
        if op is not None:
            end = perf_counter()
            for note in _SINKS:
                note((start, end, get_ident(), op, specs, spec, line, "cpu"))
            if _Wanted.memory and isinstance(y, reference.array):
                _note_array(y, values, op.name, spec, line)
        return y

    return timed


def _around_host(name: str) -> Callable[[Any], Any]:
    def around(original: Any) -> Any:
        def work(self: Any, *args: Any, **kwargs: Any) -> Any:
            start = perf_counter()
            try:
                return original(self, *args, **kwargs)
            finally:
                note = HostNote(start, perf_counter(), get_ident(), name)
                for w in ACTIVE:
                    if w.with_ops:
                        w.host.append(note)

        return work

    return around


# -- plans and their kernels ---------------------------------------------------------------------


def _around_prepare(original: Any) -> Any:
    def prepare(
        self: Any, order: Any, wanted: Any, often: bool = False, dynamic: Any = None
    ) -> Any:
        out = original(self, order, wanted, often, dynamic)
        if _Wanted.lines and not often:
            line = self.graph.line
            _NOW[id(out[0])] = [
                [line[order[k]] for k in kernel.origins if k >= 0] for kernel in out[0].plan.kernels
            ]
        return out

    return prepare


class _Timed:
    """Stands for the encoder of a device: a replay asks for times."""

    def __init__(self, encoder: Any, token: int) -> None:
        self.encoder, self.token = encoder, token

    @property
    def clock(self) -> int:
        """The number of the next command."""
        return int(self.encoder.clock)

    def replay(self, list_id: int, slots: Any, patches: Any) -> None:
        """Add a TimedReplay."""
        self.encoder.timed_replay(self.token, list_id, slots, patches)


def _around_plan(original: Any) -> Any:
    def run(self: Stored, encoder: Any, pool: Any, inputs: Any, values: Any) -> Any:
        backend = pool.backend
        lines = _NOW.pop(id(self), None) or self.lines
        made = Run(backend, self, _raw(backend, self), lines, perf_counter())
        if not _Wanted.device or not self.plan.kernels:
            outputs = original(self, encoder, pool, inputs, values)
        elif not backend.host.can_block():
            outputs = original(self, encoder, pool, inputs, values)
            _say("Python can't wait for the device here, so kernels are not measured")
        elif TIMERS in backend.host.hello.features:
            made.token = backend.next
            backend.next += 1
            outputs = original(self, _Timed(encoder, made.token), pool, inputs, values)
            _WAITING.append(made)
        else:
            outputs = _by_wall(original, self, backend, inputs, values, made)
        for w in ACTIVE:
            w.runs.append(made)
        if _Wanted.memory:
            _name_outputs(self, pool, outputs, lines)
        if len(_WAITING) >= MANY:
            collect()
        return outputs

    return run


def _by_wall(original: Any, stored: Any, backend: Any, inputs: Any, values: Any, made: Run) -> Any:
    """Run a plan alone on the device, between two waits."""
    _say(
        "the device has no timers: each plan ran alone, and its wall time is divided among its kernels"
    )
    backend.submit_pending()
    backend.host.synchronize(TIMEOUT)
    start = perf_counter()
    outputs = original(stored, backend.encoder, backend.pool, inputs, values)
    backend.submit_pending()
    backend.host.synchronize(TIMEOUT)
    made.whole = perf_counter() - start
    return outputs


def _say(text: str) -> None:
    for w in ACTIVE:
        w.notes.add(text)


def _raw(backend: Any, stored: Stored) -> Any:
    """Return the nodes that a plan was made of; None if they are forgotten."""
    if stored not in _RAW:
        for key, known in backend.plans.items():
            _RAW[known] = key[0]
        _RAW.setdefault(stored, None)
    return _RAW[stored]


def finish_devices() -> None:
    """Let the devices compute and send what is recorded, so that it belongs to what went before."""
    from tabgrad.hosts.devices import connected

    for device in connected():
        if device.recorder is not None and device.recorder.host.can_block():
            device.recorder.flush_all()


def collect() -> None:
    """Read the times of the plans that ran."""
    while _WAITING:
        run = _WAITING.pop(0)
        host = run.backend.host
        try:
            run.backend.submit_pending()
            data = host.read(run.token, TIMEOUT)
        except HostError:
            _say("the times of a plan that failed are missing")
            continue
        ticks = struct.unpack(f"<{len(data) // 8}Q", data)
        first = min(ticks, default=0)
        # a driver may stop its clock between two passes
        run.times = [
            (1e-9 * (a - first), 1e-9 * max(b - a, 0))
            for a, b in zip(ticks[::2], ticks[1::2], strict=True)
        ]


# -- memory --------------------------------------------------------------------------------------


def _owner(array: Any) -> Any:
    while type(array.base) is reference.array:
        array = array.base
    return array


def _keep(key: Any, allocation: Allocation) -> None:
    _LIVE[key] = allocation
    for w in ACTIVE:
        if w.with_memory:
            w.allocations.append(allocation)


def _note_array(array: Any, values: Any, op: str, spec: Any, line: Any) -> None:
    """Note an array that an op has made; one that is a view of an operand takes no memory."""
    root = _owner(array)
    key = id(root)
    if key in _LIVE or any(type(v) is reference.array and _owner(v) is root for v in values):
        return
    made = Allocation("cpu", root.nbytes, op, spec, line, perf_counter())

    def freed(_: object) -> None:
        made.freed = perf_counter()
        if _LIVE.get(key) is made:
            del _LIVE[key]

    made.ref = weakref.ref(root, freed)
    _keep(key, made)


def _around_take(original: Any) -> Any:
    def take(self: Any, nbytes: int) -> Any:
        buffer = original(self, nbytes)
        if _Wanted.memory:
            name = str(self.backend.device)
            made = Allocation(name, buffer.nbytes, "data", None, _line(3), perf_counter())
            _keep((id(self), buffer.id), made)
        return buffer

    return take


def _around_drop(original: Any) -> Any:
    def drop(self: Any) -> None:
        if self.pool is not None:
            known = _LIVE.pop((id(self.pool), self.id), None)
            if known is not None:
                known.freed = perf_counter()
        original(self)

    return drop


def _name_outputs(stored: Stored, pool: Any, outputs: Any, lines: Any) -> None:
    """Say of a plan's buffers which ops fill them; a plan that is replayed knows the lines of its capture."""
    writer: dict[int, int] = {}
    for i, kernel in enumerate(stored.plan.kernels):
        for slot, letter in zip(kernel.slots, kernel.bindings, strict=False):
            if letter == "w":
                writer[slot] = i
    specs = {slot: spec for slot, _, spec in stored.plan.outputs}
    for slot, buffer in outputs.items():
        known = _LIVE.get((id(pool), buffer.id))
        if known is None:
            continue
        i = writer.get(slot, -1)
        known.op, known.spec = stored.plan.kernels[i].label if i >= 0 else "plan", specs.get(slot)
        its = [line for line in (lines[i] if i >= 0 and lines else ()) if line is not None]
        known.line = its[-1] if its else None


def _around_realise(original: Any) -> Any:
    def realise(self: Any, wanted: Any, plan: Any, outputs: Any) -> Any:
        if _Wanted.memory:
            for node, (slot, _, spec) in zip(wanted, plan.outputs, strict=True):
                known = _LIVE.get((id(self.pool), outputs[slot].id))
                if known is not None and self.graph.op[node] is not None:
                    known.op, known.spec = self.graph.op[node].name, spec
                    known.line = self.graph.line[node]
        return original(self, wanted, plan, outputs)

    return realise

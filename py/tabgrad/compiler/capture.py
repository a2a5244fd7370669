"""Records what a call does to tensors, gradients and random numbers while it is captured."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from tabgrad.compiler.state import State
from tabgrad.core.errors import CaptureError, user_frame, warn
from tabgrad.core.graph import Value
from tabgrad.core.trace import Box, wrap
from tabgrad.dispatch import REMEMBERED
from tabgrad.hosts.devices import connected
from tabgrad.tensor.aliasing import Storage

if TYPE_CHECKING:
    from tabgrad.compiler.call_watch import CallWatch
    from tabgrad.core.spec import Spec
    from tabgrad.hosts.device import DeviceBackend
    from tabgrad.hosts.devices import Device
    from tabgrad.tensor import Tensor


Counts: TypeAlias = "dict[str, Any]"


class Refused(Exception):
    """A replay would not do what the call does; the text says why."""


class Capture:
    """The record of a call that is being captured."""

    def __init__(self, state: State, name: str, fullgraph: bool) -> None:
        self.state = state
        self.name = name
        self.fullgraph = fullgraph
        self.active = True
        self.reason: str | None = None
        self.reads: dict[int, tuple[Tensor, Any]] = {}
        self.events: list[tuple[Any, Callable[[], Any]]] = []
        self.guards: list[tuple[Callable[[], object], object]] = []
        self.grads: dict[int, tuple[Box, Tensor | None]] = {}
        self.fresh: dict[int, Callable[[], Box | None]] = {}
        self.cleared: set[int] = set()
        self.writes: dict[int, Callable[[], Box | None]] = {}
        self.stored: dict[int, Storage] = {}
        self.inside: dict[int, Callable[[], Box | None]] = {}
        self.uploads: list[tuple[Callable[[list[Any]], Any], Any]] = []
        self.moved: dict[int, int] = {}
        self.counts: dict[int, tuple[Counts, Counts]] = {}
        self.moves: dict[int, Counts] = {}
        self.follows: list[Callable[[], None]] = []
        self.undo: list[Callable[[], None]] = []
        self.behind: list[tuple[Box, str]] = []
        self.watch: CallWatch | None = None
        self.starts = {
            recorder.graph: recorder.graph.count
            for device in connected()
            if (recorder := device.recorder) is not None
        }

    def backend(self) -> DeviceBackend:
        """Return the backend that runs the call's ops. Raises Refused for the CPU, or several devices."""
        devices = {x.device for x, _ in self.reads.values() if x.owner is None}
        recorders = [d.recorder for d in devices if d.recorder is not None]
        if not recorders:
            raise Refused(
                "uses no tensor of a device that records: on the CPU a call runs as it is"
            )
        if len(devices) > 1:
            raise Refused(f"uses tensors of {' and '.join(sorted(map(str, devices)))}")
        return recorders[0]

    # -- what cannot be repeated -------------------------------------------------------------------

    def refuse(self, reason: str) -> None:
        """Give up the capture, for a reason: a replay would not do what the call does."""
        self.reason = self.reason or reason

    def read(self, what: str) -> None:
        """Continue without a capture, because a value is read: PyTorch's graph break.

        One warning per function names the line. Raises CaptureError for `fullgraph`.
        """
        if not self.active:
            return
        where = user_line()
        if self.fullgraph:
            raise CaptureError(
                f"{what}: {where} reads a value inside {self.name}, compiled with fullgraph=True: the replay "
                "would not read it again. Return the tensor and read it outside"
            )
        self.active = False
        if self.watch is not None:
            self.watch.on = False
        self.refuse(f"reads a value ({what}) at {where}")

    # -- tensors -----------------------------------------------------------------------------------

    def note(self, args: tuple[Tensor, ...]) -> None:
        """Note base tensors with their values, before an op reads them or a write changes them.

        Values that were computed since the capture began are no inputs.
        """
        reads = self.reads
        for a in args:
            if id(a) in reads or a._version == REMEMBERED:
                continue
            if id(a) in self.inside and self.inside[id(a)]() is a:
                continue
            value = a.value
            if not isinstance(value, Value) or value.graph.serial[value.id] <= self.starts.get(
                value.graph, 0
            ):
                reads[id(a)] = (a, value)

    def adopt(self, x: Tensor) -> None:
        """Note a constant, made as state, as if it existed before the call: replays need the same number."""
        self.reads[id(x)] = (x, x.value)

    def note_sibling(self, x: Tensor, y: Tensor) -> None:
        """Note that the call makes `y`, which shares the storage of `x`, and so is no further input."""
        self.note((x,))
        # by weak reference: a later tensor may get the id of a dead one
        self.inside[id(y)] = weakref.ref(y)

    def note_write(self, x: Tensor) -> None:
        """Note a tensor before it is written."""
        self.note((x,))
        # by weak reference: a later tensor may get the id of a dead one
        self.writes[id(x)] = weakref.ref(x)
        if x.alias.__class__ is Storage:
            self.stored[id(x.alias)] = x.alias
        if id(x) not in self.reads:
            self.fresh[id(x)] = weakref.ref(x)

    def written(self, x: Box, old: object) -> bool:
        """Whether the call has written to `x`, which had the value `old`, possibly the same value again."""
        if x.value is not old or id(x.alias) in self.stored:
            return True
        ref = self.writes.get(id(x))
        return ref is not None and ref() is x

    def depend(self, value: object, path: str) -> None:
        """Note state that the call depends on, although no name in a user's code leads to it."""
        self.state.reach(value, path)

    def note_grad(self, x: Box, cleared: bool = False) -> None:
        """Note a tensor with its gradient, before its `.grad` is read or set.

        Unless the call begins by clearing it, a replay requires a gradient if there was one, and none if not.
        """
        if id(x) not in self.grads:
            self.grads[id(x)] = (x, x._grad)
            if cleared:
                self.cleared.add(id(x))

    def uploaded(self, source: object, y: Tensor, again: Callable[[Any], Any]) -> None:
        """Note that `y` has the numbers of an argument (an array or a CPU tensor); `again` uploads them."""
        origin = getattr(source, "origin", None)
        index = self.moved.get(id(source)) if origin is None else origin.index
        if index is None:
            if isinstance(source, Box):
                self.refuse("moves a tensor of the CPU to the device: move it outside, or pass it")
            return
        self.uploads.append((lambda args: again(args[index]), y.value))

    # -- numbers and Python state ------------------------------------------------------------------

    def live_scalar(
        self, getter: Callable[[], complex], spec: Spec, device: Device, moves: Counts | None
    ) -> Tensor:
        """Make a constant whose value each replay gets again from `getter`, which changes `moves`."""
        if moves is not None:
            self.moves[id(moves)] = moves
        x = wrap(device.backend.constant(getter(), spec), spec, device)
        self.events.append((x.value, getter))
        return x

    def on_replay(
        self, change: Callable[[], None], counts: Counts | None, follows: bool, moves: Counts | None
    ) -> None:
        """Note a change of Python state: of `counts` or `moves`, or one that only follows from such dicts."""
        if moves is not None:
            self.moves[id(moves)] = moves
        if follows:
            self.follows.append(change)
        if counts is not None:
            self.counts.setdefault(id(counts), (counts, dict(counts)))
        self.events.append((None, change))

    def guard(self, getter: Callable[[], object]) -> None:
        """Note a value on which the capture depends."""
        self.guards.append((getter, getter()))

    def warn(self, seen: set[str]) -> None:
        """Warn that a value was read, once per function."""
        if not self.active and self.name not in seen:
            seen.add(self.name)
            warn(
                f"tabgrad.compile: {self.name} {self.reason}, so it runs as it is; return the tensor and read "
                "it outside, or compile with fullgraph=True to have this raise",
            )


def user_line() -> str:
    """Format file and line of the innermost frame outside tabgrad."""
    frame = user_frame(2)
    return "?" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"

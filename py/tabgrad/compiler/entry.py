"""One captured call: its guards, the sources of its inputs, and the places of its outputs."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from tabgrad.compiler.capture import Capture, Refused
from tabgrad.compiler.python_values import array_bytes
from tabgrad.compiler.results import Place, Places
from tabgrad.compiler.rollback import put_back, take_back
from tabgrad.core import tree
from tabgrad.core.interrupts import uninterruptible
from tabgrad.core.trace import Box
from tabgrad.hosts.replayable import Replayable
from tabgrad.tensor.aliasing import View, replace, root_of
from tabgrad.transforms.node import is_leaf

if TYPE_CHECKING:
    from collections.abc import Callable

    from tabgrad.compiler.rollback import Changes
    from tabgrad.core.graph import Graph
    from tabgrad.hosts.device import DeviceBackend
    from tabgrad.lower.dynamic import Dynamic


class Entry:
    """One captured call. The constructor raises Refused if a replay would not do what the call does."""

    def __init__(
        self, capture: Capture, backend: DeviceBackend, args: list[Any], result: object,
        sharing: Dynamic | None = None,
    ) -> None:  # fmt: skip
        self.state = capture.state
        self.guards = capture.guards
        self.events = list(capture.events)
        self.follows = capture.follows
        self.counts = [its for its, _ in capture.counts.values()]
        self.moves = list(capture.moves.values())
        self.arrays: list[tuple[int, bytes]] = []
        bring_up_to_date(capture)
        check_history(capture, args)
        leaves, self.structure = tree.flatten(result)
        places = Places(capture, backend, args)
        self.results = [places.of(x) if isinstance(x, Box) else x for x in leaves]
        self.written = [
            (places.find(x), places.target(x))
            for x, old in capture.reads.values()
            if x.owner is None and x.device.backend is backend and capture.written(x, old)
            and x.alias.__class__ is not View
        ]  # fmt: skip
        self.grads = [
            (places.find(x), None if x._grad is None else places.of(x._grad))
            for x, old in capture.grads.values()
            if (x._grad is not old and places.lasts(x)) or (x._grad is None and id(x) in capture.cleared)
        ]  # fmt: skip
        # found anew at each call, because another argument may have a gradient or none
        self.has_grad = [
            (places.find(x), old is not None)
            for x, old in capture.grads.values()
            if id(x) not in capture.cleared
        ]
        places.check_kept()
        places.check_behind()
        self.makers = places.makers
        self.apart = places.apart() if self.written else None
        self.state.seal()
        self.reached = {id(x): k for k, x in enumerate(self.state.seen)}
        self.met = self.meets(args)
        sources = places.sources()
        targets = [t.value for t in places.targets]
        capture.reads.clear()
        capture.grads.clear()
        places.forget()
        events = [v for v, _ in self.events]
        if any(v is not None and v.graph is not backend.graph for v in (*targets, *events)):
            raise Refused("hands out a tensor of a device that was lost")
        start = capture.starts.get(backend.graph, 0)
        if recorded_before(backend.graph, start, [t.id for t in targets]):
            raise Refused("uses what another thread has recorded and not yet computed")
        self.plan = Replayable(backend, targets, sources, events, sharing)
        # ids of objects are needed only for the capture
        self.state.known.clear()
        if not self.plan.keep_lasting() or self.plan.unexplained(start):
            raise Refused("reads a tensor of an earlier call that nothing leads to")

    @property
    def dispatches(self) -> int:
        """The number of kernels in a replay."""
        return self.plan.stored.dispatches if self.plan.stored is not None else 0

    def words(self) -> list[str]:
        """Describe what is compared besides the Python state."""
        texts = [f"argument {i} has the same numbers" for i, _ in self.arrays]
        if self.guards:
            texts.append(f"{len(self.guards)} options of optimizers are as they were")
        if self.has_grad:
            texts.append(f"{len(self.has_grad)} tensors have a gradient or have none, as they did")
        return texts

    def differs(self, args: list[Any]) -> tuple[str, str] | None:
        """Return what has changed since the capture, and how; None if nothing has."""
        if not all([getter() == value for getter, value in self.guards]):
            return "an optimizer's options", "have changed"
        if not all(
            [(getattr(find(args), "_grad", None) is not None) is has for find, has in self.has_grad]
        ):
            return "a gradient", "is there now and was not, or is gone"
        if self.meets(args) != self.met:
            return (
                "an argument",
                "is, or is no more, a tensor that the function also reaches itself",
            )
        if not self.state.holds():
            return self.state.broken() or ("the state", "changed while it was compared")
        for i, content in self.arrays:
            if array_bytes(args[i]) != content:
                return f"argument {i}, a NumPy array whose numbers Python reads,", "has changed"
        return None

    def meets(self, args: list[Any]) -> list[Any]:
        """Return which tensors that the function reaches are also arguments, or their bases or gradients."""
        find = self.reached.get
        return [
            find(id(y))
            for x in args
            if isinstance(x, Box)
            for y in (x, x.alias.base if x.alias.__class__ is View else None, x._grad)
        ]

    def replay(self, args: list[Any]) -> Any:
        """Replay the call on new arguments; return (result,), or None if the form of a tensor differs."""
        backend = self.plan.backend
        with backend.lock:
            found = self._replay(args)
            if backend.reads_ahead.due:
                backend.reads_ahead.due = False
                backend.submit_pending()
            return found

    def _replay(self, args: list[Any]) -> Any:
        if self.apart is not None and not self.apart(args):
            return None
        if not self.plan.bind(args):
            return None
        backend = self.plan.backend
        # the packet of this run is delayed, so that the next read or runs can share it
        backend.submit_held()
        counts = [(its, dict(its)) for its in self.counts]
        moves = [(its, dict(its)) for its in self.moves]
        back = functools.partial(put_back, counts, self.follows)
        written: list[tuple[Any, Any]] = []
        cleared: list[tuple[Any, Any]] = []
        try:
            return self._perform(args, back, written, cleared)
        except BaseException:
            take_back(written, cleared)
            put_back(moves, [back])
            raise

    @uninterruptible
    def _perform(
        self, args: list[Any], back: Callable[[], None], written: Changes, cleared: Changes
    ) -> tuple[Any]:
        """Run the plan and hand out what it computes; note in two lists the values and gradients that go."""
        values = self.plan.run([fn() for _, fn in self.events])
        targets = [(find(args), k) for find, k in self.written]
        self.plan.backend.remember(
            [x for x, _ in targets if x is not None], replace, self.counts, back
        )
        for x, k in targets:
            if x is not None:
                written.append((x, x.value))
                replace(x, values[k])
        made: list[Any] = []
        for make in self.makers:
            made.append(make(args, values, made))
        for find, place in self.grads:
            x = find(args)
            if x is not None:
                cleared.append((x, x._grad))
                x._grad = None if place is None else made[place.number]
        results = [made[x.number] if isinstance(x, Place) else x for x in self.results]
        return (tree.unflatten(self.structure, results),)


def bring_up_to_date(capture: Capture) -> None:
    """Refresh tensors after writes through a detached sibling.

    This is a separate function, so that no local variable of the caller keeps a tensor of the call alive.
    """
    for x, _ in capture.reads.values():
        if x.alias is not None:
            x.alias.refresh(x)


def check_history(capture: Capture, args: list[Any]) -> None:
    """Raise Refused if derivatives flow out of the call, or if it writes to an argument that is a view."""
    given = {id(x) for x in args if isinstance(x, Box)}
    below = {id(root_of(x)) for x in args if isinstance(x, Box) and x.alias.__class__ is View}
    for x, path, _ in capture.state.tensors:
        if id(x) in given:
            raise Refused(f"gets {path} as an argument, which it also reads itself")
    # even if a gradient is cleared again, or added to in place, derivatives have flowed
    changes = bool(capture.grads)
    cleared = [xy for xy in capture.grads.values() if id(xy[0]) in capture.cleared]
    if any([old is not None and x._grad is old for x, old in cleared]):
        raise Refused("clears a gradient and sets it again")
    for x, old in capture.reads.values():
        written = capture.written(x, old)
        if x.tracked and not is_leaf(x) and (written or changes):
            raise Refused("uses a tensor from outside that has a history of derivatives")
        if written and (id(x) in below or (id(x) in given and x.alias.__class__ is View)):
            raise Refused("writes to an argument that is a view: pass its base")


def recorded_before(graph: Graph, start: int, roots: list[int]) -> bool:
    """Whether the roots depend on ops that were recorded up to serial `start` and have no value yet."""
    return any(
        op is not None and op.family not in ("view", "constant") and 0 < graph.serial[i] <= start
        for i in graph.ancestors(roots)
        for op in (graph.op[i],)
    )

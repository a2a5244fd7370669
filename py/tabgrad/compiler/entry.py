"""One captured call: what it depends on, where its inputs come from, what becomes of its outputs."""

from __future__ import annotations

from typing import Any

from tabgrad.compiler.capture import Capture, Refused
from tabgrad.compiler.kinds import array_bytes
from tabgrad.compiler.results import Place, Places
from tabgrad.core import tree
from tabgrad.core.trace import Box
from tabgrad.functions.aliasing import View, replace
from tabgrad.hosts.captured import Replayable
from tabgrad.transforms.tape import is_leaf


class Entry:
    """One captured call. Raises Refused where a replay would not be the call."""

    def __init__(
        self, capture: Capture, backend: Any, args: list[Any], result: Any, sharing: Any = None
    ) -> None:
        self.backend = backend
        self.state = capture.state
        self.guards = capture.guards
        self.events = list(capture.events)
        self.arrays: list[tuple[int, bytes]] = []
        for x, _ in capture.reads.values():
            # what was written through a detached sibling has not reached the tensor itself yet
            if x.alias is not None:
                x.alias.refresh(x)
        check_history(capture, args)
        leaves, self.structure = tree.flatten(result)
        places = Places(capture, backend, args)
        self.results = [places.of(x) if isinstance(x, Box) else x for x in leaves]
        self.written = [
            (places.find(x), places.target(x))
            for x, old in capture.reads.values()
            if x.owner is None and x.device.backend is backend and x.value is not old
            and x.alias.__class__ is not View
        ]  # fmt: skip
        self.grads = [
            (places.find(x), None if x._grad is None else places.of(x._grad))
            for x, old in capture.grads.values() if x._grad is not old and places.lasts(x)
        ]  # fmt: skip
        places.check_kept()
        self.makers = places.makers
        self.apart = places.apart() if self.written else None
        self.state.seal()
        sources = places.sources()
        targets = [t.value for t in places.targets]
        capture.reads.clear()
        capture.grads.clear()
        places.forget()
        self.plan = Replayable(backend, targets, sources, [v for v, _ in self.events], sharing)
        if not self.plan.settle():
            raise Refused("reads a tensor that it has made itself in an earlier call")

    @property
    def dispatches(self) -> int:
        """How many kernels a replay runs."""
        return self.plan.stored.dispatches if self.plan.stored is not None else 0

    def words(self) -> list[str]:
        """Return what is compared beside the Python state."""
        texts = [f"argument {i} has the same numbers" for i, _ in self.arrays]
        if self.guards:
            texts.append(f"{len(self.guards)} options of optimizers and gradients are as they were")
        return texts

    def differs(self, args: list[Any]) -> tuple[str, str] | None:
        """Return what a replay would miss: a state that has changed, and how; None where nothing has."""
        if not all([getter() == value for getter, value in self.guards]):
            return "an optimizer's options or gradients", "have changed"
        if not self.state.holds():
            return self.state.broken() or ("the state", "changed while it was compared")
        for i, content in self.arrays:
            if array_bytes(args[i]) != content:
                return f"argument {i}, a NumPy array whose numbers Python reads,", "has changed"
        return None

    def replay(self, args: list[Any]) -> Any:
        """Run the captured call on new arguments; None where tensors have taken another form."""
        if self.apart is not None and not self.apart(args):
            return None
        if not self.plan.bind(args):
            return None
        numbers = [fn() for _, fn in self.events]
        values = self.plan.run(numbers)
        for find, k in self.written:
            x = find(args)
            if x is not None:
                replace(x, values[k])
        made: list[Any] = []
        for make in self.makers:
            made.append(make(args, values, made))
        for find, place in self.grads:
            x = find(args)
            if x is not None:
                x._grad = None if place is None else made[place.number]
        results = [made[x.number] if isinstance(x, Place) else x for x in self.results]
        return (tree.unflatten(self.structure, results),)


def check_history(capture: Capture, args: list[Any]) -> None:
    """Raise Refused where derivatives would flow out of the call, or an argument that is a view is written."""
    given = {id(x) for x in args if isinstance(x, Box)}
    for x, path, _ in capture.state.tensors:
        if id(x) in given:
            raise Refused(f"gets {path} as an argument, which it also reads itself")
    changes = any([x._grad is not old for x, old in capture.grads.values()])
    for x, old in capture.reads.values():
        written = x.value is not old
        if x.tracked and not is_leaf(x) and (written or changes):
            raise Refused("uses a tensor from outside that has a history of derivatives")
        if written and id(x) in given and x.alias.__class__ is View:
            raise Refused("writes to an argument that is a view: pass its base")

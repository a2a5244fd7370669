"""The callable that `tabgrad.compile` returns: it replays calls, and traces those that no capture fits."""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any

from tabgrad.compiler import keys
from tabgrad.compiler.call_watch import CallWatch
from tabgrad.compiler.capture import Capture, Refused
from tabgrad.compiler.entry import Entry
from tabgrad.compiler.obsolete import KNOWN, let_go
from tabgrad.compiler.python_values import is_array, tensor_state
from tabgrad.compiler.rollback import CallRollback
from tabgrad.compiler.state import State
from tabgrad.core import tree
from tabgrad.core.errors import DeviceLostError, OutOfMemoryError, warn
from tabgrad.core.locks import alone, lock
from tabgrad.core.shown import shown_by
from tabgrad.core.trace import MODE, Box, using
from tabgrad.hosts.devices import connected
from tabgrad.tensor.placing import move

if TYPE_CHECKING:
    from tabgrad.compiler.explanation import Explanation
    from tabgrad.compiler.keys import Args, Key, Kwargs
    from tabgrad.compiler.watched_arrays import Origin
    from tabgrad.core.shape import Shape
    from tabgrad.hosts.device import DeviceBackend
    from tabgrad.lower.dynamic import Dynamic

MOST_CALLS = 128
"""For how many sets of shapes and static arguments a function keeps captures; the oldest are dropped."""
MOST_ENTRIES = 8
"""How many captures are kept for one set of shapes and static arguments."""
LIMIT = 8
"""After this many traces for the same cause, a function is not traced again for it."""


IDENTITY = "tells objects apart by `is` or `id`, and is given lists, dicts or arrays"
"""Why a call is not replayed if the function compares identities of arguments."""

_FIELDS = frozenset(
    ("fn", "dynamic", "fullgraph", "first", "shared", "known", "causes", "traces", "reason", "runs_as_it_is",
     "_warned", "label")
)  # fmt: skip
"""The attributes that belong to `Compiled` itself."""


_LOCK = lock()
"""Held while a call is replayed or captured, because captures and guards serve one thread at a time."""


class Known:
    """The captures of calls with one key, and how many calls to skip before the next attempt."""

    __slots__ = ("__weakref__", "entries", "refusals", "wait")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        KNOWN.add(self)
        self.refusals = 0
        self.wait = 0

    def refuse(self) -> None:
        """Note that a call could not be captured; from the second time in a row on, skip ever more calls."""
        self.refusals += 1
        self.wait = 0 if self.refusals < 2 else min(2**self.refusals, 1024)

    def waits(self) -> bool:
        """Whether to skip an attempt for this call."""
        self.wait -= 1
        return self.wait >= 0

    def keep(self, entry: Entry) -> None:
        """Add a capture in front."""
        self.refusals = self.wait = 0
        self.entries.insert(0, entry)
        del self.entries[MOST_ENTRIES:]


class Compiled:
    """A function whose calls are captured and replayed; made by `compile`."""

    def __init__(
        self, fn: Callable[..., Any], dynamic: bool | None = None, fullgraph: bool = False
    ) -> None:
        self.fn = fn
        self.dynamic = dynamic
        self.fullgraph = fullgraph
        self.first: dict[Key, list[Shape]] = {}
        self.shared: dict[Key, Dynamic] = {}
        self.known: dict[Key, Known] = {}
        self.causes: dict[str, int] = {}
        self.traces = 0
        self.reason: str | None = None
        self.runs_as_it_is = _why_not(fn)
        self._warned: set[str] = set()
        if hasattr(fn, "__name__"):
            functools.update_wrapper(self, fn, updated=())
        self.label = getattr(fn, "__qualname__", type(fn).__name__)

    def __getattr__(self, name: str) -> Any:
        if name in ("fn", "__setstate__"):
            raise AttributeError(name)
        return getattr(self.fn, name)

    def __setattr__(self, name: str, value: object) -> None:
        """Set an own attribute, or else an attribute of the function or module, where a call reads it."""
        if name in _FIELDS or name.startswith("__"):
            object.__setattr__(self, name, value)
        else:
            setattr(self.fn, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.fn, name)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if instance is None:
            return self
        return _bound(self, instance)

    def __deepcopy__(self, memo: dict[int, Any]) -> Compiled:
        if isinstance(self.fn, FunctionType):
            return self
        return Compiled(copy.deepcopy(self.fn, memo), self.dynamic, self.fullgraph)

    def __reduce__(self) -> str | tuple[Any, ...]:
        if self._is_named():
            return str(self.__qualname__)
        return (Compiled, (self.fn, self.dynamic, self.fullgraph))

    def _is_named(self) -> bool:
        """Whether a pickle can find this object in a module by the name of its function."""
        found: Any = sys.modules.get(getattr(self, "__module__", None) or "")
        for part in getattr(self, "__qualname__", "").split("."):
            found = getattr(found, part, None)
        return found is self

    _repr_html_ = shown_by("compiled")

    def __repr__(self) -> str:
        entries = [e for known in self.known.values() for e in known.entries]
        guards = sum(e.state.count() + len(e.guards) for e in entries)
        dispatches = sum(e.dispatches for e in entries)
        return (
            f"<compiled {self.label}: {len(entries)} plans, {dispatches} dispatches, {guards} guards, "
            f"{self.traces} traces>"
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        mode = MODE.get()
        if mode.levels or mode.capture is not None or self.runs_as_it_is:
            return self.fn(*args, **kwargs)
        leaves, structure = tree.flatten((args, kwargs))
        for x in leaves:
            if isinstance(x, Box) and x._parts is not None:
                return self.fn(*args, **kwargs)
            if isinstance(x, Box) and x.owner is None:
                own_buffer(x)
        key = keys.key_of(leaves, structure, mode)
        if key is None:
            return self.fn(*args, **kwargs)
        with _LOCK:
            done = self._compiled(key, leaves, args, kwargs)
        return self.fn(*args, **kwargs) if done is None else done[0]

    def _compiled(
        self, key: Key, leaves: list[Any], args: Args, kwargs: Kwargs
    ) -> tuple[Any] | None:
        """Replay a fitting capture, or capture the call; return (result,), or None to run it plainly."""
        known = self.known.get(key)
        if known is not None and any([entry.plan.backend.left() for entry in known.entries]):
            self._begin_anew()
            known = None
        cause = None
        if known is not None:
            for entry in known.entries:
                cause = entry.differs(leaves)
                if cause is None:
                    done = entry.replay(leaves)
                    if done is not None:
                        self.reason = None
                        return (done[0],)
                    cause = ("a tensor's memory", "has another form")
            if known.waits():
                return None
        cause = cause or keys.difference(key, self.known)
        if cause is not None and self._too_often(cause):
            return None
        if known is not None and known.entries:
            let_go(known.entries)
        # other threads must not record or compute during the call
        with alone(device.backend.lock for device in connected()):
            return (self.trace(key, leaves, args, kwargs),)

    def _begin_anew(self) -> None:
        """Drop the captures of lost devices, and the counts of causes."""
        self.known = {
            key: known
            for key, known in self.known.items()
            if not any([entry.plan.backend.left() for entry in known.entries])
        }
        self.causes.clear()

    def _too_often(self, cause: tuple[str, str]) -> bool:
        """Count a cause of a new trace; return whether it has occurred too often."""
        what, how = cause
        self.reason = f"was traced too often, as {what} {how}"
        n = self.causes[what] = self.causes.get(what, 0) + 1
        if n == LIMIT:
            warn(
                f"tabgrad.compile: {self.label} was traced {LIMIT} times because {what} {how}. Calls that fit "
                "no trace run as they are from now on; pass what changes as a tensor, or keep it as it is",
            )
        return n >= LIMIT

    def trace(self, key: Key, leaves: list[Any], args: Args, kwargs: Kwargs) -> Any:
        """Run the function while recording what it does, and keep the capture if it can be repeated."""
        for device in connected():
            if device.recorder is not None:
                device.recorder.flush()
        self.traces += 1
        state = State()
        capture = Capture(state, self.label, self.fullgraph)
        state.reach(self.fn, self.label)
        for x in keys.with_state(leaves, key[0]):
            state.reach(x, f"argument {type(x).__name__}")
        for x in leaves:
            if isinstance(x, Box) and x.tracked:
                state.reach(tensor_state(x).hooks, "an argument's hooks")
        if state.tells_apart() and any(map(is_array, leaves)):
            # watched arrays, and their containers, are other objects
            self.known.setdefault(key, Known()).refuse()
            self.reason = IDENTITY
            return self.fn(*args, **kwargs)
        capture.note(tuple([x for x in leaves if lazy(x)]))
        given, origins = keys.watch_arrays(leaves, capture)
        args, kwargs = keys.rebuilt(args, kwargs, leaves, given)
        result = self._run(capture, origins, args, kwargs)
        before = CallRollback(capture)
        known = self.known.setdefault(key, Known())
        if len(self.known) > MOST_CALLS:
            del self.known[next(iter(self.known))]
        try:
            _check(capture, key, leaves, (args, kwargs), given, result)
            backend = capture.backend()
            entry = Entry(capture, backend, leaves, result, self.sharing(key, leaves, backend))
            entry.arrays = keys.read_arrays(origins)
            known.keep(entry)
            self.reason = None
        except (DeviceLostError, OutOfMemoryError):
            before.give_back()
            raise
        except Refused as refusal:
            before.hand_over()
            self.reason = str(refusal)
            known.refuse()
            capture.warn(self._warned)
        return keys.without_watching(result, origins)

    def _run(self, capture: Capture, origins: list[Origin], args: Args, kwargs: Kwargs) -> Any:
        """Run the function under watch; a mode that it sets permanently stays set."""
        before, defaults = MODE.get(), keys.defaults()
        left = before
        try:
            with using(before.replace(capture=capture)), CallWatch(capture.state, origins) as watch:
                capture.watch = watch
                try:
                    return self.fn(*args, **kwargs)
                finally:
                    left = MODE.get().replace(capture=before.capture)
        finally:
            if keys.settings(left) != keys.settings(before):
                MODE.set(left)
                capture.refuse("sets a mode that stays after it")
            if keys.defaults() != defaults:
                capture.refuse("sets a default that stays after it")

    def sharing(self, key: Key, leaves: list[Any], backend: DeviceBackend) -> Dynamic | None:
        """Return what the plan shares with plans of other sizes; None if it is for one size."""
        if self.dynamic is False:
            return None
        alike = keys.without_sizes(key, leaves)
        shapes = [x.spec.shape for x in leaves if isinstance(x, Box)]
        if self.dynamic is None and self.first.setdefault(alike, shapes) == shapes:
            return None
        found = self.shared.get(alike)
        if found is None:
            found = self.shared[alike] = backend.sharing()
        found.sizes = frozenset(shape[0] for shape in shapes if shape)
        return found

    def explain(self, *args: object, **kwargs: object) -> Explanation:
        """Describe the captures for calls with such arguments, their guards, and why calls were not captured.

        Nothing is run. `print` it; its fields are those of `tabgrad.compiler.Explanation`.

        >>> import tabgrad as tg
        >>> double = tg.compile(lambda x: x * 2)
        >>> print(double.explain(tg.ones(2, device="cpu")))
        <lambda>: 0 traces, nothing captured for these arguments
        """
        from tabgrad.compiler.explanation import explain

        return explain(self, *args, **kwargs)


def _check(
    capture: Capture,
    key: Key,
    leaves: list[Any],
    call: tuple[Args, Kwargs],
    given: list[Any],
    result: object,
) -> None:
    """Raise Refused if the call did something that a replay would not do."""
    if capture.reason is not None:
        raise Refused(capture.reason)
    state = capture.state
    if state.reasons:
        raise Refused(state.reasons[0])
    changed = state.broken()
    if changed is not None:
        raise Refused(f"changes {changed[0]}, which {changed[1]}")
    after, structure = tree.flatten(call)
    if structure != key[0] or len(after) != len(leaves) or any(map(_other, after, given)):
        raise Refused("changes a list or dict among its arguments")
    if state.identity and keys.told_by_value(call):
        raise Refused(IDENTITY)
    if keys.signatures(leaves) != key[1]:
        raise Refused("changes what an argument is, not only its values")
    why = keys.not_plain(result, state, (call, leaves), given)
    if why is not None:
        raise Refused(why)


def _other(a: object, b: object) -> bool:
    return a is not b


def lazy(x: object) -> bool:
    """Whether `x` is a base tensor of a device that records."""
    return isinstance(x, Box) and x.owner is None and x.device.recorder is not None


def own_buffer(x: Any) -> None:
    """Refresh an argument, and give a constant a buffer, so that its number is an input of the capture."""
    if x.alias is not None:
        x.alias.refresh(x)
    recorder = x.device.recorder
    if recorder is not None:
        made = recorder.own_buffer(x.value)
        if made is not None:
            move(x, made)


class Kept(dict[int, Any]):
    """The compiled methods of an instance; a copy of the instance has none."""

    def __deepcopy__(self, memo: object) -> Kept:
        return Kept()

    def __reduce__(self) -> tuple[Any, ...]:
        return (Kept, ())


def _bound(compiled: Compiled, instance: object) -> Callable[..., Any]:
    """Return the compiled method of an instance, whose captures live as long as the instance."""
    fields = getattr(instance, "__dict__", None)
    if not isinstance(fields, dict):  # a class has one that can't be written
        return functools.partial(compiled, instance)
    kept = fields.get("_compiled_methods")
    if kept is None:
        kept = fields["_compiled_methods"] = Kept()
    found = kept.get(id(compiled))
    if found is None:
        method = compiled.fn.__get__(instance)
        found = kept[id(compiled)] = Compiled(method, compiled.dynamic, compiled.fullgraph)
    return found


def _why_not(fn: Callable[..., Any]) -> str | None:
    """Return why calls of `fn` are never captured, or None: a generator's code runs after the call."""
    inner = inspect.unwrap(fn) if callable(fn) else fn
    for kind, its in (
        ("generator", inspect.isgeneratorfunction), ("coroutine", inspect.iscoroutinefunction),
        ("asynchronous generator", inspect.isasyncgenfunction),
    ):  # fmt: skip
        if its(inner):
            return f"is a {kind}: its code runs after the call"
    return None

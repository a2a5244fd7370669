"""`tabgrad.compile`: a call is captured once, with all it changes, and then replayed as one packet."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any, TypeVar, overload

from tabgrad.core import tree
from tabgrad.core.graph import Value
from tabgrad.core.trace import MODE, Box, using, wrap
from tabgrad.dispatch import REMEMBERED
from tabgrad.functions.aliasing import replace
from tabgrad.hosts.captured import Replayable, Source
from tabgrad.hosts.devices import connected

MOST_CALLS = 128
"""Shapes and static arguments for which a compiled function keeps captures; the oldest go first."""

F = TypeVar("F", bound=Callable[..., Any])


class Capture:
    """What is noted while a call runs for the first time."""

    def __init__(self) -> None:
        self.reads: dict[int, tuple[Any, Any]] = {}
        self.modules: dict[int, tuple[Any, bool]] = {}
        self.events: list[tuple[Any, Callable[[], Any]]] = []
        self.guards: list[tuple[Callable[[], Any], Any]] = []
        self.grads: dict[int, tuple[Any, Any]] = {}
        self.starts = {
            device.backend.graph: device.backend.graph.count
            for device in connected()
            if lazily(device)
        }

    def note(self, args: tuple[Any, ...]) -> None:
        """Note base tensors before an op reads them or a write changes them, with the value they have.

        What was made since the capture began is no input.
        """
        reads = self.reads
        for a in args:
            if id(a) in reads or a._version == REMEMBERED:
                continue
            value = a.value
            if not isinstance(value, Value) or value.graph.serial[value.id] <= self.starts.get(
                value.graph, 0
            ):
                reads[id(a)] = (a, value)

    def note_module(self, module: Any) -> None:
        """Note a module that ran, and whether it was in training mode."""
        self.modules.setdefault(id(module), (weakref.ref(module), module.training))

    def note_grad(self, x: Any, cleared: bool = False) -> None:
        """Note a tensor before its `.grad` is set, with the gradient it had.

        Where the call does not begin by clearing it, a replay must find a gradient again, or none again.
        """
        if id(x) not in self.grads:
            self.grads[id(x)] = (x, x._grad)
            if not cleared:
                ref = weakref.ref(x)
                self.guard(lambda: getattr(ref(), "_grad", None) is None)

    def live_scalar(self, getter: Callable[[], Any], spec: Any, device: Any) -> Any:
        """Make a constant whose value is asked for again at each replay."""
        x = wrap(device.backend.constant(getter(), spec), spec, device)
        self.events.append((x.value, getter))
        return x

    def on_replay(self, change: Callable[[], Any]) -> None:
        """Note a change of Python state."""
        self.events.append((None, change))

    def guard(self, getter: Callable[[], Any]) -> None:
        """Note a value on which the capture depends."""
        self.guards.append((getter, getter()))


class Entry:
    """One captured call: its guards, where its inputs come from, and what becomes of its outputs."""

    def __init__(
        self, capture: Capture, backend: Any, args: list[Any], result: Any, sharing: Any = None
    ) -> None:
        self.backend = backend
        self.modules = list(capture.modules.values())
        self.guards = capture.guards
        self.events = [(value, fn) for value, fn in capture.events]
        for x, _ in capture.reads.values():
            # what was written through a detached sibling has not reached the tensor itself yet
            if x.alias is not None:
                x.alias.refresh(x)
        leaves, self.structure = tree.flatten(result)
        self.results = leaves
        mine = [i for i, x in enumerate(leaves) if lazy(x, backend)]
        state = [
            x for x, old in capture.reads.values()
            if x.owner is None and x.device.backend is backend and x.value is not old
        ]  # fmt: skip
        grads = [
            x for x, old in capture.grads.values()
            if x._grad is not old and x._grad is not None and lazy(x._grad, backend)
        ]  # fmt: skip
        cleared = [x for x, old in capture.grads.values() if x._grad is None and old is not None]
        self.at, self.state = mine, [weakref.ref(x) for x in state]
        self.grads, self.cleared = (
            [weakref.ref(x) for x in grads],
            [weakref.ref(x) for x in cleared],
        )
        targets = [leaves[i] for i in mine] + state + [x._grad for x in grads]
        self.specs = [(t.spec, t.device) for t in targets]
        sources = [Source(None, i, x.value) for i, x in enumerate(args) if lazy(x, backend)]
        known = {id(x) for x in args} | {id(old) for _, old in capture.grads.values()}
        sources += [
            Source(functools.partial(_grad_of, weakref.ref(x)), -1, old.value)
            for x, old in capture.grads.values() if old is not None and lazy(old, backend)
        ]  # fmt: skip
        sources += [
            Source(weakref.ref(x), -1, old) for x, old in capture.reads.values()
            if id(x) not in known and x.owner is None and x.device.backend is backend
        ]  # fmt: skip
        targets = [t.value for t in targets]
        capture.reads.clear()
        capture.grads.clear()
        del state, grads, cleared
        self.plan = Replayable(backend, targets, sources, [v for v, _ in self.events], sharing)

    def holds(self) -> bool:
        """Whether the guards still hold."""
        for ref, training in self.modules:
            module = ref()
            if module is None or module.training is not training:
                return False
        return all([getter() == value for getter, value in self.guards])

    def replay(self, args: list[Any]) -> Any:
        """Run the captured call on new arguments; None where the state has taken another form."""
        if not self.plan.bind(args):
            return None
        numbers = [fn() for _, fn in self.events]
        values = self.plan.run(numbers)
        n = len(self.at)
        results = list(self.results)
        for k, i in enumerate(self.at):
            spec, device = self.specs[k]
            results[i] = wrap(values[k], spec, device)
        for k, ref in enumerate(self.state):
            x = ref()
            if x is not None:
                replace(x, values[n + k])
        n += len(self.state)
        for k, ref in enumerate(self.grads):
            x = ref()
            if x is not None:
                spec, device = self.specs[n + k]
                x._grad = wrap(values[n + k], spec, device)
        for ref in self.cleared:
            x = ref()
            if x is not None:
                x._grad = None
        return (tree.unflatten(self.structure, results),)


def _grad_of(ref: Any) -> Any:
    return getattr(ref(), "_grad", None)


def own_buffer(x: Any) -> None:
    """Bring an argument up to date, and give it a buffer if it is a constant: its number is an input then."""
    if x.alias is not None:
        x.alias.refresh(x)
    backend = x.device.backend
    if hasattr(backend, "graph"):
        made = backend.settled(x.value)
        if made is not None:
            replace(x, made)


def lazily(device: Any) -> bool:
    """Whether a device records instead of computing at once."""
    return hasattr(device.backend, "graph")


def lazy(x: Any, backend: Any) -> bool:
    """Whether `x` is a base tensor recorded by `backend`."""
    return isinstance(x, Box) and x.owner is None and x.device.backend is backend


class Compiled:
    """A function whose calls are captured and replayed; made by `compile`."""

    def __init__(self, fn: Callable[..., Any], dynamic: bool | None = None) -> None:
        self.fn = fn
        self.dynamic = dynamic
        self.first: dict[Any, Any] = {}
        self.shared: dict[Any, Any] = {}
        self.entries: dict[Any, list[Entry]] = {}
        self.traces = 0
        if hasattr(fn, "__name__"):
            functools.update_wrapper(self, fn)

    def __getattr__(self, name: str) -> Any:
        if name == "fn":
            raise AttributeError(name)
        return getattr(self.fn, name)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        mode = MODE.get()
        if mode.levels or mode.capture is not None:
            return self.fn(*args, **kwargs)
        leaves, structure = tree.flatten((args, kwargs))
        for x in leaves:
            if isinstance(x, Box) and x.owner is None:
                own_buffer(x)
        key = (structure, tuple([signature(x) for x in leaves]), mode.grad, mode.inference)
        for entry in self.entries.get(key, ()):
            if entry.holds():
                done = entry.replay(leaves)
                if done is not None:
                    return done[0]
        return self.trace(key, leaves, args, kwargs)

    def trace(self, key: Any, leaves: list[Any], args: Any, kwargs: Any) -> Any:
        """Run the function, noting what it does, and keep the capture where it can be repeated."""
        for device in connected():
            device.backend.flush()
        self.traces += 1
        capture = Capture()
        capture.note(tuple(x for x in leaves if isinstance(x, Box) and x.owner is None))
        with using(MODE.get().replace(capture=capture)):
            result = self.fn(*args, **kwargs)
        backends = {x.device.backend for x, _ in capture.reads.values() if x.device.type != "cpu"}
        if len(backends) == 1 and len({x.device for x, _ in capture.reads.values()}) == 1:
            backend = backends.pop()
            outputs = tree.leaves(result)
            if not any(isinstance(x, Box) and (x.tracked or x.owner is not None) for x in outputs):
                entry = Entry(capture, backend, leaves, result, self.sharing(key, leaves, backend))
                if entry.plan.settle():
                    kept = self.entries.setdefault(key, [])
                    kept.insert(0, entry)
                    del kept[8:]
                    if len(self.entries) > MOST_CALLS:
                        del self.entries[next(iter(self.entries))]
            else:
                backend.flush()
        return result

    def sharing(self, key: Any, leaves: list[Any], backend: Any) -> Any:
        """Return what the plan shares with those of other sizes; None if it stands alone."""
        if self.dynamic is False:
            return None
        kinds = [(len(x.spec.shape), x.spec.dtype) if isinstance(x, Box) else None for x in leaves]
        rest = [
            None if isinstance(x, Box) else part for x, part in zip(leaves, key[1], strict=True)
        ]
        shapes = [x.spec.shape for x in leaves if isinstance(x, Box)]
        alike = (key[0], tuple(kinds), tuple(rest), *key[2:])
        if self.dynamic is None and self.first.setdefault(alike, shapes) == shapes:
            return None
        found = self.shared.get(alike)
        if found is None:
            found = self.shared[alike] = backend.sharing()
        found.sizes = frozenset(shape[0] for shape in shapes if shape)
        return found


def signature(x: Any) -> Any:
    """Return what of an argument the capture depends on."""
    if isinstance(x, Box):
        return (x.spec, x.device, x.tracked)
    try:
        hash(x)
    except TypeError:
        return ("object", id(x))
    return (type(x), x)


@overload
def compile(model: F, *, dynamic: bool | None = None, **options: Any) -> F: ...
@overload
def compile(
    model: None = None, *, dynamic: bool | None = None, **options: Any
) -> Callable[[F], F]: ...


def compile(model: Any = None, *, dynamic: bool | None = None, **options: Any) -> Any:
    """Return `model`, a function or module, so that repeated calls are replayed without running its Python.

    The first call with arguments of new shapes, dtypes, devices or static values runs and is captured with
    all it does: forward, backward, clipping, the optimizer's step, random draws, changes of buffers and
    gradients. Later calls send one packet. Train or eval mode, grad mode and what the optimizers guard are
    checked, and a changed one traces anew; learning rates, step counts and seeds are read at each call.
    Reading a value inside (`.item()`, `print`) raises CaptureError. On `cpu`, and where an output still
    needs its gradient, the function runs as it is.

    `dynamic` says for which sizes the kernels are: those of True serve all, those of False one each. By
    default those of the first sizes are for them alone, and those of the second serve all others. A call of new
    sizes runs the function once more to capture it, but compiles nothing where kernels serve it. The first size
    of each argument is taken to vary; another that does compiles once more when it changes for the first time.
    Other `options` are taken for PyTorch's sake and ignored.

    >>> import tabgrad as tg
    >>> @tg.compile
    ... def double(x):
    ...     return x * 2
    >>> double(tg.tensor([1.0, 2.0], device="cpu"))
    tensor([2., 4.])
    """
    if model is None:
        return lambda fn: compile(fn, dynamic=dynamic, **options)
    return Compiled(model, dynamic)

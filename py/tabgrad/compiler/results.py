"""Tensors of a captured call, as a replay finds or makes them: the same objects, the same sharing."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tabgrad.compiler.capture import Capture, Refused
from tabgrad.core.trace import MODE, using, wrap
from tabgrad.hosts.replayable import Source
from tabgrad.ops.view import reshape
from tabgrad.tensor.aliasing import Storage, View, detach, root_of, view

if TYPE_CHECKING:
    from tabgrad.hosts.device import DeviceBackend

Made = list[Any]
Maker = Callable[[list[Any], list[Any], Made], Any]


class Argument:
    """Finds an argument."""

    __slots__ = ("index",)
    sure = True
    """Whether it is known that this was there before the call."""

    def __init__(self, index: int) -> None:
        self.index = index

    def __call__(self, args: list[Any]) -> Any:
        return args[self.index]

    def alive(self) -> bool:
        """An argument is always there."""
        return True


class Held:
    """Finds a tensor that somebody holds."""

    __slots__ = ("ref", "sure")

    def __init__(self, x: Any, sure: bool) -> None:
        self.ref = weakref.ref(x)
        self.sure = sure

    def __call__(self, args: list[Any]) -> Any:
        return self.ref()

    def alive(self) -> bool:
        """Whether somebody still holds it."""
        return self.ref() is not None


class GradOf:
    """Finds the gradient of a tensor."""

    __slots__ = ("of",)
    sure = True

    def __init__(self, of: Any) -> None:
        self.of = of

    def __call__(self, args: list[Any]) -> Any:
        return getattr(self.of(args), "_grad", None)

    def alive(self) -> bool:
        """Whether somebody still holds the tensor."""
        return bool(self.of.alive())


class Place:
    """Stands among the results for a tensor: the number of its maker."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class Places:
    """Finds for each tensor that the outside sees how a replay comes by it.

    `targets` are the tensors whose values the plan computes. `makers` run in order; each gives one tensor
    from the arguments, the values, and what was made before it.
    """

    def __init__(self, capture: Capture, backend: DeviceBackend, args: list[Any]) -> None:
        self.capture = capture
        self.backend = backend
        self.args = args
        self.index: dict[int, int] = {}
        for i, x in enumerate(args):
            self.index.setdefault(id(x), i)
        self.owner_of_grad = {
            id(old): x for x, old in capture.grads.values() if old is not None and self.lasts(x)
        }
        self.places: dict[int, Place] = {}
        self.stored: dict[int, Place] = {}
        self.kept: list[Any] = []
        self.makers: list[Maker] = []
        self.targets: list[Any] = []
        self.numbers: dict[int, int] = {}

    def exists(self, x: Any) -> bool:
        """Whether a tensor was there before the call, and can be found again."""
        return (
            id(x) in self.index or id(x) in self.capture.state.known or id(x) in self.owner_of_grad
        )

    def lasts(self, x: Any) -> bool:
        """Whether a tensor was there before the call, however it is found."""
        at = id(x)
        return at in self.index or at in self.capture.state.known or at in self.capture.reads

    def find(self, x: Any) -> Any:
        """Return what finds `x` at a replay."""
        at = self.index.get(id(x))
        if at is not None:
            return Argument(at)
        owner = self.owner_of_grad.get(id(x))
        if owner is not None:
            return GradOf(self.find(owner))
        return Held(x, id(x) in self.capture.state.known)

    def target(self, x: Any) -> int:
        """Return the number among the plan's values of what `x` holds after the call."""
        found = self.numbers.get(id(x))
        if found is None:
            found = self.numbers[id(x)] = len(self.targets)
            self.targets.append(x)
        return found

    def of(self, x: Any) -> Place:
        """Return the place of a tensor that the call returns, or leaves as a gradient."""
        found = self.places.get(id(x))
        if found is None:
            if x.alias is not None:
                x.alias.refresh(x)
            make = self.maker(x)
            found = self.places[id(x)] = Place(len(self.makers))
            self.makers.append(make)
            self.kept.append(x)
            if x.alias.__class__ is Storage:
                self.stored.setdefault(id(x.alias), found)
        return found

    def maker(self, x: Any) -> Maker:
        """Return what gives `x` at a replay."""
        if x.owner is not None:
            raise Refused("returns a tensor of a transform that has not ended")
        if self.exists(x):
            find = self.find(x)
            return lambda args, values, made: find(args)
        if x.__dict__:
            raise Refused(f"returns a tensor with attributes of its own ({', '.join(x.__dict__)})")
        its = x.alias
        given = self.of_view(x)
        if given is not None:
            return given
        if its.__class__ is View:
            return self.view_maker(its)
        if its.__class__ is Storage:
            base = self.sibling(its)
            if base is not None:
                return lambda args, values, made: detach(made[base.number])
        if x.tracked:
            raise Refused(
                "returns a tensor that still needs its gradient: detach() it to replay the call"
            )
        if x.device.backend is not self.backend:
            raise Refused(f"returns a tensor of {x.device}")
        if self.hidden(x):
            raise Refused("returns what shares memory with a tensor that no name leads to")
        if type(x) is not type(wrap(x.value, x.spec, x.device)):
            raise Refused(f"returns a {type(x).__name__}, which a replay would not make anew")
        k, spec, device = self.target(x), x.spec, x.device
        return lambda args, values, made: wrap(values[k], spec, device)

    def of_view(self, x: Any) -> Maker | None:
        """Return what gives `x` from an argument that is itself a view, None where it shares with none.

        Another call may pass another view: only the steps beyond the argument's are repeated.
        """
        root = root_of(x)
        near = [
            (i, a)
            for i, a in enumerate(self.args)
            if hasattr(a, "alias") and a.alias.__class__ is View and together(root, root_of(a))
        ]
        if not near:
            return None
        i, a = near[0]
        its, given = x.alias, a.alias
        rest = beyond(given.steps, its.steps) if its.__class__ is View else None
        if rest is None or any([b is not a for _, b in near]) or self.met(root_of(a)):
            raise Refused("returns a view of memory that an argument is another view of")
        same = its.base is given.base
        if not same and not (its.detached and together(its.base, given.base)):
            raise Refused("returns a view of a view that an argument is a view of")
        graph, how = its.made not in ("no_grad", "inference"), its.made

        def make(args: list[Any], values: list[Any], made: Made) -> Any:
            y = args[i] if same else detach(args[i])
            with using(MODE.get().replace(grad=graph)):
                for op, params in rest:
                    y = view(op, y, params)
            y.alias.made = how
            return y

        return make

    def hidden(self, x: Any) -> bool:
        """Whether a base was there before the call, itself or a sibling, though nothing finds it again."""
        capture = self.capture
        before = [root_of(y) for y, _, _ in capture.state.tensors]
        before += [root_of(y) for y, _ in capture.reads.values()]
        return any([together(x, y) for y in before])

    def met(self, root: Any) -> bool:
        """Whether the call may come by `root`, or what shares its memory, other than by a view of it."""
        return any([together(root, x) for x in self.args if hasattr(x, "alias")]) or any(
            [together(root, root_of(x)) for x, _, _ in self.capture.state.tensors]
        )

    def view_maker(self, its: Any) -> Maker:
        """Return what gives the view that is tied by `its` to its base."""
        base, steps, how, detached = self.of(its.base), its.steps, its.made, its.detached
        graph = how not in ("no_grad", "inference")

        def make(args: list[Any], values: list[Any], made: Made) -> Any:
            y = made[base.number]
            with using(MODE.get().replace(grad=graph)):
                for op, params in steps:
                    y = view(op, y, params)
            y.alias.made, y.alias.detached = how, detached
            return y

        return make

    def sibling(self, storage: Any) -> Place | None:
        """Return the place of another tensor that shares this storage, None where there is none."""
        known = self.stored.get(id(storage))
        if known is None:
            for x, _ in self.capture.reads.values():
                if x.alias is storage and self.exists(x):
                    return self.of(x)
        return known

    def check_behind(self) -> None:
        """Raise Refused where the call asks for the base, or the place, of a view that was there before it."""
        if not self.capture.behind:
            return
        given = [x for x in self.args if hasattr(x, "alias")]
        given += [x for x, _, _ in self.capture.state.tensors]
        roots = [root_of(x) for x in given if x.alias.__class__ is View]
        for root, what in self.capture.behind:
            if any([together(root, y) for y in roots]):
                raise Refused(f"asks for what a view that it is given is a view of ({what})")

    def check_kept(self) -> None:
        """Raise Refused where the call has made and written a tensor that it keeps: state of a next call."""
        known = {id(x) for x in self.kept}
        if self._lives_on(known):
            gc.collect()  # a cycle is nobody's state
            if self._lives_on(known):
                raise Refused("keeps a tensor that it has made, for the next call")

    def _lives_on(self, known: set[int]) -> bool:
        """Whether a tensor that the call has made and written is alive, those `known` aside."""
        return any(
            [
                x is not None and id(x) not in known
                for x in [r() for r in self.capture.fresh.values()]
            ]
        )

    def sources(self) -> list[Source]:
        """Return where the inputs of the plan may come from."""
        reads = self.capture.reads
        found = []
        for x, old in reads.values():
            if x.owner is None and x.device.backend is self.backend:
                found.append(Source(self.find(x), old, x.spec))
        for at, owner in self.owner_of_grad.items():
            old = self.capture.grads[id(owner)][1]
            if at not in reads and old.owner is None and old.device.backend is self.backend:
                found.append(Source(GradOf(self.find(owner)), old.value, old.spec))
        found += [Source(Taken(again), value, None) for again, value in self.capture.uploads]
        # the call has not read what it found of a device that was lost: that would have raised
        return [s for s in found if s.value.graph is self.backend.graph]

    def apart(self) -> Callable[[list[Any]], bool]:
        """Return what says whether no argument shares memory with other tensors that the call uses.

        Asked for where the call writes. Raises Refused where one does in the call itself.
        """
        refs = [
            weakref.ref(x) for x, _ in self.capture.reads.values() if id(x) not in self.index
        ]  # fmt: skip

        def apart(args: list[Any]) -> bool:
            # those of now: another tensor may lie where one of the call's was
            live = [x for x in [ref() for ref in refs] if x is not None]
            ids = set(map(id, live))
            for root in [root_of(a) for a in args if hasattr(a, "alias")]:
                if id(root) in ids:
                    return False
                if root.alias.__class__ is Storage and any([together(root, x) for x in live]):
                    return False
            return True

        if not apart(self.args):
            raise Refused("writes to memory that an argument shares with other tensors")
        return apart

    def forget(self) -> None:
        """Let go of the tensors of the call."""
        self.args = []
        self.kept.clear()
        self.targets = []
        self.owner_of_grad.clear()


def together(a: Any, b: Any) -> bool:
    """Whether two bases share memory."""
    return a is b or (a.alias.__class__ is Storage and a.alias is b.alias)


def beyond(first: tuple[Any, ...], steps: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Return the steps that lead from where `first` leads to where `steps` do; None where they part."""
    n = len(first)
    if steps[:n] == first:
        return steps[n:]
    if (
        steps[: n - 1] == first[:-1]
        and len(steps) >= n
        and first[-1][0] is reshape is steps[n - 1][0]
    ):
        return steps[n - 1 :]
    return None


class Taken:
    """Finds the numbers of an argument that go to the device at each call."""

    __slots__ = ("again",)
    sure = True

    def __init__(self, again: Callable[[list[Any]], Any]) -> None:
        self.again = again

    def __call__(self, args: list[Any]) -> Any:
        return self.again(args)

    def alive(self) -> bool:
        """An argument is always there."""
        return True

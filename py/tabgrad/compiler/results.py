"""Finds or makes the tensors of a captured call at a replay: the same objects, sharing memory the same way."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from tabgrad.compiler.capture import Capture, Refused
from tabgrad.core.trace import MODE, Box, using, wrap
from tabgrad.hosts.replayable import Finder, Source
from tabgrad.ops.view import reshape
from tabgrad.tensor.aliasing import Storage, View, detach, root_of, view

if TYPE_CHECKING:
    from tabgrad.core.op import Op
    from tabgrad.core.spec import Params
    from tabgrad.hosts.device import DeviceBackend

Made = list[Any]
Steps: TypeAlias = "tuple[tuple[Op, Params], ...]"
Maker = Callable[[list[Any], list[Any], Made], Any]


class Argument:
    """Finds an argument of the call."""

    __slots__ = ("index",)
    sure = True

    def __init__(self, index: int) -> None:
        self.index = index

    def __call__(self, args: list[Any]) -> Any:
        return args[self.index]

    def alive(self) -> bool:
        """Always true: the call has its arguments."""
        return True


class Held:
    """Finds a tensor that other code holds."""

    __slots__ = ("ref", "sure")

    def __init__(self, x: Box, sure: bool) -> None:
        self.ref = weakref.ref(x)
        self.sure = sure

    def __call__(self, args: list[Any]) -> Any:
        return self.ref()

    def alive(self) -> bool:
        """Whether other code still holds it."""
        return self.ref() is not None


class GradOf:
    """Finds the gradient of a tensor."""

    __slots__ = ("of",)
    sure = True

    def __init__(self, of: Finder) -> None:
        self.of = of

    def __call__(self, args: list[Any]) -> Any:
        return getattr(self.of(args), "_grad", None)

    def alive(self) -> bool:
        """Whether other code still holds the tensor."""
        return self.of.alive()


class Place:
    """Stands for a tensor among the results: the number of its maker."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class Places:
    """Decides how a replay finds or makes each tensor that is visible outside the call.

    `targets` are the tensors whose values the plan computes. `makers` run in order; each makes one tensor from
    the arguments, the values, and the tensors made before it.
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

    def exists(self, x: Box) -> bool:
        """Whether a tensor existed before the call, and can be found again."""
        return (
            id(x) in self.index or id(x) in self.capture.state.known or id(x) in self.owner_of_grad
        )

    def lasts(self, x: Box) -> bool:
        """Whether a tensor existed before the call, even if it can't be found again."""
        at = id(x)
        return at in self.index or at in self.capture.state.known or at in self.capture.reads

    def find(self, x: Box) -> Finder:
        """Return an object that finds `x` at a replay."""
        at = self.index.get(id(x))
        if at is not None:
            return Argument(at)
        owner = self.owner_of_grad.get(id(x))
        if owner is not None:
            return GradOf(self.find(owner))
        return Held(x, id(x) in self.capture.state.known)

    def target(self, x: Box) -> int:
        """Return the position, among the plan's values, of the value that `x` has after the call."""
        found = self.numbers.get(id(x))
        if found is None:
            found = self.numbers[id(x)] = len(self.targets)
            self.targets.append(x)
        return found

    def of(self, x: Box) -> Place:
        """Return the Place of a tensor that the call returns, or leaves as a gradient."""
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

    def maker(self, x: Box) -> Maker:
        """Return a function that makes `x` at a replay."""
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

    def of_view(self, x: Box) -> Maker | None:
        """Return a maker of `x` from an argument that is a view of the same memory; None if there is none.

        A later call may pass another view, so only the steps after the argument's are repeated.
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

    def hidden(self, x: Box) -> bool:
        """Whether a base, or a sibling of it, existed before the call, although nothing can find it again."""
        capture = self.capture
        before = [root_of(y) for y, _, _ in capture.state.tensors]
        before += [root_of(y) for y, _ in capture.reads.values()]
        return any([together(x, y) for y in before])

    def met(self, root: Box) -> bool:
        """Whether the call can reach `root`, or a tensor that shares its memory, other than through a view."""
        return any([together(root, x) for x in self.args if hasattr(x, "alias")]) or any(
            [together(root, root_of(x)) for x, _, _ in self.capture.state.tensors]
        )

    def view_maker(self, its: View) -> Maker:
        """Return a maker of the view that `its` links to a base."""
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

    def sibling(self, storage: Storage) -> Place | None:
        """Return the Place of another tensor that shares this storage; None if there is none."""
        known = self.stored.get(id(storage))
        if known is None:
            for x, _ in self.capture.reads.values():
                if x.alias is storage and self.exists(x):
                    return self.of(x)
        return known

    def check_behind(self) -> None:
        """Raise Refused if the call reads the base, or the offset, of a view that existed before it."""
        if not self.capture.behind:
            return
        given = [x for x in self.args if hasattr(x, "alias")]
        given += [x for x, _, _ in self.capture.state.tensors]
        roots = [root_of(x) for x in given if x.alias.__class__ is View]
        for root, what in self.capture.behind:
            if any([together(root, y) for y in roots]):
                raise Refused(f"asks for what a view that it is given is a view of ({what})")

    def check_kept(self) -> None:
        """Raise Refused if the call keeps a tensor that it made and wrote, as state for the next call."""
        known = {id(x) for x in self.kept}
        if self._lives_on(known):
            gc.collect()  # a tensor that only a cycle keeps alive is no state
            if self._lives_on(known):
                raise Refused("keeps a tensor that it has made, for the next call")

    def _lives_on(self, known: set[int]) -> bool:
        """Whether a tensor that the call has made and written is alive, except those `known`."""
        return any(
            [
                x is not None and id(x) not in known
                for x in [r() for r in self.capture.fresh.values()]
            ]
        )

    def sources(self) -> list[Source]:
        """Return the possible sources of the plan's inputs."""
        reads = self.capture.reads
        found = []
        for x, old in reads.values():
            if x.owner is None and x.device.backend is self.backend:
                found.append(Source(self.find(x), old, x.spec))
        for at, owner in self.owner_of_grad.items():
            old = self.capture.grads[id(owner)][1]
            if (
                old is not None
                and at not in reads
                and old.owner is None
                and old.device.backend is self.backend
            ):
                found.append(Source(GradOf(self.find(owner)), old.value, old.spec))
        found += [Source(Taken(again), value, None) for again, value in self.capture.uploads]
        # values of a lost device were not read, which would have raised
        return [s for s in found if s.value.graph is self.backend.graph]

    def apart(self) -> Callable[[list[Any]], bool]:
        """Return a check that no argument shares memory with other tensors that the call uses.

        Needed if the call writes. Raises Refused if arguments of the captured call fail the check.
        """
        refs = [
            weakref.ref(x) for x, _ in self.capture.reads.values() if id(x) not in self.index
        ]  # fmt: skip

        def apart(args: list[Any]) -> bool:
            # by the ids of now: another tensor may have the id of a dead one
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
        """Release the tensors of the call."""
        self.args = []
        self.kept.clear()
        self.targets = []
        self.owner_of_grad.clear()


def together(a: Box, b: Box) -> bool:
    """Whether two bases share memory."""
    return a is b or (a.alias.__class__ is Storage and a.alias is b.alias)


def beyond(first: Steps, steps: Steps) -> Steps | None:
    """Return the rest of `steps` after `first`; None if `steps` does not begin with `first`."""
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
    """Finds an argument whose numbers are uploaded to the device at each call."""

    __slots__ = ("again",)
    sure = True

    def __init__(self, again: Callable[[list[Any]], Any]) -> None:
        self.again = again

    def __call__(self, args: list[Any]) -> Any:
        return self.again(args)

    def alive(self) -> bool:
        """Always true: the call has its arguments."""
        return True

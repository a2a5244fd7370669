"""Captured graphs that can be replayed: inputs are looked up at each run, outputs become new nodes."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from tabgrad.core.graph import Value
from tabgrad.core.op import Op
from tabgrad.core.spec import Params, Spec
from tabgrad.hosts.renewal import renewed
from tabgrad.hosts.replay import same
from tabgrad.lower.ir import FULL

if TYPE_CHECKING:
    from tabgrad.core.graph import Graph
    from tabgrad.hosts.device import DeviceBackend
    from tabgrad.hosts.pool import Buffer
    from tabgrad.hosts.replay import Stored
    from tabgrad.lower.dynamic import Dynamic
    from tabgrad.lower.plan import Plan

Step = tuple[Op, Params, Spec]
View = tuple[int, tuple[Step, ...]]
"""A node, and the views that lead from it to another."""


class Finder(Protocol):
    """Finds the tensor of an input at a replay."""

    @property
    def sure(self) -> bool:
        """Whether the tensor is known to have existed before the call."""

    def __call__(self, args: list[Any]) -> Any:
        """Return the tensor, given the call's arguments; None if it is gone."""

    def alive(self) -> bool:
        """Whether the tensor still exists."""


class Source:
    """Where an input comes from: `find(args)` returns its tensor, which had `value` at the capture."""

    __slots__ = ("find", "leaf", "spec", "steps", "value")

    def __init__(self, find: Finder, value: Value, spec: Spec | None) -> None:
        self.find = find
        self.value: Any = value
        self.spec = spec
        self.leaf = 0
        self.steps: tuple[Step, ...] = ()


class Recipe:
    """How an output is made: `steps` of views from wanted node `base`, or from input -1 - `base`."""

    __slots__ = ("base", "steps")

    def __init__(self, base: int, steps: tuple[Step, ...]) -> None:
        self.base = base
        self.steps = steps


def path(graph: Graph, i: int) -> View:
    """Return the node that `i` is a view of, and the views that lead from it to `i`."""
    steps: list[Step] = []
    while (op := graph.op[i]) is not None and op.family == "view":
        steps.append((op, cast(Params, graph.params[i]), graph.spec[i]))
        i = graph.srcs[i][0]
    return i, tuple(reversed(steps))


class Replayable:
    """A plan with everything that is needed to run it again.

    The constructor also runs it for the first time. `targets` are the wanted values, `sources` the possible
    sources of inputs, `live` the constants (or None) whose numbers each run sets, and `dynamic` is shared with
    the plans of other sizes.
    """

    def __init__(
        self, backend: DeviceBackend, targets: list[Value], sources: list[Source], live: list[Value | None],
        dynamic: Dynamic | None = None,
    ) -> None:  # fmt: skip
        self.backend = backend
        graph = backend.graph
        graph.collect()
        bases = [path(graph, t.id) for t in targets]
        wanted: dict[int, int] = {}
        for base, _ in bases:
            if graph.op[base] is not None and graph.op[base] is not FULL:
                wanted.setdefault(base, len(wanted))
        # plans that are shared must not depend on the order of recording
        ordered = graph.ancestors if dynamic is None else graph.postorder
        order = ordered(wanted) if wanted else []
        self.specs = [graph.spec[i] for i in wanted]
        self.locate(order, [base for base, _ in bases], sources)
        self.outputs, self.fixed = self.recipes(bases, wanted, targets)
        places: dict[int, list[int]] = {v.id: [] for v in live if v is not None}
        for k, n in enumerate(order):
            if n in places:
                places[n].append(k)
        self.places = [places[v.id] if v is not None else [] for v in live]
        self.stored: Stored | None = None
        if wanted:
            self.stored, _, values = backend.prepare(order, list(wanted), True, dynamic)
            self.stored.captured += 1
            self.live = self.uniforms_of(self.stored.plan)
            outputs = self.stored.run(backend.encoder, backend.pool, self.bound(), values)
            self.values = list(values)
            backend.counters.dispatches += self.stored.dispatches
            backend.realise(list(wanted), self.stored.plan, outputs)
        backend.submit_pending()

    def __del__(self) -> None:
        stored = getattr(self, "stored", None)
        if stored is not None:
            stored.captured -= 1

    def uniforms_of(self, plan: Plan) -> list[list[int]]:
        """Return the uniforms of a plan that each live number sets."""
        return [
            [u for u, (k, _) in enumerate(plan.uniforms) if k in places] for places in self.places
        ]

    def renew(self) -> None:
        """Take the plan with faster variants of its kernels."""
        old = self.stored
        assert old is not None
        found = renewed(self.backend, old, self.values)
        if found is None:
            return
        stored, values = found
        stored.captured += 1
        old.captured -= 1
        if not old.captured:
            self.backend.encoder.drop([old.id])
        self.live, self.values, self.stored = self.uniforms_of(stored.plan), values, stored

    def recipes(
        self, bases: list[View], wanted: dict[int, int], targets: list[Value]
    ) -> tuple[list[Recipe], list[Value | None]]:
        """Return how each target follows from wanted nodes and inputs, or the target if it is fixed."""
        out: list[Recipe] = []
        fixed: list[Value | None] = []
        for (base, steps), target in zip(bases, targets, strict=True):
            leaf = self.number.get(base)
            if leaf is not None and self.kept[leaf] is None:
                out.append(Recipe(-1 - leaf, steps))
                fixed.append(None)
            else:
                out.append(Recipe(wanted.get(base, 0), steps))
                fixed.append(target if base not in wanted else None)
        return out, fixed

    def locate(self, order: Sequence[int], bases: list[int], sources: list[Source]) -> None:
        """Find a source for each input; an input made inside the call is kept."""
        graph = self.backend.graph
        self.read = [i for i in order if graph.op[i] is None]
        self.number = {i: k for k, i in enumerate(self.read)}
        inputs = self.read + list(
            dict.fromkeys(i for i in bases if graph.op[i] is None and i not in self.number)
        )
        self.number.update({i: k for k, i in enumerate(inputs)})
        self.kept: list[Value | None] = [graph.handle(i) for i in inputs]
        self.sources: list[Source] = []
        self.constants: list[tuple[Source, Any]] = []
        for s in sources:
            base, s.steps = path(graph, s.value.id)
            if base in self.number:
                s.leaf = self.number[base]
                self.kept[s.leaf] = None
                self.sources.append(s)
            elif graph.op[base] is FULL:
                self.constants.append((s, graph.aux[base]))
            s.value = None
        self.now: list[Any] = [graph.buffer[i] for i in inputs]
        self.found: list[Any] = []
        self.nodes: list[int] = inputs

    def keep_lasting(self) -> bool:
        """Forget sources that were temporaries of the call; return False if an input has no other source."""
        often = Counter(s.leaf for s in self.sources)
        doubtful = [s.find for s in self.sources if often[s.leaf] > 1]
        doubtful += [s.find for s, _ in self.constants]
        if any([not find.sure and find.alive() for find in doubtful]):
            gc.collect()  # a temporary may be kept alive by a cycle
        alive = [s for s in self.sources if s.find.alive()]
        found = {s.leaf for s in alive}
        whole = all(s.leaf in found for s in self.sources)
        self.sources = alive
        self.constants = [c for c in self.constants if c[0].find.alive()]
        return whole

    def unexplained(self, start: int) -> bool:
        """Whether an input from before serial `start` would be the same at every run."""
        serial = self.backend.graph.serial
        return any(v is not None and 0 < serial[v.id] <= start for v in self.kept)

    def bound(self) -> list[Buffer]:
        """Return the buffers of the inputs that the plan reads."""
        buffers = self.now[: len(self.read)]
        if self.backend.sender.lost:
            self.backend.sender.check(buffers)
        return buffers

    def bind(self, args: list[Any]) -> bool:
        """Find the buffers of the inputs; return False if a source differs in form from the capture."""
        graph = self.backend.graph
        graph.collect()
        if self.stored is not None and self.stored.gone:
            return False
        if self.backend.pending():
            self.backend.flush()
        self.found.clear()
        now: list[Any] = [None if v is None else graph.buffer[v.id] for v in self.kept]
        nodes: list[Any] = [None if v is None else v.id for v in self.kept]
        for s in self.sources:
            i = self.follow(s, args)
            self.compute(i)
            buffer = graph.buffer[i] if i else None
            if buffer is None or (now[s.leaf] is not None and now[s.leaf] is not buffer):
                return False
            now[s.leaf] = buffer
            nodes[s.leaf] = i
        for s, number in self.constants:
            i = self.follow(s, args)
            found = graph.aux[i] if i else None
            if not i or graph.op[i] is not FULL or not same(found, number):
                return False
        self.now, self.nodes = now, nodes
        return all(b is not None for b in now)

    def compute(self, i: int) -> None:
        """Compute node `i` if another thread has recorded but not yet computed it."""
        op = self.backend.graph.op[i]
        if op is not None and op.family not in ("view", "constant"):
            self.backend.flush((i,))

    def follow(self, s: Source, args: list[Any]) -> int:
        """Return the node under a source's views; 0 if the views are not those of the capture."""
        graph: Graph = self.backend.graph
        x = s.find(args)
        if x is None or (s.spec is not None and x.spec is not s.spec):
            return 0
        self.found.append(x)
        if x.alias is not None:
            x.alias.refresh(x)
        value: Any = x.value
        if value.__class__ is not Value or value.graph is not graph:
            return 0
        i: int = value.id
        for op, params, _ in reversed(s.steps):
            if graph.op[i] is not op or graph.params[i] is not params:
                return 0
            i = graph.srcs[i][0]
        return i

    def run(self, numbers: Sequence[complex | None]) -> list[Value]:
        """Run the plan with these live numbers; return new values for the targets."""
        backend, graph = self.backend, self.backend.graph
        made: list[Value] = []
        if self.stored is not None and self.stored.outdated is not None:
            self.renew()
        if self.stored is not None:
            values = list(self.values)
            for uniforms, number in zip(self.live, numbers, strict=True):
                for u in uniforms:
                    values[u] = number
            self.values = values
            plan = self.stored.plan
            outputs = self.stored.run(backend.encoder, backend.pool, self.bound(), values)
            backend.counters.dispatches += self.stored.dispatches
            backend.reads_ahead.ran(self.stored, outputs)
            made = backend.results(plan, outputs, self.specs)
        out = []
        for recipe, fixed in zip(self.outputs, self.fixed, strict=True):
            if fixed is not None:
                out.append(fixed)
                continue
            at = recipe.base
            value = made[at] if at >= 0 else graph.handle(self.nodes[-1 - at])
            for op, params, spec in recipe.steps:
                value = graph.add(op, params, (value.id,), spec)
            out.append(value)
        self.now = []
        self.found.clear()
        return out

"""A captured graph as something to run again: inputs found anew, outputs handed out as new nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core.graph import Value
from tabgrad.core.op import Op
from tabgrad.core.spec import Params, Spec
from tabgrad.hosts.replay import same
from tabgrad.lower.ir import FULL

Step = tuple[Op, Params, Spec]


class Source:
    """Where an input comes from: an argument (`index`), or a tensor the call reads (`ref`); `value` is what
    it held at the capture."""

    __slots__ = ("index", "leaf", "ref", "steps", "value")

    def __init__(self, ref: Callable[[], Any] | None, index: int, value: Value) -> None:
        self.ref = ref
        self.index = index
        self.value: Any = value
        self.leaf = 0
        self.steps: tuple[Step, ...] = ()


class Recipe:
    """How an output is seen: `steps` of views from wanted node `base`."""

    __slots__ = ("base", "steps")

    def __init__(self, base: int, steps: tuple[Step, ...]) -> None:
        self.base = base
        self.steps = steps


def path(graph: Any, i: int) -> tuple[int, tuple[Step, ...]]:
    """Return the node that `i` is a view of, and the views from there to `i`."""
    steps: list[Step] = []
    while graph.op[i] is not None and graph.op[i].family == "view":
        steps.append((graph.op[i], graph.params[i], graph.spec[i]))
        i = graph.srcs[i][0]
    return i, tuple(reversed(steps))


class Replayable:
    """A plan with what is needed to run it again.

    Making one also runs it for the first time: `targets` are the values wanted, `sources` where the inputs
    may come from, `live` the constants (or None) whose numbers each run is given anew, `dynamic` what this
    plan shares with those of other sizes.
    """

    def __init__(
        self, backend: Any, targets: list[Value], sources: list[Source], live: list[Value | None],
        dynamic: Any = None,
    ) -> None:  # fmt: skip
        self.backend = backend
        graph = backend.graph
        graph.collect()
        bases = [path(graph, t.id) for t in targets]
        wanted: dict[int, int] = {}
        for base, _ in bases:
            if graph.op[base] is not None and graph.op[base] is not FULL:
                wanted.setdefault(base, len(wanted))
        # what was made when is no part of what plans share
        ordered = graph.ancestors if dynamic is None else graph.postorder
        order = ordered(wanted) if wanted else []
        self.outputs, self.fixed = self.recipes(bases, wanted, targets)
        self.specs = [graph.spec[i] for i in wanted]
        self.locate(order, sources)
        position = {n: k for k, n in enumerate(order)}
        places = {v.id: position.get(v.id) for v in live if v is not None}
        self.stored: Any = None
        if wanted:
            self.stored, _, values = backend.prepare(order, list(wanted), True, dynamic)
            self.stored.captured += 1
            self.live = [
                [
                    u
                    for u, (k, _) in enumerate(self.stored.plan.uniforms)
                    if v is not None and k == places[v.id]
                ]
                for v in live
            ]
            outputs = self.stored.run(
                backend.encoder, backend.pool, [b.id for b in self.buffers()], values
            )
            self.values = list(values)
            backend.counters.dispatches += self.stored.dispatches
            backend.realise(list(wanted), self.stored.plan, outputs)
        backend.submit_pending()

    def __del__(self) -> None:
        stored = getattr(self, "stored", None)
        if stored is not None:
            stored.captured -= 1

    def recipes(
        self, bases: Any, wanted: dict[int, int], targets: list[Value]
    ) -> tuple[list[Recipe], list[Any]]:
        """Return how each target follows from the wanted nodes; what doesn't is the same at every run."""
        out, fixed = [], []
        for (base, steps), target in zip(bases, targets, strict=True):
            out.append(Recipe(wanted.get(base, -1), steps))
            fixed.append(target if base not in wanted else None)
        return out, fixed

    def locate(self, order: Sequence[int], sources: list[Source]) -> None:
        """Find a source for each input; an input made inside the call is kept as it is."""
        graph = self.backend.graph
        inputs = [i for i in order if graph.op[i] is None]
        number = {i: k for k, i in enumerate(inputs)}
        self.kept: list[Value | None] = [graph.handle(i) for i in inputs]
        self.sources: list[Source] = []
        self.constants: list[tuple[Source, Any]] = []
        for s in sources:
            base, s.steps = path(graph, s.value.id)
            if base in number:
                s.leaf = number[base]
                self.kept[s.leaf] = None
                self.sources.append(s)
            elif graph.op[base] is FULL:
                self.constants.append((s, graph.aux[base]))
            s.value = None
        self.now: list[Any] = [graph.buffer[i] for i in inputs]

    def settle(self) -> bool:
        """Forget sources that were temporaries of the call; False where an input has no other source."""
        alive = [s for s in self.sources if s.ref is None or s.ref() is not None]
        found = {s.leaf for s in alive}
        whole = all(s.leaf in found for s in self.sources)
        self.sources = alive
        self.constants = [c for c in self.constants if c[0].ref is None or c[0].ref() is not None]
        return whole

    def buffers(self) -> list[Any]:
        """Return the buffers of the inputs."""
        return self.now

    def bind(self, args: list[Any]) -> bool:
        """Find the buffers of the inputs; False where a source has another form than at the capture."""
        graph = self.backend.graph
        graph.collect()
        if self.backend.pending():
            self.backend.flush()
        now: list[Any] = [None if v is None else graph.buffer[v.id] for v in self.kept]
        for s in self.sources:
            i = self.follow(s, args)
            buffer = graph.buffer[i] if i else None
            if buffer is None or (now[s.leaf] is not None and now[s.leaf] is not buffer):
                return False
            now[s.leaf] = buffer
        for s, number in self.constants:
            i = self.follow(s, args)
            found = graph.aux[i] if i else None
            if graph.op[i] is not FULL or not same(found, number):
                return False
        self.now = now
        return all(b is not None for b in now)

    def follow(self, s: Source, args: list[Any]) -> int:
        """Return the node that a source looks at by the steps it had at the capture; 0 if it has others now."""
        graph = self.backend.graph
        x = args[s.index] if s.ref is None else s.ref()
        if x is None:
            return 0
        if x.alias is not None:
            x.alias.refresh(x)
        value = x.value
        if value.graph is not graph:
            return 0
        i: int = value.id
        for op, params, _ in reversed(s.steps):
            if graph.op[i] is not op or graph.params[i] is not params:
                return 0
            i = graph.srcs[i][0]
        return i

    def run(self, numbers: list[Any]) -> list[Value]:
        """Run the plan with these live numbers; return the targets as new values."""
        backend, graph = self.backend, self.backend.graph
        made: list[Value] = []
        if self.stored is not None:
            # This run waits for a read to ride in its packet, or for the next runs.
            backend.submit_held()
            values = list(self.values)
            for uniforms, number in zip(self.live, numbers, strict=True):
                for u in uniforms:
                    values[u] = number
            self.values = values
            plan = self.stored.plan
            outputs = self.stored.run(
                backend.encoder, backend.pool, [b.id for b in self.now], values
            )
            backend.counters.dispatches += self.stored.dispatches
            made = backend.results(plan, outputs, self.specs)
        self.now = []
        out = []
        for recipe, fixed in zip(self.outputs, self.fixed, strict=True):
            if fixed is not None:
                out.append(fixed)
                continue
            value = made[recipe.base]
            for op, params, spec in recipe.steps:
                value = graph.add(op, params, (value.id,), spec)
            out.append(value)
        return out

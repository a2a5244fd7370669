"""The program that lowering works on: the nodes of one flush, rewritten as they are built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core.op import REGISTRY, Op
from tabgrad.core.spec import NO_PARAMS, Params, Spec


class Full(Op):
    """The pseudo-op of a constant, whose value is a uniform word and not part of the structure."""

    family = "constant"

    def __init__(self) -> None:
        self.name = "full"
        self.specs = {}

    def infer_spec(self, *specs: Spec, **params: Any) -> Spec:
        """Raise: a constant is recorded with its spec."""
        raise NotImplementedError


FULL = Full()
BITCAST, CAST, COPY, EXPAND, FLIP, PERMUTE, RESHAPE, SLICE = (
    REGISTRY[name] for name in "bitcast cast copy expand flip permute reshape slice".split()
)
"""Ops that stages look for."""


INNER = 32
"""Bits of the position of a recorded node in the number of a constant."""


def inner(at: int, n: int) -> int:
    """Return the number of constant `n` inside the recorded node at position `at`."""
    return at | (n + 1) << INNER


def place_of(number: int) -> tuple[int, int]:
    """Return the position of a recorded node, and which constant in it is meant, -1 for its own value."""
    return number & (1 << INNER) - 1, (number >> INNER) - 1


class Node:
    """One value of a program.

    `op` is None for an input (`number` says which), FULL for a constant (`number` is the raw node whose value
    fills it), else an Op, with the facts of its family. `users` are the nodes that read this one, `origin`
    the raw node it was made for. `shift` is the raw node whose start (in elements) is added to the index of
    an input, -1 where it begins at 0. `siblings` are the results of one application of an op with several.
    `rows` are (length, distance) of a piece of a cat whose rows lie apart.
    """

    __slots__ = (
        "id", "number", "op", "origin", "params", "rows", "shift", "siblings", "spec", "srcs", "users",
    )  # fmt: skip

    def __init__(
        self,
        id: int,
        op: Op | None,
        params: Params,
        srcs: tuple[Node, ...],
        spec: Spec,
        number: int,
    ) -> None:
        self.id = id
        self.op: Any = op
        self.params = params
        self.srcs = srcs
        self.spec = spec
        self.number = number
        self.origin = -1
        self.shift = -1
        self.rows: tuple[int, int] | None = None
        self.users: list[Node] = []
        self.siblings: list[Node] = [self]

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return self.spec.shape

    @property
    def family(self) -> str:
        """The family of the op; "input" where there is none."""
        return "input" if self.op is None else self.op.family

    @property
    def name(self) -> str:
        """The name of the op."""
        return "input" if self.op is None else self.op.name

    def __repr__(self) -> str:
        args = ", ".join(f"%{s.id}" for s in self.srcs)
        params = "".join(f" {k}={v}" for k, v in self.params.items())
        return f"%{self.id}: {self.spec} = {self.name}({args}){params}"


RawNode = tuple[Op | None, Params | None, tuple[int, ...], Spec]
"""A recorded node as flushed: op, params, positions of its sources, spec."""


Decide = Callable[[str, Callable[[], Any]], Any]
"""A function that makes or repeats a choice that depends on sizes, see `Limits.decide`."""


Pick = Callable[[str, int, Callable[[], Sequence[Any]], Callable[[], Any]], Any]
"""A function that chooses among variants, see `Limits.pick`."""


class Program:
    """The nodes of a program in order, with its inputs and outputs; `software` is that of `Limits`."""

    def __init__(
        self, decide: Decide | None = None, pick: Pick | None = None, software: bool = False
    ) -> None:
        self.software = software
        self.decide: Decide = decide or (lambda what, choose: choose())
        self.pick: Pick = pick or (lambda question, origin, variants, fixed: fixed())
        self.nodes: list[Node] = []
        self.outputs: list[Node] = []
        self.inputs: list[Node] = []
        self.known: dict[Any, Node] = {}
        self.origin = -1

    def input(self, spec: Spec, shift: int = -1) -> Node:
        """Add an input: a value in a buffer, beginning at a position that is known when the plan runs."""
        node = self._add(None, NO_PARAMS, (), spec, len(self.inputs))
        node.shift = shift
        self.inputs.append(node)
        return node

    def constant(self, number: int, spec: Spec) -> Node:
        """Add a constant. Each use has its own, so equal numbers never change the structure."""
        return self._add(FULL, NO_PARAMS, (), spec, number)

    def add(self, op: Op, params: Params, srcs: tuple[Node, ...]) -> Node:
        """Add an op; the same op on the same nodes is the same node."""
        key = (op, params, tuple(s.id for s in srcs))
        found = self.known.get(key)
        if found is None:
            spec = op.infer(tuple(s.spec for s in srcs), params)
            found = self.known[key] = self._add(op, params, srcs, spec, -1)
        return found

    def _add(
        self, op: Op | None, params: Params, srcs: tuple[Node, ...], spec: Spec, number: int
    ) -> Node:
        node = Node(len(self.nodes), op, params, srcs, spec, number)
        node.origin = self.origin
        self.nodes.append(node)
        return node

    def finish(self) -> None:
        """Drop nodes that no output needs, renumber the rest, and note the users of each."""
        needed: set[int] = set()
        stack = list(self.outputs)
        while stack:
            n = stack.pop()
            if n.id not in needed:
                needed.add(n.id)
                stack.extend(n.srcs)
        self.nodes = [n for n in self.nodes if n.id in needed or n.op is None]
        for i, n in enumerate(self.nodes):
            n.id = i
            n.users = []
        for n in self.nodes:
            for s in n.srcs:
                s.users.append(n)
        self.known = {}

    def replace(self, old: Node, new: Node) -> None:
        """Let the readers of `old` read `new`; call `reorder` after the last replacement."""
        for n in self.nodes:
            if old in n.srcs:
                n.srcs = tuple(new if s is old else s for s in n.srcs)
        self.outputs = [new if o is old else o for o in self.outputs]

    def reorder(self) -> None:
        """Put the nodes back in order after some were added or replaced, and note the users again."""
        order: list[Node] = []
        done: set[int] = set()
        for root in [*self.inputs, *self.outputs]:
            stack = [(root, False)]
            while stack:
                n, ready = stack.pop()
                if ready:
                    order.append(n)
                elif n.id not in done:
                    done.add(n.id)
                    stack.append((n, True))
                    stack.extend((s, False) for s in reversed(n.srcs) if s.id not in done)
        for i, n in enumerate(order):
            n.id = i
            n.users = []
        for n in order:
            for s in n.srcs:
                s.users.append(n)
        self.nodes = order

    def __str__(self) -> str:
        return (
            "\n".join(map(repr, self.nodes))
            + "\noutputs "
            + " ".join(f"%{n.id}" for n in self.outputs)
        )

"""The graph of recorded ops: an arena indexed by integers.

Nodes are immutable but for two steps: a node is *realised* when its value lies in a buffer, and then
forgets its sources; and it is reused after its last reference has gone. References are counted by hand and
released by a work list, never through chains of Python objects: dropping 100,000 nodes must not recurse.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tabgrad.core.op import Op
from tabgrad.core.spec import Params, Spec

MANY = 64
"""Dropped handles that wait to be released together; whoever takes memory releases them first."""

_NONE: Any = None  # where the number of a node is free
_VIEWS = 8
"""How many views on each other are looked through: a longer chain counts as something to compute."""


class Value:
    """A handle on a node: it keeps the node alive."""

    __slots__ = ("graph", "id")

    def __init__(self, graph: Graph, id: int) -> None:
        self.graph = graph
        self.id = id

    def __del__(self) -> None:
        graph = self.graph
        dropped = graph.dropped
        dropped.append(self.id)
        if len(dropped) > MANY and not graph.busy:
            graph.collect()


class Graph:
    """The nodes of one device.

    For node `i`: `op[i]` (None once it is realised or an input), `params[i]`, `srcs[i]` (node ids),
    `spec[i]`, `aux[i]` (a Python number for a constant, which is no part of the structure), `buffer[i]`
    (what holds the value, None until realised), `handles[i]` (how many Values), `refs[i]` (handles and
    nodes that read it), `serial[i]` (order of recording), `line[i]` (where the user recorded it).
    `recorded` are the serials of the nodes to compute that were recorded since the last look: a node may have
    gone meanwhile, and its number been given to another.
    """

    lock: Any = None
    """What threads hold that change the graph, where there are threads: see `hosts/threads.py`."""
    user = 0
    """The thread whose nodes are in `recorded`."""

    def __init__(self) -> None:
        self.op: list[Op | None] = [None]
        self.params: list[Params | None] = [None]
        self.srcs: list[tuple[int, ...]] = [()]
        self.spec: list[Spec] = [_NONE]
        self.aux: list[Any] = [None]
        self.buffer: list[Any] = [None]
        self.handles: list[int] = [0]
        self.refs: list[int] = [1]
        self.serial: list[float] = [0]
        self.line: list[Any] = [None]
        self.free: list[int] = []
        self.dropped: list[int] = []
        self.busy = False
        self.count = 0
        self.recorded: dict[int, float] = {}

    def add(
        self, op: Op | None, params: Params | None, srcs: tuple[int, ...], spec: Spec,
        aux: Any = None, line: Any = None,
    ) -> Value:  # fmt: skip
        """Record a node and return a handle on it.

        An exception at any point leaves the graph whole: the node is filled in before it counts as used.
        """
        lock = self.lock
        if lock is not None:
            lock.acquire()
        try:
            if lock is not None and self.user != get_ident():
                self.switch()
            count = self.count = self.count + 1
            refs = self.refs
            if self.free:
                i = self.free.pop()
                self.op[i], self.params[i], self.srcs[i], self.spec[i] = op, params, srcs, spec
                self.aux[i], self.serial[i], self.line[i] = aux, count, line
            else:
                i = len(refs)
                self.op[i:] = (op,)
                self.params[i:] = (params,)
                self.srcs[i:] = (srcs,)
                self.spec[i:] = (spec,)
                self.aux[i:] = (aux,)
                self.buffer[i:] = (None,)
                self.handles[i:] = (0,)
                self.serial[i:] = (count,)
                self.line[i:] = (line,)
                refs.append(0)
            for s in srcs:
                refs[s] += 1
            if op is not None and (op.family != "view" or not self.idle(i)):
                self.recorded[i] = count
            self.handles[i] = refs[i] = 1
            return Value(self, i)
        finally:
            if lock is not None:
                lock.release()

    def switch(self) -> None:
        """Let the current thread record."""

    def handle(self, i: int) -> Value:
        """Return one more handle on node `i`."""
        self.handles[i] += 1
        self.refs[i] += 1
        return Value(self, i)

    def collect(self) -> None:
        """Release what was dropped, and all that only it kept alive."""
        self.busy = True
        refs, srcs = self.refs, self.srcs
        dropped = self.dropped
        try:
            while dropped:
                i = dropped.pop()
                self.handles[i] -= 1
                refs[i] -= 1
                stack = [i] if not refs[i] else []
                while stack:
                    i = stack.pop()
                    for s in srcs[i]:
                        refs[s] -= 1
                        if not refs[s]:
                            stack.append(s)
                    self._erase(i)
        finally:
            self.busy = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Release nothing meanwhile: Python's collector of cycles may drop a handle at any allocation."""
        before, self.busy = self.busy, True
        try:
            yield
        finally:
            self.busy = before
            if not before:
                self.collect()

    def _erase(self, i: int) -> None:
        self.op[i] = None
        self.params[i] = None
        self.srcs[i] = ()
        self.spec[i] = _NONE
        self.aux[i] = None
        self.line[i] = None
        self.buffer[i] = None
        self.serial[i] = 0
        self.free.append(i)

    def realise(self, i: int, buffer: Any) -> None:
        """Give node `i` its value and forget how it was made."""
        old = self.srcs[i]
        self.buffer[i] = buffer
        self.op[i], self.params[i], self.srcs[i] = None, None, ()
        for s in old:
            self.handles[s] += 1
            self.dropped.append(s)
        if not self.busy:
            self.collect()

    def idle(self, i: int) -> bool:
        """Whether node `i` needs no computing: a constant, a value that is there, or a view of such."""
        op = self.op[i]
        for _ in range(_VIEWS):
            if op is None or op.family != "view":
                break
            i = self.srcs[i][0]
            op = self.op[i]
        return op is None or op.family == "constant"

    def live(self) -> list[int]:
        """Return the recorded nodes that have handles and need computing, in order, and forget the others."""
        keep = {
            i: serial
            for i, serial in self.recorded.items()
            if self.handles[i] > 0 and self.serial[i] == serial and not self.idle(i)
        }
        order = sorted(keep, key=keep.__getitem__)
        self.recorded = keep
        return order

    def postorder(self, roots: Iterable[int]) -> list[int]:
        """Return what `roots` are made of, sources first, in an order that follows from the structure alone."""
        order: list[int] = []
        seen: set[int] = set()
        stack = [(i, False) for i in reversed(list(roots))]
        while stack:
            i, ready = stack.pop()
            if ready:
                order.append(i)
            elif i not in seen:
                seen.add(i)
                stack.append((i, True))
                stack.extend((s, False) for s in reversed(self.srcs[i]) if s not in seen)
        return order

    def ancestors(self, roots: Iterable[int]) -> list[int]:
        """Return the roots and all unrealised nodes and leaves they are made of, sources first.

        Nodes come in the order of their making; constants, which are remembered for an unknown time, before
        the first that reads them: the same program has the same order at every time.
        """
        ops, srcs = self.op, self.srcs
        seen: set[int] = set()
        made: list[int] = []
        stack = list(roots)
        while stack:
            i = stack.pop()
            if i not in seen:
                seen.add(i)
                stack.extend(srcs[i])
                op = ops[i]
                if op is None or op.family != "constant":
                    made.append(i)
        made.sort(key=self.serial.__getitem__)
        order: dict[int, None] = {}
        for i in made:
            for s in srcs[i]:
                if s not in order:
                    order[s] = None  # a constant: all else was made before
            order[i] = None
        for i in sorted(seen - order.keys()):
            order[i] = None
        return list(order)

    def recorded_before(self, start: int, roots: Iterable[int]) -> bool:
        """Whether the roots are made of ops recorded up to node number `start` that have no value yet."""
        return any(
            op is not None and op.family not in ("view", "constant") and 0 < self.serial[i] <= start
            for i in self.ancestors(roots)
            for op in (self.op[i],)
        )

    def text(self, roots: Iterable[int]) -> str:
        """Return the graph under `roots`, one readable line a node."""
        lines = []
        for i in self.ancestors(roots):
            op = self.op[i]
            name = "input" if op is None else op.name
            args = ", ".join(f"%{s}" for s in self.srcs[i])
            params = "".join(f" {k}={v}" for k, v in (self.params[i] or {}).items())
            lines.append(f"%{i}: {self.spec[i]} = {name}({args}){params}")
        return "\n".join(lines)

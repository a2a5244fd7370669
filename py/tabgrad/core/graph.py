"""The graph of recorded ops: an arena indexed by integers.

A node changes only twice. When its value is in a buffer, it is *realised* and forgets its sources. When its
last reference is gone, its number is reused. References are counted by hand and released with a work list,
never through chains of Python objects: dropping 100,000 nodes must not recurse.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import CodeType
from typing import TYPE_CHECKING, Any

from tabgrad.core.op import Op
from tabgrad.core.spec import Params, Spec

if TYPE_CHECKING:
    from tabgrad.hosts.pool import Buffer

Line = tuple[CodeType, int]
"""A line of the user's program: a code object and the instruction in it."""
MANY = 64
"""How many dropped handles are released together; code that allocates memory releases them earlier."""

_NONE: Any = None  # stands in the fields of unused node numbers
_VIEWS = 8
"""How many nested views `idle` follows; a longer chain counts as something to compute."""


class Value:
    """A handle that keeps a node alive."""

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

    For node `i`: `op[i]` (None for an input or a realised node), `params[i]`, `srcs[i]` (ids of its sources),
    `spec[i]`, `aux[i]` (the Python number of a constant, which is not part of the structure), `buffer[i]`
    (holds the value; None until realised), `handles[i]` (number of Values), `refs[i]` (handles plus nodes that
    read it), `serial[i]` (order of recording), `line[i]` (the user's line that recorded it).
    `recorded` maps nodes that may need computing to their serials. A serial tells whether the node is still
    the same: it may have been released, and its number reused.
    """

    lock: Any = None
    """The lock of threads that change the graph; None without threads. See `hosts/threads.py`."""
    user = 0
    """The id of the thread whose nodes are in `recorded`."""

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
        self.line: list[Line | None] = [None]
        self.free: list[int] = []
        self.dropped: list[int] = []
        self.busy = False
        self.count = 0
        self.recorded: dict[int, float] = {}

    def add(
        self, op: Op | None, params: Params | None, srcs: tuple[int, ...], spec: Spec,
        aux: complex | None = None, line: Line | None = None,
    ) -> Value:  # fmt: skip
        """Record a node and return a handle on it.

        An exception at any point leaves the graph consistent: the node is filled in before it counts as used.
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
            if op is not None and (
                op.family != "view" or (self.op[srcs[0]] is not None and not self.idle(srcs[0]))
            ):
                self.recorded[i] = count
            self.handles[i] = refs[i] = 1
            return Value(self, i)
        finally:
            if lock is not None:
                lock.release()

    def switch(self) -> None:
        """Make the current thread the one that records."""

    def handle(self, i: int) -> Value:
        """Make one more handle on node `i`."""
        self.handles[i] += 1
        self.refs[i] += 1
        return Value(self, i)

    def collect(self) -> None:
        """Release the nodes of dropped handles, and all nodes that only those kept alive."""
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
        """Release no node inside the block: Python's cycle collector may drop a handle at any allocation."""
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

    def realise(self, i: int, buffer: Buffer) -> None:
        """Store the buffer with the value of node `i`, and forget how the value was made."""
        old = self.srcs[i]
        self.buffer[i] = buffer
        self.op[i], self.params[i], self.srcs[i] = None, None, ()
        for s in old:
            self.handles[s] += 1
            self.dropped.append(s)
        if not self.busy:
            self.collect()

    def idle(self, i: int) -> bool:
        """Whether node `i` needs no computing: it is a constant, a realised value, or a view of one."""
        op = self.op[i]
        for _ in range(_VIEWS):
            if op is None or op.family != "view":
                break
            i = self.srcs[i][0]
            op = self.op[i]
        return op is None or op.family == "constant"

    def live(self) -> list[int]:
        """Return the recorded nodes that have handles and need computing, in order; forget the others."""
        keep = {
            i: serial
            for i, serial in self.recorded.items()
            if self.handles[i] > 0 and self.serial[i] == serial and not self.idle(i)
        }
        order = sorted(keep, key=keep.__getitem__)
        self.recorded = keep
        return order

    def postorder(self, roots: Iterable[int]) -> list[int]:
        """Return the nodes under `roots`, sources first, in an order that depends on the structure alone."""
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
        """Return the roots and all unrealised nodes and leaves under them, sources first.

        Nodes are in the order of recording. Leaves, constants and views of these may be much older than the
        nodes around them, so each comes just before the first node that reads it, a constant before each one:
        the same program always has the same order, whichever of its constants happen to be one node.
        """
        ops, srcs = self.op, self.srcs
        seen: set[int] = set()
        roots = list(roots)
        stack = roots[:]
        while stack:
            i = stack.pop()
            if i not in seen:
                seen.add(i)
                stack.extend(srcs[i])
        early: set[int] = set()
        made: list[int] = []
        for i in sorted(seen, key=self.serial.__getitem__):
            op = ops[i]
            if (
                op is None
                or op.family == "constant"
                or (op.family == "view" and srcs[i][0] in early)
            ):
                early.add(i)
            else:
                made.append(i)
        order: list[int] = []
        placed: set[int] = set()
        for i in made:
            for s in srcs[i]:
                if s not in placed:
                    self._add_early(s, order, placed)
            order.append(i)
            placed.add(i)
        for i in roots:
            if i not in placed:
                self._add_early(i, order, placed)
        return order

    def _add_early(self, i: int, order: list[int], placed: set[int]) -> None:
        """Add a leaf, a constant, or a view of one, with what it is a view of in front."""
        ops = self.op
        chain = [i]
        while (srcs := self.srcs[i]) and srcs[0] not in placed:
            i = srcs[0]
            chain.append(i)
        order.extend(reversed(chain))
        placed.update([i for i in chain if (op := ops[i]) is None or op.family != "constant"])

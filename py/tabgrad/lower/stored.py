"""Stored values: those that get a buffer of their own. Each of them starts a group, or is an input."""

from __future__ import annotations

import functools

from tabgrad.lower.group import is_heavy, weight
from tabgrad.lower.ir import CAST, EXPAND, FULL, RESHAPE, Node, Program
from tabgrad.lower.limits import Limits
from tabgrad.lower.measure import MAX_OPS, Measure
from tabgrad.lower.record import CHEAP, notes_errors, record_of

MAX_RESHAPES = 8
"""Reshapes through which a heavy op reads in place: each may double the index that a product writes out."""


def choose_stored(p: Program, limits: Limits, stored: set[int], buffers: int) -> None:
    """Add to `stored` the ids of the values that get a buffer; a kernel binds at most so many `buffers`."""
    storing = Storing(p, limits, stored, buffers)
    for store in PASSES:
        store(storing)


class Storing:
    """The passes that store values. `masks` are the ops inlined in each node, as bits."""

    def __init__(self, p: Program, limits: Limits, stored: set[int], buffers: int) -> None:
        self.p = p
        self.limits = limits
        self.stored = stored
        self.buffers = buffers
        self.masks: dict[int, int] = {}

    def store_ends(self) -> None:
        """Store inputs, outputs, and heavy ops."""
        self.stored.update(n.id for n in (*self.p.inputs, *self.p.outputs))
        self.stored.update(n.id for n in self.p.nodes if is_heavy(n))

    def store_operands(self) -> None:
        """Store the operands of heavy ops, and of ops that read one element often."""
        for n in self.p.nodes:
            record = record_of(n)
            if is_heavy(n):
                for s in n.srcs if n.family != "reduction" else ():
                    if getattr(n.op, "whole", False) and s.op is not FULL:
                        self.stored.add(s.id)
                    self.store_operand(s, (record.buried if record is not None else 0) or 0)
            elif record is not None:
                if record.buried is not None:
                    self.store_operand(n.srcs[0], record.buried)
                if record.alone is not None and record.alone(n):
                    self.stored.add(n.id)

    def store_operand(self, n: Node, most: int = 0) -> None:
        """Store the operand of a heavy op, unless it is only a view or a cast of a stored value."""
        operand, reshapes = n, 0
        while n.family == "view" or n.op is CAST or notes_errors(n):
            reshapes += n.op is RESHAPE
            n = n.srcs[0]
        if reshapes > MAX_RESHAPES:
            self.stored.add(operand.id)
        elif n.family in ("elementwise", "kernel") and n.op is not FULL and weight(n) > most:
            self.stored.add(n.id)

    def store_long(self) -> None:
        """Store values where an expression would grow too long; note the ops inlined in each node."""
        measure = Measure(self.p.nodes, self.stored)
        masks = self.masks
        for n in self.p.nodes:
            measure.shorten(n)
            mask = 1 << n.id if weight(n) else 0
            for s in n.srcs:
                if s.id not in self.stored:
                    mask |= masks[s.id]
            if mask.bit_count() > MAX_OPS and n.family != "view":
                self.stored.add(n.id)
            masks[n.id] = mask

    def store_unbound(self) -> None:
        """Store more until kernels can bind all they read; a value stored for one is a load of others."""
        before = -1
        while before != len(self.stored):
            before = len(self.stored)
            loads: dict[int, int] = {}
            for n in self.p.nodes:
                loads[n.id] = self.few_loads(n, loads)

    def few_loads(self, n: Node, loads: dict[int, int]) -> int:
        """Find the stored nodes that an expression reads, as bits; store parts of it until they are few."""

        def read_by(s: Node) -> int:
            s = self.base(s)
            return 1 << s.id if s.id in self.stored else loads[s.id]

        while True:
            total = 0
            for s in n.srcs:
                total |= read_by(s)
            if notes_errors(n):
                total |= 1 << len(self.p.nodes)  # the buffer of errors
            if total.bit_count() < self.buffers:
                return total
            worst = max(n.srcs, key=lambda s: read_by(s).bit_count())
            if read_by(worst).bit_count() <= 1:
                return total
            self.stored.add(self.base(worst).id)

    def base(self, n: Node) -> Node:
        """Find the node under a chain of views."""
        while n.family == "view" and n.id not in self.stored:
            n = n.srcs[0]
        return n

    def store_shared(self) -> None:
        """Store a value that several groups would compute, unless it is cheap."""
        nodes = self.p.nodes
        roots: dict[int, frozenset[int]] = {}
        for n in reversed(nodes):
            if n.id in self.stored:
                roots[n.id] = frozenset((n.id,))
                continue
            found = frozenset().union(*(roots[u.id] for u in n.users)) if n.users else frozenset()
            if n.family in ("elementwise", "kernel") and n.op is not FULL:
                repeated = self.limits.decide("repeated", functools.partial(self.repeated, n))
                dear = CHEAP if len(found) > 1 else 8 if repeated else MAX_OPS * 8
                if dear < MAX_OPS * 8 and self.total(self.masks[n.id]) > dear:
                    self.stored.add(n.id)
                    found = frozenset((n.id,))
            roots[n.id] = found

    def repeated(self, n: Node) -> bool:
        """Test whether each element of a value is read many times, through views such as windows."""
        size = n.spec.size
        stack, many = list(n.users) if size > 1 else [], 4 * size
        while stack:
            u = stack.pop()
            if u.family == "view":
                # windows take a few elements of the axis that is repeated for them
                windows = u.op is EXPAND and u.users and all(w.name == "rewindow" for w in u.users)
                if u.spec.size >= many and not windows:
                    return True
                stack.extend(u.users)
        return False

    def total(self, mask: int) -> int:
        """Add up the instructions of the ops in a mask."""
        out = 0
        while mask:
            low = mask & -mask
            out += weight(self.p.nodes[low.bit_length() - 1])
            mask ^= low
        return out


PASSES = (
    Storing.store_ends,
    Storing.store_operands,
    Storing.store_long,
    Storing.store_shared,
    Storing.store_unbound,
)
"""The passes in their order: each sees the values that earlier passes have stored."""

"""Memory of a plan: a slot for each stored node, and one slot for all pieces of a long `cat`."""

from __future__ import annotations

from tabgrad.core.spec import NO_PARAMS, Spec
from tabgrad.lower.dialect import Dialect
from tabgrad.lower.ir import COPY, FULL, RESHAPE, Node, Program
from tabgrad.lower.record import record_of


def join_in_place(p: Program, apart: frozenset[Node] = frozenset()) -> dict[Node, tuple[Node, int]]:
    """Let the ops that make the pieces of each long cat write straight into it.

    Returns, for each piece, the cat and the offset in it, in elements. A piece that can't be written in
    place (an input, a view that moves elements, a piece of two cats, one of `apart`) is copied.
    """
    inside: dict[Node, tuple[Node, int]] = {}
    for cat in [n for n in p.nodes if _joins(n)]:
        pieces = []
        at = 0
        for s in cat.srcs:
            piece = _base(s)
            if piece in inside or piece in apart or not _in_place(piece):
                piece = p._add(COPY, NO_PARAMS, (s,), s.spec, -1)
            inside[piece] = (cat, at)
            pieces.append(piece)
            at += s.spec.size
        cat.srcs = tuple(pieces)
    if inside:
        p.reorder()
    return inside


def _base(n: Node) -> Node:
    while n.op is RESHAPE:
        n = n.srcs[0]
    return n


def _in_place(n: Node) -> bool:
    if n.op is None or n.op is FULL or n.family == "view":
        return False
    return not _joins(n)


def _joins(n: Node) -> bool:
    record = record_of(n)
    return record is not None and record.pieces and record.heavy(n)


class Memory:
    """The slots of a plan: inputs first, then outputs and temporaries; slots in `empty` have no elements."""

    def __init__(self, p: Program, dialect: Dialect, inside: dict[Node, tuple[Node, int]]) -> None:
        self.dialect = dialect
        self.places: dict[int, tuple[int, int]] = {}
        self.bytes: list[int] = []
        self.inside = inside
        self.empty: set[int] = set()
        for n in p.inputs:
            self.places[n.id] = (self.slot(n), 0)

    def slot(self, n: Node) -> int:
        """Make a slot that holds `n`."""
        if not n.spec.size:
            self.empty.add(len(self.bytes))
        self.bytes.append(self.dialect.nbytes(n.spec.dtype, n.spec.size))
        return len(self.bytes) - 1

    def scratch(self, nbytes: int) -> int:
        """Make a slot for scratch memory of one op's kernels."""
        self.bytes.append(nbytes)
        return len(self.bytes) - 1

    def spare(self, spec: Spec) -> int:
        """Make a slot for a result that nobody wants."""
        return self.scratch(self.dialect.nbytes(spec.dtype, max(spec.size, 1)))

    def place(self, n: Node) -> None:
        """Give a stored node a place in a slot."""
        if n.id in self.places:
            return
        home = self.inside.get(n)
        if home is None:
            self.places[n.id] = (self.slot(n), 0)
            return
        cat, at = home
        self.place(cat)
        slot, base = self.places[cat.id]
        self.places[n.id] = (slot, base + at)

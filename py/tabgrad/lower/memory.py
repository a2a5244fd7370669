"""Memory of a plan: a slot for each stored node; one for all pieces of a `cat`, and for what shares one."""

from __future__ import annotations

from collections.abc import Sequence

from tabgrad.core.spec import Spec
from tabgrad.lower.dialect import Dialect
from tabgrad.lower.ir import Node, Program
from tabgrad.lower.sharing import padded


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

    def side_by_side(self, members: Sequence[Node]) -> None:
        """Give stored nodes of one dtype places in one slot."""
        at = 0
        for m in members:
            self.places[m.id] = (len(self.bytes), at)
            at += padded(m)
        self.bytes.append(self.dialect.nbytes(members[0].spec.dtype, at))

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

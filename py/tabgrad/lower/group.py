"""Groups: sets of nodes that become one kernel, with costs of nodes and indices of their sources."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from tabgrad.core.shape import without
from tabgrad.lower.index import Expr, const, unflatten, var
from tabgrad.lower.ir import Node
from tabgrad.lower.record import call_of, record_of


def is_heavy(n: Node) -> bool:
    """Test whether the node is more than one expression of the matching elements of its sources."""
    if n.family in ("elementwise", "view", "input", "constant"):
        return False
    record = record_of(n)
    return n.family in ("reduction", "bilinear") or record is None or record.heavy(call_of(n))


def in_blocks(n: Node) -> bool:
    """Test whether each source of an inlined node is computed in a block of its own, under a condition."""
    if n.family == "view":
        return bool(n.op.fills)
    record = record_of(n)
    return record is not None and record.blocks


def in_pieces(g: Group) -> bool:
    """Test whether a group needs no kernel, because its sources are written straight to their places in it."""
    record = record_of(g.members[0]) if g.kind == "library" else None
    return record is not None and record.pieces


WEIGHTS: dict[str, int] = {}
"""The results of `weight` for element-wise ops."""


def weight(n: Node) -> int:
    """Estimate how many instructions one element costs."""
    record = record_of(n)
    if record is not None:
        return record.weight
    found = WEIGHTS.get(n.name)
    if found is None:
        code = str(getattr(n.op, "code", ""))
        found = WEIGHTS[n.name] = 0 if n.family != "elementwise" else 4 if "_{f}(" in code else 1
    return found


class Group:
    """A set of nodes that becomes one kernel.

    `kind` is "map", "row", "product" or "library". A row group runs over `shape`, reducing `axes`; `heavies`
    are its reductions or its product; `index` holds the index of every member; `loads` the nodes it reads;
    `place` is where it stands in a line in which each group comes after those it reads; `checks` is 1 where it
    checks an index, for which it binds one more buffer; its temporaries share one where it is `packed`.
    """

    def __init__(
        self, kind: str, shape: tuple[int, ...], axes: tuple[int, ...], members: list[Node]
    ) -> None:
        self.kind = kind
        self.shape = shape
        self.axes = axes
        self.members = members
        self.first = members[0]
        self.heavies = [m for m in members if is_heavy(m)]
        self.index: dict[int, tuple[Expr, ...]] = {}
        self.loads: dict[int, Node] = {}
        self.place = -1
        self.checks = 0
        self.packed = False

    @property
    def outer(self) -> tuple[int, ...]:
        """The axes that are not reduced."""
        return without(self.shape, self.axes)

    @property
    def rows(self) -> int:
        """The number of elements of the outer axes."""
        return math.prod(self.outer)

    @property
    def row_size(self) -> int:
        """The number of elements that one reduction runs over."""
        return math.prod(self.shape[a] for a in self.axes)

    def outer_index(self) -> tuple[Expr, ...]:
        """Give the index of row `g` in the outer axes."""
        return unflatten(var("g", self.rows), self.outer)

    def full_index(self, r: Expr | None = None) -> tuple[Expr, ...]:
        """Give the index of element `r` of row `g` in the whole shape."""
        outer = iter(self.outer_index())
        r = var("r", self.row_size) if r is None else r
        inner = iter(unflatten(r, tuple(self.shape[a] for a in self.axes)))
        return tuple(next(inner) if i in self.axes else next(outer) for i in range(len(self.shape)))

    def operands(self, h: Node) -> list[tuple[Node, tuple[Expr, ...]]]:
        """List the nodes and indices that a heavy member reads at one step of its loop."""
        if h.family == "bilinear":
            return [(s, operand_index(h, side == 1)) for side, s in enumerate(h.srcs)]
        return [(h.srcs[0], self.full_index())]

    def __repr__(self) -> str:
        names = ",".join(f"%{m.id}:{m.name}" for m in self.members)
        return f"<{self.kind} {self.shape}/{self.axes} [{names}] loads {sorted(self.loads)}>"


def product_dims(n: Node) -> tuple[int, int, int, int]:
    """Find the sizes (batch, rows, columns, inner) of a matmul node."""
    x, y = n.srcs
    return math.prod(x.shape[:-2]), x.shape[-2], y.shape[-1], x.shape[-1]


def product_index(n: Node) -> tuple[Expr, ...]:
    """Make the index of element (b, i, j) of a matmul node."""
    b, m, c, _ = product_dims(n)
    return (*unflatten(var("b", b), n.shape[:-2]), var("i", m), var("j", c))


def operand_index(n: Node, right: bool) -> tuple[Expr, ...]:
    """Make the index at which a matmul node reads its left or right operand."""
    b, m, c, k = product_dims(n)
    lead = unflatten(var("b", b), n.shape[:-2])
    return (*lead, var("k", k), var("j", c)) if right else (*lead, var("i", m), var("k", k))


def numbers(index: Iterable[Any]) -> tuple[Expr, ...]:
    """Turn the index that a view gives into expressions; the view of a scalar gives plain numbers."""
    return tuple(e if isinstance(e, Expr) else const(e) for e in index)


def can_be_followed(n: Node) -> bool:
    """Test whether a node is a view through which `forward_index` goes."""
    return n.family == "view" and n.op.inverse is not None


def sources(n: Node, index: tuple[Expr, ...]) -> Iterable[tuple[Node, tuple[Expr, ...]]]:
    """List the elements of its sources that element `index` of an inlined node is computed from."""
    if n.family == "elementwise":
        return [(s, index) for s in n.srcs]
    if n.family == "view":
        inner, _ = n.op.index(index, n.srcs[0].shape, **n.params)
        return [(n.srcs[0], numbers(inner))]
    record = record_of(n)
    return record.sources(n, index) if record is not None and record.sources is not None else []


def forward_index(
    index: tuple[Expr, ...], shape: tuple[int, ...], path: tuple[Node, ...]
) -> tuple[Expr, ...]:
    """Map `index` in a `shape` through the views of `path`."""
    for v in path:
        back = v.op.inverse(shape, **v.params)
        index = numbers(v.op.index(index, v.shape, **back)[0])
        shape = v.shape
    return index

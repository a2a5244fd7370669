"""Sums of products: what a weight that is used many times adds up is one product with a longer inner axis.

A recurrence uses one weight at each step: the gradient is the sum over t of A_t^T B_t, and that of a bias the
sum of the column sums of B_t. Where the A_t, and the B_t, can lie side by side, that is one product.
Convolutions are such products too, over windows of their inputs. Products with one weight whose rows lie
side by side are one as well, if none of them waits for another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tabgrad.core.dtype import HALVES
from tabgrad.core.op import REGISTRY
from tabgrad.core.spec import Params
from tabgrad.lower.ir import EXPAND, FULL, PERMUTE, RESHAPE, SLICE, Node, Program
from tabgrad.lower.simplify import SMALL, apply

MATMUL, SUM, ADD, MUL, CAT = (REGISTRY[n] for n in "matmul reduce_sum add mul cat".split())
PAD, REWINDOW = REGISTRY["pad"], REGISTRY["rewindow"]
WINDOWS = (PAD, EXPAND, REWINDOW)
"""The views that make windows of the input of a convolution."""
MOST = 1 << 22
"""The most elements of gradients that are kept until the last of them, for one product of convolutions."""


SIDES = ("starts", "stops", "steps")


@dataclass
class Terms:
    """Terms of the sum `root` that are of one kind: `leaves`, and the product or reduction under the `views`
    of each, by its operands."""

    root: Node
    leaves: list[Node]
    views: tuple[tuple[Any, Params], ...]
    operands: list[tuple[Node, ...]]
    shape: tuple[int, ...]


def join_products(p: Program) -> None:
    """Join products of one weight, and terms of sums that are products, or sums over rows, of one kind."""
    outputs = {o.id for o in p.outputs}
    sums = {root: _leaves(root, outputs) for root in _roots(p, outputs)}
    found = [t for root, leaves in sums.items() for t in _kinds(root, leaves, outputs)]
    weights = _weights(p)
    if not found and not weights:
        return
    joiner, before = Joiner(p), len(p.nodes)
    made: dict[Node, list[tuple[Terms, Node]]] = {}
    for terms in sorted(found, key=lambda t: (-len(t.operands[0]), -len(t.leaves))):
        p.origin = terms.root.origin
        one = joiner.product(terms) if len(terms.operands[0]) == 2 else joiner.rows(terms)
        if one is not None:
            made.setdefault(terms.root, []).append((terms, one))
    for root, parts in made.items():
        p.origin = root.origin
        _replace(p, root, sums[root], parts)
    if made:
        p.reorder()
        before = len(p.nodes)
    if sum(joiner.stacked(products) for products in weights) or len(p.nodes) > before:
        p.reorder()  # which drops what was made and found no use


def _weights(p: Program) -> list[list[Node]]:
    """List the products that have a right operand in common, by their left ones."""
    found: dict[Any, list[Node]] = {}
    for n in p.nodes:
        if n.op is MATMUL and len(n.shape) == 2:
            found.setdefault((n.srcs[1].id, _origin(n.srcs[0])), []).append(n)
    many = [products for products in found.values() if len(products) > SMALL]
    return [sorted(products, key=lambda n: _mark(n.srcs[0])) for products in many]


def _roots(p: Program, outputs: set[int]) -> list[Node]:
    """List the additions that are no part of a larger sum."""
    adds = [n for n in p.nodes if n.op is ADD]
    inner = {s.id for n in adds for s in n.srcs if _is_inner(s, outputs)}
    return [n for n in adds if n.id not in inner]


def _is_only(n: Node, outputs: set[int]) -> bool:
    return len(n.users) == 1 and n.id not in outputs


def _is_inner(n: Node, outputs: set[int]) -> bool:
    return n.op is ADD and _is_only(n, outputs)


def _leaves(root: Node, outputs: set[int]) -> list[Node]:
    """List the terms of a sum, from left to right."""
    out, stack = [], list(reversed(root.srcs))
    while stack:
        n = stack.pop()
        if _is_inner(n, outputs):
            stack.extend(reversed(n.srcs))
        else:
            out.append(n)
    return out


def _kinds(root: Node, leaves: list[Node], outputs: set[int]) -> list[Terms]:
    """Sort the terms of a sum by their kinds; keep those that are more than a cat of a few."""
    dtype = root.spec.dtype
    if len(leaves) <= SMALL or dtype in HALVES or not dtype.is_differentiable:
        return []
    kinds: dict[Any, Terms] = {}
    for leaf in leaves:
        views, base = list[tuple[Any, Params]](), leaf
        operands = _operands(base)
        while not operands and base.family == "view" and _is_only(base, outputs):
            views.append((base.op, base.params))
            base = base.srcs[0]
            operands = _operands(base)
        if not operands or not _is_only(base, outputs):
            continue
        origins = tuple(map(_origin, operands))
        if None in origins:
            continue
        inner = operands[0].shape[1:] if len(operands) == 1 else ()
        key = (origins, tuple(views), base.shape, inner)
        terms = kinds.setdefault(key, Terms(root, [], tuple(views), [], base.shape))
        terms.leaves.append(leaf)
        terms.operands.append(operands)
    return [t for t in kinds.values() if len(t.leaves) > SMALL]


def _operands(n: Node) -> tuple[Node, ...]:
    """List what a term adds up: two operands of a product, one of a sum over rows, none of another op."""
    if n.op is MATMUL and math.prod(n.shape[:-2]) == 1:
        return n.srcs
    if n.op is SUM and n.params["axes"] == tuple(range(len(n.srcs[0].shape) - len(n.shape))):
        return n.srcs
    if n.op is RESHAPE and n.srcs[0].shape == (1, *n.shape):
        # the sum of one row
        return n.srcs
    return _factors(n)


def _factors(n: Node) -> tuple[Node, ...]:
    """Find the column and the row whose product an outer product is, which `simplify` writes by elements."""
    if n.op is not MUL or len(n.shape) != 3 or n.shape[2] != 1:
        return ()
    found = []
    for side, spread in enumerate(n.srcs):
        if spread.op is not EXPAND:
            return ()
        x = spread.srcs[0]
        while x.op is RESHAPE:
            x = x.srcs[0]
        if x.shape != (n.shape[side], 1):
            return ()
        if side and (x.op is not PERMUTE or x.srcs[0].shape != (1, n.shape[1])):
            return ()
        found.append(x.srcs[0] if side else x)
    return tuple(found)


def _mark(n: Node) -> int:
    """Give the id of the slice that an operand is, or of the node under its views."""
    while n.family == "view" and n.op is not SLICE:
        n = n.srcs[0]
    return n.id


def _origin(n: Node) -> Any:
    """Say where an operand comes from: a part of one node, or a value of its own; None: it can't be joined."""
    cut = False
    while n.family == "view":
        cut = cut or n.op is SLICE
        n = n.srcs[0]
    if cut:
        return n.id
    return None if n.op is None or n.op is FULL else "own"


def _are_small(pairs: list[tuple[Node, ...]]) -> bool:
    return sum(x.spec.size for x, _ in pairs) <= MOST


def _waits(pieces: list[Node], products: list[Node]) -> bool:
    """Test whether an operand is computed from one of these products."""
    goals, seen = {n.id for n in products}, set[int]()
    first, stack = min(goals), list(pieces)
    while stack:
        n = stack.pop()
        if n.id in goals:
            return True
        if n.id > first and n.id not in seen:
            seen.add(n.id)
            stack.extend(n.srcs)
    return False


def _of(params: Params, name: str) -> tuple[int, ...]:
    found: Any = params[name]
    return found


def _replace(p: Program, root: Node, leaves: list[Node], parts: list[tuple[Terms, Node]]) -> None:
    """Put a sum of what was joined and of the other terms in the place of a sum."""
    taken = {leaf.id for terms, _ in parts for leaf in terms.leaves}
    total: Node | None = None
    for terms, one in parts:
        for op, params in reversed(terms.views):
            one = apply(p, op.name, one, **params)
        total = one if total is None else apply(p, "add", total, one)
    for leaf in leaves:
        if leaf.id not in taken:
            total = apply(p, "add", total, leaf)  # type: ignore[arg-type]
    p.replace(root, total)  # type: ignore[arg-type]


class Joiner:
    """Joins operands that can lie side by side: `runs` are the cats that there are, by their pieces."""

    def __init__(self, p: Program) -> None:
        self.p = p
        self.runs: list[tuple[list[Node], Node]] = []
        self.placed: set[int] = set()
        for n in p.nodes:
            axis: Any = n.params["axis"] if n.op is CAT else 0
            if n.op is CAT and len(n.srcs) > SMALL and math.prod(n.shape[:axis]) <= 1:
                self.note(n)

    def note(self, cat: Node) -> None:
        """Note a cat of the program: its pieces are written straight into it."""
        pieces = []
        for s in cat.srcs:
            while s.op is RESHAPE:
                s = s.srcs[0]
            pieces.append(s)
        self.placed.update(s.id for s in pieces)
        if len({s.shape[1:] for s in pieces}) == 1 and all(s.shape for s in pieces):
            self.runs.append((pieces, cat))

    def product(self, terms: Terms) -> Node | None:
        """Make one product of many, whose inner axes are joined."""
        pairs = terms.operands
        if _mark(pairs[0][0]) > _mark(pairs[-1][0]):
            # gradients come last step first
            pairs = pairs[::-1]
        rank = len(pairs[0][1].shape)
        if rank > 2 and not self.p.decide("joined", lambda: _are_small(pairs)):
            return None
        left = self.joined([x for x, _ in pairs], rank - 1)
        right = None if left is None else self.joined([y for _, y in pairs], rank - 2)
        return None if left is None or right is None else apply(self.p, "matmul", left, right)

    def rows(self, terms: Terms) -> Node | None:
        """Make one sum over rows of those that lie side by side already; keep these alone in `terms`."""
        pieces = {x.id: i for i, (x,) in enumerate(terms.operands)}
        for run, _ in self.runs:
            inside = [s for s in run if s.id in pieces]
            equal = len({s.shape for s in inside}) == 1
            if len(inside) <= SMALL or len(pieces) < len(terms.leaves) or not equal:
                continue
            found = self.part(inside)
            if found is not None:
                terms.leaves = [terms.leaves[pieces[s.id]] for s in inside]
                # each piece first, then their sums, which is as exact as one sum for each
                shape = (len(inside), inside[0].shape[0], *found.shape[1:])
                axes = tuple(range(1, len(shape) - len(terms.shape)))
                sums = apply(self.p, "reshape", found, shape=shape)
                sums = apply(self.p, "reduce_sum", sums, axes=axes)
                return apply(self.p, "reduce_sum", sums, axes=(0,))
        return None

    def stacked(self, products: list[Node]) -> bool:
        """Let products with one right operand be rows of one, if their left operands are rows already."""
        pieces = [n.srcs[0] for n in products]
        left = self.part(pieces)
        if left is None and _origin(pieces[0]) != "own":
            left = self.joined(pieces, 0)
        elif left is None:
            products, pieces = products[::-1], pieces[::-1]
            left = self.part(pieces)
        if left is None or _waits(pieces, products):
            return False
        self.p.origin = products[0].origin
        whole, at = apply(self.p, "matmul", left, products[0].srcs[1]), 0
        for n in products:
            stop = at + n.shape[0]
            rows = apply(
                self.p, "slice", whole, starts=(at, 0), stops=(stop, n.shape[1]), steps=(1, 1)
            )
            self.p.replace(n, rows)
            at = stop
        return True

    def joined(self, pieces: list[Node], axis: int) -> Node | None:
        """Join nodes along an axis without moving what they hold; None where that can't be."""
        first = pieces[0]
        if len({s.id for s in pieces}) < len(pieces):
            return None
        if first.op is PERMUTE and all(
            s.op is PERMUTE and s.params is first.params for s in pieces
        ):
            dims: Any = first.params["dims"]
            inner = self.joined([s.srcs[0] for s in pieces], dims[axis])
            return None if inner is None else apply(self.p, "permute", inner, dims=dims)
        if first.op is SLICE:
            return self.sliced(pieces, axis)
        if first.op in WINDOWS:
            return self.seen_through(pieces, axis)
        if axis and first.op is RESHAPE:
            return self.merged(pieces, axis)
        if axis:
            return None
        if first.op is RESHAPE and all(s.op is RESHAPE for s in pieces):
            return self.reshaped(pieces)
        return self.part(pieces) or self.cat(pieces)

    def seen_through(self, pieces: list[Node], axis: int) -> Node | None:
        """Join the same views of nodes, which leave an axis and those before it as they are."""
        first = pieces[0]
        base = first.srcs[0].shape
        if any(s.op is not first.op or s.params != first.params for s in pieces):
            return None
        if first.shape[: axis + 1] != base[: axis + 1] or any(
            s.srcs[0].shape != base for s in pieces
        ):
            return None
        params: dict[str, Any] = dict(first.params)
        if first.op is PAD and any(_of(first.params, k)[axis] for k in ("low", "high", "interior")):
            return None
        inner = self.joined([s.srcs[0] for s in pieces], axis)
        if inner is None:
            return None
        if first.op is EXPAND:
            shape = first.shape
            params["shape"] = (*shape[:axis], inner.shape[axis], *shape[axis + 1 :])
        return apply(self.p, first.op.name, inner, **params)

    def merged(self, pieces: list[Node], axis: int) -> Node | None:
        """Join reshaped nodes along an axis at which one of the base begins too."""
        bases, shape = [s.srcs[0] for s in pieces], pieces[0].shape
        first = bases[0].shape
        if any(s.op is not RESHAPE or s.shape != shape for s in pieces):
            return None
        if any(s.shape != first for s in bases):
            return None
        before = math.prod(shape[:axis])
        for at in (i for i in range(len(first)) if math.prod(first[:i]) == before):
            # what follows on these axes is one block of each piece, in the base as in the result
            inner = self.joined(bases, at)
            if inner is not None:
                total = (*shape[:axis], shape[axis] * len(pieces), *shape[axis + 1 :])
                return apply(self.p, "reshape", inner, shape=total)
        return None

    def sliced(self, pieces: list[Node], axis: int) -> Node | None:
        """Join slices of one node that follow on one another along an axis."""
        base, first = pieces[0].srcs[0], pieces[0].params
        at = _of(first, "starts")[axis]
        for s in pieces:
            if s.op is not SLICE or s.srcs[0] is not base:
                return None
            starts, stops, steps = (list(_of(s.params, k)) for k in SIDES)
            if starts[axis] != at or steps[axis] != 1:
                return None
            at, starts[axis], stops[axis] = stops[axis], *(_of(first, k)[axis] for k in SIDES[:2])
            if any(
                tuple(v) != _of(first, k)
                for k, v in zip(SIDES, (starts, stops, steps), strict=True)
            ):
                return None
        stops = [at if i == axis else n for i, n in enumerate(_of(first, "stops"))]
        return apply(self.p, "slice", base, **{**first, "stops": tuple(stops)})

    def reshaped(self, pieces: list[Node]) -> Node | None:
        """Join reshaped nodes along the first axis: as they are, or where each has one place of an axis."""
        bases = [s.srcs[0] for s in pieces]
        first, shape = bases[0].shape, pieces[0].shape
        total = (sum(s.shape[0] for s in pieces), *shape[1:])
        if first and all(s.shape[1:] == first[1:] for s in bases):
            inner = self.joined(bases, 0)
            if inner is not None:
                return apply(self.p, "reshape", inner, shape=total)
        for u, n in enumerate(first):
            rest = (*first[:u], *first[u + 1 :])
            if u and n == 1 and rest == shape and all(s.shape == first for s in bases):
                inner = self.joined(bases, u)
                if inner is not None:
                    order = (u, *(i for i in range(len(first)) if i != u))
                    turned = apply(self.p, "permute", inner, dims=order)
                    return apply(self.p, "reshape", turned, shape=total)
        return None

    def part(self, pieces: list[Node]) -> Node | None:
        """Find nodes that lie side by side in a cat, and take that part of it."""
        for run, cat in self.runs:
            at = next((i for i, s in enumerate(run) if s is pieces[0]), -1)
            if at < 0 or any(s is not t for s, t in zip(pieces, run[at:], strict=False)):
                continue
            if at + len(pieces) > len(run):
                continue
            shape = run[0].shape[1:]
            rows = [s.shape[0] for s in run]
            whole = apply(self.p, "reshape", cat, shape=(sum(rows), *shape))
            start = sum(rows[:at])
            stop = start + sum(rows[at : at + len(pieces)])
            none = (0,) * len(shape)
            return apply(
                self.p, "slice", whole, starts=(start, *none), stops=(stop, *shape),
                steps=(1, *(1 for _ in shape)),
            )  # fmt: skip
        return None

    def cat(self, pieces: list[Node]) -> Node | None:
        """Let nodes be written side by side, if each is written at all and has no place yet."""
        for s in pieces:
            moved = s.op is None or s.op is FULL or s.family == "view"
            if moved or s.id in self.placed or (s.op is CAT and len(s.srcs) > SMALL):
                return None
        cat = apply(self.p, "cat", *pieces, axis=0)
        if cat.op is not CAT:
            return None
        self.placed.update(s.id for s in pieces)
        self.runs.append((list(pieces), cat))
        return cat

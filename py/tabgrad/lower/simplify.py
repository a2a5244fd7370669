"""Rewrites, applied while a program is built: each rule looks at one op and its sources."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core.dtype import HALVES, float32
from tabgrad.core.errors import RegistryError
from tabgrad.core.op import REGISTRY, Op
from tabgrad.core.spec import NO_PARAMS, Params, intern_params, spec
from tabgrad.lower.identities import picked
from tabgrad.lower.ir import (
    COPY,
    EXPAND,
    FULL,
    PERMUTE,
    RESHAPE,
    SLICE,
    Decide,
    Node,
    Pick,
    Program,
    RawNode,
    inner,
)
from tabgrad.lower.record import RECORDS
from tabgrad.lower.variants import size_class

Rule = Callable[[Program, Params, tuple[Node, ...]], Node | None]
RULES: dict[str, Rule] = {}

SMALL = 4
"""The most pieces of a cat that is computed by choosing between them at each read."""
FAR_PRODUCT = 1 << 14
"""Longer products are added up from parts, because the turns of a thread are limited (`kernel.TURNS`)."""
LONG_PRODUCT = 2048
"""Products of few results with a longer inner axis are computed in parts, which are added up."""
PARTS = (2, 3, 4, 6, 8, 12, 16, 32)
"""Into how many parts a product may be split where that is measured."""
FAR_PARTS = (4, 8, 16, 32, 64, 128, 256)
"""The same for a product that is too long for a thread."""
MOST_PARTS = 1 << 18
"""The most results that the parts of a product have together where that is measured; four times as many if it
is too long for a thread."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rewrite for the ops called `names`."""

    def add(fn: Rule) -> Rule:
        for name in names:
            if name not in REGISTRY:
                raise RegistryError(f"{name}: has a rewrite, but no op has this name")
            if name in RULES:
                raise RegistryError(f"{name}: has a rewrite already; let one rule do both")
            RULES[name] = fn
        return fn

    return add


def apply(p: Program, name: str, *srcs: Node, **params: Any) -> Node:
    """Add the op called `name`, rewritten where a rule applies."""
    return make(p, REGISTRY[name], intern_params(params), srcs)


def make(p: Program, op: Any, params: Params, srcs: tuple[Node, ...]) -> Node:
    """Add `op`, rewritten where a rule applies."""
    if op.family == "view" and srcs[0].op is FULL and not op.fills:
        shape = op.infer((srcs[0].spec,), params)
        return p.constant(srcs[0].number, shape)
    if adds_up(op) and srcs[0].spec.dtype in HALVES:
        return in_single(p, op, params, srcs)
    found = RULES.get(op.name)
    if found is not None:
        try:
            new = found(p, params, srcs)
        except RegistryError as e:
            raise RegistryError(f"{op.name}: its rewrite failed: {e}") from e
        if new is not None:
            return new
    return p.add(op, params, srcs)


def adds_up(op: Op) -> bool:
    """Test whether `op` adds or multiplies in several steps, each of which would round in half precision."""
    if op.family == "reduction":
        return op.kind in ("sum", "prod")  # type: ignore[attr-defined]
    record = RECORDS.get(op.lowering)
    return record is not None and record.adds_up


def in_single(p: Program, op: Op, params: Params, srcs: tuple[Node, ...]) -> Node:
    """Add `op` on half precision as an op on float32 whose result is rounded once."""
    wide = tuple(apply(p, "cast", s, dtype=float32) if s.spec.dtype in HALVES else s for s in srcs)
    return apply(p, "cast", make(p, op, params, wide), dtype=srcs[0].spec.dtype)


def build(
    raw: Sequence[RawNode], outputs: Sequence[int], moving: frozenset[int] = frozenset(),
    decide: Decide | None = None, pick: Pick | None = None, software: bool = False,
) -> Program:  # fmt: skip
    """Build the program of the recorded nodes `raw`; `outputs` are the positions that are wanted.

    `moving` are slices of inputs whose place changes from run to run: each becomes an input of its own.
    `decide` makes the choices that depend on sizes, `pick` those that may be measured; `software` says that
    threads run on the processor's own cores.
    """
    p = Program(decide, pick, software)
    made: list[Node | None] = []
    for i, (op, params, srcs, its_spec) in enumerate(raw):
        p.origin = i
        if op is None or i in moving:
            made.append(p.input(its_spec, i if i in moving else -1))
        elif op is FULL:
            made.append(None)
        else:
            args = tuple(made[s] or p.constant(s, raw[s][3]) for s in srcs)
            if op.family == "composed":
                made.append(written_out(p, op, args))
                continue
            node = make(p, op, params or NO_PARAMS, args)
            assert node.spec is its_spec, (op, its_spec, node)
            made.append(node)
    taken: set[int] = set()
    for o in outputs:
        node = made[o] or p.constant(o, raw[o][3])
        if node.op is None or node.op is FULL or node.op.family == "view" or node.id in taken:
            node = p._add(COPY, NO_PARAMS, (node,), node.spec, -1)
        taken.add(node.id)
        p.outputs.append(node)
    p.finish()
    return p


def written_out(p: Program, op: Any, args: tuple[Node, ...]) -> Node:
    """Add the steps of what a function composes; its constant number n is told from those of the plan."""
    made: list[Node | None] = list(args)
    specs = [a.spec for a in args]
    numbers: dict[int, int] = {}
    for sub, params, srcs, its_spec in op.steps:
        specs.append(its_spec)
        if sub is FULL:
            numbers[len(made)] = inner(p.origin, len(numbers))
            made.append(None)
            continue
        its = tuple(made[s] or p.constant(numbers[s], specs[s]) for s in srcs)
        made.append(make(p, sub, params or NO_PARAMS, its))
    last = made[-1]
    assert last is not None
    return last


# -- views -----------------------------------------------------------------------------------------


@rule("reshape")
def _reshape(p: Program, params: Params, srcs: tuple[Node, ...]) -> Node | None:
    (x,) = srcs
    if x.shape == params["shape"]:
        return x
    if x.op is RESHAPE:
        return apply(p, "reshape", x.srcs[0], **params)
    return None


@rule("spread")
def _spread(p: Program, params: Params, srcs: tuple[Node, ...]) -> Node | None:
    """Replace new axes by axes of size 1 that are repeated, which other rules know."""
    shape: Any = params["shape"]
    axes: Any = params["axes"]
    ones = tuple(1 if i in axes else n for i, n in enumerate(shape))
    return apply(p, "expand", apply(p, "reshape", srcs[0], shape=ones), shape=shape)


@rule("permute")
def _permute(p: Program, params: Params, srcs: tuple[Node, ...]) -> Node | None:
    (x,) = srcs
    dims: Any = params["dims"]
    if dims == tuple(range(len(dims))):
        return x
    if x.op is PERMUTE:
        inner: Any = x.params["dims"]
        return apply(p, "permute", x.srcs[0], dims=tuple(inner[d] for d in dims))
    return None


@rule("expand", "slice", "pad", "flip")
def _same(p: Program, params: Params, srcs: tuple[Node, ...]) -> Node | None:
    (x,) = srcs
    if "shape" in params:
        return x if params["shape"] == x.shape else None
    if "axes" in params:
        axes: Any = params["axes"]
        return x if all(x.shape[a] == 1 for a in axes) else None
    if "starts" in params:
        whole = params["starts"] == (0,) * len(x.shape) and params["stops"] == x.shape
        return x if whole and params["steps"] == (1,) * len(x.shape) else None
    nothing = all(v == (0,) * len(x.shape) for v in params.values())
    return x if nothing else None


@rule("copy", "stop_gradient")
def _alias(p: Program, params: Params, srcs: tuple[Node, ...]) -> Node | None:
    return srcs[0]


@rule("cast")
def _cast(p: Program, params: Params, srcs: tuple[Node, ...]) -> Node | None:
    return srcs[0] if srcs[0].spec.dtype is params["dtype"] else None


@rule("cat")
def _cat(p: Program, params: Params, srcs: tuple[Node, ...]) -> Node | None:
    """Replace a cat of all pieces of one tensor, in their order, by that tensor."""
    axis: Any = params["axis"]
    kept = tuple(s for s in srcs if s.shape[axis]) or srcs[:1]
    if len(kept) == 1:
        return kept[0]
    if len(kept) < len(srcs):
        return apply(p, "cat", *kept, axis=axis)
    if any(s.op is not SLICE or s.srcs[0] is not kept[0].srcs[0] for s in kept):
        return _outermost(p, kept, axis)
    base, at = kept[0].srcs[0], 0
    for s in kept:
        starts: Any = s.params["starts"]
        if starts[axis] != at or s.params["steps"] != (1,) * len(s.shape):
            return None
        if any(s.shape[i] != n for i, n in enumerate(base.shape) if i != axis):
            return None
        at += s.shape[axis]
    return base if at == base.shape[axis] else None


def _outermost(p: Program, srcs: tuple[Node, ...], axis: int) -> Node | None:
    """Join many pieces along the first axis, where each of them is contiguous."""
    if len(srcs) <= SMALL or math.prod(srcs[0].shape[:axis]) == 1:
        return None
    rank = len(srcs[0].shape)
    front = (axis, *(i for i in range(rank) if i != axis))
    back = (*range(1, axis + 1), 0, *range(axis + 1, rank))
    turned = [apply(p, "permute", s, dims=front) for s in srcs]
    return apply(p, "permute", apply(p, "cat", *turned, axis=0), dims=back)


# -- products --------------------------------------------------------------------------------------


@rule("matmul")
def _matmul(p: Program, params: Params, srcs: tuple[Node, ...]) -> Node | None:
    """Replace a product of one row or column by a reduction; join batch and rows with one right operand."""
    x, y = srcs
    *batch, m, k = x.shape
    n = y.shape[-1]
    rows = None if batch else picked(p, apply, x, y)
    if rows is not None:
        return rows
    if min(m, n, k) <= 1 and x.spec.dtype in HALVES:
        return in_single(p, REGISTRY["matmul"], params, srcs)
    if min(m, n, k) <= 1:
        lead = tuple(batch)
        rank, shape = len(lead), (*lead, m, n, k)
        left = apply(p, "spread", x, shape=shape, axes=(rank + 1,))
        turned = apply(p, "permute", y, dims=(*range(rank), rank + 1, rank))
        right = apply(p, "spread", turned, shape=shape, axes=(rank,))
        return apply(p, "reduce_sum", apply(p, "mul", left, right), axes=(rank + 2,))
    if y.op is EXPAND and batch and y.srcs[0].shape in ((k, n), (*(1,) * len(batch), k, n)):
        one = apply(p, "reshape", y.srcs[0], shape=(k, n))
        rows = apply(p, "reshape", x, shape=(math.prod(batch) * m, k))
        return apply(p, "reshape", apply(p, "matmul", rows, one), shape=(*batch, m, n))
    return _parts_of_product(p, x, y)


def _parts_of_product(p: Program, x: Node, y: Node) -> Node | None:
    """Sum parts of a long product with few results, which has too few tiles to keep a device busy."""
    *batch, m, k = x.shape
    n = y.shape[-1]
    shape = math.prod(batch), m, n
    results = math.prod(shape)

    def fixed() -> int:
        if k < LONG_PRODUCT or results > 16384 or not x.spec.dtype.is_differentiable:
            return 1
        return next((d for d in range(min(32, k // 256), 3, -1) if k % d == 0), 1)

    def choose() -> int:
        far = k > FAR_PRODUCT
        known = PARTS if not far else FAR_PARTS
        # of the divisors between, the next one, since a batch of images may be odd
        between = (next((d for d in range(n, n // 2, -1) if k % d == 0), 1) for n in known)
        most = MOST_PARTS << 2 * far
        more = [
            d
            for d in sorted({d for d in (*known, *between) if d > 1 and k % d == 0})
            if 128 <= k // d <= FAR_PRODUCT and d * results <= most
        ]
        if not more or not x.spec.dtype.is_differentiable:
            return fixed()
        sizes = " ".join(str(size_class(n, 1 << 20)) for n in (*shape, k))
        variants = tuple(dict.fromkeys((fixed() if far else 1, *more)))
        return p.pick(f"parts of a product {sizes}", p.origin, lambda: variants, fixed)

    parts = p.decide("parts of a product", choose)
    if k % parts:
        parts = choose()
    if k // parts > FAR_PRODUCT:
        return _far_product(p, x, y)
    return _summed(p, x, y, parts) if parts > 1 else None


def _summed(p: Program, x: Node, y: Node, parts: int) -> Node:
    """Add up the products of equal parts of the inner axis, all in one product with one more axis."""
    *batch, m, k = x.shape
    n = y.shape[-1]
    rank = len(batch)
    left = apply(p, "reshape", x, shape=(*batch, m, parts, k // parts))
    left = apply(p, "permute", left, dims=(*range(rank), rank + 1, rank, rank + 2))
    right = apply(p, "reshape", y, shape=(*batch, parts, k // parts, n))
    # not by the rule, which might split it once more
    product = p.add(REGISTRY["matmul"], NO_PARAMS, (left, right))
    return apply(p, "reduce_sum", product, axes=(rank,))


def _along(p: Program, x: Node, axis: int, start: int, stop: int) -> Node:
    """Slice x[start:stop] along an axis."""
    starts = tuple(start if i == axis else 0 for i in range(len(x.shape)))
    stops = tuple(stop if i == axis else n for i, n in enumerate(x.shape))
    return apply(p, "slice", x, starts=starts, stops=stops, steps=(1,) * len(x.shape))


def _far_product(p: Program, x: Node, y: Node) -> Node:
    """Add up the products of parts of the inner axis that one thread can walk."""
    k, last = x.shape[-1], len(x.shape) - 1
    whole = k - k % FAR_PRODUCT
    pieces = [(0, whole), (whole, k)] if math.prod(x.shape[:-1]) * y.shape[-1] <= 16384 else [
        (start, min(start + FAR_PRODUCT, k)) for start in range(0, k, FAR_PRODUCT)
    ]  # fmt: skip
    total: Node | None = None
    for start, stop in pieces:
        if start == stop:
            continue
        left, right = _along(p, x, last, start, stop), _along(p, y, last - 1, start, stop)
        parts = (stop - start) // FAR_PRODUCT
        one = _summed(p, left, right, parts) if parts > 1 else apply(p, "matmul", left, right)
        total = one if total is None else apply(p, "add", total, one)
    assert total is not None
    return total


__all__ = ["apply", "build", "make", "rule", "spec"]

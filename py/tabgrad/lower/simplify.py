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
from tabgrad.lower.taps import reaching
from tabgrad.lower.variants import size_class, steps_of

Rule = Callable[[Program, Params, tuple[Node, ...]], Node | None]
RULES: dict[str, Rule] = {}

SMALL = 4
"""The most pieces of a cat that is computed by choosing between them at each read."""
LONG_ROW = 4096
"""Reductions of a few rows longer than this are done in two steps."""
FAR_ROW = 1 << 20
"""Longer rows are never left to one workgroup, because the turns of a thread are limited (`kernel.TURNS`)."""
FAR_PRODUCT = 1 << 14
"""Longer products are added up from parts for the same reason."""
LONG_PRODUCT = 2048
"""Products of few results with a longer inner axis are computed in parts, which are added up."""
PARTS = (2, 3, 4, 6, 8, 12, 16, 32)
"""Into how many parts a product may be split where that is measured."""
MOST_PARTS = 1 << 18
"""The most results that the parts of a product have together where that is measured."""


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
    decide: Decide | None = None, pick: Pick | None = None,
) -> Program:  # fmt: skip
    """Build the program of the recorded nodes `raw`; `outputs` are the positions that are wanted.

    `moving` are slices of inputs whose place changes from run to run: each becomes an input of its own.
    `decide` makes the choices that depend on sizes, `pick` those that may be measured.
    """
    p = Program(decide, pick)
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


# -- reductions ------------------------------------------------------------------------------------


def _unit(p: Program, params: Params, srcs: tuple[Node, ...]) -> Node | None:
    """Replace a reduction of axes of size 1 by a reshape."""
    (x,) = srcs
    axes: Any = params["axes"]
    if all(x.shape[a] == 1 for a in axes):
        return apply(
            p, "reshape", x, shape=tuple(n for i, n in enumerate(x.shape) if i not in axes)
        )
    return None


def _two_steps(name: str) -> Rule:
    def split(p: Program, params: Params, srcs: tuple[Node, ...]) -> Node | None:
        """Reduce a few long rows in parts, and then reduce the results."""
        unit = _unit(p, params, srcs)
        if unit is not None:
            return unit
        (x,) = srcs
        axes: Any = params["axes"]
        fewer = (
            reaching(p, apply, x, axes)
            if name == "reduce_sum" and x.name == "unwindow" and axes
            else None
        )
        if fewer is not None:
            return apply(p, name, fewer, axes=axes)
        row = math.prod(x.shape[a] for a in axes)
        if name in IDEMPOTENT and _is_uniform(x) and p.decide("filled row", lambda: row > 0):
            return _first_along(p, x, axes)
        inner = row // max(x.shape[axes[0]], 1) if axes else 1
        rows = math.prod(x.shape) // max(row, 1)
        pays = row > LONG_ROW and rows <= 256
        if not p.decide("long row", lambda: pays) and row <= FAR_ROW:
            return None
        parts = fixed = _divisor(row, inner, 16 if pays else 2)
        if pays and row <= FAR_ROW:
            question = f"parts of a {name} {size_class(rows)} {size_class(row, FAR_ROW)}"
            parts = p.pick(question, p.origin, lambda: steps_of(row, fixed), lambda: fixed)
        if parts < 16 and row > FAR_ROW:
            return _with_rest(p, name, _rows_of(p, x, axes))
        if parts == 1:
            return None
        flat = _rows_of(p, x, axes)
        flat = apply(p, "reshape", flat, shape=(*flat.shape[:-1], parts, row // parts))
        first = apply(p, name, flat, axes=(len(flat.shape) - 1,))
        return apply(p, name, first, axes=(len(flat.shape) - 2,))

    return split


IDEMPOTENT = frozenset(("peak", "reduce_all", "reduce_any", "reduce_max", "reduce_min"))
"""Reductions of which many equal elements give that element."""


def _is_uniform(x: Node, depth: int = 8) -> bool:
    """Whether `x` is computed of constants alone, so that all its elements are equal."""
    if x.op is None or not depth:
        return False
    uniform = x.op is FULL or x.op.family == "elementwise"
    return uniform and all(_is_uniform(s, depth - 1) for s in x.srcs)


def _first_along(p: Program, x: Node, axes: tuple[int, ...]) -> Node:
    """Take the first element along the axes.

    Compilers unroll the loop over a constant, and Mesa's then takes exponential time for what uses its result.
    """
    stops = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    none = (0,) * len(stops)
    first = apply(p, "slice", x, starts=none, stops=stops, steps=(1,) * len(stops))
    shape = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    return apply(p, "reshape", first, shape=shape)


def _rows_of(p: Program, x: Node, axes: tuple[int, ...]) -> Node:
    """Join the reduced axes of `x` into one, behind the others."""
    keep = tuple(i for i in range(len(x.shape)) if i not in axes)
    lead = tuple(x.shape[i] for i in keep)
    turned = apply(p, "permute", x, dims=(*keep, *axes))
    return apply(p, "reshape", turned, shape=(*lead, math.prod(x.shape[a] for a in axes)))


def _with_rest(p: Program, name: str, x: Node) -> Node:
    """Reduce a last axis whose size has no good divisors: in equal parts and a rest."""
    *lead, row = x.shape
    parts = 1024
    last = len(lead)
    body = _along(p, x, last, 0, row - row % parts)
    body = apply(p, "reshape", body, shape=(*lead, parts, row // parts))
    body = apply(p, name, body, axes=(last + 1,))
    if row % parts:
        rest = apply(p, name, _along(p, x, last, row - row % parts, row), axes=(last,))
        rest = apply(p, "reshape", rest, shape=(*lead, 1))
        body = apply(p, "cat", body, rest, axis=last)
    return apply(p, name, body, axes=(last,))


def _along(p: Program, x: Node, axis: int, start: int, stop: int) -> Node:
    """Slice x[start:stop] along an axis."""
    starts = tuple(start if i == axis else 0 for i in range(len(x.shape)))
    stops = tuple(stop if i == axis else n for i, n in enumerate(x.shape))
    return apply(p, "slice", x, starts=starts, stops=stops, steps=(1,) * len(x.shape))


def _place(extreme: str) -> Rule:
    def split(p: Program, params: Params, srcs: tuple[Node, ...]) -> Node | None:
        """Find the index of an extreme in a very long row: the least index at which its value occurs."""
        (x,) = srcs
        axes: Any = params["axes"]
        (axis,) = axes
        row = x.shape[axis]
        if row <= FAR_ROW:
            return None
        x = _rows_of(p, x, axes)
        best = apply(p, extreme, x, axes=(len(x.shape) - 1,))
        best = apply(p, "reshape", best, shape=(*best.shape, 1))
        here = apply(p, "eq", x, apply(p, "expand", best, shape=x.shape))
        if x.spec.dtype.is_floating_point:
            # a nan is the extreme of its row, but equals nothing
            here = apply(p, "bitwise_or", here, apply(p, "isnan", x))
        dtype: Any = params["dtype"]
        zero, end = (p.constant(-1 - n, spec((), dtype)) for n in (0, row))
        line = apply(p, "counting", zero, size=row, dtype=dtype)
        line = apply(p, "reshape", line, shape=(*(1 for _ in x.shape[:-1]), row))
        line = apply(p, "expand", line, shape=x.shape)
        places = apply(p, "where", here, line, apply(p, "expand", end, shape=x.shape))
        return apply(p, "reduce_min", places, axes=(len(x.shape) - 1,))

    return split


@rule("first_max")
def _first_max(p: Program, params: Params, srcs: tuple[Node, ...]) -> Node | None:
    axes: Any = params["axes"]
    far = math.prod(srcs[0].shape[a] for a in axes) > FAR_ROW
    return _two_steps("first_max")(p, params, srcs) if far else _unit(p, params, srcs)


rule("argmax")(_place("reduce_max"))
rule("argmin")(_place("reduce_min"))


def _divisor(n: int, inner: int, least: int) -> int:
    """Choose the number of parts of a sum of `n`, if possible a divisor of `inner`, its inner axes."""
    sizes = range(min(int(math.sqrt(n)), 1024), least - 1, -1)
    return next((d for whole in (inner, n) for d in sizes if whole % d == 0), 1)


for _name in ("sum", "prod", "max", "min", "any", "all"):
    rule(f"reduce_{_name}")(_two_steps(f"reduce_{_name}"))
rule("peak")(_two_steps("peak"))


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
        more = [d for d in PARTS if k % d == 0 and k // d >= 128 and d * results <= MOST_PARTS]
        if not more or k > FAR_PRODUCT or not x.spec.dtype.is_differentiable:
            return fixed()
        sizes = " ".join(str(size_class(n, 1 << 20)) for n in (*shape, k))
        return p.pick(f"parts of a product {sizes}", p.origin, lambda: (1, *more), fixed)

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

"""Products with an identity: rows of the other operand, scaled by what the identity was multiplied by.

Jacobians begin with a pass over an identity, whose rows are the basis. An identity is a comparison of two
counts that views lead to: it is 1 where row + shift = column, and 0 elsewhere. A zero times what is not
finite is nan: that is counted in each row of the one operand and in each column of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tabgrad.core.dtype import float32, int32
from tabgrad.core.op import REGISTRY
from tabgrad.core.spec import spec
from tabgrad.lower.group import numbers
from tabgrad.lower.index import Expr, var
from tabgrad.lower.ir import CAST, PERMUTE, RESHAPE, SLICE, Node, Program

COUNTING, EQ, MUL, DIV, NEG = (REGISTRY[name] for name in "counting eq mul div neg".split())
Apply = Callable[..., Node]
MOVED = (PERMUTE, RESHAPE, SLICE)
"""Views that are as well views of what an element-wise op reads."""
FACTORS = 24
"""Values under which an identity is looked for."""
ZERO, ONE = -1, -2
"""The numbers of constants zero and one, see `Plan.uniforms`."""
NAN = -1 - 0x7FC00000
"""The number of a constant whose bits are those of nan."""


def picked(p: Program, apply: Apply, x: Node, y: Node) -> Node | None:
    """Replace the product of an identity, which may be multiplied by something, and a matrix by rows of that.

    None is given where neither operand is one. Both have two axes.
    """
    if _under(x):
        return _rows(p, apply, x, y)
    if _under(y):
        turned = [apply(p, "permute", n, dims=(1, 0)) for n in (y, x)]
        found = _rows(p, apply, *turned)
        return None if found is None else apply(p, "permute", found, dims=(1, 0))
    return None


def _rows(p: Program, apply: Apply, x: Node, y: Node) -> Node | None:
    found = None if x.spec.dtype.is_complex else _factored(p, apply, x, {})
    if found is None:
        return None
    shift, scale = found
    n, k = x.shape
    columns = y.shape[1]
    low, high = max(0, -shift), min(n, k - shift)
    if high <= low:
        return None

    def lined(v: Node) -> Node:
        """Give what stands where the identity is 1, as a column."""
        flat, begin = apply(p, "reshape", v, shape=(n * k,)), low * (k + 1) + shift
        end = begin + (high - low - 1) * (k + 1) + 1
        line = apply(p, "slice", flat, starts=(begin,), stops=(end,), steps=(k + 1,))
        return apply(p, "reshape", line, shape=(high - low, 1))

    def moved(v: Node) -> Node:
        """Give the rows that the identity takes."""
        size = (high + shift, columns)
        return apply(p, "slice", v, starts=(low + shift, 0), stops=size, steps=(1, 1))

    def placed(v: Node) -> Node:
        return apply(p, "pad", v, low=(low, 0), high=(n - high, 0), interior=(0, 0))

    rows = moved(y)
    if scale is not None:
        rows = apply(p, "mul", apply(p, "expand", lined(scale), shape=rows.shape), rows)
    rows = placed(rows)
    if not y.spec.dtype.is_floating_point:
        return rows
    wrong, total = _not_finite(p, apply, y, 0)
    others = _less(p, apply, total, placed(moved(wrong)))
    if scale is not None:
        wrong, total = _not_finite(p, apply, x, 1)
        more = _less(p, apply, total, placed(lined(wrong)))
        others = apply(p, "add", others, apply(p, "expand", more, shape=others.shape))
    none = apply(p, "eq", others, p.constant(ZERO, others.spec))
    bits = apply(p, "bitcast", p.constant(NAN, spec(rows.shape, int32)), dtype=float32)
    return apply(p, "where", none, rows, apply(p, "cast", bits, dtype=rows.spec.dtype))


def _not_finite(p: Program, apply: Apply, v: Node, axis: int) -> tuple[Node, Node]:
    """Tell by 1 what is not finite, and how much of it there is along an axis, which is kept."""
    fine = apply(p, "cast", apply(p, "isfinite", v), dtype=int32)
    wrong = apply(p, "sub", p.constant(ONE, fine.spec), fine)
    total = apply(p, "reduce_sum", wrong, axes=(axis,))
    shape = tuple(1 if i == axis else size for i, size in enumerate(v.shape))
    return wrong, apply(p, "reshape", total, shape=shape)


def _less(p: Program, apply: Apply, total: Node, own: Node) -> Node:
    return apply(p, "sub", apply(p, "expand", total, shape=own.shape), own)


def _under(n: Node) -> bool:
    """Test whether there is an identity among the factors of a node."""
    seen, stack = set[int](), [n]
    while stack and len(seen) < FACTORS:
        n = stack.pop()
        if n.id in seen:
            continue
        seen.add(n.id)
        if n.op is CAST and n.srcs[0].op is EQ:
            if all(_bottom(s).op is COUNTING for s in n.srcs[0].srcs):
                return True
        elif n.op in (MUL, DIV, NEG, *MOVED):
            stack.extend(n.srcs[: 1 if n.op is DIV else 2])
    return False


def _bottom(n: Node) -> Node:
    while n.family == "view" and not n.op.fills:
        n = n.srcs[0]
    return n


def _factored(
    p: Program, apply: Apply, n: Node, known: dict[int, Any]
) -> tuple[int, Node | None] | None:
    """Take `n`, of two axes, apart into an identity, told by its shift, and what it is multiplied by."""
    if n.id not in known:
        known[n.id] = None
        known[n.id] = _taken_apart(p, apply, n, known)
    found: tuple[int, Node | None] | None = known[n.id]
    return found


def _taken_apart(
    p: Program, apply: Apply, n: Node, known: dict[int, Any]
) -> tuple[int, Node | None] | None:
    shift = _shift(n)
    if shift is not None:
        return shift, None
    if n.op in MOVED:
        inner = _moved_inside(p, apply, n)
        return None if inner is None else _factored(p, apply, inner, known)
    for i, s in enumerate(n.srcs[: 1 if n.op is DIV else 2] if n.op in (MUL, DIV, NEG) else ()):
        found = _factored(p, apply, s, known)
        if found is None:
            continue
        shift, rest = found
        if rest is None and n.op is MUL:
            return shift, n.srcs[1 - i]
        rest = p.constant(ONE, s.spec) if rest is None else rest
        return shift, apply(p, n.name, *(rest if j == i else t for j, t in enumerate(n.srcs)))
    return None


def _moved_inside(p: Program, apply: Apply, n: Node) -> Node | None:
    """Apply a view to the operands of the element-wise op that it is a view of."""
    s = n.srcs[0]
    if s.op not in (MUL, DIV, NEG, CAST, EQ):
        return None
    operands = [apply(p, n.name, t, **n.params) for t in s.srcs]
    if s.op is CAST and operands[0].op in MOVED:
        inside = _moved_inside(p, apply, operands[0])
        operands = [inside] if inside is not None else operands
    return apply(p, s.name, *operands, **s.params)


def _shift(n: Node) -> int | None:
    """Give the column of the one in row 0 if `n` is an identity of two axes; None if it is not."""
    if n.op is not CAST or n.srcs[0].op is not EQ or len(n.shape) != 2:
        return None
    row, column = var("i", n.shape[0]), var("j", n.shape[1])
    first, second = (_count(s, (row, column)) for s in n.srcs[0].srcs)
    if first is None or second is None:
        return None
    for difference in (first - second, second - first):
        rest = difference - row + column
        if not rest.terms:
            return rest.const
    return None


def _count(n: Node, index: tuple[Expr, ...]) -> Expr | None:
    """Follow views to a count, and give the number at `index`; None for other values."""
    while n.family == "view" and not n.op.fills:
        index = numbers(n.op.index(index, n.srcs[0].shape, **n.params)[0])
        n = n.srcs[0]
    return index[0] if n.op is COUNTING else None

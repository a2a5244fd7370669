"""Routines: the library calls a host offers, in the place of products, long sorts and long running sums.

A routine takes whole buffers, dense and row-major; an operand that lies otherwise is copied first, unless
the copy would be larger than what is copied. Its words are those that `tabgrad_native/cupy_routines.py` lists.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.op import REGISTRY
from tabgrad.core.spec import NO_PARAMS
from tabgrad.lower.group import Limits, operand_index, product_dims
from tabgrad.lower.index import ZERO, Expr, condition, flatten, unflatten, var
from tabgrad.lower.ir import FULL, Node, Program
from tabgrad.lower.multipass import FEW, LONG_SCAN, LONG_SORT, extent
from tabgrad.lower.simplify import apply

DTYPES = (
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16",
    "bfloat16", "float32", "float64", "complex64", "complex128",
)  # fmt: skip
"""The dtypes as routines count them."""
PRODUCTS = (dt.float16, dt.bfloat16, dt.float32, dt.float64)
LARGE_PRODUCT = 1 << 18
"""Products of fewer multiplications are printed: a kernel takes their epilogue along."""


@dataclass(frozen=True)
class Call:
    """A routine in the place of a node: its operands as they lie in buffers, and its words."""

    name: str
    operands: tuple[Node, ...]
    words: tuple[int, ...]


def choose(p: Program, limits: Limits) -> dict[Node, Call]:
    """Return which nodes become calls; the program is rewritten so that their operands lie as they must."""
    calls: dict[Node, Call] = {}
    for n in list(p.nodes):
        call = None
        if n.name in limits.routines and n.spec.size:
            p.origin = n.origin
            call = CHOICES[n.name](p, n)
        if call is not None:
            node, made = call
            node.srcs = made.operands
            calls[node] = made
    if calls:
        p.outputs = [whole(o, calls) for o in p.outputs]
        p.reorder()
    return calls


def whole(n: Node, calls: Mapping[Node, Call]) -> Node:
    """Return the call that an output is a reshaped copy of: the buffer holds both. Else the output."""
    base = n
    while base.name in ("copy", "reshape"):
        base = base.srcs[0]
    return base if base in calls else n


def apart(calls: Mapping[Node, Call]) -> frozenset[Node]:
    """Return the nodes that must have buffers to themselves: the calls and their operands."""
    return frozenset(m for n, call in calls.items() for m in (n, *call.operands))


def copied(p: Program, n: Node) -> Node:
    """Return a dense copy of `n`."""
    return p._add(REGISTRY["copy"], NO_PARAMS, (n,), n.spec, -1)


def swap(p: Program, n: Node, view: Node) -> None:
    """Let all that read `n` read a view instead; an output is a copy of it."""
    p.replace(n, view)
    p.outputs = [copied(p, o) if o is view else o for o in p.outputs]


def bottom(n: Node, index: tuple[Expr, ...]) -> tuple[Node, Expr] | None:
    """Return what a chain of views looks at, and which element of it `index` is; None where there is none."""
    while n.family == "view":
        index, conditions = n.op.index(index, n.srcs[0].shape, **n.params)
        if any(condition(*c) is not True for c in conditions):
            return None
        n = n.srcs[0]
    if n.op is FULL or n.shift >= 0:
        return None
    return n, flatten(index, n.shape) + ZERO


def dense(p: Program, n: Node) -> Node:
    """Return `n`, or what it is a reshape of, or a copy: something that lies in the order of its elements."""
    every = var("g", n.spec.size)
    found = bottom(n, unflatten(every, n.shape))
    if found is not None and found[1] == every and found[0].spec.size == n.spec.size:
        return found[0]
    return copied(p, n)


# -- products -----------------------------------------------------------------------------------------------


def matmul(p: Program, n: Node) -> tuple[Node, Call] | None:
    """Return the call of a product, if it is large and its operands lie in memory, or can be copied."""
    batch, rows, columns, inner = product_dims(n)
    if n.spec.dtype not in PRODUCTS or batch * rows * columns * inner < LARGE_PRODUCT:
        return None
    found = [matrix(n, x, side) for side, x in enumerate(n.srcs)]
    for x, place in zip(n.srcs, found, strict=True):
        if place is None and x.spec.size > looked_at(x):
            return None
    places = [
        place or (copied(p, x), 0, math.prod(x.shape[-2:]) if batch > 1 else 0)
        for x, place in zip(n.srcs, found, strict=True)
    ]
    (left, flip_left, left_step), (right, flip_right, right_step) = places
    kind, flags = DTYPES.index(n.spec.dtype.name), flip_left | flip_right << 1
    words = (kind, batch, rows, columns, inner, flags, left_step, right_step)
    return n, Call("matmul", (left, right), words)


def matrix(n: Node, x: Node, side: int) -> tuple[Node, int, int] | None:
    """Return (buffer, whether it is stored transposed, elements between matrices) of an operand."""
    batch, rows, columns, inner = product_dims(n)
    found = bottom(x, operand_index(n, side == 1))
    if found is None:
        return None
    base, place = found
    k, b = var("k", inner), var("b", batch)
    i, size = (var("j", columns), columns) if side else (var("i", rows), rows)
    for flip in (0, 1):
        # The left operand is stored (i, k) and the right one (k, j), unless they are flipped.
        inside = i * inner + k if flip == side else k * size + i
        rest = place - inside
        if rest == 0:
            return base, flip, 0
        step = rest.terms[0][1] if rest.terms else 0
        if step > 0 and rest == b * step:
            return base, flip, step
    return None


def looked_at(n: Node) -> int:
    """Return how many elements lie under a chain of views."""
    while n.family == "view":
        n = n.srcs[0]
    return 0 if n.op is FULL else n.spec.size


# -- sorts and sums -----------------------------------------------------------------------------------------


def argsort(p: Program, n: Node) -> tuple[Node, Call] | None:
    """Return the call of a long sort; along another axis than the last one it sorts a permuted copy."""
    (x,) = n.srcs
    rows, length = extent(n)
    axis: Any = n.params["axis"]
    if length <= LONG_SORT or x.spec.dtype is dt.bfloat16:
        return None
    last = len(x.shape) - 1
    if axis != last:
        dims = (*(i for i in range(last + 1) if i != axis), axis)
        turned = apply(p, "permute", x, dims=dims)
        found = apply(p, "argsort", turned, **{**n.params, "axis": last})
        swap(p, n, apply(p, "permute", found, dims=tuple(dims.index(i) for i in range(last + 1))))
        n = found
    kind, out = (DTYPES.index(s.dtype.name) for s in (x.spec, n.spec))
    words = (kind, rows, length, int(bool(n.params["descending"])), out)
    return n, Call("argsort", (dense(p, n.srcs[0]),), words)


def cumsum(p: Program, n: Node) -> tuple[Node, Call] | None:
    """Return the call of a running sum over a few long lines; one from the end runs over a flipped copy."""
    rows, length = extent(n)
    axis: Any = n.params["axis"]
    dtype = n.spec.dtype
    if length <= LONG_SCAN or rows > FEW or dtype in (dt.bfloat16, dt.bool_):
        return None
    if n.params["reverse"]:
        flipped = apply(p, "flip", n.srcs[0], axes=(axis,))
        forward = apply(p, "cumsum", flipped, axis=axis, reverse=False)
        swap(p, n, apply(p, "flip", forward, axes=(axis,)))
        n = forward
    outer = math.prod(n.shape[:axis])
    words = (DTYPES.index(dtype.name), outer, length, n.spec.size // (outer * length))
    return n, Call("cumsum", (dense(p, n.srcs[0]),), words)


CHOICES = {"matmul": matmul, "argsort": argsort, "cumsum": cumsum}

__all__ = ["Call", "apart", "choose"]

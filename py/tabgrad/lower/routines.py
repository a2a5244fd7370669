"""Routines: the library calls of a host for products, long sorts and running sums, transforms, decompositions.

A routine takes whole buffers, dense and row-major; an operand that lies otherwise is copied first, unless
the copy would be larger than what is copied. Its words are those that `tabgrad_native/cupy_routines.py` lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.several import Part
from tabgrad.core.spec import NO_PARAMS, Spec
from tabgrad.lower.index import ZERO, Expr, condition, flatten, unflatten, var
from tabgrad.lower.ir import COPY, FULL, RESHAPE, Node, Program
from tabgrad.lower.limits import Limits
from tabgrad.lower.record import record_of

DTYPES = (
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16",
    "bfloat16", "float32", "float64", "complex64", "complex128",
)  # fmt: skip
"""The numbers of dtypes in calls of routines."""


TF32 = 4
"""The flag of a product whose float32 operands may be rounded to tf32."""


@dataclass(frozen=True)
class Call:
    """The call of a routine that computes a node: its operands as they lie in buffers, and its words.

    Of an op with several results it writes all `results`, whichever are wanted. `joined` are (name, origin) of
    the ops after the node that it computes too, and `besides` is a node whose result it writes behind its own;
    the call of that node has no name.
    """

    name: str
    operands: tuple[Node, ...]
    words: tuple[int, ...]
    results: tuple[Spec, ...] = ()
    joined: tuple[tuple[str, int], ...] = ()
    besides: Node | None = None


def choose(p: Program, limits: Limits) -> dict[Node, Call]:
    """Choose the nodes that become calls, and rewrite the program so that their operands are dense."""
    calls: dict[Node, Call] = {}
    applications: dict[Any, tuple[Node, Call] | None] = {}
    for n in list(p.nodes):
        record = record_of(n)
        if record is None or record.routine is None or record.op not in limits.routines:
            continue
        # all results of an op with several come from one call
        key = (record.op, n.params, *(s.id for s in n.srcs)) if isinstance(n.op, Part) else n
        if record.printed is not None and record.printed(p, n, limits):
            continue
        if key not in applications:
            p.origin = n.origin
            applications[key] = record.routine(p, n) if n.spec.size or key is not n else None
        call = applications[key]
        if call is not None:
            node, made = call
            node = node if key is n else n
            if limits.tf32 and made.name == "matmul" and n.spec.dtype is dt.float32:
                made = replace(made, words=(*made.words[:5], made.words[5] | TF32, *made.words[6:]))
            if record.joined is not None:
                made, besides = record.joined(p, node, made, limits)
                if besides is not None:
                    besides.srcs = (node,)
                    calls[besides] = Call("", (node,), ())
            node.srcs = made.operands
            calls[node] = made
    if calls:
        p.outputs = [whole(o, calls) for o in p.outputs]
        p.reorder()
    return calls


def whole(n: Node, calls: Mapping[Node, Call]) -> Node:
    """Find the call that an output is only a reshaped copy of (one buffer holds both); else the output."""
    base = n
    while base.op in (COPY, RESHAPE):
        base = base.srcs[0]
    return base if base in calls else n


def apart(calls: Mapping[Node, Call]) -> frozenset[Node]:
    """Collect the nodes that must have buffers to themselves: the calls and their operands."""
    return frozenset(m for n, call in calls.items() for m in (n, *call.operands))


def copied(p: Program, n: Node) -> Node:
    """Add a dense copy of `n`."""
    return p._add(COPY, NO_PARAMS, (n,), n.spec, -1)


def swap(p: Program, n: Node, view: Node) -> None:
    """Let all readers of `n` read a view instead; an output becomes a copy of the view."""
    p.replace(n, view)
    p.outputs = [copied(p, o) if o is view else o for o in p.outputs]


def bottom(n: Node, index: tuple[Expr, ...]) -> tuple[Node, Expr] | None:
    """Follow `index` through a chain of views to a node and an element; None if that can't be told."""
    while n.family == "view":
        index, conditions = n.op.index(index, n.srcs[0].shape, **n.params)
        if any(condition(*c) is not True for c in conditions):
            return None
        n = n.srcs[0]
    if n.op is FULL or n.shift >= 0:
        return None
    return n, flatten(index, n.shape) + ZERO


def dense(p: Program, n: Node) -> Node:
    """Find a dense node with the elements of `n`: `n` itself, the node it is a reshape of, or a copy."""
    every = var("g", n.spec.size)
    found = bottom(n, unflatten(every, n.shape))
    if found is not None and found[1] == every and found[0].spec.size == n.spec.size:
        return found[0]
    return copied(p, n)


__all__ = ["Call", "apart", "choose"]

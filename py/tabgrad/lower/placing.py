"""Placing: the index at which each member of a group is computed, and the nodes that the group loads.

Each value that a group keeps in registers must be used at the one index at which it is computed.
"""

from __future__ import annotations

import math
from typing import Any

from tabgrad.lower.group import (
    Group,
    can_be_followed,
    forward_index,
    in_blocks,
    is_heavy,
    product_index,
    sources,
    weight,
)
from tabgrad.lower.index import Expr, flatten, unflatten, var
from tabgrad.lower.ir import FLIP, FULL, Node
from tabgrad.lower.measure import MAX_NESTED, MAX_VALUES
from tabgrad.lower.record import CHEAP, notes_errors


class Mismatch(Exception):
    """A value of the group is used at another index than the one at which it is computed."""


def load_all(g: Group, stored: set[int]) -> None:
    """Note the loads of a group of one op: all that the op reads."""
    for s in g.first.srcs:
        reach(g, s, tuple(var(f"x{i}", m) for i, m in enumerate(s.shape)), set(), stored)


def place_members(g: Group, stored: set[int]) -> bool:
    """Find the index of every member and the loads of the group; False if a value is used at two indices."""
    g.checks = int(any(notes_errors(m) for m in g.members))
    for h in g.heavies:
        g.index[h.id] = product_index(h) if g.kind == "product" else g.outer_index()
    if not g.heavies:
        g.index[g.first.id] = g.full_index()
    try:
        seen: set[Any] = set()
        for h in g.heavies:
            for s, index in g.operands(h):
                reach(g, s, index, seen, stored)
        for m in g.members:
            if m.id not in g.index or not is_heavy(m):
                place(g, m, seen, stored)
    except Mismatch:
        return False
    return not any(repeats(g, m, seen, stored) for m in g.members if g.kind == "row")


def repeats(g: Group, m: Node, seen: set[Any], stored: set[int]) -> bool:
    """Test whether the loop of a row group computes a member many times over, which it could load instead."""
    if is_heavy(m) or math.prod(g.shape) < 4 * m.spec.size:
        return False
    here = g.index[m.id]
    if not any(i == m.id and index != here for i, index, _ in seen):
        return False
    members = {k.id for k in g.members}
    stack, known, cost = [m], {m.id}, 0
    while stack:
        n = stack.pop()
        cost += weight(n)
        for s in n.srcs:
            if s.id not in known and (s.id in members or s.id not in stored) and not is_heavy(s):
                known.add(s.id)
                stack.append(s)
    return cost > CHEAP


def place(g: Group, m: Node, seen: set[Any], stored: set[int]) -> None:
    """Find the index at which an element-wise member is computed."""
    for index in candidates(g, m, stored):
        try:
            trial = set(seen)
            loads = dict(g.loads)
            for s, i in sources(m, index):
                reach(g, s, i, trial, stored)
        except Mismatch:
            g.loads = loads
            continue
        g.index[m.id] = index
        seen |= trial
        return
    raise Mismatch


def candidates(g: Group, m: Node, stored: set[int]) -> list[tuple[Expr, ...]]:
    """List the indices at which `m` may be computed, the likeliest first."""
    out = []
    if m.id in g.index:
        return [g.index[m.id]]
    if g.kind != "product" and m.shape == g.shape:
        out.append(g.full_index())
    path = path_index(g, m, stored) or read_index(g, m)
    if path is not None:
        out.append(path)
    if g.kind == "product":
        h = g.heavies[0]
        if m.spec.size == h.spec.size:
            out.append(unflatten(flatten(g.index[h.id], h.shape), m.shape))
    else:
        if m.spec.size == math.prod(g.shape):
            out.append(unflatten(flatten(g.full_index(), g.shape), m.shape))
        if m.spec.size == g.rows and g.axes:
            out.append(unflatten(var("g", g.rows), m.shape))
    return out


def path_index(g: Group, m: Node, stored: set[int]) -> tuple[Expr, ...] | None:
    """Find the index of `m` that follows from a placed member that it is computed from."""
    stack: list[tuple[Node, tuple[Node, ...]]] = [(m, ())]
    seen = {m.id}
    while stack:
        n, path = stack.pop()
        if n.id in g.index and n is not m:
            return forward_index(g.index[n.id], n.shape, path)
        if n is not m and n.id in stored and all(n is not k for k in g.members):
            continue
        steps = (n, *path) if can_be_followed(n) else path
        if n.family == "elementwise" or can_be_followed(n):
            for s in n.srcs:
                if s.id not in seen and s.op is not FULL:
                    seen.add(s.id)
                    stack.append((s, steps))
    return None


def read_index(g: Group, m: Node) -> tuple[Expr, ...] | None:
    """Find the index at which a reduction of the group reads `m`, if it reads each element once."""
    for h in g.heavies if g.kind == "row" else ():
        stack = [(h.srcs[0], g.full_index())]
        seen: set[int] = set()
        while stack:
            n, index = stack.pop()
            if n is m:
                return index
            through = n.family == "elementwise" or can_be_followed(n) or n.op is FLIP
            if n.id > m.id and n.id not in seen and through:
                seen.add(n.id)
                stack.extend(sources(n, index))
    return None


def reach(g: Group, n: Node, index: tuple[Expr, ...], seen: set[Any], stored: set[int]) -> None:
    """Walk the sources of element `index` of `n`; raise Mismatch if the group can't compute it."""
    stack: list[tuple[Node, tuple[Expr, ...], Any, int]] = [(n, index, None, 0)]
    members = {m.id for m in g.members}
    while stack:
        n, index, block, depth = stack.pop()
        key = (n.id, index, block)
        if n.op is FULL or key in seen:
            continue
        if n.id in members and is_heavy(n):
            if g.index.get(n.id) != index:
                raise Mismatch
            continue
        if n.op is None or (n.id in stored and n.id not in members):
            g.loads[n.id] = n
            continue
        seen.add(key)
        if notes_errors(n):
            g.checks = 1
        below = sources(n, index)
        if in_blocks(n):
            depth += 1
            # A block can't read a value that another block computes: it computes the value again.
            stack.extend((s, i, (key, k), depth) for k, (s, i) in enumerate(below))
        else:
            stack.extend((s, i, block, depth) for s, i in below)
        if len(seen) > MAX_VALUES or depth > MAX_NESTED:
            raise Mismatch

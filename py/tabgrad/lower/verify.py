"""Checks between the stages of lowering: each function checks the result of one stage.

They run if `ON` is set, as in the tests, and raise Broken with the value, group or kernel that is wrong.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core.spec import Spec
from tabgrad.lower.dialect import Dialect
from tabgrad.lower.group import Group, sources
from tabgrad.lower.index import Expr, condition
from tabgrad.lower.ir import FULL, Node, Program
from tabgrad.lower.kernel import GRID, Kernel
from tabgrad.lower.limits import Limits
from tabgrad.lower.memory import Memory
from tabgrad.lower.tokens import MARK
from tabgrad.lower.windows import ALIGNMENT

if TYPE_CHECKING:
    from tabgrad.lower.plan import Plan

ON = False
"""True if lowering is verified."""


class Broken(AssertionError):
    """The result of a stage of lowering is not valid for the next stage."""


def stage(look: Callable[..., None]) -> Callable[..., None]:
    """Let a check run only if lowering is verified."""

    @functools.wraps(look)
    def run(*args: Any) -> None:
        if ON:
            look(*args)

    return run


# -- the program -----------------------------------------------------------------------------------


@stage
def program(p: Program, specs: Sequence[Spec], rewired: Iterable[Node] = ()) -> None:
    """Check that each value is defined once, before its uses, and that edges and outputs have the right Specs.

    `rewired` read buffers in the place of the operands that they were made for.
    """
    apart = {n.id for n in rewired}
    for i, n in enumerate(p.nodes):
        if n.id != i:
            raise Broken(
                f"program: {n} is value {i} of the program: each is defined once, in order"
            )
        for s in n.srcs:
            if s.id >= i or p.nodes[s.id] is not s:
                raise Broken(f"program: {n} reads %{s.id}, which is not defined before it")
            if not any(u is n for u in s.users):
                raise Broken(f"program: {n} is not among the users of {s}")
        if n.op is not None and n.op is not FULL and n.id not in apart:
            found = n.op.infer(tuple(s.spec for s in n.srcs), n.params)
            if found != n.spec:
                raise Broken(f"program: {n} is {found} by its sources")
    for o, spec in zip(p.outputs, specs, strict=True):
        if o.id >= len(p.nodes) or p.nodes[o.id] is not o:
            raise Broken(f"program: output {o} is not defined")
        if (o.spec.size, o.spec.dtype) != (spec.size, spec.dtype):
            raise Broken(f"program: output {o} was recorded as {spec}")


# -- groups ----------------------------------------------------------------------------------------


@stage
def groups(p: Program, found: Sequence[Group], stored: set[int]) -> None:
    """Check that one group makes each stored value, before it is read, at indices inside of its shape."""
    made: dict[int, Group] = {}
    for g in found:
        for s in g.loads.values():
            if s.op is not None and s.id not in made:
                raise Broken(f"groups: {g} reads {s} before a group makes it")
        for m in g.members:
            if m.id in made:
                raise Broken(f"groups: {m} is made by {made[m.id]} and by {g}")
            made[m.id] = g
            if m.id in g.index:
                inside(g, m, g.index[m.id])
        reads(g, stored)
    for n in (*p.outputs, *(n for n in p.nodes if n.id in stored)):
        if n.op is not None and n.op is not FULL and n.id not in made:
            raise Broken(f"groups: no group makes {n}, which is stored")


def inside(g: Group, n: Node, index: tuple[Expr, ...]) -> None:
    """Raise if an index lies outside of the shape: for some element, if that can be told, or for all."""
    if len(index) != len(n.shape):
        raise Broken(f"groups: {g} has {n} at {index}: {len(n.shape)} numbers are needed")
    for e, size in zip(index, n.shape, strict=True):
        exact = all(a.of is None for a, _ in e.terms)
        low, high = (e.lo, e.hi) if exact else (e.hi, e.lo)
        if n.spec.size and (low < 0 or high >= size):
            raise Broken(f"groups: {g} has {n} at {index}: {e} is not from 0 to {size - 1}")


def reads(g: Group, stored: set[int]) -> None:
    """Check the reads from the members of a group to its loads, as far as no read is under a condition.

    A value without elements reads none.
    """
    members = {m.id for m in g.members}
    made = [m for m in g.members if m.id in g.index and m not in g.heavies and m.spec.size]
    stack = [(m, g.index[m.id]) for m in made]
    if g.kind != "library":
        read = (pair for h in g.heavies for pair in g.operands(h))
        stack += [(s, index) for s, index in read if s.spec.size and math.prod(g.shape)]
    seen: set[Any] = set()
    while stack:
        n, index = stack.pop()
        if n.op is FULL or (n.id, index) in seen:
            continue
        seen.add((n.id, index))
        inside(g, n, index)
        if n.op is None or n in g.heavies or (n.id in stored and n.id not in members):
            continue
        if n.family == "elementwise":
            stack += sources(n, index)
        elif n.family == "view":
            conditions = n.op.index(index, n.srcs[0].shape, **n.params)[1]
            if all(condition(*c) is True for c in conditions):
                stack += sources(n, index)


# -- memory ----------------------------------------------------------------------------------------


@stage
def memory(p: Program, m: Memory, needed: set[int]) -> None:
    """Check that each needed value has a place in its slot, and that values overlap only inside a cat."""
    of: dict[int, list[tuple[int, int, Node]]] = {}
    for n in p.nodes:
        if n.id in m.places:
            slot, start = m.places[n.id]
            end = start + n.spec.size
            if n.rows is not None:
                apart(m, n)
                end = start + n.rows[0]
            of.setdefault(slot, []).append((start, end, n))
            if m.dialect.nbytes(n.spec.dtype, end) > m.bytes[slot]:
                raise Broken(f"memory: {n} at {start} does not fit into slot {slot}")
        elif n.id in needed and n.op is not None and n.op is not FULL:
            raise Broken(f"memory: {n} is needed and has no place")
    for slot, values in of.items():
        around: list[tuple[int, Node]] = []
        for start, end, n in sorted(values, key=lambda v: (v[0], v[0] - v[1], -v[2].id)):
            while around and around[-1][0] <= start:
                around.pop()
            if around and start < end and m.inside.get(n, (None,))[0] is not around[-1][1]:
                raise Broken(f"memory: {n} lies over {around[-1][1]} in slot {slot}")
            around.append((end, n))


def apart(m: Memory, n: Node) -> None:
    """Raise if the rows of a piece of a cat do not end in the rows of the cat."""
    length, distance = n.rows or (0, 0)
    cat, at = m.inside[n]
    if at + length > distance or n.spec.size * distance != length * cat.spec.size:
        raise Broken(
            f"memory: {n} has rows of {length} at {at} of {cat}, which has rows of {distance}"
        )


# -- the plan --------------------------------------------------------------------------------------


@stage
def plan(made: Plan, dialect: Dialect, limits: Limits, empty: Iterable[int] = ()) -> None:
    """Check that a slot is written before it is read, that kernels keep the limits, and that outputs are made.

    No kernel writes the slots in `empty`, or reads an element of them.
    """
    written = {*range(made.inputs), *empty}
    for i, k in enumerate(made.kernels):
        letters = k.bindings.removesuffix("u")
        kernel(made, i, k, letters, dialect, limits)
        for slot, letter in zip(k.slots, letters, strict=True):
            if letter == "r" and slot not in written and slot != made.errors:
                raise Broken(
                    f"plan: kernel {i} ({k.label}) reads slot {slot}, which none has written"
                )
            if letter == "w" and slot < made.inputs:
                raise Broken(f"plan: kernel {i} ({k.label}) writes input {slot}")
        written.update(s for s, letter in zip(k.slots, letters, strict=True) if letter == "w")
    for slot, start, spec in made.outputs:
        if spec.size and slot not in written:
            raise Broken(f"plan: no kernel writes slot {slot}, which holds an output {spec}")
        if dialect.nbytes(spec.dtype, start + spec.size) > made.nbytes[slot]:
            raise Broken(f"plan: output {spec} at {start} does not fit into slot {slot}")
    lives(made)
    turns(made.kernels)


def kernel(made: Plan, i: int, k: Kernel, letters: str, dialect: Dialect, limits: Limits) -> None:
    """Raise if a device can't run a kernel."""
    name = f"plan: kernel {i} ({k.label})"
    if len(letters) != len(k.slots) or set(letters) - {"r", "w"}:
        raise Broken(f"{name} binds {k.bindings!r} to slots {k.slots}")
    if not k.routine and not k.verbatim and len(k.slots) > limits.buffers:
        raise Broken(f"{name} binds {len(k.slots)} buffers of {limits.buffers}")
    if not all(1 <= n <= GRID for n in k.grid):
        raise Broken(f"{name} has a grid of {k.grid}: each must be 1 to {GRID}")
    if k.grid[0] * k.grid[1] * k.work.each < k.work.count:
        raise Broken(f"{name} has a grid of {k.grid} for {k.work.count}, {k.work.each} a workgroup")
    if MARK in k.source or k.bindings.endswith("u") != bool(k.words or k.uniforms):
        if not k.routine and not k.verbatim:
            raise Broken(f"{name} is not written out, or does not bind its uniform words as such")
    given = sum(dialect.words(kind) for _, kind in k.uniforms) + len(k.words)
    if given != k.work.words and not k.routine:
        raise Broken(f"{name} reads {k.work.words} uniform words of {given}")
    for slot in k.slots:
        if not 0 <= slot < len(made.nbytes):
            raise Broken(f"{name} binds slot {slot} of {len(made.nbytes)}")
    for slot, span in zip(k.slots, k.spans or [None] * len(k.slots), strict=True):
        start, count = span or (0, made.nbytes[slot])
        if start % ALIGNMENT or count < 1 or start + count > made.nbytes[slot]:
            raise Broken(f"{name} binds {count} bytes from {start} on of slot {slot}")
        if limits.binding and not k.routine and count > limits.binding:
            raise Broken(
                f"{name} binds {count} bytes of slot {slot}: {limits.binding} are the most"
            )
        if span is None and k.slots.count(slot) > 1 and "w" in letters:
            if {a for s, a in zip(k.slots, letters, strict=True) if s == slot} != {"r"}:
                raise Broken(f"{name} binds slot {slot} twice and writes it")


def turns(kernels: Sequence[Kernel]) -> None:
    """Raise if a dispatch of a group is missing, or does not follow the one before it."""
    due, of = 0, 1
    for i, (turn, count) in enumerate([*(k.turn for k in kernels), (0, 1)]):
        if turn != due or (due and count != of):
            raise Broken(f"plan: dispatch {due} of a group of {of} is missing before kernel {i}")
        due, of = (turn + 1) % count, count


def lives(made: Plan) -> None:
    """Raise if a slot is used outside of its lifetime, the span of kernels in `temporaries`."""
    kept = {*range(made.inputs), *made.output_slots, made.errors}
    for i, k in enumerate(made.kernels):
        for slot in set(k.slots) - kept:
            first, last = made.temporaries.get(slot, (len(made.kernels), -1))
            if not first <= i <= last:
                raise Broken(
                    f"plan: kernel {i} ({k.label}) uses slot {slot}, which lives from {first} to {last}"
                )


@stage
def stores(p: Program, kernels: Sequence[Kernel], m: Memory, needed: set[int]) -> None:
    """Check that each stored value is written whole, nothing outside of it, and by as many threads as it takes.

    This looks at the places that kernels are printed from, not at their text: loops, routines and users'
    kernels are assumed to write all that they bind for writing, and a place computed from values may be any.
    It can't see what is written, whether twice, and whether a record's `passes` return all that it takes.
    """
    ends: dict[int, int] = {}
    for n in p.nodes:
        if n.id in m.places:
            slot, start = m.places[n.id]
            ends[slot] = max(ends.get(slot, 0), start + n.spec.size)
    written: dict[int, list[tuple[int, int, int]]] = {}
    for i, k in enumerate(kernels):
        letters = k.bindings
        placed = {slot for slot, _ in k.work.stores}
        for slot, letter in zip(k.slots, letters, strict=False):
            if letter == "w" and slot not in placed:
                written.setdefault(slot, []).append((0, m.bytes[slot], m.bytes[slot]))
        for slot, place in k.work.stores:
            sizes = place.variables()
            domain(f"stores: kernel {i} ({k.label})", k, sizes.get("g", 0))
            exact = all(a.of is None and not a.name.startswith("at") for a, _ in place.terms)
            # a value without elements is written in a loop that never runs
            if exact and ends.get(slot) and (place.lo < 0 or place.hi >= ends[slot]):
                raise Broken(f"stores: kernel {i} ({k.label}) writes {place} of {ends[slot]}")
            one = (place.lo, place.hi + 1, math.prod(sizes.values()))
            written.setdefault(slot, []).append(one)
    for n in p.nodes:
        if n.id in needed and n.op is not None and n.op is not FULL:
            slot, start = m.places[n.id]
            whole(n, start, sorted(written.get(slot, [])))


def domain(name: str, k: Kernel, count: int) -> None:
    """Raise if the guard lets through more or fewer threads than there are elements."""
    bound = k.work.count or k.grid[0] * k.grid[1] * k.work.each
    if count and bound != count and not (k.spans and bound < count):
        raise Broken(f"{name} lets {bound} through for {count} elements")


def whole(n: Node, start: int, ranges: Sequence[tuple[int, int, int]]) -> None:
    """Raise if the ranges written in a slot leave out some of the value that begins at `start`."""
    at, end, count = start, start + n.spec.size, 0
    for low, high, size in ranges:
        at = max(at, high) if low <= at else at
        count += size if high > start and low < end else 0
    if at < end or count < n.spec.size:
        raise Broken(f"stores: {n} is written to {at} of {end}, {count} elements of {n.spec.size}")


@stage
def sharing(made: Plan, home: Mapping[int, int], sizes: Sequence[int]) -> None:
    """Check that temporaries that share a buffer fit into it, and that their lifetimes don't overlap."""
    last_of: dict[int, tuple[int, int]] = {}
    for slot, (first, last) in sorted(made.temporaries.items(), key=lambda t: t[1]):
        at = home[slot]
        if made.nbytes[slot] > sizes[at]:
            raise Broken(f"sharing: slot {slot} does not fit into buffer {at} of {sizes[at]} bytes")
        end, other = last_of.get(at, (-1, -1))
        if first <= end:
            raise Broken(f"sharing: slots {other} and {slot} are alive in buffer {at} at once")
        last_of[at] = (last, slot)

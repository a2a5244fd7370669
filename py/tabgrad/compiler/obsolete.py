"""Drops captures that can't fit again, because only they still hold an object that they depend on."""

from __future__ import annotations

import functools
import gc
import sys
import types
import weakref
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tabgrad.compiler.python_values import ATOMS

if TYPE_CHECKING:
    from tabgrad.compiler.compiled import Known
    from tabgrad.compiler.entry import Entry

KNOWN: weakref.WeakSet[Known] = weakref.WeakSet()
"""All records of calls of compiled functions, which hold the captures."""
_VIEW: type = type({"": None}.values())


def let_go(entries: list[Entry]) -> None:
    """Drop the captures, of all functions, that depend on replaced objects which only captures still hold.

    `entries` are captures that no longer fit.
    """
    gone = {id(x): x for entry in entries for x in entry.state.replaced() if type(x) not in ATOMS}
    if not gone:
        return
    homes = {entry: known for known in KNOWN for entry in known.entries}
    owners = {id(part): entry for entry in homes for part in _parts(entry)}
    holders: dict[int, list[Entry]] = {at: [] for at in gone}
    for referrer in gc.get_referrers(*gone.values()):
        entry = owners.get(id(referrer))
        if entry is not None:
            for x in gc.get_referents(referrer):
                if id(x) in gone:
                    holders[id(x)].append(entry)
    # an object that only this dict holds: its count is what the bookkeeping here adds
    gone[0] = object()
    counts = {at: sys.getrefcount(x) for at, x in gone.items()}
    for at, found in holders.items():
        if counts[at] == counts[0] + len(found):
            for entry in found:
                kept = homes[entry].entries
                if entry in kept:
                    kept.remove(entry)


def _parts(entry: Entry) -> Iterator[Any]:
    """Yield the containers of a capture that refer to objects of users."""
    state = entry.state
    yield from (
        state.flat, state.sized, state.walked, state.code_of, state.given, state.ordered, state.held,
        state.seen, state.nodes, state.objects,
    )  # fmt: skip
    yield from (x for x in state.walked if type(x) is _VIEW)
    for rows in (
        state.boxes, state.tensors, state.functions, state.cells, state.arrays, state.instances,
        state.partials, state.classes, state.taken, entry.guards, entry.events,
    ):  # fmt: skip
        yield from rows
    for _, _, old in state.boxes:
        yield old
        yield from old if isinstance(old, tuple) else ()
    for namespace in state.namespaces.values():
        yield namespace
        yield namespace.found
    yield from _of_functions(fn for fn, _ in entry.guards)
    yield from _of_functions(fn for _, fn in entry.events)


def _of_functions(fns: Iterable[Any]) -> Iterator[Any]:
    """Yield what functions hold: cells of closures, bound arguments."""
    for fn in fns:
        while fn is not None:
            yield fn
            if isinstance(fn, functools.partial):
                yield fn.args
                fn = fn.func
            elif isinstance(fn, types.FunctionType):
                yield fn.__closure__
                yield from fn.__closure__ or ()
                fn = None
            else:
                fn = None

"""The Python state that a captured call reads, which is compared before each replay.

Before code runs, all that can be reached from the function by the names in that code is noted: the values of
globals, cells and attributes, the items of lists and dicts, the facts of tensors (not their numbers). A
comparison right after the call shows what the call itself has changed; later comparisons show whether a replay
would do what the call does. A comparison first compares identities, over flat lists in C; if some differ, it
compares values.
"""

from __future__ import annotations

import types
from abc import get_cache_token
from collections.abc import Callable, Iterator
from itertools import chain
from operator import attrgetter, is_, is_not, itemgetter
from typing import Any

from tabgrad.compiler.code import mro_of, name_of
from tabgrad.compiler.namespaces import Namespace
from tabgrad.compiler.python_values import Facts, Fields, array_bytes, same, shown, tensor_state
from tabgrad.compiler.reachable import (
    ABSENT,
    Reachable,
    cell_value,
    parts_of_function,
    parts_of_partial,
)

_contents = attrgetter("cell_contents")
_tensor = attrgetter("spec", "tracked", "device", "node")
_notes = attrgetter("notes")


class State(Reachable):
    """The reached state, and its comparison with the current one."""

    def broken(self) -> tuple[str, str] | None:
        """Return what has changed and how, or None if nothing has."""
        return next(self._differences(), None)

    def _differences(self) -> Iterator[tuple[str, str]]:
        for namespace in self.namespaces.values():
            yield from self._changed_names(namespace)
        for value, path, old in self.boxes:
            if not _same_items(value, old):
                yield path, "changed its items"
        for value, path, old in self.partials:
            if any(map(is_not, old, parts_of_partial(value))):
                yield path, "was given other arguments"
        for cls, path, old in self.classes:
            if mro_of(cls) is not old:
                yield path, "has other base classes"
        for cell, path, old in self.cells:
            now = cell_value(cell)
            if not same(old, now):
                yield path, f"was {shown(old)} and is {shown(now)}"
        for fn, path, parts in self.functions:
            if not same(parts, parts_of_function(fn)):
                yield path, "has other code or defaults"
        for value, path, kind in self.instances:
            if type(value) is not kind:
                yield path, f"was a {name_of(kind)} and is a {name_of(type(value))}"
        for x, path, facts in self.tensors:
            now = tensor_state(x)
            if now != facts:
                yield path, _changed_facts(facts, now)
        for value, path, content in self.arrays:
            if array_bytes(value) != content:
                yield path, "has other numbers"
        if get_cache_token() != self.abstract:
            yield "an abstract class", "has registered another class"

    def _changed_names(self, namespace: Namespace) -> Iterator[tuple[str, str]]:
        table, found = namespace.table, namespace.found
        for name, old in found.items():
            now = table.get(name, ABSENT)
            if not same(old, now):
                what = "is gone" if now is ABSENT else f"was {shown(old)} and is {shown(now)}"
                yield namespace.path + name, what
        if len(table) != len(found):
            whole = self.everything and not namespace.shallow and namespace in self.named
            wanted = table if whole else namespace.whole
            for name in wanted:
                if name in table and name not in found:
                    yield namespace.path + name, f"is new: {shown(table[name])}"

    def replaced(self) -> Iterator[Any]:
        """Yield the objects that have been replaced by others."""
        for namespace in self.namespaces.values():
            for name, old in namespace.found.items():
                if namespace.table.get(name, ABSENT) is not old:
                    yield old
        for value, _, old in self.boxes:
            items = old[1] if isinstance(old, tuple) else old
            now = set(map(id, value.values() if isinstance(old, tuple) else value))
            yield from [x for x in items if id(x) not in now]
        yield from [old for cell, _, old in self.cells if cell_value(cell) is not old]

    def seal(self) -> None:
        """Store the current values as flat lists for the quick comparison, after `broken()` returned None."""
        self.sized: list[Any] = [v for v, _, _ in self.boxes]
        self.sized += [s.table for s in self.namespaces.values() if type(s.table) is not Fields]
        self.walked: list[Any] = []
        for value, _, _ in self.boxes:
            self.walked += [value, value.values()] if hasattr(value, "values") else [value]
        self.taken: list[tuple[Callable[[Any], Any], Any]] = []
        for namespace in self.namespaces.values():
            for name in namespace.found:
                namespace.found[name] = namespace.table[name]
            if namespace.found:
                first = next(iter(namespace.found))
                self.taken.append((itemgetter(first, *namespace.found), namespace.table))
        self.code_of = [fn for fn, _, _ in self.functions]
        self.given = [fn for fn, _, _ in self.partials]
        self.ordered = [cls for cls, _, _ in self.classes]
        self.held = [cell for cell, _, old in self.cells if old is not ABSENT]
        self.seen = [x for x, _, _ in self.tensors]
        self.nodes = [x.node for x in self.seen if x.node is not None]
        self.objects = [value for value, _, _ in self.instances]
        self.lengths = list(map(len, self.sized))
        self.flat = list(self._now())

    def _now(self) -> Iterator[Any]:
        return chain(
            chain.from_iterable(self.walked),
            chain.from_iterable([get(table) for get, table in self.taken]),
            chain.from_iterable(map(parts_of_function, self.code_of)),
            chain.from_iterable(map(parts_of_partial, self.given)),
            map(mro_of, self.ordered),
            chain.from_iterable(map(_tensor, self.seen)),
            map(type, self.objects),
            map(_contents, self.held),
            map(_notes, self.nodes),
        )

    def holds(self) -> bool:
        """Whether nothing has changed."""
        if self._unmoved() and not self.arrays:
            return True
        if self.broken() is not None:
            return False
        self.seal()
        return True

    def _unmoved(self) -> bool:
        """Whether every object is still the same object."""
        try:
            return (
                get_cache_token() == self.abstract
                and list(map(len, self.sized)) == self.lengths
                and all(map(is_, self._now(), self.flat))
            )
        except (KeyError, ValueError, AttributeError, RuntimeError):
            return False

    def count(self) -> int:
        """Count the values that are compared."""
        return len(self.flat) + len(self.arrays)

    def lines(self) -> list[str]:
        """Describe what is compared."""
        out = []
        for namespace in self.namespaces.values():
            if not namespace.shallow:
                out += [
                    f"{namespace.path}{n} is {shown(v)}"
                    for n, v in namespace.found.items()
                    if named(v)
                ]
        out += [f"{path} has the same {len(v)} items" for v, path, _ in self.boxes]
        out += [f"{path} is {shown(old)}" for _, path, old in self.cells if named(old)]
        out += [f"{path}: {', '.join(facts.words())}" for _, path, facts in self.tensors]
        out += [f"{path} has the same numbers" for _, path, _ in self.arrays]
        return out


def named(value: object) -> bool:
    """Whether a guard on this value is informative for a reader."""
    return not issubclass(
        type(value), types.FunctionType | types.ModuleType | types.BuiltinFunctionType | type | dict
    )


def _same_items(value: Any, old: Any) -> bool:
    if isinstance(value, dict | types.MappingProxyType):
        keys, values = old
        return (
            len(keys) == len(value)
            and all(map(same, keys, value))
            and all(map(same, values, value.values()))
        )
    if len(old) != len(value):
        return False
    return all(map(same, old, value)) or (isinstance(value, set) and set(old) == value)


def _changed_facts(old: Facts, now: Facts) -> str:
    was, have = old.words(), now.words()
    for a, b in zip(was, have, strict=True):
        if a != b:
            return f"was {a} and is {b}"
    return "is another kind of tensor"

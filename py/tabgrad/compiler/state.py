"""The Python state that a captured call reads, as it was: compared before each replay.

What can be reached from the function by the names in the code that runs is noted before that code runs: the
values of globals, cells and attributes, the items of lists and dicts, what tensors are (not their numbers).
Compared right after the call it tells what the call itself changes; compared later, whether a replay would
still be the call. A comparison runs over flat lists in C; where that fails, values decide instead of objects.
"""

from __future__ import annotations

import builtins
import functools
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from operator import attrgetter, is_, itemgetter, methodcaller
from typing import Any

from tabgrad.compiler.code import (
    INTERNAL,
    USER,
    Names,
    home,
    looks_anywhere,
    module_kind,
    names_of,
    not_repeatable,
    root_of,
)
from tabgrad.compiler.kinds import (
    ATOMS,
    array_bytes,
    hidden_state,
    is_array,
    is_member,
    is_value,
    same,
    shown,
    slots_of,
    tensor_state,
)
from tabgrad.compiler.tables import SPECIAL, Space, of_a_library
from tabgrad.core.trace import MODE, Box

_ABSENT: Any = object()
_Cached = type(functools.cache(len))
_contents = attrgetter("cell_contents")
_function = attrgetter("__code__", "__defaults__", "__kwdefaults__")
_tensor = attrgetter("spec", "tracked", "device", "node")
_notes = attrgetter("notes")
_CONTAINERS = (list, dict, set, frozenset, deque, bytearray, types.MappingProxyType)
Path = str


class State:
    """What has been reached, with the values it had."""

    def __init__(self) -> None:
        self.caches: list[tuple[Any, Path, Any]] = []
        self.partials: list[tuple[Any, Path, tuple[Any, Any, Any]]] = []
        self.known: dict[int, Any] = {id(MODE): MODE}
        self.spaces: dict[int, Space] = {}
        self.named: list[Space] = []
        self.boxes: list[tuple[Any, Path, Any]] = []
        self.tensors: list[tuple[Any, Path, Any]] = []
        self.functions: list[tuple[Any, Path, Any]] = []
        self.cells: list[tuple[Any, Path, Any]] = []
        self.arrays: list[tuple[Any, Path, bytes]] = []
        self.attributes: set[str] = set()
        self.instances: list[tuple[Any, Path, type]] = []
        self.everything = False
        self.all_globals = False
        self.codes: set[int] = set()
        self.foreseen: set[types.CodeType] = set()
        self.reasons: list[str] = []
        self._todo: list[tuple[Any, Path]] = []

    # -- reaching ----------------------------------------------------------------------------------

    def reach(self, value: Any, path: Path) -> None:
        """Note `value` as it is, and what it holds."""
        todo = self._todo
        todo.append((value, path))
        while todo:
            value, path = todo.pop()
            if type(value) in ATOMS or id(value) in self.known:
                continue
            self.known[id(value)] = value
            self._visit(value, path)

    def use(self, names: Names, table: dict[str, Any], called: str) -> None:
        """Note what code with these names, and these globals, may read from now on."""
        space = self._space(table, "global ", ())
        self.all_globals = self.all_globals or names.all_globals
        self._take(space, table if self.all_globals else names.globals)
        self._import(names, table)
        self._hand_over(names, table)
        if root_of(table.get("__name__") or "") != "tabgrad":
            if names.anywhere:
                self.use_everything()
            if "_version" in names.attributes:
                self.reasons.append("counts the writes to a tensor (`_version`)")
        new = {*names.attributes, called} - self.attributes
        if new:
            self.attributes |= new
            for space in list(self.named):
                self._take(space, new)
        self.reach(None, "")

    def use_everything(self) -> None:
        """Note every attribute: code may touch one by a name that is not in it."""
        if not self.everything:
            self.everything = True
            for space in [s for s in self.named if not s.shallow]:
                self._take(space, space.table)
            self.reach(None, "")

    def _hand_over(self, names: Names, table: dict[str, Any]) -> None:
        """Note functions written in C that code passes on."""
        found = [vars(builtins).get(n) for n in names.handed]
        for value in [table.get(n) for n in names.globals]:
            if isinstance(value, types.ModuleType):
                found += [vars(value).get(n) for n in names.handed]
        for fn in found:
            self._hand(fn)

    def _hand(self, fn: Any) -> None:
        if isinstance(fn, types.BuiltinFunctionType):
            if looks_anywhere(fn):
                self.use_everything()
            reason = not_repeatable(fn)
            if reason is not None:
                self.reasons.append(reason)

    def _foresee(self, fn: Any) -> None:
        """Note what a function may read that does not run now, because a cache holds what it gave."""
        todo = [fn]
        while todo:
            fn = todo.pop()
            code = getattr(fn, "__code__", None)
            if code is None or code in self.foreseen or module_kind(fn.__module__ or "") != USER:
                continue
            self.foreseen.add(code)
            names = names_of(code)
            self.use(names, fn.__globals__, code.co_name)
            todo += [fn.__globals__.get(n) for n in names.globals]
            todo += [cell_value(cell) for cell in fn.__closure__ or ()]

    def _import(self, names: Names, table: dict[str, Any]) -> None:
        for name in names.imports:
            for full in (name, f"{table.get('__package__')}.{name}"):
                if full in sys.modules:
                    self._todo.append((sys.modules[full], f"{name}"))
        if "import_module" in names.globals | names.attributes:
            self._all_modules()

    def _all_modules(self) -> None:
        """Note the modules of users: code may get at each of them."""
        for name, module in list(sys.modules.items()):
            if module_kind(name) == USER and root_of(name) != "tabgrad":
                self._todo.append((module, name))

    def _space(self, table: Any, path: Path, always: Iterable[str], follows: Any = object) -> Space:
        found = self.spaces.get(id(table))
        if found is None:
            found = self.spaces[id(table)] = Space(table, path, always, follows)
            self.known[id(table)] = table
        return found

    def _attributes(
        self, table: Any, path: Path, always: Iterable[str] = (), follows: Any = object
    ) -> None:
        """Note the attributes in `table` that the code seen so far names; those named later follow."""
        space = self._space(table, path, always, follows)
        space.path = space.path or path
        self.named.append(space)
        if always:
            self._take(space, always)
        self._take(space, table if self.everything and not space.shallow else self.attributes)

    def _take(self, space: Space, names: Any) -> None:
        table, found, todo = space.table, space.found, self._todo
        for name in [n for n in names if n in table and n not in found]:
            found[name] = value = table[name]
            if value is sys.modules:
                self._all_modules()
            elif isinstance(value, space.follows):
                todo.append((value, space.path + name))
        space.whole.update(names)

    def _visit(self, value: Any, path: Path) -> None:
        kind = type(value)
        if isinstance(value, Box):
            self.tensors.append((value, path, tensor_state(value)))
            for notes in (value.node.notes or {}) if value.node is not None else ():
                self._todo.append((value.node.notes[notes], f"{path}'s hooks"))
            if hasattr(value, "__dict__"):
                self._attributes(vars(value), path + ".")
        elif isinstance(value, tuple):
            self._todo += [(item, f"{path}[{i}]") for i, item in enumerate(value)]
        elif isinstance(value, _CONTAINERS):
            self._container(value, path)
        elif isinstance(value, types.FunctionType):
            self._visit_function(value, path)
        elif isinstance(value, type):
            self._visit_class(value, path)
        elif isinstance(value, types.ModuleType):
            self._visit_module(value, path)
        elif is_array(value):
            self._array(value, path)
        elif isinstance(value, attrgetter | methodcaller):
            self.use_everything()
        elif not self._visit_wrapper(value, path) and (is_member(value) or not is_value(value)):
            self._visit_instance(value, kind, path)
        if (value.__name__ if kind is types.ModuleType else home(kind)) == "decimal":
            self.reasons.append(f"{path} is of decimal, whose numbers depend on a context")

    def _container(self, value: Any, path: Path) -> None:
        if isinstance(value, dict | types.MappingProxyType):
            self.boxes.append((value, path, (list(value), list(value.values()))))
            self._todo += [(item, f"{path}[{shown(k)}]") for k, item in value.items()]
        else:
            self.boxes.append((value, path, list(value)))
            if not isinstance(value, bytearray):
                self._todo += [(item, f"{path}[{i}]") for i, item in enumerate(value)]
        if hasattr(value, "__dict__"):
            self._attributes(vars(value), path + ".")

    def _array(self, value: Any, path: Path) -> None:
        content = array_bytes(value)
        if content is None:
            self.reasons.append(f"{path} is a large NumPy array: make it a tensor, or an argument")
        else:
            self.arrays.append((value, path, content))

    def _visit_function(self, fn: Any, path: Path) -> None:
        self.codes.add(id(fn.__code__))
        self.functions.append((fn, path, _function(fn)))
        names = fn.__code__.co_freevars
        for name, cell in zip(names, fn.__closure__ or (), strict=True):
            if id(cell) in self.known:
                continue
            self.known[id(cell)] = cell
            held = cell_value(cell)
            self.cells.append((cell, name, held))
            self._todo.append((held, name))
        self._todo += [(d, f"{path}'s default") for d in fn.__defaults__ or ()]
        self._todo += [(d, f"{path}'s default {k}") for k, d in (fn.__kwdefaults__ or {}).items()]
        if module_kind(fn.__module__ or "") == USER:
            self._attributes(vars(fn), path + ".")
        elif hasattr(fn, "__wrapped__"):
            self._todo.append((fn.__wrapped__, path))

    def _visit_class(self, cls: type, path: Path) -> None:
        if module_kind(home(cls)) != USER:
            return
        own = root_of(home(cls)) == "tabgrad"
        self._attributes(vars(cls), f"{cls.__qualname__}.", () if own else SPECIAL)
        self._todo += [(base, base.__qualname__) for base in cls.__mro__[1:]]
        if type(cls) is not type:
            self._todo.append((type(cls), type(cls).__qualname__))

    def _visit_module(self, module: Any, path: Path) -> None:
        kind, name = module_kind(module.__name__), module.__name__
        # draws of NumPy are written in Cython: Python tells no profiler of their calls
        if kind == USER or name.startswith("numpy.random"):
            self._attributes(vars(module), f"{name}.")
        else:
            follows = () if kind == INTERNAL else (list, dict, types.ModuleType)
            self._attributes(vars(module), f"{name}.", follows=follows)

    def _visit_wrapper(self, value: Any, path: Path) -> bool:
        """Follow what stands for a function; False for anything else."""
        inner: list[Any]
        if isinstance(value, types.MethodType):
            inner = [value.__self__, value.__func__]
        elif isinstance(value, types.BuiltinFunctionType):
            inner = [] if isinstance(value.__self__, types.ModuleType) else [value.__self__]
        elif isinstance(value, functools.partial):
            self._hand(value.func)
            keywords = tuple(value.keywords), tuple(value.keywords.values())
            self.partials.append((value, path, (value.func, value.args, keywords)))
            inner = [value.func, *value.args, *value.keywords.values()]
        elif isinstance(value, staticmethod | classmethod):
            inner = [value.__func__]
        elif isinstance(value, property):
            inner = [value.fget, value.fset, value.fdel]
        elif isinstance(value, functools.cached_property):
            inner = [value.func]
        elif isinstance(value, _Cached):
            self.caches.append((value, path, value.cache_info()[1:]))
            self._foresee(value.__wrapped__)
            inner = [value.__wrapped__]
        else:
            return False
        self._todo += [(x, path) for x in inner if x is not None]
        return True

    def _visit_instance(self, value: Any, kind: type, path: Path) -> None:
        if module_kind(home(kind)) == INTERNAL and not hasattr(kind, "GUARDED"):
            return
        if kind is not types.SimpleNamespace and not is_member(value) and hidden_state(kind):
            what = f"{home(kind)}.{kind.__qualname__}"
            self.reasons.append(f"{path} is a {what}, whose state can't be compared")
            return
        self.instances.append((value, path, kind))
        if hasattr(value, "__dict__"):
            whole = kind is not types.SimpleNamespace and of_a_library(kind)
            always = vars(value) if whole else getattr(kind, "GUARDED", ())
            self._attributes(vars(value), path + ".", always)
        slots = slots_of(value)
        if slots is not None:
            self.known[id(slots)] = slots
            self._attributes(slots, path + ".")
        for cls in kind.__mro__:
            self._todo.append((cls, cls.__qualname__))

    # -- comparing ---------------------------------------------------------------------------------

    def broken(self) -> tuple[str, str] | None:
        """Return what is no longer as it was, and in which way; None where all is."""
        return next(self._differences(), None)

    def _differences(self) -> Iterator[tuple[str, str]]:
        for space in self.spaces.values():
            yield from self._changed_names(space)
        for value, path, old in self.boxes:
            if not _same_items(value, old):
                yield path, "changed its items"
        for value, path, (fn, args, keywords) in self.partials:
            if (
                value.func is not fn
                or value.args is not args
                or not _same_items(value.keywords, keywords)
            ):
                yield path, "was given other arguments"
        for cached, path, filled in self.caches:
            if cached.cache_info()[1:] != filled:
                yield path, "has kept or forgotten results"
        for cell, path, old in self.cells:
            now = cell_value(cell)
            if not same(old, now):
                yield path, f"was {shown(old)} and is {shown(now)}"
        for fn, path, parts in self.functions:
            if not same(parts, _function(fn)):
                yield path, "has other code or defaults"
        for value, path, kind in self.instances:
            if type(value) is not kind:
                yield path, f"was a {kind.__qualname__} and is a {type(value).__qualname__}"
        for x, path, facts in self.tensors:
            now = tensor_state(x)
            if now != facts:
                yield path, _changed_facts(facts, now)
        for value, path, content in self.arrays:
            if array_bytes(value) != content:
                yield path, "has other numbers"

    def _changed_names(self, space: Space) -> Iterator[tuple[str, str]]:
        table, found = space.table, space.found
        for name, old in found.items():
            now = table.get(name, _ABSENT)
            if not same(old, now):
                what = "is gone" if now is _ABSENT else f"was {shown(old)} and is {shown(now)}"
                yield space.path + name, what
        if len(table) != len(found):
            whole = self.everything and not space.shallow and space in self.named
            wanted = table if whole else space.whole
            for name in wanted:
                if name in table and name not in found:
                    yield space.path + name, f"is new: {shown(table[name])}"

    def replaced(self) -> Iterator[Any]:
        """Return the objects in whose places others stand now."""
        for space in self.spaces.values():
            for name, old in space.found.items():
                if space.table.get(name, _ABSENT) is not old:
                    yield old
        for value, _, old in self.boxes:
            items = old[1] if isinstance(old, tuple) else old
            now = set(map(id, value.values() if isinstance(old, tuple) else value))
            yield from [x for x in items if id(x) not in now]
        yield from [old for cell, _, old in self.cells if cell_value(cell) is not old]

    def seal(self) -> None:
        """Lay the values out for the quick comparison. Those of now: `broken()` has just said nothing."""
        self.sized: list[Any] = [v for v, _, _ in self.boxes]
        self.sized += [s.table for s in self.spaces.values()]
        self.walked: list[Any] = []
        for value, _, _ in self.boxes:
            self.walked += [value, value.values()] if hasattr(value, "values") else [value]
        self.taken: list[tuple[Callable[[Any], Any], Any]] = []
        for space in self.spaces.values():
            for name in space.found:
                space.found[name] = space.table[name]
            if space.found:
                first = next(iter(space.found))
                self.taken.append((itemgetter(first, *space.found), space.table))
        self.code_of = [fn for fn, _, _ in self.functions]
        self.held = [cell for cell, _, old in self.cells if old is not _ABSENT]
        self.seen = [x for x, _, _ in self.tensors]
        self.nodes = [x.node for x in self.seen if x.node is not None]
        self.objects = [value for value, _, _ in self.instances]
        self.lengths = list(map(len, self.sized))
        self.flat = list(self._now())

    def _now(self) -> Iterator[Any]:
        return chain(
            chain.from_iterable(self.walked),
            chain.from_iterable([get(table) for get, table in self.taken]),
            chain.from_iterable(map(_function, self.code_of)),
            chain.from_iterable(map(_tensor, self.seen)),
            map(type, self.objects),
            map(_contents, self.held),
            map(_notes, self.nodes),
        )

    def holds(self) -> bool:
        """Whether everything is as it was."""
        if self._unmoved() and not self.arrays and not self.caches and not self.partials:
            return True
        if self.broken() is not None:
            return False
        self.seal()
        return True

    def _unmoved(self) -> bool:
        """Whether everything is the very object that it was."""
        try:
            return list(map(len, self.sized)) == self.lengths and all(
                map(is_, self._now(), self.flat)
            )
        except (KeyError, ValueError, AttributeError, RuntimeError):
            return False

    def count(self) -> int:
        """Return how many values are compared."""
        return len(self.flat) + len(self.arrays)

    def lines(self) -> list[str]:
        """Return what is compared, in words."""
        out = []
        for space in self.spaces.values():
            if not space.shallow:
                out += [
                    f"{space.path}{n} is {shown(v)}" for n, v in space.found.items() if named(v)
                ]
        out += [f"{path} has the same {len(v)} items" for v, path, _ in self.boxes]
        out += [f"{path} is {shown(old)}" for _, path, old in self.cells if named(old)]
        out += [f"{path}: {', '.join(facts.words())}" for _, path, facts in self.tensors]
        out += [f"{path} has the same numbers" for _, path, _ in self.arrays]
        return out


def cell_value(cell: Any) -> Any:
    """Return what a closure's cell holds."""
    try:
        return cell.cell_contents
    except ValueError:
        return _ABSENT


def named(value: Any) -> bool:
    """Whether a guard on this value says something to a reader."""
    return not isinstance(
        value, types.FunctionType | types.ModuleType | types.BuiltinFunctionType | type | dict
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


def _changed_facts(old: Any, now: Any) -> str:
    was, have = old.words(), now.words()
    for a, b in zip(was, have, strict=True):
        if a != b:
            return f"was {a} and is {b}"
    return "is another kind of tensor"

"""Finds the Python state that a call may read, starting from objects, by the names in the code that runs.

Nothing here runs code of users: attributes are read from the dicts and slots that hold them.
"""

from __future__ import annotations

import builtins
import functools
import gc
import sys
import types
from abc import get_cache_token
from collections import deque
from collections.abc import Iterable
from operator import attrgetter, methodcaller
from typing import Any

from tabgrad.compiler.code import (
    INTERNAL,
    USER,
    Names,
    home,
    looks_anywhere,
    module_kind,
    mro_of,
    name_of,
    names_of,
    not_repeatable,
    root_of,
)
from tabgrad.compiler.namespaces import MEMBERS, SPECIAL, Namespace, of_a_library
from tabgrad.compiler.python_values import (
    ATOMS,
    array_bytes,
    attributes_of,
    fields_of,
    found_in,
    hidden_state,
    is_array,
    is_member,
    is_value,
    shown,
    slots_of,
    tensor_state,
)
from tabgrad.core.naming import is_own, module_of
from tabgrad.core.trace import MODE, Box

MOST_OBJECTS = 50_000
"""The most objects that a captured call may read."""
ABSENT: Any = object()
"""Stands for a missing value."""
_Cached = type(functools.cache(len))
_CONTAINERS = (list, dict, set, frozenset, deque, bytearray, types.MappingProxyType)
_BUILTINS = vars(builtins)
Path = str
parts_of_function = attrgetter("__code__", "__defaults__", "__kwdefaults__")
parts_of_partial = attrgetter("func", "args", "keywords")


class Reachable:
    """The objects that a call may read, with the values they had."""

    def __init__(self) -> None:
        # this changes when a class is registered with an abstract class
        self.abstract = get_cache_token()
        self.partials: list[tuple[Any, Path, Any]] = []
        self.classes: list[tuple[Any, Path, Any]] = []
        self.known: dict[int, Any] = {id(MODE): MODE, id(_BUILTINS): _BUILTINS}
        self.namespaces: dict[int, Namespace] = {}
        self.named: list[Namespace] = []
        self.boxes: list[tuple[Any, Path, Any]] = []
        self.tensors: list[tuple[Any, Path, Any]] = []
        self.functions: list[tuple[Any, Path, Any]] = []
        self.cells: list[tuple[Any, Path, Any]] = []
        self.arrays: list[tuple[Any, Path, bytes]] = []
        self.attributes: set[str] = set()
        self.instances: list[tuple[Any, Path, type]] = []
        self.identity = False
        self.everything = False
        self.full = False
        self.all_globals = False
        self.codes: set[int] = set()
        self.reasons: list[str] = []
        self._todo: list[tuple[Any, Path]] = []

    def tells_apart(self) -> bool:
        """Whether a reached function may compare the identity of objects."""
        return any(not is_own(fn) and names_of(fn.__code__).identity for fn, _, _ in self.functions)

    # -- reaching ----------------------------------------------------------------------------------

    def reach(self, value: object, path: Path) -> None:
        """Note `value`, and all that can be reached from it."""
        todo = self._todo
        todo.append((value, path))
        while todo:
            value, path = todo.pop()
            if type(value) in ATOMS or id(value) in self.known:
                continue
            if len(self.known) >= MOST_OBJECTS:
                self._give_up(path)
                return
            self.known[id(value)] = value
            self._visit(value, path)

    def _give_up(self, path: Path) -> None:
        self._todo.clear()
        if not self.full:
            self.full = True
            self.reasons.insert(
                0,
                f"may read more than {MOST_OBJECTS:,} objects of Python, {path or 'another'} among them: keep "
                "what it uses apart from large structures, and give attributes and globals by name",
            )

    def use(self, names: Names, table: dict[str, Any], called: str) -> None:
        """Note what code with these names and these globals may read."""
        namespace = self._namespace(table, "global ", ())
        self.all_globals = self.all_globals or names.all_globals
        self._take(namespace, table if self.all_globals else names.globals)
        self._take(self._namespace(_BUILTINS, "", ()), [n for n in names.globals if n not in table])
        self._import(names, table)
        self._hand_over(names, table)
        if root_of(table.get("__name__") or "") != "tabgrad":
            if names.anywhere:
                self.use_everything()
            self.identity = self.identity or names.identity
            if names.counts:
                self.reasons.append("counts the writes to a tensor (`_version`)")
        new = {*names.attributes, called} - self.attributes
        if new:
            self.attributes |= new
            for namespace in list(self.named):
                self._take(namespace, new)
        self.reach(None, "")

    def use_everything(self) -> None:
        """Note every attribute, because code may use one whose name is not in the code."""
        if not self.everything:
            self.everything = True
            for namespace in [s for s in self.named if not s.shallow]:
                self._take(namespace, namespace.table)
            self.reach(None, "")

    def _hand_over(self, names: Names, table: dict[str, Any]) -> None:
        """Note functions written in C that code passes to other code."""
        found = [_BUILTINS.get(n) for n in names.handed]
        for value in [table.get(n) for n in names.globals]:
            if issubclass(type(value), types.ModuleType):
                held = attributes_of(value) or {}
                found += [held.get(n) for n in names.handed]
        for fn in found:
            self._hand(fn)

    def _hand(self, fn: object) -> None:
        if looks_anywhere(fn):
            self.use_everything()
        if type(fn) is types.BuiltinFunctionType:
            reason = not_repeatable(fn)
            if reason is not None:
                self.reasons.append(reason)

    def _import(self, names: Names, table: dict[str, Any]) -> None:
        for name in names.imports:
            for full in (name, f"{table.get('__package__')}.{name}"):
                if full in sys.modules:
                    self._todo.append((sys.modules[full], f"{name}"))
        if "import_module" in names.globals | names.attributes:
            self._all_modules()

    def _all_modules(self) -> None:
        """Note the modules of users, because code may read each of them."""
        own = [n for n in sys.modules if module_kind(n) == USER and root_of(n) != "tabgrad"]
        self._take(self._namespace(sys.modules, "module ", ()), own)

    def _namespace(
        self, table: Any, path: Path, always: Iterable[str], follows: Any = object
    ) -> Namespace:
        found = self.namespaces.get(id(table))
        if found is None:
            found = self.namespaces[id(table)] = Namespace(table, path, always, follows)
            self.known[id(table)] = table
        return found

    def _attributes(
        self, table: Any, path: Path, always: Iterable[str] = (), follows: Any = object
    ) -> None:
        """Note the attributes in `table` that code names, now or later."""
        namespace = self._namespace(table, path, always, follows)
        namespace.path = namespace.path or path
        self.named.append(namespace)
        if always:
            self._take(namespace, always)
        self._take(
            namespace, table if self.everything and not namespace.shallow else self.attributes
        )

    def _take(self, namespace: Namespace, names: Iterable[str]) -> None:
        table, found, todo = namespace.table, namespace.found, self._todo
        for name in [n for n in names if n in table and n not in found]:
            found[name] = value = table[name]
            if value is sys.modules:
                self._all_modules()
            elif issubclass(type(value), namespace.follows):
                todo.append((value, namespace.path + name))
        namespace.whole.update(names)

    def _visit(self, value: Any, path: Path) -> None:
        kind = type(value)
        if issubclass(kind, Box) and value._parts is not None:
            self.reasons.append(
                f"{path or 'a tensor'} is sparse: its parts are replaced when it changes"
            )
        elif issubclass(kind, Box):
            self.tensors.append((value, path, tensor_state(value)))
            for notes in (value.node.notes or {}) if value.node is not None else ():
                self._todo.append((value.node.notes[notes], f"{path}'s hooks"))
            self._attributes_of(value, path)
        elif issubclass(kind, tuple):
            self._todo += [(item, f"{path}[{i}]") for i, item in enumerate(value)]
        elif issubclass(kind, _CONTAINERS):
            self._container(value, path)
        elif issubclass(kind, types.FunctionType):
            self._visit_function(value, path)
        elif issubclass(kind, type):
            self._visit_class(value, path)
        elif issubclass(kind, types.ModuleType):
            self._visit_module(value, path)
        elif is_array(value):
            self._array(value, path)
        elif issubclass(kind, attrgetter | methodcaller):
            self.use_everything()
        elif self._visit_wrapper(value, kind, path):
            self._attributes_of(value, path)
        elif is_member(value) or not is_value(value):
            self._visit_instance(value, kind, path)
        elif issubclass(kind, BaseException):
            self._fields(value, path)
            self._attributes_of(value, path)
        if (name_of(value) if kind is types.ModuleType else home(kind)) == "decimal":
            self.reasons.append(f"{path} is of decimal, whose numbers depend on a context")

    def _attributes_of(self, value: object, path: Path) -> None:
        held = attributes_of(value)
        if held is not None:
            self._attributes(held, path + ".")

    def _fields(self, value: object, path: Path) -> None:
        """Note the built-in fields of an object, such as the name of a function."""
        fields = fields_of(value)
        if fields is not None:
            self.known[id(fields)] = fields
            self._attributes(fields, path + ".")

    def _container(self, value: Any, path: Path) -> None:
        if issubclass(type(value), dict | types.MappingProxyType):
            self.boxes.append((value, path, (list(value), list(value.values()))))
            self._todo += [(item, f"{path}[{shown(k)}]") for k, item in value.items()]
            self._todo += [(k, f"a key of {path}") for k in value if issubclass(type(k), Box)]
        else:
            self.boxes.append((value, path, list(value)))
            if not issubclass(type(value), bytearray):
                self._todo += [(item, f"{path}[{i}]") for i, item in enumerate(value)]
        self._attributes_of(value, path)

    def _array(self, value: Any, path: Path) -> None:
        content = array_bytes(value)
        if content is None:
            self.reasons.append(f"{path} is a large NumPy array: make it a tensor, or an argument")
        else:
            self.arrays.append((value, path, content))

    def _visit_function(self, fn: types.FunctionType, path: Path) -> None:
        self.codes.add(id(fn.__code__))
        self.functions.append((fn, path, parts_of_function(fn)))
        names = fn.__code__.co_freevars
        for name, cell in zip(names, fn.__closure__ or (), strict=True):
            if id(cell) in self.known:
                continue
            self.known[id(cell)] = cell
            held = cell_value(cell)
            self.cells.append((cell, name, held))
            self._todo.append((held, name))
        self._todo += [(d, f"{path}'s default") for d in fn.__defaults__ or ()]
        if fn.__kwdefaults__:
            self._todo.append((fn.__kwdefaults__, f"{path}'s defaults"))
        if module_kind(module_of(fn)) == USER:
            self._attributes_of(fn, path)
            self._fields(fn, path)
        elif "__wrapped__" in vars(fn):
            self._todo.append((vars(fn)["__wrapped__"], path))

    def _visit_class(self, cls: type, path: Path) -> None:
        if module_kind(home(cls)) != USER:
            return
        own = root_of(home(cls)) == "tabgrad"
        held: Any = attributes_of(cls)
        always = () if own else (*SPECIAL, *MEMBERS) if "_member_map_" in held else SPECIAL
        self._attributes(held, f"{name_of(cls)}.", always)
        if not own:
            self.classes.append((cls, name_of(cls), mro_of(cls)))
            self._fields(cls, name_of(cls))
        self._todo += [(base, name_of(base)) for base in mro_of(cls)[1:]]
        if type(cls) is not type:
            self._todo.append((type(cls), name_of(type(cls))))

    def _visit_module(self, module: types.ModuleType, path: Path) -> None:
        name = name_of(module)
        kind, held = module_kind(name), attributes_of(module) or {}
        # calls of NumPy's random functions, written in Cython, are invisible to a profiler
        if kind == USER or name.startswith("numpy.random"):
            self._attributes(held, f"{name}.")
        else:
            follows = () if kind == INTERNAL else (list, dict, types.ModuleType)
            self._attributes(held, f"{name}.", follows=follows)

    def _visit_wrapper(self, value: Any, kind: type, path: Path) -> bool:
        """Follow a method, partial, property or other wrapper of functions; return False for anything else."""
        inner: list[Any]
        if issubclass(kind, types.MethodType):
            inner = [value.__self__, value.__func__]
        elif issubclass(kind, types.BuiltinFunctionType):
            its = value.__self__
            inner = [] if issubclass(type(its), types.ModuleType) else [its]
            if looks_anywhere(value):
                self.use_everything()
        elif issubclass(kind, functools.partial):
            self._hand(value.func)
            self.partials.append((value, path, parts_of_partial(value)))
            inner = [value.func, value.args, value.keywords]
        elif issubclass(kind, staticmethod | classmethod):
            inner = [value.__func__]
        elif issubclass(kind, property):
            inner = [value.fget, value.fset, value.fdel]
        elif issubclass(kind, functools.cached_property):
            inner = [value.func]
        elif issubclass(kind, _Cached):
            self._visit_cache(value, path)
            inner = [value.__wrapped__]
        else:
            return False
        self._todo += [(x, path) for x in inner if x is not None]
        return True

    def _visit_cache(self, cached: Any, path: Path) -> None:
        """Note the cached results of a function: while they are the same, its code does not run."""
        if "cache_info" in self.attributes:
            self.reasons.append(f"counts how often {path} has found a result (`cache_info`)")
        held = [x for x in gc.get_referents(cached) if x is not vars(cached)]
        tables = [x for x in held if type(x) is dict]
        if not tables:
            self.reasons.append(f"{path} keeps results that can't be compared")
        self._todo += [(x, f"{path}'s results") for x in held if x is not cached.__wrapped__]

    def _visit_instance(self, value: object, kind: type, path: Path) -> None:
        guarded = found_in(kind, "GUARDED")
        if module_kind(home(kind)) == INTERNAL and guarded is None:
            return
        if kind is not types.SimpleNamespace and not is_member(value) and hidden_state(kind):
            what = f"{home(kind)}.{name_of(kind)}"
            self.reasons.append(f"{path} is a {what}, whose state can't be compared")
            return
        self.instances.append((value, path, kind))
        held = attributes_of(value)
        if held is not None:
            always = held if of_a_library(kind) else guarded or ()
            self._attributes(held, path + ".", always)
        slots = slots_of(value)
        if slots is not None:
            self.known[id(slots)] = slots
            self._attributes(slots, path + ".")
        for cls in mro_of(kind):
            self._todo.append((cls, name_of(cls)))


def cell_value(cell: types.CellType) -> Any:
    """Return the value of a closure's cell, or ABSENT if it is empty."""
    try:
        return cell.cell_contents
    except ValueError:
        return ABSENT

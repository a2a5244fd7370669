"""Analyses code: which names it uses, and whether it can be repeated.

There are four kinds of code. tabgrad's own (INTERNAL) states what it depends on by calls of `core/capture.py`.
PURE code, of Python and NumPy, returns the same result for the same arguments. The names in USER code show
which state it may read or change. The rest of Python's library (OUTSIDE: clocks, files, threads...) can't be
repeated.
"""

from __future__ import annotations

import opcode
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, CodeType, FunctionType, MethodDescriptorType, ModuleType
from typing import Any, NamedTuple

from tabgrad.core.naming import Home
from tabgrad.core.trace import MODE

INTERNAL, PURE, USER, OUTSIDE = "internal", "pure", "user", "outside"

_OWN_USERS = (
    "tabgrad.nn.", "tabgrad.amp.grad_scaler", "tabgrad.optim.lr_scheduler", "tabgrad.utils.data",
    "tabgrad.examples", "tabgrad.profiler",
)  # fmt: skip
"""Parts of tabgrad that keep state like users' classes, and are treated as USER code."""
_OWN_EXCEPT = (
    "tabgrad.nn.module", "tabgrad.nn.hooks", "tabgrad.nn.state", "tabgrad.nn.conversion",
    "tabgrad.nn.parameter", "tabgrad.nn.containers", "tabgrad.nn.functional", "tabgrad.nn.init",
    "tabgrad.profiler.watching", "tabgrad.profiler.live",
)  # fmt: skip
"""Exceptions: modules without state, and those whose state is always compared (`Module.GUARDED`)."""
_PURE = frozenset(
    "abc _abc ast bisect _bisect builtins cmath collections _collections _collections_abc contextlib copy "
    "copyreg dataclasses decimal _decimal dis enum fractions functools _functools heapq _heapq importlib "
    "_frozen_importlib _frozen_importlib_external inspect itertools keyword linecache math numbers opcode "
    "operator _operator re _sre reprlib statistics _statistics string _string struct _struct textwrap token "
    "tokenize types typing _typing unicodedata warnings weakref _weakref _weakrefset zipimport "
    "numpy".split()
)
_LOOKING = frozenset(
    ("getattr", "setattr", "delattr", "hasattr", "vars", "globals", "locals", "dir", "exec", "eval")
)
"""Functions that may use an attribute whose name is not in the code."""
_BY_NAME = frozenset(
    "contextlib functools weakref _weakrefset types typing re enum collections _collections_abc abc importlib "
    "warnings numpy".split()
)
"""PURE modules, written in Python, that use only attributes that their own code names."""
OF_OPTIONS = ("numpy._core.arrayprint", "numpy._core._ufunc_config")
"""Parts of NumPy that depend on its options for printing and errors; calls of tabgrad do not."""
_ACTING = frozenset(("print", "input", "open", "breakpoint", "compile", "__import__"))
"""Functions of `builtins` with an effect at each call."""
_VALUES: tuple[type, ...] = (
    list, dict, set, frozenset, tuple, str, bytes, bytearray, int, float, complex, range, slice, memoryview,
    type(None), BaseException,
)  # fmt: skip
"""Types whose methods change only the object itself, which is compared before and after the call."""


def root_of(module: str) -> str:
    """Return the top-level package of a dotted name."""
    return module.partition(".")[0]


mro_of: Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__
"""Returns a class and its bases in method resolution order, without running code of a metaclass."""
_module: Callable[[type], object] = type.__dict__["__module__"].__get__
_names = {
    cls: cls.__dict__[name].__get__
    for cls, name in (
        (type, "__qualname__"), (FunctionType, "__qualname__"), (BuiltinFunctionType, "__qualname__"),
    )
}  # fmt: skip


def home(kind: type) -> str:
    """Return the name of a class's module, or an empty string for a class from C that has none."""
    found = _module(kind)
    return found.own if type(found) is Home else found if isinstance(found, str) else ""


def name_of(x: Any) -> str:
    """Return the name of a function, class or module, else an empty string; no code of `x` runs."""
    kind = type(x)
    if issubclass(kind, ModuleType):
        return str(ModuleType.__getattribute__(x, "__dict__").get("__name__", ""))
    get = _names.get(type if issubclass(kind, type) else kind)
    return "" if get is None else str(get(x))


def module_kind(module: str) -> str:
    """Return the kind of a module's code.

    >>> module_kind("tabgrad.nn.linear"), module_kind("math"), module_kind("time"), module_kind("game")
    ('user', 'pure', 'outside', 'user')
    """
    root = root_of(module)
    if root == "tabgrad":
        own = module.startswith(_OWN_USERS) and not module.startswith(_OWN_EXCEPT)
        return USER if own else INTERNAL
    if root in _PURE:
        return OUTSIDE if module.startswith("numpy.random") else PURE
    return OUTSIDE if root in sys.stdlib_module_names and root != "__main__" else USER


_ANYWHERE = frozenset(
    ("__dict__", "__globals__", "__getattr__", "__getattribute__", "__setattr__", "__delattr__",
     "__match_args__", "f_globals", "attrgetter", "methodcaller")
)  # fmt: skip
"""Names of attributes and functions that may use an attribute whose name is not in the code."""
_ALL_GLOBALS = frozenset(("globals", "exec", "eval", "__globals__", "f_globals"))
"""Names of attributes and functions that may use a global whose name is not in the code."""


class Names(NamedTuple):
    """The names in a code object: globals, attributes, imports, and names that are not called at once."""

    globals: frozenset[str]
    attributes: frozenset[str]
    imports: frozenset[str]
    handed: frozenset[str]
    """Globals and attributes that are not called at once: later calls of them can't be seen."""
    anywhere: bool
    """Whether attributes may be used by names that are not among these."""
    all_globals: bool
    """Whether globals may be used by names that are not among these."""
    counts: bool
    """Whether the code may count writes to a tensor: it has the attribute `_version`, or a string with it."""
    identity: bool
    """Whether the code may compare the identity of objects: by `is`, except with None, or by `id`."""


_GLOBAL = {
    opcode.opmap[n]
    for n in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL", "STORE_NAME")
    if n in opcode.opmap
}
_ATTRIBUTE = {
    opcode.opmap[n]
    for n in ("LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "DELETE_ATTR", "LOAD_SUPER_ATTR", "IMPORT_FROM")
    if n in opcode.opmap
}  # fmt: skip
_IMPORT = opcode.opmap["IMPORT_NAME"]
_SHIFT = {opcode.opmap["LOAD_GLOBAL"]: 1}
"""The number of low bits of an instruction's argument that are flags."""
_CALLED = {opcode.opmap["LOAD_GLOBAL"]}
"""Instructions whose lowest bit says that the loaded value is called at once."""
if sys.version_info >= (3, 12):
    _CALLED.add(opcode.opmap["LOAD_ATTR"])
    _SHIFT |= {opcode.opmap["LOAD_ATTR"]: 1, opcode.opmap["LOAD_SUPER_ATTR"]: 2}
_METHOD = opcode.opmap.get("LOAD_METHOD", -1)
_MATCH = opcode.opmap["MATCH_CLASS"]
_IS = opcode.opmap["IS_OP"]
_CONSTANT = {opcode.opmap["LOAD_CONST"]}
_EXTENDED = opcode.opmap["EXTENDED_ARG"]


def names_of(code: CodeType) -> Names:
    """Collect the names that the instructions of `code` use.

    >>> def f(x):
    ...     return scale * x.grad
    >>> sorted(names_of(f.__code__).globals), sorted(names_of(f.__code__).attributes)
    (['scale'], ['grad'])
    """
    used: list[set[str]] = [set(), set(), set(), set()]
    words, names, high, anywhere = code.co_code, code.co_names, 0, False
    identity, constant = False, False
    for i in range(0, len(words), 2):
        op, arg = words[i], words[i + 1] | high
        high = arg << 8 if op == _EXTENDED else 0
        kind = 0 if op in _GLOBAL else 1 if op in _ATTRIBUTE else 2 if op == _IMPORT else -1
        anywhere = anywhere or op == _MATCH
        identity = identity or (op == _IS and not constant)
        constant = op in _CONSTANT and code.co_consts[arg] in (None, True, False, ...)
        if kind >= 0:
            name = names[arg >> _SHIFT.get(op, 0)]
            used[kind].add(name)
            if op != _METHOD and not (op in _CALLED and arg & 1):
                used[3].add(name)
    globals_, attributes, imports, handed = map(frozenset, used)
    named = globals_ | attributes
    anywhere = anywhere or not _ANYWHERE.isdisjoint(named)
    all_globals = not _ALL_GLOBALS.isdisjoint(named)
    texts = [c for c in code.co_consts if type(c) is str]
    counts = "_version" in attributes or any(["_version" in text for text in texts])
    identity = identity or "id" in globals_
    return Names(globals_, attributes, imports, handed, anywhere, all_globals, counts, identity)


_DESCRIBED = (MethodDescriptorType, BuiltinFunctionType)


def looks_anywhere(fn: Any) -> bool:
    """Whether a function written in C may use an attribute whose name is not in the calling code."""
    if type(fn) not in _DESCRIBED:
        return False
    if fn.__name__ in ("format", "format_map"):
        # "{0.k}" names an attribute
        owner = fn.__objclass__ if isinstance(fn, MethodDescriptorType) else type(fn.__self__)
        return issubclass(owner, str)
    return fn.__name__ in _LOOKING and getattr(fn, "__module__", None) == "builtins"


def searches(module: str, names: Names) -> bool:
    """Whether code of Python's library with these names may use attributes whose names it is given."""
    if module_kind(module) != PURE or root_of(module) in _BY_NAME:
        return False
    return names.anywhere or not _LOOKING.isdisjoint(names.globals | names.attributes)


def not_repeatable(fn: object) -> str | None:
    """Return why a call of a function written in C can't be repeated, or None if it can."""
    name = getattr(fn, "__name__", "?")
    its = getattr(fn, "__self__", None)
    if its is MODE:
        return None
    owner = getattr(fn, "__objclass__", None)
    if owner is None and its is not None and not isinstance(its, ModuleType):
        owner = its if isinstance(its, type) else type(its)
    if owner is not None:
        module = home(owner)
        if issubclass(owner, _VALUES) or module_kind(module) in (PURE, INTERNAL):
            return None
        return f"calls {owner.__qualname__}.{name}, which can't be repeated"
    module = str(getattr(fn, "__module__", None) or getattr(its, "__name__", "builtins"))
    if module == "builtins" and name in _ACTING:
        return f"calls {name}(), which is to happen at every call"
    if module_kind(module) in (PURE, INTERNAL):
        return None
    return f"calls {module}.{name}(), which can't be repeated"

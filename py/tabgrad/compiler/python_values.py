"""Kinds of Python values: which are told apart by value, which by identity, which hold state of their own."""

from __future__ import annotations

import struct
import sys
import types
from math import copysign
from typing import Any, NamedTuple

from tabgrad.compiler.code import home, mro_of, name_of
from tabgrad.core.dtype import DType
from tabgrad.core.spec import Spec
from tabgrad.transforms.node import is_leaf

MOST_BYTES = 1 << 20
"""A NumPy array with more bytes is not compared."""

_PLAIN = (
    type(None), bool, int, float, complex, str, bytes, range, slice, type(Ellipsis), type(NotImplemented),
)  # fmt: skip
ATOMS: frozenset[type] = frozenset(
    (*_PLAIN, DType, Spec, types.CodeType, types.GetSetDescriptorType, types.MemberDescriptorType,
     types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType,
     types.MethodWrapperType, types.GenericAlias, types.UnionType, object)
)  # fmt: skip
"""Types whose values hold nothing that could change."""
_BY_VALUE = frozenset((int, str, bytes, range, slice))
_VALUE_MODULES = frozenset(
    ("datetime", "decimal", "fractions", "uuid", "pathlib", "re", "typing", "zoneinfo", "ipaddress",
     "numbers", "abc", "_abc", "functools", "operator")
)  # fmt: skip
"""Modules whose classes make values that never change."""


def is_value(x: Any) -> bool:
    """Whether `x` can't change: a date, a path, a member of an enum, a number of NumPy's."""
    kind = type(x)
    root = home(kind).partition(".")[0]
    if root in _VALUE_MODULES:
        return True
    if root == "numpy":
        made_in_python = isinstance(kind.__init__, types.FunctionType)
        return not made_in_python and not home(kind).startswith("numpy.random")
    return is_member(x) or issubclass(kind, BaseException)


def is_member(x: Any) -> bool:
    """Whether `x` is a member of an enum."""
    kind = type(x)
    # the usual case first: classes of enums have a class of their own
    return type(kind) is not type and found_in(kind, "_member_map_") is not None


def same(a: Any, b: Any) -> bool:
    """Whether a replay may take `b` for `a`: the same object, or an equal value that can't change.

    >>> same(0.0, -0.0), same(1, True), same((1, 2.5), (1, 2.5)), same([1], [1])
    (False, False, True, False)
    """
    if a is b:
        return True
    kind = type(a)
    if kind is not type(b):
        return False
    if kind is float:
        return (a == b and copysign(1.0, a) == copysign(1.0, b)) or (a != a and b != b)
    if kind in _BY_VALUE:
        return bool(a == b)
    if kind is complex:
        return same(a.real, b.real) and same(a.imag, b.imag)
    if issubclass(kind, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if kind is frozenset:
        return bool(a == b)
    if kind is types.MethodType or kind is types.BuiltinFunctionType:
        return a.__self__ is b.__self__ and a.__name__ == b.__name__ and (
            kind is types.BuiltinFunctionType or a.__func__ is b.__func__
        )  # fmt: skip
    if is_value(a) and kind.__hash__ is not None:
        try:
            return bool(a == b) and repr(a) == repr(b)
        except Exception:
            return False
    return False


class Facts(NamedTuple):
    """What a tensor is, its numbers aside."""

    spec: Any
    device: Any
    tracked: bool
    leaf: bool
    hooks: tuple[Any, ...]

    def words(self) -> list[str]:
        """Return each fact in words."""
        return [
            f"{self.spec}", f"on {self.device}", f"requires_grad={self.tracked}",
            "a leaf" if self.leaf else "no leaf", f"{len(self.hooks)} hooks",
        ]  # fmt: skip


def tensor_state(x: Any) -> Facts:
    """Return what `x` is now."""
    leaf = is_leaf(x)
    notes = x.node.notes if x.node is not None else None
    hooks: tuple[Any, ...] = ()
    if notes:
        hooks = tuple(
            # what retains a gradient is made for each tensor
            (kind, None if kind == "retain" else fn)
            for kind, fns in notes.items()
            if hasattr(fns, "values") and kind != "metadata"
            for fn in fns.values()
        )
    return Facts(x.spec, x.device, x.tracked, leaf, hooks)


def is_array(x: Any) -> bool:
    """Whether `x` is a NumPy array; NumPy is not imported for that."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(type(x), numpy.ndarray)


def array_bytes(x: Any) -> bytes | None:
    """Return the numbers, shape and dtype of an array as bytes; None of a large one, or one of objects."""
    if x.nbytes > MOST_BYTES or x.dtype.hasobject:
        return None
    return bytes(x.tobytes()) + repr((x.shape, x.dtype.str)).encode()


_WORD = struct.calcsize("P")
_DICT = type.__dict__["__dict__"].__get__
_COMPUTED = (types.GetSetDescriptorType, types.MemberDescriptorType)
_LAYOUT = [
    type.__dict__[name].__get__
    for name in ("__flags__", "__basicsize__", "__dictoffset__", "__weakrefoffset__")
]


def hidden_state(kind: type) -> bool:
    """Whether instances hold more than attributes: iterators, files, generators, locks, what is written in C.

    >>> class Plain:
    ...     pass
    >>> hidden_state(Plain), hidden_state(type(iter([])))
    (False, True)
    """
    flags, size, attributes, references = [get(kind) for get in _LAYOUT]
    if not flags & (1 << 9):  # no class of Python's own making
        return True
    slots = 0
    for cls in mro_of(kind):
        own = _DICT(cls).get("__slots__", ())
        slots += len([own] if isinstance(own, str) else list(own))
    extra = 2 * _WORD if attributes or references else 0
    return bool(size > object.__basicsize__ + slots * _WORD + extra)


def attributes_of(x: Any) -> Any:
    """Return the table of the attributes that `x` holds itself, None where it has none; no code of `x` runs."""
    kind = type(x)
    if issubclass(kind, type):
        return _DICT(x)
    for cls in mro_of(kind):
        found = _DICT(cls).get("__dict__")
        if found is not None:
            return found.__get__(x) if type(found) in _COMPUTED else None
    return None


def found_in(kind: type, name: str) -> Any:
    """Return the attribute of a class by its name, None where it has none; no code of a metaclass runs."""
    return next((_DICT(c)[name] for c in mro_of(kind) if name in _DICT(c)), None)


class Slots:
    """What descriptors, as those of slots, give of an instance: a table of names."""

    def __init__(self, its: Any, found: dict[str, Any]) -> None:
        self.its = its
        self.found = found

    def __contains__(self, name: object) -> bool:
        return self.get(str(name), self) is not self

    def __getitem__(self, name: str) -> Any:
        return self.found[name].__get__(self.its)

    def get(self, name: str, default: Any = None) -> Any:
        """Return what the slot holds, `default` where it is empty."""
        try:
            return self.found[name].__get__(self.its) if name in self.found else default
        except Exception:  # an annotation may name what is not there
            return default

    def __iter__(self) -> Any:
        return iter(self.found)

    def __len__(self) -> int:
        return sum([name in self for name in self.found])


class Fields(Slots):
    """What an object written in C always holds, as a function its name."""


def slots_of(x: Any) -> Slots | None:
    """Return the slots of an instance as a table, None where its class has none."""
    found: dict[str, Any] = {}
    for cls in reversed(mro_of(type(x))):
        if "__slots__" in _DICT(cls):
            found |= {n: d for n, d in _DICT(cls).items() if type(d) is types.MemberDescriptorType}
    return Slots(x, found) if found else None


_FIELDS = {
    cls: {n: _DICT(cls)[n] for n in names if n in _DICT(cls)}
    for cls, names in (
        (types.FunctionType, ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__")),
        (type, ("__name__", "__qualname__")),
    )
}  # fmt: skip


def fields_of(x: Any) -> Fields | None:
    """Return what a function, a class or an error holds beside its attributes."""
    kind = type(x)
    if issubclass(kind, type | types.FunctionType):
        return Fields(x, _FIELDS[type if issubclass(kind, type) else types.FunctionType])
    found: dict[str, Any] = {}
    for cls in reversed(mro_of(kind)):
        found |= {n: d for n, d in _DICT(cls).items() if type(d) in _COMPUTED}
    for name in ("__dict__", "__weakref__", "__traceback__"):
        found.pop(name, None)
    return Fields(x, found) if found else None


def shown(x: Any) -> str:
    """Return a short text of a value."""
    kind = type(x)
    plain = kind in _PLAIN or issubclass(kind, DType)
    try:
        if plain or (kind is tuple and len(x) < 8 and all(type(i) in _PLAIN for i in x)):
            text = repr(x)
        else:
            text = name_of(x) or f"a {name_of(kind)}"
    except ValueError:  # Python writes no integer of more than some thousand digits
        text = f"a long {name_of(kind)}"
    return text if len(text) <= 60 else text[:57] + "..."

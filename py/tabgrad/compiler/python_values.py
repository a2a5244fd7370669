"""Classifies Python values: which are compared by value, which by identity, and which have state."""

from __future__ import annotations

import struct
import sys
import types
from collections.abc import Iterator
from math import copysign
from typing import TYPE_CHECKING, Any, NamedTuple

from tabgrad.compiler.code import home, mro_of, name_of
from tabgrad.core.dtype import DType
from tabgrad.core.spec import Spec
from tabgrad.core.trace import Box
from tabgrad.transforms.node import is_leaf

if TYPE_CHECKING:
    from tabgrad.hosts.devices import Device

MOST_BYTES = 1 << 20
"""The most bytes of a NumPy array that is compared."""

_PLAIN = (
    type(None), bool, int, float, complex, str, bytes, range, slice, type(Ellipsis), type(NotImplemented),
)  # fmt: skip
ATOMS: frozenset[type] = frozenset(
    (*_PLAIN, DType, Spec, types.CodeType, types.GetSetDescriptorType, types.MemberDescriptorType,
     types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType,
     types.MethodWrapperType, types.GenericAlias, types.UnionType, object)
)  # fmt: skip
"""Types of immutable values."""
_BY_VALUE = frozenset((int, str, bytes, range, slice))
_VALUE_MODULES = frozenset(
    ("datetime", "decimal", "fractions", "uuid", "pathlib", "re", "typing", "zoneinfo", "ipaddress",
     "numbers", "abc", "_abc", "functools", "operator")
)  # fmt: skip
"""Modules whose classes have immutable instances."""


def is_value(x: object) -> bool:
    """Whether `x` is immutable: a date, a path, a member of an enum, a NumPy number."""
    kind = type(x)
    root = home(kind).partition(".")[0]
    if root in _VALUE_MODULES:
        return True
    if root == "numpy":
        made_in_python = isinstance(kind.__init__, types.FunctionType)
        return not made_in_python and not home(kind).startswith("numpy.random")
    return is_member(x) or issubclass(kind, BaseException)


def is_member(x: object) -> bool:
    """Whether `x` is a member of an enum."""
    kind = type(x)
    # the usual case first: an enum class has its own metaclass
    return type(kind) is not type and found_in(kind, "_member_map_") is not None


def same(a: Any, b: Any) -> bool:
    """Whether a replay may treat `b` as `a`: the same object, or an equal immutable value.

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
    """The facts of a tensor, except its numbers."""

    spec: Spec
    device: Device
    tracked: bool
    leaf: bool
    hooks: tuple[Any, ...]

    def words(self) -> list[str]:
        """Describe each fact."""
        return [
            f"{self.spec}", f"on {self.device}", f"requires_grad={self.tracked}",
            "a leaf" if self.leaf else "no leaf", f"{len(self.hooks)} hooks",
        ]  # fmt: skip


def tensor_state(x: Box) -> Facts:
    """Return the current facts of `x`."""
    leaf = is_leaf(x)
    notes = x.node.notes if x.node is not None else None
    hooks: tuple[Any, ...] = ()
    if notes:
        hooks = tuple(
            # the function that retains a gradient is different for each tensor
            (kind, None if kind == "retain" else fn)
            for kind, fns in notes.items()
            if hasattr(fns, "values") and kind != "metadata"
            for fn in fns.values()
        )
    return Facts(x.spec, x.device, x.tracked, leaf, hooks)


def is_array(x: object) -> bool:
    """Whether `x` is a NumPy array; this does not import NumPy."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(type(x), numpy.ndarray)


def array_bytes(x: Any) -> bytes | None:
    """Return the numbers, shape and dtype of an array as bytes; None for a large array, or one of objects."""
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
    """Whether instances have state besides attributes: iterators, files, generators, locks, C objects.

    >>> class Plain:
    ...     pass
    >>> hidden_state(Plain), hidden_state(type(iter([])))
    (False, True)
    """
    flags, size, attributes, references = [get(kind) for get in _LAYOUT]
    if not flags & (1 << 9):  # not a class made by Python code
        return True
    slots = 0
    for cls in mro_of(kind):
        own = _DICT(cls).get("__slots__", ())
        slots += len([own] if isinstance(own, str) else list(own))
    extra = 2 * _WORD if attributes or references else 0
    return bool(size > object.__basicsize__ + slots * _WORD + extra)


def attributes_of(x: Any) -> Any:
    """Return the dict of the attributes of `x` itself, or None; no code of `x` runs."""
    kind = type(x)
    if issubclass(kind, type):
        return _DICT(x)
    for cls in mro_of(kind):
        found = _DICT(cls).get("__dict__")
        if found is not None:
            return found.__get__(x) if type(found) in _COMPUTED else None
    return None


def found_in(kind: type, name: str) -> Any:
    """Look up an attribute of a class, or return None; no code of a metaclass runs."""
    return next((_DICT(c)[name] for c in mro_of(kind) if name in _DICT(c)), None)


class Slots:
    """The values that descriptors, such as those of slots, give for an instance, as a mapping."""

    def __init__(self, its: object, found: dict[str, Any]) -> None:
        self.its = its
        self.found = found

    def __contains__(self, name: object) -> bool:
        return self.get(str(name), self) is not self

    def __getitem__(self, name: str) -> Any:
        return self.found[name].__get__(self.its)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the slot's value, or `default` if it is empty."""
        try:
            return self.found[name].__get__(self.its) if name in self.found else default
        except Exception:  # evaluating an annotation may fail
            return default

    def __iter__(self) -> Iterator[str]:
        return iter(self.found)

    def __len__(self) -> int:
        return sum([name in self for name in self.found])


class Fields(Slots):
    """The built-in fields of an object, such as the name of a function."""


def slots_of(x: Any) -> Slots | None:
    """Return the slots of an instance, or None if its class has none."""
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
    """Return the built-in fields of a function, a class or an exception."""
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
    """Format a value as a short text."""
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

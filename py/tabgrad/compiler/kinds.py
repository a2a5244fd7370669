"""Kinds of Python values: which are told apart by value, which by identity, which hold state of their own."""

from __future__ import annotations

import struct
import sys
import types
from math import copysign
from typing import Any, NamedTuple

from tabgrad.compiler.code import home
from tabgrad.core.dtype import DType
from tabgrad.core.spec import Spec
from tabgrad.transforms.tape import is_leaf

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
    return is_member(x) or isinstance(x, BaseException)


def is_member(x: Any) -> bool:
    """Whether `x` is a member of an enum."""
    return hasattr(type(x), "__members__")


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
    if isinstance(a, tuple):
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
    notes = x.node.notes if leaf and x.node is not None else None
    hooks: tuple[Any, ...] = ()
    if notes:
        hooks = tuple(
            (kind, fn)
            for kind, fns in notes.items()
            if hasattr(fns, "values")
            for fn in fns.values()
        )
    return Facts(x.spec, x.device, x.tracked, leaf, hooks)


def is_array(x: Any) -> bool:
    """Whether `x` is a NumPy array; NumPy is not imported for that."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(x, numpy.ndarray)


def array_bytes(x: Any) -> bytes | None:
    """Return the numbers, shape and dtype of an array as bytes; None of a large one, or one of objects."""
    if x.nbytes > MOST_BYTES or x.dtype.hasobject:
        return None
    return bytes(x.tobytes()) + repr((x.shape, x.dtype.str)).encode()


_WORD = struct.calcsize("P")


def hidden_state(kind: type) -> bool:
    """Whether instances hold more than attributes: iterators, files, generators, locks, what is written in C.

    >>> class Plain:
    ...     pass
    >>> hidden_state(Plain), hidden_state(type(iter([])))
    (False, True)
    """
    if not kind.__flags__ & (1 << 9):  # no class of Python's own making
        return True
    slots = 0
    for cls in kind.__mro__:
        own = cls.__dict__.get("__slots__", ())
        slots += len([own] if isinstance(own, str) else list(own))
    extra = 2 * _WORD if kind.__dictoffset__ or kind.__weakrefoffset__ else 0
    return kind.__basicsize__ > object.__basicsize__ + slots * _WORD + extra


class Slots:
    """The slots of an instance as a table of names."""

    def __init__(self, its: Any, names: list[str]) -> None:
        self.its = its
        self.names = names

    def __contains__(self, name: object) -> bool:
        return name in self.names and hasattr(self.its, str(name))

    def __getitem__(self, name: str) -> Any:
        return getattr(self.its, name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return what the slot holds, `default` where it is empty."""
        return getattr(self.its, name, default)

    def __iter__(self) -> Any:
        return iter(self.names)

    def __len__(self) -> int:
        return sum([hasattr(self.its, n) for n in self.names])


def slots_of(x: Any) -> Slots | None:
    """Return the slots of an instance as a table, None where its class has none."""
    names: list[str] = []
    for cls in type(x).__mro__:
        own = cls.__dict__.get("__slots__", ())
        names += [own] if isinstance(own, str) else list(own)
    names = [n for n in names if n not in ("__dict__", "__weakref__")]
    return Slots(x, names) if names else None


def shown(x: Any) -> str:
    """Return a short text of a value."""
    kind = type(x)
    if kind in _PLAIN or isinstance(x, DType):
        text = repr(x)
    elif isinstance(x, tuple) and len(x) < 8 and all(type(i) in _PLAIN for i in x):
        text = repr(x)
    else:
        name = getattr(x, "__qualname__", None) or getattr(x, "__name__", None)
        text = f"{name}" if isinstance(name, str) else f"a {kind.__qualname__}"
    return text if len(text) <= 60 else text[:57] + "..."

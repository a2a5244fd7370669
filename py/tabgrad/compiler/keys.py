"""The key of a call: its arguments without the numbers in tensors, and the modes in which it runs."""

from __future__ import annotations

import dataclasses
import sys
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from tabgrad.compiler.capture import Refused
from tabgrad.compiler.python_values import (
    ATOMS,
    array_bytes,
    is_array,
    is_member,
    is_value,
    tensor_state,
)
from tabgrad.core import dtype as dt, tree
from tabgrad.core.trace import Box, Mode
from tabgrad.core.tree import Structure
from tabgrad.hosts.devices import chosen_device
from tabgrad.tensor.aliasing import Storage, View, root_of
from tabgrad.transforms.node import is_leaf

if TYPE_CHECKING:
    from tabgrad.compiler.capture import Capture
    from tabgrad.compiler.compiled import Known
    from tabgrad.compiler.state import State
    from tabgrad.compiler.watched_arrays import Origin

Key = tuple[Any, ...]
Args = tuple[Any, ...]
Kwargs = dict[str, Any]

_kept_apart = attrgetter(
    "grad", "inference", "device", "autocast", "one_thread", "saved_tensors_refused"
)
"""Settings of a mode in which a call can be captured, besides the dtypes of autocast."""
_refused = attrgetter("saved_tensors", "anomaly", "around", "draw", "generator", "tapes")
"""Settings of a mode in which a call is not captured."""
_NONE = _refused(Mode())


def odd_names(structure: object) -> tuple[type, ...]:
    """Return the types of all dict keys that are no strings, because 1, 1.0 and True compare equal."""
    if type(structure) is not tuple or len(structure) != 3:
        return ()
    own = structure[1] if type(structure[1]) is tuple else ()
    found = [type(k) for k in own if type(k) is not str]
    for part in structure[2]:
        found += odd_names(part) if type(part) is tuple else ()
    return tuple(found)


class Unkeyed(Exception):
    """An argument that can't be compared."""


def key_of(leaves: list[Any], structure: Structure, mode: Mode) -> Key | None:
    """Return the key under which captures are kept; None if such a call is never captured."""
    if _refused(mode) != _NONE:
        return None
    try:
        return (
            structure, signatures(leaves), (sharing(leaves), odd_names(structure)), settings(mode),
            defaults(),
        )  # fmt: skip
    except Unkeyed:
        return None


def settings(mode: Mode) -> tuple[Any, ...]:
    """Return the settings of a mode, for a comparison."""
    dtypes = mode.autocast_dtypes
    return *_kept_apart(mode), dtypes and tuple(sorted(dtypes.items())), _refused(mode)


def defaults() -> tuple[Any, ...]:
    """Return the defaults of creation functions, which are not part of a mode."""
    return dt.get_default_dtype(), chosen_device()


def signatures(leaves: list[Any]) -> tuple[Any, ...]:
    """Return the facts of each argument on which a capture depends."""
    return tuple([signature(x) for x in leaves])


def signature(x: Any) -> tuple[Any, ...]:
    """Return the facts of an argument on which a capture depends."""
    kind = type(x)
    if isinstance(x, Box):
        hooks = tensor_state(x).hooks if x.tracked and x.node is not None else ()
        leaf = x.tracked and is_leaf(x)
        view = x.alias.strides[0] if x.alias.__class__ is View else None
        own = tuple([(name, _inner(v)) for name, v in x.__dict__.items()]) if x.__dict__ else None
        return (x.spec, x.device, kind, leaf, x.tracked, x.born & 1, view, hooks, own)
    if kind is int or kind is bool or kind is str or x is None:
        return (kind, x)
    if kind is float or kind is complex:
        return (kind, repr(x))
    if is_array(x):
        if kind is not sys.modules["numpy"].ndarray or x.dtype.hasobject:
            raise Unkeyed
        return ("array", kind, x.shape, x.dtype.str)
    if kind is slice:
        return (kind, _inner(x.start), _inner(x.stop), _inner(x.step))
    if kind is set or kind is frozenset:
        return (kind, frozenset(map(_inner, x)))
    if isinstance(x, tuple | list):
        return (kind, tuple(map(_inner, x)))
    if isinstance(x, dict):
        return (kind, tuple((_inner(k), _inner(v)) for k, v in x.items()))
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        names = [f.name for f in dataclasses.fields(x)]
        if len(names) == len(getattr(x, "__dict__", names)):
            return (kind, tuple((name, _inner(getattr(x, name))) for name in names))
        return ("object", kind, _Identity(x))
    if kind in ATOMS or (is_value(x) and kind.__hash__ is not None and not is_member(x)):
        try:
            return (kind, repr(x), hash(x))
        except ValueError:  # an integer in it is longer than what Python writes
            raise Unkeyed from None
    if kind is bytearray or kind is memoryview:
        return (kind, bytes(x))
    return ("object", kind, _Identity(x))


def _inner(x: Any) -> Any:
    """Return the signature of a value inside an argument; raise Unkeyed for an object with state."""
    found = None if isinstance(x, Box) or is_array(x) else signature(x)
    if found is None or found[0] == "object":
        raise Unkeyed
    return found


class _Identity:
    """An object as part of a key: it is kept alive, and equals only itself."""

    __slots__ = ("its",)

    def __init__(self, its: object) -> None:
        self.its = its

    def __hash__(self) -> int:
        return id(self.its)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.its is self.its


def told_by_value(call: tuple[Args, Kwargs]) -> bool:
    """Whether an argument is compared by its contents, so that a replay does not notice another object."""
    args, kwargs = call
    return any(
        type(x) not in ATOMS
        and not isinstance(x, Box)
        and (isinstance(x, list | dict | set | tuple) or is_array(x) or signature(x)[0] != "object")
        for x in (*args, *kwargs.values())
    )


def with_state(leaves: list[Any], structure: Structure) -> list[Any]:
    """Return the arguments whose state counts: those compared by identity, and the classes of the others."""
    found = []
    for x in leaves:
        if not isinstance(x, Box) and not is_array(x) and type(x) not in ATOMS:
            found.append(x if signature(x)[0] == "object" else type(x))
    todo = [structure]
    while todo:
        part = todo.pop()
        if isinstance(part, tuple) and len(part) == 3:
            found.append(part[0])
            todo.extend(part[2])
    return found


def sharing(leaves: list[Any]) -> tuple[Any, ...]:
    """Return which tensor arguments are the same object, and which share memory."""
    objects: dict[int, int] = {}
    roots: dict[int, int] = {}
    out = []
    for i, x in enumerate(leaves):
        if isinstance(x, Box):
            root: Any = x
            if x.alias is not None:
                root = root_of(x)
                if root.alias.__class__ is Storage:
                    root = root.alias
            out.append((objects.setdefault(id(x), i), roots.setdefault(id(root), i)))
    return tuple(out)


def without_sizes(key: Key, leaves: list[Any]) -> Key:
    """Replace the shapes in a key by their ranks."""
    parts = [
        (len(x.spec.shape), x.spec.dtype, *part[1:]) if isinstance(x, Box) else part
        for x, part in zip(leaves, key[1], strict=True)
    ]
    return (key[0], tuple(parts), *key[2:])


def difference(key: Key, known: dict[Key, Known]) -> tuple[str, str] | None:
    """Describe the static argument that differs from the newest key's; None if shapes or more differ."""
    if not known:
        return None
    last = next(reversed(known))
    if last[0] != key[0] or last[2:] != key[2:]:
        return None
    for i, (a, b) in enumerate(zip(last[1], key[1], strict=True)):
        if a != b and (a[0] == "object" or isinstance(a[0], type)):
            return f"argument {i}", f"was {_text(a)} and is {_text(b)}"
    return None


def _text(part: tuple[Any, ...]) -> str:
    try:
        text = f"another {part[1].__name__}" if part[0] == "object" else str(part[1])
    except ValueError:  # a long integer, see `shown`
        text = "a long value"
    return text if len(text) < 60 else text[:57] + "..."


# -- arrays ----------------------------------------------------------------------------------------


def watch_arrays(leaves: list[Any], capture: Capture) -> tuple[list[Any], list[Origin]]:
    """Replace arrays among the leaves by watched ones; return the leaves and the Origins."""
    given, origins = list(leaves), []
    for i, x in enumerate(leaves):
        if is_array(x) and type(x) is sys.modules["numpy"].ndarray and not x.dtype.hasobject:
            from tabgrad.compiler.watched_arrays import watched

            given[i], origin = watched(x, i)
            origin.before = array_bytes(x)
            origins.append(origin)
        elif isinstance(x, Box) and x.owner is None and x.device.type == "cpu":
            capture.moved[id(x)] = i
    return given, origins


def rebuilt(args: Args, kwargs: Kwargs, leaves: list[Any], given: list[Any]) -> tuple[Args, Kwargs]:
    """Return the arguments with the leaves `given`; the same objects if no leaf differs."""
    if all([a is b for a, b in zip(leaves, given, strict=True)]):
        return args, kwargs
    return tree.unflatten(tree.flatten((args, kwargs))[1], given)


def read_arrays(origins: list[Origin]) -> list[tuple[int, bytes]]:
    """Return the positions and contents of arrays that were read. Raises Refused if one can't be compared."""
    found = []
    for origin in origins:
        if origin.read:
            if origin.before is None:
                raise Refused("reads the numbers of a large NumPy array: make a tensor of it")
            if array_bytes(origin.array) != origin.before:
                raise Refused("writes to a NumPy array")
            found.append((origin.index, origin.before))
    return found


def without_watching(result: Any, origins: list[Origin]) -> Any:
    """Replace watched arrays in the result by the original ones, and stop watching."""
    theirs = {id(origin.view): origin.array for origin in origins}
    if any([id(x) in theirs for x in tree.leaves(result)]):
        result = tree.map(lambda x: theirs.get(id(x), x), result)
    for origin in origins:
        origin.let_go()
    return result


# -- results ---------------------------------------------------------------------------------------


def not_plain(result: object, state: State, call: object, given: list[Any]) -> str | None:
    """Return why a replay can't return such a result, or None if it can.

    It can return tensors and immutable values, in containers that the call has made itself.
    """
    seen = {id(c) for c in containers(call)}
    for c in containers(result):
        if id(c) in state.known or id(c) in seen:
            return f"returns a {type(c).__name__} twice, or one that was there before"
        seen.add(id(c))
    there = {id(x) for x in given}
    for x in tree.leaves(result):
        bare = type(x) is object and id(x) not in there and id(x) not in state.known
        if isinstance(x, Box) or (type(x) in ATOMS and not bare) or _is_size(x):
            continue
        # a mutable object, or one compared by `is`, must be made anew by each call
        fresh = is_array(x) and id(x) not in there and id(x) not in state.known
        if fresh or bare or not is_value(x):
            return f"returns a {type(x).__qualname__}, which a replay would not make anew"
    return None


def _is_size(x: object) -> bool:
    """Whether `x` is a tuple of plain values, such as a shape."""
    return isinstance(x, tuple) and not hasattr(x, "__dict__") and all(type(i) in ATOMS for i in x)


def containers(value: object) -> list[Any]:
    """Return the lists and dicts in a tree."""
    found: list[Any] = []
    todo: list[Any] = [value]
    while todo:
        x = todo.pop()
        if isinstance(x, list | dict):
            found.append(x)
        if isinstance(x, list | tuple):
            todo.extend(x)
        elif isinstance(x, dict):
            todo.extend(x.values())
    return found

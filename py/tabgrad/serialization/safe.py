"""The names that a file of PyTorch's may use, and what they build."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import Any

import tabgrad as tg
from tabgrad.core import dtype as dt
from tabgrad.core.errors import FileFormatError
from tabgrad.core.naming import module_of, name_of
from tabgrad.serialization.names import OTHER, in_files
from tabgrad.serialization.storages import KINDS, Kind, Stored
from tabgrad.serialization.unpickling import Allowed, checked_key


class UnsafeFileError(FileFormatError, UnpicklingError):
    """A file uses what may be code, which `load` with weights_only does not build."""


_SAFE: dict[str, Any] = {}
"""The user's own classes and functions by their full names."""


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Let `load` with weights_only build these classes, and call these functions.

    An element is a class or function, or a pair of one and the full name that files have for it. A file decides
    with which arguments and states they are made, so list only what may have any.
    """
    _SAFE.update(_named(safe_globals))


def _named(safe_globals: list[Any]) -> dict[str, Any]:
    found = {}
    for given in safe_globals:
        what, name = given if isinstance(given, tuple) else (given, None)
        if not callable(what):
            raise TypeError(
                f"safe_globals: expected classes and functions, got {type(what).__name__}"
            )
        found[name or f"{module_of(what)}.{name_of(what)}"] = what
        if name is None and (theirs := in_files(what)):
            found[".".join(theirs)] = what
    return found


def clear_safe_globals() -> None:
    """Forget what `add_safe_globals` has added."""
    _SAFE.clear()


def get_safe_globals() -> list[Any]:
    """Return the classes and functions that files may use beside those of tensors."""
    return list(dict.fromkeys(_SAFE.values()))


@contextmanager
def safe_globals(safe_globals: list[Any]) -> Iterator[None]:
    """Let `load` build these classes in the block, as `add_safe_globals` does for ever.

    >>> import tabgrad as tg
    >>> with tg.serialization.safe_globals([tg.nn.Linear]):
    ...     pass
    """
    before = dict(_SAFE)
    add_safe_globals(safe_globals)
    try:
        yield
    finally:
        _SAFE.clear()
        _SAFE.update(before)


def _tensor(
    stored: Any, offset: Any, sizes: Any, steps: Any, tracked: Any = False, hooks: Any = None,
    dtype: Any = None, metadata: Any = None,
) -> tg.Tensor:  # fmt: skip
    if (
        not isinstance(stored, Stored)
        or not isinstance(sizes, tuple)
        or not isinstance(steps, tuple)
    ):
        raise FileFormatError("a tensor needs a storage, sizes and strides")
    bits = _bits(metadata)
    kind = dtype if stored.dtype is None else stored.dtype
    if not isinstance(kind, tg.DType):
        raise FileFormatError("a tensor needs a dtype")
    x = stored.tensor(kind, offset, tuple(sizes), tuple(steps))
    if "conj" in bits:
        if not x.dtype.is_complex:
            raise FileFormatError(f"a tensor of {x.dtype} can't be conjugated")
        x = x.conj().detach()
    return _tracked(-x if "neg" in bits else x, tracked)


def _bits(metadata: Any) -> set[Any]:
    """Return how the values differ from those in the storage: "conj", "neg", both or neither."""
    if metadata is None:
        return set()
    if not isinstance(metadata, dict) or any(type(v) is not bool for v in metadata.values()):
        raise FileFormatError("the metadata of a tensor are a dict of names and truth values")
    if odd := metadata.keys() - {"conj", "neg"}:
        raise FileFormatError(f"a tensor has metadata that mean nothing here: {odd!r:.80}")
    return {name for name, on in metadata.items() if on}


def _second_tensor(
    stored: Any, offset: Any, sizes: Any, steps: Any, tracked: Any, hooks: Any, metadata: Any = None
) -> tg.Tensor:
    return _tensor(stored, offset, sizes, steps, tracked, hooks, metadata=metadata)


def _old_tensor(stored: Any, offset: Any, sizes: Any, steps: Any) -> tg.Tensor:
    return _tensor(stored, offset, sizes, steps)


def _tracked(x: Any, tracked: Any) -> Any:
    if type(tracked) is not bool or (tracked and not x.dtype.is_differentiable):
        raise FileFormatError(f"a tensor of {x.dtype} can't require grad")
    return x.requires_grad_() if tracked else x


def _parameter(data: Any, tracked: Any, hooks: Any = None) -> Any:
    if not isinstance(data, tg.Tensor) or type(tracked) is not bool:
        raise FileFormatError("a parameter needs a tensor")
    if tracked and not data.dtype.is_differentiable:
        raise FileFormatError(f"a parameter of {data.dtype} can't require grad")
    return tg.nn.Parameter(data, tracked)


def _parameter_with_state(data: Any, tracked: Any, hooks: Any, state: Any) -> Any:
    return _attributes(_parameter(data, tracked), state)


def _typed_tensor(make: Any, kind: Any, args: Any, state: Any) -> Any:
    # where anything may be run, a pickle's names have become the functions themselves
    call = make.call if type(make) is Allowed else next((f for f in MAKERS if f is make), None)
    if call is None or not isinstance(args, tuple):
        raise FileFormatError("a tensor with attributes needs what makes it")
    x = call(*args)
    if isinstance(kind, type) and kind is not tg.Tensor:
        if not issubclass(kind, tg.Tensor):
            raise FileFormatError("a tensor has a class that is none of tensors")
        x = tg.Tensor._make_subclass(kind, x, x.requires_grad)
    return _attributes(x, state)


MAKERS = (_old_tensor, _second_tensor, _tensor, _parameter, _parameter_with_state)
"""What makes a tensor that has attributes."""


def _attributes(x: Any, state: Any) -> Any:
    """Set the attributes of a tensor that a file gives it, none that mean something."""
    if isinstance(state, tuple) and len(state) == 2:
        state = state[0]
    if state is None:
        return x
    if not isinstance(state, dict) or not all(type(k) is str for k in state):
        raise FileFormatError("the attributes of a tensor must be a dict")
    for name, value in state.items():
        if hasattr(type(x), name):
            raise FileFormatError(f"a tensor can't have an attribute {name!r} from a file")
        x.__dict__[name] = value
    return x


def _sparse(layout: Any, parts: Any) -> Any:
    if not isinstance(parts, tuple) or not isinstance(layout, tg.layout):
        raise FileFormatError("a sparse tensor needs a layout and parts")
    if layout is tg.sparse_coo:
        indices, values, sizes = parts[:3]
        x = tg.sparse_coo_tensor(indices, values.detach(), tuple(sizes))
        # that its elements are in order is not taken from the file
        x = x.coalesce() if len(parts) > 3 and parts[3] is True else x
    else:
        first, second, values, sizes = parts[:4]
        x = tg.sparse_compressed_tensor(first, second, values.detach(), tuple(sizes), layout=layout)
    return _tracked(x, bool(values.requires_grad))


def _layout(name: Any) -> Any:
    found = getattr(tg, str(name).removeprefix("torch."), None)
    if not isinstance(found, tg.layout):
        raise FileFormatError(f"there is no layout {name!r:.40}")
    return found


def _meta(dtype: Any, sizes: Any, steps: Any, tracked: Any) -> Any:
    if not isinstance(dtype, tg.DType) or not isinstance(sizes, tuple):
        raise FileFormatError("a tensor on the device meta needs a dtype and sizes")
    return _tracked(tg.empty(sizes, dtype=dtype, device="meta"), tracked)


def _encoded(text: Any, coding: Any) -> bytes:
    if type(text) is not str or coding not in ("latin1", "latin-1", "utf-8"):
        raise FileFormatError("bytes are written as text in latin1")
    return text.encode(coding)


def _ordered(items: Any = ()) -> Any:
    found: OrderedDict[Any, Any] = OrderedDict()
    for pair in items:
        key, value = pair
        found[checked_key(key)] = value
    return found


def _counter(items: Any = None) -> Any:
    if items is not None and not isinstance(items, dict):
        raise FileFormatError("a Counter needs a dict")
    return Counter(items)


def _set(items: Any = ()) -> set[Any]:
    return {checked_key(x) for x in items}


def _frozenset(items: Any = ()) -> frozenset[Any]:
    return frozenset(_set(items))


def _size(sizes: Any = ()) -> Any:
    if not isinstance(sizes, tuple) or not all(type(n) is int for n in sizes):
        raise FileFormatError("a Size needs whole numbers")
    return tg.Size(sizes)


def _device(kind: Any, index: Any = None) -> Any:
    if type(kind) is not str or not (index is None or type(index) is int):
        raise FileFormatError("a device has a name and a number")
    kind = kind if index is None or ":" in kind else f"{kind}:{index}"
    kind = kind.replace(OTHER, "webgpu")
    try:
        return tg.device(kind)
    except (ValueError, TypeError, RuntimeError):
        raise FileFormatError(f"there is no device {kind!r:.40} here") from None


def _bytearray(raw: Any = b"") -> bytearray:
    if not isinstance(raw, bytes):
        raise FileFormatError("a bytearray needs bytes")
    return bytearray(raw)


def _table() -> dict[str, Any]:
    calls: dict[str, Any] = {
        "torch._utils._rebuild_tensor": _old_tensor,
        "torch._utils._rebuild_tensor_v2": _second_tensor,
        "torch._utils._rebuild_tensor_v3": _tensor,
        "torch._utils._rebuild_parameter": _parameter,
        "torch._utils._rebuild_parameter_with_state": _parameter_with_state,
        "torch._utils._rebuild_sparse_tensor": _sparse,
        "torch._utils._rebuild_meta_tensor_no_storage": _meta,
        "torch._tensor._rebuild_from_type_v2": _typed_tensor,
        "torch.serialization._get_layout": _layout,
        "torch.device": _device,
        "torch.Size": _size,
        "collections.OrderedDict": _ordered,
        "collections.Counter": _counter,
        "_codecs.encode": _encoded,
    }
    found: dict[str, Any] = {name: Allowed(name, call=call) for name, call in calls.items()}
    for module in ("builtins", "__builtin__"):
        found[f"{module}.set"] = Allowed("set", call=_set)
        found[f"{module}.frozenset"] = Allowed("frozenset", call=_frozenset)
        found[f"{module}.complex"] = Allowed("complex", call=complex)
        found[f"{module}.bytearray"] = Allowed("bytearray", call=_bytearray)
        found[f"{module}.slice"] = Allowed("slice", call=lambda *ends: slice(*ends))
    for d in dt.ALL:
        found[f"torch.{d.name}"] = d
    for name, d in KINDS.items():
        found[f"torch.{name}"] = found[f"torch.cuda.{name}"] = Kind(d)
    found["torch.storage.UntypedStorage"] = found["torch.UntypedStorage"] = Kind(None)
    found["torch.Tensor"] = Allowed("torch.Tensor", value=tg.Tensor)
    found["torch.nn.parameter.Parameter"] = Allowed(
        "torch.nn.Parameter", tg.nn.Parameter, _parameter
    )
    return found


_TABLE: dict[str, Any] = {}


def table() -> dict[str, Any]:
    """Return what the names stand for that every file may use."""
    if not _TABLE:
        _TABLE.update(_table())
    return _TABLE


def find(module: str, name: str) -> Any:
    """Return what a name may build. Raises FileFormatError for one that is not allowed."""
    full = f"{module}.{name}"
    known = table()
    if full in known:
        return known[full]
    if full in _SAFE:
        what = _SAFE[full]
        new = what.__new__ if isinstance(what, type) else None
        bound = None if new is None else lambda *args: new(what, *args)
        return Allowed(full, what, what, bound)
    raise UnsafeFileError(
        f"weights_only: the file uses {full}, which may be code. If you trust who made the file, list it with "
        "serialization.add_safe_globals or safe_globals, or load with weights_only=False"
    )


class Builders(dict[type, Any]):
    """What gives a state to an object of a type: the user's safe classes, and state dicts."""

    def __missing__(self, kind: type) -> Any:
        return _state if kind in _SAFE.values() else None

    def get(self, kind: type, default: Any = None) -> Any:
        """Return what builds an object of this type, or None."""
        return self[kind]


def _state(target: Any, state: Any) -> None:
    if hasattr(target, "__setstate__"):
        target.__setstate__(state)
        return
    fields, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    target.__dict__.update(fields or {})
    for name, value in (slots or {}).items():
        setattr(target, name, value)


def _versions(target: Any, state: Any) -> None:
    if not isinstance(state, dict) or set(state) - {"_metadata"}:
        raise FileFormatError("the state of an OrderedDict is its _metadata")
    if state:
        target._metadata = state["_metadata"]


BUILDERS = Builders({OrderedDict: _versions})

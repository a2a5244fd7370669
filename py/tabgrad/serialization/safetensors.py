"""The safetensors format: raw bytes after a JSON header, and no code.

A file has the length of the header in eight bytes, little-endian; the header, a JSON object with dtype, shape
and position of each tensor by name; and the bytes. A dict of tensors is saved in exactly this way, so every
program for the format can read it. Other objects store their structure in the header's metadata.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import IO, Any, TypeGuard

import tabgrad as tg
from tabgrad.core import dtype as dt
from tabgrad.core.errors import FileFormatError
from tabgrad.core.shape import MOST_AXES, MOST_BYTES, size
from tabgrad.sparse import files
from tabgrad.tensor import literals, reading
from tabgrad.tensor.creation import upload

CODES = {d.code: d for d in dt.ALL if d.code}
"""The dtypes of the format, by its names for them."""

File = str | os.PathLike[str] | IO[bytes]
TREE = "tabgrad.tree"
"""The metadata with the structure of an object that is not a plain dict of tensors."""
LEAVES = "tabgrad.leaves"
"""The metadata with the names of tensors that require grad, and of parameters, if there are any."""
LONGEST_HEADER = 100_000_000
RESERVED = "__metadata__"
"""The entry of the header that is not a tensor."""
DEEPEST = 128
"""The deepest nesting of containers, which JSON and the reader handle within Python's recursion limit."""
MOST_DIGITS = 4300
"""The most digits of an integer that Python reads."""
TOO_LONG = 10**MOST_DIGITS


def save(obj: object, f: File) -> None:
    """Write `obj` to a file: a tensor, or dicts, lists and tuples of tensors, numbers and strings.

    Save models and optimizers by their state dicts. A tensor that requires grad is loaded as a leaf that does,
    and a parameter as a parameter. Tensors are read from their device, which blocks; use `await save_async`
    where that is impossible. An object that `load` could not restore is refused, with its place: TypeError for
    an object of another type, ValueError for one that is too deep, long or large.

    >>> import io, tabgrad as tg
    >>> from tabgrad.serialization import safetensors
    >>> file = io.BytesIO()
    >>> safetensors.save({"epoch": 3, "weights": tg.tensor([1.0, 2.0], device="cpu")}, file)
    >>> safetensors.load(io.BytesIO(file.getvalue()), map_location="cpu")
    {'epoch': 3, 'weights': tensor([1., 2.])}
    """
    tensors, metadata = _taken_apart(obj)
    raw = {name: bytes(reading.data(t, "save")) for name, t in tensors.items()}
    _write(tensors, raw, metadata, f)


async def save_async(obj: object, f: File) -> None:
    """Do what `save` does, without blocking."""
    tensors, metadata = _taken_apart(obj)
    raw = {name: bytes(await reading.data_async(t, "save_async")) for name, t in tensors.items()}
    _write(tensors, raw, metadata, f)


def _taken_apart(obj: Any) -> tuple[dict[str, tg.Tensor], dict[str, str]]:
    """Return the tensors of `obj` by name, and the metadata that describe how `obj` contains them."""
    tensors: dict[str, tg.Tensor] = {}
    if _plain(obj):
        tensors.update(obj)
        metadata = {"format": "pt"}
    else:
        try:
            metadata = {TREE: json.dumps(_Writer(tensors).described(obj, ""))}
        except RecursionError:
            raise ValueError("save: what is saved holds itself, or is nested too deep") from None
    for name, t in tensors.items():
        if not t.dtype.code:
            raise TypeError(f"save: the format has no {t.dtype}; cast {name!r} to another dtype")
        fault = _shape_fault(tuple(t.shape), t.dtype)
        if fault:
            raise ValueError(f"save: the shape of {name!r} {fault}")
    tracked = [name for name, t in tensors.items() if t.requires_grad]
    parameters = [name for name, t in tensors.items() if isinstance(t, tg.nn.Parameter)]
    if tracked or parameters:
        metadata[LEAVES] = json.dumps({"requires_grad": tracked, "parameters": parameters})
    return tensors, metadata


def _write(
    tensors: dict[str, tg.Tensor], raw: dict[str, bytes], metadata: dict[str, str], f: File
) -> None:
    data = encode({k: (t.dtype, tuple(t.shape), raw[k]) for k, t in tensors.items()}, metadata)
    if hasattr(f, "write"):
        f.write(data)
        return
    with open(f, "wb") as file:
        file.write(data)


def load(f: File, map_location: str | tg.Device | None = None) -> Any:
    """Read a file of this format: a dict of tensors, or the structure that `save` wrote.

    The tensors are on the device `map_location`, or on the default one if it is None. A dtype that the device
    lacks becomes the 32-bit one. Raises FileFormatError, a ValueError, for a file that is broken or has another
    format.
    """
    if hasattr(f, "read"):
        data = f.read()
    else:
        with open(f, "rb") as file:
            data = file.read()
    name = name_of(f)
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"load: {name} gives {type(data).__name__}; open it in binary mode")
    where = tg.get_default_device() if map_location is None else tg.device(map_location).place
    try:
        return loaded(data, where)
    except FileFormatError as fault:
        raise FileFormatError(f"load: {name}: {fault}") from None


def loaded(data: bytes | bytearray | memoryview, where: tg.Device) -> Any:
    """Return what a file of these bytes holds, on a device."""
    entries, metadata = decode(data)
    tree = parsed(metadata[TREE], TREE) if TREE in metadata else None
    leaves = _leaves(metadata, entries)
    tensors = {key: _leaf(_tensor(*entry, where), key, *leaves) for key, entry in entries.items()}
    if TREE not in metadata:
        return tensors
    try:
        return _rebuilt(tree, tensors, TREE)
    except RecursionError:
        raise FileFormatError(f"{TREE}: nested too deep to be read") from None


def name_of(f: File) -> str:
    """Return the name of a file for messages."""
    return str(getattr(f, "name", type(f).__name__) if hasattr(f, "read") else os.fspath(f))


# The format

Entry = tuple[tg.DType, tuple[int, ...], Any]


def encode(entries: dict[str, Entry], metadata: dict[str, str]) -> bytes:
    """Encode these (dtype, shape, bytes) by name as a file."""
    header: dict[str, Any] = {RESERVED: metadata} if metadata else {}
    at = 0
    # largest elements first, so that each tensor begins at a multiple of its element size
    order = sorted(entries, key=lambda name: -entries[name][0].itemsize)
    for name in order:
        dtype, shape, raw = entries[name]
        end = at + len(raw)
        header[name] = {"dtype": dtype.code, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > LONGEST_HEADER:
        raise ValueError(
            f"save: names, shapes and structure take {len(text)} bytes, the format has at most {LONGEST_HEADER}"
        )
    return b"".join([len(text).to_bytes(8, "little"), text, *(entries[n][2] for n in order)])


def decode(data: bytes | bytearray | memoryview) -> tuple[dict[str, Entry], dict[str, str]]:
    """Decode a file to (dtype, shape, bytes) by name and the metadata. Raises FileFormatError.

    As the format requires, the tensors must be adjacent and fill the file, so that none is larger than its
    part.
    """
    if len(data) < 8:
        raise FileFormatError(f"expected a safetensors file, got {len(data)} bytes")
    length = int.from_bytes(data[:8], "little")
    if length > min(LONGEST_HEADER, len(data) - 8):
        raise FileFormatError(
            f"expected a safetensors file, but its header would be {length} bytes long "
            f"in a file of {len(data)}; a file of torch.save is of another format"
        )
    header = parsed(bytes(data[8 : 8 + length]), "header")
    if type(header) is not dict:
        raise FileFormatError("header: expected a JSON object as header")
    metadata = header.pop(RESERVED, {})
    if type(metadata) is not dict or not all(type(v) is str for v in metadata.values()):
        raise FileFormatError("header: __metadata__ must be an object of strings")
    body = memoryview(data)[8 + length :]
    entries = {}
    places = []
    for name, facts in header.items():
        begin, end, entries[name] = _entry(name, facts, body)
        places.append((begin, end, name))
    at = 0
    for begin, end, name in sorted(places):
        if begin != at:
            what = (
                "overlaps another" if begin < at else f"leaves {begin - at} bytes unused before it"
            )
            raise FileFormatError(f"tensor {name!r}: its place {begin} to {end} {what}")
        at = end
    if at != len(body):
        raise FileFormatError(f"{len(body) - at} bytes follow the last tensor")
    return entries, metadata


def parsed(text: str | bytes, place: str) -> Any:
    """Parse JSON. Raises FileFormatError, also for an object with a repeated key."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: set[str] = set()
            twice = next(k for k, _ in pairs if k in seen or seen.add(k))  # type: ignore[func-returns-value]
            raise FileFormatError(f"{place}: {twice!r} is there twice")
        return found

    try:
        whole = text.decode() if isinstance(text, bytes) else text
        return json.loads(whole, object_pairs_hook=unique)
    except FileFormatError:
        raise
    except ValueError as error:
        raise FileFormatError(f"{place}: expected a JSON header, {error}") from None
    except RecursionError:
        raise FileFormatError(f"{place}: nested too deep to be read") from None


def _entry(name: str, facts: Any, body: memoryview) -> tuple[int, int, Entry]:
    """Return the position of a tensor (begin, end) and its Entry."""
    place = f"tensor {name!r}"
    for key in ("dtype", "shape", "data_offsets"):
        if type(facts) is not dict or key not in facts:
            raise FileFormatError(f"{place}: expected an object with {key}, KeyError: {key!r}")
    code, shape, offsets = facts["dtype"], facts["shape"], facts["data_offsets"]
    if type(code) is not str or code not in CODES:
        raise FileFormatError(f"{place}: dtype {_short(code)} is none of {', '.join(CODES)}")
    dtype = CODES[code]
    if not _whole_numbers(shape):
        raise FileFormatError(
            f"{place}: its shape must be a list of numbers from 0, got {_short(shape)}"
        )
    fault = _shape_fault(shape, dtype)
    if fault:
        raise FileFormatError(f"{place}: its shape {fault}")
    if not _whole_numbers(offsets) or len(offsets) != 2:
        raise FileFormatError(
            f"{place}: data_offsets must be two numbers from 0, got {_short(offsets)}"
        )
    begin, end = offsets
    count = dtype.itemsize * size(tuple(shape))
    if not begin <= end <= len(body) or end - begin != count:
        raise FileFormatError(
            f"{place} of shape {tuple(shape)} and {dtype} needs {count} bytes, "
            f"but its place is {_short(begin)} to {_short(end)} in {len(body)}"
        )
    raw = body[begin:end]
    if dtype is dt.bool_ and max(raw, default=0) > 1:
        raise FileFormatError(f"{place}: a bool must be 0 or 1")
    return begin, end, (dtype, tuple(shape), raw)


def _shape_fault(shape: Sequence[int], dtype: tg.DType) -> str:
    """Describe what is wrong with a shape; an empty string for a valid one."""
    if len(shape) > MOST_AXES:
        return f"has {len(shape)} axes; there can be at most {MOST_AXES}"
    if dtype.itemsize * size(tuple([max(n, 1) for n in shape])) >= MOST_BYTES:
        return f"{_short(list(shape))} is too large"
    return ""


def _whole_numbers(value: object) -> TypeGuard[list[int]]:
    return type(value) is list and all(type(n) is int and n >= 0 for n in value)


def _short(value: object) -> str:
    text = json.dumps(value) if not isinstance(value, int) or value < 1 << 64 else "a huge number"
    return text if len(text) <= 60 else text[:57] + "..."


def _tensor(dtype: tg.DType, shape: tuple[int, ...], raw: bytes, where: tg.Device) -> tg.Tensor:
    target = where.canonical(dtype)
    if target is not dtype:
        raw = literals.encode(literals.decode(raw, dtype), target)
    return upload(bytes(raw), shape, target, where)


def _leaves(metadata: dict[str, str], entries: dict[str, Entry]) -> tuple[set[str], set[str]]:
    """Return the names of the tensors that require grad, and of the parameters."""
    if LEAVES not in metadata:
        return set(), set()
    told = parsed(metadata[LEAVES], LEAVES)
    kinds = ("requires_grad", "parameters")
    if type(told) is not dict or set(told) != set(kinds):
        raise FileFormatError(
            f"{LEAVES}: expected requires_grad and parameters, got {_short(told)}"
        )
    for kind in kinds:
        if type(told[kind]) is not list:
            raise FileFormatError(f"{LEAVES}.{kind}: expected a list, got {_short(told[kind])}")
        for name in told[kind]:
            if type(name) is not str or name not in entries:
                raise FileFormatError(f"{LEAVES}.{kind}: there is no tensor {_short(name)}")
            if kind == "requires_grad" and not _differentiable(entries[name][0]):
                raise FileFormatError(f"{LEAVES}.{kind}: {_short(name)} is of integers")
    return set(told["requires_grad"]), set(told["parameters"])


def _differentiable(dtype: tg.DType) -> bool:
    return dtype.is_floating_point or dtype.is_complex


def _leaf(x: tg.Tensor, name: str, tracked: set[str], parameters: set[str]) -> tg.Tensor:
    if name in parameters:
        return tg.nn.Parameter(x, name in tracked)
    return x.requires_grad_(True) if name in tracked else x


# Structures


def _plain(obj: object) -> bool:
    return (
        type(obj) is dict
        and bool(obj)
        and all(isinstance(k, str) and k != RESERVED for k in obj)
        and all(isinstance(v, tg.Tensor) and v.layout is tg.strided for v in obj.values())
    )


class _Writer:
    """Describes a structure as JSON, and collects its tensors; what the reader would reject is refused."""

    def __init__(self, tensors: dict[str, tg.Tensor]) -> None:
        self.tensors = tensors
        self.names: dict[int, str] = {}

    def described(self, obj: object, path: str, depth: int = 0) -> Any:
        if isinstance(obj, tg.Tensor):
            if obj.layout is not tg.strided:
                return files.described(
                    obj, lambda t, part: self.name(t, _join(path or "tensor", part))
                )
            return {"tensor": self.name(obj, path or "tensor")}
        if isinstance(obj, int) and abs(obj) >= TOO_LONG:
            raise ValueError(
                f"save: the number at {path or 'the top'} has more than {MOST_DIGITS} digits"
            )
        if obj is None or isinstance(obj, (bool, int, float, str)):
            return obj
        if depth >= DEEPEST and isinstance(obj, (list, tuple, dict)):
            raise ValueError(
                f"save: what is saved holds itself, or is nested too deep: {_cut(path)} is in more than "
                f"{DEEPEST} containers"
            )
        if isinstance(obj, (list, tuple)):
            kind = "tuple" if isinstance(obj, tuple) else "list"
            return {kind: [self.described(x, _join(path, i), depth + 1) for i, x in enumerate(obj)]}
        if isinstance(obj, dict):
            return self.pairs(obj, path, depth + 1)
        if isinstance(obj, tg.DType):
            return {"dtype": obj.name}
        if isinstance(obj, tg.Device):
            return {"device": str(obj)}
        raise TypeError(
            f"save: expected tensors, numbers, strings, lists, tuples and dicts, got "
            f"{type(obj).__name__} at {_cut(path) or 'the top'}; save a module or optimizer by its state_dict()"
        )

    def pairs(self, obj: dict[Any, Any], path: str, depth: int) -> Any:
        """Describe a dict by its pairs, whose keys must still differ when they are read."""
        parts, seen = [], set()
        for k, v in obj.items():
            key = self.described(k, f"a key of {path}" if path else "a key", depth)
            text = json.dumps(key)
            if _holds_container(k):
                raise TypeError(
                    f"save: a key at {_cut(path) or 'the top'} is no key once it is read: {k!r}"
                )
            if text in seen:
                raise ValueError(
                    f"save: two keys at {_cut(path) or 'the top'} are the same once they are read: {k!r}"
                )
            seen.add(text)
            label = k if isinstance(k, (str, int, float)) else text
            parts.append([key, self.described(v, _join(path, label), depth)])
        if not isinstance(obj, OrderedDict):
            return {"dict": parts}
        versions = getattr(obj, "_metadata", None)
        if versions is None:
            return {"ordered": parts}
        place = _join(path, "_metadata")
        if not isinstance(versions, dict):
            raise TypeError(f"save: expected a dict at {place}, got {type(versions).__name__}")
        return {"ordered": parts, "versions": self.described(dict(versions), place, depth)}

    def name(self, t: tg.Tensor, path: str) -> str:
        known = self.names.get(id(t))
        if known is None:
            known = path
            while known in self.tensors or known == RESERVED:
                known += "_"
            self.names[id(t)] = known
            self.tensors[known] = t
        return known


def _holds_container(key: object) -> bool:
    """Whether a key is or contains a list or dict (of a hashable subclass), which is no key when it is read."""
    if isinstance(key, tuple):
        return any(map(_holds_container, key))
    return isinstance(key, (list, dict))


def _cut(path: str) -> str:
    return path if len(path) <= 100 else path[:97] + "..."


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _rebuilt(node: object, tensors: dict[str, tg.Tensor], place: str) -> Any:
    """Rebuild an object from the description of `_Writer`."""
    if type(node) is not dict:
        if type(node) is list:
            raise FileFormatError(f"{place}: a list must say whether it is a list or a tuple")
        return node
    kinds = set(node)
    if kinds == {"tuple"}:
        return tuple(_items(node["tuple"], tensors, place))
    if len(kinds) == 1 and (read := _PARTS.get(next(iter(kinds)))) is not None:
        return read(next(iter(node.values())), tensors, place)
    if kinds == {"ordered", "versions"}:
        out = _ordered(node["ordered"], tensors, place)
        if type(versions := _rebuilt(node["versions"], tensors, f"{place}.versions")) is not dict:
            raise FileFormatError(f"{place}.versions: expected a dict")
        out._metadata = OrderedDict(versions)
        return out
    raise FileFormatError(f"{place}: the structure has an unknown part {_short(sorted(kinds))}")


def _reference(name: object, tensors: dict[str, tg.Tensor], place: str) -> tg.Tensor:
    if type(name) is not str or name not in tensors:
        raise FileFormatError(f"{place}: there is no tensor {_short(name)}")
    return tensors[name]


def _sparse(told: object, tensors: dict[str, tg.Tensor], place: str) -> tg.Tensor:
    return files.restored(told, lambda name: _reference(name, tensors, place), place)


def _items(parts: object, tensors: dict[str, tg.Tensor], place: str) -> list[Any]:
    if type(parts) is not list:
        raise FileFormatError(f"{place}: expected a list, got {_short(parts)}")
    return [_rebuilt(x, tensors, f"{place}[{i}]") for i, x in enumerate(parts)]


def _pairs(parts: object, tensors: dict[str, tg.Tensor], place: str) -> dict[Any, Any]:
    if type(parts) is not list or not all(type(p) is list and len(p) == 2 for p in parts):
        raise FileFormatError(f"{place}: expected pairs of keys and values, got {_short(parts)}")
    found: dict[Any, Any] = {}
    for i, (k, v) in enumerate(parts):
        key = _rebuilt(k, tensors, f"{place}, key {i}")
        try:
            twice = key in found
        except TypeError:
            raise FileFormatError(f"{place}: {_short(k)} can't be a key") from None
        if twice:
            raise FileFormatError(f"{place}: the key {_short(k)} is there twice")
        found[key] = _rebuilt(v, tensors, f"{place}[{_short(k)}]")
    return found


def _ordered(parts: object, tensors: dict[str, tg.Tensor], place: str) -> Any:
    return OrderedDict(_pairs(parts, tensors, place))


def _dtype(name: object, tensors: dict[str, tg.Tensor], place: str) -> tg.DType:
    if type(name) is not str or name not in dt.NAMES:
        raise FileFormatError(f"{place}: there is no dtype {_short(name)}")
    return dt.NAMES[name]


def _device(name: object, tensors: dict[str, tg.Tensor], place: str) -> tg.Device:
    if type(name) is str:
        try:
            return tg.device(name)
        except (ValueError, TypeError, RuntimeError):
            pass
    raise FileFormatError(f"{place}: there is no device {_short(name)}")


_PARTS: dict[str, Callable[[Any, dict[str, tg.Tensor], str], Any]] = {
    "tensor": _reference, "list": _items, "dict": _pairs, "ordered": _ordered, "dtype": _dtype,
    "device": _device, "sparse": _sparse,
}  # fmt: skip
"""The function that reads each kind of part, except tuples."""

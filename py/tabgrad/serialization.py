"""Saving and loading, in the safetensors format: tensors as raw bytes behind a JSON header, and no code.

A file is the header's length as eight bytes, little-endian; the header, a JSON object that gives dtype,
shape and place of each tensor by name; and the bytes. A dict of tensors is saved as just that, so every
program that knows the format reads it. Anything else keeps its structure in the header's metadata.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from typing import IO, Any

import tabgrad as tg
from tabgrad.core import dtype as dt
from tabgrad.functions import literals, reading
from tabgrad.functions.creation import upload

CODES = {
    "BOOL": dt.bool_, "U8": tg.uint8, "I8": tg.int8, "U16": tg.uint16, "I16": tg.int16,
    "U32": tg.uint32, "I32": tg.int32, "U64": tg.uint64, "I64": tg.int64, "F16": tg.float16,
    "BF16": tg.bfloat16, "F32": tg.float32, "F64": tg.float64, "C64": tg.complex64,
}  # fmt: skip
"""The format's name of each dtype it has."""
NAMES = {dtype: code for code, dtype in CODES.items()}

File = str | os.PathLike[str] | IO[bytes]
TREE = "tabgrad.tree"
"""The metadata that holds the structure of what is not a plain dict of tensors."""
LONGEST_HEADER = 100_000_000


def save(obj: Any, f: File) -> None:
    """Write `obj` to a file: a tensor, or dicts, lists and tuples of tensors, numbers and strings.

    Models and optimizers are saved by their state dicts. Tensors are read from their device, which waits
    for it (`await save_async` where that is not possible). Raises TypeError for an object that is neither.

    >>> import io, tabgrad as tg
    >>> file = io.BytesIO()
    >>> tg.save({"epoch": 3, "weights": tg.tensor([1.0, 2.0], device="cpu")}, file)
    >>> tg.load(io.BytesIO(file.getvalue()), map_location="cpu")
    {'epoch': 3, 'weights': tensor([1., 2.])}
    """
    tensors, metadata = _taken_apart(obj)
    raw = {name: bytes(reading.data(t, "save")) for name, t in tensors.items()}
    _write(tensors, raw, metadata, f)


async def save_async(obj: Any, f: File) -> None:
    """Write what `save` writes, awaiting the tensors: works where Python can't wait."""
    tensors, metadata = _taken_apart(obj)
    raw = {name: bytes(await reading.data_async(t, "save_async")) for name, t in tensors.items()}
    _write(tensors, raw, metadata, f)


def _taken_apart(obj: Any) -> tuple[dict[str, tg.Tensor], dict[str, str]]:
    """Return the tensors of `obj` by name, and the metadata that tell how it is made of them."""
    tensors: dict[str, tg.Tensor] = {}
    if _plain(obj):
        tensors.update(obj)
        metadata = {"format": "pt"}
    else:
        metadata = {TREE: json.dumps(_Writer(tensors).described(obj, ""))}
    for name, t in tensors.items():
        if t.dtype not in NAMES:
            raise TypeError(f"save: the format has no {t.dtype}; cast {name!r} to another dtype")
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


def load(f: File, map_location: Any = None, *, weights_only: bool = True) -> Any:
    """Read what `save` wrote, or any safetensors file, as a dict of tensors.

    The tensors come to the device `map_location`, the default one if None. What that device has no dtype
    for becomes its 32-bit sibling. Nothing in a file is ever run, so `weights_only` is
    always so. Raises ValueError for a file that is not of the format.
    """
    if hasattr(f, "read"):
        data = f.read()
    else:
        with open(f, "rb") as file:
            data = file.read()
    entries, metadata = decode(data)
    where = tg.get_default_device() if map_location is None else tg.device(map_location)
    tensors = {name: _tensor(*entry, where) for name, entry in entries.items()}
    tree = metadata.get(TREE)
    return tensors if tree is None else _rebuilt(json.loads(tree), tensors)


# The format

Entry = tuple[tg.DType, tuple[int, ...], Any]


def encode(entries: dict[str, Entry], metadata: dict[str, str]) -> bytes:
    """Return a file with these (dtype, shape, bytes) by name."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    at = 0
    # Largest elements first, so that each tensor begins at a multiple of its element's size.
    order = sorted(entries, key=lambda name: -entries[name][0].itemsize)
    for name in order:
        dtype, shape, raw = entries[name]
        end = at + len(raw)
        header[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *(entries[n][2] for n in order)])


def decode(data: bytes) -> tuple[dict[str, Entry], dict[str, str]]:
    """Return the (dtype, shape, bytes) by name and the metadata of a file; ValueError where it has faults."""
    if len(data) < 8:
        raise ValueError(f"load: expected a safetensors file, got {len(data)} bytes")
    size = int.from_bytes(data[:8], "little")
    if size > min(LONGEST_HEADER, len(data) - 8):
        raise ValueError(
            f"load: expected a safetensors file, but its header would be {size} bytes long "
            f"in a file of {len(data)}; a file of torch.save is of another format"
        )
    try:
        header = json.loads(data[8 : 8 + size])
    except ValueError as error:
        raise ValueError(f"load: expected a JSON header, {error}") from None
    if not isinstance(header, dict):
        raise ValueError("load: expected a JSON object as header")
    body = memoryview(data)[8 + size :]
    metadata = header.pop("__metadata__", {})
    return {name: _entry(name, facts, body) for name, facts in header.items()}, metadata


def _entry(name: str, facts: Any, body: memoryview) -> Entry:
    try:
        dtype, shape = CODES[facts["dtype"]], tuple(facts["shape"])
        begin, end = facts["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"load: tensor {name!r}: {type(error).__name__}: {error}") from None
    count = dtype.itemsize
    for n in shape:
        count *= n
    if not 0 <= begin <= end <= len(body) or end - begin != count:
        raise ValueError(
            f"load: tensor {name!r} of shape {shape} and {dtype} needs {count} bytes, "
            f"but its place is {begin} to {end} in {len(body)}"
        )
    return dtype, shape, body[begin:end]


def _tensor(dtype: tg.DType, shape: tuple[int, ...], raw: Any, where: tg.Device) -> tg.Tensor:
    target = where.canonical(dtype)
    if target is not dtype:
        raw = literals.encode(literals.decode(raw, dtype), target)
    return upload(bytes(raw), shape, target, where)


# Structures


def _plain(obj: Any) -> bool:
    return (
        type(obj) is dict
        and bool(obj)
        and all(isinstance(k, str) and k != "__metadata__" for k in obj)
        and all(isinstance(v, tg.Tensor) for v in obj.values())
    )


class _Writer:
    """Describes a structure as JSON, and gathers its tensors."""

    def __init__(self, tensors: dict[str, tg.Tensor]) -> None:
        self.tensors = tensors
        self.names: dict[int, str] = {}

    def described(self, obj: Any, path: str) -> Any:
        if isinstance(obj, tg.Tensor):
            return {"tensor": self.name(obj, path or "tensor")}
        if obj is None or isinstance(obj, (bool, int, float, str)):
            return obj
        if isinstance(obj, (list, tuple)):
            kind = "tuple" if isinstance(obj, tuple) else "list"
            return {kind: [self.described(x, _join(path, i)) for i, x in enumerate(obj)]}
        if isinstance(obj, dict):
            pairs = [
                [self.described(k, ""), self.described(v, _join(path, k))] for k, v in obj.items()
            ]
            out = {"ordered" if isinstance(obj, OrderedDict) else "dict": pairs}
            versions = getattr(obj, "_metadata", None)
            return out if versions is None else {**out, "versions": self.described(versions, "")}
        if isinstance(obj, tg.DType):
            return {"dtype": obj.name}
        if isinstance(obj, tg.Device):
            return {"device": str(obj)}
        raise TypeError(
            f"save: expected tensors, numbers, strings, lists, tuples and dicts, got "
            f"{type(obj).__name__} at {path or 'the top'}; save a module or optimizer by its state_dict()"
        )

    def name(self, t: tg.Tensor, path: str) -> str:
        known = self.names.get(id(t))
        if known is None:
            known = path
            while known in self.tensors:
                known += "_"
            self.names[id(t)] = known
            self.tensors[known] = t
        return known


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _rebuilt(node: Any, tensors: dict[str, tg.Tensor]) -> Any:
    if not isinstance(node, dict):
        return node
    if "tensor" in node:
        return tensors[node["tensor"]]
    if "list" in node:
        return [_rebuilt(x, tensors) for x in node["list"]]
    if "tuple" in node:
        return tuple(_rebuilt(x, tensors) for x in node["tuple"])
    if "dtype" in node:
        return getattr(tg, node["dtype"])
    if "device" in node:
        return tg.device(node["device"])
    pairs = node.get("ordered", node.get("dict"))
    if pairs is None:
        raise ValueError(f"load: the structure has an unknown part {sorted(node)}")
    items = [(_rebuilt(k, tensors), _rebuilt(v, tensors)) for k, v in pairs]
    if "ordered" not in node:
        return dict(items)
    out = tg.nn.state.StateDict(items)
    if "versions" in node:
        out._metadata = _rebuilt(node["versions"], tensors)
    return out

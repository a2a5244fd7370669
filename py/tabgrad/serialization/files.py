"""Saves objects in PyTorch's archives, and loads these and the other formats."""

from __future__ import annotations

import mmap as maps
import os
import pickle
from pathlib import PurePath
from typing import Any

import tabgrad as tg
from tabgrad.core.errors import FileFormatError
from tabgrad.serialization import archive, safetensors
from tabgrad.serialization.pickles import unpickled
from tabgrad.serialization.safetensors import File, name_of
from tabgrad.serialization.storages import Place, Stored, places, storage_facts
from tabgrad.tensor import reading


def save(
    obj: object, f: File, pickle_module: Any = pickle, pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True, _disable_byteorder_record: bool = False,
) -> None:  # fmt: skip
    """Write `obj` to a file that PyTorch reads too: tensors, state dicts, and what Python pickles.

    Tensors that share memory share it in the file. They are written as tensors of the CPU, from whatever
    device; reading them from theirs blocks, so use `await save_async` where that is impossible. Whole modules
    are written as objects, which need their code where they are loaded: prefer their state dicts. A path that
    ends in `.safetensors` gets that format, for dicts of tensors and plain structures of them.

    >>> import io, tabgrad as tg
    >>> file = io.BytesIO()
    >>> tg.save({"epoch": 3, "weights": tg.tensor([1.0, 2.0], device="cpu")}, file)
    >>> tg.load(io.BytesIO(file.getvalue()), map_location="cpu")
    {'epoch': 3, 'weights': tensor([1., 2.])}
    """
    if not _use_new_zipfile_serialization:
        raise ValueError(
            "save: files of PyTorch before 1.6 are read, not written; leave the switch on"
        )
    if _is_safetensors(f):
        safetensors.save(obj, f)
        return
    pickler = _pickled(obj, pickle_protocol)
    raw = [reading.data(r.root, "save") for r in pickler.records.values()]
    _write(pickler, raw, f)


async def save_async(obj: object, f: File, pickle_protocol: int = 2) -> None:
    """Do what `save` does, without blocking."""
    if _is_safetensors(f):
        await safetensors.save_async(obj, f)
        return
    pickler = _pickled(obj, pickle_protocol)
    raw = [await reading.data_async(r.root, "save_async") for r in pickler.records.values()]
    _write(pickler, raw, f)


def _is_safetensors(f: File) -> bool:
    return not hasattr(f, "write") and PurePath(os.fsdecode(os.fspath(f))).suffix == ".safetensors"


def _pickled(obj: object, protocol: int) -> Any:
    from tabgrad.serialization.pickling import Pickler

    pickler = Pickler(protocol)
    try:
        pickler.dump(obj)
    except RecursionError:
        raise ValueError("save: what is saved is nested too deep") from None
    return pickler


def _write(pickler: Any, raw: list[Any], f: File) -> None:
    if not hasattr(f, "write"):
        with open(f, "wb") as file:
            _archive(pickler, raw, file, PurePath(os.fsdecode(f)).stem or "archive")
        return
    _archive(pickler, raw, f, "archive")


def _archive(pickler: Any, raw: list[Any], f: Any, folder: str) -> None:
    out = archive.Writer(f, folder)
    out.record("data.pkl", pickler.file.getbuffer())
    for name, data in archive.HEADER:
        out.record(name, data)
    for record, data in zip(pickler.records.values(), raw, strict=True):
        out.record(f"data/{record.key}", data)
    out.record("version", b"3\n")
    out.record(".data/serialization_id", b"0" * 40)
    out.close()


def load(
    f: File, map_location: Place = None, pickle_module: Any = None, *, weights_only: bool | None = None,
    mmap: bool | None = None, **pickle_load_args: Any,
) -> Any:  # fmt: skip
    """Read a file of `save`, of PyTorch, in the safetensors, GGUF, NPZ or NPY format.

    The tensors are on the device `map_location`: a device, a dict from places in the file to devices, or a
    function of storage and place; without one they are on the default device. A dtype that the device lacks
    becomes the 32-bit one. Unless `weights_only` is false nothing in the file is run, and only tensors,
    containers and classes of `serialization.safe_globals` are built; with false the file can run any code. With
    `mmap` the tensors of a path on the CPU are read from the file when they are used. Raises FileFormatError,
    a ValueError, for a file that is broken or has another format.
    """
    name = name_of(f)
    data = _contents(f, bool(mmap))
    try:
        return _loaded(data, map_location, weights_only is not False, bool(mmap))
    except FileFormatError as fault:
        raise type(fault)(f"load: {name}: {fault}") from None


class EmptyFileError(FileFormatError, EOFError):
    """A file without contents."""


class UnknownFormatError(FileFormatError, pickle.UnpicklingError):
    """A file of no format that `load` reads. It is pickle's error too, for which programs look."""


def _contents(f: File, mapped: bool) -> memoryview:
    if hasattr(f, "read"):
        if mapped:
            raise ValueError("load: mmap needs the path of a file, got an open one")
        data = f.read()
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(
                f"load: {name_of(f)} gives {type(data).__name__}; open it in binary mode"
            )
        return memoryview(data)
    with open(f, "rb") as file:
        if mapped and os.fstat(file.fileno()).st_size:
            return memoryview(maps.mmap(file.fileno(), 0, access=maps.ACCESS_COPY))
        return memoryview(file.read())


def _loaded(data: memoryview, map_location: Place, safe: bool, mapped: bool) -> Any:
    head = bytes(data[:8])
    if head[:4] == b"PK\3\4":
        names = [e.filename for e in archive.listed(data)]
        if any(name.endswith("/data.pkl") for name in names):
            return _from_archive(archive.Archive(data, not mapped), map_location, safe, mapped)
    if head[:1] == b"\x80" and len(head) > 1 and head[1] <= 5:
        from tabgrad.serialization.legacy import loaded

        return loaded(data, map_location, safe)
    where = default_place(map_location)
    if head[:4] == b"PK\3\4":
        from tabgrad.serialization import npz

        return npz.loaded(data, where)
    if head[:6] == b"\x93NUMPY":
        from tabgrad.serialization import npz

        return npz.array(data, "the array", where)
    if head[:4] == b"GGUF":
        from tabgrad.serialization import gguf

        return gguf.loaded(data, where)[0]
    if not head:
        raise EmptyFileError("the file is empty")
    if bytes(data[8:9]) != b"{":
        raise UnknownFormatError(
            "expected a file of save or of PyTorch, safetensors, GGUF, NPZ or NPY; this one begins with "
            f"{head!r}"
        )
    return safetensors.loaded(data, where)


def default_place(map_location: Place) -> tg.Device:
    """Return the device for the tensors of a file that names no places."""
    stored = Stored(memoryview(b""), None, tg.get_default_device(), False, "cpu")
    places(map_location)(stored, "cpu")
    return stored.where


def _from_archive(records: archive.Archive, map_location: Place, safe: bool, mapped: bool) -> Any:
    if "byteorder" in records and bytes(records.read("byteorder")) != b"little":
        raise FileFormatError("its numbers are big-endian; save it again on a machine of today")
    if "constants.pkl" in records:
        raise FileFormatError(
            "it is a program of TorchScript, no object; save the state_dict() of its module"
        )
    put, stored = places(map_location), {}

    def persistent(told: Any) -> Stored:
        kind, key, source, count = storage_facts(told)
        if key not in stored:
            raw = records.read(f"data/{key}")
            made = Stored(raw, kind.dtype, tg.get_default_device(), mapped, source)
            if count * (1 if kind.dtype is None else kind.dtype.itemsize) != len(raw):
                raise FileFormatError(
                    f"storage {key!r} has {len(raw)} bytes, not those of {count} elements"
                )
            put(made, source)
            made.adopts = mapped and made.where.type == "cpu"
            stored[key] = made
        if stored[key].dtype is not kind.dtype:
            raise FileFormatError(f"storage {key!r} is of {stored[key].dtype} and of {kind.dtype}")
        return stored[key]

    return unpickled(records.read("data.pkl"), persistent, safe)[0]

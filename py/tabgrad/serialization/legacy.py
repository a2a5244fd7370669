"""Reads files of PyTorch before 1.6: pickles one after the other, then the storages."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.core.errors import FileFormatError
from tabgrad.serialization.pickles import unpickled
from tabgrad.serialization.storages import Place, Stored, places, storage_facts

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


def loaded(data: memoryview, map_location: Place, safe: bool) -> Any:
    """Return the object of a file.

    Its bytes follow the pickle that refers to them, so that is read twice: first without them.
    """
    facts, at = [], 0
    for _ in range(3):
        fact, taken = unpickled(data[at:], _refused, safe=True)
        facts.append(fact)
        at += taken
        if facts[0] != MAGIC:
            raise FileFormatError("a pickle, but none that torch.save wrote: only that is read")
    if (
        facts[1] != PROTOCOL
        or not isinstance(facts[2], dict)
        or facts[2].get("little_endian") is not True
    ):
        raise FileFormatError("a file of PyTorch before 1.6 with another protocol or byte order")
    found: dict[str, tuple[Any, str]] = {}
    start = at

    def noted(told: Any) -> Stored:
        kind, key, source, _ = _facts(told)
        found[key] = kind, source
        return _Promised(memoryview(b""), kind.dtype, tg.get_default_device(), False, source)

    _, taken = unpickled(data[at:], noted, safe)
    at += taken
    keys, taken = unpickled(data[at:], _refused, safe=True)
    at += taken
    if not isinstance(keys, list) or set(map(str, keys)) != set(found):
        raise FileFormatError("the list of storages is not that of the pickle")
    put, stored = places(map_location), {}
    for key in keys:
        kind, source = found[key]
        count = int.from_bytes(data[at : at + 8], "little", signed=True)
        size = count * kind.dtype.itemsize
        at += 8
        if count < 0 or at + size > len(data):
            raise FileFormatError(f"storage {key!r:.40} goes on after the end of the file")
        stored[key] = Stored(
            data[at : at + size], kind.dtype, tg.get_default_device(), False, source
        )
        put(stored[key], source)
        at += size
    if at != len(data):
        raise FileFormatError(f"{len(data) - at} bytes follow the last storage")
    return unpickled(data[start:], lambda told: stored[_facts(told)[1]], safe)[0]


class _Promised(Stored):
    """A storage whose bytes come later: its tensors are empty."""

    def tensor(self, dtype: tg.DType, offset: Any, sizes: Any, steps: Any) -> tg.Tensor:
        """Return an empty tensor."""
        return tg.empty(0, dtype=dtype, device="cpu")


def _facts(told: Any) -> tuple[Any, str, str, int]:
    if isinstance(told, tuple) and len(told) > 5 and told[5] is not None:
        raise FileFormatError("a storage that is part of another, as PyTorch before 0.4 wrote it")
    found = storage_facts(told)
    if found[0].dtype is None:
        raise FileFormatError("a storage of bytes, which these files don't have")
    return found


def _refused(told: Any) -> Any:
    raise FileFormatError("a storage stands where none is")

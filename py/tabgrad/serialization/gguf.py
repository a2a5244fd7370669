"""Reads GGUF, the format of llama.cpp: facts by key, then tensors, many of them in blocks of few bits."""

from __future__ import annotations

import struct
from typing import Any

import tabgrad as tg
from tabgrad.core import dtype as dt
from tabgrad.core.errors import FileFormatError
from tabgrad.core.shape import MOST_BYTES, size
from tabgrad.serialization import blocks
from tabgrad.serialization.safetensors import File, name_of
from tabgrad.tensor import literals
from tabgrad.tensor.creation import upload

PLAIN = {
    0: dt.float32, 1: dt.float16, 24: dt.int8, 25: dt.int16, 26: dt.int32, 27: dt.int64, 28: dt.float64,
    30: dt.bfloat16,
}  # fmt: skip
"""The types of tensors that are stored element by element."""
_NUMBERS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
BOOL, TEXT, LIST = 7, 8, 9
MOST_DIMS = 4


class _Reader:
    """Reads numbers and texts one after the other."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.at = data, 0

    def take(self, n: int) -> memoryview:
        found = self.data[self.at : self.at + n]
        if len(found) != n:
            raise FileFormatError("the file is cut off")
        self.at += n
        return found

    def number(self, code: str) -> Any:
        return struct.unpack(code, self.take(struct.calcsize(code)))[0]

    def text(self) -> str:
        try:
            return str(self.take(self.number("<Q")), "utf-8")
        except UnicodeDecodeError:
            raise FileFormatError("a text is not UTF-8") from None

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind in _NUMBERS:
            return self.number(_NUMBERS[kind])
        if kind == BOOL:
            return bool(self.number("<B"))
        if kind == TEXT:
            return self.text()
        if kind != LIST or depth > 8:
            raise FileFormatError(
                f"a value has the type {kind}, which there is not, or lists too deep"
            )
        inner, count = self.number("<I"), self.number("<Q")
        if count > len(self.data) - self.at:
            raise FileFormatError("the file is cut off")
        if inner in _NUMBERS:
            code = _NUMBERS[inner]
            raw = self.take(count * struct.calcsize(code))
            return list(struct.unpack(f"<{count}{code[1]}", raw))
        return [self.value(inner, depth + 1) for _ in range(count)]


def load(
    f: File, map_location: str | tg.Device | None = None
) -> tuple[dict[str, tg.Tensor], dict[str, Any]]:
    """Return the tensors of a GGUF file by name, and its facts by key.

    A quantised tensor becomes float32: what its blocks stand for. Dims are in PyTorch's order, the reverse of
    the file's. Raises FileFormatError, also for a type of blocks that is not read: there are Q4_0, Q4_1, Q5_0,
    Q5_1, Q8_0, Q4_K and Q6_K.
    """
    if hasattr(f, "read"):
        data = f.read()
    else:
        with open(f, "rb") as file:
            data = file.read()
    where = tg.get_default_device() if map_location is None else tg.device(map_location).place
    try:
        return loaded(memoryview(data), where)
    except FileFormatError as fault:
        raise FileFormatError(f"load: {name_of(f)}: {fault}") from None


def loaded(data: memoryview, where: tg.Device) -> tuple[dict[str, tg.Tensor], dict[str, Any]]:
    """Return tensors and facts of a file of these bytes."""
    r = _Reader(data)
    if bytes(r.take(4)) != b"GGUF":
        raise FileFormatError("expected a GGUF file")
    version = r.number("<I")
    if version not in (2, 3):
        raise FileFormatError(
            f"its version is {version}; 2 and 3 are read, with little-endian numbers"
        )
    count, pairs = r.number("<Q"), r.number("<Q")
    facts: dict[str, Any] = {}
    for _ in range(pairs):
        key = r.text()
        if key in facts:
            raise FileFormatError(f"the key {key!r:.60} is there twice")
        facts[key] = r.value(r.number("<I"))
    told = [_told(r) for _ in range(count)]
    step = facts.get("general.alignment", 32)
    if type(step) is not int or step < 1 or step & (step - 1):
        raise FileFormatError(f"the alignment {step!r:.20} is no power of two")
    body = data[-(-r.at // step) * step :]
    tensors: dict[str, tg.Tensor] = {}
    ends = 0
    for name, shape, kind, at in sorted(told, key=lambda t: t[3]):
        if name in tensors:
            raise FileFormatError(f"tensor {name!r:.60} is there twice")
        if at < ends:
            raise FileFormatError(f"tensor {name!r:.60} overlaps another")
        tensors[name], ends = _tensor(name, shape, kind, at, body, where)
    return {name: tensors[name] for name, *_ in told}, facts


def _told(r: _Reader) -> tuple[str, tuple[int, ...], int, int]:
    """Return name, shape, type and place of a tensor."""
    name, dims = r.text(), r.number("<I")
    if dims > MOST_DIMS:
        raise FileFormatError(f"tensor {name!r:.60} has {dims} dims, there are at most {MOST_DIMS}")
    shape = tuple([r.number("<Q") for _ in range(dims)][::-1])
    return name, shape, r.number("<I"), r.number("<Q")


def _tensor(
    name: str, shape: tuple[int, ...], kind: int, at: int, body: memoryview, where: tg.Device
) -> tuple[tg.Tensor, int]:
    """Return a tensor and the place after its bytes."""
    if 8 * size(tuple([max(n, 1) for n in shape])) >= MOST_BYTES:
        raise FileFormatError(f"tensor {name!r:.60} of shape {shape} is too large")
    n = size(shape)
    if kind in PLAIN:
        dtype, length = PLAIN[kind], n * PLAIN[kind].itemsize
    elif kind in blocks.KINDS:
        dtype, found = dt.float32, blocks.KINDS[kind]
        if shape[-1] % found.elements if shape else True:
            raise FileFormatError(
                f"tensor {name!r:.60} of shape {shape} has no whole blocks of {found.elements}"
            )
        length = n // found.elements * found.length
    else:
        raise FileFormatError(
            f"tensor {name!r:.60} has blocks of type {kind}, which are not read; there are "
            f"{', '.join(k.name for k in blocks.KINDS.values())}"
        )
    raw = body[at : at + length]
    if len(raw) != length:
        raise FileFormatError(f"tensor {name!r:.60} goes on after the end of the file")
    if kind in blocks.KINDS:
        return blocks.KINDS[kind].read(bytes(raw), where).view(shape), at + length
    target = where.canonical(dtype)
    data: Any = bytes(raw)
    if target is not dtype:
        data = literals.encode(literals.decode(memoryview(data), dtype), target)
    return upload(data, shape, target, where), at + length


__all__ = ["load"]

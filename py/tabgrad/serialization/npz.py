"""Reads NumPy's files, NPY and NPZ, without NumPy."""

from __future__ import annotations

import ast
import struct
import zipfile
import zlib

import tabgrad as tg
from tabgrad.core import dtype as dt
from tabgrad.core.errors import FileFormatError
from tabgrad.core.shape import MOST_AXES, MOST_BYTES, size
from tabgrad.serialization.archive import Seekable
from tabgrad.tensor import literals
from tabgrad.tensor.creation import upload

LONGEST_HEADER = 10_000
MOST_EXPANDED = 64 << 20
"""The most bytes of a compressed array that are read however small it is in the file."""
MOST_RATIO = 200
"""How many times as large as in the file a larger compressed array may be."""

_LETTERS = {
    "b1": dt.bool_, "u1": dt.uint8, "i1": dt.int8, "u2": dt.uint16, "i2": dt.int16, "u4": dt.uint32,
    "i4": dt.int32, "u8": dt.uint64, "i8": dt.int64, "f2": dt.float16, "f4": dt.float32,
    "f8": dt.float64, "c8": dt.complex64, "c16": dt.complex128,
}  # fmt: skip


def loaded(data: memoryview, where: tg.Device) -> dict[str, tg.Tensor]:
    """Return the arrays of an NPZ file by name, on a device."""
    found: dict[str, tg.Tensor] = {}
    try:
        with zipfile.ZipFile(Seekable(data)) as z:
            entries = z.infolist()
            if not entries or not all(e.filename.endswith(".npy") for e in entries):
                raise FileFormatError(
                    "a zip archive, but neither torch.save nor numpy.savez wrote it"
                )
            if sum(e.compress_size for e in entries) > len(data):
                raise FileFormatError("parts of the archive overlap")
            for entry in entries:
                name = entry.filename[:-4]
                if name in found:
                    raise FileFormatError(f"array {name!r} is there twice")
                found[name] = array(memoryview(_expanded(z, entry)), f"array {name!r}", where)
    except FileFormatError:
        raise
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, struct.error, RuntimeError,
            NotImplementedError) as fault:  # fmt: skip
        raise FileFormatError(f"expected a zip archive that is whole, {fault}") from None
    return found


def _expanded(z: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return the bytes of a part, which may be no larger than it says and than is likely."""
    if entry.file_size > max(MOST_EXPANDED, MOST_RATIO * entry.compress_size):
        raise FileFormatError(
            f"{entry.filename!r} would be {entry.file_size} bytes, more than {MOST_RATIO} times its part of "
            "the file; if you trust it, save it uncompressed"
        )
    with z.open(entry) as part:
        raw = part.read(entry.file_size + 1)
    if len(raw) != entry.file_size:
        raise FileFormatError(f"{entry.filename!r} has not the size that the archive says")
    return raw


def array(data: memoryview, what: str, where: tg.Device) -> tg.Tensor:
    """Return the tensor of an NPY file on a device."""
    dtype, order, backwards, shape, raw = _header(data, what)
    count = size(shape) * dtype.itemsize
    if len(raw) != count:
        raise FileFormatError(
            f"{what} of shape {shape} and {dtype} needs {count} bytes, there are {len(raw)}"
        )
    body = bytes(raw)
    if backwards:
        body = _swapped(body, dtype.itemsize // (2 if dtype.is_complex else 1))
    if dtype is dt.bool_ and body.translate(None, b"\0\1"):
        raise FileFormatError(f"{what}: a bool must be 0 or 1")
    target = where.canonical(dtype)
    if target is not dtype:
        body = literals.encode(literals.decode(memoryview(body), dtype), target)
    if not order:
        return upload(body, shape, target, where)
    x = upload(body, shape[::-1], target, where)
    return x.permute(*range(len(shape))[::-1]).contiguous()


def _header(
    data: memoryview, what: str
) -> tuple[tg.DType, bool, bool, tuple[int, ...], memoryview]:
    """Return dtype, whether columns come first, whether bytes are swapped, shape, and the rest."""
    if bytes(data[:6]) != b"\x93NUMPY" or len(data) < 12 or data[6] not in (1, 2, 3):
        raise FileFormatError(f"{what} is no NPY file of version 1 to 3")
    wide = 2 if data[6] == 1 else 4
    length = int.from_bytes(data[8 : 8 + wide], "little")
    if length > LONGEST_HEADER:
        raise FileFormatError(
            f"{what}: its header has {length} bytes, there are at most {LONGEST_HEADER}"
        )
    text = bytes(data[8 + wide : 8 + wide + length])
    try:
        told = ast.literal_eval(text.decode("utf-8" if data[6] == 3 else "latin1").strip())
        letters, order, shape = told["descr"], told["fortran_order"], told["shape"]
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError):
        raise FileFormatError(f"{what}: its header is none of NumPy's") from None
    if type(letters) is not str or letters[1:] not in _LETTERS or letters[0] not in "<>|=":
        raise FileFormatError(
            f"{what}: there is no dtype for {letters!r:.40}; there are {', '.join(dt.NAMES)}"
        )
    fit = (
        type(order) is bool
        and type(shape) is tuple
        and all(type(n) is int and n >= 0 for n in shape)
    )
    dtype = _LETTERS[letters[1:]]
    if not fit or len(shape) > MOST_AXES or _too_large(shape, dtype):
        raise FileFormatError(f"{what}: its shape {shape!r:.60} is none, or too large")
    return dtype, order, letters[0] == ">", shape, data[8 + wide + length :]


def _too_large(shape: tuple[int, ...], dtype: tg.DType) -> bool:
    return dtype.itemsize * size(tuple([max(n, 1) for n in shape])) >= MOST_BYTES


def _swapped(raw: bytes, width: int) -> bytes:
    """Return numbers of `width` bytes with the order of their bytes turned."""
    out = bytearray(raw)
    for k in range(width):
        out[k::width] = raw[width - 1 - k :: width]
    return bytes(out)

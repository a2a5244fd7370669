"""PyTorch's archives: zip files of uncompressed records, each at a multiple of 64 bytes."""

from __future__ import annotations

import struct
import sys
import zipfile
import zlib
from typing import IO, Any

from tabgrad.core.errors import FileFormatError

ALIGNMENT = 64
_LOCAL = struct.Struct("<4s5H3I2H")
_LARGE = 0xFFFFFFFF
"""Sizes and places from here on have 64 bits, in an extra field."""
_PADDING = b"FB"
"""The id of the extra field that PyTorch pads with."""


def listed(data: memoryview) -> list[zipfile.ZipInfo]:
    """Return what the directory of a zip file says. Raises FileFormatError if it is broken."""
    try:
        with zipfile.ZipFile(Seekable(data)) as z:
            return z.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, struct.error, NotImplementedError) as fault:
        raise FileFormatError(f"expected a zip archive that is whole, {fault}") from None


class Archive:
    """The records of an archive that is in memory or mapped, by name without the folder that holds all.

    Every record lies in the file as it is, so that no record is larger than its part of the file, and no byte
    belongs to two.
    """

    def __init__(self, data: bytes | bytearray | memoryview, checked: bool) -> None:
        self.body = memoryview(data)
        self.checked = checked
        entries = listed(self.body)
        self.places: dict[str, tuple[int, int]] = {}
        self.sums: dict[str, int] = {}
        ends = 0
        for entry in sorted(entries, key=lambda e: e.header_offset):
            begin, end = self._place(entry)
            if entry.header_offset < ends:
                raise FileFormatError(f"record {entry.filename!r} overlaps another")
            ends = end
            name = entry.filename.partition("/")[2] or entry.filename
            if name in self.places:
                raise FileFormatError(f"record {name!r} is there twice")
            self.places[name] = begin, end
            self.sums[name] = entry.CRC

    def _place(self, entry: zipfile.ZipInfo) -> tuple[int, int]:
        name = entry.filename
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise FileFormatError(f"record {name!r} is compressed; an archive of tensors never is")
        at = entry.header_offset
        header = self.body[at : at + _LOCAL.size]
        if len(header) < _LOCAL.size or bytes(header[:4]) != b"PK\3\4":
            raise FileFormatError(f"record {name!r} has no header at byte {at}")
        *_, names, extra = _LOCAL.unpack(header)
        begin = at + _LOCAL.size + names + extra
        if begin + entry.file_size > len(self.body):
            raise FileFormatError(f"record {name!r} goes on after the end of the file")
        return begin, begin + entry.file_size

    def __contains__(self, name: str) -> bool:
        return name in self.places

    def read(self, name: str) -> memoryview:
        """Return the bytes of a record, uncopied. Raises FileFormatError if it is missing or damaged."""
        if name not in self.places:
            raise FileFormatError(f"there is no record {name!r}")
        begin, end = self.places[name]
        found = self.body[begin:end]
        if self.checked and zlib.crc32(found) != self.sums[name]:
            raise FileFormatError(f"record {name!r} is damaged: its checksum differs")
        return found


class Seekable:
    """A file over memory, which copies what is read and no more."""

    def __init__(self, body: memoryview) -> None:
        self.body, self.at = body, 0

    def seek(self, to: int, whence: int = 0) -> int:
        start = (0, self.at, len(self.body))[whence]
        if start + to < 0:
            raise OSError("a place before the beginning")
        self.at = start + to
        return self.at

    def tell(self) -> int:
        return self.at

    def seekable(self) -> bool:
        return True

    def read(self, n: int = -1) -> bytes:
        end = len(self.body) if n is None or n < 0 else self.at + n
        found = bytes(self.body[self.at : end])
        self.at += len(found)
        return found


class Writer:
    """Writes an archive record by record to a file that need not seek."""

    def __init__(self, f: IO[bytes], folder: str) -> None:
        self.f, self.folder = f, folder
        self.at = 0
        self.entries: list[bytes] = []

    def record(self, name: str, data: Any) -> None:
        """Write one record."""
        raw = memoryview(data).cast("B") if memoryview(data).nbytes else b""
        path = f"{self.folder}/{name}".encode()
        size, begin, check = len(raw), self.at, zlib.crc32(raw)
        sizes = struct.pack("<HHQQ", 1, 16, size, size) if size >= _LARGE else b""
        pad = -(begin + _LOCAL.size + len(path) + len(sizes) + 4) % ALIGNMENT
        extra = sizes + _PADDING + struct.pack("<H", pad) + bytes(pad)
        short = min(size, _LARGE)
        facts = (45 if sizes else 20, 0x800, 0, 0, 0x21, check, short, short, len(path))
        self._write(_LOCAL.pack(b"PK\3\4", *facts, len(extra)), path, extra, raw)
        if sizes or begin >= _LARGE:
            sizes = struct.pack("<HHQQQ", 1, 24, size, size, begin)
            short = _LARGE
        place = min(begin, _LARGE) if not sizes else _LARGE
        told = struct.pack(
            "<5H3I2H", facts[0], *facts[1:5], check, short, short, len(path), len(sizes)
        )
        rest = struct.pack("<3H2I", 0, 0, 0, 0, place)
        version = struct.pack("<H", 45)
        self.entries.append(b"PK\1\2" + version + told + rest + path + sizes)

    def close(self) -> None:
        """Write the directory, which ends the archive."""
        begin, count = self.at, len(self.entries)
        self._write(*self.entries)
        length = self.at - begin
        if begin + length >= _LARGE or count >= 0xFFFF:
            place = self.at
            self._write(
                b"PK\6\6", struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, length, begin),
                b"PK\6\7", struct.pack("<IQI", 0, place, 1),
            )  # fmt: skip
        few = min(count, 0xFFFF)
        end = (0, 0, few, few, min(length, _LARGE), min(begin, _LARGE), 0)
        self._write(b"PK\5\6", struct.pack("<4H2IH", *end))

    def _write(self, *parts: Any) -> None:
        for part in parts:
            self.f.write(part)
            self.at += len(part)


HEADER = (
    (".format_version", b"1"), (".storage_alignment", str(ALIGNMENT).encode()),
    ("byteorder", sys.byteorder.encode()),
)  # fmt: skip
"""The records that PyTorch writes after the pickle."""

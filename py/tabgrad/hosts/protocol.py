"""Converts commands (`commands.py`) to words, and words to commands; `encoder.py` writes whole packets."""

import struct
from array import array
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from tabgrad.hosts.commands import (
    BY_TAG,
    COMMANDS,
    HEADER_WORDS,
    MAGIC,
    MAX_PAYLOAD_WORDS,
    VERSION,
    Buffer,
    Command,
    Nested,
    PacketError,
    WriteBlob,
)  # fmt: skip


def pad(nbytes: int) -> int:
    """Round a number of bytes up to whole words."""
    return (nbytes + 3) & -4


def padded(data: bytes) -> bytes:
    """Return `data` with zeros up to whole words."""
    return data + b"\0" * (-len(data) & 3)


def _text_words(text: str) -> "array[int]":
    data = text.encode()
    return array("I", [len(data)]) + array("I", padded(data))


def command_words(command: Command) -> "array[int]":
    """Encode one command with its header; slower than the encoder's methods, but for any command.

    >>> from tabgrad.hosts.commands import Alloc
    >>> [hex(word) for word in command_words(Alloc(7, 16))]
    ['0x201', '0x7', '0x10']
    """
    words = array("I", [0])
    for letter, name in zip(command.LAYOUT, _NAMES[type(command)], strict=True):
        value = getattr(command, name)
        if letter == "u":
            words.append(value)
        elif letter == "s":
            words += _text_words(value)
        elif letter == "i":
            words.append(len(value))
            words.extend(value)
        elif letter == "*":
            words.extend(value)
        elif letter == "d":
            words.append(pad(len(value)))
            words.frombytes(padded(bytes(value)))
        elif letter == "o":
            words.append(len(value))
            for key, number in value:
                words += _text_words(key)
                words.frombytes(struct.pack("<d", number))
        else:
            for nested in value:
                words += command_words(nested)
    words[0] = header(command.TAG, len(words) - 1)
    return words


_NAMES = {kind: tuple(f.name for f in fields(kind)) for kind in COMMANDS}


def header(tag: int, n_words: int) -> int:
    if n_words > MAX_PAYLOAD_WORDS:
        raise PacketError(
            f"{BY_TAG[tag].__name__}: a command holds at most {MAX_PAYLOAD_WORDS} words, "
            f"this one needs {n_words}; send it in parts"
        )
    return tag | n_words << 8


class _Cursor:
    """Reads fields from `words[position:end]`; reading past the end raises PacketError."""

    __slots__ = ("end", "index", "position", "raw", "words")

    def __init__(self, raw: memoryview, position: int, end: int, index: int) -> None:
        self.raw = raw
        self.words = raw.cast("I")
        self.position = position
        self.end = end
        self.index = index

    def take(self, n: int) -> list[int]:
        start = self.position
        self.position = start + n
        if self.position > self.end:
            raise PacketError(
                f"the payload ends after {self.end - start} words where {n} were due", self.index
            )
        return self.words[start : start + n].tolist()

    def data(self) -> bytes:
        nbytes = self.take(1)[0]
        start = self.position * 4
        self.take(pad(nbytes) >> 2)
        return bytes(self.raw[start : start + nbytes])

    def text(self) -> str:
        try:
            return self.data().decode()
        except UnicodeDecodeError:
            raise PacketError("text is not UTF-8", self.index) from None

    def overrides(self) -> tuple[tuple[str, float], ...]:
        pairs = []
        for _ in range(self.take(1)[0]):
            name = self.text()
            start = self.position * 4
            self.take(2)
            pairs.append((name, struct.unpack_from("<d", self.raw, start)[0]))
        return tuple(pairs)

    def nested(self) -> "tuple[Command, ...]":
        commands = []
        while self.position < self.end:
            command = self.command()
            if not isinstance(command, Nested):
                raise PacketError(f"cannot hold {type(command).__name__}", self.index)
            commands.append(command)
        return tuple(commands)

    def command(self) -> Command:
        """Read one command, which must fill exactly the payload its header claims."""
        header = self.take(1)[0]
        kind = BY_TAG.get(header & 255)
        if kind is None:
            raise PacketError(f"unknown tag {header & 255}", self.index)
        whole = self.end
        self.end = self.position + (header >> 8)
        try:
            if self.end > whole:
                raise PacketError(
                    f"truncated: {header >> 8} payload words are announced and "
                    f"{whole - self.position} are there"
                )
            values = [self.field(letter) for letter in kind.LAYOUT]
            if self.position != self.end:
                raise PacketError(f"{self.end - self.position} words too many")
        except PacketError as error:
            raise PacketError(f"{kind.__name__}: {error}", self.index) from None
        self.end = whole
        return kind(*values)

    def field(self, letter: str) -> Any:
        if letter == "u":
            return self.take(1)[0]
        if letter == "i":
            return tuple(self.take(self.take(1)[0]))
        if letter == "*":
            return tuple(self.take(self.end - self.position))
        if letter == "s":
            return self.text()
        if letter == "d":
            return self.data()
        if letter == "o":
            return self.overrides()
        return self.nested()


def decode(
    packet: Buffer, nbytes: int | None = None, blobs: Sequence[Buffer] = ()
) -> list[Command]:
    """Read a packet; raise PacketError if it is malformed.

    `Ledger.check` checks ids, this does not. The packet's WriteBlob commands must refer to entries of
    `blobs`, and state their lengths.
    """
    whole = memoryview(packet).cast("B")
    size = len(whole) if nbytes is None else nbytes
    if size > len(whole) or size & 3 or size < 4 * HEADER_WORDS:
        raise PacketError(f"a packet of {size} bytes is truncated")
    raw = whole[:size]
    magic, version, count = raw.cast("I")[:HEADER_WORDS].tolist()
    if magic != MAGIC:
        raise PacketError(f"bad magic {magic:#x}: expected {MAGIC:#x}")
    if version != VERSION:
        raise PacketError(f"protocol version {version}: this host speaks {VERSION}")
    cursor = _Cursor(raw, HEADER_WORDS, size >> 2, 0)
    commands = []
    for index in range(count):
        cursor.index = index
        command = cursor.command()
        if isinstance(command, WriteBlob):
            _check_blob(command, index, blobs)
        commands.append(command)
    if cursor.position != cursor.end:
        raise PacketError(
            f"{cursor.end - cursor.position} words follow the {count} commands announced"
        )
    return commands


def _check_blob(command: WriteBlob, index: int, blobs: Sequence[Buffer]) -> None:
    if command.blob >= len(blobs):
        raise PacketError(f"WriteBlob: blob {command.blob} of {len(blobs)} does not exist", index)
    size = memoryview(blobs[command.blob]).nbytes
    if size != command.nbytes:
        raise PacketError(
            f"WriteBlob: blob {command.blob} has {size} bytes, not {command.nbytes}", index
        )

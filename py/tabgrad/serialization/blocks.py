"""The blocks of GGUF: a few elements each, as small integers with a scale.

Columns of bytes are taken out of the blocks by slices, and nibbles by tables of bytes, so that no NumPy is
needed and a device multiplies. The layouts are those of llama.cpp's `ggml-common.h`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

import tabgrad as tg
from tabgrad.core import dtype as dt
from tabgrad.tensor.creation import upload

LOW = bytes(b & 15 for b in range(256))
HIGH = bytes(b >> 4 for b in range(256))
PAIRS = [bytes(b >> k & 3 for b in range(256)) for k in (0, 2, 4, 6)]
BITS = [bytes(b >> k & 1 for b in range(256)) for k in range(8)]


def _column(raw: bytes, step: int, at: int, width: int) -> bytes:
    """Return `width` bytes from the place `at` of every block of `step` bytes."""
    out = bytearray(len(raw) // step * width)
    for k in range(width):
        out[k::width] = raw[at + k :: step]
    return bytes(out)


def _woven(parts: list[bytes], width: int) -> bytes:
    """Return, block by block, `width` bytes of each part in turn."""
    out = bytearray(sum(map(len, parts)))
    whole = width * len(parts)
    for i, part in enumerate(parts):
        for k in range(width):
            out[i * width + k :: whole] = part[k::width]
    return bytes(out)


def _small(raw: bytes, width: int, where: tg.Device, dtype: tg.DType = dt.uint8) -> tg.Tensor:
    """Return bytes as rows of floats."""
    return upload(raw, (len(raw) // width, width), dtype, where).float()


def _halves(raw: bytes, step: int, at: int, where: tg.Device) -> tg.Tensor:
    """Return the float16 at the place `at` of every block, as a column of floats."""
    n = len(raw) // step
    found = struct.unpack(f"<{n}e", _column(raw, step, at, 2))
    return upload(struct.pack(f"<{n}f", *found), (n, 1), dt.float32, where)


def _q8_0(raw: bytes, where: tg.Device) -> tg.Tensor:
    return _small(_column(raw, 34, 2, 32), 32, where, dt.int8) * _halves(raw, 34, 0, where)


def _nibbles(raw: bytes) -> bytes:
    """Return the low nibbles of every 16 bytes, then the high ones."""
    return _woven([raw.translate(LOW), raw.translate(HIGH)], 16)


def _fifths(raw: bytes, step: int, at: int) -> bytes:
    """Return 16 for every element whose fifth bit is set in the four bytes at the place `at`."""
    sixteen = bytes([0, 16]) + bytes(254)
    columns = [_column(raw, step, at + k, 1) for k in range(4)]
    return _woven([c.translate(bit).translate(sixteen) for c in columns for bit in BITS], 1)


def _q4_0(raw: bytes, where: tg.Device) -> tg.Tensor:
    q = _small(_nibbles(_column(raw, 18, 2, 16)), 32, where)
    return (q - 8) * _halves(raw, 18, 0, where)


def _q4_1(raw: bytes, where: tg.Device) -> tg.Tensor:
    q = _small(_nibbles(_column(raw, 20, 4, 16)), 32, where)
    return q * _halves(raw, 20, 0, where) + _halves(raw, 20, 2, where)


def _q5_0(raw: bytes, where: tg.Device) -> tg.Tensor:
    q = _small(_nibbles(_column(raw, 22, 6, 16)), 32, where)
    return (q + _small(_fifths(raw, 22, 2), 32, where) - 16) * _halves(raw, 22, 0, where)


def _q5_1(raw: bytes, where: tg.Device) -> tg.Tensor:
    q = _small(_nibbles(_column(raw, 24, 8, 16)), 32, where)
    q = q + _small(_fifths(raw, 24, 4), 32, where)
    return q * _halves(raw, 24, 0, where) + _halves(raw, 24, 2, where)


def _six_bits(raw: bytes, step: int, at: int) -> tuple[bytes, bytes]:
    """Return eight scales and eight minima of six bits each, which lie in twelve bytes."""
    six = bytes(b & 63 for b in range(256))
    top = bytes(b >> 6 << 4 for b in range(256))
    c = [_column(raw, step, at + k, 1) for k in range(12)]

    def joined(a: bytes, b: bytes) -> bytes:
        # the bits of the two are apart, so that the sum of the numbers is that of the bytes
        n = len(a)
        return (int.from_bytes(a, "little") + int.from_bytes(b, "little")).to_bytes(n, "little")

    scales = [x.translate(six) for x in c[:4]]
    minima = [x.translate(six) for x in c[4:8]]
    scales += [joined(c[8 + k].translate(LOW), c[k].translate(top)) for k in range(4)]
    minima += [joined(c[8 + k].translate(HIGH), c[4 + k].translate(top)) for k in range(4)]
    return _woven(scales, 1), _woven(minima, 1)


def _q4_k(raw: bytes, where: tg.Device) -> tg.Tensor:
    n = len(raw) // 144
    packed = _column(raw, 144, 16, 128)
    q = _small(_woven([packed.translate(LOW), packed.translate(HIGH)], 32), 32, where).view(
        n, 8, 32
    )
    scales, minima = _six_bits(raw, 144, 4)
    d = _small(scales, 8, where) * _halves(raw, 144, 0, where)
    m = _small(minima, 8, where) * _halves(raw, 144, 2, where)
    return q * d.unsqueeze(2) - m.unsqueeze(2)


def _q6_k(raw: bytes, where: tg.Device) -> tg.Tensor:
    n = len(raw) // 210
    low = _column(raw, 210, 0, 128)
    nibbles = _woven([low.translate(LOW), low.translate(HIGH)], 64)
    pairs = _column(raw, 210, 128, 64)
    high = _woven([pairs.translate(table) for table in PAIRS], 32)
    q = _small(nibbles, 256, where) + 16 * _small(high, 256, where) - 32
    scales = _small(_column(raw, 210, 192, 16), 16, where, dt.int8) * _halves(raw, 210, 208, where)
    return q.view(n, 16, 16) * scales.unsqueeze(2)


class Kind(NamedTuple):
    """A type of blocks: its name, elements and bytes, and what reads many of them."""

    name: str
    elements: int
    length: int
    read: Callable[[bytes, tg.Device], tg.Tensor]


KINDS = {
    2: Kind("Q4_0", 32, 18, _q4_0),
    3: Kind("Q4_1", 32, 20, _q4_1),
    6: Kind("Q5_0", 32, 22, _q5_0),
    7: Kind("Q5_1", 32, 24, _q5_1),
    8: Kind("Q8_0", 32, 34, _q8_0),
    12: Kind("Q4_K", 256, 144, _q4_k),
    14: Kind("Q6_K", 256, 210, _q6_k),
}  # fmt: skip
"""The types of blocks by their numbers in files."""

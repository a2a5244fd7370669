"""Buffers of a device: taken from a pool, given back when the last node that needs them is dropped."""

from __future__ import annotations

from typing import Any

from tabgrad.hosts.room import refusal

SPARE_BYTES = 64 << 20
"""Unused buffers beyond this, and beyond a quarter of what is in use, go back to the device."""


class Buffer:
    """A buffer in use. Dropping it gives it back to the pool: commands run in order, so it may be used again
    at once."""

    __slots__ = ("id", "nbytes", "pool")

    def __init__(self, pool: Pool, id: int, nbytes: int) -> None:
        self.pool = pool
        self.id = id
        self.nbytes = nbytes

    def __del__(self) -> None:
        self.pool.give(self.id, self.nbytes)


def size_class(nbytes: int) -> int:
    """Return the size a buffer of `nbytes` is made with: one of eight steps between powers of two.

    >>> size_class(1000), size_class(1025)
    (1024, 1152)
    """
    if nbytes <= 256:
        return max(16, (nbytes + 15) & -16)
    step = 1 << max(4, nbytes.bit_length() - 4)
    return (nbytes + step - 1) & -step


class Pool:
    """The buffers of one device, by size class; none has more than `most` bytes."""

    def __init__(self, encoder: Any, most: int) -> None:
        self.encoder = encoder
        self.most = most
        self.spare: dict[int, list[int]] = {}
        self.spare_bytes = 0
        self.live = 0
        self.live_bytes = 0
        self.peak_bytes = 0
        self.next = 1
        self.closed = False

    def take(self, nbytes: int) -> Buffer:
        """Return a buffer of at least `nbytes`; its contents are undefined."""
        if nbytes > self.most:
            raise refusal("a tensor", nbytes, self.most)
        size = min(size_class(nbytes), self.most)
        ids = self.spare.get(size)
        if ids:
            i = ids.pop()
            self.spare_bytes -= size
        else:
            i = self.next
            self.next += 1
            self.encoder.alloc(i, size)
        self.live += 1
        self.live_bytes += size
        if self.live_bytes > self.peak_bytes:
            self.peak_bytes = self.live_bytes
        return Buffer(self, i, size)

    def give(self, i: int, size: int) -> None:
        """Take a buffer back."""
        self.live -= 1
        self.live_bytes -= size
        if self.closed:
            return
        self.spare.setdefault(size, []).append(i)
        self.spare_bytes += size

    def trim(self, keep: int | None = None) -> None:
        """Release unused buffers, the largest first, until `keep` bytes of them are left."""
        keep = max(SPARE_BYTES, self.live_bytes // 4) if keep is None else keep
        if self.spare_bytes <= keep:
            return
        freed = []
        for size in sorted(self.spare, reverse=True):
            ids = self.spare[size]
            while ids and self.spare_bytes > keep:
                freed.append(ids.pop())
                self.spare_bytes -= size
        if freed:
            self.encoder.free(freed)

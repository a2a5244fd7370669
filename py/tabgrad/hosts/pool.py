"""The pool of a device's buffers; a buffer returns to it when the last node that needs it is dropped."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from tabgrad.hosts.memory_limits import over_limit, refusal

if TYPE_CHECKING:
    from tabgrad.hosts.device import DeviceBackend
    from tabgrad.hosts.encoder import Encoder

SPARE_BYTES = 64 << 20
"""Bytes of unused buffers that are kept at least; a quarter of the bytes in use is kept if that is more."""


class Buffer:
    """A buffer in use.

    A dropped buffer returns to the pool. It can be reused at once, because commands run in order. `born` is the
    number of the command after the one that filled it (see `Encoder.clock`). `carried` has the bits of the
    error buffers that concern it (see `ErrorReports.carried`).
    """

    __slots__ = ("born", "carried", "id", "nbytes", "pool")

    def __init__(self, pool: Pool, id: int, nbytes: int) -> None:
        self.pool = pool
        self.id = id
        self.nbytes = nbytes
        self.born = 0
        self.carried = 0

    def __del__(self) -> None:
        # any thread may do this at any time, so the pool handles it when it is next used
        self.pool.returned.append((self.id, self.nbytes))


def size_class(nbytes: int) -> int:
    """Round the size of a buffer up to one of eight steps between powers of two.

    >>> size_class(1000), size_class(1025)
    (1024, 1152)
    """
    if nbytes <= 256:
        return max(16, (nbytes + 15) & -16)
    step = 1 << max(4, nbytes.bit_length() - 4)
    return (nbytes + step - 1) & -step


class Pool:
    """The buffers of one device, by size class.

    No buffer has more than `most` bytes, and those in use have at most `limit` bytes together. `failures`
    counts packets that failed.
    """

    def __init__(self, backend: DeviceBackend, most: int) -> None:
        self.backend = backend
        self.encoder = backend.encoder
        self.most = most
        self.limit: int | None = None
        self.failures = 0
        self.spare: dict[int, list[int]] = {}
        self.spare_bytes = 0
        self.missing: set[int] = set()
        self.returned: list[tuple[int, int]] = []
        self.live = 0
        self.live_bytes = 0
        self.peak_bytes = 0
        self.next = 1

    def take(self, nbytes: int) -> Buffer:
        """Take a buffer of at least `nbytes` with undefined contents."""
        if nbytes > self.most:
            raise refusal("a tensor", nbytes, self.most)
        if self.returned:
            self.reclaim()
        size = min(size_class(nbytes), self.most)
        if self.limit is not None and self.live_bytes + size > self.limit:
            raise over_limit(size, self.live_bytes, self.limit)
        ids = self.spare.get(size)
        if ids:
            buffer = Buffer(self, ids.pop(), size)
            self.spare_bytes -= size
        else:
            i = self.next
            self.next = i + 1
            self.encoder.alloc(i, size)
            buffer = Buffer(self, i, size)
        self.live += 1
        self.live_bytes += size
        if self.live_bytes > self.peak_bytes:
            self.peak_bytes = self.live_bytes
        return buffer

    def reclaim(self) -> None:
        """Take back the buffers that were dropped."""
        returned = self.returned
        while returned:
            i, size = returned.pop()
            self.live -= 1
            self.live_bytes -= size
            if i in self.missing:
                continue
            self.spare.setdefault(size, []).append(i)
            self.spare_bytes += size

    def trim(
        self, keep: int | None = None, but: Collection[int] = (), into: Encoder | None = None
    ) -> None:
        """Release unused buffers, the largest first and none of `but`, until `keep` bytes of them are left.

        The command is added to the packet `into`, or by default to the device's packet.
        """
        self.reclaim()
        keep = max(SPARE_BYTES, self.live_bytes // 4) if keep is None else keep
        if self.spare_bytes <= keep:
            return
        for size in sorted(self.spare, reverse=True):
            free = [i for i in self.spare[size] if i not in but]
            n = min(len(free), -((keep - self.spare_bytes) // size))
            if n > 0:
                gone = free[-n:]
                self.strike_out(set(gone))
                (into or self.encoder).free(gone)

    def forget(self, ids: set[int]) -> None:
        """Never use buffers again that the device failed to allocate."""
        self.reclaim()
        self.missing |= ids
        self.strike_out(ids)

    def strike_out(self, ids: set[int]) -> None:
        """Remove buffers from the unused ones."""
        for size, spare in self.spare.items():
            kept = [i for i in spare if i not in ids]
            self.spare_bytes -= size * (len(spare) - len(kept))
            spare[:] = kept

"""Buffers of a device: taken from a pool, given back when the last node that needs them is dropped."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from tabgrad.hosts.memory_limits import over_limit, refusal

if TYPE_CHECKING:
    from tabgrad.hosts.device import DeviceBackend

SPARE_BYTES = 64 << 20
"""Unused buffers beyond this, and beyond a quarter of what is in use, go back to the device."""


class Buffer:
    """A buffer in use. Dropping it gives it back to the pool: commands run in order, so it may be used again
    at once. `born` is the number of the command after the one that filled it, see `Encoder.clock`;
    `carried` says whose errors may be in it, see `ErrorReports.carried`."""

    __slots__ = ("born", "carried", "id", "nbytes", "pool")

    def __init__(self, pool: Pool, id: int, nbytes: int) -> None:
        self.pool = pool
        self.id = id
        self.nbytes = nbytes
        self.born = 0
        self.carried = 0

    def __del__(self) -> None:
        # any thread may do this, at any time: the pool looks when it is next used
        self.pool.returned.append((self.id, self.nbytes))


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
    """The buffers of one device, by size class; none has more than `most` bytes, all in use not more than
    `limit`. `failures` counts packets that did not go through."""

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
        """Return a buffer of at least `nbytes`; its contents are undefined."""
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
        """Take back what has been dropped."""
        returned = self.returned
        while returned:
            i, size = returned.pop()
            self.live -= 1
            self.live_bytes -= size
            if i in self.missing:
                continue
            self.spare.setdefault(size, []).append(i)
            self.spare_bytes += size

    def trim(self, keep: int | None = None, but: Collection[int] = (), into: Any = None) -> None:
        """Release unused buffers, the largest first and none of `but`, until `keep` bytes of them are left.

        The command goes `into` another packet than that of the device where one is given.
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
        """Never hand out buffers that the device turned out not to have."""
        self.reclaim()
        self.missing |= ids
        self.strike_out(ids)

    def strike_out(self, ids: set[int]) -> None:
        """Take buffers out of the unused ones."""
        for size, spare in self.spare.items():
            kept = [i for i in spare if i not in ids]
            self.spare_bytes -= size * (len(spare) - len(kept))
            spare[:] = kept

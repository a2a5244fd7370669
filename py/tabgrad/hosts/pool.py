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
    number of the command after the one that filled it (see `Encoder.clock`), and `slot` its place among the
    buffers of that plan. `carried` has the bits of the error buffers that concern it (see
    `ErrorReports.carried`).
    """

    __slots__ = ("born", "carried", "id", "nbytes", "pool", "slot")

    def __init__(self, nbytes: int) -> None:
        self.pool: Pool | None = None
        self.id = 0
        self.nbytes = nbytes
        self.born = 0
        self.slot = 0
        self.carried = 0

    def __del__(self) -> None:
        # any thread may do this at any time, so the pool handles it when it is next used
        if self.pool is not None:
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
    counts packets that failed, `made` and `made_bytes` the buffers that exist. Each is moved and counted in one
    statement, so that no exception loses it.
    """

    def __init__(self, backend: DeviceBackend, most: int) -> None:
        self.backend = backend
        self.encoder = backend.encoder
        self.most = most
        self.limit: int | None = None
        self.failures = 0
        self.spare: dict[int, list[int]] = {}
        self.missing: set[int] = set()
        self.returned: list[tuple[int, int]] = []
        self.made = 0
        self.made_bytes = 0
        self.live_bytes = 0
        self.peak_bytes = 0
        self.next = 1

    @property
    def live(self) -> int:
        """How many buffers are in use."""
        return self.made - sum(map(len, self.spare.values()))

    @property
    def spare_bytes(self) -> int:
        """The bytes of unused buffers."""
        return self.made_bytes - self.live_bytes

    def take(self, nbytes: int) -> Buffer:
        """Take a buffer of at least `nbytes` with undefined contents."""
        if nbytes > self.most:
            raise refusal("a tensor", nbytes, self.most)
        if self.returned:
            self.reclaim()
        size = min(size_class(nbytes), self.most)
        if self.limit is not None and self.live_bytes + size > self.limit:
            raise over_limit(size, self.live_bytes, self.limit)
        ids = self.spare.get(size) or self.add(size)
        buffer = Buffer(size)
        buffer.pool, buffer.id, self.live_bytes = self, ids.pop(), self.live_bytes + size
        if self.live_bytes > self.peak_bytes:
            self.peak_bytes = self.live_bytes
        return buffer

    def add(self, size: int) -> list[int]:
        """Make a buffer; return the unused ones of its size."""
        ids, i, before = self.spare.setdefault(size, []), self.next, self.encoder.commands
        self.next = i + 1
        try:
            self.made, self.made_bytes, ids[:] = self.made + 1, self.made_bytes + size, [i]
            self.encoder.alloc(i, size)
        except BaseException:
            if self.encoder.commands == before:
                self.strike_out({i})
            raise
        return ids

    def reclaim(self) -> None:
        """Take back the buffers that were dropped."""
        returned, missing = self.returned, self.missing
        taken: tuple[int, int] | None = None
        try:
            while returned:
                taken = returned.pop()
                i, size = taken
                live = self.live_bytes - size
                if missing and i in missing:
                    made, rest = self.made - 1, self.made_bytes - size
                    self.made, self.made_bytes, self.live_bytes, taken = made, rest, live, None
                    continue
                ids = self.spare.setdefault(size, [])
                self.live_bytes, ids[len(ids) :], taken = live, [i], None
        except BaseException:
            if taken is not None:
                returned.append(taken)
            raise

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
            n = len(spare) - len(kept)
            self.made, self.made_bytes, spare[:] = self.made - n, self.made_bytes - n * size, kept

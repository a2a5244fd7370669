"""Indices out of range, and numbers that break a rule, as kernels find them: kept, brought back and told."""

from __future__ import annotations

from typing import Any

from tabgrad.core.errors import ArgumentError, OutOfRangeError
from tabgrad.hosts.faults import where
from tabgrad.hosts.pool import Buffer
from tabgrad.lower.checks import NBYTES, Site
from tabgrad.ops.checked import complaint


class Checks:
    """The buffer of errors of one device, see `lower/checks.py`, and the sites that may stand in it.

    A site is an op at a line of the program. A plan that serves several lines is given their
    numbers at each run.
    """

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.buffer: Buffer | None = None
        self.asked = True
        self.sites: list[tuple[Site, Any]] = []
        self.numbers: dict[Any, int] = {}

    def number(self, site: Site, line: Any) -> int:
        """Return the number of a site that was recorded at `line`."""
        key = (site.key, line)
        found = self.numbers.get(key)
        if found is None:
            self.sites.append((site, line))
            found = self.numbers[key] = len(self.sites)
        return found

    def bound(self) -> int:
        """Return the buffer's id for a run that may write to it."""
        self.asked = False
        if self.buffer is None:
            buffer = self.backend.pool.take(NBYTES)
            self.clear(buffer)
            self.buffer = buffer
        return self.buffer.id

    def clear(self, buffer: Buffer) -> None:
        """Forget what was found."""
        self.backend.encoder.write(buffer.id, 0, bytes(NBYTES))

    def restart(self) -> None:
        """Begin anew with another buffer: what this one holds is not known."""
        self.buffer = None
        self.asked = True

    def ask(self) -> int:
        """Put a read of the buffer into the packet and return its token; 0 if no run since the last may have
        written to it."""
        if self.asked:
            return 0
        assert self.buffer is not None
        backend = self.backend
        token: int = backend.next
        backend.next += 1
        backend.encoder.read(token, self.buffer.id, 0, NBYTES)
        self.asked = True
        return token

    def tell(self, data: Any) -> None:
        """Raise OutOfRangeError for an index that was found out of range, ArgumentError for a number."""
        words = memoryview(data).cast("I")
        if not words[0]:
            return
        if self.buffer is not None:
            self.clear(self.buffer)
        site, line = self.sites[words[0] - 1]
        at = 1 + 2 * site.place
        index = words[at] | words[at + 1] << 32
        if site.signed and index >> (site.bits - 1):
            index -= 1 << site.bits
        p = site.params
        if "rule" in p:
            raise ArgumentError(p["message"] + (f", called at {where(line)}" if line else ""))
        text = complaint(index, p["size"], p["what"], p["dim"], p["name"])
        raise OutOfRangeError(text + (f", called at {where(line)}" if line else ""))


__all__ = ["Checks"]

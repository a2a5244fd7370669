"""Stores errors that kernels find (indices out of range, invalid numbers), reads them back, raises them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core.errors import ArgumentError
from tabgrad.core.graph import Line
from tabgrad.hosts.faults import where
from tabgrad.hosts.pool import Buffer
from tabgrad.lower.checks import NBYTES, Site
from tabgrad.ops.checked import complaint, failure

if TYPE_CHECKING:
    from tabgrad.hosts.device import DeviceBackend


class ErrorBuffer:
    """A buffer of errors (see `lower/checks.py`), and whether a read was requested since the last run."""

    def __init__(self, bit: int) -> None:
        self.bit = bit
        self.buffer: Buffer | None = None
        self.asked = True


class ErrorReports:
    """The errors that the kernels of one device report, and the numbers of the sites in the reports.

    A site is an op at a line of the program. A plan that serves several lines gets the numbers of their sites
    at each run.
    """

    def __init__(self, backend: DeviceBackend) -> None:
        self.backend = backend
        self.alone = ErrorBuffer(1)
        self.reads: dict[int, ErrorBuffer] = {}
        self.sites: list[tuple[Site, Line | None]] = []
        self.numbers: dict[Any, int] = {}

    def number(self, site: Site, line: Line | None) -> int:
        """Return the number of a site that was recorded at `line`; a new site gets the next number."""
        key = (site.key, line)
        found = self.numbers.get(key)
        if found is None:
            self.sites.append((site, line))
            found = self.numbers[key] = len(self.sites)
        return found

    def mine(self) -> ErrorBuffer:
        """Return the buffer in which the current thread's runs report errors."""
        return self.alone

    def met(self, carried: int) -> Iterable[ErrorBuffer]:
        """Return the error buffers to read with a value buffer that has these `carried` bits."""
        return (self.alone,)

    def waiting(self) -> bool:
        """Whether kernels may have reported errors that no read has brought back."""
        return any(not found.asked for found in self.met(-1))

    def carried(self, inputs: Sequence[Buffer], noting: bool) -> int:
        """Return the bits of the error buffers that concern the results of a run on `inputs`."""
        return 0

    def bound(self) -> int:
        """Return the id of the current error buffer, for a run that may write to it."""
        found = self.mine()
        found.asked = False
        if found.buffer is None:
            buffer = self.backend.pool.take(NBYTES)
            self.clear(buffer)
            found.buffer = buffer
        return found.buffer.id

    def clear(self, buffer: Buffer) -> None:
        """Erase the errors in a buffer."""
        self.backend.encoder.write(buffer.id, 0, bytes(NBYTES))

    def restart(self) -> None:
        """Use a new buffer, because the contents of this one are unknown."""
        self.alone.buffer, self.alone.asked = None, True

    def ask(self, carried: int = 0) -> list[int]:
        """Read the error buffers that runs may have written since the last read; return the tokens."""
        tokens = []
        backend = self.backend
        mine = self.mine()
        for found in self.met(carried):
            if found.asked or found.buffer is None:
                continue
            token: int = backend.next
            backend.next += 1
            backend.encoder.read(token, found.buffer.id, 0, NBYTES)
            self.reads[token] = found
            tokens.append(token)
            if found is mine:
                found.asked = True
        return tokens

    def give_up(self, tokens: Sequence[int]) -> None:
        """Cancel these reads; the next read requests the buffers again."""
        for token in tokens:
            found = self.reads.pop(token, None)
            if found is not None:
                found.asked = False

    def tell(self, tokens: Sequence[int], answers: Sequence[bytes]) -> None:
        """Raise the first error that was read: of an index, of a number that breaks a rule, or of a matrix.

        The next read raises the next error.
        """
        got = [
            (self.reads.pop(t), memoryview(a).cast("I"))
            for t, a in zip(tokens, answers, strict=True)
        ]
        errors = [(found, words) for found, words in got if words[0]]
        mine = self.mine()
        for found, words in got:
            if words[0]:
                found.asked = False
            elif found is not mine and self.told(found):
                found.asked = True
        if errors:
            found, words = errors[0]
            if found.buffer is not None and self.told(found):
                self.clear(found.buffer)
                found.asked = True
            self.complain(words)

    def told(self, found: ErrorBuffer) -> bool:
        """Whether an error that is raised now need not be raised again."""
        return True

    def complain(self, words: memoryview[int]) -> None:
        """Raise the error that is in a buffer."""
        site, line = self.sites[words[0] - 1]
        at = 1 + 2 * site.place
        index = words[at] | words[at + 1] << 32
        if site.signed and index >> (site.bits - 1):
            index -= 1 << site.bits
        p = site.params
        if "rule" in p:
            raise ArgumentError(p["message"] + (f", called at {where(line)}" if line else ""))
        text = complaint(index, p["size"], p["what"], p["dim"], p["name"])
        raise failure(p["what"])(text + (f", called at {where(line)}" if line else ""))


__all__ = ["ErrorBuffer", "ErrorReports"]

"""Indices out of range, and numbers that break a rule, as kernels find them: kept, brought back and told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core.errors import ArgumentError, OutOfRangeError
from tabgrad.hosts.faults import where
from tabgrad.hosts.pool import Buffer
from tabgrad.lower.checks import NBYTES, Site
from tabgrad.ops.checked import complaint

if TYPE_CHECKING:
    from tabgrad.hosts.device import DeviceBackend


class ErrorBuffer:
    """A buffer of errors, see `lower/checks.py`, and whether it was asked for since the last run."""

    def __init__(self, bit: int) -> None:
        self.bit = bit
        self.buffer: Buffer | None = None
        self.asked = True


class ErrorReports:
    """What the kernels of one device have found, and the sites that may stand there.

    A site is an op at a line of the program. A plan that serves several lines is given their
    numbers at each run.
    """

    def __init__(self, backend: DeviceBackend) -> None:
        self.backend = backend
        self.alone = ErrorBuffer(1)
        self.reads: dict[int, ErrorBuffer] = {}
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

    def mine(self) -> ErrorBuffer:
        """Return where runs of the current thread note what they find."""
        return self.alone

    def met(self, carried: int) -> Iterable[ErrorBuffer]:
        """Return what a read of a buffer that `carried` these bits has to ask for."""
        return (self.alone,)

    def carried(self, inputs: Sequence[Buffer], noting: bool) -> int:
        """Return the bits of those whose errors may be in what a run makes of `inputs`."""
        return 0

    def bound(self) -> int:
        """Return the buffer's id for a run that may write to it."""
        found = self.mine()
        found.asked = False
        if found.buffer is None:
            buffer = self.backend.pool.take(NBYTES)
            self.clear(buffer)
            found.buffer = buffer
        return found.buffer.id

    def clear(self, buffer: Buffer) -> None:
        """Forget what was found."""
        self.backend.encoder.write(buffer.id, 0, bytes(NBYTES))

    def restart(self) -> None:
        """Begin anew with another buffer: what this one holds is not known."""
        self.alone.buffer, self.alone.asked = None, True

    def ask(self, carried: int = 0) -> list[int]:
        """Put reads of what was found into the packet and return their tokens; none if no run since the last
        may have written to it."""
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
        """Ask again at the next read: nobody waits for these any more."""
        for token in tokens:
            found = self.reads.pop(token, None)
            if found is not None:
                found.asked = False

    def tell(self, tokens: Sequence[int], answers: Sequence[Any]) -> None:
        """Raise the first error of the answers: OutOfRangeError for an index, ArgumentError for a number.

        Those after it are told at the next read.
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
        """Whether an error that is raised now is done with."""
        return True

    def complain(self, words: Any) -> None:
        """Raise the error that stands in a buffer."""
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


__all__ = ["ErrorBuffer", "ErrorReports"]

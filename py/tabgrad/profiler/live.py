"""Memory by op and by line: what was allocated, by what, and what of it is still alive."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from tabgrad.hosts.faults import where


class Allocation:
    """Memory that an op's result takes: `born` and `freed` are times, `freed` is None while it is alive."""

    __slots__ = ("born", "device", "freed", "line", "nbytes", "op", "ref", "spec")

    def __init__(
        self, device: str, nbytes: int, op: str, spec: Any, line: Any, born: float
    ) -> None:
        self.device, self.nbytes, self.op, self.spec = device, nbytes, op, spec
        self.line, self.born = line, born
        self.freed: float | None = None
        self.ref: Any = None

    @property
    def place(self) -> str:
        """The line of the program, as file:line."""
        return "" if self.line is None else where(self.line)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what was allocated; () where it is not a tensor."""
        return () if self.spec is None else tuple(self.spec.shape)


class Held(NamedTuple):
    """Memory of one op at one line that is alive: how many allocations, and their bytes."""

    device: str
    op: str
    place: str
    shape: tuple[int, ...]
    allocations: int
    nbytes: int


class MemoryReport:
    """Allocations by op and line, the largest first; `rows` are Held, `nbytes` is their sum.

    For a difference `gone` has the bytes that were alive before and are not any more: a step that replaces
    parameters has about as many as new ones, one that leaks has fewer.
    """

    def __init__(self, title: str, allocations: Iterable[Allocation], gone: int = 0) -> None:
        self.title = title
        self.allocations = list(allocations)
        self.nbytes = sum(a.nbytes for a in self.allocations)
        self.gone = gone

    @property
    def rows(self) -> list[Held]:
        """The allocations of one device, op, line and shape together."""
        found: dict[Any, list[int]] = {}
        for a in self.allocations:
            found.setdefault((a.device, a.op, a.place, a.shape), []).append(a.nbytes)
        rows = [Held(d, op, at, s, len(n), sum(n)) for (d, op, at, s), n in found.items()]
        return sorted(rows, key=lambda row: (-row.nbytes, row.op, row.place))

    def by_line(self) -> dict[str, int]:
        """Return the bytes by line of the program."""
        found: dict[str, int] = {}
        for row in self.rows:
            found[row.place] = found.get(row.place, 0) + row.nbytes
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def table(self, row_limit: int = 30) -> str:
        """Return it as lines of text."""
        lines = [f"{self.title}: {sized(self.nbytes)} in {len(self.allocations)} allocations"]
        if self.gone:
            lines[0] += f"; {sized(self.gone)} that were there before are gone"
        for row in self.rows[:row_limit]:
            words = f"{row.op} {list(row.shape)}" + (
                f" x{row.allocations}" if row.allocations > 1 else ""
            )
            lines.append(f"{sized(row.nbytes):>12}  {row.device:<8}  {words:<32}  {row.place}")
        if len(self.rows) > row_limit:
            lines.append(f"{'':>12}  and {len(self.rows) - row_limit} more rows")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return f"<{self.title}: {self.nbytes} bytes in {len(self.allocations)} allocations>"

    def __len__(self) -> int:
        return len(self.allocations)


def memory_difference(before: MemoryReport, after: MemoryReport) -> MemoryReport:
    """Return what is alive in `after` and wasn't in `before`: two `memory_snapshot()` of one profile.

    What grows from step to step is a leak: take one snapshot after each of two steps, and look at what is new
    beside `gone`.

    >>> import tabgrad as tg
    >>> kept = []
    >>> with tg.profiler.profile(profile_memory=True) as prof:
    ...     a = prof.memory_snapshot()
    ...     kept.append(tg.arange(1000.0, device="cpu") * 2)
    ...     b = prof.memory_snapshot()
    >>> [(row.op, row.nbytes) for row in tg.profiler.memory_difference(a, b).rows]
    [('mul', 4000)]
    """
    for given in (before, after):
        if not isinstance(given, MemoryReport):
            raise TypeError(
                "memory_difference: expected two snapshots, as profile.memory_snapshot() returns them; got "
                f"{type(given).__name__}"
            )
    known = {id(a) for a in before.allocations}
    new = [a for a in after.allocations if id(a) not in known]
    still = {id(a) for a in after.allocations}
    gone = sum(a.nbytes for a in before.allocations if id(a) not in still)
    return MemoryReport("memory difference", new, gone)


def peaks(allocations: Iterable[Allocation]) -> dict[str, tuple[int, list[Allocation]]]:
    """Return for each device the most bytes that were alive at once, and what they were."""
    times: dict[str, list[tuple[float, int, Allocation]]] = {}
    for a in allocations:
        its = times.setdefault(a.device, [])
        its.append((a.born, 1, a))
        if a.freed is not None:
            its.append((a.freed, 0, a))
    found = {}
    for device, its in times.items():
        its.sort(key=lambda t: t[:2])
        now = top = at = 0
        for i, (_, born, a) in enumerate(its):
            now += a.nbytes if born else -a.nbytes
            if now > top:
                top, at = now, i
        alive = {id(a): a for _, born, a in its[: at + 1] if born}
        for _, born, a in its[: at + 1]:
            if not born:
                alive.pop(id(a), None)
        found[device] = top, list(alive.values())
    return found


def sized(nbytes: float) -> str:
    """Write a number of bytes.

    >>> sized(1536)
    '1.50 KiB'
    """
    for unit in ("B", "KiB", "MiB"):
        if abs(nbytes) < 1024:
            return f"{nbytes:.0f} B" if unit == "B" else f"{nbytes:.2f} {unit}"
        nbytes /= 1024
    return f"{nbytes:.2f} GiB"

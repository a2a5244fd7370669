"""The events of a profile by name, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from typing import Any

from tabgrad.profiler.events import Event
from tabgrad.profiler.live import sized


class Average:
    """All events of one name: how many, and their microseconds, with and without those inside them.

    Times of the device are those of kernels. The estimates `flops` and `nbytes` are sums; `flops` is None where
    nothing is known. PyTorch's older names `cuda_time_total` and so on are there too.
    """

    def __init__(self, key: str, shapes: Any = (), stack: tuple[str, ...] = ()) -> None:
        self.key = self.name = key
        self.input_shapes, self.stack = shapes, stack
        self.count = self.runs = self.recorded = 0
        self.cpu_time_total = self.self_cpu_time_total = 0.0
        self.device_time_total = self.self_device_time_total = 0.0
        self.cpu_memory_usage = self.self_cpu_memory_usage = 0
        self.device_memory_usage = self.self_device_memory_usage = 0
        self.flops: int | None = 0
        self.nbytes = 0
        self.device_flops: float | None = 0
        self.device_nbytes = 0.0

    def add(self, event: Event) -> None:
        """Count an event of the host."""
        self.count += 1
        self.recorded += event.device != "cpu"
        self.cpu_time_total += event.cpu_time_total
        self.self_cpu_time_total += event.self_cpu_time_total
        self.flops = None if self.flops is None or event.flops is None else self.flops + event.flops
        self.nbytes += event.nbytes

    def add_kernel(self, event: Event, share: float = 1.0) -> None:
        """Count a kernel, or this op's share of it."""
        self.runs += 1
        self.device_time_total += share * event.device_time_total
        self.self_device_time_total = self.device_time_total
        if self.device_flops is not None:
            known = event.flops
            self.device_flops = None if known is None else self.device_flops + share * known
        self.device_nbytes += share * event.nbytes

    def add_memory(self, device: str, nbytes: int) -> None:
        """Count the bytes of an allocation."""
        if device == "cpu":
            self.cpu_memory_usage += nbytes
            self.self_cpu_memory_usage += nbytes
        else:
            self.device_memory_usage += nbytes
            self.self_device_memory_usage += nbytes

    @property
    def cpu_time(self) -> float:
        """The mean of the host's microseconds."""
        return self.cpu_time_total / max(self.count, 1)

    @property
    def device_time(self) -> float:
        """The mean of the device's microseconds."""
        return self.device_time_total / max(self.runs, 1)

    @property
    def flops_per_second(self) -> float | None:
        """The achieved rate; None where the arithmetic, or the time, is not known."""
        return _rate(self, self.device_flops, self.flops)

    @property
    def bytes_per_second(self) -> float | None:
        """The achieved rate of memory traffic, by its estimate."""
        return _rate(self, self.device_nbytes, self.nbytes)

    @property
    def cuda_time_total(self) -> float:
        """PyTorch's older name of `device_time_total`."""
        return self.device_time_total

    @property
    def self_cuda_time_total(self) -> float:
        """PyTorch's older name of `self_device_time_total`."""
        return self.self_device_time_total

    @property
    def cuda_time(self) -> float:
        """PyTorch's older name of `device_time`."""
        return self.device_time

    @property
    def cuda_memory_usage(self) -> int:
        """PyTorch's older name of `device_memory_usage`."""
        return self.device_memory_usage

    @property
    def self_cuda_memory_usage(self) -> int:
        """PyTorch's older name of `self_device_memory_usage`."""
        return self.self_device_memory_usage

    def __repr__(self) -> str:
        times = f"{self.cpu_time_total:.1f} us, device {self.device_time_total:.1f} us"
        return f"<{self.key}: {self.count} calls, {times}>"


def _rate(row: Average, device: float | None, host: float | None) -> float | None:
    """Divide by the device's time; an op that a device only records has no rate of its own."""
    amount, time = (device, row.device_time_total) if row.runs else (host, row.cpu_time_total)
    if row.recorded and (not row.runs or row.recorded < row.count):
        return None
    return 1e6 * amount / time if amount and time else None


ROWS = 30
"""So many rows are shown in notebooks."""


class Averages(list[Average]):
    """The events of a profile by name; `table` writes them."""

    notes: tuple[str, ...] = ()
    with_memory = with_flops = with_shapes = with_stack = False

    def table(
        self, sort_by: str | None = None, row_limit: int = 100, max_src_column_width: int = 75,
        header: str | None = None, top_level_events_only: bool = False, max_name_column_width: int = 55,
        max_shapes_column_width: int = 80, **kwargs: Any,
    ) -> str:  # fmt: skip
        """Return the rows as lines of text, the largest of `sort_by` first.

        `sort_by` names an attribute of a row: `cpu_time_total`, `self_device_time_total`, `flops`, `count`.
        Raises ValueError for any other name.
        """
        rows = self._sorted(sort_by)
        shown = rows if row_limit < 0 else rows[:row_limit]
        columns = self._columns(
            max_src_column_width, max_name_column_width, max_shapes_column_width
        )
        cells = [[title for title, _, _ in columns]]
        cells += [[write(row) for _, _, write in columns] for row in shown]
        widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
        lines = [header] if header else []
        for line in cells:
            parts = [
                text.ljust(w) if left else text.rjust(w)
                for text, w, (_, left, _) in zip(line, widths, columns, strict=True)
            ]
            lines.append("  ".join(parts).rstrip())
        return "\n".join([*lines, *self._footer(rows)])

    def _sorted(self, by: str | None) -> list[Average]:
        rows = list(self)
        if by is None or not rows:
            return rows
        if not hasattr(rows[0], by):
            raise ValueError(
                f"table: rows have no {by!r}; there are cpu_time_total, self_cpu_time_total, "
                "device_time_total, self_device_time_total, cpu_memory_usage, device_memory_usage, flops, "
                "nbytes and count"
            )
        if not isinstance(getattr(rows[0], by), int | float | None):
            raise ValueError(f"table: rows can't be sorted by {by!r}")
        return sorted(rows, key=lambda row: getattr(row, by) or 0.0, reverse=True)

    def _repr_html_(self) -> str:
        """Return the table as HTML, the slowest rows first; it scrolls where it is too wide."""
        rows = self._sorted("self_device_time_total")
        rows.sort(
            key=lambda row: row.self_cpu_time_total + row.self_device_time_total, reverse=True
        )
        columns = self._columns(75, 55, 80)
        style = "padding:1px 8px;white-space:nowrap;text-align"
        head = "".join(
            f'<th style="{style}:{"left" if left else "right"}">{escape(title)}</th>'
            for title, left, _ in columns
        )
        body = "".join(
            "<tr>"
            + "".join(
                f'<td style="{style}:{"left" if left else "right"}">{escape(write(row))}</td>'
                for _, left, write in columns
            )
            + "</tr>"
            for row in rows[:ROWS]
        )
        more = (f"and {len(rows) - ROWS} more rows",) if len(rows) > ROWS else ()
        foot = "".join(f"<div>{escape(line)}</div>" for line in (*more, *self._footer(rows)))
        return (
            f'<div style="overflow:auto"><table style="border-collapse:collapse"><tr>{head}</tr>{body}</table>'
            f"{foot}</div>"
        )

    @property
    def self_cpu_time_total(self) -> float:
        """The microseconds of the host in all."""
        return sum(row.self_cpu_time_total for row in self)

    def _columns(
        self, source: int, name: int, shapes: int
    ) -> list[tuple[str, bool, Callable[[Average], str]]]:
        cpu = sum(row.self_cpu_time_total for row in self)
        device = sum(row.self_device_time_total for row in self)
        out: list[tuple[str, bool, Callable[[Average], str]]] = [
            ("Name", True, lambda r: _cut(r.key, name)),
        ]
        host: list[tuple[str, bool, Callable[[Average], str]]] = [
            ("Self CPU %", False, lambda r: _percent(r.self_cpu_time_total, cpu)),
            ("Self CPU", False, lambda r: _time(r.self_cpu_time_total)),
            ("CPU total", False, lambda r: _time(r.cpu_time_total)),
            ("CPU avg", False, lambda r: _time(r.cpu_time)),
        ]
        called = any(row.count for row in self)
        out += host if called or not self else []
        if device:
            out += [
                ("Self device", False, lambda r: _time(r.self_device_time_total)),
                ("Self device %", False, lambda r: _percent(r.self_device_time_total, device)),
            ]
        if self.with_memory:
            out += [
                ("CPU mem", False, lambda r: sized(r.cpu_memory_usage)),
                ("Device mem", False, lambda r: sized(r.device_memory_usage)),
            ]
        if called:
            out.append(("Calls", False, lambda r: str(r.count)))
        if any(row.runs for row in self):
            out.append(("Kernels", False, lambda r: str(r.runs)))
        if self.with_flops:
            out += [
                ("est. FLOP", False, lambda r: _count(r.device_flops if r.runs else r.flops)),
                ("GFLOP/s", False, lambda r: _giga(r.flops_per_second)),
                ("GB/s", False, lambda r: _giga(r.bytes_per_second)),
            ]
        if self.with_shapes:
            out.append(("Input shapes", True, lambda r: _cut(_shapes(r.input_shapes), shapes)))
        if self.with_stack:
            out.append(("Source", True, lambda r: " < ".join(_end(s, source) for s in r.stack)))
        return out

    def _footer(self, rows: list[Average]) -> list[str]:
        lines = []
        if not rows or any(r.count for r in rows):
            lines.append(f"Self CPU time total: {_time(sum(r.self_cpu_time_total for r in rows))}")
        device = sum(r.self_device_time_total for r in rows)
        if device:
            lines.append(f"Self device time total: {_time(device)}")
        return [*lines, *(f"Note: {text}" for text in self.notes)]

    def total_average(self) -> Average:
        """Return all rows as one."""
        whole = Average("Total")
        for row in self:
            whole.count += row.count
            whole.runs += row.runs
            whole.self_cpu_time_total += row.self_cpu_time_total
            whole.self_device_time_total += row.self_device_time_total
            whole.nbytes += row.nbytes
            whole.flops = (
                None if whole.flops is None or row.flops is None else whole.flops + row.flops
            )
        whole.cpu_time_total = whole.self_cpu_time_total
        whole.device_time_total = whole.self_device_time_total
        return whole

    def __str__(self) -> str:
        return self.table()


def averaged(events: Iterable[Event], by_shape: bool, by_stack: int, by_kernel: bool) -> Averages:
    """Group events by name, and by shapes and lines if asked; a kernel's time goes to the ops in it.

    With `by_kernel` only kernels are counted, each under its own name.
    """
    rows: dict[Any, Average] = {}

    def row(name: str, event: Event, shapes: Any) -> Average:
        stack = event.lines[:by_stack] if by_stack > 0 else ()
        key = (name, shapes if by_shape else None, stack)
        if key not in rows:
            rows[key] = Average(name, shapes if by_shape else (), stack)
        return rows[key]

    fused = whole = False
    for event in events:
        if event.kind != "kernel":
            if not by_kernel:
                row(event.name, event, event.shapes).add(event)
            continue
        whole = whole or event.whole
        if by_kernel:
            row(event.name, event, ()).add_kernel(event)
            continue
        fused = fused or len(event.shares) > 1
        for name, share in event.shares:
            row(name, event, ()).add_kernel(event, share)
    out = Averages(rows.values())
    if fused:
        out.notes += (
            "device time of a fused kernel is divided among its ops by their estimated work",
        )
    return out


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.2f}%" if whole else "-"


def _time(us: float) -> str:
    if us >= 1e6:
        return f"{us / 1e6:.3f}s"
    return f"{us / 1e3:.3f}ms" if us >= 1e3 else f"{us:.1f}us"


def _count(n: float | None) -> str:
    return "-" if n is None else f"{n:.3g}" if n else "0"


def _giga(rate: float | None) -> str:
    return "-" if rate is None else f"{rate / 1e9:.3g}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width or width < 4 else text[: width - 3] + "..."


def _end(text: str, width: int) -> str:
    return text if len(text) <= width or width < 4 else "..." + text[3 - width :]


def _shapes(shapes: Any) -> str:
    return str([list(s) for s in shapes]) if shapes else ""

"""Lines along an axis: what kernels that walk, sort or scan them have in common.

Lines are walked by one thread in order, or by workgroups whose order is fixed, so results never depend on
timing: reruns are bit-identical.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tabgrad.core.shape import without
from tabgrad.lower.dialect import BOOL
from tabgrad.lower.emit import Emitter, Scope
from tabgrad.lower.group import Limits
from tabgrad.lower.index import Expr, unflatten, var
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import TURNS, Kernel, grid_of
from tabgrad.lower.printer import KernelPrinter

LONG_SCAN = 128
"""On a GPU, a few lines longer than this are scanned by workgroups."""
LONG_SCAN_SOFTWARE = TURNS // 2
"""The same on a processor, which has few cores and reads everything twice for this: only what one thread
couldn't finish."""
FEW = 8192
"""Lines up to this many leave a GPU idle if each has only one thread."""


def line_count(n: Node) -> int:
    """Return how many lines there are: what a kernel with a thread for each line takes."""
    axis: Any = n.params["axis"]
    return math.prod(without(n.shape, (axis,)))


def extent(n: Node) -> tuple[int, int]:
    """Return how many lines `n` has along its axis, and their length."""
    axis: Any = n.params["axis"]
    length = n.shape[axis]
    return (n.spec.size // length if length else 0), length


def line_index(n: Node, count: int, at: Expr) -> tuple[Expr, ...]:
    """Return the index of element `at` of line `g`."""
    axis: Any = n.params["axis"]
    outer = unflatten(var("g", count), without(n.shape, (axis,)))
    return (*outer[:axis], at, *outer[axis:])


def walk(e: Emitter, n: Node, count: int) -> tuple[Expr, tuple[Expr, ...]]:
    """Open the loop along a line; return the step and the index of the element, from the end if reversed."""
    axis: Any = n.params["axis"]
    size = n.shape[axis]
    step = var("t", size)
    e.open(e.d.loop("t", "0u", f"{size}u", "1u"), "t")
    at = (size - 1) - step if n.params.get("reverse") else step
    return step, line_index(n, count, at)


def scans_apart(n: Node, limits: Limits) -> bool:
    """Whether lines are so long, and so few, that workgroups should share them."""
    rows, length = extent(n)
    if not rows * length:
        return False
    return length > LONG_SCAN_SOFTWARE if limits.software else rows <= FEW and length > LONG_SCAN


def emitter(printer: KernelPrinter, n: Node) -> Emitter:
    """Return an emitter for the kernels of `n`."""
    e = Emitter(printer.d, None, printer.stored, printer.places, printer.windows)
    e.members = {m.id for m in n.siblings}
    return e


@dataclass
class Lines:
    """What the kernels of one op share."""

    printer: KernelPrinter
    n: Node
    e: Emitter

    def index(self, at: Expr) -> tuple[Expr, ...]:
        """Return the index of element `at` of line `row`."""
        axis: Any = self.n.params["axis"]
        rows, _ = extent(self.n)
        outer = unflatten(var("row", rows), without(self.n.shape, (axis,)))
        return (*outer[:axis], at, *outer[axis:])

    def kind(self) -> str:
        """Return the compute type of the last operand."""
        return self.printer.d.compute_type(self.n.srcs[-1].spec.dtype)

    def zero(self) -> str:
        """Return the number 0 as an element of a scan; what has no numbers counts in words."""
        kind = self.kind()
        return self.printer.d.literal(0, kind) if kind != BOOL else "0u"

    def function(self, head: str, emit: Callable[[], str]) -> str:
        """Return a function whose body is what `emit` prints, and returns last."""
        e = self.e
        outside, e.scopes = e.scopes, [Scope("", set(), False)]
        last = emit()
        lines = [*e.scope.lines, *([last] if last else [])]
        e.scopes = outside
        return f"fn {head} {{\n" + "".join(f"  {line}\n" for line in lines) + "}\n"

    def kernel(self, source: str, groups: int, overrides: dict[str, float]) -> Kernel:
        """Return one dispatch."""
        return self.printer.package(
            None, self.e, source, grid_of(groups), tuple(overrides.items()), self.n
        )

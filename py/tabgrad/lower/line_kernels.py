"""Common parts of the kernels that walk, sort or scan lines along an axis.

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
from tabgrad.lower.emit import Emitter
from tabgrad.lower.index import Expr, unflatten, var
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import TURNS, Kernel, grid_of
from tabgrad.lower.limits import Limits
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.tokens import Size

LONG_SCAN = 128
"""On a GPU, a few lines longer than this are scanned by workgroups."""
LONG_SCAN_SOFTWARE = TURNS // 2
"""The same on a processor, which has few cores and reads everything twice for it: only lines that a thread
can't finish are shared."""
FEW = 8192
"""Up to this many lines leave a GPU idle if each has only one thread."""


def line_count(n: Node) -> int:
    """Count the lines, and so the threads of a kernel with one thread for each line."""
    axis: Any = n.params["axis"]
    return math.prod(without(n.shape, (axis,)))


def extent(n: Node) -> tuple[int, int]:
    """Count the lines of `n` along its axis, and their length."""
    axis: Any = n.params["axis"]
    length = n.shape[axis]
    return (n.spec.size // length if length else 0), length


def line_index(n: Node, at: Expr, line: str = "g") -> tuple[Expr, ...]:
    """Make the index of element `at` of the line whose number is the variable `line`."""
    axis: Any = n.params["axis"]
    outer = unflatten(var(line, line_count(n)), without(n.shape, (axis,)))
    return (*outer[:axis], at, *outer[axis:])


def size_functions(**sizes: int) -> str:
    """Write the functions that give a kernel of `shaders/kernels` its sizes."""
    return "".join(
        f"fn {name}() -> u32 {{ return {Size(size)}; }}\n" for name, size in sizes.items()
    )


def walk(e: Emitter, n: Node) -> tuple[Expr, ...]:
    """Open the loop along a line; return the index of the element at step `t`, from the end if reversed."""
    axis: Any = n.params["axis"]
    size = n.shape[axis]
    e.open(e.d.loop("t", "0u", f"{Size(size)}", "1u"), "t")
    return line_index(n, step_of(n, "t", size))


def step_of(n: Node, name: str, size: int) -> Expr:
    """Make the index on a line at step `name`, counted from the end if the op is reversed."""
    return (size - 1) - var(name, size) if n.params.get("reverse") else var(name, size)


def scans_apart(n: Node, limits: Limits) -> bool:
    """Test whether lines are so long, and so few, that workgroups should share them."""
    rows, length = extent(n)
    if not rows * length:
        return False
    return length > LONG_SCAN_SOFTWARE if limits.software else rows <= FEW and length > LONG_SCAN


def emitter(printer: KernelPrinter, n: Node) -> Emitter:
    """Make an emitter for the kernels of `n`."""
    return Emitter(printer.d, n.siblings, printer.stored, printer.places, printer.windows)


@dataclass
class LineKernels:
    """The common parts of the kernels of one op."""

    printer: KernelPrinter
    n: Node
    e: Emitter

    def index(self, at: Expr) -> tuple[Expr, ...]:
        """Make the index of element `at` of line `row`."""
        return line_index(self.n, at, "row")

    def kind(self) -> str:
        """Find the compute type of the last operand."""
        return self.printer.d.compute_type(self.n.srcs[-1].spec.dtype)

    def stored(self) -> str:
        """Write that type in the kernel's language."""
        return self.printer.d.types[self.kind()]

    def zero(self) -> str:
        """Write 0 as an element of a scan, a word if the elements are bools."""
        kind = self.kind()
        return self.printer.d.literal(0, kind) if kind != BOOL else "0u"

    def function(self, head: str, emit: Callable[[], str]) -> str:
        """Write a function whose body `emit` prints; the text that `emit` gives is its last line."""
        return f"fn {head} {{\n{self.e.function(emit)}}}\n"

    def kernel(self, source: str, groups: int, overrides: dict[str, float]) -> Kernel:
        """Make one dispatch."""
        self.e.count = groups
        return self.printer.package(self.e, source, grid_of(groups), tuple(overrides.items()))

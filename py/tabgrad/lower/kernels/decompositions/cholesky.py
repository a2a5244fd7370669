"""cholesky: small matrices in one dispatch, large ones by panels, each subtracted from what is behind it."""

from __future__ import annotations

import math

from tabgrad.core import dtype as dt
from tabgrad.lower.emit import Emitter, Index
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.kernels.decompositions.steps import FEW, NB, Steps, without_templates
from tabgrad.lower.matrices import Matrices, power_of_two
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.record import Record, Scratch, register

ROWS = {False: 96, True: 56}
"""The rows of a panel that a workgroup works on: those of the diagonal, and others below; of complex ones
fewer fit into its memory."""


def _passes(printer: KernelPrinter, n: Node, scratch: Scratch) -> list[Kernel]:
    """Make the dispatches of a factorization."""
    steps = Steps(printer, n, scratch)
    (a,) = n.srcs
    size = a.shape[-1]
    low, info = steps.result(0, size, size, steps.dtype), steps.result(1, 1, 1, dt.int32)
    if not size:
        steps.fill(lambda e, index: e.d.literal(0, "i32"), info)
        return steps.made
    if size <= NB:
        panel(steps, a, low, info, 0)
        return steps.made
    rest = steps.scratch(size, size, steps.dtype)
    steps.copy(a, rest)
    for at in range(0, size, NB):
        end = min(at + NB, size)
        panel(steps, rest, low, info, at)
        if end < size:
            new = low.part(end, size, at, end)
            steps.multiply(rest.below(end, end), new, new.mH, subtract=True)
    _finish(steps, low, info)
    return steps.made


def panel(steps: Steps, a: Node | Matrices, low: Matrices, info: Matrices, at: int) -> None:
    """Add the dispatch that factors the columns from `at` on; they are all columns of an operand."""
    size = low.rows
    width = min(size - at, NB)
    step = steps.dispatch()
    small = isinstance(a, Node)
    nb = power_of_two(size, 4) if small else NB
    rows, many = (nb, 1) if small else (ROWS[steps.dtype.is_complex], 1)
    lanes = FEW if steps.software else rows
    if small:
        many = steps.many(lanes, nb, steps.words(64) // nb)
    parts = max(1, math.ceil((size - at - width) / (rows - nb))) if not small else 1
    step.sizes(count=steps.batch, tiles=parts, height=size - at, width=width, first=at)
    if isinstance(a, Node):
        step.operand("a", a)
    else:
        step.matrices("a", a.below(at, at))
    step.matrices("l", low.below(at, at), "w")
    step.matrices("info", info, "w")
    each = 4 if steps.software else 1
    dims = {"NB": nb, "ROWS": rows, "MANY": many, "LANES": lanes, "EACH": each}
    steps.add(step.kernel("cholesky", math.ceil(steps.batch / many) * parts, dims, steps.dtype))


def _finish(steps: Steps, low: Matrices, info: Matrices) -> None:
    """Add the dispatch that writes zeros above the diagonal, and nan all over a matrix that failed."""

    def value(e: Emitter, index: Index) -> str:
        b, i, j = index
        d, kind = e.d, e.d.compute_type(steps.dtype)
        failed = f"({info.load(e, (b, b * 0, b * 0))} != 0)"
        found = d.choose(f"{e.at(j)} <= {e.at(i)}", low.load(e, index), d.literal(0, kind))
        return d.choose(failed, d.literal(math.nan, kind), found)

    steps.fill(value, low)


register(Record(op="cholesky", passes=_passes, refusal=without_templates))

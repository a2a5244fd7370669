"""triangular_solve: small matrices in one dispatch, large ones by blocks of rows, one after the other."""

from __future__ import annotations

import math

from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.kernels.decompositions.steps import FEW, NB, Steps, without_templates
from tabgrad.lower.matrices import Matrices, power_of_two, stored
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.record import Record, Scratch, register


def _passes(printer: KernelPrinter, n: Node, scratch: Scratch) -> list[Kernel]:
    """Make the dispatches of a solve; an upper triangle is a lower one from the last row to the first."""
    steps = Steps(printer, n, scratch)
    a, b = n.srcs
    size, width = b.shape[-2:]
    x = steps.result(0, size, width, steps.dtype)
    matrix = steps.source(a)
    right = stored(printer, b)
    if right is None or size > NB:
        steps.copy(b, x)
        right = x
    if n.params["upper"]:
        matrix, right, x = matrix.flipped.mT.flipped.mT, right.flipped, x.flipped
    solve(steps, matrix, right, x, unit=bool(n.params["unit"]))
    return steps.made


def solve(steps: Steps, a: Matrices, b: Matrices, x: Matrices, unit: bool) -> None:
    """Add the dispatches that find x, with a x = b; where there are several, x must hold b already."""
    size = a.rows
    for at in range(0, size, NB):
        end = min(at + NB, size)
        block = x.part(at, end, 0, x.columns)
        right = b.part(at, end, 0, x.columns)
        solve_block(steps, a.part(at, end, at, end), right, block, unit)
        if end < size:
            rest = x.part(end, size, 0, x.columns)
            steps.multiply(rest, a.part(end, size, at, end), block, subtract=True)


def solve_block(steps: Steps, a: Matrices, b: Matrices, x: Matrices, unit: bool) -> None:
    """Add the dispatch for a matrix of at most NB rows."""
    step = steps.dispatch()
    nb = power_of_two(a.rows, 4)
    columns = min(power_of_two(x.columns, 1), 32)
    lanes = min(columns, FEW if steps.software else 8)
    down = FEW // lanes if steps.software else nb
    many = steps.many(down * lanes, nb, steps.words(4096) // (nb * (nb + columns)))
    parts = math.ceil(x.columns / columns)
    step.sizes(count=steps.batch, tiles=parts, height=a.rows, width=x.columns, unit=int(unit))
    step.matrices("a", a)
    step.matrices("b", b)
    step.matrices("x", x, "w")
    dims = {"NB": nb, "COLUMNS": columns, "LANES": lanes, "DOWN": down, "MANY": many}
    steps.add(step.kernel("triangular", math.ceil(steps.batch / many) * parts, dims, steps.dtype))


register(Record(op="triangular_solve", passes=_passes, refusal=without_templates))

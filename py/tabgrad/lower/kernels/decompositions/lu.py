"""lu: small matrices in one dispatch, large ones by panels; and the permutation that pivots stand for."""

from __future__ import annotations

import math
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.lower.dialect import U32
from tabgrad.lower.emit import Emitter
from tabgrad.lower.index import unflatten, var
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.kernels.decompositions.steps import NB, Steps, without_templates
from tabgrad.lower.kernels.decompositions.triangular import solve_block
from tabgrad.lower.matrices import Matrices, power_of_two
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.record import Record, Scratch, register
from tabgrad.lower.tokens import Size

HELD = 96
"""The rows of a panel that fit into workgroup memory; half as many complex ones."""
LANES = 256
"""The threads of a panel that does not fit."""


def _passes(printer: KernelPrinter, n: Node, scratch: Scratch) -> list[Kernel]:
    """Make the dispatches of a factorization."""
    steps = Steps(printer, n, scratch)
    (a,) = n.srcs
    rows, columns = a.shape[-2:]
    k = min(rows, columns)
    packed = steps.result(0, rows, columns, steps.dtype)
    pivots, info = steps.result(1, k, 1, dt.int32), steps.result(2, 1, 1, dt.int32)
    if not k:
        steps.fill(lambda e, index: e.d.literal(0, "i32"), info)
        return steps.made
    if max(rows, columns) <= NB:
        small(steps, a, packed, pivots, info)
        return steps.made
    steps.copy(a, packed)
    at = 0
    while at < k:
        end = min(at + panel_width(rows - at), k)
        _panel(steps, packed.part(at, rows, at, end), pivots.part(at, end, 0, 1), info, at)
        _swaps(steps, packed, pivots.part(at, end, 0, 1), at)
        if end < columns:
            right = packed.part(at, end, end, columns)
            solve_block(steps, packed.part(at, end, at, end), right, right, unit=True)
            if end < rows:
                left = packed.part(end, rows, at, end)
                steps.multiply(packed.below(end, end), left, right, subtract=True)
        at = end
    return steps.made


def panel_width(rows: int) -> int:
    """Choose the columns of a panel: fewer in one with so many rows that a thread could not finish it."""
    return NB if rows <= 12000 else 8 if rows <= 150000 else 1


def small(steps: Steps, a: Node, packed: Matrices, pivots: Matrices, info: Matrices) -> None:
    """Add the dispatch that factors matrices of at most NB rows and columns."""
    nb = power_of_two(max(packed.rows, packed.columns), 4)
    lanes = steps.lanes(nb)
    many = steps.many(lanes, nb, steps.words(4000) // (nb * (nb + 1)))
    step = steps.dispatch()
    step.operand("source", a)
    _add(steps, step, packed, pivots, info, 0, (nb, nb, many, lanes, 1))


def _panel(steps: Steps, a: Matrices, pivots: Matrices, info: Matrices, at: int) -> None:
    """Add the dispatch that factors a panel of a few columns."""
    most = steps.words(HELD)
    held = a.rows <= most
    step = steps.dispatch()
    if held:
        step.matrices("source", a)
    else:
        step.blocks["source"] = step.nothing("source", a.dtype)
    nb = power_of_two(a.columns, 1)
    lanes = steps.panel_lanes(128 if held else LANES, 6 * a.rows * nb)
    _add(steps, step, a, pivots, info, at, (nb, most, 1, lanes, int(held)))


def _add(
    steps: Steps, step: Any, a: Matrices, pivots: Matrices, info: Matrices, at: int,
    dims: tuple[int, ...],
) -> None:  # fmt: skip
    step.sizes(count=steps.batch, height=a.rows, width=a.columns, pivoted=pivots.rows, first=at)
    step.matrices("a", a, "w")
    step.matrices("pivots", pivots, "w")
    step.matrices("info", info, "w")
    names = dict(zip(("NB", "ROWS", "MANY", "LANES", "HELD"), dims, strict=True))
    # few lanes have whole rows, and take four products at once from them
    names |= {"ACROSS": 1, "WIDE": 4} if steps.software else {"ACROSS": names["NB"], "WIDE": 1}
    steps.add(step.kernel("lu", math.ceil(steps.batch / names["MANY"]), names, steps.dtype))


def _swaps(steps: Steps, a: Matrices, pivots: Matrices, at: int) -> None:
    """Add the dispatch that exchanges the rows of the columns outside of a panel."""
    if a.columns == pivots.rows:
        return
    step = steps.dispatch()
    step.sizes(count=steps.batch, width=a.columns, first=at, swapped=pivots.rows)
    step.matrices("a", a, "w")
    step.matrices("pivots", pivots)
    steps.add(step.kernel("swaps", steps.batch * math.ceil(a.columns / 64), elem=a.dtype))


def _permutation(e: Emitter, n: Node, count: int) -> None:
    """Follow a row back through the swaps, from the last to the first."""
    d = e.d
    (pivots,) = n.srcs
    size, rows = pivots.shape[-1], n.shape[-1]
    index = unflatten(var("g", count), n.shape)
    kind = d.compute_type(pivots.spec.dtype)
    e.line(d.var("row", U32, e.at(index[-1])))
    if size:
        e.open(d.loop("t", "0u", f"{Size(size)}", "1u"), "t")
        e.line(d.let("k", U32, f"{Size(size - 1)} - t"))
        value = e.value(pivots, (*index[:-1], (size - 1) - var("t", size)))
        inside = f"min(max({value}, {d.literal(1, kind)}), {d.literal(rows, kind)})"
        e.line(d.let("other", U32, f"{d.convert(inside, kind, U32)} - 1u"))
        e.line("if (row == k) { row = other; } else if (row == other) { row = k; }")
        e.close()
    e.store(n, index, d.convert("row", U32, d.compute_type(n.spec.dtype)))


register(
    Record(op="lu", passes=_passes, refusal=without_templates),
    Record(op="lu_permutation", threads=lambda n: n.spec.size, line=_permutation),
)

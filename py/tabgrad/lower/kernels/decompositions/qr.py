"""geqrf and qr: small matrices in one dispatch, large ones by panels; reflections are applied as products."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tabgrad.lower.emit import Emitter, Index
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.kernels.decompositions.rotations import straighten
from tabgrad.lower.kernels.decompositions.steps import FEW, NB, Steps, without_templates
from tabgrad.lower.matrices import Dispatch, Matrices, power_of_two
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.record import Record, Scratch, register

HELD = 72
"""The rows of a panel that fit into workgroup memory; half as many complex ones in a whole matrix."""
LANES = 256
"""The threads of a panel that does not fit."""
MANY = 256
"""Of more columns, what is rounded in all the reflections is taken out of q at last."""
NONE = "fn {}_store(b: u32, i: u32, j: u32, value: elem) {{}}\n"


@dataclass(frozen=True)
class Reflections:
    """The reflections of a panel that begins at row `at`: their product is 1 - v t vᴴ, and `vt` is v t."""

    at: int
    v: Matrices
    vt: Matrices


def _geqrf(printer: KernelPrinter, n: Node, scratch: Scratch) -> list[Kernel]:
    """Make the dispatches of a factorization that keeps its reflections."""
    steps = Steps(printer, n, scratch)
    (a,) = n.srcs
    rows, columns = a.shape[-2:]
    packed = steps.result(0, rows, columns, steps.dtype)
    tau = steps.result(1, min(rows, columns), 1, steps.dtype)
    if columns <= NB and rows <= steps.words(HELD):
        small(steps, a, tau, {"a": packed})
        return steps.made
    steps.copy(a, packed)
    reduce(steps, packed, tau)
    return steps.made


def _qr(printer: KernelPrinter, n: Node, scratch: Scratch) -> list[Kernel]:
    """Make the dispatches that find both factors."""
    steps = Steps(printer, n, scratch)
    (a,) = n.srcs
    rows, columns = a.shape[-2:]
    k = min(rows, columns)
    q, r = steps.result(0, rows, k, steps.dtype), steps.result(1, k, columns, steps.dtype)
    tau = steps.scratch(k, 1, steps.dtype)
    if columns <= NB and rows <= steps.words(HELD):
        small(steps, a, tau, {"q": q, "r": r})
        return steps.made
    work = steps.scratch(rows, columns, steps.dtype)
    steps.copy(a, work)
    found = reduce(steps, work, tau)
    upper(steps, work, r)
    orthogonal(steps, found, q)
    return steps.made


def panel_width(rows: int, most: int = NB) -> int:
    """Choose the columns of a panel: fewer in one with so many rows that a thread could not finish it."""
    return most if rows <= 7000 else 8 if rows <= 100000 else 1


def reduce(steps: Steps, a: Matrices, tau: Matrices) -> list[Reflections]:
    """Add the dispatches that turn `a` into its r and reflections, panel by panel."""
    k = tau.rows
    found = []
    products = steps.scratch(NB, a.columns, a.dtype)
    at = 0
    while at < k:
        end = min(at + panel_width(a.rows - at, steps.words(NB)), k)
        panel = a.part(at, a.rows, at, end)
        v, vt = (steps.scratch(panel.rows, panel.columns, a.dtype) for _ in range(2))
        t = steps.scratch(panel.columns, panel.columns, a.dtype)
        _panel(steps, panel, tau.part(at, end, 0, 1), v, t)
        steps.multiply(vt, v, t)
        found.append(Reflections(at, v, vt))
        if end < a.columns:
            rest = a.below(at, end)
            part = products.part(0, end - at, 0, rest.columns)
            steps.multiply(part, vt.mH, rest)
            steps.multiply(rest, v, part, subtract=True)
        at = end
    return found


def orthogonal(steps: Steps, found: list[Reflections], q: Matrices) -> None:
    """Add the dispatches that write the first columns of the product of reflections."""
    near = q if q.columns <= MANY else steps.scratch(q.rows, q.columns, q.dtype)
    steps.identity(near)
    products = steps.scratch(NB, q.columns, q.dtype)
    for one in reversed(found):
        rest = near.below(one.at, one.at)
        part = products.part(0, one.v.columns, 0, rest.columns)
        steps.multiply(part, one.v.mH, rest)
        steps.multiply(rest, one.vt, part, subtract=True)
    if near is not q:
        straighten(steps, near, q)


def upper(steps: Steps, a: Matrices, r: Matrices) -> None:
    """Add the dispatch that copies r, without the reflections below it."""

    def value(e: Emitter, index: Index) -> str:
        _, i, j = index
        zero = e.d.literal(0, e.d.compute_type(r.dtype))
        return e.d.choose(f"{e.at(i)} <= {e.at(j)}", a.load(e, index), zero)

    steps.fill(value, r)


def small(steps: Steps, a: Node | Matrices, tau: Matrices, out: dict[str, Matrices]) -> None:
    """Add the dispatch for matrices that fit into workgroup memory, and write what is wanted of them."""
    rows, columns = a.shape[-2:] if isinstance(a, Node) else (a.rows, a.columns)
    nb = power_of_two(columns, 4)
    height = power_of_two(rows, nb) if rows <= NB else steps.words(HELD)
    lanes = steps.lanes(nb)
    many = steps.many(lanes, nb, steps.words(2400) // (height * (nb + 1)))
    step = steps.dispatch()
    if isinstance(a, Node):
        step.operand("source", a)
    else:
        step.matrices("source", a)
    form = int("q" in out)
    if form:
        step.blocks["a"] = step.nothing("a", steps.dtype) + NONE.format("a")
    else:
        step.matrices("a", out["a"], "w")
    more = "".join(map(NONE.format, "vt" if form else "vtqr"))
    for name in "qr" if form else "":
        more += step.access(name, out[name], "w")
    step.blocks["more"] = more
    _add(steps, step, (rows, columns), tau, (nb, height, many, lanes, 1, 0, form))


def _panel(steps: Steps, a: Matrices, tau: Matrices, v: Matrices, t: Matrices) -> None:
    """Add the dispatch that reduces a panel."""
    held = a.rows <= HELD
    step = steps.dispatch()
    step.matrices("a", a, "w")
    if held:
        step.matrices("source", a)
    else:
        step.blocks["source"] = step.nothing("source", a.dtype)
    step.blocks["more"] = (
        step.access("v", v, "w") + step.access("t", t, "w") + "".join(map(NONE.format, "qr"))
    )
    nb = power_of_two(a.columns, 1)
    lanes = steps.panel_lanes(128 if held else LANES, 26 * a.rows * nb)
    dims = (nb, HELD, 1, lanes, int(held), 1, 0)
    _add(steps, step, (a.rows, a.columns), tau, dims)


def _add(
    steps: Steps, step: Dispatch, size: tuple[int, int], tau: Matrices, dims: tuple[int, ...]
) -> None:
    rows, columns = size
    step.sizes(count=steps.batch, height=rows, width=columns, reflected=tau.rows)
    step.matrices("tau", tau, "w")
    keys = ("NB", "ROWS", "MANY", "LANES", "HELD", "BLOCK", "FORM")
    names = dict(zip(keys, dims, strict=True))
    names["ACROSS"] = min(names["NB"], FEW) if steps.software else names["NB"]
    steps.add(step.kernel("reflections", math.ceil(steps.batch / names["MANY"]), names, tau.dtype))


register(
    Record(op="geqrf", passes=_geqrf, refusal=without_templates),
    Record(op="qr", passes=_qr, refusal=without_templates),
)

"""eigh: small matrices are turned in one dispatch, large ones by pairs of blocks, until they are diagonal."""

from __future__ import annotations

from dataclasses import replace

from tabgrad.core import dtype as dt
from tabgrad.lower.emit import Emitter, Index
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.kernels.decompositions.rotations import Sweeps, order, straighten
from tabgrad.lower.kernels.decompositions.steps import Steps, without_templates
from tabgrad.lower.matrices import value_of
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.record import Record, Scratch, register


def _passes(printer: KernelPrinter, n: Node, scratch: Scratch) -> list[Kernel]:
    """Make the dispatches that find eigenvalues and vectors."""
    steps = Steps(printer, n, scratch)
    (a,) = n.srcs
    size = a.shape[-1]
    out = steps.result(0, size, 1), steps.result(1, size, size, steps.dtype)
    sweeps = Sweeps(steps, size)
    if size <= sweeps.shape.n:
        values, failed = steps.scratch(size, 1), steps.scratch(1, 1, dt.int32)
        steps.fill(lambda e, index: e.d.literal(0, "i32"), failed)
        sweeps.whole(a, values, failed)
        width = sweeps.shape.n
        vectors = replace(sweeps.q, rows=size, columns=size, step=width * width, down=width)
        order(steps, values, vectors, failed, out, signed=True)
        return steps.made
    s, vectors, whole, straight = (steps.scratch(size, size, steps.dtype) for _ in range(4))

    def mirrored(e: Emitter, index: Index) -> str:
        b, i, j = index
        low, high = value_of(e, a, (b, i, j)), value_of(e, a, (b, j, i))
        if steps.dtype.is_complex:
            high = f"conj_c64({high})"
            low = e.d.choose(f"{e.at(j)} == {e.at(i)}", f"vec2f(({low}).x, 0.0f)", low)
        return e.d.choose(f"{e.at(j)} <= {e.at(i)}", low, high)

    steps.fill(mirrored, s, whole)
    steps.identity(vectors)
    failed = sweeps.run(vectors, s, size)
    values = steps.scratch(size, 1)
    straighten(steps, vectors, straight)
    # what was rounded in many turns is left out: the values are vᴴ a v again
    steps.multiply(s, whole, straight)
    steps.reduce(values, straight, s)
    order(steps, values, straight, failed, out, signed=True)
    return steps.made


register(Record(op="eigh", passes=_passes, refusal=without_templates))

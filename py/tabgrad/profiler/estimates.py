"""Estimates of the arithmetic and of the memory traffic of ops.

They say what the mathematics of an op asks for, not what a device does: a product of (n, k) and (k, m) takes
2 n k m operations, an element-wise op and a reduction one for each element, a view none. Counts for
decompositions are those of Golub and Van Loan, Matrix Computations (4th ed., 2013), for square factors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core.op import USER_KERNEL, Op
from tabgrad.core.spec import Spec

CUBES: dict[str, float] = {
    "cholesky": 1 / 3, "lu": 2 / 3, "ldl": 1 / 3, "geqrf": 4 / 3, "qr": 8 / 3, "eigh": 9.0, "svd": 21.0,
    "eig": 25.0,
}  # fmt: skip
"""What a decomposition takes, in cubes of its rows."""
MOVES = frozenset(("cat", "gather", "scatter", "copy", "barrier", "counting", "stop_gradient",
                   "as_real", "as_complex", "lu_permutation"))  # fmt: skip
"""Ops without arithmetic."""


def flops(op: Op, operands: Sequence[Spec], out: Spec) -> int | None:
    """Estimate the arithmetic operations of one application; None where nothing is known.

    >>> import tabgrad as tg
    >>> from tabgrad.core.op import REGISTRY
    >>> x, y = tg.ones(8, 4, device="cpu"), tg.ones(4, 2, device="cpu")
    >>> flops(REGISTRY["matmul"], (x.spec, y.spec), (x @ y).spec)
    128
    """
    if op.family == "composed":
        return _steps(op, operands)
    if op.lowering == USER_KERNEL or op.name == "loop":
        return None
    whole, _, part = op.name.partition(".")
    if part not in ("", "0"):
        return 0
    if op.family == "view" or whole in MOVES or not operands:
        return 0
    if op.family == "bilinear":
        return 2 * op.cost(out, operands)
    if whole in CUBES:
        *batch, rows, columns = operands[0].shape
        small, large = sorted((rows, columns))
        return round(math.prod(batch) * CUBES[whole] * small * small * large)
    rule = _RULES.get(whole)
    return op.cost(out, operands) if rule is None else round(rule(operands, out))


def _steps(op: Any, operands: Sequence[Spec]) -> int | None:
    """Add up the steps of what a function composes."""
    specs, total = [*operands], 0
    for step, _, sources, spec in op.steps:
        one = flops(step, [specs[s] for s in sources], spec)
        if one is None:
            return None
        specs.append(spec)
        total += one
    return total


def _attention(operands: Sequence[Spec], out: Spec) -> float:
    """Two products, and a softmax of five operations for each weight."""
    *batch, rows, width = operands[0].shape
    columns = operands[1].shape[-2]
    weights = math.prod(batch) * rows * columns
    return weights * (2 * width + 2 * out.shape[-1] + 5)


def _attention_gradient(operands: Sequence[Spec], out: Spec) -> float:
    """Nine products, for the scores are computed three times, and as many softmaxes."""
    _, q, _, v, *_ = operands
    *batch, rows, depth = q.shape
    columns, width = v.shape[-2:]
    return math.prod(batch) * rows * columns * (10 * depth + 8 * width + 15)


def _solve(operands: Sequence[Spec], out: Spec) -> float:
    return out.size * operands[0].shape[-1]


def _sort(operands: Sequence[Spec], out: Spec) -> float:
    return out.size * math.log2(max(out.shape[-1] if out.shape else 1, 2))


def _fourier(operands: Sequence[Spec], out: Spec) -> float:
    lines = max(out.size, operands[0].size)
    length = max([s.shape[-1] for s in (*operands, out) if s.shape], default=1)
    return 5 * lines * math.log2(max(length, 2))


_RULES: dict[str, Callable[[Sequence[Spec], Spec], float]] = {
    "attention": _attention, "attention_gradient": _attention_gradient,
    "triangular_solve": _solve, "ldl_solve": _solve, "argsort": _sort,
    "fft": _fourier, "rfft": _fourier, "irfft": _fourier,
}  # fmt: skip


def nbytes(spec: Spec) -> int:
    """Return the bytes of a dense tensor of this spec."""
    return spec.size * spec.dtype.itemsize


def traffic(op: Op, operands: Sequence[Spec], out: Spec) -> int:
    """Estimate the bytes that an op reads and writes where it runs by itself; a view moves none."""
    if op.family == "view":
        return 0
    return sum(map(nbytes, operands)) + nbytes(out)


def of_kernel(raw: Sequence[Any], origins: Sequence[int], turns: int) -> tuple[int | None, int]:
    """Estimate the operations and the bytes of a kernel that computes the nodes `origins` of a plan.

    What one node hands to another inside the kernel moves no memory. One of several kernels for the same nodes
    takes its share.
    """
    inside = {k for k in origins if k >= 0 and _computes(raw[k])}
    total: int | None = 0
    read: dict[int, int] = {}
    handed: set[int] = set()
    for k in inside:
        op, _, sources, spec = raw[k]
        found = flops(op, [raw[s][3] for s in sources], spec)
        total = None if total is None or found is None else total + found
        for s in sources:
            base, size = _under(raw, s)
            if base in inside:
                handed.add(base)
            elif raw[base][0] is None or raw[base][2]:
                read[base] = max(read.get(base, 0), size)
    written = sum(nbytes(raw[k][3]) for k in inside - handed)
    return None if total is None else total // turns, (sum(read.values()) + written) // turns


def _computes(node: Any) -> bool:
    return node[0] is not None and node[0].family not in ("view", "constant")


def _under(raw: Sequence[Any], k: int) -> tuple[int, int]:
    """Return the node below the views at node `k`, and the bytes that are read of it."""
    size = nbytes(raw[k][3])
    while raw[k][0] is not None and raw[k][0].family == "view" and raw[k][2]:
        k = raw[k][2][0]
        size = min(size, nbytes(raw[k][3]))
    return k, size

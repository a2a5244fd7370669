"""Rotations: the sweeps of Jacobi's methods, in which pairs of blocks of columns are turned at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tabgrad.core import dtype as dt
from tabgrad.lower.emit import Emitter, Index
from tabgrad.lower.ir import Node
from tabgrad.lower.kernels.decompositions.steps import NB, Steps
from tabgrad.lower.matrices import Dispatch, Matrices, power_of_two

SWEEPS = {8: 12, 20: 16}
"""The most sweeps over all pairs of so many blocks; half are enough for most matrices."""
MORE_SWEEPS = 24
"""The same of more blocks, which need them where many eigenvalues are equal."""
INSIDE = 3
"""The most sweeps inside of two blocks."""
FEW, MANY_INSIDE = 6, 12
"""The same of a single pair, whose products are computed anew for each sweep."""
PART = 128
"""The rows that are added up at once where columns are nearly orthonormal, so that less is rounded."""
NO_BEFORE = "fn before_load(b: u32, i: u32, j: u32) -> i32 { return 1i; }\n"


@dataclass(frozen=True)
class Sizes:
    """How matrices share workgroups: N rows in each, by `lanes` threads, `many` at once."""

    n: int
    lanes: int
    many: int

    @property
    def dims(self) -> dict[str, int]:
        """The constants of the kernels."""
        return {"N": self.n, "LANES": self.lanes, "MANY": self.many}


def sizes_of(steps: Steps, size: int) -> Sizes:
    """Choose how matrices of `size` rows share workgroups; blocks of complex ones are half as wide."""
    n = min(power_of_two(size, 4), steps.words(NB))
    # twelve sweeps of fewer threads would take more turns of loops than TURNS
    lanes = 8 if steps.software and n == NB else steps.lanes(n)
    # three matrices of each lie in the 16 KiB of a workgroup
    return Sizes(n, lanes, steps.many(lanes, n, steps.words(1200) // (n * (n + 1))))


class Sweeps:
    """The sweeps over `size` columns: of Hermitian matrices, or of the products of the columns of `x`.

    `failed` says where a large element was left at the end.
    """

    def __init__(self, steps: Steps, size: int) -> None:
        self.steps, self.size = steps, size
        self.shape = sizes_of(steps, size)
        half = self.shape.n // 2
        self.blocks = 2 * math.ceil(size / self.shape.n) if size > self.shape.n else 2
        self.pairs = self.blocks // 2
        assert self.blocks * half >= size
        self.q = steps.scratch(self.pairs * self.shape.n, self.shape.n, steps.dtype)

    def whole(self, source: Node, values: Matrices, failed: Matrices) -> None:
        """Add the dispatch that turns small matrices all the way."""
        step = self.steps.dispatch()
        step.operand("source", source)
        step.matrices("values", values, "w")
        step.matrices("flags", failed, "w")
        step.blocks["before"] = NO_BEFORE
        self._jacobi(step, (0, 0, 0), {"GRAM": 0, "SWEEPS": 15, "WHOLE": 1}, 0)

    def run(self, x: Matrices, s: Matrices | None, height: int) -> Matrices:
        """Add the sweeps of columns of `x`, by `s`, or by the products of the first `height` rows of `x`.

        Return where a large element was left.
        """
        steps = self.steps
        most, inside = FEW, MANY_INSIDE
        if self.blocks > 2:
            enough = (most for blocks, most in SWEEPS.items() if self.blocks <= blocks)
            most, inside = next(enough, MORE_SWEEPS), INSIDE
        # two buffers: what a kernel writes to can't tell its workgroups to leave
        flags = [steps.scratch(most // 2, 1, dt.int32) for _ in range(2)]
        steps.fill(lambda e, index: e.d.literal(0, "i32"), *flags)
        for sweep in range(most):
            row, last = sweep // 2, max(sweep - 1, 0) // 2
            now, before = flags[sweep % 2], flags[1 - sweep % 2]
            now, before = now.part(row, row + 1, 0, 1), before.part(last, last + 1, 0, 1)
            for turn in range(self.blocks - 1):
                step = steps.dispatch()
                step.matrices("source", x if s is None else s)
                step.matrices("flags", now, "w")
                step.blocks["values"] = "fn values_store(b: u32, i: u32, j: u32, value: f32) {}\n"
                step.matrices("before", before)
                dims = {"GRAM": int(s is None), "SWEEPS": inside, "WHOLE": 0}
                place = turn, int(sweep > 0), int(sweep == most - 1)
                self._jacobi(step, place, dims, height)
                self._rotate(x, s, before, int(sweep > 0), turn)
        return flags[1].part(most // 2 - 1, most // 2, 0, 1)

    def _jacobi(
        self, step: Dispatch, place: tuple[int, int, int], dims: dict[str, int], height: int
    ) -> None:
        turn, later, last = place
        n = self.shape.n
        q = Matrices(self.q.slot, n, n, 0, n * n, n, dtype=self.q.dtype)
        step.sizes(
            count=self.steps.batch, extent=self.size, height=height, blocks=self.blocks,
            round=turn, later=later, last=last,
        )  # fmt: skip
        step.matrices("q", q, "w")
        groups = math.ceil(self.steps.batch / self.shape.many) * self.pairs
        made = step.kernel("jacobi", groups, {**self.shape.dims, **dims}, self.steps.dtype)
        self.steps.add(made)

    def _rotate(
        self, x: Matrices, s: Matrices | None, before: Matrices, later: int, turn: int
    ) -> None:
        n, step = self.shape.n, self.steps.dispatch()
        step.sizes(
            count=self.steps.batch, extent=self.size, height=x.rows, blocks=self.blocks,
            round=turn, both=int(s is not None), later=later,
        )  # fmt: skip
        step.matrices("q", Matrices(self.q.slot, n, n, 0, n * n, n, dtype=self.q.dtype))
        step.matrices("x", x, "w")
        if s is None:
            step.blocks["s"] = (
                step.nothing("s", x.dtype) + "fn s_store(b: u32, i: u32, j: u32, value: elem) {}\n"
            )
        else:
            step.matrices("s", s, "w")
        step.matrices("before", before)
        each = (math.ceil(x.rows / n) + (self.pairs if s is not None else 0)) * self.pairs
        groups = math.ceil(self.steps.batch / self.shape.many) * each
        self.steps.add(step.kernel("rotate", groups, self.shape.dims, x.dtype))


def straighten(steps: Steps, v: Matrices, out: Matrices) -> None:
    """Add the dispatches that make nearly orthonormal columns as orthonormal as they can be."""
    askew = steps.scratch(v.columns, v.columns, v.dtype)
    steps.multiply(askew, v.mH, v, most=PART)

    def half(e: Emitter, index: Index) -> str:
        _, i, j = index
        one, zero = (e.d.literal(x, e.d.compute_type(v.dtype)) for x in (1, 0))
        unit = e.d.choose(f"{e.at(i)} == {e.at(j)}", one, zero)
        return f"0.5f * ({askew.load(e, index)} - {unit})"

    steps.fill(half, askew)
    # few digits of the product are wanted: what it is subtracted from is not rounded on the way
    steps.fill(lambda e, index: v.load(e, index), out)
    steps.multiply(out, v, askew, subtract=True)


def order(
    steps: Steps, values: Matrices, x: Matrices, failed: Matrices, out: tuple[Matrices, Matrices],
    descending: bool = False, signed: bool = False,
) -> None:  # fmt: skip
    """Add the dispatch that sorts values, and columns of `x` with them."""
    step = steps.dispatch()
    step.sizes(count=steps.batch, width=x.columns, height=x.rows)
    for name, m in (("values", values), ("x", x), ("failed", failed)):
        step.matrices(name, m)
    for name, m in zip(("sorted", "out"), out, strict=True):
        step.matrices(name, m, "w")
    dims = {"DESCENDING": int(descending), "SIGNED": int(signed)}
    steps.add(step.kernel("order", math.ceil(steps.batch * x.columns / 64), dims, x.dtype))


__all__ = ["Sweeps", "order", "straighten"]

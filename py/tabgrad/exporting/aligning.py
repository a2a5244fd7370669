"""Which step of one trace is which of another, and what the numbers in them have in common.

A view that changes nothing may be left out when an op is called: `table[:n]` is a slice at some sizes and none
where `n` is all there is. Traces have none that change nothing. The trace with the most steps is the model;
where another lacks a view, it has one there that changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tabgrad.core.errors import ExportError
from tabgrad.core.shape import Shape
from tabgrad.exporting.formulas import Formula, Sizes, fitted
from tabgrad.exporting.tracing import VIEWS, Sample


class Alignment:
    """How trace `other` is an instance of trace `model`: the parameters of each step of the model in it, and
    what it captured in the place of each tensor that the model captured.

    Raises ExportError where it is none.
    """

    def __init__(self, model: Sample, other: Sample) -> None:
        self.model, self.other = model, other
        self.sizes = other.sizes
        self.same: dict[int, int] = {}
        self.kept: dict[int, int] = {}
        self.params: list[Any] = []
        mine, theirs = model.program, other.program
        self.same.update(zip(mine.inputs, theirs.inputs, strict=True))
        missing: list[tuple[int, int]] = []
        at = 0
        for k, (op, _, refs, out, _) in enumerate(mine.steps):
            step = theirs.steps[at] if at < len(theirs.steps) else None
            if step is not None and step[0] is op and self.match(refs, step[2]):
                self.params.append(dict(step[1]))
                self.same[out] = step[3]
                at += 1
            elif op.name in VIEWS:
                self.kept[out] = refs[0]
                self.params.append({})
                missing.append((k, refs[0]))
            else:
                raise self.error(op.name)
        whole = at == len(theirs.steps) and model.out_structure == other.out_structure
        written = [id(x) for x in model.written] == [id(x) for x in other.written]
        if not (whole and written and self.match(mine.outputs, theirs.outputs)):
            raise self.error("what it returns")
        for k, ref in missing:
            self.params[k] = VIEWS[mine.steps[k][0].name](self.shape(ref))
        self.captured = [self.find(~k) for k in range(len(mine.captured))]

    def root(self, ref: int) -> int:
        """Return what a value of the model is where the other left out a view."""
        while ref in self.kept:
            ref = self.kept[ref]
        return ref

    def match(self, refs: Sequence[int], others: Sequence[int]) -> bool:
        """Whether values of the model are these of the other; what is captured is when it is first met."""
        if len(refs) != len(others):
            return False
        met: dict[int, int] = {}
        for r, other in zip(map(self.root, refs), others, strict=True):
            found = self.same.get(r)
            if found is None and r < 0 and other < 0:
                found = met.setdefault(r, other)
            if found != other:
                return False
        self.same.update(met)
        return True

    def shape(self, ref: int) -> Shape:
        """Return the shape that a value of the model has in the other."""
        there = self.same[self.root(ref)]
        program = self.other.program
        return (program.captured[~there].spec if there < 0 else program.specs[there]).shape

    def find(self, ref: int) -> Any:
        """Return the tensor that the other captured in the place of one of the model, None if it has no use."""
        there = self.same.get(ref)
        return None if there is None else self.other.program.captured[~there]

    def error(self, where: str) -> ExportError:
        """Return the error that says that the traces differ."""
        return ExportError(
            f"export: the function does other ops at sizes {self.other.sizes} than at {self.model.sizes}; "
            f"the first to differ is {where}. It must not decide by an unknown size or loop over it: bound the "
            "size with Dim(name, min=, max=), make it known, or write the function without the decision"
        )


def aligned(samples: Sequence[Sample]) -> tuple[Sample, list[Alignment]]:
    """Return the trace with the most steps, and how each trace is an instance of it."""
    model = max(samples, key=lambda s: len(s.program.steps))
    return model, [Alignment(model, s) for s in samples]


class Common:
    """Values that traces have in common: where their numbers differ, formulas of the sizes.

    A quotient that is met becomes a size of its own, by the text of its formula, and may be a part of others:
    after a stride of 2 all is made of `(n + 1) // 2`.
    """

    def __init__(self, alignments: Sequence[Alignment]) -> None:
        self.alignments = alignments
        self.sizes: list[Sizes] = [dict(a.sizes) for a in alignments]
        self.derived: dict[str, Formula] = {}

    def params(self, k: int, name: str) -> dict[str, Any]:
        """Return the parameters of step `k`, an op called `name`."""
        each = [a.params[k] for a in self.alignments]
        return {key: self.value([p[key] for p in each], f"{key} of {name}") for key in each[0]}

    def value(self, values: Sequence[Any], what: str, tolerance: float = 1e-12) -> Any:
        """Return what all `values` are, each at the sizes of its trace."""
        first = values[0]
        if isinstance(first, tuple):
            if any(len(v) != len(first) for v in values):
                raise ExportError(f"export: {what} has a length that depends on an unknown size")
            return tuple([self.value(each, what, tolerance) for each in zip(*values, strict=True)])
        nan = first != first
        if all((v == first or (nan and v != v)) and type(v) is type(first) for v in values):
            return first
        if isinstance(first, bool) or not isinstance(first, int | float):
            raise ExportError(
                f"export: {what} is {first!r} at some sizes and something else at others"
            )
        found = self.formula(values, tolerance)
        if found is None:
            pairs = ", ".join(f"{v} at {s}" for v, s in zip(values[:4], self.sizes, strict=False))
            raise ExportError(
                f"export: {what} is {pairs}, ... which no formula of the sizes gives; make a size known, or "
                "write it as a sum, product or quotient of sizes"
            )
        return found

    def formula(self, values: Sequence[Any], tolerance: float) -> Formula | None:
        """Return a formula of the sizes and of the quotients met so far."""
        found = fitted(values, self.sizes, tolerance)
        if found is None and all(isinstance(v, int) for v in values):
            step = math.gcd(*values)
            if step > 1 and self.formula([v // step for v in values], tolerance) is not None:
                found = fitted(values, self.sizes)
        if found is not None and found.divides:
            self.derived[str(found)] = found
            for sizes in self.sizes:
                sizes[str(found)] = int(found(sizes))
        return found

"""Matches the steps of several traces, and finds formulas for the numbers that differ.

A view that changes nothing may be left out when an op is called: `table[:n]` is a slice at some sizes, and
nothing if `n` is the whole size. Traces contain no view that changes nothing. The trace with the most steps is
the model; if another trace lacks one of its views, a view that changes nothing is assumed there.
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
    """How trace `other` is an instance of trace `model`.

    `params` are the parameters that `other` has for each step of the model, `captured` the tensors that it
    captured for each captured tensor of the model. The constructor raises ExportError if it is no instance.
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
        """Skip the model's views, from a value on, that the other trace left out."""
        while ref in self.kept:
            ref = self.kept[ref]
        return ref

    def match(self, refs: Sequence[int], others: Sequence[int]) -> bool:
        """Whether values of the model match these of the other trace; captured tensors match at first use."""
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
        """Return the shape that a value of the model has in the other trace."""
        there = self.same[self.root(ref)]
        program = self.other.program
        return (program.captured[~there].spec if there < 0 else program.specs[there]).shape

    def find(self, ref: int) -> Any:
        """Return the other trace's tensor for a captured one of the model; None if it uses none."""
        there = self.same.get(ref)
        return None if there is None else self.other.program.captured[~there]

    def error(self, where: str) -> ExportError:
        """Make the error that says that the traces differ."""
        return ExportError(
            f"export: the function does other ops at sizes {self.other.sizes} than at {self.model.sizes}; "
            f"the first to differ is {where}. It must not decide by an unknown size or loop over it: bound the "
            "size with Dim(name, min=, max=), make it known, or write the function without the decision"
        )


def aligned(samples: Sequence[Sample]) -> tuple[Sample, list[Alignment]]:
    """Return the trace with the most steps, and the alignment of each trace with it."""
    model = max(samples, key=lambda s: len(s.program.steps))
    return model, [Alignment(model, s) for s in samples]


class Common:
    """Finds the common form of values of all traces; numbers that differ become formulas of the sizes.

    A quotient that is found becomes a derived size, named by its formula, and may be part of later formulas:
    after a stride of 2, sizes depend on `(n + 1) // 2`.
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
        """Return the common form of `values`, each of which belongs to the sizes of its trace."""
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
        """Find a formula of the sizes and of the derived sizes so far."""
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

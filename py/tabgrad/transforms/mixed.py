"""Jacobians in the cheapest order: forward, reverse, or both, meeting where the computation is narrow."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tabgrad.core import tree
from tabgrad.core.op import REGISTRY
from tabgrad.core.spec import Spec
from tabgrad.core.trace import Box, zeros_like
from tabgrad.transforms.functional import (
    Argnums,
    Linearized,
    check_differentiable,
    partial,
    positions,
    tensors_in,
)  # fmt: skip
from tabgrad.transforms.jacobian import basis, chunks, joined, reshaped, rows
from tabgrad.transforms.linear import Linear
from tabgrad.transforms.vmap import Batch

MODES = ("auto", "forward", "reverse", "mixed")


class JacobianPlan(NamedTuple):
    """The chosen order for a Jacobian, and the cost of each order in multiply-adds.

    `waist` is the number of elements of the tensor in the middle that "mixed" meets at, 0 where the
    computation has none that is narrower than its inputs and outputs.
    """

    mode: str
    inputs: int
    outputs: int
    waist: int
    costs: dict[str, int]

    def __str__(self) -> str:
        lines = [f"{self.mode}: {self.inputs} inputs, {self.outputs} outputs"]
        if self.waist:
            lines[0] += f", {self.waist} elements at the narrowest place between them"
        for mode, cost in sorted(self.costs.items(), key=lambda item: item[1]):
            passes = {
                "forward": f"{self.inputs} forward passes",
                "reverse": f"{self.outputs} reverse passes",
                "mixed": f"{min(self.waist, self.inputs)} passes to the middle, "
                f"{min(self.waist, self.outputs)} from it, and a product of two matrices",
            }[mode]
            lines.append(f"  {mode}: about {cost} multiply-adds: {passes}")
        return "\n".join(lines)


class LinearizedProgram:
    """The linear program of a function at a point, and its narrowest place."""

    def __init__(self, at: Linearized) -> None:
        self.at = at
        self.trace: Linear = at.trace
        self.outs = [t for t in at.tangents if t is not None and t.owner is at.trace]
        self.used = self._used()
        self.inputs = sum(x.spec.size for x in at.inputs)
        self.outputs = sum(y.spec.size for y in at.outputs)
        self.waist, self.middle = self._narrowest()

    def _used(self) -> list[bool]:
        """Mark the steps that lead to an output."""
        used = [False] * len(self.trace.steps)
        for t in self.outs:
            used[t.value] = True
        for i in range(len(used) - 1, -1, -1):
            step = self.trace.steps[i]
            if used[i] and step is not None:
                for a in step[2]:
                    if a.owner is self.trace:
                        used[a.value] = True
        return used

    def _narrowest(self) -> tuple[int, int]:
        """Find the size and number of the smallest tracer that everything goes through; (0, -1) for none."""
        last: dict[int, int] = {}
        for i, step in enumerate(self.trace.steps):
            if self.used[i] and step is not None:
                for a in step[2]:
                    if a.owner is self.trace:
                        last[a.value] = i
        for t in self.outs:
            last[t.value] = len(self.trace.steps)
        alive: set[int] = set()
        best = (0, -1)
        bound = min(self.inputs, self.outputs)
        pending = sum(self.used[t.value] for t in self.at.tracers)
        for i, step in enumerate(self.trace.steps):
            if not self.used[i]:
                continue
            pending -= step is None
            alive = {k for k in alive if last[k] > i} | {i}
            if (
                step is not None
                and alive == {i}
                and not pending
                and last[i] < len(self.trace.steps)
            ):
                size = self._specs(step)[0].size
                if size < bound and (best[1] < 0 or size < best[0]):
                    best = (size, i)
        return best

    @staticmethod
    def _specs(step: Any) -> tuple[Spec, list[Spec]]:
        """Give the Specs of a step's result and operands."""
        op, params, args = step
        specs = [a.spec for a in args]
        return op.infer(tuple(specs), params), specs

    def cost(self, start: int, stop: int) -> int:
        """Estimate the cost of one pass through steps start:stop."""
        return sum(
            step[0].cost(*self._specs(step))
            for i, step in enumerate(self.trace.steps[start:stop], start)
            if step is not None and self.used[i]
        )

    def plan(self, mode: str) -> JacobianPlan:
        """Plan the order `mode`, or the cheapest one for "auto"."""
        whole = self.cost(0, len(self.trace.steps)) + 1
        costs = {"forward": self.inputs * whole, "reverse": self.outputs * whole}
        if self.middle >= 0:
            before = min(self.inputs, self.waist) * self.cost(0, self.middle + 1)
            after = min(self.outputs, self.waist) * self.cost(
                self.middle + 1, len(self.trace.steps)
            )
            costs["mixed"] = before + after + self.inputs * self.waist * self.outputs
        if mode == "auto":
            # reverse mode wins a tie: it does not run the zero tangents of other inputs
            mode = min(costs, key=lambda m: (costs[m], m != "reverse"))
        elif mode == "mixed" and "mixed" not in costs:
            mode = min(("forward", "reverse"), key=costs.__getitem__)
        return JacobianPlan(mode, self.inputs, self.outputs, self.waist, costs)


def _push(
    trace: Linear, sources: list[Any], targets: list[Any], like: list[Any], chunk: int | None
) -> list[list[Any]]:
    """Push the basis of `sources` forward to each target: (elements of the sources, target...)."""
    parts: list[list[Any]] = [[] for _ in targets]
    for start, stop in chunks(sum(x.spec.size for x in sources), chunk):
        level = Batch(stop - start, "same")
        with level.inside():
            tangents = [level.lift(block, 0) for block in basis(sources, start, stop)]
            found = trace.replay(sources, tangents, targets)
            found = [zeros_like(y) if t is None else t for t, y in zip(found, like, strict=True)]
        for part, t in zip(parts, found, strict=True):
            part.append(level.lower(t, 0))
    return parts


def _pull(
    trace: Linear, sources: list[Any], targets: list[Any], chunk: int | None
) -> list[list[Any]]:
    """Pull the basis of the targets back to each source: (elements of the targets, source...)."""
    parts: list[list[Any]] = [[] for _ in sources]
    for start, stop in chunks(sum(y.spec.size for y in targets), chunk):
        level = Batch(stop - start, "same")
        with level.inside():
            cts = [level.lift(block, 0) for block in basis(targets, start, stop)]
            found = trace.transpose(sources, targets, cts)
            found = [zeros_like(x) if g is None else g for g, x in zip(found, sources, strict=True)]
        for part, g in zip(parts, found, strict=True):
            part.append(level.lower(g, 0))
    return parts


class _Matrices:
    """The Jacobian of each output by each input as a matrix, (output elements, input elements)."""

    def __init__(self, program: LinearizedProgram, plan: JacobianPlan, chunk: int | None) -> None:
        self.program = program
        self.chunk = chunk
        self.trace = program.trace
        self.tracers = program.at.tracers
        self.targets = [
            zeros_like(y) if t is None else t
            for y, t in zip(program.at.outputs, program.at.tangents, strict=True)
        ]
        self.blocks = getattr(self, plan.mode)()

    def forward(self) -> list[list[Any]]:
        """Compute the matrices by one pass for each input element."""
        return self._columns(self.tracers, self.targets)

    def _columns(self, sources: list[Any], targets: list[Any]) -> list[list[Any]]:
        found = []
        for parts, y in zip(
            _push(self.trace, sources, targets, targets, self.chunk), targets, strict=True
        ):
            matrix = _transposed(
                reshaped(
                    joined(parts),
                    (-1 if not y.spec.size else sum(x.spec.size for x in sources), y.spec.size),
                )
            )
            found.append(_split(matrix, [x.spec.size for x in sources]))
        return found

    def reverse(self) -> list[list[Any]]:
        """Compute the matrices by one pass for each output element."""
        return self._rows(self.tracers, self.targets)

    def _rows(self, sources: list[Any], targets: list[Any]) -> list[list[Any]]:
        total = sum(y.spec.size for y in targets)
        whole = [
            reshaped(joined(parts), (total, x.spec.size))
            for parts, x in zip(
                _pull(self.trace, sources, targets, self.chunk), sources, strict=True
            )
        ]
        found = []
        start = 0
        for y in targets:
            found.append([rows(m, start, start + y.spec.size) for m in whole])
            start += y.spec.size
        return found

    def mixed(self) -> list[list[Any]]:
        """Multiply the Jacobian of the part behind the middle tensor with that of the part before it."""
        middle = self.trace.at(self.program.middle)
        waist = self.program.waist
        before = self._rows if waist <= self.program.inputs else self._columns
        after = self._columns if waist <= self.program.outputs else self._rows
        (left,) = before(self.tracers, [middle])
        right = [line[0] for line in after([middle], self.targets)]
        matmul = REGISTRY["matmul"].bind
        return [[matmul(r, m) for m in left] for r in right]


def _transposed(x: Box) -> Any:
    return REGISTRY["permute"].bind(x, dims=(1, 0))


def _split(matrix: Any, sizes: list[int]) -> list[Any]:
    if len(sizes) == 1:
        return [matrix]
    found = []
    start = 0
    m = matrix.spec.shape[0]
    for n in sizes:
        found.append(
            REGISTRY["slice"].bind(matrix, starts=(0, start), stops=(m, start + n), steps=(1, 1))
        )
        start += n
    return found


def jacobian(
    func: Callable[..., Any], argnums: Argnums = 0, *, mode: str = "auto", has_aux: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., Any]:  # fmt: skip
    """Make a function that computes the Jacobian of `func` in the order that costs least.

    `mode` is "auto", "forward", "reverse", or "mixed": where all of the computation goes through one tensor
    smaller than inputs and outputs, derivatives are taken to it and from it, and multiplied. The function
    runs once; the cost of each order is counted from its derivative. `.explain(*args)` of the result says
    which is chosen and why. Results have the shapes of those of `jacrev`.

    >>> import tabgrad as tg
    >>> jacobian = tg.func.jacobian(lambda x: x.sum() * tg.ones(4))
    >>> jacobian(tg.ones(4)).shape
    tabgrad.Size([4, 4])
    >>> jacobian.explain(tg.ones(4)).mode
    'mixed'
    """
    if mode not in MODES:
        raise ValueError(f"jacobian: mode is one of {', '.join(MODES)}, not {mode!r}")

    def linearized(args: Sequence[Any], kwargs: dict[str, Any]) -> Linearized:
        at = positions("jacobian", argnums, args)
        primals = tuple(args[i] for i in at)
        check_differentiable("jacobian", tensors_in("jacobian", "the inputs", primals)[0])
        return Linearized("jacobian", partial(func, at, args, kwargs), primals, has_aux)

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        at = linearized(args, kwargs)
        program = LinearizedProgram(at)
        blocks = _Matrices(program, program.plan(mode), chunk_size).blocks
        single = isinstance(argnums, int)
        outer = []
        for y, line in zip(at.outputs, blocks, strict=True):
            shaped = [
                reshaped(m, (*y.spec.shape, *x.spec.shape))
                for m, x in zip(line, at.inputs, strict=True)
            ]
            inner = tree.unflatten(at.in_structure, shaped)
            outer.append(inner[0] if single else inner)
        found = tree.unflatten(at.out_structure, outer)
        return (found, at.aux) if has_aux else found

    call.explain = lambda *args, **kwargs: LinearizedProgram(linearized(args, kwargs)).plan(mode)  # type: ignore[attr-defined]
    return call

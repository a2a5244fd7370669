"""Implicit differentiation: solutions of equations, whatever found them.

Where F(x, p) = 0 defines x, dx = -(∂F/∂x)⁻¹ ∂F/∂p dp: the derivative asks for one linear solve and knows
nothing of how x was found. Linear solves have their own rules, so derivatives of any order hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core.errors import TransformError
from tabgrad.core.op import REGISTRY
from tabgrad.core.trace import Box, Mode, constant, using, zeros_like
from tabgrad.transforms.branches import program_of, reading
from tabgrad.transforms.calls import Call, apply, lift_outputs, lower_all, lowered_call
from tabgrad.transforms.control import floats, pulled, pushed
from tabgrad.transforms.custom import batch_parts, snapshot, tied, wants
from tabgrad.transforms.node import Node, notes_of
from tabgrad.transforms.program import Program
from tabgrad.transforms.tape import record_call
from tabgrad.transforms.vmap import Batch

Solver = Callable[[Callable[[list[Any]], list[Any]], list[Any]], list[Any]]
"""Finds leaves x with fn(x) = 0, or matvec(x) = b: (function of leaves, start or b) -> leaves."""


class ConvergenceError(TransformError):
    """A solver stopped before it had reached its tolerance."""


def minus(x: Any) -> Any:
    """Return -x, None staying None."""
    return None if x is None else REGISTRY["neg"].bind(x)


def added(x: Any, y: Any) -> Any:
    """Return x + y."""
    return REGISTRY["add"].bind(x, y)


class Solved(Call):
    """A call that the tape keeps with its solution. Arguments: `size` leaves, captured by `program`."""

    program: Program
    size: int

    def parts(self, args: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Return the right-hand side or start, and what the program captured."""
        return list(args[: self.size]), list(args[self.size :])

    def plain(self, args: list[Any]) -> list[Any]:
        """Return outputs of the right shapes."""
        return self.parts(args)[0]

    def at_autograd(self, level: Any, args: list[Any], mode: Mode) -> list[Any]:
        """Solve below, and record the call here."""
        outs = lowered_call(self, level, lower_all(level, args), mode)
        return (
            self.recorded(args, lift_outputs(level, outs), level)
            if wants(args, level, mode)
            else outs
        )

    def recorded(self, args: list[Any], outs: list[Any], owner: Any) -> list[Any]:
        """Return the outputs tied to the tape."""
        outs = [snapshot(y, owner) for y in outs]
        record_call(
            self,
            args,
            outs,
            owner,
            ([snapshot(a, owner) for a in args], [snapshot(y, owner) for y in outs]),
        )
        return outs


class SolveCall(Solved):
    """The solution of a linear equation: x with A(x) = b. Arguments: b, captured by A.

    `program` is A on leaves; `solver(matvec, b)` finds x at the base.
    """

    name = "linear_solve"
    node_name = "LinearSolveBackward"

    def __init__(self, program: Program, size: int, solver: Solver) -> None:
        self.program, self.size, self.solver = program, size, solver

    def at_base(self, args: list[Any], mode: Mode) -> list[Any]:
        """Solve, and record the call."""
        b, captured = self.parts(args)
        reading(self.name)
        recording = wants(args, None, mode)
        with using(mode.replace(grad=False)):
            outs = self.solver(lambda x: self.program.run(x, captured), b)
        return self.recorded(args, outs, None) if recording else outs

    def apply(
        self, node: Node, cts: list[Any], needs: Any, lowered: bool, graph: bool
    ) -> list[Any]:
        """One solve with the transpose of A."""
        saved, solved = node.kept
        args = tied(saved, node, graph)
        xs = [snapshot(x, node.owner) for x in solved]
        if graph and not lowered:
            for x, port in zip(xs, notes_of(node)["outputs"], strict=True):
                x.node, x.tracked = port(), port() is not None
        if lowered:
            args = [a.value if isinstance(a, Box) else a for a in args]
            xs = [x.value for x in xs]
        b, captured = self.parts(args)
        given = [zeros_like(x) if ct is None else ct for x, ct in zip(b, cts, strict=True)]

        def transposed(w: list[Any]) -> list[Any]:
            grads = pulled(lambda x: self.program.run(x, captured), list(b), w)
            return [zeros_like(x) if g is None else g for x, g in zip(b, grads, strict=True)]

        w = solve_flat(transposed, given, self.solver)
        wanted = [bool(n) and f for n, f in zip(needs[self.size :], floats(captured), strict=True)]
        if not any(wanted):
            return [*w, *[None] * len(captured)]
        found = pulled(lambda v: self.program.run(xs, v), captured, w)
        return [*w, *[minus(g) if n else None for g, n in zip(found, wanted, strict=True)]]

    def at_forward(self, level: Any, args: list[Any], mode: Mode) -> list[Any]:
        """A dx = db - dA x."""
        parts = [level.parts(a) for a in args]
        primals, tangents = [p for p, _ in parts], [t for _, t in parts]
        outs = lowered_call(self, level, primals, mode)
        with using(level.below(mode)):
            b, captured = self.parts(primals)
            db, dv = self.parts(tangents)
            right = [zeros_like(x) if t is None else t for x, t in zip(b, db, strict=True)]
            if any(t is not None for t in dv):
                _, moved = pushed(lambda v: self.program.run(outs, v), captured, dv)
                right = [added(r, minus(m)) for r, m in zip(right, moved, strict=True)]
            ts = lowered_solve(self, right, captured)
        return [level.lift(y, t) for y, t in zip(outs, ts, strict=True)]

    def at_batch(self, level: Batch, args: list[Any], mode: Mode) -> list[Any]:
        """One solve of the block-diagonal system of all elements."""
        low, dims = batch_parts(level, args)
        with using(level.below(mode)):
            _, captured = self.parts(low)
            _, their = self.parts(dims)
            b = [level.lower(a, 0) for a in self.parts(args)[0]]
            matvec = batched(level, self.program, captured, their)
            outs = solve_flat(matvec, b, self.solver)
        return [level.lift(y, 0) for y in outs]


def lowered_solve(call: SolveCall, b: list[Any], captured: list[Any]) -> list[Any]:
    """Apply the solve of `call` to another right-hand side."""
    return apply(call, [*b, *captured])


def batched(
    level: Batch, program: Program, captured: list[Any], dims: list[Any]
) -> Callable[[list[Any]], list[Any]]:
    """Return the function of leaves with a batch axis in front that applies `program` to each element."""

    def run(x: list[Any]) -> list[Any]:
        inner = Batch(level.size, level.randomness)
        with inner.inside():
            outs = program.run(
                [inner.lift(v, 0) for v in x],
                [v if d is None else inner.lift(v, d) for v, d in zip(captured, dims, strict=True)],
            )
        return [inner.lower(y, 0) for y in outs]

    return run


def solve_flat(matvec: Callable[[list[Any]], list[Any]], b: list[Any], solver: Solver) -> list[Any]:
    """Trace the linear function `matvec` of leaves, and solve matvec(x) = b."""
    program = program_of("linear_solve", matvec, b)
    return apply(SolveCall(program, len(b), solver), [*b, *program.captured])


class RootCall(Solved):
    """A solution of F(x) = 0 found by `solver` from a start. Arguments: the start, captured by F.

    The solution does not depend on the start, only on what F captured; `linear` solves for derivatives.
    """

    name = "root"
    node_name = "RootBackward"

    def __init__(self, program: Program, size: int, solver: Solver, linear: Solver) -> None:
        self.program, self.size, self.solver, self.linear = program, size, solver, linear

    def at_base(self, args: list[Any], mode: Mode) -> list[Any]:
        """Solve, and record the call."""
        start, captured = self.parts(args)
        reading(self.name)
        recording = wants(args, None, mode)
        with using(mode.replace(grad=False)):
            outs = self.solver(lambda x: self.program.run(x, captured), start)
        return self.recorded(args, outs, None) if recording else outs

    def apply(
        self, node: Node, cts: list[Any], needs: Any, lowered: bool, graph: bool
    ) -> list[Any]:
        """One solve with the transposed Jacobian at the solution."""
        saved, solved = node.kept
        args = tied(saved, node, graph)
        xs = [snapshot(x, node.owner) for x in solved]
        if graph and not lowered:
            for x, port in zip(xs, notes_of(node)["outputs"], strict=True):
                x.node, x.tracked = port(), port() is not None
        if lowered:
            args = [a.value if isinstance(a, Box) else a for a in args]
            xs = [x.value for x in xs]
        start, captured = self.parts(args)
        given = [zeros_like(x) if ct is None else ct for x, ct in zip(xs, cts, strict=True)]

        def transposed(w: list[Any]) -> list[Any]:
            grads = pulled(lambda x: self.program.run(x, captured), list(xs), w)
            return [zeros_like(x) if g is None else g for x, g in zip(xs, grads, strict=True)]

        w = solve_flat(transposed, given, self.linear)
        found = pulled(lambda v: self.program.run(xs, v), captured, w)
        return [
            *[None] * len(start),
            *[minus(g) if n else None for g, n in zip(found, needs[self.size :], strict=True)],
        ]

    def at_forward(self, level: Any, args: list[Any], mode: Mode) -> list[Any]:
        """One solve with the Jacobian at the solution."""
        parts = [level.parts(a) for a in args]
        outs = lowered_call(self, level, [p for p, _ in parts], mode)
        _, captured = self.parts([p for p, _ in parts])
        _, tangents = self.parts([t for _, t in parts])
        if all(t is None for t in tangents):
            return outs
        with using(level.below(mode)):
            _, moved = pushed(lambda v: self.program.run(outs, v), captured, tangents)

            def matvec(t: list[Any]) -> list[Any]:
                return pushed(lambda x: self.program.run(x, captured), outs, t)[1]

            ts = solve_flat(matvec, [minus(m) for m in moved], self.linear)
        return [level.lift(y, t) for y, t in zip(outs, ts, strict=True)]

    def at_batch(self, level: Batch, args: list[Any], mode: Mode) -> list[Any]:
        """One solve for all elements."""
        low, dims = batch_parts(level, args)
        with using(level.below(mode)):
            _, captured = self.parts(low)
            _, their = self.parts(dims)
            start = [level.lower(a, 0) for a in self.parts(args)[0]]
            outs = root_flat(
                batched(level, self.program, captured, their), start, self.solver, self.linear
            )
        return [level.lift(y, 0) for y in outs]


def root_flat(
    fn: Callable[[list[Any]], list[Any]], start: list[Any], solver: Solver, linear: Solver
) -> list[Any]:
    """Trace `fn` of leaves, and find leaves where it is zero."""
    program = program_of("root", fn, start)
    for i, (x, s) in enumerate(zip(start, program.out_specs, strict=True)):
        if x.spec is not s:
            raise TransformError(
                f"root: the function must return tensors like its argument: tensor {i} is {x.spec}, "
                f"it returned {s}"
            )
    return apply(RootCall(program, len(start), solver, linear), [*start, *program.captured])


# -- solvers for tensors of the base ---------------------------------------------------------------


def dot(x: list[Any], y: list[Any]) -> float:
    """Return the inner product of two lists of tensors, read."""
    total = 0.0
    for a, b in zip(x, y, strict=True):
        product = REGISTRY["mul"].bind(a, b)
        axes = tuple(range(len(a.spec.shape)))
        total += float(REGISTRY["reduce_sum"].bind(product, axes=axes).item())
    return total


def scaled(x: list[Any], factor: float) -> list[Any]:
    """Return factor * x."""
    return [REGISTRY["mul"].bind(a, constant(factor, a.spec, a.device)) for a in x]


def plus(x: list[Any], y: list[Any], factor: float = 1.0) -> list[Any]:
    """Return x + factor * y."""
    return [added(a, b) for a, b in zip(x, scaled(y, factor), strict=True)]


def tolerance_of(x: list[Any]) -> float:
    """Return how far a residual can be brought down in the dtype of `x`, relatively."""
    return 1e-11 if all(a.spec.dtype.itemsize >= 8 for a in x) else 1e-5


def gmres(
    matvec: Callable[[list[Any]], list[Any]],
    b: list[Any],
    tol: float | None = None,
    restart: int = 60,
) -> list[Any]:
    """Return x with matvec(x) = b, by GMRES (Saad and Schultz 1986) restarted every `restart` steps.

    Raises ConvergenceError where the residual does not come down to `tol` of b.
    """
    tol = tolerance_of(b) if tol is None else tol
    norm = math.sqrt(dot(b, b))
    x = [zeros_like(a) for a in b]
    if norm == 0.0:
        return x
    residual = b
    size = sum(a.spec.size for a in b)
    for _ in range(20 + size // restart):
        beta = math.sqrt(dot(residual, residual))
        if beta <= tol * norm or not math.isfinite(beta):
            break
        x = plus(x, _gmres_cycle(matvec, residual, beta, min(restart, size), tol * norm))
        residual = plus(b, matvec(x), -1.0)
    beta = math.sqrt(dot(residual, residual))
    if not beta <= 100 * tol * norm:
        raise ConvergenceError(
            f"linear solve: the residual stays at {beta / norm:.1e} of the right-hand side, {tol:.0e} was "
            "asked for; the matrix may be singular: give another linear_solver or a larger tolerance"
        )
    return x


def _gmres_cycle(
    matvec: Any, residual: list[Any], beta: float, steps: int, target: float
) -> list[Any]:
    """Return the correction that minimises the residual over a Krylov space."""
    basis = [scaled(residual, 1.0 / beta)]
    columns: list[list[float]] = []
    rotations: list[tuple[float, float]] = []
    g = [beta]
    for k in range(steps):
        w = matvec(basis[k])
        column = []
        for q in basis:
            h = dot(q, w)
            column.append(h)
            w = plus(w, q, -h)
        length = math.sqrt(dot(w, w))
        for i, (c, s) in enumerate(rotations):
            column[i], column[i + 1] = (
                c * column[i] + s * column[i + 1],
                c * column[i + 1] - s * column[i],
            )
        r = math.hypot(column[k], length)
        c, s = (column[k] / r, length / r) if r else (1.0, 0.0)
        rotations.append((c, s))
        column[k] = r
        columns.append(column)
        g.append(-s * g[k])
        g[k] = c * g[k]
        if abs(g[k + 1]) <= target or length <= 1e-14 * beta or not r:
            break
        basis.append(scaled(w, 1.0 / length))
    n = len(columns)
    y = [0.0] * n
    for i in range(n - 1, -1, -1):
        total = g[i] - sum(columns[j][i] * y[j] for j in range(i + 1, n))
        y[i] = total / columns[i][i] if columns[i][i] else 0.0
    out = [zeros_like(a) for a in residual]
    for q, factor in zip(basis, y, strict=False):
        out = plus(out, q, factor)
    return out


def newton(
    fn: Callable[[list[Any]], list[Any]], start: list[Any], tol: float, max_iter: int
) -> list[Any]:
    """Return leaves where `fn` is zero: Newton's method with steps halved until the residual falls."""
    x = start
    value = fn(x)
    size = math.sqrt(dot(value, value))
    scale = max(1.0, size)
    for _ in range(max_iter):
        if size <= tol * scale:
            return x
        here = x

        def matvec(t: list[Any], here: list[Any] = here) -> list[Any]:
            return pushed(fn, here, t)[1]

        step = gmres(matvec, [minus(v) for v in value])
        factor = 1.0
        while True:
            moved = plus(x, step, factor)
            after = fn(moved)
            next_size = math.sqrt(dot(after, after))
            if next_size < size * (1.0 - 1e-4 * factor) or (next_size <= tol * scale):
                break
            factor /= 2.0
            if factor < 1e-10:
                raise ConvergenceError(
                    f"root: Newton's method stands still with a residual of {size:.1e}, {tol:.0e} was "
                    "asked for; start elsewhere, or give another solver"
                )
        x, value, size = moved, after, next_size
    if size <= tol * scale:
        return x
    raise ConvergenceError(
        f"root: the residual is {size:.1e} after {max_iter} steps, {tol:.0e} was asked for; "
        "start elsewhere, or give another solver"
    )


def iterate(
    fn: Callable[[list[Any]], list[Any]], start: list[Any], tol: float, max_iter: int
) -> list[Any]:
    """Return leaves that `fn` changes by at most `tol`, relative to their size, by repeating it."""
    x = start
    apart = math.inf
    for _ in range(max_iter):
        after = fn(x)
        gap = plus(after, x, -1.0)
        apart = math.sqrt(dot(gap, gap))
        x = after
        size = math.sqrt(dot(x, x))
        if not math.isfinite(apart + size):
            break
        if apart <= tol * max(1.0, size):
            return x
    raise ConvergenceError(
        f"fixed_point: after {max_iter} repetitions they still change by {apart:.1e}, {tol:.0e} was asked for; "
        "start elsewhere, or give another solver"
    )

"""Implicit differentiation: derivatives of the solution of an equation, whichever solver found it.

If F(x, p) = 0 defines x, then dx = -(∂F/∂x)⁻¹ ∂F/∂p dp: the derivative needs one linear solve and does not
depend on how x was found. Linear solves have rules of their own, so derivatives of any order work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core.errors import TransformError
from tabgrad.core.families import to_front
from tabgrad.core.op import REGISTRY
from tabgrad.core.trace import MODE, Box, constant, using, zeros_like
from tabgrad.transforms.branches import reading
from tabgrad.transforms.calls import RuledCall, apply
from tabgrad.transforms.program import TracedProgram, pulled, pushed, traced
from tabgrad.transforms.vmap import Batch

Solver = Callable[[Callable[[list[Any]], list[Any]], list[Any]], list[Any]]
"""Finds leaves x with fn(x) = 0, or matvec(x) = b: (function of leaves, start or b) -> leaves."""


class ConvergenceError(TransformError):
    """A solver stopped before it had reached its tolerance."""


def minus(x: Box | None) -> Any:
    """Negate `x`, None staying None."""
    return None if x is None else REGISTRY["neg"].bind(x)


def added(x: Box, y: Box) -> Any:
    """Add `x` and `y`."""
    return REGISTRY["add"].bind(x, y)


class Solved(RuledCall):
    """The solution of an equation in `program`, found at the base by `solver` and kept by the tape.

    Arguments: `size` leaves to start from, then tensors captured by `program`. Derivatives solve with `linear`.
    """

    keeps_outputs = True

    def __init__(self, program: TracedProgram, size: int, solver: Solver, linear: Solver) -> None:
        self.program, self.size, self.solver, self.linear = program, size, solver, linear

    def parts(self, args: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Split the arguments into the right-hand side (or start) and the captured tensors."""
        return list(args[: self.size]), list(args[self.size :])

    def plain(self, args: list[Any]) -> list[Any]:
        """Make outputs of the right shapes."""
        return self.parts(args)[0]

    def run(self, args: list[Any]) -> list[Any]:
        """Solve."""
        first, captured = self.parts(args)
        reading(self.name)
        with using(MODE.get().replace(grad=False)):
            return self.solver(lambda x: self.program.run(x, captured), first)

    def pull(
        self, args: list[Any], kept: list[Any], cts: list[Any], needs: Sequence[bool]
    ) -> list[Any]:
        """Solve the transposed system once; captured tensors get their cotangents through the program."""
        _, captured = self.parts(args)
        given = [zeros_like(x) if ct is None else ct for x, ct in zip(kept, cts, strict=True)]
        none = [False] * len(captured)
        w = solve_flat(lambda w: self.program.pull(kept, captured, w, none), given, self.linear)
        wanted = needs[self.size :]
        found: list[Any] = [None] * len(captured)
        if any(wanted):
            found = pulled(lambda v: self.program.run(kept, v), captured, w)
        moved = [minus(g) if n else None for g, n in zip(found, wanted, strict=True)]
        return [*self.of_first(w), *moved]

    def of_first(self, w: list[Any]) -> list[Any]:
        """Give the cotangents of the first arguments: None, since the solution does not depend on a start."""
        return [None] * self.size

    def batch(
        self, level: Batch, args: list[Any], dims: list[Any]
    ) -> tuple[list[Any], Sequence[int | None]]:
        """Solve the systems of all elements as one system."""
        (first, captured), (axes, their) = self.parts(args), self.parts(dims)
        first = [to_front(x, d, level.size) for x, d in zip(first, axes, strict=True)]

        def each(xs: list[Any]) -> list[Any]:
            return self.program.each(level, xs, [0] * self.size, captured, their)

        return self.solved(each, first), [0] * self.size

    def solved(self, fn: Callable[[list[Any]], list[Any]], first: list[Any]) -> list[Any]:
        """Solve the same kind of equation for another function."""
        raise NotImplementedError


class SolveCall(Solved):
    """The solution x of A(x) = b, where A is `program`. Arguments: b, then the tensors captured by A."""

    name = "linear_solve"
    node_name = "LinearSolveBackward"

    def of_first(self, w: list[Any]) -> list[Any]:
        """Give the cotangent of b."""
        return w

    def push(self, primals: list[Any], tangents: list[Any]) -> tuple[list[Any], list[Any]]:
        """Solve A dx = db - dA x."""
        (b, captured), (db, dv) = self.parts(primals), self.parts(tangents)
        outs = apply(self, primals)
        right = [zeros_like(x) if t is None else t for x, t in zip(b, db, strict=True)]
        if any(t is not None for t in dv):
            _, moved = pushed(lambda v: self.program.run(outs, v), captured, dv)
            right = [added(r, minus(m)) for r, m in zip(right, moved, strict=True)]
        return outs, apply(self, [*right, *captured])

    def solved(self, fn: Callable[[list[Any]], list[Any]], first: list[Any]) -> list[Any]:
        """Solve a linear equation with another function."""
        return solve_flat(fn, first, self.solver)


def solve_flat(matvec: Callable[[list[Any]], list[Any]], b: list[Any], solver: Solver) -> list[Any]:
    """Trace the linear function `matvec` of leaves, and solve matvec(x) = b."""
    program = traced("linear_solve", matvec, b)
    return apply(SolveCall(program, len(b), solver, solver), [*b, *program.captured])


class RootCall(Solved):
    """A solution of F(x) = 0, where F is `program`. Arguments: the start, then the tensors captured by F.

    The solution does not depend on the start, only on what F captured.
    """

    name = "root"
    node_name = "RootBackward"

    def push(self, primals: list[Any], tangents: list[Any]) -> tuple[list[Any], list[Any]]:
        """Solve once with the Jacobian at the solution."""
        outs = apply(self, primals)
        _, captured = self.parts(primals)
        _, moving = self.parts(tangents)
        if all(t is None for t in moving):
            return outs, [None] * self.size
        _, moved = pushed(lambda v: self.program.run(outs, v), captured, moving)

        def matvec(t: list[Any]) -> list[Any]:
            return pushed(lambda x: self.program.run(x, captured), outs, t)[1]

        return outs, solve_flat(matvec, [minus(m) for m in moved], self.linear)

    def solved(self, fn: Callable[[list[Any]], list[Any]], first: list[Any]) -> list[Any]:
        """Find a root of another function."""
        return root_flat(fn, first, self.solver, self.linear)


def root_flat(
    fn: Callable[[list[Any]], list[Any]], start: list[Any], solver: Solver, linear: Solver
) -> list[Any]:
    """Trace `fn` of leaves, and find leaves where it is zero."""
    program = traced("root", fn, start)
    for i, (x, s) in enumerate(zip(start, program.out_specs, strict=True)):
        if x.spec is not s:
            raise TransformError(
                f"root: the function must return tensors like its argument: tensor {i} is {x.spec}, "
                f"it returned {s}"
            )
    return apply(RootCall(program, len(start), solver, linear), [*start, *program.captured])


# -- solvers for tensors of the base ---------------------------------------------------------------


def dot(x: list[Any], y: list[Any]) -> float:
    """Compute the inner product of two lists of tensors as a Python number."""
    total = 0.0
    for a, b in zip(x, y, strict=True):
        product = REGISTRY["mul"].bind(a, b)
        axes = tuple(range(len(a.spec.shape)))
        total += float(REGISTRY["reduce_sum"].bind(product, axes=axes).item())
    return total


def scaled(x: list[Any], factor: float) -> list[Any]:
    """Scale every tensor of a list."""
    return [REGISTRY["mul"].bind(a, constant(factor, a.spec, a.device)) for a in x]


def plus(x: list[Any], y: list[Any], factor: float = 1.0) -> list[Any]:
    """Compute x + factor * y."""
    return [added(a, b) for a, b in zip(x, scaled(y, factor), strict=True)]


def tolerance_of(x: list[Any]) -> float:
    """Choose the relative residual that a solver can reach in the dtype of `x`."""
    return 1e-11 if all(a.spec.dtype.itemsize >= 8 for a in x) else 1e-5


def gmres(
    matvec: Callable[[list[Any]], list[Any]],
    b: list[Any],
    tol: float | None = None,
    restart: int = 60,
) -> list[Any]:
    """Solve matvec(x) = b by GMRES (Saad and Schultz 1986), restarted every `restart` steps.

    Raises ConvergenceError if the residual does not fall to `tol` times the norm of b.
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
    matvec: Callable[..., Any], residual: list[Any], beta: float, steps: int, target: float
) -> list[Any]:
    """Find the correction that minimises the residual over a Krylov space."""
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
    """Find leaves where `fn` is zero: Newton's method with steps halved until the residual falls."""
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
    """Repeat `fn` until it changes its leaves by at most `tol`, relative to their size."""
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

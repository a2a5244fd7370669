"""Ordinary differential equations, with gradients through the steps or by the adjoint equation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import tabgrad as tg
from tabgrad.core import tree
from tabgrad.core.errors import ShapeError, TransformError
from tabgrad.core.families import to_front
from tabgrad.transforms.branches import reading
from tabgrad.transforms.calls import RuledCall, apply
from tabgrad.transforms.control import scan_flat
from tabgrad.transforms.custom import custom_vjp
from tabgrad.transforms.implicit import ConvergenceError
from tabgrad.transforms.program import TracedProgram, pulled, traced
from tabgrad.transforms.vmapped import per_element

Field = Callable[[Any, list[Any]], list[Any]]
"""The right-hand side on leaves: (t, y) -> dy/dt."""

# The pair of Dormand and Prince (1980), "A family of embedded Runge-Kutta formulae", of order 5(4).
DOPRI_C = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0)
DOPRI_A = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
)
DOPRI_B = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
DOPRI_E = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)

TABLEAUS: dict[str, tuple[Any, Any, Any]] = {
    "euler": ((0.0,), ((),), (1.0,)),
    "midpoint": ((0.0, 0.5), ((), (0.5,)), (0.0, 1.0)),
    "heun": ((0.0, 1.0), ((), (1.0,)), (0.5, 0.5)),
    "rk4": (
        (0.0, 0.5, 0.5, 1.0),
        ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)),
        (1 / 6, 1 / 3, 1 / 3, 1 / 6),
    ),
    "dopri5": (DOPRI_C, DOPRI_A, DOPRI_B),
}
"""Runge–Kutta tableaus: the time of each stage, its weights of earlier stages, the weights of the step."""


def _plus(y: list[Any], h: Any, slopes: Sequence[list[Any]], factors: Sequence[float]) -> list[Any]:
    """Compute y + h * sum(factor * slope)."""
    found = []
    for k, x in enumerate(y):
        total = None
        for slope, factor in zip(slopes, factors, strict=False):
            if factor:
                term = slope[k] * factor
                total = term if total is None else total + term
        found.append(x if total is None else x + h.to(x.dtype) * total)
    return found


def _stages(field: Field, method: str, t: Any, h: Any, y: list[Any]) -> list[list[Any]]:
    times, starts, _ = TABLEAUS[method]
    slopes: list[list[Any]] = []
    for c, a in zip(times, starts, strict=True):
        slopes.append(field(t + h * c if c else t, _plus(y, h, slopes, a)))
    return slopes


def step(field: Field, method: str, t: Any, h: Any, y: list[Any]) -> list[Any]:
    """Advance `y` by one step of `h`."""
    return _plus(y, h, _stages(field, method, t, h, y), TABLEAUS[method][2])


# -- choosing the steps ----------------------------------------------------------------------------


class Grid(RuledCall):
    """Chooses the steps of the adaptive method and has no outputs: `result` gets one (interval, start, length)
    for each step, as fractions of the intervals. Arguments: y, the times, captured.

    `evaluate([t, *y], captured)` is the right-hand side.
    """

    name = "odeint"

    def __init__(
        self, evaluate: Any, size: int, rtol: float, atol: float, most: int, result: list[Any]
    ) -> None:
        self.evaluate, self.size = evaluate, size
        self.rtol, self.atol, self.most, self.result = rtol, atol, most, result

    def plain(self, args: list[Any]) -> list[Any]:
        """Refuse: the steps depend on values, which a traced function does not have."""
        raise TransformError(
            "odeint: the adaptive method reads values to choose its steps, so it can't stand in a traced loop; "
            "use a fixed-step method there"
        )

    def run(self, args: list[Any]) -> list[Any]:
        """Choose the steps."""
        reading("odeint")
        captured = args[self.size + 1 :]
        with tg.no_grad():

            def field(t: Any, y: list[Any]) -> list[Any]:
                found: list[Any] = self.evaluate([t, *y], captured)
                return found

            self.result[:] = self._steps(field, list(args[: self.size]), args[self.size])
        return []

    def recorded_at(self, args: list[Any], owner: Any, mode: Any) -> bool:
        """Give False: the choice has no derivative, so the call is not recorded."""
        return False

    def push(self, primals: list[Any], tangents: list[Any]) -> tuple[list[Any], list[Any]]:
        """Choose the steps from the primals; the choice has no derivative."""
        return apply(self, primals), []

    def batch(
        self, level: Any, args: list[Any], dims: list[Any]
    ) -> tuple[list[Any], Sequence[int | None]]:
        """Make one choice for the whole batch."""
        n = self.size
        if dims[n] is not None:
            raise TransformError("odeint: the times must be the same for all elements of a vmap")
        y = [to_front(x, d, level.size) for x, d in zip(args[:n], dims[:n], strict=True)]
        axes = [None, *[0] * n, *dims[n + 1 :]]

        def evaluate(inputs: list[Any], captured: list[Any]) -> list[Any]:
            return per_element(
                level, lambda v: self.evaluate(v[: n + 1], v[n + 1 :]), [*inputs, *captured], axes
            )

        call = Grid(evaluate, n, self.rtol, self.atol, self.most, self.result)
        return apply(call, [*y, *args[n:]]), []

    def _steps(self, field: Field, y: list[Any], times: Any) -> list[tuple[int, float, float]]:
        values = times.tolist()
        found: list[tuple[int, float, float]] = []
        slope = None
        h = 0.0
        for k, (start, stop) in enumerate(pairwise(values)):
            width = stop - start
            if width == 0:
                continue
            slope = field(_number(start, times), y) if slope is None else slope
            h = h if h else self._first(field, start, math.copysign(1.0, width), y, slope, times)
            h = math.copysign(h, width)
            t = start
            while (stop - t) * width > 0:
                last = abs(t + h - start) >= abs(width) * (1 - 1e-12)
                used = stop - t if last else h
                y, slope, t, h, taken = self._try(field, t, used, y, slope, times)
                if taken:
                    found.append((k, (t - used - start) / width, used / width))
                    if last:
                        break
                if len(found) > self.most or abs(h) <= 1e-14 * max(1.0, abs(t)):
                    raise ConvergenceError(
                        f"odeint: {len(found)} steps were taken and the next would be {h:.1e} at t = {t:.6g}; "
                        "the equation may be stiff or have a pole: loosen rtol and atol, or raise max_steps"
                    )
        return found

    def _try(
        self, field: Field, t: float, h: float, y: list[Any], slope: list[Any], like: Any
    ) -> Any:
        """Try one step of `h`: y, its slope, t and the next step after it, and whether it was accepted."""
        at, size = _number(t, like), _number(h, like)
        slopes = [slope]
        for c, a in zip(DOPRI_C[1:], DOPRI_A[1:], strict=True):
            slopes.append(field(at + size * c, _plus(y, size, slopes, a)))
        after = _plus(y, size, slopes, DOPRI_B)
        slopes.append(field(at + size, after))
        error = _plus([tg.zeros_like(x) for x in y], size, slopes, DOPRI_E)
        ratio = self._norm(error, y, after)
        accepted = ratio <= 1.0
        factor = (
            10.0
            if ratio == 0.0
            else min(10.0, max(0.2, 0.9 * ratio**-0.2))
            if math.isfinite(ratio)
            else 0.1
        )
        if accepted:
            return after, slopes[-1], t + h, h * max(factor, 0.2), True
        return y, slope, t, h * min(factor, 0.9), False

    def _norm(self, error: list[Any], y: list[Any], after: list[Any]) -> float:
        """Compute the root mean square of the errors, relative to the tolerance."""
        total, count = 0.0, 0
        for e, a, b in zip(error, y, after, strict=True):
            allowed = self.atol + self.rtol * tg.maximum(a.abs(), b.abs())
            total += float(((e / allowed) ** 2).sum())
            count += e.numel()
        return math.sqrt(total / max(count, 1)) if math.isfinite(total) else math.inf

    def _first(
        self, field: Field, t: float, sign: float, y: list[Any], slope: list[Any], like: Any
    ) -> float:
        """Choose a first step (Hairer, Nørsett and Wanner, Solving Ordinary Differential Equations I, II.4)."""
        size = self._norm(y, y, y)
        speed = self._norm(slope, y, y)
        h = 1e-6 if size < 1e-5 or speed < 1e-5 else 0.01 * size / speed
        moved = _plus(y, _number(h * sign, like), [slope], [1.0])
        bent = field(_number(t + h * sign, like), moved)
        curve = self._norm([a - b for a, b in zip(bent, slope, strict=True)], y, y) / h
        top = max(speed, curve)
        return min(100 * h, max(1e-6, h * 1e-3) if top <= 1e-15 else (0.01 / top) ** 0.2)


def _number(value: float, like: Any) -> Any:
    return tg.tensor(value, dtype=like.dtype, device=like.device)


# -- integrating -----------------------------------------------------------------------------------


class Problem:
    """A traced right-hand side with the method and options of its integration."""

    def __init__(self, program: TracedProgram, method: str, options: dict[str, Any]) -> None:
        self.program, self.method, self.options = program, method, options

    def field(self, captured: Sequence[Any]) -> Field:
        """Make the right-hand side a function of leaves."""
        return lambda t, y: self.program.run([t, *y], captured)

    def grid(
        self, y: list[Any], times: Any, captured: Sequence[Any]
    ) -> list[tuple[int, float, float]]:
        """Choose the steps: (interval, start, length), the last two as fractions of the interval."""
        if self.method == "dopri5":
            result: list[Any] = []
            o = self.options
            apply(
                Grid(self.program.run, len(y), o["rtol"], o["atol"], o["max_steps"], result),
                [*y, times, *captured],
            )
            return result
        size = self.options["step_size"]
        if size is None:
            return [(k, 0.0, 1.0) for k in range(times.shape[0] - 1)]
        values = times.tolist()
        found = []
        for k, (a, b) in enumerate(pairwise(values)):
            n = max(1, math.ceil(abs(b - a) / size - 1e-9))
            found += [(k, i / n, 1 / n) for i in range(n)]
        return found

    def solve(self, y: list[Any], times: Any, captured: Sequence[Any]) -> list[Any]:
        """Integrate, and stack the leaves at all times; derivatives go through the steps."""
        steps = self.grid(y, times, captured)
        n = times.shape[0]
        if not steps:
            return [x.unsqueeze(0).expand(n, *x.shape) for x in y]
        at = tg.tensor([k for k, _, _ in steps], device=times.device)
        begin, width = times.index_select(0, at), times.diff().index_select(0, at)
        starts = begin + width * tg.tensor(
            [s for _, s, _ in steps], dtype=times.dtype, device=times.device
        )
        sizes = width * tg.tensor([w for _, _, w in steps], dtype=times.dtype, device=times.device)
        field = self.field(captured)

        def body(state: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
            after = step(field, self.method, x[0], x[1], state)
            return after, after

        outs = scan_flat(body, y, [starts, sizes], len(steps), False)[len(y) :]
        # the state at time k is the state after the last step before it, or the first state
        last = {k: i for i, (k, _, _) in enumerate(steps)}
        picks, current = [0], 0
        for k in range(n - 1):
            current = last[k] + 1 if k in last else current
            picks.append(current)
        index = tg.tensor(picks, device=times.device)
        return [
            tg.cat([x.unsqueeze(0), ys]).index_select(0, index)
            for x, ys in zip(y, outs, strict=True)
        ]

    def adjoint(self, y: list[Any], times: Any, captured: list[Any]) -> list[Any]:
        """Integrate as `solve` does; gradients integrate the adjoint equation back, in constant memory."""
        solve = custom_vjp(lambda y, t, c: self.solve(y, t, c))
        solve.defvjp(self._forward, self._backward)
        found: list[Any] = solve(y, times, captured)
        return found

    def _forward(self, y: list[Any], times: Any, captured: list[Any]) -> Any:
        outs = self.adjoint(y, times, captured)
        return outs, (outs, times, captured)

    def _backward(self, saved: Any, cts: list[Any]) -> Any:
        outs, times, captured = saved
        n, m = len(outs), times.shape[0]
        flags = [v.dtype.is_floating_point for v in captured]
        moving = [v for v, f in zip(captured, flags, strict=True) if f]
        a = [ct[m - 1] for ct in cts]
        sums = [tg.zeros_like(v) for v in moving]
        by_time: list[Any] = [None] * m
        reverse = self._augmented(n, captured, flags)
        for k in range(m - 1, 0, -1):
            y = [x[k] for x in outs]
            slope = self.field(captured)(times[k], y)
            by_time[k] = sum((ct[k] * s).sum() for ct, s in zip(cts, slope, strict=True))
            both = tg.stack([times[k], times[k - 1]])
            state = [x[1] for x in reverse([*y, *a, *sums], both)]
            a = [g + ct[k - 1] for g, ct in zip(state[n : 2 * n], cts, strict=True)]
            sums = state[2 * n :]
        first = self.field(captured)(times[0], [x[0] for x in outs])
        flowed = [g - ct[0] for g, ct in zip(a, cts, strict=True)]
        by_time[0] = -sum((g * s).sum() for g, s in zip(flowed, first, strict=True))
        total = iter(sums)
        return a, tg.stack(by_time).to(times.dtype), [next(total) if f else None for f in flags]

    def _augmented(self, n: int, captured: list[Any], flags: list[bool]) -> Any:
        """Make the solver of the adjoint equation for y, its cotangent and the parameters' cotangents."""
        chosen = [v for v, f in zip(captured, flags, strict=True) if f]

        def field(t: Any, state: list[Any]) -> list[Any]:
            y, a = state[:n], state[n : 2 * n]

            def run(inputs: list[Any]) -> list[Any]:
                rest = iter(inputs[n:])
                return self.program.run(
                    [t, *inputs[:n]],
                    [next(rest) if f else v for v, f in zip(captured, flags, strict=True)],
                )

            grads = pulled(run, [*y, *chosen], a)
            slope = self.program.run([t, *y], captured)
            return [
                *slope,
                *[
                    tg.zeros_like(x) if g is None else -g
                    for x, g in zip([*y, *chosen], grads, strict=True)
                ],
            ]

        def solve(state: list[Any], times: Any) -> list[Any]:
            problem, extra = _traced(field, state, times, self.method, self.options)
            return problem.adjoint(state, times, extra)

        return solve


def _traced(
    field: Field, y: list[Any], times: Any, method: str, options: dict[str, Any]
) -> tuple[Problem, list[Any]]:
    program = traced("odeint", lambda leaves: field(leaves[0], leaves[1:]), [times[0], *y])
    outs = program.out_specs
    if len(outs) != len(y) or any(a is not b.spec for a, b in zip(outs, y, strict=True)):
        raise ShapeError(
            f"odeint: func must return tensors like y: {[x.spec for x in y]}, "
            f"it returned {list(outs)}"
        )
    return Problem(program, method, options), program.captured


def odeint(
    func: Callable[[Any, Any], Any], y0: Any, t: Any, *, rtol: float = 1e-7, atol: float = 1e-9,
    method: str = "dopri5", step_size: float | None = None, max_steps: int = 10_000, adjoint: bool = False,
) -> Any:  # fmt: skip
    """Solve dy/dt = func(t, y) at the times `t`, starting from `y0` at the first of them.

    `y0` is a tensor or tree of them, and so is what `func` returns; the result has one more dim in front, for
    the times, which rise or fall. Methods: "dopri5" adapts its steps to `rtol` and `atol` (the root mean square
    of the errors over all elements, and over the whole batch under vmap), "euler", "midpoint", "heun" and
    "rk4" take steps of `step_size`, or one for each interval. Gradients by `y0`, `t` and all that `func`
    depends on go through the steps; with `adjoint` they integrate the adjoint equation backwards instead, in
    constant memory.

    >>> import tabgrad as tg
    >>> y = tg.func.odeint(lambda t, y: -y, tg.tensor([1.0]), tg.tensor([0.0, 1.0]), rtol=1e-4, atol=1e-6)
    >>> round(y[1].item(), 4)
    0.3679
    """
    if method not in TABLEAUS:
        raise ValueError(f"odeint: method is one of {', '.join(TABLEAUS)}, not {method!r}")
    leaves, structure = tree.flatten(y0)
    for x in leaves:
        if not isinstance(x, tg.Tensor) or not x.dtype.is_floating_point:
            got = x.dtype if isinstance(x, tg.Tensor) else type(x).__name__
            raise TypeError(f"odeint: expected y0 to hold floating-point tensors, got {got}")
    if (
        not isinstance(t, tg.Tensor)
        or t.ndim != 1
        or not t.dtype.is_floating_point
        or not t.shape[0]
    ):
        raise TypeError(
            "odeint: t must be a floating-point tensor of one dim with at least one time"
        )

    def field(at: Any, y: list[Any]) -> list[Any]:
        out, its = tree.flatten(func(at, tree.unflatten(structure, y)))
        if its != structure:
            raise ShapeError(f"odeint: func must return the structure of y, {structure}, got {its}")
        return out

    options = {"rtol": rtol, "atol": atol, "step_size": step_size, "max_steps": max_steps}
    problem, captured = _traced(field, leaves, t, method, options)
    run = problem.adjoint if adjoint else problem.solve
    return tree.unflatten(structure, run(leaves, t, captured))

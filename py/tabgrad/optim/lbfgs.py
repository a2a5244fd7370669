"""L-BFGS, and a line search for the strong Wolfe conditions (Nocedal and Wright 2006, sections 7.2, 3.5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tabgrad as tg
from tabgrad.optim.optimizer import Closure, Group, Optimizer, Params, check_lr, number_of

Tensor = tg.Tensor

TOGETHER = 4
"""How many remembered steps are computed at once. The memory grows by one in each iteration: computed as a
whole, each iteration would be other, longer kernels, which no device has compiled before."""


class Point(NamedTuple):
    """A place on the search line: step `t`, loss `f`, gradient `g`, slope `gtd` along the direction."""

    t: float
    f: float
    g: Tensor
    gtd: float


class LBFGS(Optimizer):
    """A quasi-Newton method that remembers `history_size` steps; `step` needs a closure.

    One `step` makes up to `max_iter` iterations, and evaluates the closure more than once; it stops early
    where gradient or change are below the tolerances. `line_search_fn` is None (steps of `lr`) or
    "strong_wolfe". Decisions depend on values, so they are read, and a step cannot be compiled.

    >>> import tabgrad as tg
    >>> w = tg.tensor([3.0, -2.0], device="cpu", requires_grad=True)
    >>> optimizer = tg.optim.LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((w - 1) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> _ = optimizer.step(closure)
    >>> w.allclose(tg.ones(2, device="cpu"))
    True
    """

    def __init__(
        self, params: Params, lr: float | Tensor = 1, max_iter: int = 20,
        max_eval: int | None = None, tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9,
        history_size: int = 100, line_search_fn: str | None = None,
    ) -> None:  # fmt: skip
        check_lr(lr, {})
        if line_search_fn not in (None, "strong_wolfe"):
            raise ValueError(f"only 'strong_wolfe' is supported, got {line_search_fn!r}")
        super().__init__(params, {
            "lr": lr, "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change,
            "history_size": history_size, "line_search_fn": line_search_fn,
        })  # fmt: skip
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params: list[Tensor] = self.param_groups[0]["params"]

    # Parameters and gradients as vectors

    def _gradient(self) -> Tensor:
        parts = [
            tg.zeros(p.numel(), dtype=p.dtype, device=p.device) if p.grad is None
            else p.grad.reshape(-1)
            for p in self._params
        ]  # fmt: skip
        return parts[0].clone() if len(parts) == 1 else tg.cat(parts)

    def _values(self) -> Tensor:
        return tg.cat([p.detach().reshape(-1) for p in self._params])

    def _set(self, vector: Tensor) -> None:
        at = 0
        with tg.no_grad():
            for p in self._params:
                p.copy_(vector[at : at + p.numel()].reshape(p.shape))
                at += p.numel()

    def step(self, closure: Closure | None = None) -> Any:
        """Make up to `max_iter` iterations; return the loss before the first."""
        if closure is None:
            raise TypeError("LBFGS.step: expected a closure that computes the loss anew")

        def evaluate() -> float:
            with tg.enable_grad():
                return float(closure())

        with tg.enable_grad():
            first = closure()
        with tg.no_grad():
            run = _Run(self, self.param_groups[0], evaluate, float(first))
            run.run()
            run.arrange()
        return first


_ORDER = ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss")


class _Run:
    """The iterations of one step. The memory is kept in the state of the first parameter."""

    def __init__(
        self, optimizer: LBFGS, group: Group, evaluate: Callable[[], float], loss: float
    ) -> None:
        self.optimizer = optimizer
        self.group = group
        self.evaluate = evaluate
        self.loss = loss
        self.evals = 1
        self.g = optimizer._gradient()
        self.state: dict[str, Any] = optimizer.state[optimizer._params[0]]
        self.state.setdefault("func_evals", 0)
        self.state.setdefault("n_iter", 0)
        self.state["func_evals"] += 1

    def run(self) -> None:
        group, state = self.group, self.state
        if self._flat_enough():
            return
        for n in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            d = state["d"] = self._direction()
            state["prev_flat_grad"], before = self.g, self.loss
            state["prev_loss"] = before
            t = number_of(group["lr"])
            if state["n_iter"] == 1:
                t *= min(1.0, 1.0 / float(self.g.abs().sum()))
            gtd = float(self.g.dot(d))
            state["t"] = t
            if gtd > -group["tolerance_change"]:
                return
            t = state["t"] = self._move(t, d, gtd, last=n == group["max_iter"])
            if self.evals >= group["max_eval"] or self._flat_enough():
                return
            if float((d * t).abs().max()) <= group["tolerance_change"]:
                return
            if abs(self.loss - before) < group["tolerance_change"]:
                return

    def arrange(self) -> None:
        """Bring the state into PyTorch's order."""
        for name in [n for n in _ORDER if n in self.state]:
            self.state[name] = self.state.pop(name)

    def _flat_enough(self) -> bool:
        return float(self.g.abs().max()) <= float(self.group["tolerance_grad"])

    def _direction(self) -> Tensor:
        """Return minus the inverse Hessian's estimate times the gradient, by the two loops."""
        state = self.state
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return -self.g
        y, s = self.g - state["prev_flat_grad"], state["d"] * state["t"]
        ys = y.dot(s)
        dirs, steps, ro = state["old_dirs"], state["old_stps"], state["ro"]
        if float(ys) > 1e-10:
            if len(dirs) == self.group["history_size"]:
                for memory in (dirs, steps, ro):
                    memory.pop(0)
            dirs.append(y)
            steps.append(s)
            ro.append(1.0 / ys)
            state["H_diag"] = ys / y.dot(y)
        q = -self.g
        weights = state.setdefault("al", [None] * self.group["history_size"])
        advance = q.device.backend.advance
        for i in reversed(range(len(dirs))):
            weights[i] = steps[i].dot(q) * ro[i]
            q = q - weights[i] * dirs[i]
            if i % TOGETHER == 0:
                advance()
        d = q * state["H_diag"]
        for i in range(len(dirs)):
            d = d + steps[i] * (weights[i] - dirs[i].dot(d) * ro[i])
            if i % TOGETHER == TOGETHER - 1 or i == len(dirs) - 1:
                advance()
        return d

    def _move(self, t: float, d: Tensor, gtd: float, last: bool) -> float:
        """Go along `d`, by `t` or as the line search finds; return how far."""
        start = self.optimizer._values()

        def probe(t: float) -> Point:
            self.optimizer._set(start + t * d)
            f = self.evaluate()
            g = self.optimizer._gradient()
            self.evals += 1
            self.state["func_evals"] += 1
            return Point(t, f, g, float(g.dot(d)))

        if self.group["line_search_fn"] is None:
            if last:
                self.optimizer._set(start + t * d)
            else:
                _, self.loss, self.g, _ = probe(t)
            return t
        origin = Point(0.0, self.loss, self.g, gtd)
        left = self.group["max_eval"] - self.evals
        found = strong_wolfe(probe, origin, t, float(d.abs().max()), left)
        self.optimizer._set(start + found.t * d)
        self.loss, self.g = found.f, found.g
        return found.t


def cubic_minimum(a: Point, b: Point, low: float, high: float) -> float:
    """Return the minimum within [low, high] of the cubic through two points with their slopes."""
    if a.t > b.t:
        a, b = b, a
    d1 = a.gtd + b.gtd - 3 * (a.f - b.f) / (a.t - b.t)
    square = d1 * d1 - a.gtd * b.gtd
    if square < 0:
        return (low + high) / 2
    d2 = square**0.5
    divisor = b.gtd - a.gtd + 2 * d2
    if divisor == 0:
        return (low + high) / 2
    return min(max(b.t - (b.t - a.t) * (b.gtd + d2 - d1) / divisor, low), high)


def strong_wolfe(
    probe: Callable[[float], Point], origin: Point, t: float, size: float, max_probes: int,
    tolerance: float = 1e-9, c1: float = 1e-4, c2: float = 0.9,
) -> Point:  # fmt: skip
    """Return a point whose loss has dropped enough and whose slope has flattened enough.

    `size` is the largest element of the direction; a bracket shorter than `tolerance` / size ends the
    search.
    """

    def too_high(p: Point) -> bool:
        return p.f > origin.f + c1 * p.t * origin.gtd

    def flat(p: Point) -> bool:
        return abs(p.gtd) <= -c2 * origin.gtd

    before, now = origin, probe(t)
    count = 0
    while count < max_probes:
        if too_high(now) or (count > 1 and now.f >= before.f):
            break
        if flat(now):
            return now
        if now.gtd >= 0:
            break
        t = cubic_minimum(before, now, now.t + 0.01 * (now.t - before.t), now.t * 10)
        before, now = now, probe(t)
        count += 1
    else:
        before = origin
    low, high = (before, now) if before.f <= now.f else (now, before)
    stuck = False
    while count < max_probes:
        left, right = min(low.t, high.t), max(low.t, high.t)
        if (right - left) * size < tolerance:
            break
        t = cubic_minimum(low, high, left, right)
        margin = 0.1 * (right - left)
        near = min(right - t, t - left) < margin
        if near and (stuck or t >= right or t <= left):
            t = right - margin if abs(t - right) < abs(t - left) else left + margin
            near = False
        stuck = near
        now = probe(t)
        count += 1
        if too_high(now) or now.f >= low.f:
            low, high = (low, now) if low.f <= now.f else (now, low)
            continue
        if flat(now):
            return now
        if now.gtd * (high.t - low.t) >= 0:
            high = low
        low = now
    return low

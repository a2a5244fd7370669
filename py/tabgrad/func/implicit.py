"""Roots and fixed points, differentiated through the equation they solve."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tabgrad as tg
from tabgrad.core import tree
from tabgrad.transforms.implicit import (
    ConvergenceError as ConvergenceError,
    gmres,
    iterate,
    newton,
    root_flat,
    solve_flat,
    tolerance_of,
)  # fmt: skip


def _leaves(name: str, value: Any) -> tuple[list[Any], Any]:
    leaves, structure = tree.flatten(value)
    for x in leaves:
        if not isinstance(x, tg.Tensor) or not x.dtype.is_floating_point:
            got = x.dtype if isinstance(x, tg.Tensor) else type(x).__name__
            raise TypeError(f"{name}: expected floating-point tensors, got {got}")
    return leaves, structure


def _flat(name: str, fn: Callable[[Any], Any], structure: Any) -> Callable[[list[Any]], list[Any]]:
    def run(x: list[Any]) -> list[Any]:
        out, its = tree.flatten(fn(tree.unflatten(structure, x)))
        if its != structure:
            raise TypeError(
                f"{name}: the function must return the structure {structure} that it gets, got {its}"
            )
        return out

    return run


def _user(name: str, solver: Any, structure: Any) -> Any:
    """Turn a user's solver of trees into a solver of leaves."""

    def run(fn: Callable[[list[Any]], list[Any]], start: list[Any]) -> list[Any]:
        def on_trees(x: Any) -> Any:
            return tree.unflatten(structure, fn(tree.leaves(x)))

        return [x.detach() for x in tree.leaves(solver(on_trees, tree.unflatten(structure, start)))]

    return run


def root(
    fun: Callable[..., Any], x0: Any, *args: Any, solver: Callable[..., Any] | None = None,
    linear_solver: Callable[..., Any] | None = None, tol: float | None = None, max_iter: int = 100,
) -> Any:  # fmt: skip
    """Find `x` with `fun(x, *args) == 0`, starting from `x0`; differentiable by what `fun` depends on.

    `x` is a tensor or tree, and `fun` returns the same. `solver(f, x0)` finds it, with `f(x)` = fun(x, *args);
    it is Newton's method unless given. Derivatives of any order and mode do not depend on how `x` is found:
    they solve a linear equation at the solution, by `linear_solver(matvec, b)` or GMRES. `x0` gets no gradient.

    >>> import tabgrad as tg
    >>> a = tg.tensor(2.0, dtype=tg.float64, device="cpu")
    >>> round(tg.func.grad(lambda a: tg.func.root(lambda x: x * x - a, a))(a).item(), 6)
    0.353553
    """
    start, structure = _leaves("root", x0)
    limit = tolerance_of(start) if tol is None else tol
    if solver is None:
        find: Any = functools.partial(newton, tol=limit, max_iter=max_iter)
    else:
        find = _user("root", solver, structure)
    linear: Any = gmres if linear_solver is None else _user("root", linear_solver, structure)
    flat = _flat("root", lambda x: fun(x, *args), structure)
    return tree.unflatten(structure, root_flat(flat, start, find, linear))


def fixed_point(
    fun: Callable[..., Any], x0: Any, *args: Any, solver: Callable[..., Any] | None = None,
    linear_solver: Callable[..., Any] | None = None, tol: float | None = None, max_iter: int = 1000,
) -> Any:  # fmt: skip
    """Find `x` with `fun(x, *args) == x`, starting from `x0`; differentiable as `root` is.

    `solver(f, x0)` finds it, with `f(x)` = fun(x, *args); unless given, `f` is repeated.

    >>> import tabgrad as tg
    >>> x = tg.func.fixed_point(tg.cos, tg.tensor(1.0, dtype=tg.float64, device="cpu"))
    >>> round(x.item(), 6)
    0.739085
    """
    start, structure = _leaves("fixed_point", x0)
    limit = tolerance_of(start) if tol is None else tol
    flat = _flat("fixed_point", lambda x: fun(x, *args), structure)

    def find(gap: Callable[[list[Any]], list[Any]], x: list[Any]) -> list[Any]:
        def step(x: list[Any]) -> list[Any]:
            return [a - g for a, g in zip(x, gap(x), strict=True)]

        if solver is None:
            return iterate(step, x, limit, max_iter)
        return _user("fixed_point", solver, structure)(step, x)

    linear: Any = gmres if linear_solver is None else _user("fixed_point", linear_solver, structure)

    def gap(x: list[Any]) -> list[Any]:
        return [a - b for a, b in zip(x, flat(x), strict=True)]

    return tree.unflatten(structure, root_flat(gap, start, find, linear))


def linear_solve(
    matvec: Callable[[Any], Any], b: Any, *, solver: Callable[..., Any] | None = None
) -> Any:
    """Solve `matvec(x) == b` for a linear function `matvec`; `x` is a tensor or tree like `b`.

    Differentiable by `b` and by what `matvec` closes over, in every mode and order: each derivative is one
    more solve. `solver(matvec, b)` finds it, GMRES unless given.

    >>> import tabgrad as tg
    >>> a = tg.tensor([2.0, 4.0], device="cpu")
    >>> tg.func.linear_solve(lambda x: a * x, tg.tensor([1.0, 1.0], device="cpu"))
    tensor([0.5000, 0.2500])
    """
    leaves, structure = _leaves("linear_solve", b)
    find: Any = gmres if solver is None else _user("linear_solve", solver, structure)
    outs = solve_flat(_flat("linear_solve", matvec, structure), leaves, find)
    return tree.unflatten(structure, outs)

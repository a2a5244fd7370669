"""Roots, fixed points and linear solves: values and derivatives, whatever the solver."""

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.func import (
    ConvergenceError,
    fixed_point,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linear_solve,
    root,
    vmap,
)  # fmt: skip
from tests.transforms.support import array, close, f64, random

A = random(3, 3, seed=1) + 3.0 * tg.eye(3, dtype=tg.float64, device="cpu")
B = random(3, seed=2)


def solved(a, b):
    return linear_solve(lambda x: a @ x, b)


def test_linear_solve():
    a, b = array(A), array(B)
    inverse = np.linalg.inv(a)
    close(solved(A, B), inverse @ b)
    close(jacrev(solved, 1)(A, B), inverse)
    close(jacfwd(solved, 1)(A, B), inverse)
    by_a = -np.einsum("ij,k->ijk", inverse, inverse @ b)
    close(jacrev(solved)(A, B), by_a)
    close(jacfwd(solved)(A, B), by_a)
    second = hessian(lambda a: (solved(a, B) ** 2).sum())(A)
    close(jacrev(jacrev(lambda a: (solved(a, B) ** 2).sum()))(A), second, 1e-8)
    batch = random(4, 3, seed=3)
    close(vmap(solved, (None, 0))(A, batch), array(batch) @ inverse.T)
    many = tg.stack([A, 2.0 * A])
    close(vmap(solved, (0, None))(many, B), [inverse @ b, inverse @ b / 2])
    close(
        vmap(grad(lambda a: solved(a, B).sum()))(many)[1],
        array(grad(lambda a: solved(a, B).sum())(2.0 * A)),
    )


def test_linear_solve_on_the_base_tape():
    a = f64(array(A).tolist(), grad=True)
    b = f64(array(B).tolist(), grad=True)
    (g,) = tg.autograd.grad((solved(a, b) ** 2).sum(), a, create_graph=True)
    close(g, grad(lambda a: (solved(a, B) ** 2).sum())(A), 1e-8)
    (gg,) = tg.autograd.grad((g * g).sum(), b)
    expected = grad(lambda b: (grad(lambda a: (solved(a, b) ** 2).sum())(A) ** 2).sum())(B)
    close(gg, expected, 1e-8)


def cube(a, **options):
    return root(lambda x: x**3 - a, f64(1.0), **options)


def test_root_in_every_way():
    a = f64(8.0)
    close(cube(a), 2.0)
    close(grad(cube)(a), 1 / 12)
    close(jvp(cube, (a,), (f64(1.0),))[1], 1 / 12)
    close(grad(grad(cube))(a), -2 / 9 * 8 ** (-5 / 3), 1e-8)
    close(hessian(cube)(a), -2 / 9 * 8 ** (-5 / 3), 1e-8)
    xs = f64([1.0, 8.0, 27.0])
    close(vmap(cube)(xs), [1.0, 2.0, 3.0])
    close(vmap(grad(cube))(xs), [1 / 3, 1 / 12, 1 / 27])
    tracked = f64(8.0, grad=True)
    (g,) = tg.autograd.grad(cube(tracked), tracked, create_graph=True)
    close(tg.autograd.grad(g, tracked)[0], -2 / 9 * 8 ** (-5 / 3), 1e-8)


def test_root_of_a_tree_with_arguments():
    def equations(x, p):
        return {"a": x["a"] + x["b"] - p["sum"], "b": x["a"] - x["b"] - p["gap"]}

    f = lambda p: root(equations, {"a": f64([0.0]), "b": f64([0.0])}, p)  # noqa: E731
    p = {"sum": f64([5.0]), "gap": f64([1.0])}
    close(f(p)["a"], [3.0])
    close(f(p)["b"], [2.0])
    g = grad(lambda p: f(p)["a"].sum())(p)
    close(g["sum"], [0.5])
    close(g["gap"], [0.5])


def test_any_solver_will_do():
    steps = []

    def bisection(f, x0):
        low, high = 0.0, 10.0
        while high - low > 1e-13:
            steps.append(1)
            middle = (low + high) / 2
            if f(f64(middle)).item() > 0:
                high = middle
            else:
                low = middle
        return f64(low)

    close(cube(f64(8.0), solver=bisection), 2.0)
    close(grad(lambda a: cube(a, solver=bisection))(f64(8.0)), 1 / 12)
    assert steps
    used = []

    def by_division(matvec, b):
        used.append(1)
        return b / matvec(tg.ones_like(b))

    close(grad(lambda a: cube(a, linear_solver=by_division))(f64(8.0)), 1 / 12)
    assert used


def test_fixed_point():
    f = lambda x, a: (x + a / x) / 2.0  # noqa: E731
    g = lambda a: fixed_point(f, f64(1.0), a)  # noqa: E731
    close(g(f64(2.0)), 2**0.5)
    close(grad(g)(f64(2.0)), 0.5 / 2**0.5)
    close(hessian(g)(f64(2.0)), -0.25 * 2**-1.5, 1e-8)
    close(vmap(grad(g))(f64([2.0, 9.0])), [0.5 / 2**0.5, 1 / 6])
    contraction = lambda w: fixed_point(lambda x: (w @ x).tanh() + B, B)  # noqa: E731
    w = 0.3 * random(3, 3)
    numeric = (array(contraction(w + 1e-6)) - array(contraction(w - 1e-6))).sum() / 2e-6
    close(array(grad(lambda w: contraction(w).sum())(w)).sum(), numeric, 1e-6)


def test_no_convergence_is_an_error():
    with pytest.raises(ConvergenceError, match="fixed_point"):
        fixed_point(lambda x: 2.0 * x, f64(1.0))
    with pytest.raises(ConvergenceError, match="root"):
        root(lambda x: x * x + 1.0, f64(0.5))
    with pytest.raises(ConvergenceError, match="singular"):
        linear_solve(lambda x: x * 0.0, f64([1.0]))


def test_errors():
    with pytest.raises(TypeError, match="floating-point"):
        root(lambda x: x, tg.tensor(1, device="cpu"))
    with pytest.raises(TypeError, match="structure"):
        root(lambda x: (x, x), f64(1.0))
    with pytest.raises(Exception, match="like its argument"):
        root(lambda x: x.sum(), f64([1.0, 2.0]))

"""Cheap second derivatives, sparse matrices of derivatives, and Jacobians in the cheapest order."""

import numpy as np
import pytest

import tabgrad as tg
from tabgrad import func
from tabgrad.core.errors import GradientError
from tests.transforms.support import array, close, energy, f64, random, smooth


def test_directional_second_derivative():
    x, v = random(3), random(3, seed=1)
    value, first, second = func.directional_second_derivative(energy, (x,), (v,))
    hessian = array(func.hessian(energy)(x))
    close(value, energy(x))
    close(first, array(func.grad(energy)(x)) @ array(v))
    close(second, array(v) @ hessian @ array(v))


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_diagonal_and_laplacian(chunk_size):
    x = random(3)
    diagonal = np.diag(array(func.hessian(energy)(x)))
    close(func.hessian_diagonal(energy, chunk_size=chunk_size)(x), diagonal)
    close(func.laplacian(energy, chunk_size=chunk_size)(x), diagonal.sum())
    each = array(func.hessian(smooth)(x))
    close(func.laplacian(smooth, chunk_size=chunk_size)(x), np.trace(each, axis1=1, axis2=2))
    tree = func.hessian_diagonal(
        lambda d: (d["a"] ** 3).sum() * d["b"] ** 2, chunk_size=chunk_size
    )({"a": x, "b": f64(2.0)})
    close(tree["a"], 6 * array(x) * 4)
    close(tree["b"], 2 * (array(x) ** 3).sum())
    with pytest.raises(GradientError, match="no dimensions"):
        func.hessian_diagonal(smooth)(x)


def test_gauss_newton_and_fisher():
    x, v = random(3), random(3, seed=1)
    loss = lambda y: (y**4).sum()  # noqa: E731
    jacobian = array(func.jacrev(smooth)(x))
    inner = array(func.hessian(loss)(smooth(x)))
    value, (product,) = func.gauss_newton_product(smooth, loss, (x,), (v,))
    close(value, loss(smooth(x)))
    close(product, jacobian.T @ inner @ jacobian @ array(v))

    params = {"w": random(2, 3), "b": random(2, seed=3)}
    batch = random(5, 3, seed=4)
    one = lambda p, x: ((p["w"] @ x + p["b"]) ** 2).sum()  # noqa: E731
    rows = []
    for i in range(5):
        g = func.grad(one)(params, batch[i])
        rows.append(np.concatenate([array(g["w"]).ravel(), array(g["b"])]))
    expected = np.mean([np.outer(r, r) for r in rows], axis=0)
    close(func.empirical_fisher(one, params, batch), expected)
    diagonal = func.empirical_fisher(one, params, batch, diagonal=True)
    close(diagonal["w"], np.diag(expected)[:6].reshape(2, 3))
    tangents = {"w": random(2, 3, seed=5), "b": random(2, seed=6)}
    flat = np.concatenate([array(tangents["w"]).ravel(), array(tangents["b"])])
    product = func.empirical_fisher_product(one, params, tangents, batch)
    close(np.concatenate([array(product["w"]).ravel(), array(product["b"])]), expected @ flat)


def differ(x):
    return x[1:] ** 2 * x[:-1]


@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
def test_sparse_jacobian(mode):
    x = random(9)
    dense = func.jacrev(differ)(x)
    found = func.sparse_jacobian(differ, mode=mode)(x)
    assert found.colours == 2
    assert found.shape == (8, 9)
    assert len(found.rows) == 16
    close(found.to_dense(), dense)
    given = [[i, i + 1] for i in range(8)]
    close(func.sparse_jacobian(differ, given, mode=mode)(x).to_dense(), dense)
    mask = tg.tensor(np.array(array(dense) != 0).tolist(), device="cpu")
    close(func.sparse_jacobian(differ, mask, mode=mode)(x).to_dense(), dense)


def test_sparse_modes_take_the_cheaper_side():
    x = random(6)
    dense_row = lambda x: tg.cat([x.sum()[None], x * x])  # noqa: E731
    assert func.sparse_jacobian(dense_row)(x).colours == 2
    assert func.sparse_jacobian(dense_row, mode="forward")(x).colours == 6
    assert func.sparse_jacobian(lambda x: x[0] * x)(x).colours == 2


def test_sparse_hessian():
    x = random(8)
    f = lambda x: (differ(x) ** 2).sum()  # noqa: E731
    dense = func.hessian(f)(x)
    found = func.sparse_hessian(f, func.banded(8, 1, 1))(x)
    assert found.colours == 3
    close(found.to_dense(), dense)
    close(func.sparse_hessian(f)(x).to_dense(), dense)


def test_sparse_errors():
    with pytest.raises(GradientError, match="beyond the 3"):
        func.sparse_jacobian(lambda x: x, [[0], [1], [5]])(random(3))
    with pytest.raises(GradientError, match="2 rows, the function 3"):
        func.sparse_jacobian(lambda x: x, [[0], [1]])(random(3))
    with pytest.raises(ValueError, match="mode"):
        func.sparse_jacobian(lambda x: x, mode="both")


# -- the cheapest order ----------------------------------------------------------------------------

A, B = random(2, 10, seed=1), random(8, 2, seed=2)


def hourglass(x):
    return (B @ (A @ x.sin()).tanh()).cos()


@pytest.mark.parametrize("mode", ["auto", "forward", "reverse", "mixed"])
@pytest.mark.parametrize("chunk_size", [None, 3])
def test_every_order_gives_the_jacobian(mode, chunk_size):
    x = random(10)
    close(func.jacobian(hourglass, mode=mode, chunk_size=chunk_size)(x), func.jacrev(hourglass)(x))
    tree = {"a": random(3), "b": random(2, 2, seed=1)}
    f = lambda d: {"p": d["a"] * d["b"].sum(), "q": d["b"].sum() ** 2, "r": f64(1.0)}  # noqa: E731
    found = func.jacobian(f, mode=mode, chunk_size=chunk_size)(tree)
    expected = func.jacrev(f)(tree)
    for p in expected:
        for q in expected[p]:
            close(found[p][q], expected[p][q])


def test_the_choice_and_its_explanation():
    auto = func.jacobian(hourglass)
    plan = auto.explain(random(10))
    assert (plan.mode, plan.inputs, plan.outputs, plan.waist) == ("mixed", 10, 8, 2)
    assert plan.costs["mixed"] < plan.costs["reverse"] < plan.costs["forward"]
    assert "2 elements at the narrowest place" in str(plan)
    assert func.jacobian(lambda x: x[:2] * x.sum()).explain(random(9)).mode == "reverse"
    assert func.jacobian(lambda x: tg.outer(x, x).exp()).explain(random(3)).mode == "forward"


def test_the_function_runs_once():
    calls = []

    def f(x):
        calls.append(1)
        return hourglass(x)

    func.jacobian(f)(random(10))
    assert len(calls) == 1


def test_nested_and_batched():
    x = random(10)
    close(func.jacobian(func.jacobian(hourglass))(x), func.jacfwd(func.jacrev(hourglass))(x))
    xs = tg.stack([x, 2.0 * x])
    close(func.vmap(func.jacobian(hourglass))(xs), func.vmap(func.jacrev(hourglass))(xs))
    with pytest.raises(ValueError, match="mode"):
        func.jacobian(hourglass, mode="sideways")
    jacobian, aux = func.jacobian(lambda x: (x * x, x.sum()), has_aux=True)(random(3))
    close(jacobian, np.diag(2 * array(random(3))))
    close(aux, array(random(3)).sum())

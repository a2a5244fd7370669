"""autograd.functional against differences, and its strictness."""

import numpy as np
import pytest

import tabgrad as tg
import tabgrad.autograd.functional as ours
from tabgrad.core.errors import GradientError
from tests.transforms.support import array, close, differences, f64, random


def inputs(graph):
    """Two inputs of different shapes; for a graph ones that require grad, which come from leaves."""
    x, y = random(2, 3), random(2, seed=1)
    if graph:
        x, y = x.requires_grad_() * 1.0, y.requires_grad_() * 1.0
    return x.T, y


def one(x):
    return (x * x).sum(0) * x.sin()


def two(x, y):
    return (x * y).sum(1) * y.sum(), (x * x).sum()


def scalar(x, y):
    return (x * x * x).sum() * y.sum() + (y * y).sum() * x[1, 0]


def columns(f, xs, i, k=None):
    """The Jacobian of output `k` of `f` by input `i`, by differences: (output..., input...)."""
    xs = [x.detach() for x in xs]

    def along(x):
        out = f(*xs[:i], x, *xs[i + 1 :])
        return out if k is None else out[k]

    units = np.eye(xs[i].numel()).reshape(-1, *xs[i].shape)
    found = np.stack([differences(along, xs[i], f64(u.tolist())) for u in units], axis=-1)
    return found.reshape(*found.shape[:-1], *xs[i].shape)


def gradient(i):
    return lambda *xs: tg.func.grad(scalar, i)(*xs)


GRAPHS = pytest.mark.parametrize("create_graph", [False, True])


@GRAPHS
def test_jacobian(create_graph):
    xs = inputs(create_graph)
    found = ours.jacobian(two, xs, create_graph)
    assert isinstance(found, tuple)
    assert all(isinstance(row, tuple) and len(row) == 2 for row in found)
    for k in range(2):
        for i in range(2):
            close(found[k][i], columns(two, xs, i, k), 1e-7)
            # the last block is zero everywhere, and so depends on nothing
            assert found[k][i].requires_grad is (create_graph and (k, i) != (1, 1))
    close(ours.jacobian(one, xs[0], create_graph), columns(one, xs[:1], 0), 1e-7)


@GRAPHS
@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
def test_vectorized(strategy, create_graph):
    xs = inputs(create_graph)
    options = {"create_graph": create_graph, "vectorize": True}
    found = ours.jacobian(two, xs, strategy=strategy, **options)
    hessian = ours.hessian(scalar, xs, outer_jacobian_strategy=strategy, **options)
    for i in range(2):
        for k in range(2):
            close(found[k][i], columns(two, xs, i, k), 1e-7)
            close(hessian[k][i], columns(gradient(k), xs, i), 1e-7)
            assert hessian[k][i].requires_grad is create_graph
    close(ours.jacobian(one, xs[0], strategy=strategy, **options), columns(one, xs[:1], 0), 1e-7)


@GRAPHS
def test_hessian(create_graph):
    xs = inputs(create_graph)
    found = ours.hessian(scalar, xs, create_graph)
    for k in range(2):
        for i in range(2):
            close(found[k][i], columns(gradient(k), xs, i), 1e-7)


@GRAPHS
def test_products_with_the_jacobian(create_graph):
    xs = inputs(create_graph)
    vs = random(3, seed=2), random(seed=3)
    out, pulled = ours.vjp(two, xs, vs, create_graph)
    for k in range(2):
        close(out[k], two(*xs)[k].detach())
    for i in range(2):
        want = sum(
            np.tensordot(array(vs[k]), columns(two, xs, i, k), array(vs[k]).ndim) for k in range(2)
        )
        close(pulled[i], want, 1e-7)
        assert pulled[i].requires_grad is create_graph
    ts = random(3, 2, seed=4), random(2, seed=5)
    out, pushed = ours.jvp(two, xs, ts, create_graph)
    for k in range(2):
        want = sum(np.tensordot(columns(two, xs, i, k), array(ts[i]), ts[i].ndim) for i in range(2))
        close(pushed[k], want, 1e-7)
        close(out[k], two(*xs)[k].detach())


@GRAPHS
@pytest.mark.parametrize("name", ["hvp", "vhp"])
def test_products_with_the_hessian(name, create_graph):
    xs = inputs(create_graph)
    vs = random(3, 2, seed=4), random(2, seed=5)
    out, found = getattr(ours, name)(scalar, xs, vs, create_graph)
    close(out, scalar(*xs).detach())
    for k in range(2):
        want = sum(
            np.tensordot(columns(gradient(k), xs, i), array(vs[i]), vs[i].ndim) for i in range(2)
        )
        close(found[k], want, 1e-7)
        assert found[k].requires_grad is create_graph


def test_create_graph_reaches_the_inputs():
    x = f64([1.0, 2.0], grad=True)
    jacobian = ours.jacobian(lambda x: x * x, x, create_graph=True)
    jacobian.sum().backward()
    close(x.grad, [2.0, 2.0])
    x.grad = None
    ours.hvp(lambda x: (x**4).sum(), x, f64([1.0, 0.0]), create_graph=True)[1].sum().backward()
    close(x.grad, [24.0, 0.0])
    x.grad = None
    ours.jvp(lambda x: x**3, x, f64([1.0, 1.0]), create_graph=True)[1].sum().backward()
    close(x.grad, [6.0, 12.0])
    assert not ours.jacobian(lambda x: x * x, x).requires_grad


def test_strict():
    x, y = f64([1.0, 2.0]), f64([3.0])
    for name in ("vjp", "jvp", "jacobian"):
        with pytest.raises(GradientError, match="strict=True"):
            getattr(ours, name)(
                lambda x: f64(1.0), x, strict=True, **({"v": x} if name == "jvp" else {})
            )
    with pytest.raises(GradientError, match="input 1"):
        ours.vjp(lambda x, y: x.sum(), (x, y), strict=True)
    with pytest.raises(GradientError, match="strict=True"):
        ours.vjp(lambda x: x.sum(), x, strict=True, create_graph=True)
    with pytest.raises(GradientError, match="strict=True"):
        ours.vhp(lambda x: x.sum(), x, x, strict=True)
    close(ours.vjp(lambda x, y: x.sum(), (x, y))[1][1], [0.0])
    close(ours.hessian(lambda x: x.sum(), x), np.zeros((2, 2)))
    with pytest.raises(GradientError, match="vectorize=False"):
        ours.jacobian(one, x, strict=True, vectorize=True)


def test_errors():
    x = f64([1.0, 2.0])
    with pytest.raises(GradientError, match="left out"):
        ours.vjp(lambda x: x, x)
    with pytest.raises(GradientError, match="shapes of the outputs"):
        ours.vjp(lambda x: x, x, f64([1.0]))
    with pytest.raises(GradientError, match="single element"):
        ours.hvp(lambda x: x, x, x)
    with pytest.raises(TypeError, match="float"):
        ours.jacobian(lambda x: x, 1.0)
    with pytest.raises(TypeError, match="what the function returns"):
        ours.jacobian(lambda x: 1.0, x)
    with pytest.raises(ValueError, match="strategy"):
        ours.jacobian(one, x, strategy="sideways")
    with pytest.raises(GradientError, match="vectorize=True"):
        ours.jacobian(one, x, strategy="forward-mode")
    assert tg.is_grad_enabled()

"""autograd.functional against PyTorch's, and its strictness."""

import numpy as np
import pytest

import tabgrad as tg
import tabgrad.autograd.functional as ours
from tabgrad.core.errors import GradientError
from tests.transforms.support import array, close, energy, f64, random

torch = pytest.importorskip("torch")
theirs = torch.autograd.functional


def pair(*shapes):
    """The same random inputs for both libraries."""
    xs = tuple(random(*s, seed=i) for i, s in enumerate(shapes))
    return xs, tuple(torch.tensor(array(x)) for x in xs)


def same(a, b):
    if isinstance(b, tuple):
        assert isinstance(a, tuple)
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        assert tuple(a.shape) == tuple(b.shape)
        close(a, b.detach().numpy())


def one(x):
    return (x * x).sum() * x


def two(x, y):
    return x * y.sum(), (x * x).sum()


def scalar(x, y):
    return (x * x * x).sum() * y.sum() + (y * y).sum()


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", ["vjp", "jvp", "jacobian", "hessian", "vhp", "hvp"])
def test_agree_with_pytorch(name, create_graph):
    xs, ts = pair((3,), (2,))
    f, g = getattr(ours, name), getattr(theirs, name)
    if name == "vjp":
        (v0, v1), (w0, w1) = pair((3,), ())
        same(f(two, xs, (v0, v1), create_graph), g(two, ts, (w0, w1), create_graph))
    elif name == "jvp":
        vs, ws = pair((3,), (2,))
        same(f(two, xs, vs, create_graph), g(two, ts, ws, create_graph))
    elif name == "jacobian":
        same(f(two, xs, create_graph), g(two, ts, create_graph))
        same(f(one, xs[0], create_graph), g(one, ts[0], create_graph))
    elif name == "hessian":
        same(f(scalar, xs, create_graph), g(scalar, ts, create_graph))
        same(f(energy, xs[0], create_graph), f(energy, xs[0], vectorize=True))
    else:
        vs, ws = pair((3,), (2,))
        same(f(scalar, xs, vs, create_graph), g(scalar, ts, ws, create_graph))


@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
def test_vectorized(strategy):
    xs, ts = pair((3,), (2,))
    same(ours.jacobian(two, xs, vectorize=True, strategy=strategy), theirs.jacobian(two, ts))
    same(ours.jacobian(one, xs[0], vectorize=True, strategy=strategy), theirs.jacobian(one, ts[0]))
    hessian = ours.hessian(scalar, xs, vectorize=True, outer_jacobian_strategy=strategy)
    same(hessian, theirs.hessian(scalar, ts))


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

"""Laws of grad, vjp, jvp and their nesting."""

import math

import numpy as np
import pytest

import tabgrad as tg
from tabgrad import autograd
from tabgrad.core.errors import EscapedTensorError, GradientError
from tabgrad.func import (
    grad,
    grad_and_value,
    hessian,
    hvp,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    vjp,
    vmap,
)
from tabgrad.ops.elementwise import exp, stop_gradient
from tabgrad.ops.trigonometry import sin
from tabgrad.ops.view import reshape
from tests.transforms.support import array, close, differences, energy, f64, random, smooth


def test_grad_agrees_with_differences():
    x = random(3)
    for i in range(3):
        unit = f64([float(k == i) for k in range(3)])
        assert array(grad(energy)(x))[i] == pytest.approx(
            float(differences(energy, x, unit)), rel=1e-7
        )


def test_jvp_agrees_with_differences():
    x, dx = random(3), random(3, seed=1)
    y, dy = jvp(smooth, (x,), (dx,))
    close(y, smooth(x))
    close(dy, differences(smooth, x, dx), 1e-7)


def test_jvp_and_vjp_are_dual():
    x, dx, ct = random(3), random(3, seed=1), random(3, seed=2)
    _, dy = jvp(smooth, (x,), (dx,))
    _, vjp_fn = vjp(smooth, x)
    (pulled,) = vjp_fn(ct)
    assert float(array((ct * dy).sum())) == pytest.approx(
        float(array((pulled * dx).sum())), rel=1e-12
    )


def test_vjp_is_linear_in_the_cotangent_and_can_be_called_again():
    x, a, b = random(3), random(3, seed=1), random(3, seed=2)
    _, vjp_fn = vjp(smooth, x)
    close(vjp_fn(a * 2.0 + b)[0], vjp_fn(a)[0] * 2.0 + vjp_fn(b)[0])


def test_chain_rule_of_compositions():
    x, dx = random(3), random(3, seed=1)
    inner, d_inner = jvp(smooth, (x,), (dx,))
    close(jvp(lambda v: smooth(smooth(v)), (x,), (dx,))[1], jvp(smooth, (inner,), (d_inner,))[1])


def test_trees_argnums_and_aux():
    def f(params, scale):
        return (params["w"] * params["b"][0]).sum() * scale, {"w": params["w"], "note": "kept"}

    params = {"w": random(3), "b": [f64(2.0)]}
    g, aux = grad(f, has_aux=True)(params, f64(3.0))
    assert aux["note"] == "kept"
    close(aux["w"], params["w"])
    close(g["w"], [6.0] * 3)
    close(g["b"][0], array(params["w"]).sum() * 3)
    (_, dscale), (value, _) = grad_and_value(f, argnums=(0, 1), has_aux=True)(params, f64(3.0))
    close(value, array(params["w"]).sum() * 6)
    close(dscale, array(params["w"]).sum() * 2)
    close(grad(lambda x, y: x * y, argnums=-1)(f64(2.0), f64(3.0)), 2.0)


def test_vjp_and_jvp_of_several_inputs_and_outputs():
    x, y = f64(2.0), f64(3.0)
    (product, total), vjp_fn = vjp(lambda x, y: (x * y, x + y), x, y)
    close(product, 6.0)
    close(total, 5.0)
    dx, dy = vjp_fn((f64(1.0), f64(10.0)))
    close(dx, 13.0)
    close(dy, 12.0)
    out, tangents = jvp(lambda x, y: {"p": x * y}, (x, y), (f64(1.0), f64(0.0)))
    close(out["p"], 6.0)
    close(tangents["p"], 3.0)


def test_constants_have_zero_derivatives():
    close(grad(lambda x: f64(1.0))(f64(2.0)), 0.0)
    close(grad(lambda x: stop_gradient(x) * x)(f64(2.0)), 2.0)
    close(jvp(lambda x: f64([1.0, 2.0]), (f64(1.0),), (f64(1.0),))[1], [0.0, 0.0])
    with pytest.raises(GradientError, match="does not depend"):
        jvp(lambda x: f64(1.0), (f64(1.0),), (f64(1.0),), strict=True)


# -- perturbation confusion ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "inner",
    [
        lambda x: grad(lambda y: x + y)(f64(1.0)),
        lambda x: jvp(lambda y: x + y, (f64(1.0),), (f64(1.0),))[1],
    ],
    ids=["grad", "jvp"],
)
def test_inner_derivative_does_not_see_the_outer_variable(inner):
    # d/dx [x * d/dy (x + y)] = 1
    close(grad(lambda x: x * inner(x))(f64(3.0)), 1.0)
    close(jvp(lambda x: x * inner(x), (f64(3.0),), (f64(1.0),))[1], 1.0)


def test_confusion_through_a_function_that_returns_functions():
    # the example of Manzyuk et al. (2019): D applied to a function-valued function
    def derivative(f):
        return lambda x: jvp(f, (x,), (f64(1.0),))[1]

    def shift(offset):
        return lambda f: lambda x: f(x + offset)

    shifted = lambda f, x: jvp(lambda u: shift(u)(f)(x), (f64(0.0),), (f64(1.0),))[1]  # noqa: E731
    twice = shifted(lambda v: shifted(exp, v), f64(1.0))
    close(twice, math.e)
    close(derivative(derivative(exp))(f64(1.0)), math.e)


def test_a_closed_over_tensor_of_another_level_is_a_constant():
    def outer(x):
        y = x * x
        inner_gradient = grad(lambda z: z * y)(f64(5.0))  # y, as a tensor of the outer level
        return inner_gradient * x  # x**3

    close(grad(outer)(f64(2.0)), 12.0)
    close(grad(grad(outer))(f64(2.0)), 12.0)


def test_reverse_over_base_tape():
    w = f64(3.0, grad=True)
    g = grad(lambda x: x * x * w)(f64(2.0))
    g.backward()
    close(w.grad, 4.0)


# -- nesting ---------------------------------------------------------------------------------------

SECOND = {
    "grad of grad": lambda f: grad(grad(f)),
    "jvp of grad": lambda f: lambda x: jvp(grad(f), (x,), (f64(1.0),))[1],
    "grad of jvp": lambda f: grad(lambda x: jvp(f, (x,), (f64(1.0),))[1]),
    "jvp of jvp": lambda f: (
        lambda x: jvp(lambda y: jvp(f, (y,), (f64(1.0),))[1], (x,), (f64(1.0),))[1]
    ),
    "jacfwd of jacrev": lambda f: hessian(f),
    "jacrev of jacfwd": lambda f: jacrev(jacfwd(f)),
    "linearize of grad": lambda f: lambda x: linearize(grad(f), x)[1](f64(1.0)),
    "grad of linearize": lambda f: grad(lambda x: linearize(f, x)[1](f64(1.0))),
    "vmap of grad of grad": lambda f: (
        lambda x: vmap(grad(grad(f)))(reshape.bind(x, shape=(1,))).sum()
    ),
    "grad of vmap of grad": lambda f: grad(
        lambda x: vmap(grad(f))(reshape.bind(x, shape=(1,))).sum()
    ),
}


@pytest.mark.parametrize("name", SECOND)
def test_every_nesting_gives_the_second_derivative(name):
    f = lambda x: sin(x) * x * x  # noqa: E731
    x = 0.7
    expected = 2 * math.sin(x) + 4 * x * math.cos(x) - x * x * math.sin(x)
    close(SECOND[name](f)(f64(x)), expected)


def test_hessian_ways_agree_and_hvp_is_its_product():
    x, v = random(3), random(3, seed=1)
    ways = [
        jacfwd(jacrev(energy)),
        jacrev(jacfwd(energy)),
        jacrev(jacrev(energy)),
        jacfwd(jacfwd(energy)),
    ]
    first = array(ways[0](x))
    np.testing.assert_allclose(first, first.T, rtol=1e-10)
    for way in ways[1:]:
        close(way(x), first)
    value, (product,) = hvp(energy, (x,), (v,))
    close(value, energy(x))
    close(product, first @ array(v))


def test_third_derivative():
    close(grad(grad(grad(lambda x: x * x * x * x)))(f64(2.0)), 48.0)


# -- Jacobians -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [jacrev, jacfwd])
@pytest.mark.parametrize("chunk_size", [None, 1, 2, 7])
def test_jacobian_columns_are_differences(make, chunk_size):
    x = random(3)
    jacobian = array(make(smooth, chunk_size=chunk_size)(x))
    for i in range(3):
        unit = f64([float(k == i) for k in range(3)])
        np.testing.assert_allclose(
            jacobian[:, i], differences(smooth, x, unit), rtol=1e-6, atol=1e-8
        )


@pytest.mark.parametrize("make", [jacrev, jacfwd])
def test_jacobian_of_trees(make):
    def f(d, s):
        return {"p": d["a"] * d["b"], "q": (d["a"] * s).sum()}

    a, b, s = random(2), random(2, seed=1), f64(3.0)
    d, ds = make(f, argnums=(0, 1))({"a": a, "b": b}, s)["p"]
    close(d["a"], np.diag(array(b)))
    close(ds, [0.0, 0.0])
    q = make(f, argnums=(0, 1))({"a": a, "b": b}, s)["q"]
    close(q[0]["a"], [3.0, 3.0])
    close(q[0]["b"], [0.0, 0.0])
    close(q[1], array(a).sum())
    jacobian, aux = make(lambda x: (x * x, x), has_aux=True)(a)
    close(jacobian, np.diag(2 * array(a)))
    close(aux, a)


def test_linearize_runs_the_function_once():
    calls = []

    def f(x):
        calls.append(1)
        return smooth(x)

    x, dx = random(3), random(3, seed=1)
    y, jvp_fn = linearize(f, x)
    close(y, smooth(x))
    for scale in (1.0, -2.0):
        close(jvp_fn(dx * scale), jvp(smooth, (x,), (dx * scale,))[1])
    assert len(calls) == 1
    close(vmap(jvp_fn)(f64(np.eye(3).tolist())), array(jacfwd(smooth)(x)).T)


# -- grad mode and escapes -------------------------------------------------------------------------


def test_no_grad_inside_counts_and_outside_does_not():
    def f(x):
        with autograd.no_grad():
            c = x * x
        return x - c

    close(grad(f)(f64(3.0)), 1.0)
    with autograd.no_grad():
        close(grad(lambda x: x * x)(f64(3.0)), 6.0)
        close(jvp(lambda x: x * x, (f64(3.0),), (f64(1.0),))[1], 6.0)

    def g(x):
        with autograd.no_grad():
            slope = grad(lambda y: y * x * x)(f64(1.0))  # x**2, a constant for the outer grad
        return slope * x

    close(grad(g)(f64(3.0)), 9.0)
    w = f64(2.0, grad=True)
    with autograd.no_grad():
        assert not grad(lambda x: x * x * w)(f64(1.0)).requires_grad
        out, _ = vjp(lambda x: x * w, f64(1.0))
        assert not out.requires_grad
        _, aux = grad(lambda x: (x * x, w * 2.0), has_aux=True)(f64(1.0))
        assert not aux.requires_grad
    assert grad(lambda x: x * x * w)(f64(1.0)).requires_grad
    assert vjp(lambda x: x * w, f64(1.0))[0].requires_grad


@pytest.mark.parametrize("transform", [
    lambda f: grad(f)(f64(1.0)),
    lambda f: jvp(f, (f64(1.0),), (f64(1.0),)),
    lambda f: vmap(f)(f64([1.0, 2.0])),
    lambda f: linearize(f, f64(1.0)),
])  # fmt: skip
def test_escaped_tensors_say_what_to_do(transform):
    kept = []

    def f(x):
        kept.append(x * 2.0)
        return x * 1.0

    transform(f)
    with pytest.raises(EscapedTensorError, match="return it from the function"):
        kept[0] * 2.0
    with pytest.raises(EscapedTensorError):
        grad(lambda x: x * kept[0])(f64(1.0))


# -- bad input -------------------------------------------------------------------------------------


def test_errors():
    x = f64([1.0, 2.0])
    with pytest.raises(GradientError, match="no dimensions"):
        grad(lambda x: x)(x)
    with pytest.raises(GradientError, match="only tensors, got float"):
        grad(lambda x: 3.0)(x)
    with pytest.raises(GradientError, match="argnums"):
        grad(lambda x: x.sum(), argnums=1)(x)
    with pytest.raises(GradientError, match="none twice"):
        grad(lambda x, y: x.sum(), argnums=(0, 0))(x, x)
    with pytest.raises(GradientError, match="floating-point"):
        grad(lambda x: x.sum())(tg.tensor([1, 2], device="cpu"))
    with pytest.raises(GradientError, match="only tensors"):
        vjp(lambda x: x, 1.0)
    with pytest.raises(GradientError, match="pair"):
        grad(lambda x: x.sum(), has_aux=True)(x)
    _, vjp_fn = vjp(lambda x: x * 2.0, x)
    with pytest.raises(GradientError, match="shape and dtype"):
        vjp_fn(f64([1.0, 2.0, 3.0]))
    with pytest.raises(GradientError, match="structure"):
        vjp_fn((x, x))
    with pytest.raises(GradientError, match="shape and dtype"):
        jvp(lambda x: x, (x,), (f64(1.0),))
    with pytest.raises(GradientError, match="structure"):
        jvp(lambda x: x, (x,), (x, x))
    with pytest.raises(GradientError, match="tuples"):
        jvp(lambda x: x, x, x)

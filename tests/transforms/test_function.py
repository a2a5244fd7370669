"""Functions with rules of the user's own: Function, custom_vjp, custom_jvp, under every transform."""

import pytest

import tabgrad as tg
from tabgrad.core.errors import GradientError, TransformError
from tabgrad.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap
from tabgrad.ops.elementwise import exp, minimum
from tabgrad.ops.trigonometry import sin
from tabgrad.transforms.backward import grad as tape_grad
from tabgrad.transforms.custom import custom_jvp, custom_vjp
from tabgrad.transforms.function import Function, once_differentiable
from tabgrad.transforms.node import grad_fn
from tests.transforms.support import array, close, f64, random

# Each rule is 10 times the true derivative, so that it shows which one was used.


class Old(Function):
    @staticmethod
    def forward(ctx, x, power):
        ctx.power = power
        y = x**power
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx, ct):
        x, y = ctx.saved_tensors
        return ct * 10.0 * ctx.power * y / x, None


class New(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, y):
        return x * y, x + y

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, c1, c2):
        x, y = ctx.saved_tensors
        return 10.0 * c1 * y + c2, 10.0 * c1 * x + c2

    @staticmethod
    def jvp(ctx, dx, dy):
        x, y = ctx.saved_tensors
        return 10.0 * (dx * y + x * dy), dx + dy


def product(x, y):
    return New.apply(x, y)[0]


@custom_vjp
def vjp_product(x, y):
    return x * y


vjp_product.defvjp(
    lambda x, y: (vjp_product(x, y), (x, y)), lambda r, ct: (10.0 * ct * r[1], 10.0 * ct * r[0])
)


@custom_jvp
def jvp_product(x, y):
    return x * y


@jvp_product.defjvp
def _jvp_product_rule(primals, tangents):
    (x, y), (dx, dy) = primals, tangents
    return jvp_product(x, y), 10.0 * (dx * y + x * dy)


EVERY = {"Function": product, "custom_vjp": vjp_product, "custom_jvp": jvp_product}


@pytest.mark.parametrize("name", EVERY)
def test_the_rule_is_used_by_every_transform(name):
    f = EVERY[name]
    x, y = f64(2.0), f64(3.0)
    close(grad(f, (0, 1))(x, y)[0], 30.0)
    close(grad(f, (0, 1))(x, y)[1], 20.0)
    tracked = f64(2.0, grad=True)
    f(tracked, y).backward()
    close(tracked.grad, 30.0)
    xs = f64([1.0, 2.0, 3.0])
    close(vmap(f, (0, None))(xs, y), [3.0, 6.0, 9.0])
    close(vmap(grad(f, 1), (0, None))(xs, y), [10.0, 20.0, 30.0])
    close(grad(lambda y: vmap(f, (0, None))(xs, y).sum())(y), 60.0)
    close(
        grad(lambda y: vmap(vmap(f, (0, None)), (None, 0))(xs, y).sum())(f64([1.0, 1.0])),
        [60.0, 60.0],
    )
    close(vmap(lambda ct: vjp(f, x, y)[1](ct)[0])(f64([1.0, 2.0])), [30.0, 60.0])
    close(jacrev(f)(xs, f64([1.0, 1.0, 1.0])), 10 * array(jacrev(lambda x: x)(xs)))


@pytest.mark.parametrize("name", EVERY)
def test_second_derivatives_go_through_the_rule(name):
    f = EVERY[name]
    # the rule's derivative 10 * y is a function of y: d2/dxdy is 10, of x * f it is 2 * 10 * y for d2/dx2
    g = lambda x, y: f(x, y) * x  # noqa: E731
    x, y = f64(2.0), f64(3.0)
    first = grad(g)(x, y)
    close(first, 10 * 3 * 2 + 6)
    expected = 10 * 3 + 10 * 3  # of the first term by its factor x; of the second by the rule
    close(grad(grad(g))(x, y), expected)
    tracked = f64(2.0, grad=True)
    (slope,) = tape_grad(g(tracked, y), tracked, create_graph=True)
    close(slope, first)
    close(tape_grad(slope, tracked)[0], expected)
    close(hessian(lambda v: g(v, y))(x), expected)


@pytest.mark.parametrize("name", EVERY)
def test_forward_mode_uses_the_rule(name):
    f = EVERY[name]
    x, y = f64(2.0), f64(3.0)
    close(jvp(f, (x, y), (f64(1.0), f64(0.0)))[1], 30.0)
    close(jacfwd(f, (0, 1))(x, y)[1], 20.0)
    close(vmap(lambda t: jvp(lambda x: f(x, y), (x,), (t,))[1])(f64([1.0, 2.0])), [30.0, 60.0])
    w = f64(3.0, grad=True)
    jvp(lambda x: f(x, w), (x,), (f64(1.0),))[1].backward()
    close(w.grad, 10.0)


def test_residuals_of_a_custom_vjp_depend_on_its_inputs():
    f = custom_vjp(lambda x: sin(x))
    f.defvjp(lambda x: (sin(x), x * x), lambda r, ct: (ct * r,))
    x = f64(3.0, grad=True)
    (first,) = tape_grad(f(x), x, create_graph=True)
    close(first, 9.0)
    close(tape_grad(first, x)[0], 6.0)
    close(grad(grad(f))(f64(3.0)), 6.0)


def test_rules_that_are_not_linear_are_refused():
    clipped = custom_vjp(lambda x: x * 1.0)
    clipped.defvjp(lambda x: (x * 1.0, None), lambda r, ct: (minimum(ct, 1.0),))
    close(grad(lambda x: clipped(x) * 5.0)(f64(1.0)), 1.0)
    with pytest.raises(TransformError, match="linear"):
        jvp(clipped, (f64(1.0),), (f64(1.0),))
    for tangent in (lambda x, t: t * t, lambda x, t: t + 1.0, lambda x, t: exp(t)):
        crooked = custom_jvp(lambda x: x * 1.0)
        crooked.defjvp(lambda p, t, tangent=tangent: (p[0] * 1.0, tangent(p[0], t[0])))
        with pytest.raises(TransformError, match="linear"):
            grad(crooked)(f64(1.0))


def test_old_style():
    x = f64(2.0, grad=True)
    y = Old.apply(x, 3)
    close(y, 8.0)
    assert grad_fn(y).name() == "OldBackward"
    (first,) = tape_grad(y, x, create_graph=True)
    close(first, 120.0)
    # 30 * y / x: through y by its own rule (120 * 10 is in the saved output), and through x
    close(tape_grad(first, x)[0], 30 * (120.0 / 2 - 8.0 / 4))
    with pytest.raises(TransformError, match="setup_context"):
        grad(lambda x: Old.apply(x, 3))(f64(2.0))


def test_needs_input_grad_and_materialized_zeros():
    seen = {}

    class F(Function):
        @staticmethod
        def forward(ctx, x, y, k):
            seen["forward"] = ctx.needs_input_grad
            return x * 1.0, y * 1.0

        @staticmethod
        def backward(ctx, c1, c2):
            seen["backward"] = ctx.needs_input_grad
            seen["zeros"] = c2
            return c1, None, None

    x, y = f64([1.0], grad=True), f64([1.0])
    F.apply(x, y, 3)[0].sum().backward()
    assert seen["forward"] == seen["backward"] == (True, False, False)
    close(seen["zeros"], [0.0])


def test_set_materialize_grads_and_non_differentiable_outputs():
    seen = []

    class F(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            y, z, w = x * 1.0, x * 2.0, x * 3.0
            ctx.mark_non_differentiable(z)
            return y, z, w

        @staticmethod
        def backward(ctx, c1, c2, c3):
            seen.append((c2, c3))
            return c1

    x = f64([1.0], grad=True)
    y, z, w = F.apply(x)
    assert (y.requires_grad, z.requires_grad, w.requires_grad) == (True, False, True)
    y.sum().backward()
    assert seen == [(None, None)]


def test_returning_an_input_does_not_make_it_another_tensor():
    class Same(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, ct):
            return ct * 7.0

    x = f64([1.0], grad=True)
    y = Same.apply(x)
    assert y is not x
    y.sum().backward()
    close(x.grad, [7.0])


def test_gradients_are_checked():
    def made(value):
        class F(Function):
            @staticmethod
            def forward(ctx, x, k):
                return x * 1.0

            @staticmethod
            def backward(ctx, ct):
                return value(ct)

        x = f64([1.0, 2.0], grad=True)
        F.apply(x, 2).sum().backward()
        return x.grad

    with pytest.raises(GradientError, match="each of the 2 arguments"):
        made(lambda ct: ct)
    with pytest.raises(GradientError, match="it returned 3"):
        made(lambda ct: (ct, None, ct))
    with pytest.raises(GradientError, match="argument 1, which is no tensor"):
        made(lambda ct: (ct, ct))
    with pytest.raises(GradientError, match=r"shape \(3,\)"):
        made(lambda ct: (f64([1.0, 2.0, 3.0]), None))
    with pytest.raises(TypeError, match="float"):
        made(lambda ct: (1.0, None))
    close(made(lambda ct: (ct * 1.0, None, None)), [1.0, 1.0])


def test_once_differentiable():
    class F(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx, ct):
            (x,) = ctx.saved_tensors
            return ct * 2.0 * x

    x = f64(3.0, grad=True)
    (g,) = tape_grad(F.apply(x), x, create_graph=True)
    close(g, 6.0)
    with pytest.raises(GradientError, match="once_differentiable"):
        g.backward()


def test_a_freed_function_says_so():
    x = f64(2.0, grad=True)
    y = Old.apply(x, 2)
    y.backward()
    with pytest.raises(GradientError, match="retain_graph"):
        y.backward()


def test_missing_rules_say_which():
    class Bare(Function):
        @staticmethod
        def forward(x):
            return x * 1.0

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

    x = f64(1.0, grad=True)
    with pytest.raises(NotImplementedError, match="backward"):
        Bare.apply(x).backward()
    with pytest.raises(NotImplementedError, match="jvp"):
        jvp(Bare.apply, (f64(1.0),), (f64(1.0),))
    with pytest.raises(TransformError, match="generate_vmap_rule"):
        vmap(Bare.apply)(random(3))

    class Wrong(Bare):
        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(3)

    with pytest.raises(TypeError, match="save_for_backward"):
        Wrong.apply(x)


def test_vmap_rule_by_hand():
    class F(Function):
        @staticmethod
        def forward(x, k):
            return x * k

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.k = inputs[1]

        @staticmethod
        def backward(ctx, ct):
            return ct * ctx.k, None

        @staticmethod
        def vmap(info, in_dims, x, k):
            assert info.batch_size == 3
            assert in_dims == (1, None)
            return F.apply(x, k) + 100.0, 1

    x = random(2, 3)
    close(vmap(lambda v: F.apply(v, 2.0), in_dims=1, out_dims=1)(x), 2 * array(x) + 100)


def test_trees_and_fixed_arguments():
    f = custom_vjp(lambda k, d: {"out": d["x"] * d["y"] * k}, nondiff_argnums=(0,))
    f.defvjp(
        lambda k, d: (f(k, d), d),
        lambda k, d, ct: (
            {"x": ct["out"] * d["y"] * k * 10.0, "y": (None and 0) or ct["out"] * 0.0},
        ),
    )
    g = grad(lambda d: f(2.0, d)["out"])({"x": f64(3.0), "y": f64(5.0)})
    close(g["x"], 100.0)
    close(g["y"], 0.0)
    h = custom_vjp(lambda x: x)
    h.defvjp(lambda x: (x, None), lambda r, ct: (ct, ct))
    with pytest.raises(GradientError, match="one gradient for each of the 1 arguments"):
        grad(h)(f64(1.0))
    with pytest.raises(TransformError, match="defvjp"):
        custom_vjp(lambda x: x)(f64(1.0))


def test_defjvps():
    f = custom_jvp(lambda x, y: sin(x) * y)
    f.defjvps(lambda t, out, x, y: t * 100.0, None)
    close(grad(f, (0, 1))(f64(1.0), f64(2.0))[0], 100.0)
    close(grad(f, (0, 1))(f64(1.0), f64(2.0))[1], 0.0)
    assert tg is not None


# -- what a node shows -----------------------------------------------------------------------------

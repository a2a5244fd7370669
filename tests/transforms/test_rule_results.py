"""What a user's rule or hook returns is checked: a wrong count, shape or type is named, never taken."""

import pytest

import tabgrad as tg
from tabgrad.core.errors import GradientError, TransformError
from tabgrad.func import custom_jvp, custom_vjp, grad, jvp, vmap
from tests.transforms.support import close, f64, random


class Double(tg.autograd.Function):
    """2x, and y as it is."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, y):
        return 2.0 * x, y * 1.0

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, c1, c2):
        return 2.0 * c1, c2

    @staticmethod
    def jvp(ctx, t1, t2):
        return 2.0 * t1, t2


def pair():
    return random(2, 3).requires_grad_(), random(4, seed=1).requires_grad_()


# -- Function --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("found", "kind", "message"), [
    (lambda a, b: (a,), GradientError, "tangent for each of the 2 outputs, got 1"),
    (lambda a, b: (a, b, b), GradientError, "tangent for each of the 2 outputs, got 3"),
    (lambda a, b: (a, a), GradientError, r"tangent of shape \(2, 3\) for output 1; expected \(4,\)"),
    (lambda a, b: (1.0, b), TypeError, "returned float for output 0"),
])  # fmt: skip
def test_jvp_of_a_function(found, kind, message):
    class Wrong(Double):
        @staticmethod
        def jvp(ctx, t1, t2):
            return found(t1, t2)

    x, y = random(2, 3), random(4, seed=1)
    with pytest.raises(kind, match=message):
        jvp(Wrong.apply, (x, y), (x, y))
    with pytest.raises(kind):
        vmap(lambda t: jvp(Wrong.apply, (x, y), (t, y))[1])(random(5, 2, 3))


def test_a_tangent_of_another_dtype_is_converted():
    class Single(Double):
        @staticmethod
        def jvp(ctx, t1, t2):
            return (2.0 * t1).float(), t2

    x, y = random(2, 3), random(4, seed=1)
    (t1, _) = jvp(Single.apply, (x, y), (x, y))[1]
    assert t1.dtype is tg.float64
    close(t1, 2.0 * x, 1e-6)


def test_a_gradient_is_summed_within_each_element_of_a_batch():
    class Spread(Double):
        @staticmethod
        def backward(ctx, c1, c2):
            return (2.0 * c1).expand(2, 3) + f64([[0.0], [1.0]]), c2

    x, y = random(2, 3), random(2, 4, seed=1)
    each = lambda x, y: grad(lambda x: Spread.apply(x, y)[0].sum())(x)  # noqa: E731
    close(vmap(each)(x, y), f64([[5.0, 5.0, 5.0]] * 2))
    close(each(x[0], y[0]), f64([5.0, 5.0, 5.0]))


def test_dirty_tensors_are_inputs_and_outputs():
    class Lost(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x.mul_(2.0))
            return x + 0.0

    class Stranger(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x * 2.0
            ctx.mark_dirty(y)
            return y

    x, _ = pair()
    with pytest.raises(GradientError, match="must all be outputs of the Function"):
        Lost.apply(x * 1.0)
    with pytest.warns(UserWarning, match="is no input"):
        Stranger.apply(x * 1.0)


def test_two_batching_rules_are_one_too_many():
    class Both(Double):
        @staticmethod
        def vmap(info, in_dims, x, y):
            return Both.apply(x, y), (0, None)

    with pytest.raises(TransformError, match="generate_vmap_rule"):
        vmap(Both.apply)(random(3, 2), random(3, 4))


# -- custom_vjp and custom_jvp ---------------------------------------------------------------------


@pytest.mark.parametrize(("found", "kind", "message"), [
    (lambda g: (g.sum(0), g), GradientError, r"shape \(3,\) for an argument of shape \(2, 3\)"),
    (lambda g: (g, g[None]), GradientError, r"shape \(1, 2, 3\) for an argument of shape \(2, 3\)"),
    (lambda g: (1.0, g), TypeError, "float"),
    (lambda g: (g, g, g), GradientError, "one gradient for each of the 2 arguments"),
    (lambda g: g, GradientError, "one gradient for each of the 2 arguments"),
])  # fmt: skip
def test_bwd_of_a_custom_vjp(found, kind, message):
    f = custom_vjp(lambda x, y: x * y)
    f.defvjp(lambda x, y: (x * y, None), lambda _, g: found(g))
    x, y = random(2, 3).requires_grad_(), random(2, 3, seed=1).requires_grad_()
    with pytest.raises(kind, match=message):
        f(x, y).sum().backward()
    with pytest.raises(kind, match=message):
        grad(lambda x, y: f(x, y).sum(), (0, 1))(x.detach(), y.detach())
    with pytest.raises(kind, match=message):
        vmap(grad(lambda x, y: f(x, y).sum(), (0, 1)))(random(2, 2, 3), random(2, 2, 3))
    with pytest.raises(kind, match=message):
        jvp(f, (x.detach(), y.detach()), (random(2, 3), random(2, 3)))


@pytest.mark.parametrize(("found", "kind", "message"), [
    (lambda y, t: (y, t.sum(0)), GradientError, r"tangent of shape \(3,\) for an output of shape \(2, 3\)"),
    (lambda y, t: (y, 1.0), TypeError, "float"),
    (lambda y, t: t, TransformError, "pair"),
])  # fmt: skip
def test_rule_of_a_custom_jvp(found, kind, message):
    f = custom_jvp(lambda x: 2.0 * x)
    f.defjvp(lambda p, t: found(2.0 * p[0], 2.0 * t[0]))
    x = random(2, 3)
    with pytest.raises(kind, match=message):
        jvp(f, (x,), (x,))
    with pytest.raises(kind, match=message):
        grad(lambda x: f(x).sum())(x)
    with pytest.raises(kind, match=message):
        vmap(lambda x: jvp(f, (x,), (x,)))(random(2, 2, 3))
    with pytest.raises(kind, match=message):
        f(x.requires_grad_()).sum().backward()


def test_derivatives_of_another_dtype_are_converted():
    back = custom_vjp(lambda x: 2.0 * x)
    back.defvjp(lambda x: (2.0 * x, None), lambda _, g: ((2.0 * g).float(),))
    forth = custom_jvp(lambda x: 2.0 * x)
    forth.defjvp(lambda p, t: (2.0 * p[0], (2.0 * t[0]).float()))
    for f in (back, forth):
        g = grad(lambda x, f=f: f(x).sum())(random(3))
        assert g.dtype is tg.float64
        close(g, f64([2.0, 2.0, 2.0]), 1e-6)
    assert jvp(forth, (random(3),), (random(3),))[1].dtype is tg.float64


def test_arguments_by_name_reach_the_rules_by_position():
    @custom_vjp
    def f(x, power=2, *, scale=3.0):
        return x**power * scale

    @custom_vjp
    def g(x, power=2):
        return x**power

    g.defvjp(lambda x, power: (x**power, (x, power)), lambda r, ct: (ct * 10.0 * r[0], None))
    f.defvjp(lambda *args: (args[0], None), lambda _, ct: (ct,))
    x = random(2, 3)
    close(grad(lambda x: g(x, power=3).sum())(x), 10.0 * x)
    close(grad(lambda x: g(power=3, x=x).sum())(x), 10.0 * x)
    close(grad(lambda x: g(x).sum())(x), 10.0 * x)
    close(g(x, power=3), x**3)
    with pytest.raises(TypeError, match="scale can't be keyword-only"):
        f(x, scale=1.0)
    with pytest.raises(TypeError, match="unexpected"):
        g(x, order=3)
    h = custom_jvp(lambda x, k=2.0: k * x)
    h.defjvp(lambda p, t: (p[1] * p[0], 10.0 * p[1] * t[0]))
    close(jvp(lambda x: h(k=3.0, x=x), (x,), (x,))[1], 30.0 * x)


# -- hooks on nodes --------------------------------------------------------------------------------


@pytest.mark.parametrize(("returned", "message"), [
    (lambda gi: (gi[0],), "2 gradients"),
    (lambda gi: (gi[0][:1], gi[1]), r"float64\[1,3\]"),
    (lambda gi: (1.0, gi[1]), "returned 'float'"),
])  # fmt: skip
def test_what_a_hook_on_a_node_returns(returned, message):
    x, y = random(2, 3).requires_grad_(), random(2, 3, seed=1).requires_grad_()
    z = x * y
    z.grad_fn.register_hook(lambda gi, go: returned(gi))
    with pytest.raises((GradientError, TypeError), match=message):
        z.sum().backward()


@pytest.mark.parametrize(("returned", "message"), [
    (lambda go: (go[0], go[0]), "1 gradient"),
    (lambda go: (go[0][:1],), r"float64\[1,3\]"),
    (lambda go: 1.0, "returned 'float'"),
])  # fmt: skip
def test_what_a_prehook_on_a_node_returns(returned, message):
    x = random(2, 3).requires_grad_()
    z = x * 2.0
    z.grad_fn.register_prehook(returned)
    with pytest.raises((GradientError, TypeError), match=message):
        z.sum().backward()

"""Gradients of what is written through views, the flags of views after it, and what is refused."""

import pytest

import tabgrad as tg
from tabgrad.core.errors import GradientError

pytestmark = pytest.mark.every_host


@pytest.fixture(autouse=True)
def on(device):
    with tg.device(device):
        yield


class Add(tg.autograd.Function):
    """x + y, in place."""

    @staticmethod
    def forward(x, y):
        return x.add_(y)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_dirty(inputs[0])

    @staticmethod
    def backward(ctx, g):
        return g, 10 * g

    @staticmethod
    def jvp(ctx, dx, dy):
        return dx.add_(dy)


class Half(tg.autograd.Function):
    """The first half of x, as a view, with a derivative that is not the view's."""

    @staticmethod
    def forward(ctx, x):
        return x[:2]

    @staticmethod
    def backward(ctx, g):
        return tg.cat([g * 10, g * 10])


class Same(tg.autograd.Function):
    """x as it is, with a derivative of its own."""

    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def backward(ctx, g):
        return g * 10


def five_times(g):
    g.mul_(5)


def ones(*shape):
    return tg.ones(*shape, requires_grad=True)


def test_a_dirty_view_gives_its_base_the_history():
    a, b = ones(4), ones(2)
    c = a.clone()
    y = Add.apply(c[:2], b)
    assert y.requires_grad
    assert c.tolist() == [2, 2, 1, 1]
    c.sum().backward()
    assert b.grad.tolist() == [10, 10]
    assert a.grad.tolist() == [1, 1, 1, 1]


def test_a_dirty_view_of_a_view_reaches_the_base_and_its_other_views():
    a, b = ones(2, 4), ones(2)
    c = a.clone()
    column = c[:, 1]
    Add.apply(c[0][1:3], b)
    assert column.tolist() == [2, 1]
    (c * 2).sum().backward()
    assert b.grad.tolist() == [20, 20]
    column.sum().backward()
    assert b.grad.tolist() == [30, 20]


def test_a_dirty_view_of_a_plain_base_makes_the_base_require_grad():
    c, b = tg.ones(4), ones(2)
    v = c[:2]
    Add.apply(v, b)
    assert (c.requires_grad, v.requires_grad, v.is_leaf) == (True, True, False)
    (c * 2).sum().backward()
    assert b.grad.tolist() == [20, 20]


def test_a_dirty_view_of_a_detached_tensor_shares_values_only():
    a, b = tg.ones(4), ones(2)
    d = a.detach()
    Add.apply(d[:2], b)
    assert a.tolist() == [2, 2, 1, 1]
    assert (a.requires_grad, d.requires_grad) == (False, True)


@pytest.mark.parametrize("part", [slice(None), slice(0, 2)])
def test_a_dirty_leaf_or_view_of_one_is_refused_and_left_as_it_was(part):
    a, b = ones(4), tg.ones(4)
    x = a if part == slice(None) else a[part]
    with pytest.raises(GradientError, match="leaf Variable that requires grad"):
        Add.apply(x, b[part])
    assert a.tolist() == [1, 1, 1, 1]
    with tg.no_grad():
        Add.apply(x, b[part])
    assert a.tolist() == ([2, 2, 2, 2] if x is a else [2, 2, 1, 1])


def test_dirty_inside_func_grad():
    def through_views(t):
        c = t * 2
        Add.apply(c[:1], t[:1])
        return (c * c).sum()

    assert tg.func.grad(through_views)(tg.ones(2)).tolist() == [2 * 3 * 12, 8]

    def returned(t):
        c = t * t
        y = Add.apply(c, t * t * t)
        assert y is c
        return c.sum()

    assert tg.func.grad(returned)(tg.ones(2)).tolist() == [32, 32]
    second = tg.func.grad(lambda t: tg.func.grad(returned)(t).sum())(tg.ones(2))
    assert second.tolist() == [62, 62]
    outside = tg.ones(2)
    found = tg.func.grad(lambda t: Add.apply(outside, t).sum())(tg.ones(2))
    assert found.tolist() == [10, 10]
    x = tg.ones(2)
    with pytest.raises(GradientError, match="leaf Variable"):
        tg.func.grad(lambda t: Add.apply(t, t * 1).sum())(x)
    assert x.tolist() == [1, 1]


def test_dirty_inside_func_jvp():
    outside = tg.ones(2)

    def f(t):
        c = t * 2
        y = Add.apply(c, t)
        d = Add.apply(outside.clone(), t)
        assert y is c
        return y, c, d

    values, tangents = tg.func.jvp(f, (tg.ones(2),), (tg.ones(2),))
    assert [y.tolist() for y in values] == [[3, 3], [3, 3], [2, 2]]
    assert [t.tolist() for t in tangents] == [[3, 3], [3, 3], [1, 1]]


def test_an_input_that_is_returned_is_shared():
    c = tg.ones(2)
    y = Same.apply(c)
    assert y is not c
    assert y._is_view()
    y.mul_(2)
    assert c.tolist() == [2, 2]
    x = ones(2)
    c = x.clone()
    y = Same.apply(c)
    y.mul_(3)
    (c + y).sum().backward()
    assert x.grad.tolist() == [60, 60]


@pytest.mark.parametrize("function", [Half, Same])
def test_a_functions_view_whose_base_is_written_has_no_gradient(function):
    x = ones(4)
    c = x.clone()
    v = function.apply(c)
    c.mul_(2)
    assert v.tolist()[:2] == [2, 2]
    with pytest.raises(GradientError, match="created inside a custom Function"):
        v.sum().backward()
    with pytest.raises(GradientError, match="created inside a custom Function"):
        tg.autograd.grad(v.sum(), x)


def test_flags_of_views_after_a_write():
    c, x = tg.zeros(4), ones(2)
    v, w = c[:2], c[2:]
    v.copy_(x)
    for t in (c, v, w):
        assert (t.requires_grad, t.is_leaf) == (True, False)
    c, x = tg.zeros(4), ones(4)
    v = c[:2]
    c.copy_(x)
    assert (v.requires_grad, v.is_leaf) == (True, False)
    assert v.grad_fn is not None


def test_what_views_retain_is_their_own_gradient():
    def retained(write, use):
        x = ones(4)
        c = x.clone()
        v, w = c[:2], c[:2]
        for t in (c, v, w):
            t.retain_grad()
        write(c, v)
        use(c, v, w).backward()
        return [None if t.grad is None else t.grad.tolist() for t in (c, v, w, x)]

    def everything(c, v, w):
        return c.sum() + v.sum() + w.sum() * 2

    def on_view(c, v):
        v.mul_(3)

    def on_base(c, v):
        c.mul_(3)

    both = [[4, 4, 1, 1], [1, 1], [2, 2]]
    assert retained(on_view, everything) == [*both, [12, 12, 1, 1]]
    assert retained(on_base, everything) == [*both, [12, 12, 3, 3]]
    assert retained(on_view, lambda c, v, w: c.sum())[:3] == [[1, 1, 1, 1], None, None]


def test_a_view_made_without_gradients_is_a_leaf_that_requires_grad():
    for mode in (tg.no_grad, tg.inference_mode):
        x = ones(4)
        c = x.clone()
        with mode():
            v = c[:2]
        assert (v.requires_grad, v.is_leaf, v.is_inference()) == (True, True, False)
        (v * 2).sum().backward()
        assert x.grad is None
        assert v.grad.tolist() == [2, 2]


@pytest.mark.parametrize(
    ("mode", "text"), [(tg.no_grad, "no_grad"), (tg.inference_mode, "inference")]
)
def test_writes_that_a_view_made_without_gradients_can_not_follow(mode, text):
    x = ones(4)
    c = x.clone()
    with mode():
        v = c[:2]
    with pytest.raises(
        GradientError, match=f"A view was created in {text} mode and is being modified"
    ):
        v.mul_(2)
    assert c.tolist() == [1, 1, 1, 1]
    c.mul_(3)
    assert v.tolist() == [3, 3]
    with pytest.raises(GradientError, match=f"A view was created in {text} mode and its base"):
        (v * 2).sum().backward()
    # written without gradients it is but a value
    with mode():
        v.mul_(2)
    assert c.tolist() == [6, 6, 3, 3]


def test_views_of_several_can_be_written_to_and_have_the_right_gradient():
    for pieces in (lambda c: c.split(2), lambda c: c.chunk(2), lambda c: c.view(2, 2).unbind()):
        x = ones(4)
        c = x.clone()
        a, b = pieces(c)
        a.mul_(2)
        b.mul_(3)
        (c * c).sum().backward()
        assert x.grad.tolist() == [8, 8, 18, 18]


def test_zeros_that_are_handed_out_are_nobody_elses():
    x = tg.tensor(2.0, requires_grad=True)
    y = x * 1
    y.register_hook(five_times)
    y.backward()
    _, pull = tg.func.vjp(lambda a, b, c: a * 1, tg.ones(2), tg.ones(2), tg.ones(2))
    one, two = pull(tg.ones(2))[1:]
    one.add_(7)
    assert two.tolist() == [0, 0]
    assert [g.tolist() for g in pull(tg.ones(2))] == [[1, 1], [0, 0], [0, 0]]
    z = ones(2)
    (g,) = tg.autograd.grad(x * 1, z, materialize_grads=True)
    g.add_(7)
    (g,) = tg.autograd.grad(y, y)
    g.add_(3)
    assert tg.autograd.grad(x * 1, x)[0].item() == 1
    _, t = tg.func.jvp(lambda a: tg.ones(2), (tg.ones(2),), (tg.ones(2),))
    t.add_(3)
    a = tg.tensor([1.0, 2.0])
    assert tg.where(a > 1, 1.0, 0.0).tolist() == [0, 1]
    assert (tg.zeros(2) + 0).tolist() == [0, 0]


def test_zeros_that_a_backward_gets_may_be_written_to():
    class Two(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, g, h):
            return g + h.add_(5)

    for _ in range(2):
        x = ones(2)
        a, _ = Two.apply(x)
        a.sum().backward()
        assert x.grad.tolist() == [6, 6]


class Thrice(tg.autograd.Function):
    """3 x, whose gradient is written through a view of what is returned."""

    @staticmethod
    def forward(x):
        return 3 * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, g):
        return written(3 * g)


class ThriceOnce(Thrice):
    backward = staticmethod(tg.autograd.function.once_differentiable(Thrice.backward))


def written(values):
    """Return a tensor that got its values through a view."""
    out = tg.zeros_like(values)
    out.detach()[:].copy_(values)
    return out


@pytest.mark.parametrize("function", [Thrice, ThriceOnce])
def test_a_gradient_written_through_a_view_reaches_the_leaf(function):
    for graph in (False, True):
        x = ones(2).requires_grad_()
        function.apply(x).sum().backward(create_graph=graph)
        assert x.grad.tolist() == [3.0, 3.0]
        (found,) = tg.autograd.grad(function.apply(x).sum(), x, create_graph=graph)
        assert found.tolist() == [3.0, 3.0]
    x = ones(2).requires_grad_()
    (x + ones(2)).backward(written(tg.tensor([1.0, 2.0])))
    assert x.grad.tolist() == [1.0, 2.0]

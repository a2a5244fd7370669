"""What the context of a Function holds, shows and is given, and what saved values cost."""

import gc

import pytest

import tabgrad as tg
from tabgrad.ops.elementwise import exp
from tabgrad.transforms.function import Function
from tabgrad.transforms.node import Node, grad_fn
from tests.transforms.support import close, f64


def test_cycles_through_a_context_are_collected():
    class Keeps(Function):
        @staticmethod
        def forward(ctx, x):
            y = exp(x)
            ctx.save_for_backward(y)
            ctx.mine = y
            return y

        @staticmethod
        def backward(ctx, ct):
            return ct * ctx.saved_tensors[0]

    def live():
        gc.collect()
        return sum(isinstance(o, Node) for o in gc.get_objects())

    before = live()
    for _ in range(20):
        x = f64([1.0], grad=True)
        y = Keeps.apply(x)
        grad_fn(y).rule.ctx.also = y
    del x, y
    assert live() == before


class Scaled(tg.autograd.Function):
    """x * factor, remembering a number, a tensor and what it saved."""

    @staticmethod
    def forward(ctx, x, factor):
        y = x * factor
        ctx.factor = factor
        ctx.save_for_backward(x, y, None)
        return y

    @staticmethod
    def backward(ctx, grad):
        assert len(ctx.saved_tensors) == 3
        return grad * ctx.factor, None


def test_the_node_of_a_function_shows_its_context():
    w = f64([1.0, 2.0], grad=True)
    y = Scaled.apply(w, 3.0)
    node = y.grad_fn
    assert node.factor == 3.0
    assert node.needs_input_grad == (True, False)
    assert node.name() == "ScaledBackward"
    x, out, nothing = node.saved_tensors
    assert nothing is None
    close(x, w)
    close(out, y)
    # what is saved is part of the graph, as in PyTorch
    assert x.requires_grad
    assert out.grad_fn is node
    (g,) = tg.autograd.grad((x * out).sum(), w, retain_graph=True)
    close(g, 6.0 * w.detach())
    assert not hasattr(node, "other")
    y.sum().backward()
    close(w.grad, [3.0, 3.0])
    with pytest.raises(RuntimeError, match="retain_graph"):
        _ = node.saved_tensors
    assert node.factor == 3.0
    tg.func.grad(lambda v: seen.append(Scaled2.apply(v).grad_fn.power) or v.sum())(w.detach())
    assert seen == [2]


seen = []


class Scaled2(tg.autograd.Function):
    @staticmethod
    def forward(x):
        return x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.power = 2

    @staticmethod
    def backward(ctx, grad):
        return grad


def test_nodes_of_ops_show_what_they_saved():
    a, b = f64([1.0, 2.0], grad=True), f64([3.0, 4.0], grad=True)
    node = (a * b).grad_fn
    close(node._saved_self, a)
    close(node._saved_other, b)
    assert node._saved_self.requires_grad
    y = a.exp()
    close(y.grad_fn._saved_result, y)
    assert y.grad_fn._saved_result.grad_fn is y.grad_fn
    close(a.sin().grad_fn._saved_self, a)
    for missing in (
        lambda: (a + b).grad_fn._saved_self,
        lambda: y.grad_fn._saved_other,
        lambda: node.saved_tensors,
    ):
        with pytest.raises(AttributeError, match="Backward0 has no attribute"):
            missing()
    # only what the gradient of `a` needs
    half = (a * b.detach()).grad_fn
    close(half._saved_other, b)
    assert not hasattr(half, "_saved_self")
    (a * b).sum().backward()
    product = a * b
    product.sum().backward()
    with pytest.raises(RuntimeError, match="retain_graph"):
        _ = product.grad_fn._saved_self


class Times(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, k=3):
        return x * k

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.k = inputs[1]

    @staticmethod
    def backward(ctx, g):
        return g * ctx.k, None


def test_defaults_and_names_reach_setup_context():
    for args, named, k in (((), {}, 3), ((5,), {}, 5), ((), {"k": 4}, 4)):
        x = tg.ones(2, requires_grad=True)
        Times.apply(x, *args, **named).sum().backward()
        assert x.grad.tolist() == [k, k]
        found = tg.func.grad(lambda t, a=args, n=named: Times.apply(t, *a, **n).sum())
        assert found(tg.ones(2)).tolist() == [k, k]
        rows = tg.func.vmap(lambda t, a=args, n=named: Times.apply(t, *a, **n))
        assert rows(tg.ones(2, 1)).tolist() == [[k], [k]]
    assert Times.apply(k=2, x=tg.ones(1)).tolist() == [2]
    with pytest.raises(TypeError, match="too many positional"):
        Times.apply(tg.ones(1), 2, 3)


def test_names_reach_a_forward_with_ctx():
    class Old(Function):
        @staticmethod
        def forward(ctx, x, k=3):
            ctx.k = k
            return x * k

        @staticmethod
        def backward(ctx, g):
            # as many gradients as arguments were given
            return g * ctx.k, None

    x = tg.ones(2, requires_grad=True)
    Old.apply(x, k=4).sum().backward()
    assert x.grad.tolist() == [4, 4]
    with pytest.raises(TypeError, match="unexpected keyword argument 'other'"):
        Old.apply(x, other=1)

    class Named(Function):
        @staticmethod
        def forward(ctx, x, *, k=3):
            return x * k

    with pytest.raises(TypeError, match="forward takes k by name only"):
        Named.apply(x, k=4)

"""Hooks on tensors, leaves, nodes, several tensors, and on what is saved."""

import gc

import pytest

import tabgrad as tg
from tabgrad.autograd.graph import (
    disable_saved_tensors_hooks,
    register_multi_grad_hook,
    save_on_cpu,
    saved_tensors_hooks,
)  # fmt: skip
from tabgrad.core.errors import GradientError
from tabgrad.transforms.node import Node
from tests.transforms.support import array, close, f64


def pair():
    x = f64([1.0, 2.0], grad=True)
    return x, x * 3.0


def test_tensor_hooks_run_in_order_and_may_replace():
    x, y = pair()
    log = []
    y.register_hook(lambda g: log.append(("first", array(g).tolist())))
    y.register_hook(lambda g: g * 2.0)
    removed = y.register_hook(lambda g: g * 100.0)
    y.register_hook(lambda g: log.append(("last", array(g).tolist())))
    removed.remove()
    removed.remove()
    y.sum().backward()
    assert log == [("first", [1.0, 1.0]), ("last", [2.0, 2.0])]
    close(x.grad, [6.0, 6.0])


def test_retained_gradients_are_what_hooks_leave():
    _, y = pair()
    y.retain_grad()
    y.register_hook(lambda g: g * 2.0)
    y.sum().backward()
    close(y.grad, [2.0, 2.0])
    assert y.retains_grad


def test_a_handle_is_a_context():
    x, y = pair()
    with y.register_hook(lambda g: g * 2.0):
        y.sum().backward(retain_graph=True)
    y.sum().backward()
    close(x.grad, [9.0, 9.0])


def test_hooks_on_leaves():
    x = f64([1.0], grad=True)
    log = []
    x.register_hook(lambda g: log.append("tensor") or g * 2.0)
    x.register_post_accumulate_grad_hook(lambda t: log.append((t is x, array(t.grad).tolist())))
    (x * 1.0).sum().backward()
    (x * 1.0).sum().backward()
    assert log == ["tensor", (True, [2.0]), "tensor", (True, [4.0])]
    x.grad = None
    (x * 1.0).sum().backward(inputs=[x])
    assert log[-1] == (True, [2.0])
    (g,) = tg.autograd.grad((x * 1.0).sum(), x)
    close(g, [2.0])
    assert log[-1] == "tensor"


def test_a_leaf_comes_as_soon_as_its_gradient_is_complete():
    """The orders are PyTorch's."""
    log = []
    m = tg.nn.Sequential(tg.nn.Linear(3, 4), tg.nn.ReLU(), tg.nn.Linear(4, 2)).to("cpu")
    for n, c in m.named_modules():
        c.register_full_backward_hook(
            lambda c, gi, go, n=n: log.append((n, [p.grad is not None for p in m.parameters()]))
        )
    m[0].weight.register_hook(lambda g: log.append("w"))
    m[2].weight.register_post_accumulate_grad_hook(lambda p: log.append("post"))
    m(tg.ones(5, 3, device="cpu", requires_grad=True)).pow(2).sum().backward()
    last, every = [False, False, True, True], [True] * 4
    assert log == ["post", ("2", last), ("1", last), "w", ("0", every), ("", every)]


def test_a_leaf_that_is_used_twice_waits_for_both():
    log = []
    w, a = f64([1.0, 2.0], grad=True), f64([1.0, 1.0], grad=True)
    w.register_post_accumulate_grad_hook(lambda p: log.append(("post", p.grad.tolist())))
    w.register_hook(lambda g: log.append(("w", g.tolist())))
    first = a * w
    first.register_hook(lambda g: log.append(("first", w.grad)))
    second = first.exp().log() * w
    second.register_hook(lambda g: log.append(("second", w.grad, a.grad)))
    (second * 3).sum().backward()
    total = [6.0, 12.0]
    assert log[:2] == [("second", None, None), ("first", None)]
    assert [kind for kind, _ in log[2:]] == ["w", "post"]
    for _, got in log[2:]:
        close(got, total)
    log.clear()
    tg.autograd.grad((a * w * w).sum(), [a])
    assert log == []
    w.grad = None
    ((a * w).detach() * w + a).sum().backward(inputs=[w])
    assert log == [("w", [1.0, 2.0]), ("post", [1.0, 2.0])]


def test_a_function_sees_the_gradients_that_are_complete():
    seen = []

    class Square(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            seen.append([x.grad is not None for x in (early, late)])
            return 2 * ctx.saved_tensors[0] * g

    early, late = f64([1.0], grad=True), f64([3.0], grad=True)
    (Square.apply(late * 1.0) + early).sum().backward()
    assert seen == [[True, False]]
    close(late.grad, [6.0])


def test_a_step_within_backward_is_the_step_behind_it():
    def trained(within):
        tg.manual_seed(0)
        net = tg.nn.Sequential(
            *[tg.nn.Linear(3, 3, device="cpu", dtype=tg.float64) for _ in range(3)]
        )

        @tg.no_grad()
        def move(p):
            p.sub_(p.grad, alpha=0.5)
            p.grad = None

        for p in net.parameters() if within else ():
            p.register_post_accumulate_grad_hook(move)
        for _ in range(3):
            net(tg.ones(2, 3, device="cpu", dtype=tg.float64)).tanh().sum().backward()
            for p in () if within else net.parameters():
                move(p)
        return [array(p) for p in net.parameters()]

    for a, b in zip(trained(True), trained(False), strict=True):
        close(a, b)


def test_node_hooks():
    x, y = pair()
    log = []
    y.grad_fn.register_prehook(lambda g: log.append("pre") or (g[0] * 2.0,))

    def after(grad_inputs, grad_outputs):
        log.append((array(grad_inputs[0])[0], array(grad_outputs[0])[0]))
        return grad_inputs[0] * 10.0, None

    handle = y.grad_fn.register_hook(after)
    y.sum().backward(retain_graph=True)
    assert log == ["pre", (6.0, 2.0)]
    close(x.grad, [60.0, 60.0])
    handle.remove()
    x.grad = None
    y.sum().backward()
    close(x.grad, [6.0, 6.0])
    leaf = (x * 1.0).grad_fn.next_functions[0][0]
    seen = []
    leaf.register_hook(lambda gi, go: seen.append((gi, array(go[0]).tolist())))
    (x * 1.0).sum().backward()
    assert seen == [((), [1.0, 1.0])]


def test_hooks_stay_with_the_value_they_were_put_on():
    _, y = pair()
    seen = []
    y.register_hook(lambda g: seen.append(array(g).tolist()))
    y.mul_(5.0)
    y.register_hook(lambda g: seen.append(array(g).tolist()))
    y.sum().backward()
    assert seen == [[1.0, 1.0], [5.0, 5.0]]


def test_retained_gradient_follows_the_tensor():
    _, y = pair()
    y.retain_grad()
    y.mul_(5.0)
    (y * 2.0).sum().backward()
    close(y.grad, [2.0, 2.0])


def test_multi_grad_hook_all():
    x, y = f64([1.0], grad=True), f64([2.0], grad=True)
    z, unused = x * y, f64([0.0], grad=True)
    calls = []
    handle = register_multi_grad_hook([x, z, unused], lambda grads: calls.append(list(grads)))
    (z * z).sum().backward(retain_graph=True)
    (grads,) = calls
    close(grads[0], [8.0])
    close(grads[1], [4.0])
    assert grads[2] is None
    tg.autograd.grad((z * z).sum(), z)
    assert len(calls) == 2
    assert calls[1][0] is None
    handle.remove()
    (z * z).sum().backward()
    assert len(calls) == 2


def test_multi_grad_hook_any():
    x, y = f64([1.0], grad=True), f64([2.0], grad=True)
    calls = []
    register_multi_grad_hook([x, y], lambda g: calls.append(array(g).tolist()), mode="any")
    (x * y).sum().backward()
    (x * y).sum().backward()
    assert len(calls) == 2
    with pytest.raises(ValueError, match="mode"):
        register_multi_grad_hook([x], print, mode="some")


def test_saved_tensors_hooks_see_each_saved_tensor():
    x = f64([1.0, 2.0], grad=True)
    packed, unpacked = [], []

    def pack(t):
        assert not t.requires_grad
        packed.append(array(t).tolist())
        return array(t)

    def unpack(a):
        unpacked.append(a.tolist())
        return f64(a.tolist())

    with saved_tensors_hooks(pack, unpack):
        y = (x * x).exp().sum()
    assert packed == [[1.0, 2.0], [1.0, 2.0], pytest.approx([2.718281828, 54.59815])]
    outside = (x * x).sum()
    y.backward()
    assert len(unpacked) == 3
    outside.backward()
    assert len(unpacked) == 3
    close(x.grad, [2 * 2.718281828459045 + 2, 4 * 54.598150033144236 + 4])


def test_saved_tensors_hooks_nest_and_double_backward():
    x = f64([2.0], grad=True)
    log = []

    def hooks(name):
        return saved_tensors_hooks(lambda t: log.append(name) or t, lambda t: t)

    with hooks("outer"):
        with hooks("inner"):
            y = x * x
        (g,) = tg.autograd.grad(y, x, create_graph=True)
    close(tg.autograd.grad(g, x)[0], [2.0])
    assert log[:2] == ["inner", "inner"]
    assert "outer" in log


def test_saved_tensors_hooks_in_a_function():
    class Square(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, ct):
            return ct * 2.0 * ctx.saved_tensors[0]

    x = f64([3.0], grad=True)
    with saved_tensors_hooks(lambda t: array(t).tolist(), f64):
        y = Square.apply(x)
    y.sum().backward()
    close(x.grad, [6.0])


def test_an_unpack_that_changes_the_shape_is_an_error():
    x = f64([1.0, 2.0], grad=True)
    with saved_tensors_hooks(lambda t: t, lambda t: f64([1.0])):
        y = (x * x).sum()
    with pytest.raises(GradientError, match=r"float64\[2\]"):
        y.backward()


def test_save_on_cpu_and_refusal():
    x = f64([1.0, 2.0], grad=True)
    with save_on_cpu(pin_memory=True):
        y = (x * x).sum()
    y.backward()
    close(x.grad, [2.0, 4.0])
    with disable_saved_tensors_hooks("not here"):
        with pytest.raises(GradientError, match="not here"), saved_tensors_hooks(id, id):
            pass
    with saved_tensors_hooks(lambda t: t, lambda t: t):
        pass


def test_errors():
    plain = f64([1.0])
    _, y = pair()
    for call in (plain.register_hook, plain.register_post_accumulate_grad_hook):
        with pytest.raises(GradientError, match="require"):
            call(print)
    with pytest.raises(GradientError, match="leaf"):
        y.register_post_accumulate_grad_hook(print)
    y.register_hook(lambda g: 3.0)
    with pytest.raises(TypeError, match="hook returned 'float'"):
        y.sum().backward()
    for register in ("register_hook", "register_prehook"):
        _, y = pair()
        getattr(y.grad_fn, register)(lambda *gradients: (3.0,) * len(gradients[0]))
        with pytest.raises(TypeError, match="hook returned 'float'"):
            y.sum().backward()
    _, y = pair()
    y.register_hook(lambda g: f64([1.0]))
    with pytest.raises(GradientError, match=r"float64\[2\]"):
        y.sum().backward()
    with pytest.raises(AttributeError, match="variable"):
        _ = y.grad_fn.variable


def test_hooks_that_close_over_their_tensors_are_collected():
    def live():
        gc.collect()
        return sum(isinstance(o, Node) for o in gc.get_objects())

    before = live()
    for _ in range(10):
        x, y = pair()
        z = y * y
        x.register_hook(lambda g, z=z: z)
        y.register_hook(lambda g, z=z: z)
        x.register_post_accumulate_grad_hook(lambda t, x=x: x)
        register_multi_grad_hook([x, y], lambda gs, z=z: z)
        z.sum().backward()
    del x, y, z
    assert live() == before

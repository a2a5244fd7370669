"""The reverse engine at the base: backward, grad, freeing, pruning, accumulation, deep and wide graphs."""

import gc
import threading
import time
import weakref
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.core.errors import GradientError, TransformError
from tabgrad.func import grad as func_grad, vmap
from tabgrad.ops.elementwise import cast, exp, stop_gradient
from tabgrad.ops.rounding import gt
from tabgrad.ops.trigonometry import sin
from tabgrad.transforms.backward import backward, get_gradient_edge, grad
from tabgrad.transforms.hooks import register_hook
from tabgrad.transforms.node import Node, grad_fn, is_leaf
from tests.transforms.support import array, close, energy, f64, random


def live_nodes() -> int:
    gc.collect()
    return sum(isinstance(o, Node) for o in gc.get_objects())


# -- what backward computes ------------------------------------------------------------------------


def test_fan_out_broadcasting_and_several_roots():
    x = f64([1.0, 2.0, 3.0], grad=True)
    s = f64(2.0, grad=True)
    y = x * s
    backward([(y * x).sum(), y], [None, f64([1.0, 10.0, 100.0])])
    close(x.grad, 2 * 2 * np.array([1, 2, 3]) + 2 * np.array([1, 10, 100]))
    close(s.grad, (1 + 4 + 9) + (1 + 20 + 300))


def test_the_same_root_twice_counts_twice():
    x = f64(3.0, grad=True)
    y = x * x
    backward([y, y])
    close(x.grad, 12.0)


def test_gradients_add_up_in_place_and_keep_the_tensor():
    x = f64([1.0, 2.0], grad=True)
    (x * 3.0).sum().backward()
    first = x.grad
    (x * 4.0).sum().backward()
    assert x.grad is first
    close(first, [7.0, 7.0])


def test_two_leaves_that_share_a_cotangent_do_not_share_a_gradient():
    x, y = f64([1.0], grad=True), f64([2.0], grad=True)
    (x + y).sum().backward()
    assert x.grad is not y.grad
    (x * 5.0).sum().backward()
    close(x.grad, [6.0])
    close(y.grad, [1.0])


def test_create_graph_makes_the_gradient_differentiable():
    x = f64(2.0, grad=True)
    (x * x * x).backward(create_graph=True)
    first = x.grad
    assert first.requires_grad
    x.grad = None
    first.backward()
    close(x.grad, 12.0)


def test_third_order_through_grad():
    x = f64(2.0, grad=True)
    y = x * x * x * x
    for expected in (32.0, 48.0, 48.0):
        (y,) = grad(y, x, create_graph=True)
        close(y, expected)


def test_integer_and_boolean_results_carry_no_gradient():
    x = f64([1.5, 2.5], grad=True)
    assert not cast(x, dtype=tg.int64).requires_grad
    assert not gt(x, 2.0).requires_grad
    assert not stop_gradient(x).requires_grad
    assert cast(x, dtype=tg.float32).requires_grad


def test_leaves_and_nodes():
    x = f64([1.0], grad=True)
    y = x * 2.0
    assert is_leaf(x)
    assert grad_fn(x) is None
    assert not is_leaf(y)
    node = grad_fn(y)
    assert node.name() == "MulBackward0"
    assert node.next_functions[1] == (None, 0)
    (leaf, number) = node.next_functions[0]
    assert (leaf.name(), number) == ("AccumulateGrad", 0)
    assert leaf.variable is x
    node.metadata["mine"] = 1
    assert grad_fn(y).metadata == {"mine": 1}


# -- grad: inputs, pruning -------------------------------------------------------------------------


def test_grad_leaves_dot_grad_alone_and_keeps_trees():
    x, y = f64(2.0, grad=True), f64(3.0, grad=True)
    found = grad(x * y, {"x": x, "rest": [y]})
    close(found["x"], 3.0)
    close(found["rest"][0], 2.0)
    assert x.grad is None


def test_grad_of_non_leaf_inputs_and_of_the_output_itself():
    x = f64(2.0, grad=True)
    y = x * x
    z = y * y
    dy, dx, dz = grad(z, (y, x, z))
    close(dy, 8.0)
    close(dx, 32.0)
    close(dz, 1.0)


def test_grad_goes_only_where_it_must():
    x = f64([1.0, 2.0], grad=True)
    w = f64([3.0, 4.0], grad=True)
    y = x * 2.0
    pruned = exp(w) * 1.0
    ran = []
    grad_fn(pruned).register_prehook(lambda g: ran.append(1))
    grad((y + pruned).sum(), y)
    assert not ran


def test_unused_inputs():
    x, y = f64(2.0, grad=True), f64([3.0], grad=True)
    z = x * x
    with pytest.raises(GradientError, match=r"Tensor at index 1.*allow_unused"):
        grad(z, (x, y), retain_graph=True)
    assert grad(z, (x, y), retain_graph=True, allow_unused=True)[1] is None
    close(grad(z, (x, y), materialize_grads=True)[1], [0.0])
    with pytest.raises(ValueError, match="materialize_grads"):
        grad(z, x, materialize_grads=True, allow_unused=False)


def test_batched_cotangents():
    x = random(3)
    x.requires_grad = True
    y = sin(x) * x.sum()
    rows = grad(y, x, f64(np.eye(3).tolist()), is_grads_batched=True)[0]
    from tabgrad.func import jacrev

    close(rows, jacrev(lambda v: sin(v) * v.sum())(f64(array(x).tolist())))


def test_backward_inputs_and_gradient_edges():
    x, y = f64(2.0, grad=True), f64(3.0, grad=True)
    z = x * y
    w = z * z
    w.backward(inputs=[x, z], retain_graph=True)
    close(x.grad, 2 * 6 * 3)
    close(z.grad, 12.0)
    assert y.grad is None
    edge = get_gradient_edge(z)
    del z
    close(grad(w, edge)[0], 12.0)


def test_retain_grad():
    x = f64(2.0, grad=True)
    y = x * x
    y.retain_grad()
    (y * 3.0).backward()
    close(y.grad, 3.0)


# -- freeing ---------------------------------------------------------------------------------------


def test_a_freed_graph_says_so_and_retain_graph_keeps_it():
    x = f64(2.0, grad=True)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    close(x.grad, 8.0)
    with pytest.raises(GradientError, match="retain_graph=True"):
        y.backward()


def test_what_saves_nothing_can_be_walked_again():
    x = f64(2.0, grad=True)
    y = (x + x).sum()
    y.backward()
    y.backward()
    close(x.grad, 4.0)


def test_saved_values_are_dropped_with_the_graph_and_by_backward():
    before = live_nodes()
    x = f64([1.0, 2.0], grad=True)
    big = exp(x)
    saved = weakref.ref(big.value)
    y = big.sum()
    del big
    assert saved() is not None
    y.backward()
    assert saved() is None
    del y, x
    assert live_nodes() == before


def test_gradients_are_those_of_the_values_at_recording():
    x = f64([1.0, 2.0], grad=True)
    with_value = f64([3.0, 4.0])
    y = x * with_value
    with_value.value = f64([0.0, 0.0]).value
    y.sum().backward()
    close(x.grad, [3.0, 4.0])


# -- size ------------------------------------------------------------------------------------------


def test_a_chain_of_a_hundred_thousand_ops():
    before = live_nodes()
    x = f64([1.0], grad=True)
    y = x
    for _ in range(100_000):
        y = y * 1.00001
    y.sum().backward(retain_graph=True)
    close(x.grad, [1.00001**100_000], 1e-9)
    x.grad = None
    start = time.perf_counter()
    del y
    assert time.perf_counter() - start < 5
    assert live_nodes() == before + 0 or live_nodes() <= before + 1  # the leaf's own


def test_a_hundred_thousand_nodes_in_a_reference_cycle():
    before = live_nodes()
    x = f64([1.0], grad=True)
    y = x
    for _ in range(100_000):
        y = y * 1.00001
    holder = [y]
    register_hook(y, lambda g, holder=holder: holder)
    holder.append(holder)
    del x, y, holder
    assert live_nodes() == before


def test_ten_thousand_uses_of_one_tensor():
    x = f64(2.0, grad=True)
    total = x * 0.0
    for _ in range(10_000):
        total = total + x * 3.0
    total.backward()
    close(x.grad, 30_000.0)


def test_threads_build_and_walk_graphs_of_their_own():
    w = f64([1.0], grad=True)
    errors = []

    def work(n):
        try:
            for _ in range(50):
                x = f64([float(n)], grad=True)
                y = x
                for _ in range(20):
                    y = y * 2.0 + x
                y.sum().backward()
                expected = float(2**20 + 2**20 - 1)
                assert x.grad.tolist() == [expected]
                (w * 1.0).sum().backward()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    close(w.grad, [200.0])


def test_grad_mode_is_of_the_thread():
    from tabgrad import autograd

    found = []
    with autograd.no_grad():
        thread = threading.Thread(target=lambda: found.append(autograd.is_grad_enabled()))
        thread.start()
        thread.join()
        assert not autograd.is_grad_enabled()
    assert found == [True]


# -- PyTorch's error situations --------------------------------------------------------------------


def test_errors():
    x = f64([1.0, 2.0], grad=True)
    plain = f64([1.0, 2.0])
    with pytest.raises(GradientError, match="does not require grad"):
        plain.sum().backward()
    with pytest.raises(
        GradientError, match="grad can be implicitly created only for scalar outputs"
    ):
        (x * 2.0).backward()
    with pytest.raises(GradientError, match=r"Mismatch in shape.*\[3\].*\[2\]"):
        (x * 2.0).backward(f64([1.0, 2.0, 3.0]))
    with pytest.raises(
        GradientError, match="One of the differentiated Tensors does not require grad"
    ):
        grad(x.sum(), plain)
    with pytest.raises(GradientError, match="cannot be empty"):
        grad(x.sum(), [])
    with pytest.raises(GradientError, match="cannot be empty"):
        x.sum().backward(inputs=[])
    with pytest.raises(GradientError, match="2 tensors and 1 gradients"):
        backward([x.sum(), x.sum()], [None])
    with pytest.raises(TypeError, match="float"):
        (x * 2.0).backward(1.0)
    with pytest.raises(GradientError, match="retain_grad"):
        plain.retain_grad()
    with pytest.raises(TransformError, match=r"func\.grad"):
        func_grad(lambda v: (x.sum().backward(), v.sum())[1])(plain)
    with pytest.raises(TransformError):
        vmap(lambda v: (x.sum().backward(), v)[1])(plain)


def test_a_gradient_of_another_float_dtype_is_cast():
    x = f64([1.0, 2.0], grad=True)
    (x * 2.0).backward(tg.tensor([1, 2], device="cpu"))
    assert x.grad.dtype is tg.float64
    close(x.grad, [2.0, 4.0])


def test_grad_inside_a_transform():
    def f(v):
        y = v * v * v
        (g,) = grad(y.sum(), v, create_graph=True)
        return (g * g).sum()

    v = random(3)
    close(func_grad(f)(v), 36 * array(v) ** 3)
    v.requires_grad = True
    close(grad(energy(v), v)[0], func_grad(energy)(f64(array(v).tolist())))


def test_programs_tell_nodes_apart_by_their_class() -> None:
    class Twice(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx: Any, ct: Any) -> Any:
            return ct * 2

    x = tg.ones(3, requires_grad=True, device="cpu")
    y = Twice.apply(x.exp()).sum()
    node, names = y.grad_fn, []
    while node is not None:
        names.append(type(node).__name__)
        assert isinstance(node, tg.autograd.graph.Node)
        assert repr(node).startswith(f"<{names[-1]} object at ")
        node = node.next_functions[0][0] if node.next_functions else None
    assert names == ["SumBackward0", "TwiceBackward", "ExpBackward0", "AccumulateGrad"]
    assert type(x.sin().sum().grad_fn) is type(y.grad_fn)
    assert len(y.grad_fn.next_functions[0][0].saved_tensors) == 1

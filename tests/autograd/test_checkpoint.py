"""Checkpoints: the same gradients, less memory, the same random numbers, nested, under transforms."""

import functools
import gc
import weakref

import pytest

import tabgrad as tg
from tabgrad.core.errors import TransformError
from tabgrad.utils.checkpoint import (
    CheckpointError,
    CheckpointPolicy,
    checkpoint,
    checkpoint_sequential,
    create_selective_checkpoint_contexts,
    set_checkpoint_early_stop,
)  # fmt: skip
from tests.transforms.support import close, energy, f64, random, smooth


def block(x, w, scale=1.0):
    return (x @ w).tanh() * scale + x.sin()


def weights(n=4):
    return [random(3, 3, seed=i).requires_grad_() for i in range(n)]


def gradients(run, ws):
    for w in ws:
        w.grad = None
    x = random(2, 3, seed=9).requires_grad_()
    run(x).sum().backward()
    return [x.grad, *[w.grad for w in ws]]


def test_the_same_gradients():
    ws = weights()

    def plain(x):
        for w in ws:
            x = block(x, w, scale=2.0)
        return x

    def saved(x):
        for w in ws:
            x = checkpoint(block, x, w, scale=2.0)
        return x

    for a, b in zip(gradients(plain, ws), gradients(saved, ws), strict=True):
        close(a, b)


def test_weights_in_closures_get_their_gradients():
    (w,) = weights(1)
    plain = gradients(lambda x: block(x, w), [w])
    for a, b in zip(
        plain, gradients(lambda x: checkpoint(lambda x: block(x, w), x), [w]), strict=True
    ):
        close(a, b)


def test_nested_checkpoints_run_the_right_number_of_times():
    (w,) = weights(1)
    runs = []

    def inner(x):
        runs.append("inner")
        return block(x, w)

    def outer(x):
        runs.append("outer")
        return checkpoint(inner, checkpoint(inner, x))

    nested = gradients(lambda x: checkpoint(outer, x), [w])
    for a, b in zip(nested, gradients(lambda x: block(block(x, w), w), [w]), strict=True):
        close(a, b)
    assert runs[:3] == ["outer", "inner", "inner"]
    assert runs.count("inner") <= 2 + 2 + 2 + 1


def test_intermediates_are_dropped_until_backward():
    kept = []

    def f(x):
        y = x.exp()
        kept.append(weakref.ref(y.value))
        return y.sin().sum()

    x = random(3).requires_grad_()
    y = checkpoint(f, x)
    gc.collect()
    assert kept[0]() is None
    y.backward()
    gc.collect()
    assert len(kept) == 2
    assert kept[1]() is None


def test_random_numbers_repeat_and_the_generator_goes_on():
    x = f64([1.0] * 8, grad=True)
    masks = []

    def f(x):
        masks.append((tg.rand(8, device="cpu") > 0.5).double())
        return (x * masks[-1]).exp().sum()

    tg.manual_seed(3)
    y = checkpoint(f, x)
    after = tg.rand(1, device="cpu")
    y.backward()
    close(masks[0], masks[1])
    again = tg.rand(1, device="cpu")
    tg.manual_seed(3)
    f(x)
    close(after, tg.rand(1, device="cpu"))
    close(again, tg.rand(1, device="cpu"))


def test_early_stop():
    runs = []

    def f(x):
        runs.append("start")
        y = x.exp()  # all that backward needs
        runs.append("end")
        return y + 1.0

    x = f64([1.0], grad=True)
    checkpoint(f, x).sum().backward()
    assert runs == ["start", "end", "start"]
    checkpoint(f, x, early_stop=False).sum().backward()
    assert runs[3:] == ["start", "end"] * 2
    with set_checkpoint_early_stop(False):
        y = checkpoint(f, x)
    y.sum().backward()
    assert runs[7:] == ["start", "end"] * 2


def test_several_outputs_and_other_arguments():
    def f(pair, name, *, k):
        return {"a": pair[0] * pair[1] * k, name: pair[0].exp()}

    x, y = f64(2.0, grad=True), f64(3.0, grad=True)
    out = checkpoint(f, (x, y), "b", k=2.0)
    (out["a"] + out["b"]).backward()
    close(x.grad, 6.0 + 2.718281828459045**2)
    close(y.grad, 4.0)


def test_double_backward():
    x = random(3).requires_grad_()
    plain = tg.autograd.functional.hessian(energy, x)
    close(tg.autograd.functional.hessian(lambda x: checkpoint(energy, x), x), plain)


def test_retain_graph_runs_again():
    x = f64(2.0, grad=True)
    y = checkpoint(lambda x: x.exp(), x)
    y.backward(retain_graph=True)
    y.backward()
    close(x.grad, 2 * 2.718281828459045**2)


def test_without_gradients_it_is_the_function():
    x = f64(2.0)
    with tg.no_grad():
        close(checkpoint(lambda x: x * x, x), 4.0)
    assert not checkpoint(lambda x: x * x, x).requires_grad


@pytest.mark.parametrize("transform", [
    lambda f, x: tg.func.grad(f)(x),
    lambda f, x: tg.func.hessian(f)(x),
    lambda f, x: tg.func.jvp(f, (x,), (x,))[1],
    lambda f, x: tg.func.jvp(tg.func.grad(f), (x,), (x,))[1],
    lambda f, x: tg.func.vmap(tg.func.grad(f))(tg.stack([x, 2.0 * x])),
    lambda f, x: tg.func.grad(lambda v: tg.func.vmap(f)(tg.stack([v, 2.0 * v])).sum())(x),
    lambda f, x: tg.func.vmap(tg.func.vjp(f, x)[1])(f64([1.0, 2.0]))[0],
    lambda f, x: tg.func.jacrev(tg.func.jacrev(f))(x),
])  # fmt: skip
def test_under_transforms(transform):
    x = random(3)
    close(transform(lambda x: checkpoint(energy, x), x), transform(energy, x))
    twice = transform(lambda x: (checkpoint(smooth, checkpoint(smooth, x)) ** 2).sum(), x)
    close(twice, transform(lambda x: (smooth(smooth(x)) ** 2).sum(), x))


def test_a_base_tensor_through_a_transform():
    w = f64(3.0, grad=True)
    g = tg.func.grad(lambda x: checkpoint(lambda x: (x * w).exp(), x))(f64(0.5))
    g.backward()
    # d/dw [w exp(w/2)] = exp(w/2) (1 + w/2)
    close(w.grad, 2.718281828459045**1.5 * 2.5)


def test_a_function_that_changes_is_reported():
    calls = []

    def f(x):
        calls.append(1)
        return (x.exp() * x if len(calls) == 1 else x.exp()).sum()

    x = f64([1.0, 2.0], grad=True)
    with pytest.raises(CheckpointError, match="when it was run again"):
        checkpoint(f, x).backward()
    calls.clear()

    def g(x):
        calls.append(1)
        return (x if len(calls) == 1 else tg.cat([x, x])).exp().sum()

    with pytest.raises(CheckpointError, match=r"float64\[2\]"):
        checkpoint(g, x).backward()
    with pytest.raises(ValueError, match="determinism_check"):
        checkpoint(g, x, determinism_check="maybe")


def test_sequential():
    ws = weights(5)
    layers = [functools.partial(block, w=w) for w in ws]

    def plain(x):
        for layer in layers:
            x = layer(x)
        return x

    expected = gradients(plain, ws)
    for segments in (1, 2, 3, 5):
        for a, b in zip(
            expected,
            gradients(lambda x, s=segments: checkpoint_sequential(layers, s, x), ws),
            strict=True,
        ):
            close(a, b)
    with pytest.raises(ValueError, match="segments"):
        checkpoint_sequential(layers, 6, random(2, 3))


def test_selective_policies():
    (w,) = weights(1)
    ran = []

    class Watch:
        def __call__(self, run, op, args, params, mode):
            ran.append(op.name)
            return run(op, args, params, mode)

    def counted(context_fn, name):
        from tabgrad.core.trace import MODE, using

        ran.clear()
        with using(MODE.get().replace(around=Watch())):
            found = gradients(lambda x: checkpoint(block, x, w, context_fn=context_fn), [w])
        return found, ran.count(name)

    plain = gradients(lambda x: block(x, w), [w])
    keep = functools.partial(create_selective_checkpoint_contexts, ["tanh"])
    kept, once = counted(keep, "tanh")

    def everything(ctx, op, *args, **params):
        return CheckpointPolicy.MUST_RECOMPUTE

    dropped, twice = counted(lambda: create_selective_checkpoint_contexts(everything), "tanh")
    assert (once, twice) == (1, 2)
    for a, b, c in zip(plain, kept, dropped, strict=True):
        close(a, b)
        close(a, c)


def test_backward_inside_a_transform_stays_an_error():
    x = f64(1.0, grad=True)
    with pytest.raises(TransformError):
        tg.func.grad(lambda v: (checkpoint(lambda x: x.exp(), x).backward(), v)[1])(f64(1.0))

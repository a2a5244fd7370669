"""scan, fori_loop, while_loop, cond: values, every derivative against plain Python, batching, errors."""

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.core import tree
from tabgrad.core.errors import ShapeError, TransformError
from tabgrad.func import cond, fori_loop, grad, hessian, jacrev, jvp, scan, vjp, vmap, while_loop
from tests.transforms.support import array, close, f64, random


def same(a, b, tolerance=1e-9):
    for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True):
        close(x, y, tolerance)


W = random(2, 2, seed=5) - 1.0
H, XS = random(2, seed=6), random(7, 2, seed=7) - 1.0


def step(w):
    def body(h, x):
        h = (w @ h + x).tanh()
        return h, h * h

    return body


def by_scan(h, xs, w, **options):
    return scan(step(w), h, xs, **options)


def by_hand(h, xs, w, reverse=False):
    ys = []
    for t in range(xs.shape[0])[:: -1 if reverse else 1]:
        h, y = step(w)(h, xs[t])
        ys.append(y)
    return h, tg.stack(ys[::-1] if reverse else ys)


def loss(run, **options):
    def f(h, xs, w):
        last, ys = run(h, xs, w, **options)
        return (last**3).sum() + (ys * ys).sum()

    return f


WAYS = {
    "value": lambda f: f(H, XS, W),
    "grad": lambda f: grad(f, (0, 1, 2))(H, XS, W),
    "jvp": lambda f: jvp(f, (H, XS, W), (H, XS, W)),
    "jvp of w": lambda f: jvp(lambda w: f(H, XS, w), (W,), (W,)),
    "hessian": lambda f: hessian(f, (0, 2))(H, XS, W),
    "reverse twice": lambda f: jacrev(jacrev(f, 2), 2)(H, XS, W),
    "grad of jvp": lambda f: grad(lambda w: jvp(lambda h: f(h, XS, w), (H,), (H,))[1])(W),
    "vmap of h": lambda f: vmap(f, (0, None, None))(random(3, 2), XS, W),
    "vmap of xs": lambda f: vmap(f, (None, 1, None))(H, random(7, 3, 2), W),
    "vmap of w": lambda f: vmap(f, (None, None, 0))(H, XS, random(3, 2, 2)),
    "vmap of grad": lambda f: vmap(grad(f, 2), (0, 0, None))(random(3, 2), random(3, 7, 2), W),
    "grad of vmap": lambda f: grad(lambda w: vmap(f, (0, None, None))(random(3, 2), XS, w).sum())(
        W
    ),
    "vmap of vjp": lambda f: vmap(vjp(lambda w: f(H, XS, w), W)[1])(f64([1.0, 2.0])),
}


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"checkpoint_every": 3}, {"checkpoint_every": 7},
                                     {"checkpoint_every": 2, "reverse": True}], ids=str)  # fmt: skip
@pytest.mark.parametrize("way", WAYS)
def test_scan_in_every_way(way, options):
    plain = {k: v for k, v in options.items() if k == "reverse"}
    same(WAYS[way](loss(by_scan, **options)), WAYS[way](loss(by_hand, **plain)))


def test_scan_on_the_base_tape():
    found = []
    for run in (by_scan, by_hand):
        w = f64(array(W).tolist(), grad=True)
        h = f64(array(H).tolist(), grad=True)
        (g,) = tg.autograd.grad(loss(run)(h, XS, w), w, create_graph=True)
        found.append((g, tg.autograd.grad((g * g).sum(), (w, h))))
    same(*found)


def test_scan_trees_integers_and_dims():
    def body(carry, x):
        count, state = carry
        return (count + 1, {"s": state["s"] + x["a"]}), (count, x["a"] * 2.0)

    xs = {"a": random(2, 4)}
    (count, state), (counts, doubled) = scan(body, (0, {"s": f64([0.0, 0.0])}), xs, dim=1)
    assert count.item() == 4
    assert counts.tolist() == [0, 1, 2, 3]
    close(state["s"], array(xs["a"]).sum(1))
    close(doubled, 2 * array(xs["a"]).T)
    g = grad(lambda a: scan(body, (0, {"s": f64([0.0, 0.0])}), {"a": a}, dim=1)[0][1]["s"].sum())(
        xs["a"]
    )
    close(g, np.ones((2, 4)))


def test_scan_without_input_and_of_length_zero():
    last, ys = scan(lambda c, _: (c * 2.0, c), f64(1.0), None, length=5)
    close(last, 32.0)
    close(ys, [1, 2, 4, 8, 16])
    last, ys = scan(lambda c, x: (c + x, c), f64(1.0), f64([]).reshape(0))
    close(last, 1.0)
    assert tuple(ys.shape) == (0,)


def test_the_body_is_traced_once():
    calls = []

    def body(c, x):
        calls.append(1)
        return c * x, c

    scan(body, f64(1.0), random(50))
    assert len(calls) == 1


def test_random_numbers_differ_between_repetitions():
    tg.manual_seed(0)
    _, ys = scan(lambda c, _: (c, tg.rand(3, device="cpu")), f64(0.0), None, length=4)
    assert len({tuple(row) for row in ys.tolist()}) == 4
    with pytest.raises(TransformError, match="drawn inside"):
        while_loop(
            lambda x: x.sum() < 1,
            lambda x: (x + tg.rand(3, device="cpu"),),
            (tg.zeros(3, device="cpu"),),
        )


def test_no_grad_inside_the_body_counts():
    def body(c, x):
        with tg.no_grad():
            still = c * c
        return c * x + still, None

    def by_python(c):
        for x in (2.0, 3.0):
            with tg.no_grad():
                still = c * c
            c = c * x + still
        return c

    close(grad(lambda c: scan(body, c, f64([2.0, 3.0]))[0])(f64(1.5)), grad(by_python)(f64(1.5)))


def test_custom_rules_inside():
    @tg.func.custom_vjp
    def clipped(x):
        return x * 1.0

    clipped.defvjp(lambda x: (x * 1.0, None), lambda _, ct: (ct * 100.0,))
    close(
        grad(lambda c: scan(lambda c, _: (clipped(c), None), c, None, length=2)[0])(f64(1.0)), 1e4
    )

    class Triple(tg.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x * 3.0

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, ct):
            return ct * 10.0

    run = lambda c: scan(lambda c, _: (Triple.apply(c), None), c, None, length=2)[0]  # noqa: E731
    close(run(f64(1.0)), 9.0)
    close(grad(run)(f64(1.0)), 100.0)
    close(vmap(grad(run))(f64([1.0, 2.0])), [100.0, 100.0])


def test_fori_loop():
    f = lambda x: fori_loop(2, 5, lambda i, v: v * x + i, x)  # noqa: E731

    def plain(x):
        v = x
        for i in range(2, 5):
            v = v * x + i
        return v

    for way in (
        lambda f: f(f64(1.3)),
        lambda f: grad(f)(f64(1.3)),
        lambda f: grad(grad(f))(f64(1.3)),
    ):
        close(way(f), way(plain))
    close(fori_loop(5, 2, lambda i, v: v * 0.0, f64(1.0)), 1.0)


# -- while_loop ------------------------------------------------------------------------------------


def newton(a):
    """The square root by Newton's method, until it moves by less than 1e-12."""
    out = while_loop(
        lambda x, gap: gap > 1e-12,
        lambda x, gap: ((x + a / x) / 2.0, (x - a / x).abs()),
        (a, a * 0.0 + 1.0),
    )
    return out[0]


def test_while_loop_in_every_way():
    a = f64(2.0)
    close(newton(a), 2**0.5)
    close(grad(newton)(a), 0.5 / 2**0.5)
    close(jvp(newton, (a,), (f64(1.0),))[1], 0.5 / 2**0.5)
    close(grad(grad(newton))(a), -0.25 * 2**-1.5, 1e-8)
    close(hessian(newton)(a), -0.25 * 2**-1.5, 1e-8)
    xs = f64([2.0, 100.0, 1e-3])
    close(vmap(newton)(xs), np.sqrt([2.0, 100.0, 1e-3]))
    close(vmap(grad(newton))(xs), 0.5 / np.sqrt([2.0, 100.0, 1e-3]))
    close(grad(lambda v: vmap(newton)(v).sum())(xs), 0.5 / np.sqrt([2.0, 100.0, 1e-3]))
    close(vmap(lambda t: jvp(newton, (a,), (t,))[1])(f64([1.0, 2.0])), [0.5 / 2**0.5, 1 / 2**0.5])
    tracked = f64(2.0, grad=True)
    (g,) = tg.autograd.grad(newton(tracked), tracked, create_graph=True)
    close(g, 0.5 / 2**0.5)
    close(tg.autograd.grad(g, tracked)[0], -0.25 * 2**-1.5, 1e-8)


def test_while_loop_counts_each_element_of_a_batch():
    # x doubles until it passes 10: the derivative is 2 to the number of doublings of that element
    double = lambda x: while_loop(lambda x: x < 10.0, lambda x: (x * 2.0,), (x,))[0]  # noqa: E731
    xs = f64([1.0, 3.0, 20.0])
    close(vmap(double)(xs), [16.0, 12.0, 20.0])
    close(vmap(grad(double))(xs), [16.0, 4.0, 1.0])
    close(grad(lambda v: vmap(double)(v).sum())(xs), [16.0, 4.0, 1.0])


def test_while_loop_that_never_runs():
    never = lambda x: while_loop(lambda x: x > 10.0, lambda x: (x * 2.0,), (x,))[0]  # noqa: E731
    close(never(f64(1.0)), 1.0)
    close(grad(never)(f64(1.0)), 1.0)


# -- cond ------------------------------------------------------------------------------------------


def piecewise(x, w):
    return cond(x.sum() > 1.0, lambda x: (x * w).exp(), lambda x: x * x * w, (x,))


def by_if(x, w):
    return (x * w).exp() if bool(x.sum() > 1.0) else x * x * w


@pytest.mark.parametrize("start", [0.2, 0.9])
def test_cond_in_every_way(start):
    x, w = f64([start, start]), f64([0.5, 2.0])
    for way in (
        lambda f: f(x, w),
        lambda f: grad(lambda x, w: f(x, w).sum(), (0, 1))(x, w),
        lambda f: jvp(f, (x, w), (w, x)),
        lambda f: hessian(lambda x, w: (f(x, w) ** 2).sum(), (0, 1))(x, w),
    ):
        same(way(piecewise), way(by_if))


def test_cond_over_a_batch_that_disagrees():
    xs, w = f64([[0.2, 0.2], [0.9, 0.9]]), f64([0.5, 2.0])
    each = lambda f: [f(xs[0], w), f(xs[1], w)]  # noqa: E731
    close(vmap(piecewise, (0, None))(xs, w), [array(y) for y in each(by_if)])
    g = vmap(grad(lambda x, w: piecewise(x, w).sum(), 1), (0, None))(xs, w)
    close(g, [array(grad(lambda w, x=x: by_if(x, w).sum())(w)) for x in (xs[0], xs[1])])


def test_the_branch_not_taken_does_not_spoil_the_gradient():
    safe = lambda x: cond(x > 0.0, lambda x: x.sqrt(), lambda x: x * 0.0, (x,))  # noqa: E731
    close(grad(safe)(f64(0.0)), 0.0)
    close(vmap(grad(safe))(f64([0.0, 4.0])), [0.0, 0.25])


def test_branches_close_over_tensors_of_every_level():
    def f(x):
        return grad(lambda y: cond(x > 1.0, lambda: y * x, lambda: y))(f64(3.0))

    close(f(f64(2.0)), 2.0)
    close(grad(f)(f64(2.0)), 1.0)
    base = f64(2.0, grad=True)
    cond(tg.tensor(True, device="cpu"), lambda: base * base, lambda: base).backward()
    close(base.grad, 4.0)


def test_cond_runs_only_its_branch():
    calls = []
    cond(True, lambda: calls.append("yes"), lambda: calls.append("no"))
    assert calls == ["yes"]


# -- bad input -------------------------------------------------------------------------------------


def test_errors():
    x = f64([1.0, 2.0])
    for call, error, match in (
        (lambda: scan(lambda c, x: (c[:1], x), x, x), ShapeError, r"float64\[2\].*float64\[1\]"),
        (lambda: scan(lambda c, x: ((c, c), x), x, x), ShapeError, "structure"),
        (lambda: scan(lambda c, x: c, x, x), TypeError, "pair"),
        (lambda: scan(lambda c, x: (c, x), x, (x, random(3))), ShapeError, "one length"),
        (lambda: scan(lambda c, x: (c, x), x, None), ShapeError, "length"),
        (lambda: scan(lambda c, x: (c, x), "text", x), TypeError, "str"),
        (
            lambda: scan(lambda c, x: (c, x), x, x, checkpoint_every=0),
            ValueError,
            "checkpoint_every",
        ),
        (
            lambda: scan(lambda c, x: (c if c.sum() > 0 else x, x), x, x),
            TransformError,
            "no single value",
        ),
        (lambda: while_loop(lambda x: x, lambda x: (x,), (x,)), ShapeError, "one bool"),
        (
            lambda: while_loop(lambda x: x.sum() > 0, lambda x: (x[:1],), (x,)),
            ShapeError,
            "keep shapes",
        ),
        (lambda: while_loop(lambda x: x.sum() > 0, lambda x: (x,), x), TypeError, "tuple"),
        (lambda: cond(x, lambda: x, lambda: x), TypeError, "pred"),
        (lambda: cond(x.sum() > 0, lambda: x, lambda: x[0]), ShapeError, "same shapes"),
        (lambda: cond(x.sum() > 0, lambda: (x, x), lambda: [x, x]), ShapeError, "structures"),
    ):
        with pytest.raises(error, match=match):
            call()

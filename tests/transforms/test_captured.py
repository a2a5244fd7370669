"""Writing in place to tensors that a transformed function did not make: refused, and nothing is broken."""

from __future__ import annotations

import pytest

import tabgrad as tg
import tabgrad.autograd.forward_ad as fwAD
from tabgrad.core.errors import TransformError
from tabgrad.func import grad, jvp, vjp, vmap
from tests.transforms.support import array, close, f64, random

WRITES = {
    "add_": lambda t, row: t.add_(row),
    "copy_": lambda t, row: t.copy_(row),
    "lerp_": lambda t, row: t.lerp_(row, 0.5),
    "operator": lambda t, row: t.__iadd__(row),
    "element": lambda t, row: t.__setitem__(0, row[0]),
    "view": lambda t, row: t[1:].add_(row[1:]),
    "detached": lambda t, row: t.detach().add_(row),
    "detached view": lambda t, row: t[1:].detach().add_(row[1:]),
}
TRANSFORMS = {
    "vmap": lambda fn: vmap(fn)(random(3, 2)),
    "grad": lambda fn: grad(lambda x: fn(x).sum())(random(2)),
    "vjp": lambda fn: vjp(fn, random(2)),
    "jvp": lambda fn: jvp(fn, (random(2),), (random(2, seed=1),)),
    "vmap in grad": lambda fn: grad(lambda x: vmap(fn)(x).sum())(random(3, 2)),
    "grad in vmap": lambda fn: vmap(grad(lambda x: fn(x).sum()))(random(3, 2)),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("write", WRITES)
def test_a_tensor_from_outside_is_refused_at_the_write_and_unharmed(write, transform):
    total = f64([1.0, 2.0])
    sibling, part = total.detach(), total[1:]
    seen = []

    def fn(row):
        try:
            WRITES[write](total, row)
        except TransformError:
            seen.append(write)
            raise
        return row * 1.0

    with pytest.raises(TransformError, match=r"func\.\w+: in-place .* captured tensor.*clone\(\)"):
        TRANSFORMS[transform](fn)
    assert seen == [write]
    close(total + 1.0, [2.0, 3.0])
    close(sibling + 1.0, [2.0, 3.0])
    close(part + 1.0, [3.0])
    total.add_(1.0)
    close(part, [3.0])


def test_assignment_to_data():
    total, x = f64([1.0, 2.0]), random(3, 2)

    def fn(row):
        total.data = row
        return row * 1.0

    with pytest.raises(TransformError, match=r"func\.vmap: in-place assignment to \.data"):
        vmap(fn)(x)
    close(total + 1.0, [2.0, 3.0])
    # what grad detaches is a value from outside
    grad(lambda row: fn(row).sum())(x[0])
    close(total, x[0])


def test_a_tensor_made_between_two_levels_may_hold_values_of_the_outer_one_only():
    x = random(3, 2)

    def outer(a):
        s = f64([0.0, 0.0])
        s.add_(a.sum(0))
        vmap(lambda row: row * s)(a)
        return (s * s).sum()

    close(grad(outer)(x), (2.0 * x.sum(0)).expand(3, 2))

    def wrong(a):
        s = f64([0.0, 0.0])
        vmap(lambda row: s.add_(row))(a)
        return s.sum()

    with pytest.raises(TransformError, match=r"func\.vmap: in-place add_"):
        grad(wrong)(x)


def own(x):
    """Write to tensors made inside in every way that one can be made."""
    zeros = tg.zeros(2, dtype=tg.float64, device="cpu")
    zeros[0] = x.sum()
    untracked = (x > 1.0).to(tg.float64)
    untracked[1] = (x * x).sum()
    clone = x.detach().clone().add_(x)
    view = zeros.view(1, 2)
    view.add_(untracked)
    return zeros * clone


def test_tensors_made_inside_may_be_written_to():
    x = random(3, 2)
    each = [own(row) for row in x]
    close(vmap(own)(x), tg.stack(each))
    want = tg.stack([grad(lambda r: own(r).sum())(row) for row in x])
    close(vmap(grad(lambda r: own(r).sum()))(x), want)
    w = x.clone().requires_grad_()
    tg.stack([own(row) for row in w]).sum().backward()
    close(want, w.grad)
    y, dy = vmap(lambda r: jvp(own, (r,), (r,)))(x)
    close(y, tg.stack(each))
    assert dy.shape == (3, 2)


class Doubled(tg.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x * 2.0

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad):
        return grad * 2.0

    @staticmethod
    def jvp(ctx, t):
        return t * 2.0


CALLS = {
    "function": Doubled.apply,
    "cond": lambda x: tg.func.cond(x.sum() > 0.0, lambda x: x * 2.0, lambda x: x, (x,)),
    "scan": lambda x: tg.func.scan(lambda c, a: (c, a * 2.0), x.sum(), x)[1],
    "compiled": tg.compile(lambda x: x * 2.0),
    "derivative": lambda x: vjp(lambda x: x * x, x)[1](tg.ones_like(x))[0],
}


@pytest.mark.parametrize("call", CALLS)
def test_what_calls_make_of_tensors_from_outside_may_be_written_to(call):
    ones, x = f64([1.0, 1.0]), random(3, 2)
    close(vmap(lambda row: CALLS[call](ones).add_(row))(x), x + 2.0)
    close(grad(lambda row: CALLS[call](ones).mul_(row).sum())(x[0]), [2.0, 2.0])
    close(jvp(lambda row: CALLS[call](ones).mul_(row), (x[0],), (x[1],))[1], 2.0 * x[1])
    close(ones, [1.0, 1.0])


def test_random_tensors_that_all_elements_share_may_be_written_to():
    x = random(3, 2)
    noise = vmap(lambda r: tg.rand(2, dtype=tg.float64, device="cpu") * 1.0, randomness="same")(x)
    assert array(noise)[0].tolist() == array(noise)[1].tolist()
    y = vmap(
        lambda r: tg.rand(2, dtype=tg.float64, device="cpu").mul_(0.0).add_(r), randomness="same"
    )(x)
    close(y, x)


def test_what_is_the_same_for_all_elements_may_be_written():
    calls = f64(0.0)

    def fn(row):
        calls.add_(1.0)
        return row * calls

    close(vmap(fn)(random(3, 2)), random(3, 2))
    assert calls.item() == 1.0


@pytest.mark.parametrize("norm", [tg.nn.BatchNorm1d, tg.nn.InstanceNorm1d])
def test_running_statistics_in_training(norm):
    layer = norm(4, track_running_stats=True, device="cpu")
    x = tg.rand(5, 2, 4, 3, device="cpu")
    with pytest.raises(TransformError, match="replace_all_batch_norm_modules_"):
        vmap(layer)(x)
    assert layer.running_mean.tolist() == [0.0] * 4
    layer(x[0])
    layer.eval()
    close(vmap(layer)(x), tg.stack([layer(part) for part in x]), 1e-5)


def test_control_flow_does_not_write_to_what_it_captures():
    total = f64(0.0)

    def step(carry, x):
        total.add_(x)
        return carry + x, carry

    with pytest.raises(TransformError, match="in-place add_"):
        tg.func.scan(step, f64(0.0), random(5))
    assert total.item() == 0.0


def test_dual_values_written_to_a_tensor_leave_their_primal():
    x = f64([1.0, 2.0])
    sibling, first = x.detach(), x[:1]
    with fwAD.dual_level():
        x.mul_(fwAD.make_dual(f64([3.0, 4.0]), f64([1.0, 0.0])))
        close(fwAD.unpack_dual(x).tangent, [1.0, 0.0])
        close(fwAD.unpack_dual(first).tangent, [1.0])
        close(fwAD.unpack_dual(sibling).primal, [3.0, 8.0])
    for y, want in ((x, [3.0, 8.0]), (sibling, [3.0, 8.0]), (first, [3.0])):
        close(y * 1.0, want)
    x.add_(1.0)
    close(first, [4.0])


# -- what a transform keeps is not changed by later writes -----------------------------------------


class Product(tg.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, c):
        return x * c

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[1])
        ctx.save_for_forward(inputs[1])

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0], None

    @staticmethod
    def jvp(ctx, t, _):
        return t * ctx.saved_tensors[0]


product = tg.func.custom_vjp(lambda x, c: x * c)
product.defvjp(lambda x, c: (x * c, c), lambda c, ct: (ct * c, None))

KEPT = {
    "op": lambda x, c: x * c,
    "view": lambda x, c: x * c[:],
    "detached": lambda x, c: x * c.detach(),
    "function": Product.apply,
    "custom_vjp": product,
    "scan": lambda x, c: tg.func.scan(lambda k, a: (k, a * c), f64(0.0), x[None])[1],
    "cond": lambda x, c: tg.func.cond(tg.tensor(True), lambda a: a * c, lambda a: a, (x,)),
}
DERIVATIVES = {
    "grad": lambda fn, x: grad(fn)(x),
    "vmap of grad": lambda fn, x: vmap(grad(fn))(x[None])[0],
    "jacrev": lambda fn, x: tg.func.jacrev(fn)(x),
    "backward": lambda fn, x: tg.autograd.grad(fn(x.requires_grad_()), x)[0],
    "vjp": lambda fn, x: vjp(fn, x)[1](f64(1.0))[0],
    "reverse over forward": lambda fn, x: grad(lambda v: jvp(fn, (v,), (v,))[0])(x),
}


@pytest.mark.parametrize(
    ("keep", "derivative"),
    # a custom_vjp has no forward derivative
    [(k, d) for k in KEPT for d in DERIVATIVES if (k, d) != ("custom_vjp", "reverse over forward")],
)
def test_what_is_kept_for_a_derivative_is_not_changed_by_later_writes(keep, derivative):
    outside = f64([2.0, 3.0])
    for made_inside in (True, False):

        def fn(x, made_inside=made_inside):
            c = f64([2.0, 3.0]) if made_inside else outside
            y = KEPT[keep](x, c)
            c.add_(5.0)
            return y.sum()

        close(DERIVATIVES[derivative](fn, random(2)), [2.0, 3.0])
    close(outside, [7.0, 8.0])


def test_the_linear_function_at_a_point_is_not_changed_by_later_writes():
    def fn(x):
        c = f64([2.0, 3.0])
        y = x * c
        c.add_(5.0)
        return y

    _, linear = tg.func.linearize(fn, random(2))
    close(linear(f64([1.0, 1.0])), [2.0, 3.0])

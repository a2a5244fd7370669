"""Second derivatives of every call with rules of its own, by each nesting of transforms, beside differences."""

import pytest

import tabgrad as tg
import tabgrad.autograd.forward_ad as fwAD
from tabgrad.core.errors import TransformError
from tabgrad.core.op import REGISTRY
from tabgrad.func import (
    cond,
    custom_jvp,
    custom_vjp,
    fixed_point,
    grad,
    jvp,
    linear_solve,
    odeint,
    root,
    scan,
    vmap,
    while_loop,
)
from tests.lower import toy_qr2
from tests.transforms.support import f64


@custom_vjp
def cube(x):
    return x * x * x


cube.defvjp(lambda x: (x * x * x, x), lambda x, ct: (3 * x * x * ct,))


@custom_jvp
def pushed_cube(x):
    return x * x * x


pushed_cube.defjvp(lambda p, t: (pushed_cube(p[0]), 3 * p[0] * p[0] * t[0]))


class CubeAndSquare(tg.autograd.Function):
    """Saves one of its outputs, which a caller may drop."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x * x * x, x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0], output[1])
        ctx.save_for_forward(inputs[0], output[1])

    @staticmethod
    def backward(ctx, g, h):
        x, square = ctx.saved_tensors
        return 3 * square * g + 2 * x * h

    @staticmethod
    def jvp(ctx, t):
        x, square = ctx.saved_tensors
        return 3 * square * t, 2 * x * t


def product(*which):
    """A product of outputs of the Function, the others being dropped."""

    def call(x):
        y = None
        for k in which:
            out = CubeAndSquare.apply(x)[k]
            y = out if y is None else y * out
        return y

    return call


def looped(x, **how):
    return scan(lambda c, v: (c * v * x, c * x), x, tg.stack([x, x * x, x]), **how)


@pytest.fixture(scope="module", autouse=True)
def qr2():
    """An op with several results."""
    toy_qr2.declare()
    yield
    toy_qr2.forget()


def triangle(x):
    rows = [tg.stack([x * x, x]), tg.stack([x * x * x, 3 * x + 1])]
    r = REGISTRY["qr2"].bind(tg.stack(rows))[1]
    return r[0, 0] * r[0, 0] * r[1, 1] * r[0, 1]


CALLS = {
    "scan": lambda x: looped(x)[0],
    "scan, stacked": lambda x: looped(x)[1].sum(),
    "scan, in segments": lambda x: looped(x, checkpoint_every=2)[0],
    "while_loop": lambda x: while_loop(
        lambda y, i: i < 3, lambda y, i: (y * y * x, i + 1), (x, tg.tensor(0, device="cpu"))
    )[0],
    "while_loop, two floats": lambda x: while_loop(
        lambda y, z: z < 20.0, lambda y, z: (y * z * x, z * z), (x, x * x)
    )[0],
    "cond": lambda x: cond(x > 0, lambda x: x * x * x * 2, lambda x: x, (x,)),
    "root": lambda x: root(lambda ab: (ab[0] - ab[1] * x, ab[1] - x * x), (f64(1.0), f64(1.0)))[0],
    "fixed_point": lambda x: fixed_point(lambda y: (y + x * x * x) / 2, f64(1.0)),
    "linear_solve": lambda x: linear_solve(
        lambda y: (x * y[0] + y[1], 2.0 * y[1] * x), (x * x * x, x * x)
    )[0],
    "odeint": lambda x: odeint(lambda t, y: y * y * x / 8, x, f64([0.0, 1.0]), method="rk4")[1],
    "odeint, adaptive": lambda x: odeint(lambda t, y: y * x, x, f64([0.0, 1.0]))[1],
    "custom_vjp": lambda x: cube(x) * x,
    "custom_jvp": lambda x: pushed_cube(x) * x,
    "Function": product(0),
    "Function, other output": product(1, 0),
    "several results": triangle,
}


def forward(fn):
    return lambda x: jvp(fn, (x,), (tg.ones_like(x),))[1]


def on_tape(fn):
    """The derivative of `fn` by the tape, with a graph of its own."""

    def call(x):
        x = x if x.requires_grad else x.detach().requires_grad_()
        return tg.autograd.grad(fn(x), x, create_graph=True)[0]

    return call


def tape_inside(fn):
    """The derivative of `fn` by the tape, of tensors made tracked where it is asked for."""

    def call(x):
        x = (x * 1.0).requires_grad_()
        return tg.autograd.grad(fn(x), x)[0]

    return call


def mapped(fn):
    return lambda x: vmap(fn)(x.expand(2)).sum() / 2


WAYS = {
    "reverse over reverse": lambda fn: grad(grad(fn)),
    "forward over reverse": lambda fn: forward(grad(fn)),
    "reverse over forward": lambda fn: grad(forward(fn)),
    "forward over forward": lambda fn: forward(forward(fn)),
    "the tape twice": lambda fn: lambda x: on_tape(on_tape(fn))(x.requires_grad_()),
    "the tape over grad": lambda fn: on_tape(grad(fn)),
    "the tape over jvp": lambda fn: on_tape(forward(fn)),
    "jvp over the tape": lambda fn: forward(tape_inside(fn)),
    "vmap over grad of grad": lambda fn: mapped(grad(grad(fn))),
    "grad of vmap of grad": lambda fn: grad(mapped(grad(fn))),
    "vmap over grad of jvp": lambda fn: mapped(grad(forward(fn))),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("call", CALLS)
def test_second_derivative(call, way):
    fn = CALLS[call]
    slope = lambda at: grad(fn)(f64(at)).item()  # noqa: E731
    at, h = 1.3, 1e-5
    wanted = (slope(at + h) - slope(at - h)) / (2 * h)
    found = WAYS[way](fn)(f64(at)).item()
    assert found == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("call", CALLS)
def test_backward_inside_a_dual_level(call):
    """The tape goes through the call with the tangents: gradients have them too."""
    fn = CALLS[call]
    x = f64(1.3).requires_grad_()
    with fwAD.dual_level():
        y = fn(fwAD.make_dual(x, f64(1.0)))
        assert y.requires_grad
        y.backward()
        found = fwAD.unpack_dual(x.grad)
        slope, bend = found.primal.item(), found.tangent.item()
    assert slope == pytest.approx(grad(fn)(f64(1.3)).item(), rel=1e-9)
    assert bend == pytest.approx(forward(grad(fn))(f64(1.3)).item(), rel=1e-9)


@pytest.mark.parametrize("loop", [True, False])
def test_weights_without_tangents_inside_a_dual_level(loop):
    """What is tracked outside and captured by a call has a gradient, whose tangent is the mixed derivative."""
    w = f64(1.2).requires_grad_()

    def fn(x, w):
        if loop:
            return scan(lambda c, v: (c * w * v, c), x, f64([0.5, 2.0]))[0]
        return linear_solve(lambda y: w * x * y, x)

    with fwAD.dual_level():
        fn(fwAD.make_dual(f64(1.3), f64(1.0)), w).backward()
        found = fwAD.unpack_dual(w.grad)
        slope, mixed = found.primal.item(), found.tangent
        mixed = 0.0 if mixed is None else mixed.item()
    by_w = grad(fn, argnums=1)
    assert slope == pytest.approx(by_w(f64(1.3), f64(1.2)).item())
    assert mixed == pytest.approx(grad(by_w)(f64(1.3), f64(1.2)).item(), abs=1e-12)


class OldSquare(tg.autograd.Function):
    """With its context given to forward; saves its input, or something that it computed."""

    @staticmethod
    def forward(ctx, x, inner):
        ctx.save_for_backward(x * 2 if inner else x)
        ctx.twice = 1 if inner else 2
        return x * x

    @staticmethod
    def backward(ctx, ct):
        return ctx.twice * ctx.saved_tensors[0] * ct, None

    @staticmethod
    def jvp(ctx, t, _):
        return ctx.twice * ctx.saved_tensors[0] * t


def test_functions_with_a_context_inside_a_dual_level():
    x = f64(3.0).requires_grad_()
    with fwAD.dual_level():
        y = OldSquare.apply(fwAD.make_dual(x, f64(1.0)), False)
        assert fwAD.unpack_dual(y).tangent.item() == 6.0
        y.backward()
        found = fwAD.unpack_dual(x.grad)
        assert (found.primal.item(), found.tangent.item()) == (6.0, 2.0)
    # nobody knows the tangent of what forward computed beside its outputs
    with fwAD.dual_level(), pytest.raises(TransformError, match="setup_context"):
        OldSquare.apply(fwAD.make_dual(x, f64(1.0)), True)
    # without gradients that is not asked for
    with fwAD.dual_level():
        y = OldSquare.apply(fwAD.make_dual(x.detach(), f64(1.0)), True)
        assert fwAD.unpack_dual(y).tangent.item() == 6.0

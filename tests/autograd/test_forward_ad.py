"""Dual tensors: tangents, levels, reverse over forward and forward over reverse."""

import pytest

import tabgrad as tg
import tabgrad.autograd.forward_ad as fwAD
from tabgrad.core.errors import GradientError, TransformError
from tests.transforms.support import array, close, differences, f64, random, smooth


def test_tangents_follow_every_op():
    x, dx = random(3), random(3, seed=1)
    with fwAD.dual_level():
        y = smooth(fwAD.make_dual(x, dx))
        primal, tangent = fwAD.unpack_dual(y)
        close(primal, smooth(x))
        close(tangent, differences(smooth, x, dx), 1e-7)
        assert fwAD.unpack_dual(x).tangent is None


def test_levels_nest_without_confusion():
    with fwAD.dual_level():
        x = fwAD.make_dual(f64(3.0), f64(1.0))
        with fwAD.dual_level():
            y = fwAD.make_dual(x, f64(1.0))
            second = fwAD.unpack_dual(y * y * y).tangent
        close(fwAD.unpack_dual(second).primal, 27.0)
        close(fwAD.unpack_dual(second).tangent, 18.0)


def test_reverse_over_forward():
    p, w = f64(3.0, grad=True), f64(2.0, grad=True)
    with fwAD.dual_level():
        y = fwAD.make_dual(p, f64(1.0)) ** 3 * w
        tangent = fwAD.unpack_dual(y).tangent  # 3 p**2 w
    tangent.backward()
    close(p.grad, 36.0)
    close(w.grad, 27.0)


def test_forward_over_reverse():
    p, w = f64(3.0, grad=True), f64(2.0, grad=True)
    with fwAD.dual_level():
        x = fwAD.make_dual(p, f64(1.0))
        y = x * x * x * w
        for source, value, slope in ((x, 54.0, 36.0), (p, 54.0, 36.0), (w, 27.0, 27.0)):
            (g,) = tg.autograd.grad(y, source, retain_graph=True)
            close(fwAD.unpack_dual(g).primal, value)
            close(fwAD.unpack_dual(g).tangent, slope)
        y.backward()
        close(fwAD.unpack_dual(p.grad).tangent, 36.0)
    close(p.grad * 1.0, 54.0)
    close(w.grad * 1.0, 27.0)


def test_reverse_through_products_with_what_has_no_tangent():
    a, w, v, ct = (
        random(*shape, seed=i) for i, shape in enumerate([(2, 3), (3, 4), (2, 3), (2, 4)])
    )
    a.requires_grad_()
    with fwAD.dual_level():
        y = (fwAD.make_dual(a, v) @ w).exp()
        (g,) = tg.autograd.grad(y, a, ct)
        primal, tangent = fwAD.unpack_dual(g)
    slope = lambda x: (ct * (x @ w).exp()) @ w.T  # noqa: E731
    close(primal, slope(a.detach()))
    close(tangent, differences(slope, a.detach(), v), 1e-6)


def test_detach_drops_the_tangent():
    with fwAD.dual_level():
        x = fwAD.make_dual(f64(3.0), f64(1.0))
        assert fwAD.unpack_dual(x.detach() * 2.0).tangent is None


def test_inside_transforms():
    def slope(x):
        with fwAD.dual_level():
            return fwAD.unpack_dual(fwAD.make_dual(x, tg.ones_like(x)) ** 3).tangent

    close(tg.func.grad(slope)(f64(2.0)), 12.0)
    close(tg.vmap(slope)(f64([1.0, 2.0])), [3.0, 12.0])


def test_errors():
    x = f64(1.0)
    with pytest.raises(TransformError, match="dual_level"):
        fwAD.make_dual(x, x)
    with pytest.raises(TransformError, match="no dual level"):
        fwAD.exit_dual_level()
    with fwAD.dual_level():
        with pytest.raises(GradientError, match="shape and dtype"):
            fwAD.make_dual(x, f64([1.0]))
        with pytest.raises(TypeError, match="float"):
            fwAD.make_dual(x, 1.0)
        with pytest.raises(ValueError, match="Expected primal to be floating point"):
            fwAD.make_dual(tg.tensor(1, device="cpu"), tg.tensor(1, device="cpu"))
        with pytest.raises(ValueError, match="Expected tangent to be floating point"):
            fwAD.make_dual(x, tg.tensor(1, device="cpu"))
        half = fwAD.make_dual(x, tg.tensor(2.0, dtype=tg.float16, device="cpu"))
        assert fwAD.unpack_dual(half * half).tangent == f64(4.0)

    def leaves_inside(v):
        fwAD.enter_dual_level()
        tg.vmap(lambda u: (fwAD.exit_dual_level(), u)[1])(f64([1.0]))
        return v

    with pytest.raises(TransformError, match="reverse order"):
        tg.func.grad(leaves_inside)(x)
    assert array(x) == 1.0


@pytest.mark.every_host
def test_what_is_left_of_a_dual_tensor_is_its_primal(device):
    x = tg.tensor([1.0, 2.0], device=device)
    w = tg.tensor([1.0, 2.0], device=device, requires_grad=True)
    with fwAD.dual_level():
        dual = fwAD.make_dual(x, tg.ones_like(x))
        y = dual * dual
        row = y[:1]
        z = fwAD.make_dual(w, tg.ones_like(w)) ** 3
        sums = tg.func.vmap(lambda t: t * 2)(dual)
    assert (y + 1).tolist() == [2.0, 5.0]
    assert dual.tolist() == [1.0, 2.0]
    assert row.detach().tolist() == [1.0]
    assert (sums * 1).tolist() == [2.0, 4.0]
    assert y.sum().item() == 5.0
    assert fwAD.unpack_dual(y).tangent is None
    with fwAD.dual_level():
        other = fwAD.make_dual(x, tg.full((2,), 3.0, device=device))
        primal, tangent = fwAD.unpack_dual(y * other)
        assert primal.tolist() == [1.0, 8.0]
        assert tangent.tolist() == [3.0, 12.0]
        assert fwAD.unpack_dual(y + 1).tangent is None
        again = fwAD.make_dual(y, tg.ones_like(x))
        assert fwAD.unpack_dual(again * again).tangent.tolist() == [2.0, 8.0]
    assert tg.autograd.grad(z.sum(), w)[0].tolist() == [3.0, 12.0]
    _, out = tg.func.jvp(lambda t: t * y, (x,), (x,))
    assert out.tolist() == [1.0, 8.0]
    assert y.add_(1).tolist() == [2.0, 5.0]

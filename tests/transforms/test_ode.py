"""odeint: accuracy, orders of the methods, gradients through steps and by the adjoint, under transforms."""

import math

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.core.errors import ShapeError, TransformError
from tabgrad.func import ConvergenceError, grad, hessian, jvp, odeint, scan, vmap
from tests.transforms.support import array, close, f64

T = f64([0.0, 0.5, 2.0])
TIGHT = {"rtol": 1e-8, "atol": 1e-10}


def decay(k, y0=None, t=T, **options):
    """exp(-k t), by solving for it."""
    return odeint(lambda t, y: -k * y, f64([1.0]) if y0 is None else y0, t, **{**TIGHT, **options})


def test_dopri5_meets_its_tolerance():
    for rtol in (1e-3, 1e-6, 1e-9):
        y = decay(f64(1.5), rtol=rtol, atol=rtol * 1e-2)
        assert np.abs(array(y)[:, 0] - np.exp(-1.5 * array(T))).max() < 10 * rtol
    pendulum = odeint(
        lambda t, s: (s[1], -s[0].sin()), (f64(1.0), f64(0.0)), f64([0.0, 10.0]), **TIGHT
    )
    energy = lambda q, p: p * p / 2 - math.cos(q)  # noqa: E731
    assert energy(pendulum[0][1].item(), pendulum[1][1].item()) == pytest.approx(
        -math.cos(1.0), abs=1e-6
    )


def test_time_may_run_backwards_and_stand_still():
    close(decay(f64(1.0), t=f64([1.0, 0.0, -1.0]))[:, 0], np.exp([0.0, 1.0, 2.0]), 1e-6)
    close(decay(f64(1.0), t=f64([0.0, 0.0, 1.0]))[:, 0], np.exp([0.0, 0.0, -1.0]), 1e-6)
    close(decay(f64(1.0), t=f64([3.0])), [[1.0]])


@pytest.mark.parametrize(
    ("method", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4)]
)
def test_orders_of_the_fixed_step_methods(method, order):
    errors = []
    for size in (0.1, 0.05):
        y = odeint(
            lambda t, y: y * t.cos(), f64(1.0), f64([0.0, 2.0]), method=method, step_size=size
        )
        errors.append(abs(y[1].item() - math.exp(math.sin(2.0))))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.35)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"adjoint": True},
        {"method": "rk4", "step_size": 0.05},
        {"method": "rk4", "step_size": 0.05, "adjoint": True},
    ],
    ids=str,
)
def test_gradients(options):
    k, y0 = f64(1.5), f64([2.0])

    def end(k, y0, t):
        return decay(k, y0, t, **options)[2].sum()

    gk, gy, gt = grad(end, (0, 1, 2))(k, y0, T)
    value = 2.0 * math.exp(-3.0)
    tolerance = 1e-5
    close(gk, -2.0 * value, tolerance)
    close(gy, [value / 2.0], tolerance)
    close(gt, [1.5 * value, 0.0, -1.5 * value], tolerance)
    close(vmap(grad(end), (0, None, None))(f64([1.5, 0.5]), y0, T)[0], -2.0 * value, tolerance)
    between = grad(lambda k: decay(k, y0, T, **options)[1].sum())(k)
    close(between, -0.5 * 2.0 * math.exp(-0.75), tolerance)
    tracked = f64(1.5, grad=True)
    decay(tracked, y0, T, **options)[2].sum().backward()
    close(tracked.grad, -2.0 * value, tolerance)


@pytest.mark.parametrize("adjoint", [False, True])
def test_second_derivatives(adjoint):
    f = lambda k: decay(k, adjoint=adjoint)[2].sum()  # noqa: E731
    close(grad(grad(f))(f64(1.5)), 4.0 * math.exp(-3.0), 1e-5)


def test_forward_mode():
    close(
        jvp(lambda k: decay(k)[2].sum(), (f64(1.5),), (f64(1.0),))[1], -2.0 * math.exp(-3.0), 1e-6
    )
    close(hessian(lambda k: decay(k)[2].sum())(f64(1.5)), 4.0 * math.exp(-3.0), 1e-5)


def test_a_batch_shares_its_steps():
    y = vmap(decay)(f64([0.5, 3.0]))
    close(y[:, 2, 0], np.exp([-1.0, -6.0]), 1e-6)


def test_a_neural_field():
    tg.manual_seed(0)
    net = tg.nn.Sequential(
        tg.nn.Linear(2, 8, device="cpu"), tg.nn.Tanh(), tg.nn.Linear(8, 2, device="cpu")
    )
    y0 = tg.tensor([[1.0, 0.0], [0.5, -0.5]], device="cpu")
    t = tg.tensor([0.0, 1.0], device="cpu")
    found = []
    for adjoint in (False, True):
        for p in net.parameters():
            p.grad = None
        odeint(lambda t, y: net(y), y0, t, rtol=1e-5, atol=1e-6, adjoint=adjoint)[
            1
        ].square().sum().backward()
        found.append([array(p.grad) for p in net.parameters()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-4)


def test_errors():
    with pytest.raises(ConvergenceError, match=r"stiff|pole"):
        odeint(lambda t, y: y * y, f64(1.0), f64([0.0, 2.0]))
    with pytest.raises(ValueError, match="method"):
        odeint(lambda t, y: y, f64(1.0), T, method="guess")
    with pytest.raises(ShapeError, match="like y"):
        odeint(lambda t, y: y.sum(), f64([1.0, 2.0]), T)
    with pytest.raises(ShapeError, match="structure"):
        odeint(lambda t, y: (y, y), f64(1.0), T)
    with pytest.raises(TypeError, match="t must"):
        odeint(lambda t, y: y, f64(1.0), 2.0)
    with pytest.raises(TypeError, match="y0"):
        odeint(lambda t, y: y, 1.0, T)
    with pytest.raises(TransformError, match="fixed-step"):
        scan(lambda c, _: (decay(c)[1, 0], None), f64(1.0), None, length=2)
    fixed = scan(lambda c, _: (decay(c, method="rk4")[1, 0], None), f64(1.0), None, length=2)
    assert fixed[0].shape == ()

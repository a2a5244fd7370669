"""autocast and GradScaler."""

import warnings

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.amp import GradScaler, custom_bwd, custom_fwd, is_autocast_enabled
from tabgrad.core.errors import DTypeError, GradientError
from tests.transforms.support import array, close

CPU = {"device": "cpu"}


def matrices():
    tg.manual_seed(0)
    return tg.randn(4, 4, **CPU), tg.randn(4, 4, **CPU)


# -- autocast ------------------------------------------------------------------------------------------------


@pytest.mark.every_host
def test_delicate_ops_are_single_but_on_the_cpu(device):
    with tg.device(device):
        half = tg.rand(4, 4).to(tg.bfloat16) + 0.5
        with tg.autocast(device, dtype=tg.bfloat16):
            for fn in (tg.exp, tg.log, tg.sum, lambda x: x**2.5, lambda x: x.softmax(-1), tg.rsqrt):
                assert fn(half).dtype is (tg.bfloat16 if device == "cpu" else tg.float32)
            assert tg.nn.functional.mse_loss(half, half + 1).dtype is tg.float32
            assert half.prod().dtype is tg.float32


def test_products_are_half_and_losses_single():
    a, b = matrices()
    with tg.autocast("cpu"):
        assert (a @ b).dtype is tg.bfloat16
        assert tg.nn.functional.linear(a, b, b[0]).dtype is tg.bfloat16
        assert tg.nn.functional.conv2d(a[None, None], b[None, None], b[0, :1]).dtype is tg.bfloat16
        half = a @ b
        for fn in (tg.nn.functional.mse_loss, tg.nn.functional.l1_loss):
            assert fn(half, a).dtype is fn(half, half).dtype is tg.float32
        assert tg.relu(half).dtype is tg.bfloat16
        assert (half + a).dtype is tg.float32
        assert (a.double() @ b.double()).dtype is tg.float64
        assert tg.ones(2, 2, dtype=tg.int32, **CPU).sum().dtype.is_floating_point is False
    assert (a @ b).dtype is tg.float32


@pytest.mark.every_host
def test_products_in_bfloat16(device):
    with tg.device(device):
        a, b = tg.ones(4, 4), tg.full((4, 4), 1.001)
        with tg.autocast(device, dtype=tg.bfloat16):
            y = a @ b
            assert y.dtype is tg.bfloat16
            wanted = tg.bfloat16 if device == "cpu" else tg.float32
            assert y.sum().dtype is tg.nn.functional.layer_norm(y, (4,)).dtype is wanted
        assert y.tolist() == [[4.0] * 4] * 4


def test_products_that_the_list_of_the_cpu_lacks_keep_their_dtypes():
    m, v = tg.ones(3, 3), tg.ones(3)
    f = tg.nn.functional
    with tg.autocast("cpu"):
        kept = [m.mv(v), tg.addmv(v, m, v), tg.inner(v, v), f.bilinear(m, m, tg.ones(2, 3, 3))]
        assert [y.dtype for y in kept] == [tg.float32] * 4
        assert (m @ v).dtype is tg.bfloat16
    assert kept[0].tolist() == [3.0] * 3


def test_an_lstm_is_one_op_of_half_precision_on_the_cpu():
    layer, x = tg.nn.LSTM(3, 4, 2, bidirectional=True), tg.randn(5, 2, 3)
    exact, (h, c) = layer(x)
    with tg.autocast("cpu"):
        y, (h_half, c_half) = layer(x)
        y.float().sum().backward()
    assert y.dtype is h_half.dtype is c_half.dtype is tg.bfloat16
    assert layer.weight_hh_l0.grad.dtype is tg.float32
    for found, wanted in ((y, exact), (h_half, h), (c_half, c)):
        np.testing.assert_allclose(
            array(found.float().detach()), array(wanted.detach()), rtol=2e-2, atol=2e-2
        )


def test_gradients_come_back_in_single():
    a, b = (m.requires_grad_() for m in matrices())
    with tg.autocast("cpu"):
        loss = ((a @ b).relu() @ b).exp().mean()
    assert loss.dtype is tg.bfloat16
    loss.backward()
    assert a.grad.dtype is tg.float32
    found, a.grad, b.grad = array(b.grad), None, None
    ((a @ b).relu() @ b).exp().mean().backward()
    np.testing.assert_allclose(found, array(b.grad), rtol=6e-2, atol=6e-2)


def test_backward_and_transforms_inside():
    a, b = matrices()
    f = lambda a: ((a @ b).tanh() * a).sum()  # noqa: E731
    with tg.autocast("cpu"):
        leaf = a.clone().requires_grad_()
        f(leaf).backward()
        inside = tg.func.grad(f)(a)
        pushed = tg.func.jvp(f, (a,), (b,))[1]
        batched = tg.vmap(f)(tg.stack([a, b]))
    assert inside.dtype is leaf.grad.dtype is pushed.dtype is tg.float32
    np.testing.assert_allclose(array(leaf.grad), array(inside), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(array(inside), array(tg.func.grad(f)(a)), rtol=2e-2, atol=2e-2)
    np.testing.assert_allclose(array(batched)[0], array(f(a)), rtol=2e-2, atol=2e-2)


def test_switching_and_nesting():
    a, b = matrices()
    with tg.autocast("cpu"):
        assert is_autocast_enabled("cpu")
        assert not is_autocast_enabled("cuda")
        with tg.autocast("cpu", enabled=False):
            assert (a @ b).dtype is tg.float32
        assert (a @ b).dtype is tg.bfloat16
    with tg.autocast("webgpu", enabled=False):
        assert (a @ b).dtype is tg.float32

    @tg.autocast("cpu")
    def product(x):
        return x @ x

    assert product(a).dtype is tg.bfloat16
    assert not is_autocast_enabled()


def test_what_a_device_lacks_is_said_once_and_not_cast(monkeypatch):
    def refuse(self, dtype, asked=False):
        if dtype is tg.float16:
            raise DTypeError("the adapter has no float16")
        return dtype

    monkeypatch.setattr(type(tg.device("cpu")), "canonical", refuse)
    with pytest.warns(UserWarning, match="cpu has no float16"):
        context = tg.autocast("cpu", dtype=tg.float16)
    a, b = matrices()
    with context:
        assert (a @ b).dtype is tg.float32
    with pytest.raises(ValueError, match="device_type"):
        tg.autocast("tpu")
    with pytest.raises(ValueError, match="float16 or bfloat16"):
        tg.autocast("cpu", dtype=tg.float32)


def test_functions_keep_the_autocast_of_their_forward():
    seen = []

    class Product(tg.autograd.Function):
        @staticmethod
        @custom_fwd(device_type="cpu")
        def forward(ctx, x):
            ctx.save_for_backward(x)
            y = x @ x
            seen.append(y.dtype)
            return y

        @staticmethod
        @custom_bwd(device_type="cpu")
        def backward(ctx, ct):
            (x,) = ctx.saved_tensors
            seen.append((ct.float() @ x).dtype)
            return ct.float() * 0.0

    class Exact(tg.autograd.Function):
        @staticmethod
        @custom_fwd(device_type="cpu", cast_inputs=tg.float32)
        def forward(ctx, x):
            y = x @ x
            seen.append(y.dtype)
            return y

        @staticmethod
        @custom_bwd(device_type="cpu")
        def backward(ctx, ct):
            return ct

    x = matrices()[0].requires_grad_()
    with tg.autocast("cpu"):
        y = Product.apply(x)
    y.float().sum().backward()
    assert seen == [tg.bfloat16, tg.bfloat16]
    with tg.autocast("cpu"):
        Exact.apply(x)
    assert seen[2] is tg.float32


# -- GradScaler ------------------------------------------------------------------------------------------------


def setup(scale=8.0, **options):
    w = tg.tensor([1.0, -2.0], requires_grad=True, **CPU)
    optimizer = tg.optim.Adam([w], lr=0.5)
    return w, optimizer, GradScaler("cpu", init_scale=scale, **options)


def test_a_scaled_step_is_the_plain_step():
    w, optimizer, scaler = setup()
    v = tg.tensor([1.0, -2.0], requires_grad=True, **CPU)
    plain = tg.optim.Adam([v], lr=0.5)
    for _ in range(3):
        for x, o in ((w, optimizer), (v, plain)):
            o.zero_grad()
            loss = (x * x).sum()
            (scaler.scale(loss) if x is w else loss).backward()
        scaler.unscale_(optimizer)
        close(w.grad, v.grad, 1e-6)
        scaler.step(optimizer)
        scaler.update()
        plain.step()
        close(w, v, 1e-6)


def test_overflow_is_skipped_and_the_scale_recovers():
    w, optimizer, scaler = setup(growth_interval=2)
    scales = []
    for step in range(6):
        optimizer.zero_grad()
        loss = (w * (float("inf") if step == 1 else 1.0)).sum()
        before = array(w)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
        assert (array(w) == before).all() == (step == 1)
        assert np.isfinite(array(w)).all()
    assert scales == [8.0, 4.0, 4.0, 8.0, 8.0, 16.0]
    assert optimizer.state[w]["step"] == 5


def test_growth_stops_at_the_largest_number():
    w, optimizer, scaler = setup(scale=3e38, growth_interval=1)
    scaler.scale((w * 0.0).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == pytest.approx(3e38)


def test_trees_state_and_switching_off():
    w, optimizer, scaler = setup()
    scaled = scaler.scale({"a": w, "b": [w]})
    close(scaled["b"][0], [8.0, -16.0])
    scaler.update(32.0)
    other = GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    assert other.get_scale() == 32.0
    off = GradScaler("cpu", enabled=False)
    assert off.scale(w) is w
    assert off.get_scale() == 1.0
    assert off.state_dict() == {}
    (w * w).sum().backward()
    off.unscale_(optimizer)
    off.step(optimizer)
    off.update()
    assert array(w).tolist() != [1.0, -2.0]


def test_errors():
    w, optimizer, scaler = setup()
    with pytest.raises(GradientError, match="no parameter"):
        scaler.unscale_(optimizer)
    with pytest.raises(GradientError, match="update"):
        scaler.update()
    scaler.scale((w * w).sum()).backward()
    scaler.unscale_(optimizer)
    with pytest.raises(GradientError, match="since the last update"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(GradientError, match="since the last update"):
        scaler.step(optimizer)
    with pytest.raises(ValueError, match="growth_factor"):
        GradScaler(growth_factor=0.5)
    with pytest.raises(ValueError, match="tensors"):
        scaler.scale(3.0)
    with pytest.raises(GradientError, match="closure"):
        scaler.step(optimizer, closure=lambda: None)
    warnings.simplefilter("error")


@pytest.mark.one_host("wgpu")
def test_in_a_compiled_step():
    w = tg.tensor([1.0, -2.0], device="webgpu", requires_grad=True)
    optimizer = tg.optim.Adam([w], lr=0.1)
    scaler = GradScaler("webgpu", init_scale=8.0, growth_interval=3)

    @tg.compile
    def step(factor):
        optimizer.zero_grad()
        scaler.scale((w * w * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        return w.sum()

    one, bad = tg.tensor(1.0, device="webgpu"), tg.tensor(float("inf"), device="webgpu")
    step(one)
    step(one)
    before = w.tolist()
    moment = optimizer.state[w]["exp_avg"].tolist()
    step(bad)
    assert w.tolist() == before
    assert optimizer.state[w]["exp_avg"].tolist() == moment
    assert scaler.get_scale() == 4.0
    for _ in range(3):
        step(one)
    assert scaler.get_scale() == 8.0
    assert w.tolist() != before
    assert all(np.isfinite(w.tolist()))


def test_switching_autocast_without_a_block():
    a, b = matrices()
    assert tg.get_autocast_dtype("cpu") is tg.bfloat16
    tg.set_autocast_enabled("cpu", True)
    try:
        assert tg.is_autocast_enabled("cpu")
        assert not tg.is_autocast_enabled("cuda")
        assert (a @ b).dtype is tg.bfloat16
        with tg.autocast("cpu", enabled=False):
            assert (a @ b).dtype is tg.float32
        assert (a @ b).dtype is tg.bfloat16
        tg.set_autocast_enabled("webgpu", False)
        assert tg.is_autocast_enabled("cpu")
    finally:
        tg.set_autocast_enabled("cpu", False)
    assert not tg.is_autocast_enabled()
    assert (a @ b).dtype is tg.float32
    with pytest.raises(ValueError, match="device_type"):
        tg.set_autocast_enabled("tpu", True)


def test_the_dtype_that_autocast_takes_when_none_is_said():
    try:
        tg.set_autocast_dtype("cuda", tg.bfloat16)
        assert tg.get_autocast_dtype("cuda") is tg.bfloat16
        assert tg.get_autocast_dtype("cpu") is tg.bfloat16
        assert tg.autocast("cuda", enabled=False).dtype is tg.bfloat16
    finally:
        tg.set_autocast_dtype("cuda", tg.float16)
    assert tg.get_autocast_dtype("cuda") is tg.float16
    with pytest.raises(ValueError, match="float16 or bfloat16"):
        tg.set_autocast_dtype("cpu", tg.float32)

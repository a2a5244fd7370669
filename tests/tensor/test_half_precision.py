"""Half precision is storage: functions compute in float32, and what comes back is rounded once."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg

F = tg.nn.functional
NUMBERS = [0.5, -1.25, 2.0, 3.0, 0.25, 300.0, -0.125, 60.0]
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: x.sum(),
    "mean": lambda x: x.mean(1),
    "prod": lambda x: (x * 0.125).prod(),
    "var": lambda x: x.var(1),
    "std": lambda x: x.std(1),
    "var_mean": lambda x: tg.var_mean(x, 1)[0],
    "norm": lambda x: x.norm(),
    "norm of order 3": lambda x: x.norm(3, 1),
    "norm of order 1": lambda x: x.norm(1, 1),
    "dist": lambda x: tg.dist(x, x.detach().flip(0)),
    "cov": lambda x: tg.cov(x * 0.125),
    "cumsum": lambda x: x.cumsum(1),
    "cumprod": lambda x: x.cumprod(1),
    "logcumsumexp": lambda x: (x * 0.125).logcumsumexp(1),
    "logsumexp": lambda x: x.logsumexp(1),
    "softmax": lambda x: x.softmax(1),
    "log_softmax": lambda x: x.log_softmax(1),
    "layer_norm": lambda x: F.layer_norm(x, (4,)),
    "rms_norm": lambda x: F.rms_norm(x, (4,)),
    "group_norm": lambda x: F.group_norm(x.reshape(1, 2, 4), 2),
    "batch_norm": lambda x: F.batch_norm(x.reshape(4, 2), None, None, training=True),
    "instance_norm": lambda x: F.instance_norm(x.reshape(1, 2, 4)),
    "local_response_norm": lambda x: F.local_response_norm(x.reshape(1, 4, 2), 3),
    "normalize": lambda x: F.normalize(x, dim=1),
    "cosine_similarity": lambda x: F.cosine_similarity(x, x.detach().flip(1), dim=1),
    "pairwise_distance": lambda x: F.pairwise_distance(x, x.detach().flip(0)),
    "mse_loss": lambda x: F.mse_loss(x, x.detach() * 0),
    "smooth_l1_loss": lambda x: F.smooth_l1_loss(x, x.detach() * 0),
    "huber_loss": lambda x: F.huber_loss(x, x.detach() * 0, delta=2.0),
    "cross_entropy": lambda x: F.cross_entropy(x, tg.tensor([1, 2], device=x.device)),
    "soft_margin_loss": lambda x: F.soft_margin_loss(x, x.detach().sign()),
    "avg_pool": lambda x: F.avg_pool1d(x, 2),
    "adaptive_avg_pool": lambda x: F.adaptive_avg_pool1d(x, 3),
    "lp_pool": lambda x: F.lp_pool1d(x.abs(), 2, 2),
    "interpolate": lambda x: F.interpolate(x.reshape(1, 2, 4), size=7, mode="linear"),
    "matmul": lambda x: x @ x.detach().mT,
    "conv1d": lambda x: F.conv1d(x.reshape(1, 2, 4), x.detach().reshape(2, 2, 2)),
    "einsum": lambda x: tg.einsum("ij,ij->", x, x.detach()),
    "attention": lambda x: F.scaled_dot_product_attention(x, x.detach(), x.detach()),
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "gelu of tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "softplus": lambda x: F.softplus(x, beta=2.0),
    "softsign": F.softsign,
    "tanhshrink": F.tanhshrink,
    "glu": F.glu,
    "atan": tg.atan,
    "asinh": tg.asinh,
    "logit": lambda x: tg.logit(x, eps=0.125),
    "hypot": lambda x: tg.hypot(x, x.detach().flip(1)),
    "addcmul": lambda x: tg.addcmul(x, x.detach(), x.detach(), value=0.3),
    "sinc": tg.sinc,
}  # fmt: skip


def halves(device: str) -> list[Any]:
    """The kinds that the device has: no adapter of our tests has float16."""
    return [tg.bfloat16] if device == "webgpu" else [tg.float16, tg.bfloat16]


def value_and_gradient(f: Callable[[Any], Any], dtype: Any, half: Any) -> tuple[Any, Any]:
    x = tg.tensor(NUMBERS, dtype=half).reshape(2, 4).to(dtype).requires_grad_()
    y = f(x)
    assert y.dtype is dtype
    # a gradient that is the same in either precision
    weights = tg.arange(1, y.numel() + 1).reshape(y.shape).to(dtype)
    (g,) = tg.autograd.grad(y, x, weights)
    return y.detach().float(), g.float()


@pytest.mark.every_host
@pytest.mark.parametrize("name", FUNCTIONS)
def test_results_are_those_of_float32_rounded_once(name: str, device: str) -> None:
    f = FUNCTIONS[name]
    for half in halves(device):
        y, g = value_and_gradient(f, half, half)
        wide, slope = value_and_gradient(f, tg.float32, half)
        step = tg.finfo(half).eps
        tg.testing.assert_close(y, wide.to(half).float(), rtol=step, atol=1e-6, equal_nan=True)
        # what a step inside saves or hands on was rounded too, and terms may cancel
        room = 4 * step * max(float(slope.abs().max()), 1e-3)
        tg.testing.assert_close(g, slope, rtol=4 * step, atol=room, equal_nan=True)


@pytest.mark.every_host
def test_sums_of_many_small_terms_do_not_stick(device: str) -> None:
    for half in halves(device):
        n = 5000
        rows = tg.ones(n, dtype=half)
        want = float(tg.tensor(float(n), dtype=half))
        at = tg.zeros(n, dtype=tg.int64)
        assert rows.sum().item() == want
        assert rows.cumsum(0)[-1].item() == want
        assert (rows @ rows).item() == want
        assert (rows.reshape(1, n) @ rows.reshape(n, 1)).item() == want
        assert tg.zeros(1, dtype=half).scatter_add(0, at, rows).item() == want
        assert rows.mean().item() == rows.norm().item() ** 0 == 1.0
        assert tg.ones(2, n, dtype=half).sum(0).sum().item() == 2 * want
        table = tg.ones(1, 1, dtype=half, requires_grad=True)
        F.embedding(at, table).sum().backward()
        assert table.grad.item() == want


def test_float16_does_not_overflow_on_the_way() -> None:
    x = tg.tensor([300.0, 400.0], dtype=tg.float16, device="cpu")
    big = tg.tensor([60000.0, 60000.0], dtype=tg.float16, device="cpu")
    assert x.norm().item() == 500.0
    assert big.mean().item() == 60000.0
    assert (big.sum() - big.sum()).isnan().item()  # the sum itself is too large
    assert tg.cat([big, -big]).sum().item() == 0.0
    rows = tg.tensor([0.0, 1000.0, 2000.0, 3000.0], dtype=tg.float16, device="cpu")
    found = F.layer_norm(rows, (4,))
    assert found.tolist() == pytest.approx([-1.3416, -0.4473, 0.4473, 1.3416], rel=1e-3)
    w = x.clone().requires_grad_()
    w.grad = x.clone()
    assert tg.nn.utils.clip_grad_norm_([w], 1.0).item() == 500.0
    assert w.grad.tolist() == pytest.approx([0.6, 0.8], rel=2e-3)
    score = F.scaled_dot_product_attention(x[None], x[None], x[None])
    assert score.tolist() == [[300.0, 400.0]]


def test_running_statistics_of_a_norm_in_half_precision() -> None:
    for half in (tg.float16, tg.bfloat16):
        norm = tg.nn.BatchNorm1d(2, device="cpu").to(half)
        y = norm(tg.tensor([[0.0, 1000.0], [2000.0, 3000.0]], dtype=half, device="cpu"))
        assert y.dtype is norm.running_mean.dtype is half
        assert norm.running_mean.tolist() == [100.0, 200.0]
        mixed = tg.nn.LayerNorm(2, device="cpu")
        assert mixed(y).dtype is half


# -- bfloat16 --------------------------------------------------------------------------------------


@pytest.mark.every_host
def test_bfloat16_rounds_to_the_nearest_and_a_tie_to_the_even_one(device: str) -> None:
    step = 2.0**-7
    given = [1 + step / 2, 1 + 1.5 * step, 1 + 0.51 * step, -1 - step / 2, 3.4e38, -3.4e38, 1e-45]
    x = tg.tensor(given)
    for y in (
        x.to(tg.bfloat16),
        x.bfloat16(),
        tg.tensor(given, dtype=tg.bfloat16),
        x.type(tg.bfloat16),
    ):
        assert y.tolist() == [1.0, 1 + 2 * step, 1 + step, -1.0, math.inf, -math.inf, 0.0]
    special = tg.tensor([math.nan, math.inf, -math.inf, -0.0], dtype=tg.bfloat16)
    assert str(special.tolist()) == "[nan, inf, -inf, -0.0]"
    assert str((special + 0.0 * special).tolist()[:1]) == "[nan]"
    assert str((special * 1).float().tolist()[1:]) == "[inf, -inf, -0.0]"


@pytest.mark.every_host
def test_what_tensors_of_bfloat16_do(device: str) -> None:
    x = tg.tensor([1.0, 2.5, -3.0], dtype=tg.bfloat16)
    assert repr(x).endswith("dtype=tabgrad.bfloat16)")
    assert x[1].item() == 2.5
    assert x.element_size() == 2
    with pytest.raises(TypeError, match="BFloat16"):
        x.numpy()
    assert x.float().numpy().tolist() == [1.0, 2.5, -3.0]
    assert (x + 1).dtype is (x * 2.5).dtype is (x + tg.tensor([1, 2, 3])).dtype is tg.bfloat16
    assert (x + tg.ones(3)).dtype is tg.float32
    assert (x > 0).tolist() == [True, True, False]
    assert x.int().tolist() == [1, 2, -3]
    assert x.sort().values.tolist() == [-3.0, 1.0, 2.5]
    assert x.max().item() == 2.5
    assert x.argmax().item() == 1
    assert tg.cat([x, x])[2:4].tolist() == [-3.0, 1.0]
    assert tg.where(x > 0, x, 0.0).tolist() == [1.0, 2.5, 0.0]
    y = x.clone()
    y[1:].mul_(2)
    assert y.tolist() == [1.0, 5.0, -6.0]
    r = tg.rand(1000, dtype=tg.bfloat16)
    assert 0.4 < r.float().mean().item() < 0.6
    assert r.max().item() < 1
    assert tg.vmap(lambda a: a * 2)(x).tolist() == [2.0, 5.0, -6.0]
    assert tg.func.grad(lambda a: (a * a).sum())(x).tolist() == [2.0, 5.0, -6.0]
    assert tg.func.jvp(lambda a: a * a, (x,), (tg.ones_like(x),))[1].tolist() == [2.0, 5.0, -6.0]
    assert x.to("cpu").to(device).tolist() == x.tolist()
    file = io.BytesIO()
    tg.save({"x": x}, file)
    file.seek(0)
    again = tg.load(file)["x"]
    assert again.dtype is tg.bfloat16
    assert again.tolist() == x.tolist()


@pytest.mark.every_host
def test_a_model_trains_in_bfloat16(device: str) -> None:
    tg.manual_seed(0)
    model = tg.nn.Sequential(tg.nn.Linear(2, 16), tg.nn.Tanh(), tg.nn.Linear(16, 1)).to(tg.bfloat16)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
    x = tg.rand(64, 2).to(tg.bfloat16)
    y = x[:, :1] - x[:, 1:]
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    assert losses[-1].dtype is tg.bfloat16
    assert losses[-1].item() < 0.2 * losses[0].item()


@pytest.mark.every_host
def test_a_number_beside_half_precision_is_not_rounded_but_a_tensor_is(device: str) -> None:
    x = tg.tensor([3.0], dtype=tg.bfloat16)
    exact = tg.tensor([3.0 * 1.1], dtype=tg.bfloat16).item()
    assert (x * 1.1).item() == (1.1 * x).item() == x.mul(1.1).item() == exact == 3.296875
    assert (x / 1.1).item() == tg.tensor([3.0 / 1.1], dtype=tg.bfloat16).item()
    whole = tg.full((1,), 1.1, dtype=tg.bfloat16)
    assert whole.float().item() == whole.item() == 1.1015625
    assert (x * whole).item() == 3.3125


@pytest.mark.every_host
def test_modules_of_bfloat16_compiled_copied_saved_and_exported(device: str) -> None:
    model = tg.nn.Sequential(
        tg.nn.Linear(3, 4), tg.nn.LayerNorm(4), tg.nn.ReLU(), tg.nn.Linear(4, 2)
    )
    model = model.bfloat16()
    x = tg.randn(5, 3).bfloat16()
    compiled = tg.compile(model)
    with tg.no_grad():
        for i in range(3):
            assert compiled(x + i).tolist() == model(x + i).tolist()
    optimizer = tg.optim.Adam(model.parameters(), lr=0.01)

    @tg.compile
    def step() -> Any:
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    losses = [step().item() for _ in range(10)]
    assert losses[-1] < losses[0]
    twin = copy.deepcopy(model)
    file = io.BytesIO()
    tg.save(model.state_dict(), file)
    file.seek(0)
    for t in twin.parameters():
        t.data.zero_()
    twin.load_state_dict(tg.load(file))
    assert twin[0].weight.dtype is tg.bfloat16
    assert twin(x).tolist() == model(x).tolist()
    program = tg.export(model, (x,))
    assert program(x).tolist() == model(x).tolist()
    layers: list[tuple[Any, tuple[int, ...]]] = [
        (tg.nn.Conv2d(2, 3, 3), (1, 2, 5, 5)), (tg.nn.LSTM(3, 4), (2, 1, 3)), (tg.nn.BatchNorm1d(3), (4, 3)),
        (tg.nn.Embedding(4, 2), ()), (tg.nn.TransformerEncoderLayer(4, 2, 8), (3, 1, 4)),
    ]  # fmt: skip
    for layer, shape in layers:
        layer = layer.to(tg.bfloat16)
        y = layer(tg.randn(*shape).bfloat16() if shape else tg.tensor([1, 3]))
        y = y[0] if isinstance(y, tuple) else y
        y.sum().backward()
        assert y.dtype is tg.bfloat16
        assert all(t.grad is None or t.grad.dtype is tg.bfloat16 for t in layer.parameters())


@pytest.mark.every_host
def test_bfloat16_as_the_default_dtype(device: str) -> None:
    tg.set_default_dtype(tg.bfloat16)
    try:
        assert tg.tensor(1.5).dtype is tg.nn.Linear(2, 2)(tg.ones(2)).dtype is tg.bfloat16
        assert (tg.arange(3) / 2).tolist() == [0.0, 0.5, 1.0]
        assert (tg.arange(3) * 1.5).dtype is tg.bfloat16
    finally:
        tg.set_default_dtype(tg.float32)

"""What becomes one kernel: counted on a device that only records."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.nn import functional as F
from tabgrad.ops.checked import checked
from tests.lower import recorder


@pytest.fixture
def device() -> Any:
    return recorder.device()


def randoms(device: Any, *shape: int) -> Any:
    draw = random.Random(sum(shape))
    flat = [draw.uniform(-1, 1) for _ in range(math.prod(shape))]
    return tg.tensor(flat, device=device).reshape(shape)


def kernels(device: Any, compute: Callable[[], Any]) -> int:
    """How many dispatches it takes to have what `compute` returns on the device."""
    device.backend.flush()
    before = device.backend.counters.dispatches
    kept = compute()
    device.backend.flush()
    assert kept is not None
    return int(device.backend.counters.dispatches - before)


def row_programs() -> Iterator[Any]:
    yield "softmax", lambda x: F.softmax(x, -1)
    yield "log_softmax", lambda x: F.log_softmax(x, -1)
    yield "logsumexp", lambda x: tg.logsumexp(x, -1)
    yield "layer_norm", lambda x: F.layer_norm(x, (33,))
    yield "rms_norm", lambda x: F.rms_norm(x, (33,))
    yield "var", lambda x: x.var(-1)
    yield "argmax", lambda x: x.argmax(-1)
    yield "standardised", lambda x: (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)
    yield "element-wise chain", lambda x: ((x * 2 + 1).exp().tanh() - x).abs().sqrt()
    yield "chain and sum", lambda x: (x * 2 + 1).exp().sum(-1)
    yield "transposed", lambda x: x.T + 1
    yield "masked", lambda x: tg.where(x > 0, x, x * 0.1)
    yield "joined", lambda x: tg.cat([x, x * 2], 1) + 1
    yield "padded windows", lambda x: F.max_pool1d(x[None], 3, 2, 1)


@pytest.mark.parametrize(("name", "program"), list(row_programs()))
def test_one_kernel(device: Any, name: str, program: Callable[[Any], Any]) -> None:
    x = randoms(device, 40, 33)
    assert kernels(device, lambda: program(x)) == 1, recorder.last_plan(device)


def test_bias_activation_and_residual_are_a_products_epilogue(device: Any) -> None:
    x, w, b = randoms(device, 20, 16), randoms(device, 16, 16), randoms(device, 16)
    assert kernels(device, lambda: tg.relu(x @ w + b) + x) == 1
    assert kernels(device, lambda: F.gelu(F.linear(x, w, b))) == 1


def test_gated_units_are_two_products_and_sums_before_a_norm_are_part_of_it(device: Any) -> None:
    x, w, b = randoms(device, 20, 16), randoms(device, 64, 16), randoms(device, 64)
    first, second = w[:32], w[32:]
    gates = {"GLU": tg.sigmoid, "SwiGLU": F.silu, "GeGLU": F.gelu, "ReGLU": F.relu}
    for name, gate in gates.items():
        count = kernels(device, lambda gate=gate: gate(F.linear(x, first)) * F.linear(x, second))
        assert count == 2, name
    assert kernels(device, lambda: F.glu(F.linear(x, w, b))) == 2
    y = randoms(device, 20, 16)

    def added(norm: Callable[..., Any]) -> Any:
        h = x + y
        return h, norm(h, (16,))

    for norm in (F.layer_norm, F.rms_norm):
        assert kernels(device, lambda norm=norm: added(norm)) == 1


def test_convolution_with_bias_and_relu_is_one_kernel_and_makes_no_columns(device: Any) -> None:
    x, w, b = randoms(device, 2, 3, 9, 9), randoms(device, 4, 3, 3, 3), randoms(device, 4)
    assert kernels(device, lambda: tg.relu(F.conv2d(x, w, b, padding=1))) == 1
    plan = recorder.last_plan(device)
    assert not plan.temporaries


def test_a_loop_does_not_compute_again_what_can_be_loaded(device: Any) -> None:
    x, w = randoms(device, 2, 4, 9, 9), randoms(device, 4, 1, 3, 3)
    scale, a, v = randoms(device, 4, 1, 1), randoms(device, 64, 40), randoms(device, 40)

    def activated() -> Any:
        return F.gelu((x - 0.5) / scale * 2)

    def windows(h: Any) -> Any:
        return F.conv2d(h, w, padding=1, groups=4)

    def both(h: Any, use: Callable[[Any], Any]) -> Any:
        return h, use(h)

    assert kernels(device, lambda: windows(activated())) == 2
    assert kernels(device, lambda: both(activated(), windows)) == 2
    assert kernels(device, lambda: both(F.gelu(v * 2 - 1), lambda h: a @ h)) == 2
    assert kernels(device, lambda: windows(x * 2)) == 1


def test_cross_entropy_is_one_row_kernel_and_a_mean(device: Any) -> None:
    x = randoms(device, 40, 10)
    y = tg.tensor([i % 10 for i in range(40)], device=device)
    assert kernels(device, lambda: F.cross_entropy(x, y, reduction="none")) == 1
    assert kernels(device, lambda: F.cross_entropy(x, y)) <= 2


def test_a_long_sum_is_two_steps(device: Any) -> None:
    x = randoms(device, 100, 100)
    assert kernels(device, lambda: x.sum()) == 2


def test_long_chains_are_cut(device: Any) -> None:
    x = randoms(device, 8)

    def chain() -> Any:
        y = x
        for _ in range(1000):
            y = y * 0.99
            y = y + 0.01
        return y

    count = kernels(device, chain)
    assert 10 <= count <= 40


def model_step(device: Any, **options: Any) -> tuple[Any, Any, Callable[[], Any]]:
    tg.manual_seed(0)
    model = tg.nn.Sequential(
        tg.nn.Linear(20, 32), tg.nn.ReLU(), tg.nn.Linear(32, 32), tg.nn.ReLU(), tg.nn.Linear(32, 10)
    ).to(device)
    optimizer = tg.optim.Adam(model.parameters(), **options)
    x = randoms(device, 16, 20)
    y = tg.tensor([i % 10 for i in range(16)], device=device)

    def step() -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return model, optimizer, step


def test_an_optimizer_step_is_one_kernel(device: Any) -> None:
    _, _, step = model_step(device)
    for _ in range(3):
        step()
    plan = recorder.last_plan(device)
    assert len(plan.kernels) <= 16, plan
    updates = [k for k in plan.kernels if "sqrt" in k.source]
    assert len(updates) == 1


def test_repeated_steps_make_no_plan_and_no_pipeline(device: Any) -> None:
    _, optimizer, step = model_step(device)
    for _ in range(4):
        step()
    counters = device.backend.counters
    plans, pipelines = counters.plans, counters.pipelines
    for i in range(5):
        optimizer.param_groups[0]["lr"] = 0.01 / (i + 1)
        step()
    assert (counters.plans, counters.pipelines) == (plans, pipelines)


def test_a_compiled_step_is_one_submit_and_follows_the_learning_rate(device: Any) -> None:
    _, optimizer, step = model_step(device)
    compiled = tg.compile(step)
    for _ in range(4):
        compiled()
    assert compiled.traces <= 3
    device.backend.submit_pending()  # what waits for a read to ride with
    counters = device.backend.counters
    before = (counters.plans, counters.pipelines, compiled.traces, counters.submits)
    for i in range(5):
        optimizer.param_groups[0]["lr"] = 0.01 / (i + 1)
        compiled().item()
    assert (counters.plans, counters.pipelines, compiled.traces, counters.submits - 5) == before


def test_live_buffers_stay(device: Any) -> None:
    _, _, step = model_step(device)
    compiled = tg.compile(step)
    for _ in range(5):
        compiled()
    early = tg.profiler.memory().buffers, device.backend.pool.live
    for _ in range(50):
        compiled()
    assert (tg.profiler.memory().buffers, device.backend.pool.live) == early


def test_numbers_are_no_part_of_the_text(device: Any) -> None:
    x = randoms(device, 8)
    assert kernels(device, lambda: x * 0.123 + 0.456) == 1
    text = recorder.last_plan(device).kernels[0].source
    assert "0.123" not in text
    assert kernels(device, lambda: x * 0.789 + 0.111) == 1
    assert len(device.backend.plans) == 1


def test_no_kernel_binds_more_buffers_than_the_device_has() -> None:
    device = recorder.device(limits={"max_storage_buffers_per_shader_stage": 8})
    xs = [randoms(device, 16) for _ in range(30)]

    def total() -> Any:
        y = xs[0]
        for x in xs[1:]:
            y = y * x
        return y

    assert kernels(device, total) >= 4
    for stored in device.backend.plans.values():
        assert all(len(set(k.slots)) <= 8 for k in stored.plan.kernels)


@pytest.mark.parametrize("buffers", range(5, 10))
def test_the_buffer_of_errors_is_one_of_them(buffers: int) -> None:
    """Indices that are stored after they were checked leave one binding for what is wrong with them."""
    device = recorder.device(limits={"max_storage_buffers_per_shader_stage": buffers})
    x = (tg.arange(64, device=device) * 5 % 3).to(tg.int32)
    early = x.cumsum(0)
    said: Any = {"size": 3, "name": "f", "what": "index", "dim": 0, "wraps": True, "ignore": None}
    kept = [checked.bind(x[k], **said) for k in range(40)]
    device.backend.flush()
    assert early is not None
    assert kept
    for stored in device.backend.plans.values():
        assert all(len(set(k.slots)) <= buffers for k in stored.plan.kernels)


@pytest.mark.parametrize(
    "name", ["softmax", "logsumexp", "amax", "amin", "all", "any", "of a doubled constant"]
)
def test_extremes_of_constants_are_read_and_not_searched(device: Any, name: str) -> None:
    x = tg.ones(3, 20, device=device)
    y = {
        "softmax": lambda: x.softmax(1),
        "logsumexp": lambda: x.logsumexp(1),
        "amax": lambda: x.exp().amax(1),
        "amin": lambda: x.exp().amin(0),
        "all": lambda: (x > 0).all(1),
        "any": lambda: (x > 0).any(),
        "of a doubled constant": lambda: (x * 2).softmax(1),
    }[name]()
    (kernel,) = tg.compiler.explain(y).kernels
    assert kernel.source is not None
    body = kernel.source[kernel.source.index("fn main") :]
    assert "max" not in body
    if name in ("amax", "amin", "all", "any"):
        assert "for (" not in body

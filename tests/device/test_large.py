"""Tensors larger than one binding are worked on in parts; what can't be is refused, and the device goes on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tabgrad as tg

pytestmark = pytest.mark.one_host("wgpu")
F = tg.nn.functional

BINDING = 64 << 10
BUFFER = 8 * BINDING
Make = Callable[..., tg.Tensor]


def backend() -> Any:
    return tg.device("webgpu").backend


def limited(monkeypatch: pytest.MonkeyPatch, binding: int, buffer: int, bindings: int) -> None:
    """Let the device bind and hold little; what was lowered before is left aside."""
    monkeypatch.setattr(backend().limits, "binding", binding)
    monkeypatch.setattr(backend().limits, "buffers", bindings)
    monkeypatch.setattr(backend().pool, "most", buffer)
    monkeypatch.setattr(backend(), "plans", {})


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, BINDING, BUFFER, 8)


def maker(device: str) -> Make:
    def make(*shape: int) -> tg.Tensor:
        values = np.random.default_rng(math.prod(shape)).standard_normal(shape)
        return tg.tensor(values.astype("float32"), device=device)

    return make


def sides(n: int) -> tuple[int, int]:
    """Rows and columns of a matrix of `n` elements, more rows than columns."""
    columns = 1 << (n.bit_length() // 2 - 1)
    return n // columns, columns


def numbers(t: Make, n: int) -> tg.Tensor:
    return tg.arange(n, dtype=tg.int32, device=t(1).device)


def written(t: Make, n: int) -> tg.Tensor:
    x = t(n).clone()
    x[3:9] = 1.0
    x[::2] += 2
    return x


def gradient(t: Make, shape: tuple[int, ...], f: Callable[[tg.Tensor], tg.Tensor]) -> tg.Tensor:
    x = t(*shape).requires_grad_(True)
    f(x).backward()
    assert x.grad is not None
    return x.grad


def compiled(t: Make, n: int) -> tg.Tensor:
    """Captured, then replayed with other numbers."""
    f = tg.compile(lambda x, y: (tg.sin(x) * y + 1, (x * y).view(-1, 16).sum(0)))
    x = t(n)
    for _ in range(3):
        x = x * 0.5
        a, b = f(x, t(n))
    return tg.cat([a.view(-1, 16).mean(0), b])


def at_many_sizes(t: Make, n: int) -> tg.Tensor:
    f = tg.compile(lambda x: tg.softmax(x, 1) * 2 + x.sum(1, keepdim=True), dynamic=True)
    for rows in (n // 32 - 1, n // 32 - 5, n // 32):
        out = f(t(rows, 32))
    return out


def trained(t: Make, n: int) -> tg.Tensor:
    """Two steps of Adam on a layer whose weight is large."""
    w = t(n // 16, 16).requires_grad_(True)
    optimizer = tg.optim.Adam([w], lr=0.1)

    def step() -> None:
        optimizer.zero_grad()
        (t(8, 16) @ w.t()).pow(2).mean().backward()
        optimizer.step()

    for _ in range(2):
        step()
    return w.detach()


FAMILIES: dict[str, Callable[[Make, int], tg.Tensor]] = {
    "sum of two": lambda t, n: t(n) + t(n),
    "a chain": lambda t, n: tg.relu(t(n) * 2 + 1).sin() * t(n),
    "where": lambda t, n: tg.where(t(n) > 0, t(n), t(n) * 0.5),
    "constants": lambda t, n: tg.full((n,), 2.5, device=t(1).device) + numbers(t, n).float(),
    "comparison": lambda t, n: t(n) > 0,
    "half": lambda t, n: (t(n).half() * 2).float(),
    "bytes": lambda t, n: t(n).to(tg.int8) * 3,
    "complex": lambda t, n: tg.view_as_real(tg.complex(t(n), t(n).flip(0)) * (1 - 2j)),
    "a complex sum": lambda t, n: (tg.view_as_complex(t(n // 32, 16, 2)) * 1j).sum(1).imag,
    "complex by index": lambda t, n: tg.view_as_complex(t(n // 2, 2)).flip(0)[::3].abs(),
    "in place": written,
    "copy": lambda t, n: t(n).clone(),
    "read": lambda t, n: t(n),
    "transpose": lambda t, n: t(*sides(n)).t().contiguous(),
    "permute": lambda t, n: t(4, 16, n // 64).permute(2, 0, 1).contiguous(),
    "flip": lambda t, n: t(n).flip(0),
    "slice": lambda t, n: t(n)[1:-1] + 1,
    "steps": lambda t, n: t(n)[::2] * 1,
    "expand": lambda t, n: t(64, 1).expand(64, n // 64) * 1,
    "pad": lambda t, n: F.pad(t(n // 2), (n // 4, n // 4)),
    "cat": lambda t, n: tg.cat([t(n // 2), t(n // 2) * 2]),
    "cat of many": lambda t, n: tg.cat([t(n // 8) * k for k in range(8)]),
    "stack": lambda t, n: tg.stack([t(n // 2), t(n // 2) * 2], 1),
    "roll": lambda t, n: t(n).roll(7, 0),
    "repeat": lambda t, n: t(n // 4).repeat(4),
    "random": lambda t, n: tg.rand(n, device=t(1).device) < 2,
    "outer": lambda t, n: t(n // 64, 1) * t(1, 64),
    "sum": lambda t, n: t(n).sum(),
    "mean of products": lambda t, n: (t(n) * t(n)).mean(),
    "max": lambda t, n: t(n).max(),
    "argmax": lambda t, n: t(n).argmax(),
    "sums of columns": lambda t, n: t(*sides(n)).sum(0),
    "sums of rows": lambda t, n: t(*sides(n)).sum(1),
    "sums of few columns": lambda t, n: t(n // 4, 4).sum(0),
    "sums of few rows": lambda t, n: t(4, n // 4).sum(1),
    "sums over few": lambda t, n: t(4, n // 4).sum(0),
    "fused sums": lambda t, n: (t(*sides(n)) * t(*sides(n)).exp()).sum(0),
    "argmax of columns": lambda t, n: t(*sides(n)).argmax(0),
    "variance": lambda t, n: t(*sides(n)).var(1),
    "softmax": lambda t, n: tg.softmax(t(*sides(n)), 1),
    "softmax of columns": lambda t, n: tg.softmax(t(*sides(n)), 0),
    "layer norm": lambda t, n: F.layer_norm(t(*sides(n)), sides(n)[1:]),
    "running sum": lambda t, n: t(n).cumsum(0),
    "running sums of columns": lambda t, n: t(*sides(n)).cumsum(0),
    "running sums of rows": lambda t, n: t(*sides(n)).cumsum(1),
    "running maximum": lambda t, n: t(*sides(n)).cummax(1)[0],
    "sort of rows": lambda t, n: t(n // 8, 8).sort(1)[0],
    "product, left": lambda t, n: tg.relu(t(n // 32, 32) @ t(32, 8) + t(8)),
    "product, result": lambda t, n: t(n // 64, 8) @ t(8, 64),
    "product, right": lambda t, n: t(8, 32) @ t(32, n // 32),
    "product, transposed": lambda t, n: t(8, n // 32) @ t(32, n // 32).t(),
    "product, inner": lambda t, n: t(8, n // 8) @ t(n // 8, 8),
    "products": lambda t, n: t(16, n // 256, 16) @ t(16, 16, 16),
    "few products": lambda t, n: t(2, n // 32, 16) @ t(2, 16, 16),
    "index": lambda t, n: t(n)[numbers(t, n // 3) * 3],
    "gather": lambda t, n: t(*sides(n)).gather(1, numbers(t, n).view(sides(n)) % 7),
    "embedding": lambda t, n: F.embedding(numbers(t, 32), t(*sides(n))),
    "scatter": lambda t, n: t(n).scatter_add(0, numbers(t, 100) * 5, t(100)),
    "written by index": lambda t, n: t(n // 16, 16).index_fill(0, numbers(t, 20) * 2, 0.5),
    "sums by index": lambda t, n: t(n // 16, 16).index_add(0, numbers(t, 50) % 7, t(50, 16)),
    "convolution": lambda t, n: F.conv1d(t(4, 4, n // 16), t(4, 4, 3)),
    "pooling": lambda t, n: F.max_pool1d(t(1, 1, n), 2),
    "interpolation": lambda t, n: F.interpolate(t(1, 1, n // 2), scale_factor=2),
    "gradient of a chain": lambda t, n: gradient(t, (n,), lambda x: (x.sin() * x).sum()),
    "gradient of sums": lambda t, n: gradient(t, sides(n), lambda x: (x.sum(0) ** 2).sum()),
    "gradient of softmax": lambda t, n: gradient(
        t, sides(n), lambda x: (tg.softmax(x, 1) ** 2).sum()
    ),
    "gradient of a product, left": lambda t, n: gradient(
        t, (n // 32, 32), lambda x: (x @ t(32, 8)).pow(2).mean()
    ),
    "gradient of a product, right": lambda t, n: gradient(
        t, (32, 8), lambda w: (t(n // 32, 32) @ w).pow(2).mean()
    ),
    "gradient of a running sum": lambda t, n: gradient(
        t, (n // 16, 16), lambda x: x.cumsum(0).mean()
    ),
    "gradient of a gather": lambda t, n: gradient(t, (n,), lambda x: x[numbers(t, 100)].sum()),
    "compiled": compiled,
    "compiled at many sizes": at_many_sizes,
    "trained": trained,
}  # fmt: skip
REFUSED = {("running sum", 4.0): "reaches all over"}
"""What takes too many parts at once, and how it is refused."""


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_right_or_refused(little: None, family: str) -> None:
    run = FAMILIES[family]
    for times in (0.9, 1.1, 4.0, 9.0):
        n = int(times * BINDING / 4) // 1024 * 1024
        expected = REFUSED.get((family, times), "in one buffer" if times == 9.0 else "")
        if expected:
            with pytest.raises(
                tg.OutOfMemoryError, match=rf"[\d,]+ bytes.*{expected}|{expected}.* bytes.*"
            ) as caught:
                run(maker("webgpu"), n).numpy()
            assert "work on parts" in str(caught.value) or "work on " in str(caught.value)
            del caught  # it holds the tensor
        else:
            got, want = run(maker("webgpu"), n).numpy(), run(maker("cpu"), n).numpy()
            np.testing.assert_allclose(
                got.astype("float64"), want.astype("float64"), rtol=2e-4, atol=2e-4
            )
        assert tg.arange(4.0, device="webgpu").sum().item() == 6.0


def test_no_kernel_binds_more_than_the_device_lets_it(little: None) -> None:
    """Bindings are within their limit and their slot, and what is written is bound once."""
    for family, run in FAMILIES.items():
        if (family, 4.0) not in REFUSED:
            run(maker("webgpu"), BINDING).numpy()
    large = 0
    for stored in backend().plans.values():
        for k in stored.plan.kernels:
            assert len(k.slots) <= 8
            sizes = [stored.plan.nbytes[slot] for slot in k.slots]
            spans = [s or (0, size) for s, size in zip(k.spans or [None] * 8, sizes, strict=False)]
            for (start, length), size in zip(spans, sizes, strict=True):
                assert length <= BINDING
                assert start + length <= size
            written = [
                (slot, span) for slot, span, mode in zip(k.slots, spans, k.bindings, strict=False)
                if mode == "w"
            ]  # fmt: skip
            for i, (slot, (start, length)) in enumerate(written):
                for other, (begin, extent) in written[:i]:
                    assert slot != other or start >= begin + extent or begin >= start + length
            large += bool(k.spans)
    assert large > 100


def test_beyond_the_true_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """With gradients, at the size of a binding of every WebGPU device, whatever this one binds."""
    limits = backend().host.hello.limits
    binding = min(limits["max_storage_buffer_binding_size"], 1 << 27)
    limited(monkeypatch, binding, min(limits["max_buffer_size"], 4 << 27), 8)
    rows = binding // 4 // 1024 + 3000
    x = (tg.arange(rows, dtype=tg.float32, device="webgpu") % 17).view(-1, 1).expand(-1, 1024)
    x = (x + 0).requires_grad_(True)
    y = x * 2 + 1
    y.sum(1).pow(2).mean().backward()
    last = (rows - 1) % 17
    assert y[-1, -3:].tolist() == [2.0 * last + 1] * 3
    assert y.detach().sum(0)[5].item() == pytest.approx(
        sum(2.0 * (i % 17) + 1 for i in range(rows))
    )
    assert x.grad is not None
    want = 2 * 1024 * (2 * last + 1) * 2 / rows
    assert x.grad[-2:, -1].tolist()[1] == pytest.approx(want)
    assert x.grad[17].tolist() == pytest.approx([2 * 1024 * 2 / rows] * 1024)
    with pytest.raises(tg.OutOfMemoryError, match=r"in one buffer.*at most"):
        tg.cat([y.detach()] * 40).add(1).numpy()
    del x, y
    tg.accelerator.empty_cache("webgpu")
    assert tg.arange(4.0, device="webgpu").sum().item() == 6.0

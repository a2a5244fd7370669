"""Long chains of ops of every kind: they are cut into kernels, and printed without deep recursion."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.lower.measure import MAX_NESTED, MAX_VALUES
from tabgrad.nn import functional as F
from tests.lower import recorder

LINKS = 120
VIEWS = ("flips", "pads and slices")
"""Chains of nothing but views, of which a kernel holds many: they have ten times as many links."""
PRINTED = ("turns and sums", "rolls", "gathers by what is computed", "softmaxes")
"""Chains that are printed as CUDA C too: up to there the two languages have the same plans."""
COMPUTED = (
    "flips and sums", "pads and slices", "pads that drop", "strides", "turns and sums", "rolls", "gathers",
    "gathers by what is computed", "joints",
)  # fmt: skip
"""Chains that are computed: their values stay small and are exact."""


def index(device: Any, *values: int) -> Any:
    return tg.tensor(values, dtype=tg.int32, device=device)


def placed(device: Any) -> Any:
    return index(device, 2, 0, 1, 5, 4, 3)


CHAINS: dict[str, Callable[[Any, Any], Callable[[Any], Any]]] = {
    "flips": lambda d, x: lambda y: y.flip(0),
    "flips and sums": lambda d, x: lambda y: y.flip(0) + x,
    "pads and slices": lambda d, x: lambda y: F.pad(y, [1, 1])[1:7],
    "pads that drop": lambda d, x: lambda y: F.pad(y, [2, 0])[:6] + x,
    "pads beside each other": lambda d, x: lambda y: F.pad(y, [2, 0])[:6] - F.pad(-y, [2, 0])[:6],
    "strides": lambda d, x: lambda y: tg.stack([y, x], 1).reshape(12)[::2],
    "permutes": lambda d, x: lambda y: y.reshape(6, 1).permute(1, 0).reshape(6),
    "turns": lambda d, x: lambda y: y.reshape(2, 3).permute(1, 0).reshape(6),
    "turns and sums": lambda d, x: lambda y: y.reshape(2, 3).permute(1, 0).reshape(6) + x,
    "rolls": lambda d, x: lambda y: y.roll(1, 0),
    "rolls and sums": lambda d, x: lambda y: y.roll(1, 0) + y,
    "gathers": lambda d, x: lambda y: y[placed(d)],
    "gathers by what is computed": lambda d, x: lambda y: y[(y > 0).int()],
    "gathers by gathers": lambda d, x: lambda y: x[(y / 2).int()],
    "gathers and products": lambda d, x: lambda y: y[placed(d)] * x,
    "choices": lambda d, x: lambda y: tg.where(y > x, x, y),
    "joints": lambda d, x: lambda y: tg.cat([y[1:], x[:1]]),
    "long joints": lambda d, x: lambda y: tg.cat([y[1:], x[:1], y, y, x, x])[:6],
    "sums": lambda d, x: lambda y: y.reshape(6, 1).expand(6, 6).sum(0),
    "softmaxes": lambda d, x: lambda y: F.softmax(y, 0) * x,
    "products": lambda d, x: lambda y: (x.reshape(6, 1) * y) @ y,
    "matrix products": lambda d, x: lambda y: (x.expand(6, 6) @ y.expand(6, 6))[0],
    "running sums": lambda d, x: lambda y: y.cumsum(0),
    "orders": lambda d, x: lambda y: y[y.argsort(0)],
    "scatters": lambda d, x: lambda y: y.index_add(0, placed(d), x),
    "casts": lambda d, x: lambda y: y.int().float() + x,
    "random numbers": lambda d, x: lambda y: y * tg.rand(6, device=d),
}


def chained(name: str, device: Any, links: int) -> Any:
    x = tg.tensor([1.0, 2.0, 3.0, -1.0, 0.5, 4.0], device=device)
    link = CHAINS[name](device, x)
    y = x
    for _ in range(links):
        y = link(y)
    return y + 1


def levels(source: str) -> int:
    """How deep the braces of a text nest."""
    steps = (1 if c == "{" else -1 for c in source if c in "{}")
    return max(itertools.accumulate(steps))


@pytest.mark.parametrize(
    ("name", "kind"),
    [*((name, "webgpu") for name in CHAINS), *((name, "cuda") for name in PRINTED)],
)
def test_a_long_chain_is_lowered(name: str, kind: str) -> None:
    device = recorder.device(kind)
    y = chained(name, device, LINKS * (10 if name in VIEWS else 1))
    device.backend.flush()
    plans = [stored.plan for stored in device.backend.plans.values()]
    kernels = [k for plan in plans for k in plan.kernels]
    assert y.shape == (6,)
    assert kernels
    # A value has a statement, and a block around it a head, an end and an assignment.
    bodies = [k.source.partition("main")[2] for k in kernels]
    assert max(body.count("\n") for body in bodies) < 4 * MAX_VALUES
    assert max(map(levels, bodies)) < MAX_NESTED + 4


def test_a_product_of_a_long_chain_with_itself_is_lowered() -> None:
    device = recorder.device()
    y = tg.tensor([[float(i + j) for i in range(6)] for j in range(6)], device=device)
    for i in range(250):
        y = y.flip(i % 2)
    z = y @ y
    device.backend.flush()
    assert z.shape == (6, 6)
    assert recorder.last_plan(device).kernels


def test_a_product_reads_through_a_few_reshapes_only() -> None:
    device = recorder.device()
    y = tg.tensor([[float(i + j) for i in range(48)] for j in range(6)], device=device)
    w = y.T + 1
    for _ in range(16):
        y = y.reshape(6, 6, 8).permute(0, 2, 1).reshape(6, 48)
    z = y @ w
    device.backend.flush()
    assert z.shape == (6, 6)
    assert max(len(k.source) for k in recorder.last_plan(device).kernels) < 16384


@pytest.mark.one_host("wgpu")
@pytest.mark.parametrize("name", COMPUTED)
def test_a_long_chain_has_the_values_of_the_cpu(device: Any, name: str) -> None:
    assert chained(name, device, 300).tolist() == chained(name, "cpu", 300).tolist()

"""Convolutions as products: the same numbers, and no multiplication by the zeros of a gap."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.core.errors import ShapeError
from tabgrad.core.op import REGISTRY
from tabgrad.nn import functional as F
from tests.lower import recorder
from tests.lower.interpreted import multiplications, rewritten, value


def options(rank: int, **changes: Any) -> dict[str, Any]:
    """The parameters of a plain convolution, with changes for every axis."""
    plain = {"strides": 1, "padding": (0, 0), "dilations": 1, "lhs_dilations": 1} | changes
    groups = plain.pop("groups", 1)
    return {**{k: (v,) * rank for k, v in plain.items()}, "groups": groups}


def drawn(draw: random.Random) -> tuple[Any, Any, dict[str, Any]]:
    """Shapes and parameters of a convolution of any kind."""
    rank, groups = draw.choice((1, 1, 2, 2, 3)), draw.choice((1, 1, 2))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw.randint(low, high) for _ in range(rank))

    params = {
        "strides": each(1, 3) if draw.random() < 0.5 else (1,) * rank,
        "padding": tuple(zip(each(-1, 4), each(-1, 4), strict=True)),
        "dilations": each(1, 3) if draw.random() < 0.5 else (1,) * rank,
        "lhs_dilations": each(1, 4),
        "groups": groups,
    }
    x = (draw.randint(1, 2), 2 * groups, *each(1, 6 if rank < 3 else 3))
    return x, (3 * groups, 2, *each(1, 5 if rank < 3 else 3)), params


def test_every_kind_of_convolution_keeps_its_value() -> None:
    draw, ran = random.Random(4), 0
    for _ in range(250):
        x, w, params = drawn(draw)
        try:
            p = rewritten("conv", [x, w], **params)
        except ShapeError:
            continue
        inputs = [np.random.default_rng(ran).integers(-3, 4, s).astype("f") for s in (x, w)]
        want = REGISTRY["conv"].fn(*inputs, **params)
        np.testing.assert_array_equal(value(p, inputs), want, err_msg=f"{x} {w} {params}")
        ran += 1
    assert ran > 150


KERNELS = ((2, 2, 1), (4, 2, 1), (1, 2, 1), (3, 3, 1), (3, 2, 16 / 9), (6, 3, 1))
"""Sizes of kernels, strides, and how often the fewest multiplications that are possible may be done."""


def test_the_zeros_of_a_gap_are_not_multiplied() -> None:
    n = 12
    for kernel, gap, most in KERNELS:
        low = kernel - 1
        for full in ((n - 1) * gap + 1, n * gap):
            high = full + kernel - 1 - low - ((n - 1) * gap + 1)
            params = options(2, lhs_dilations=gap, padding=(low, high))
            p = rewritten("conv", [(2, 5, n, n), (7, 5, kernel, kernel)], **params)
            few = 2 * 5 * 7 * (n * kernel) ** 2
            assert multiplications(p) <= few * most * ((n + 1) / n) ** 2 + 1, (kernel, full)


def test_large_convolutions_with_gaps_are_cut_along_one_axis() -> None:
    x, w = (8, 128, 8, 8), (128, 128, 3, 3)
    p = rewritten("conv", [x, w], **options(2, lhs_dilations=2, padding=(1, 2)))
    assert multiplications(p) == 8 * 128 * 128 * 64 * (2 + 1) * 4
    assert sum(n.family == "bilinear" for n in p.nodes) == 2


def test_gradients_of_strided_convolutions_are_one_product_and_weights_without_conditions() -> None:
    device = recorder.device()
    for kernel, stride, padding, size, most in (
        (3, 2, 1, 16, 2), (2, 2, 0, 16, 1), (5, 3, 2, 15, 2), (6, 3, 2, 16, 2)
    ):  # fmt: skip
        x = tg.rand(2, 4, size, size, device=device)
        w = tg.rand(6, 4, kernel, kernel, device=device)

        def convolved(x: Any, w: Any = w, s: int = stride, p: int = padding) -> Any:
            return F.conv2d(x, w, stride=s, padding=p)

        y = tg.func.vjp(convolved, x)[1]
        ct = tg.rand(*convolved(x).shape, device=device)
        device.backend.flush()
        before = device.backend.counters.dispatches
        (found,) = y(ct)
        device.backend.flush()
        assert found.shape == x.shape
        plan = recorder.last_plan(device)
        assert device.backend.counters.dispatches - before <= most, plan
        product = next(k for k in plan.kernels if "matmul" in k.label)
        # an operand whose index is not split is read through conditions at every load of a tile
        assert "fn lhs_step" in product.source, kernel
        assert "select" not in product.source.split("fn load_lhs")[1].split("\n")[0], kernel


@pytest.mark.every_host
def test_transposed_convolutions_on_a_device(device: Any) -> None:
    draw = np.random.default_rng(0)
    for rank, kernel, settings in (
        (2, 3, {"stride": 2, "padding": 1, "output_padding": 1}),
        (2, 2, {"stride": 2}),
        (1, 4, {"stride": 3, "dilation": 2, "output_padding": 1}),
        (2, 1, {"stride": 2, "groups": 2}),
        (3, 3, {"stride": 2, "padding": 1}),
    ):
        groups = settings.get("groups", 1)
        x = draw.integers(-3, 4, (2, 4, *(4,) * rank)).astype("f")
        w = draw.integers(-3, 4, (4, 3, *(kernel,) * rank)).astype("f")
        transposed = getattr(F, f"conv_transpose{rank}d")
        found = []
        for where in ("cpu", device):
            a, b = (tg.tensor(v, device=where, requires_grad=True) for v in (x, w))
            y = transposed(a, b, **settings)
            (y * y).sum().backward()
            found.append([v.detach().cpu().numpy() for v in (y, a.grad, b.grad)])
        assert found[0][0].shape[1] == 3 * groups
        for mine, theirs in zip(*found, strict=True):
            np.testing.assert_array_equal(mine, theirs, err_msg=f"{settings}")

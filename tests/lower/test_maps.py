"""Maps on a software adapter: a thread computes several elements that lie side by side."""

from __future__ import annotations

import numpy as np
import pytest

import tabgrad as tg
from tests.grouped import grouped
from tests.lower import recorder

SIZES = (
    (1,),
    (63,),
    (4097,),
    (32768,),
    (32771,),
    (300000,),
    (1031, 263),
    (3, 65537),
    (8, 33, 1201),
)
"""One element a thread and several, with each number left over, one grid line of workgroups and more."""


@pytest.mark.every_host
@grouped("shape", SIZES, sampled=1)
def test_every_element_is_computed(shape: tuple[int, ...], device: tg.device) -> None:
    data = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) % 1021
    x = tg.tensor(data, device=device)
    for dtype in (tg.float32, tg.int32):
        y, want = x.to(dtype), tg.tensor(data, device="cpu").to(dtype)
        assert tg.equal((y + y).cpu(), want + want)
        turned = want.movedim(0, -1).flip(0)
        assert tg.equal((y.movedim(0, -1).flip(0) * 2).cpu(), turned * 2)
    assert tg.equal((x > 500).cpu(), tg.tensor(data > 500, device="cpu"))


OUTER = ((700, 96), (300, 131), (9, 41, 100), (5, 7, 1001), (2, 3, 5, 1200), (4, 9000, 2))
"""Sizes of which the last is a multiple of the elements of a thread, and others, of several axes."""


@pytest.mark.every_host
@grouped("shape", OUTER, sampled=2)
def test_axes_that_are_spread(shape: tuple[int, ...], device: tg.device) -> None:
    rng = np.random.default_rng(len(shape))
    sides = [rng.integers(-99, 99, (n, *[1] * (len(shape) - 1 - i))) for i, n in enumerate(shape)]
    want = sum(s.astype(np.float32) * 2.0**-i for i, s in enumerate(sides))
    its = [tg.tensor(s.astype(np.float32), device=device) for s in sides]
    total = its[0]
    for i, x in enumerate(its[1:], 1):
        total = total + x * 2.0**-i
    assert np.array_equal(total.cpu().numpy(), want)
    close = np.abs(tg.sin(total).cpu().numpy() - np.sin(want.astype(np.float64)))
    assert close.max() < 3e-7
    total = tg.zeros(shape, device=device)
    total += its[0]
    assert np.array_equal(total.cpu().numpy(), np.broadcast_to(sides[0], shape))


PIECES = (
    ((8, 100, 24), (8, 24, 100), (19200,)), ((40, 52), (52, 48), (64, 3, 16)), ((31, 17), (19, 23), (40, 52)),
    ((52, 40), (30, 1), (1, 33, 36), (6, 200)), ((1, 8, 100), (1, 1, 100, 8), (2, 4, 8, 25)),
)  # fmt: skip
"""Shapes of what lies side by side: it begins at multiples of the elements of a thread, and elsewhere."""


def turned(shape: tuple[int, ...], k: int, device: object) -> tg.Tensor:
    size = int(np.prod(shape))
    x = tg.tensor(np.arange(size, dtype=np.float32) + 1000.0 * k, device=device) + 0
    return x.reshape(shape).transpose(0, -1) if k % 2 else x.reshape(shape)


@pytest.mark.every_host
@grouped("shapes", PIECES)
def test_pieces_side_by_side(shapes: tuple[tuple[int, ...], ...], device: tg.device) -> None:
    found, want = (
        tg.cat([turned(shape, k, where).flatten() for k, shape in enumerate(shapes)]) * 2 + 1
        for where in (device, "cpu")
    )
    assert tg.equal(found.cpu(), want)
    for first in (0, 3):
        sums = []
        for where in (device, "cpu"):
            of = [turned(shape, k, where).flatten() % 16 for k, shape in enumerate(shapes)]
            rows = tg.cat(of)[first:]
            sums.append((rows[: len(rows) // 9 * 9].reshape(9, -1) * 2).sum(1).cpu())
        assert tg.equal(*sums)


def test_pieces_that_begin_at_multiples_are_divided_once_a_thread() -> None:
    where = recorder.device()
    of = [tg.zeros(int(np.prod(shape)), device=where).clone() for shape in PIECES[0]]
    where.backend.flush()
    of[1] = of[1].reshape(PIECES[0][1]).mT.flatten()
    (kernel,) = tg.compiler.explain(tg.cat(of) * 2 + 1).kernels
    assert kernel.grid[0] * 64 * 4 == sum(map(len, of))
    assert 0 < kernel.source.count(" / ") + kernel.source.count(" % ") <= 3


def test_large_maps_have_fewer_threads() -> None:
    device = recorder.device()
    x, y = tg.rand(1 << 20, device=device), tg.rand(1000, device=device)
    device.backend.flush()
    (kernel,) = tg.compiler.explain(x + x).kernels
    assert kernel.grid == (1024, 1, 1)
    (kernel,) = tg.compiler.explain(y + y).kernels
    assert kernel.grid == (16, 1, 1)
    device.backend.limits.software = False
    (kernel,) = tg.compiler.explain(x + x).kernels
    assert kernel.grid == (16384, 1, 1)


@pytest.mark.every_host
@grouped("count", (140000, 262144, 500001), sampled=1)
def test_large_arguments_of_periodic_functions(count: int, device: tg.device) -> None:
    """A thread goes over its elements again where one is far from 0."""
    data = np.linspace(-8192, 8192, count, dtype=np.float32)
    data[:: count // 50] = np.float32(16367173) * np.float32(2) ** 72
    data[7 :: count // 9] = -8193.5
    data[[0, count - 1]] = np.inf, np.nan
    x = tg.tensor(data, device=device)
    with np.errstate(invalid="ignore"):
        for name in ("sin", "cos", "tan"):
            want = getattr(np, name)(data.astype(np.float64))
            got = getattr(tg, name)(x).cpu().numpy()
            close = np.isclose(got, want, rtol=1e-6, atol=2e-7, equal_nan=True)
            assert close.all(), (name, data[~close][:5], got[~close][:5])
    y = x.clone()
    y.sin_()
    assert np.array_equal(y.cpu().numpy(), tg.sin(x).cpu().numpy(), equal_nan=True)


def test_the_long_way_is_left_out_of_loops_that_seldom_need_it() -> None:
    device = recorder.device()
    x, y = tg.rand(1 << 20, device=device), tg.rand(1000, device=device)
    device.backend.flush()
    (kernel,) = tg.compiler.explain((x * 2).sin()).kernels
    assert kernel.source.count("= sin_near(") == 8
    assert kernel.source.count("= sin_f32(") == 1
    (kernel,) = tg.compiler.explain((y * 2).sin()).kernels
    assert "sin_near" not in kernel.source

"""The parts of floating-point numbers, and their neighbours."""

from __future__ import annotations

import math

import pytest

import tabgrad as tg

pytestmark = pytest.mark.every_host

POINTS = [
    0.0, -0.0, 1.0, -1.0, 3.0, -0.7, 1e-45, -1e-45, 1e-40, 1.1754943508222875e-38, 3.4028234663852886e38,
    math.inf, -math.inf, math.nan, 0.1, 1e10,
]  # fmt: skip


def signs(x) -> list[bool]:
    return tg.signbit(x.cpu()).tolist()


def same(found, wanted) -> bool:
    found, wanted = tg.nan_to_num(found.cpu(), 7.25), tg.nan_to_num(wanted, 7.25)
    return tg.equal(found, wanted) and signs(found) == signs(wanted)


def test_parts_multiply_to_the_number(device) -> None:
    x = tg.tensor(POINTS, device=device)
    mantissa, exponent = tg.frexp(x)
    assert exponent.dtype is tg.int32
    pairs = [math.frexp(p) for p in x.cpu().tolist()]
    assert exponent.tolist() == [n for _, n in pairs]
    assert same(mantissa, tg.tensor([m for m, _ in pairs], device="cpu"))
    half, power = x[:6].to(tg.bfloat16).frexp()
    assert half.dtype is tg.bfloat16
    assert power.tolist() == [0, 0, 1, 1, 2, 0]
    y = tg.tensor([3.0, 0.0], device=device, requires_grad=True)
    (mantissa,) = tg.frexp(y)[:1]
    (slope,) = tg.autograd.grad(mantissa.sum(), y)
    assert slope.tolist() == [0.25, 1]
    with pytest.raises(RuntimeError, match=r"frexp\(\) only supports floating-point dtypes"):
        tg.frexp(tg.tensor([1], device=device))


def test_neighbours(device) -> None:
    np = pytest.importorskip("numpy")
    x = tg.tensor(POINTS, device=device)[:, None]
    y = tg.tensor(POINTS, device=device)
    numbers = np.array(POINTS, np.float32)
    found = tg.nextafter(x, y)
    with np.errstate(all="ignore"):
        wanted = tg.tensor(np.nextafter(numbers[:, None], numbers), device="cpu")
    assert same(found, wanted)
    z = tg.ones(2, device=device)
    assert z.nextafter_(2 * z) is z
    assert (z - 1).tolist() == [2.0**-23] * 2
    a = tg.ones(2, device=device, requires_grad=True)
    b = tg.zeros(2, device=device, requires_grad=True)
    tg.nextafter(a, b).sum().backward()
    assert (a.grad.tolist(), b.grad.tolist()) == ([1, 1], [0, 0])
    for call, message in (
        (
            lambda: tg.nextafter(z, 1.0),
            r"argument 'other' \(position 2\) must be Tensor, not float",
        ),
        (lambda: tg.nextafter(z.int(), z.int()), "not implemented for 'Int'"),
    ):
        with pytest.raises((RuntimeError, TypeError), match=message):
            call()


def test_neighbours_of_other_dtypes() -> None:
    for dtype in (tg.float16, tg.bfloat16, tg.float64):
        one = tg.ones(1, dtype=dtype, device="cpu")
        assert (tg.nextafter(one, 2 * one) - one).item() == tg.finfo(dtype).eps
        least = tg.nextafter(0 * one, one).double().item()
        assert least == tg.finfo(dtype).tiny * tg.finfo(dtype).eps
        assert tg.nextafter(one * tg.finfo(dtype).max, one * math.inf).item() == math.inf
        assert tg.frexp(6 * one)[1].item() == 3
    assert tg.nextafter(one.float(), one).dtype is tg.float64

"""The exponential of matrices beside numbers of 80 digits and closed forms; chains of products."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest

import tabgrad as tg

KNOWN: list[Any] = [
    # (matrix, its exponential by mpmath with 80 digits)
    (
        [[1, 2, -1], [0.5, -3, 2], [4, 0.25, 1]],
        [
            [1.371533040536301, 0.8171731858148615, -0.4636926084724962],
            [3.7586313004004372, 1.5005791669886723, 0.7069611546847306],
            [8.963446441783429, 3.642708148282313, 1.1511089782760393],
        ],
    ),
    (
        [[-40, 17, 3], [5, -60, 9], [2, 8, -30]],
        [
            [7.888858954193441e-13, 1.072021058322449e-12, 2.8990481863163353e-12],
            [4.3947755884878087e-13, 5.972112665658881e-13, 1.6150357293692915e-12],
            [1.2290277212718802e-12, 1.6701443381968181e-12, 4.516573891681823e-12],
        ],
    ),
    (
        [[0, 6, 0, 0], [-6, 0, 1, 0], [0, 0, 0, 9], [0, 0, -9, 0]],
        [
            [0.960170286650366, -0.27941549819892586, 0.2495067398046724, -0.11083223100535272],
            [0.27941549819892586, 0.960170286650366, 0.1196790968082081, 0.3742601097070086],
            [0.0, 0.0, -0.9111302618846769, 0.4121184852417566],
            [0.0, 0.0, -0.4121184852417566, -0.9111302618846769],
        ],
    ),
]


def norm(rows: Any) -> float:
    """Return the largest sum of a column."""
    return max(sum(map(abs, column)) for column in zip(*rows, strict=True))


def distance(found: Any, wanted: Any) -> float:
    """Return the 1-norm of the difference, as a part of that of the wanted matrix."""
    rows = zip(found, wanted, strict=True)
    return norm([[a - b for a, b in zip(x, y, strict=True)] for x, y in rows]) / norm(wanted)


def dtypes(device: str) -> list[tuple[Any, float]]:
    """Return the dtypes of a device, each with half the distance from 1 to the next number."""
    wide = [(tg.float64, 2.0**-53)] if device == "cpu" else []
    return [(tg.float32, 2.0**-24), *wide]


@pytest.mark.every_host
@pytest.mark.parametrize(("rows", "wanted"), KNOWN)
def test_the_exponential_is_within_its_bound(rows: Any, wanted: Any, device: str) -> None:
    for dtype, unit in dtypes(device):
        x = tg.tensor(rows, dtype=dtype, device=device)
        bound = 8 * unit * max(norm(rows), 4)
        assert distance(tg.matrix_exp(x).tolist(), wanted) <= bound
        # in a batch with others, which are squared more often or never
        many = tg.matrix_exp(tg.stack([x * 0, x, x * 1e-6, x]))
        assert distance(many[1].tolist(), wanted) <= bound
        assert many[0].tolist() == tg.eye(len(rows)).tolist()


@pytest.mark.every_host
@pytest.mark.parametrize("angle", [1e-6, 0.3, 3.0, 100.0, 3000.0])
def test_rotations_of_any_angle(angle: float, device: str) -> None:
    for dtype, unit in dtypes(device):
        x = tg.tensor([[0.0, -angle], [angle, 0.0]], dtype=dtype, device=device)
        exact = x[1, 0].item()
        c, s = math.cos(exact), math.sin(exact)
        found = tg.matrix_exp(x).tolist()
        assert distance(found, [[c, -s], [s, c]]) <= 8 * unit * max(exact, 4)


@pytest.mark.every_host
def test_where_no_digit_is_certain_it_says_so(device: str) -> None:
    x = tg.tensor([[0.0, -1e9], [1e9, 0.0]], device=device)
    assert all(math.isnan(y) for row in tg.matrix_exp(x).tolist() for y in row)
    assert tg.matrix_exp(tg.tensor([[-2e4]], device=device)).item() == 0
    assert tg.matrix_exp(tg.tensor([[2e4]], device=device)).item() == math.inf


@pytest.mark.every_host
def test_gradients_beside_an_overflow_in_the_batch_are_finite(device: str) -> None:
    x = tg.tensor([[[60.0, 1.0], [0.0, 60.0]], [[0.5, 1.0], [0.0, 0.25]]], device=device)
    x.requires_grad_()
    tg.matrix_exp(x)[1].sum().backward()
    assert x.grad is not None
    assert x.grad[0].tolist() == [[0, 0], [0, 0]]
    assert all(math.isfinite(y) for row in x.grad[1].tolist() for y in row)


def test_derivatives_of_the_exponential() -> None:
    generator = tg.Generator(device="cpu").manual_seed(3)
    for shape, scale in (((3, 3), 1.0), ((2, 3, 3), 0.1), ((2, 2), 4.0)):
        x = tg.randn(shape, dtype=tg.float64, device="cpu", generator=generator) * scale
        x.requires_grad_()
        assert tg.autograd.gradcheck(tg.matrix_exp, (x,), check_forward_ad=True)
        if shape[-1] == 2:
            assert tg.autograd.gradgradcheck(tg.matrix_exp, (x,))


def test_it_is_the_same_compiled_and_under_vmap() -> None:
    x = tg.tensor([KNOWN[0][0], KNOWN[1][0]], device="cpu", dtype=tg.float64)
    wanted = tg.matrix_exp(x)
    assert tg.allclose(tg.vmap(tg.matrix_exp)(x), wanted, rtol=1e-13)
    compiled = tg.compile(tg.matrix_exp)
    for scale in (1.0, 0.01, 1.0):
        assert tg.allclose(compiled(x * scale), tg.matrix_exp(x * scale), rtol=1e-12)


def test_complex_vectors_and_powers() -> None:
    y = tg.tensor([[1 + 1j, 2.0]], dtype=tg.complex128, device="cpu")
    assert tg.linalg.vecdot(y, y).tolist() == [6]
    square = tg.tensor([[1j, 1.0], [0.0, 2.0]], dtype=tg.complex128, device="cpu")
    assert tg.matrix_power(square, 3).tolist() == [[-1j, 3 + 2j], [0, 8]]
    assert tg.linalg.vander(y, N=3).tolist() == [[[1, 1 + 1j, 2j], [1, 2, 4]]]


@pytest.mark.every_host
def test_half_precision_is_computed_in_float32(device: str) -> None:
    x = tg.tensor(KNOWN[0][0], device=device)
    half = tg.matrix_exp(x.bfloat16())
    assert half.dtype is tg.bfloat16
    assert half.tolist() == tg.matrix_exp(x).bfloat16().tolist()


def test_a_chain_is_multiplied_in_the_cheapest_order(monkeypatch: pytest.MonkeyPatch) -> None:
    from tabgrad.linalg import matrices

    products: list[int] = []
    plain = matrices.matmul

    def counted(x: Any, y: Any) -> Any:
        products.append(x.shape[0] * x.shape[1] * y.shape[1])
        return plain(x, y)

    monkeypatch.setattr(matrices, "matmul", counted)
    sizes = [30, 35, 15, 5, 10, 20, 25]  # of Cormen et al., Introduction to Algorithms
    chain = [tg.ones(n, m, device="cpu") for n, m in pairwise(sizes)]
    assert tg.linalg.multi_dot(chain)[0, 0].item() == 35 * 15 * 5 * 10 * 20
    assert sum(products) == 15125
    products.clear()
    tg.chain_matmul(*chain)
    assert sum(products) == 15125
    products.clear()
    tg.matrix_power(tg.eye(2, device="cpu"), 1000)
    assert len(products) == 9 + 5


def test_norms_that_take_singular_values() -> None:
    x = tg.tensor([[3.0, 0.0], [4.0, 5.0]], device="cpu")
    # the singular values are 3 √5 and √5
    for order, want in (("nuc", 4 * 5**0.5), (2, 3 * 5**0.5), (-2, 5**0.5)):
        assert tg.linalg.matrix_norm(x, order).item() == pytest.approx(want, rel=1e-6)
    power = tg.matrix_power(tg.tensor([[2.0, 0.0], [0.0, 4.0]], device="cpu"), -2)
    assert power.tolist() == [[0.25, 0.0], [0.0, 0.0625]]

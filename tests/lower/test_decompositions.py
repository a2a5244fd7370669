"""Decompositions by kernels: residuals of small, middle and large matrices, of batches, views and failures."""

from __future__ import annotations

import os

import numpy as np
import pytest

import tabgrad as tg
from tests.lower.drawn_matrices import (
    MANY,
    deficient,
    definite,
    drawn,
    exactly,
    off,
    op,
    orthonormal,
    reference,
    sent,
)

pytestmark = pytest.mark.one_host("wgpu")
SIZES = [((), 1), ((3,), 2), ((2, 3), 3), ((2,), 31), ((), 64), ((2,), 129)]
if os.environ.get("TABGRAD_LARGE_MATRICES"):
    SIZES += [((), 512), ((), 1024)]


# -- Cholesky --------------------------------------------------------------------------------------


def test_cholesky() -> None:
    for lead, n in SIZES:
        for condition in (1, 1e3, 1e6):
            a = definite(*lead, n=n, condition=condition)
            a += np.float32(2e-6 * (condition > 1e5)) * np.eye(n, dtype="float32")
            low, info = op("cholesky", sent(np.tril(a) + 7 * np.triu(np.ones_like(a), 1)))
            made = exactly(low)
            assert off(made @ made.swapaxes(-1, -2), a) <= 1e-6 * np.sqrt(n), (lead, n, condition)
            assert not np.triu(made, 1).any(), (lead, n)
            assert info.numpy().shape == lead
            assert not info.numpy().any(), (lead, n, condition)


def test_cholesky_of_graded_matrices() -> None:
    for n in (20, 70):
        grades = np.geomspace(1e-6, 1e6, n)
        a = (definite(2, n=n) * grades[:, None] * grades).astype("float32")
        made = exactly(op("cholesky", sent(a))[0])
        found = (made @ made.swapaxes(-1, -2)) / grades[:, None] / grades
        assert off(found, a / grades[:, None] / grades) <= 1e-5, n


def test_cholesky_says_where_it_fails() -> None:
    for n in (6, 32, 70):
        a = np.repeat(definite(n=n)[None], 6, 0)
        a[1, 0, 0] = 0
        a[2, n - 1, n - 1] = -1
        a[3, n // 2, n // 2] = np.nan
        a[4, n // 2, n // 2] = -np.inf
        low, info = op("cholesky", sent(a))
        assert info.tolist() == [0, 1, n, n // 2 + 1, n // 2 + 1, 0]
        assert np.isnan(low.numpy()).mean((1, 2)).tolist() == [0, 1, 1, 1, 1, 0]
        np.testing.assert_array_equal(low.numpy()[0], low.numpy()[5])


def test_one_result_of_cholesky_can_be_wanted_alone() -> None:
    a = np.stack([definite(n=40), -definite(n=40)])
    assert op("cholesky", sent(a))[1].tolist() == [0, 1]
    assert np.isnan(op("cholesky", sent(a))[0].numpy()).mean((1, 2)).tolist() == [0, 1]


def test_cholesky_reads_views_and_what_is_computed_before_it() -> None:
    a = definite(3, n=40)
    x = sent(a)
    views = {
        "transposed": (x.mT, a),
        "part of a matrix": (x[1:, 3:30, 3:30], a[1:, 3:30, 3:30]),
        "expanded": (x[0].expand(2, 40, 40), a[[0, 0]]),
        "batch behind": (sent(a.transpose(1, 2, 0)).permute(2, 0, 1), a),
        "computed": (x * 2 + x.mT, a * 3),
        "cast": (tg.eye(40, dtype=tg.int32, device="webgpu").mul(4)[None].float(), 4 * np.eye(40)),
        "flipped": (x.flip(-1, -2), a[:, ::-1, ::-1]),
        "constant": (tg.eye(40, device="webgpu"), np.eye(40)),
    }
    for name, (given, wanted) in views.items():
        made = exactly(op("cholesky", given)[0])
        assert off(made @ made.swapaxes(-1, -2), wanted) < 1e-5, name


def test_many_tiny_matrices() -> None:
    a = definite(MANY, n=3)
    x = sent(a)
    with tg.profiler.count() as counted:
        low, info = op("cholesky", x)
        made = exactly(low)
    assert counted.dispatches == 1
    assert off(made @ made.swapaxes(-1, -2), a) < 1e-6
    assert not info.numpy().any()


def test_large_factors_take_two_dispatches_for_each_panel() -> None:
    x = sent(definite(n=256))
    with tg.profiler.count() as counted:
        op("cholesky", x)[0].numpy()
    assert (counted.dispatches, counted.submits) == (17, 1)


def test_no_matrices_and_no_rows() -> None:
    for shape in ((0, 3, 3), (2, 0, 0)):
        low, info = op("cholesky", sent(np.zeros(shape)))
        assert (low.numpy().shape, info.tolist()) == (shape, [0] * shape[0])


# -- triangles -------------------------------------------------------------------------------------


def triangle(*lead, n, upper, unit):
    """Draw matrices of which one triangle is read, and that triangle."""
    a = drawn(*lead, n, n, seed=1) / np.float32(np.sqrt(n)) + 2 * np.eye(n, dtype="float32")
    part = np.triu(a) if upper else np.tril(a)
    if unit:
        part = part * (1 - np.eye(n)) + np.eye(n)
    return a, part


def test_triangular_solve() -> None:
    for (lead, n), width in zip(SIZES, (1, 5, 1, 40, 33, 2, 512, 1), strict=False):
        for upper in (False, True):
            for unit in (False, True):
                a, part = triangle(*lead, n=n, upper=upper, unit=unit)
                b = drawn(*lead, n, width)
                x = op("triangular_solve", sent(a), sent(b), upper=upper, unit=unit)
                found = off(part @ exactly(x), b)
                assert found <= 2e-6 * np.sqrt(n), (lead, n, width, upper, unit, found)


def test_triangular_solve_reads_views() -> None:
    a, part = triangle(4, n=40, upper=False, unit=False)
    b = drawn(6, 40, 4)
    x, y = sent(a), sent(b).permute(2, 1, 0)
    columns = b.transpose(2, 1, 0)
    views = {
        "transposed": (x.mT, y, True, part.swapaxes(-1, -2), columns),
        "computed": (x * 2, y, False, 2 * part, columns),
        "parts": (
            x[:, :17, :17], y[:, ::-1 * -2][:, :17], False, part[:, :17, :17], columns[:, ::2][:, :17],
        ),
        "small and upper, of flipped columns": (
            x.mT[:, :9, :9], y[:, :9].flip(-1), True, part.swapaxes(-1, -2)[:, :9, :9],
            columns[:, :9, ::-1],
        ),
        "expanded": (x[0].expand(4, 40, 40), y, False, part[[0, 0, 0, 0]], columns),
    }  # fmt: skip
    for name, (left, right, upper, matrix, wanted) in views.items():
        found = op("triangular_solve", left, right, upper=upper, unit=False)
        assert off(matrix @ exactly(found), wanted) < 1e-5, name


def test_the_other_triangle_is_not_read() -> None:
    for n in (5, 50):
        a, part = triangle(n=n, upper=False, unit=True)
        a[np.triu_indices(n)] = np.nan
        b = drawn(n, 2)
        x = op("triangular_solve", sent(a), sent(b), upper=False, unit=True)
        assert off(part @ exactly(x), b) < 1e-5


def test_a_zero_on_the_diagonal_divides() -> None:
    a = sent([[2.0, 0.0], [1.0, 0.0]])
    x = op("triangular_solve", a, sent([[2.0, 2.0], [1.0, 3.0]]), upper=False, unit=False)
    np.testing.assert_array_equal(x.numpy(), [[1, 1], [np.nan, np.inf]])


def test_many_tiny_triangles() -> None:
    a, part = triangle(MANY, n=3, upper=True, unit=False)
    b = drawn(MANY, 3, 1)
    x, y = sent(a), sent(b)
    with tg.profiler.count() as counted:
        found = exactly(op("triangular_solve", x, y, upper=True, unit=False))
    assert counted.dispatches == 1
    np.testing.assert_allclose(part @ found, b, atol=1e-4)


# -- LU --------------------------------------------------------------------------------------------

RECTANGLES = [
    ((2,), 2, 3),
    ((2, 2), 31, 7),
    ((), 7, 20),
    ((2,), 129, 129),
    ((), 140, 40),
    ((), 40, 90),
]
if os.environ.get("TABGRAD_LARGE_MATRICES"):
    RECTANGLES += [((), 512, 512), ((), 1024, 1024), ((), 20000, 9)]


def factors(packed):
    """Split a packed LU decomposition."""
    rows, columns = packed.shape[-2:]
    k = min(rows, columns)
    return np.tril(packed[..., :k], -1) + np.eye(rows, k), np.triu(packed[..., :k, :])


def test_lu() -> None:
    for lead, m, n in RECTANGLES:
        a = drawn(*lead, m, n)
        packed, pivots, info = op("lu", sent(a))
        low, up = factors(exactly(packed))
        order = op("lu_permutation", pivots, rows=m).numpy()
        assert (np.sort(order, -1) == np.arange(m)).all(), (lead, m, n)
        found = off(low @ up, np.take_along_axis(a, order[..., None], -2))
        assert found <= 1e-7 * max(4, min(m, n)), (lead, m, n, found)
        assert np.abs(low).max() <= 1, (lead, m, n)
        assert not info.numpy().any(), (lead, m, n)
        assert pivots.shape == (*lead, min(m, n))


def test_lu_chooses_the_pivots_of_the_reference() -> None:
    for m, n in ((9, 9), (40, 50)):
        a = np.round(3 * drawn(3, m, n))  # with many ties
        found, wanted = op("lu", sent(a)), op("lu", reference(a))
        assert found[1].tolist() == wanted[1].tolist(), (m, n)
        np.testing.assert_allclose(found[0].numpy(), wanted[0].numpy(), atol=2e-4)


def test_lu_goes_on_past_a_zero_pivot() -> None:
    for n in (9, 40):
        a = drawn(5, n, n)
        a[1, :, 5] = 0
        a[2] = 0
        a[3, 3, 3] = np.nan
        packed, _, info = op("lu", sent(a))
        assert info.tolist() == op("lu", reference(a))[2].tolist() == [0, 6, 1, 0, 0]
        assert np.isnan(packed.numpy()).any((1, 2)).tolist() == [False, False, False, True, False]


def test_one_result_of_lu_can_be_wanted_alone() -> None:
    a = drawn(2, 40, 40)
    wanted = op("lu", reference(a))
    np.testing.assert_allclose(op("lu", sent(a))[0].numpy(), wanted[0].numpy(), atol=2e-4)
    assert op("lu", sent(a))[1].tolist() == wanted[1].tolist()
    assert op("lu", sent(a).mT.contiguous().mT)[2].tolist() == [0, 0]


def test_lu_of_many_tiny_matrices() -> None:
    a = drawn(MANY, 3, 3)
    x = sent(a)
    with tg.profiler.count() as counted:
        packed, pivots, _ = op("lu", x)
        low, up = factors(exactly(packed))
    assert counted.dispatches == 1
    order = op("lu_permutation", pivots, rows=3).numpy()
    np.testing.assert_allclose(low @ up, np.take_along_axis(a, order[..., None], -2), atol=1e-5)


def test_lu_without_rows_or_columns() -> None:
    for shape in ((2, 0, 3), (2, 3, 0), (0, 3, 3)):
        packed, pivots, info = op("lu", sent(np.zeros(shape)))
        assert (packed.shape, info.tolist()) == (shape, [0] * shape[0])
        order = op("lu_permutation", pivots, rows=shape[1])
        assert order.tolist() == [list(range(shape[1]))] * shape[0]


# -- QR --------------------------------------------------------------------------------------------


def test_qr() -> None:
    for lead, m, n in [((), 1, 1), ((3,), 1, 5), ((3,), 70, 20), *RECTANGLES]:
        a = drawn(*lead, m, n)
        q, r = map(exactly, op("qr", sent(a)))
        assert off(q @ r, a) <= 1e-6, (lead, m, n)
        assert orthonormal(q) <= 2e-6, (lead, m, n)
        assert not np.tril(r, -1).any(), (lead, m, n)
        if m * n < 50000:
            wanted, _ = op("qr", reference(a.astype("float64")))
            np.testing.assert_allclose(q, wanted.numpy(), atol=2e-4, err_msg=f"{lead} {m} {n}")


def test_q_of_more_than_256_columns_is_no_less_orthonormal() -> None:
    q, r = map(exactly, op("qr", sent(drawn(320, 300))))
    assert np.linalg.norm(q.T @ q - np.eye(300)) <= 4e-6
    assert off(q @ r, drawn(320, 300)) <= 2e-5


def test_a_tall_panel_is_shared_by_more_threads() -> None:
    """Some drivers leave a thread's loops after 65,535 turns, and compute on."""
    for rows in (1500, 6900):
        a = drawn(rows, 33)
        q, r = map(exactly, op("qr", sent(a)))
        assert off(q @ r, a) <= 2e-5, rows
        packed, pivots, _ = op("lu", sent(a))
        low, up = factors(exactly(packed))
        order = op("lu_permutation", pivots, rows=rows).numpy()
        assert off(low @ up, a[order]) <= 1e-6, rows
        assert np.abs(low).max() <= 1, rows


def test_the_columns_of_q_are_orthonormal_whatever_the_matrix_is() -> None:
    for n in (9, 40):
        a = np.repeat(drawn(n, n)[None], 6, 0)
        a[1, :, 5] = 0
        a[2] = 0
        a[3] = a[3, :, :3] @ a[3, :3] * np.float32(1e18)
        a[4] *= np.float32(1e-22)
        a[5] *= np.geomspace(1, 1e-12, n, dtype="float32")
        q, r = map(exactly, op("qr", sent(a)))
        assert orthonormal(q) <= 2e-6, n
        for b in range(6):
            size = max(np.linalg.norm(a[b].astype("float64")), 1e-300)
            assert np.linalg.norm(q[b] @ r[b] - a[b]) <= 1e-6 * size, (n, b)


def test_q_is_unitary_where_the_rank_is_deficient() -> None:
    """What is left of a column that depends on others has few digits, or none: it turns nothing askew."""
    for name, batch in deficient().items():
        for factor in (1, 1 - 0.5j):
            x = sent(batch) * factor
            a = x.numpy().astype("complex128")
            packed, tau = tg.geqrf(x)
            found = {"geqrf": tg.linalg.householder_product(packed[..., : tau.shape[-1]], tau)}
            for mode in ("reduced", "complete"):
                found[mode], r = tg.linalg.qr(x, mode=mode)
                rest = found[mode].numpy().astype("complex128") @ r.numpy() - a
                rest, size = (np.linalg.norm(matrices, axis=(1, 2)) for matrices in (rest, a))
                assert (rest <= 2e-6 * np.maximum(size, 1e-30)).all(), (name, factor, mode)
            for way, q in found.items():
                assert orthonormal(q.numpy().astype("complex128")) <= 1e-5, (name, factor, way)


def test_geqrf_is_that_of_the_reference() -> None:
    for lead, m, n in [((2,), 5, 3), ((), 3, 5), ((2,), 70, 40), ((), 80, 20)]:
        a = drawn(*lead, m, n)
        for found, wanted in zip(op("geqrf", sent(a)), op("geqrf", reference(a)), strict=True):
            np.testing.assert_allclose(found.numpy(), wanted.numpy(), atol=1e-4)


def test_qr_of_many_tiny_matrices_and_of_none() -> None:
    a = drawn(MANY, 3, 2)
    x = sent(a)
    with tg.profiler.count() as counted:
        q, r = map(exactly, op("qr", x))
    assert counted.dispatches == 1
    np.testing.assert_allclose(q @ r, a, atol=1e-5)
    assert orthonormal(q) <= 2e-6
    for shape in ((0, 3, 2), (2, 3, 0), (2, 0, 3)):
        q, r = op("qr", sent(np.zeros(shape)))
        assert (q.shape, r.shape) == ((*shape[:2], 0), (shape[0], 0, shape[2])) or not shape[0]


def test_a_nan_stays_inside_its_matrix() -> None:
    for n in (9, 40):
        a = drawn(3, n, n)
        a[1, 3, 3] = np.nan
        found = [np.isnan(x.numpy()).any((1, 2)).tolist() for x in op("qr", sent(a))]
        assert found == [[False, True, False]] * 2


# -- together --------------------------------------------------------------------------------------


def test_derivatives_of_any_order_go_through_the_kernels() -> None:
    def loss(a):
        q, r = op("qr", a)
        low = op("cholesky", a @ a.mT + 3 * tg.eye(3, device=a.device, dtype=a.dtype))[0]
        packed = op("lu", a + 4 * tg.eye(3, device=a.device, dtype=a.dtype))[0]
        return (q.sin() * r).sum() + (low * low.sin()).sum() + packed.sin().sum()

    a, v = drawn(2, 3, 3), drawn(2, 3, 3, seed=1)

    def second(a, v):
        return tg.func.grad(lambda x: (tg.func.grad(loss)(x) * v).sum())(a)

    found = second(sent(a), sent(v)).numpy()
    wanted = second(reference(a).double(), reference(v).double()).numpy()
    np.testing.assert_allclose(found, wanted, rtol=2e-2, atol=2e-2 * np.abs(wanted).max())

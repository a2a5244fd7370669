"""Values of functions of matrices: residuals in float32, beside NumPy in float64, and what is asked of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tabgrad as tg

L = tg.linalg
RNG = np.random.default_rng(5)
SIZES = (1, 2, 3, 31, 64)


def norm(x: Any) -> float:
    return float(np.linalg.norm(x, axis=(-2, -1)).max())


def spectra(n: int) -> Iterator[tuple[str, Any]]:
    """Singular values: of condition 1 to 1e6, graded, repeated, of deficient rank."""
    yield "equal", np.ones(n)
    yield "graded", np.geomspace(1, 1e-6, n)
    yield "repeated", 1.0 + np.arange(n) // 3
    yield "half the rank", np.where(np.arange(n) < (n + 1) // 2, 1.0, 0.0)


def orthogonal(m: int, n: int) -> Any:
    return np.linalg.qr(RNG.normal(size=(2, m, n)))[0]


def test_factors_in_float32() -> None:
    for n in SIZES:
        for name, s in spectra(n):
            if n > 31 and name != "graded":
                continue
            for m in (n, n + 5) if name == "graded" or n < 31 else (n + 5,):
                a = ((orthogonal(m, n) * s) @ orthogonal(n, n)).astype(np.float32)
                # not contiguous
                x = tg.tensor(np.ascontiguousarray(np.swapaxes(a, -1, -2)), device="cpu").mT
                size, told = norm(a), f"{name}, {m} by {n}"
                near = 1e-6 * np.sqrt(m) * size
                for q, r in (L.qr(x), L.qr(x, "complete")):
                    assert norm((q @ r).numpy() - a) <= 2 * near, told
                    assert norm((q.mT @ q).numpy() - np.eye(q.shape[-1])) <= 1e-5, told
                P, low, up = L.lu(x)
                assert norm((P @ low @ up).numpy() - a) <= near, told
                u, w, vh = L.svd(x, full_matrices=True)
                assert norm((u[..., :n] * w.unsqueeze(-2) @ vh).numpy() - a) <= 4 * near, told
                want = np.linalg.svd(a.astype(np.float64), compute_uv=False)
                assert np.abs(w.numpy() - want).max() <= 4e-6 * want.max(), told
                for o in (u, vh):
                    assert norm((o @ o.mT).numpy() - np.eye(o.shape[-1])) <= 1e-5, told
            b = (a.swapaxes(-1, -2) @ a / size**2 + np.eye(n)).astype(np.float32)
            y = tg.tensor(b, device="cpu")
            low = L.cholesky(y).numpy()
            assert norm(low @ low.swapaxes(-1, -2) - b) <= 1e-6 * np.sqrt(n) * norm(b), told
            w, v = (z.numpy() for z in L.eigh(y))
            assert norm(b @ v - v * w[..., None, :]) <= 1e-6 * np.sqrt(n) * norm(b), told
            z = L.solve(y, y[:, :, :1]).numpy()
            assert norm(b @ z - b[:, :, :1]) <= 1e-6 * np.sqrt(n) * norm(b), told


def test_what_is_read_of_a_matrix() -> None:
    x = tg.tensor([[4.0, 9.0], [2.0, 5.0]], device="cpu")
    assert L.cholesky(x).tolist() == [[2, 0], [1, 2]]
    assert (
        L.eigvalsh(x).tolist()
        == L.eigvalsh(tg.tensor([[4.0, 2.0], [2.0, 5.0]], device="cpu")).tolist()
    )
    upper = tg.tensor([[4.0, 9.0], [9.0, 5.0]], device="cpu")
    assert L.eigvalsh(x, "U").tolist() == L.eigvalsh(upper).tolist()
    b = tg.ones(2, 1, device="cpu")
    assert L.solve_triangular(x, b, upper=True, unitriangular=True).tolist() == [[-8], [1]]
    assert L.solve_triangular(x, b, upper=False, unitriangular=True).tolist() == [[1], [-1]]


def test_signs_of_vectors() -> None:
    """The first of the largest components is positive, so that devices agree."""
    q = orthogonal(6, 6)
    a = tg.tensor((q * np.arange(1.0, 7)) @ q.swapaxes(-1, -2), device="cpu")
    for v in (L.eigh(a).eigenvectors.numpy(), L.svd(a).U.numpy()):
        size = np.abs(v)
        first = np.argmax(size >= 0.98 * size.max(-2, keepdims=True), -2)
        assert (np.take_along_axis(v, first[..., None, :], -2) > 0).all()


def test_ranks_conditions_and_pseudo_inverses() -> None:
    a = RNG.normal(size=(4, 2)) @ RNG.normal(size=(2, 3))
    x = tg.tensor(a, device="cpu")
    assert L.matrix_rank(x).item() == 2
    assert L.matrix_rank(x, atol=1e9).item() == 0
    assert L.matrix_rank(
        tg.stack([x, 0 * x]), atol=tg.tensor([1e-9, 1.0], device="cpu")
    ).tolist() == [2, 0]
    assert L.matrix_rank(x @ x.mT, hermitian=True).item() == 2
    np.testing.assert_allclose(L.pinv(x).numpy(), np.linalg.pinv(a, 1e-12), atol=1e-12)
    np.testing.assert_allclose(tg.pinverse(x, 1e-12).numpy(), np.linalg.pinv(a, 1e-12), atol=1e-12)
    square = x @ x.mT
    np.testing.assert_allclose(
        L.pinv(square, hermitian=True, rtol=1e-12).numpy(),
        np.linalg.pinv(a @ a.T, 1e-12),
        atol=1e-9,
    )
    b = RNG.normal(size=(3, 3))
    for p in (None, 2, -2, "fro", "nuc", 1, -1, np.inf, -np.inf):
        assert L.cond(tg.tensor(b, device="cpu"), p).item() == pytest.approx(
            np.linalg.cond(b, p)
        ), p
    assert L.cond(tg.zeros(2, 2, device="cpu"), 1).item() == np.inf
    for ord in ("nuc", 2, -2):
        got = L.matrix_norm(
            tg.tensor(np.stack([b, 2 * b], -1), device="cpu"), ord, (0, 1), keepdim=True
        )
        assert got.shape == (1, 1, 2)
        np.testing.assert_allclose(got.numpy()[0, 0], np.linalg.norm(b, ord) * np.array([1, 2]))


def test_least_squares() -> None:
    for m, n in ((5, 3), (3, 5), (4, 4)):
        a, b = RNG.normal(size=(2, m, n)), RNG.normal(size=(2, m, 2))
        want = np.linalg.pinv(a) @ b
        for driver in ("gels", "gelsy", "gelsd", "gelss"):
            found = L.lstsq(tg.tensor(a, device="cpu"), tg.tensor(b, device="cpu"), driver=driver)
            np.testing.assert_allclose(found.solution.numpy(), want, atol=1e-10, err_msg=driver)
            shapes = [tuple(y.shape) for y in found[1:]]
            rest = (2, 2) if m > n and driver != "gelsy" else (0,)
            k = min(m, n)
            assert shapes == [
                rest, (0,) if driver == "gels" else (2,), (2, k) if driver in ("gelsd", "gelss") else (0,),
            ]  # fmt: skip
            if rest != (0,):
                error = ((a @ want - b) ** 2).sum(-2)
                np.testing.assert_allclose(found.residuals.numpy(), error, atol=1e-10)
    deficient = RNG.normal(size=(4, 1)) @ RNG.normal(size=(1, 3))
    found = L.lstsq(
        tg.tensor(deficient, device="cpu"), tg.tensor(b[0, :, 0], device="cpu"), driver="gelsd"
    )
    assert found.rank.item() == 1
    assert tuple(found.residuals.shape) == (0,)
    np.testing.assert_allclose(
        found.solution.numpy(), np.linalg.pinv(deficient) @ b[0, :, 0], atol=1e-12
    )


def test_older_forms() -> None:
    a, b = (tg.tensor(RNG.normal(size=s), device="cpu") for s in ((3, 3), (3, 2)))
    near = {"rtol": 1e-10, "atol": 1e-12}
    assert tg.allclose(tg.lu_solve(b, *tg.lu(a)), L.solve(a, b), **near)
    assert len(tg.lu(a, get_infos=True)) == 3
    u, s, v = tg.svd(a[:, :2], some=False)
    assert tg.allclose(u[:, :2] * s @ v.mT, a[:, :2], **near)
    assert tg.svd(a, compute_uv=False).U.abs().sum().item() == 0
    assert tg.allclose(tg.orgqr(*tg.geqrf(b)), tg.qr(b).Q, **near)
    assert tuple(tg.qr(b, some=False).Q.shape) == (3, 3)
    assert tg.allclose(
        tg.triangular_solve(b, a, transpose=True)[0], L.solve(a.triu().mT, b), **near
    )
    assert tg.allclose(a.inverse() @ a, tg.eye(3, dtype=tg.float64, device="cpu"), **near)
    assert a.det().item() == pytest.approx(L.det(a).item())
    assert (a @ a.mT).logdet().item() == pytest.approx(2 * a.slogdet()[1].item())
    P, low, up = tg.lu_unpack(*tg.lu(a))
    assert tg.allclose(P @ low @ up, a, **near)
    assert tg.norm(a, "nuc").item() == pytest.approx(tg.nuclear_norm(a).item())


def test_indefinite_matrices() -> None:
    for n in (1, 2, 3, 7, 20):
        for dtype, hermitian in ((float, False), (complex, False), (complex, True)):
            a = RNG.normal(size=(2, n, n)).astype(dtype)
            if dtype is complex:
                a += 1j * RNG.normal(size=a.shape)
            a = a + (np.conj(a.swapaxes(-1, -2)) if hermitian else a.swapaxes(-1, -2))
            # small pivots: blocks of two
            a[0, range(n), range(n)] *= 1e-3
            b = RNG.normal(size=(2, n, 2)).astype(dtype)
            found = L.ldl_factor(tg.tensor(np.tril(a), device="cpu"), hermitian=hermitian)
            x = L.ldl_solve(*found, tg.tensor(b, device="cpu"), hermitian=hermitian).numpy()
            np.testing.assert_allclose(a @ x, b, atol=1e-9 * max(1, np.abs(x).max()))
            assert n == 1 or (found.pivots.numpy() < 0).any()
    assert L.ldl_factor_ex(tg.zeros(2, 2, device="cpu")).info.item() == 1
    with pytest.raises(L.LinAlgError, match="diagonal block 1 of D is zero"):
        L.ldl_factor(tg.zeros(2, 2, device="cpu"))


def test_low_rank() -> None:
    for shape in ((2, 30, 20), (2, 20, 30)):
        a = RNG.normal(size=(*shape[:-1], 3)) @ RNG.normal(size=(2, 3, shape[-1]))
        x = tg.tensor(a, device="cpu")
        u, s, v = tg.svd_lowrank(x, q=5)
        np.testing.assert_allclose((u * s.unsqueeze(-2) @ v.mT).numpy(), a, atol=1e-10)
        np.testing.assert_allclose(s.numpy(), np.linalg.svd(a, compute_uv=False)[:, :5], atol=1e-10)
        u, s, v = tg.pca_lowrank(x, q=3)
        centred = a - a.mean(-2, keepdims=True)
        np.testing.assert_allclose((u * s.unsqueeze(-2) @ v.mT).numpy(), centred, atol=1e-10)
    with pytest.raises(ValueError, match=r"q\(=40\) must be non-negative"):
        tg.pca_lowrank(x, q=40)

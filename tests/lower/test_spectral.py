"""Eigenvalues and singular values by kernels: residuals, degenerate and graded spectra, failures."""

from __future__ import annotations

import os

import numpy as np
import pytest

import tabgrad as tg
from tests.lower.drawn_matrices import (
    MANY,
    deficient,
    drawn,
    exactly,
    op,
    orthonormal,
    reference,
    sent,
)

pytestmark = pytest.mark.one_host("wgpu")
LARGE = bool(os.environ.get("TABGRAD_LARGE_MATRICES"))
"""Whether to try spectra of matrices of up to 300 rows, which takes minutes on a processor."""

# -- eigenvalues -----------------------------------------------------------------------------------


def symmetric(values, seed=0):
    """Draw a symmetric matrix with these eigenvalues."""
    n = len(values)
    q = np.linalg.qr(drawn(n, n, seed=seed).astype("float64"))[0]
    a = q * np.asarray(values) @ q.T
    return ((a + a.T) / 2).astype("float32")


def spectra(n):
    return {
        "rank 3": np.r_[1.0, 2, 3, np.zeros(n - 3)],
        "repeated": np.r_[np.ones(n // 2), -np.ones(n - n // 2)],
        "graded": np.geomspace(1, 1e-12, n),
        "of condition 1e6": np.geomspace(1, 1e-6, n) * (-1.0) ** np.arange(n),
        "identity": np.ones(n),
        "zero": np.zeros(n),
    }


def eigen_error(a, values, vectors):
    """Compute the distances of a V from V w, and of the eigenvalues, both relative to the matrices."""
    a = a.astype("float64")
    size = np.maximum(np.linalg.norm(a, axis=(-2, -1)), 1e-300)
    rest = np.linalg.norm(a @ vectors - vectors * values[..., None, :], axis=(-2, -1))
    apart = np.abs(values - np.linalg.eigvalsh(a)).max(-1)
    return float((rest / size).max()), float((apart / size).max())


def test_eigh() -> None:
    for lead, n in [((), 1), ((3,), 2), ((2, 2), 3), ((2,), 31), ((2,), 33), ((), 64)]:
        a = drawn(*lead, n, n)
        a = (a + a.swapaxes(-1, -2)) / 2
        values, vectors = map(
            exactly, op("eigh", sent(np.tril(a) + 7 * np.triu(np.ones_like(a), 1)))
        )
        rest, apart = eigen_error(a, values, vectors)
        assert rest <= 2e-6, (lead, n, rest)
        assert apart <= 1e-6, (lead, n, apart)
        assert orthonormal(vectors) <= 2e-6, (lead, n)
        assert (np.diff(values) >= 0).all(), (lead, n)
        if n < 32:
            wanted = op("eigh", reference(a.astype("float64")))[1].numpy()
            np.testing.assert_allclose(vectors, wanted, atol=5e-4, err_msg=f"{lead} {n}")


def test_eigh_of_degenerate_and_graded_spectra() -> None:
    for n in (9, 40):
        found = {name: symmetric(values) for name, values in spectra(n).items()}
        grades = np.geomspace(1e-6, 1e6, n, dtype="float32")
        found["graded rows"] = symmetric(np.linspace(-1, 2, n)) * grades * grades[:, None]
        found["huge"], found["tiny"] = found["repeated"] * 1e25, found["repeated"] * 1e-25
        a = np.stack(list(found.values())).astype("float32")
        values, vectors = map(exactly, op("eigh", sent(a)))
        for name, one, w, v in zip(found, a, values, vectors, strict=True):
            rest, apart = eigen_error(one, w, v)
            assert rest <= 2e-6, (name, n, rest)
            assert apart <= 1e-6, (name, n, apart)
            assert orthonormal(v) <= 2e-6, (name, n)


def test_eigh_of_a_nan_is_nan_throughout_and_ends() -> None:
    for n in (9, 40):
        a = np.repeat(symmetric(np.linspace(-1, 2, n))[None], 3, 0)
        a[1, 5, 3] = np.nan
        values, vectors = op("eigh", sent(a))
        assert np.isnan(values.numpy()).mean(1).tolist() == [0, 1, 0]
        assert np.isnan(vectors.numpy()).mean((1, 2)).tolist() == [0, 1, 0]


def test_eigh_of_many_tiny_matrices() -> None:
    a = drawn(MANY, 3, 3)
    a = (a + a.swapaxes(1, 2)) / 2
    x = sent(a)
    with tg.profiler.count() as counted:
        values, vectors = map(exactly, op("eigh", x))
    assert counted.dispatches == 3
    assert eigen_error(a, values, vectors)[0] <= 2e-6
    assert op("eigh", sent(np.zeros((2, 0, 0))))[0].shape == (2, 0)


def test_eigh_of_large_matrices() -> None:
    """Of more than 128 rows what is rounded in the turns of many blocks adds up slowly."""
    drawn_ = {"random": lambda n: symmetric(np.sort(np.random.default_rng(1).normal(size=n)))}
    each = {
        name: (lambda n, name=name: symmetric(spectra(n)[name]))
        for name in ("repeated", "rank 3", "graded", "of condition 1e6", "zero")
    }
    each = each if LARGE else {"repeated": each["repeated"]}
    for n in (130, 160, 200, 256, 300) if LARGE else (129,):
        for name, make in {**drawn_, **each}.items():
            a = make(n)
            values, vectors = map(exactly, op("eigh", sent(a)))
            rest, apart = eigen_error(a, values, vectors)
            assert rest <= 2.5e-7 * np.sqrt(n), (name, n, rest)
            assert apart <= 1e-6, (name, n, apart)
            assert orthonormal(vectors) <= 2e-6, (name, n)
            assert np.linalg.norm(vectors.T @ vectors - np.eye(n)) <= 5e-6, (name, n)
            assert (np.diff(values) >= 0).all(), (name, n)


# -- singular values -------------------------------------------------------------------------------


def check_svd(name, a, bound=1e-6):
    """Check the factors of matrices, and that they are those of the reference where it is unique."""
    u, s, vh = map(exactly, op("svd", sent(a)))
    b = a.astype("float64")
    size = np.maximum(np.linalg.norm(b, axis=(-2, -1)), 1e-300)
    rest = np.linalg.norm(u * s[..., None, :] @ vh - b, axis=(-2, -1)) / size
    assert rest.max() <= bound, (name, a.shape, rest.max())
    values = np.linalg.svd(b, compute_uv=False)
    apart = np.abs(s - values).max(-1) / np.maximum(values.max(-1), 1e-300)
    assert apart.max() <= 1e-6, (name, a.shape, apart.max())
    assert orthonormal(u) <= 2e-6, (name, a.shape)
    assert orthonormal(vh.swapaxes(-1, -2)) <= 2e-6, (name, a.shape)
    assert (np.diff(s) <= 0).all(), (name, a.shape)
    return u, vh


SHAPES = [
    ((), 1, 1),
    ((3,), 2, 3),
    ((2, 2), 7, 3),
    ((2,), 31, 31),
    ((), 100, 10),
    ((), 33, 35),
    ((), 40, 90),
]


def test_svd() -> None:
    for lead, m, n in SHAPES:
        a = drawn(*lead, m, n)
        found = check_svd("random", a)
        if m < 40:
            wanted = op("svd", reference(a.astype("float64")))
            for one, other in zip(found, wanted[::2], strict=True):
                np.testing.assert_allclose(one, other.numpy(), atol=2e-4, err_msg=f"{m} {n}")


def test_svd_of_degenerate_and_graded_spectra() -> None:
    for m, n in ((9, 9), (45, 40)):
        q = np.linalg.qr(drawn(m, n).astype("float64"))[0]
        p = np.linalg.qr(drawn(n, n, seed=1).astype("float64"))[0]
        found = {name: q * np.abs(values) @ p for name, values in spectra(n).items()}
        found["graded columns"] = drawn(m, n) * np.geomspace(1e-6, 1e6, n)
        found["graded rows"] = drawn(m, n) * np.geomspace(1e-6, 1e6, m)[:, None]
        found["huge"], found["tiny"] = q @ p * 1e30, q @ p * 1e-30
        a = np.stack(list(found.values())).astype("float32")
        check_svd("degenerate", a)


def test_svd_of_deficient_ranks() -> None:
    for name, a in deficient().items():
        if name != "subnormal":
            check_svd(name, a, 2e-6)
    draw = np.random.default_rng(0)
    for rank in (1, 2):
        a = draw.integers(-3, 4, (70, 20, rank)) @ draw.integers(-3, 4, (70, rank, 40))
        a = a * np.geomspace(1, 1e-20, 40)
        check_svd(f"graded columns, of rank {rank}", a.astype("float32"), 2e-6)
        check_svd(f"graded rows, of rank {rank}", a.swapaxes(1, 2).astype("float32"), 2e-6)


def test_svd_of_large_matrices() -> None:
    shapes = [(130, 130), (256, 129), (140, 256), (256, 256), (257, 300)] if LARGE else [(129, 130)]
    for m, n in shapes:
        k = min(m, n)
        bound = 2.5e-7 * np.sqrt(k)
        check_svd("random", drawn(m, n), bound)
        q = np.linalg.qr(drawn(m, k).astype("float64"))[0]
        p = np.linalg.qr(drawn(n, k, seed=1).astype("float64"))[0]
        for name in (
            ("of condition 1e6", "graded", "rank 3", "repeated", "zero") if LARGE else ("graded",)
        ):
            made = q * np.abs(spectra(k)[name]) @ p.T
            check_svd(name, made.astype("float32"), bound)


def test_svd_of_a_nan_is_nan_throughout_and_ends() -> None:
    for n in (9, 40):
        a = drawn(4, n, n)
        a[1, 5, 3], a[2, 3, 5] = np.nan, np.inf
        for x in op("svd", sent(a)):
            share = np.isnan(x.numpy()).reshape(4, -1).mean(1)
            assert share.tolist() == [0, 1, 1, 0], n


def test_svd_of_many_tiny_matrices_and_of_none() -> None:
    a = drawn(MANY, 3, 2)
    x = sent(a)
    with tg.profiler.count() as counted:
        op("svd", x)[1].numpy()
    assert counted.submits == 1
    assert counted.dispatches <= 26
    check_svd("many", a[-4000:])
    np.testing.assert_allclose(
        op("svd", x)[1].numpy(), np.linalg.svd(a, compute_uv=False), atol=1e-5
    )
    for shape in ((0, 3, 2), (2, 3, 0), (2, 0, 3)):
        u, s, vh = op("svd", sent(np.zeros(shape)))
        k = min(shape[1:])
        assert (u.shape, s.shape, vh.shape) == (
            (*shape[:2], k),
            (shape[0], k),
            (shape[0], k, shape[2]),
        )

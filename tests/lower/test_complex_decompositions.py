"""Decompositions of complex matrices by kernels, and what a device refuses, at the call."""

from __future__ import annotations

import os

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.core.errors import DeviceError
from tests.grouped import grouped
from tests.lower import recorder
from tests.lower.drawn_matrices import MANY, deficient, op, orthonormal

L = tg.linalg
SIZES = [((), 1), ((3,), 2), ((2, 3), 3), ((5,), 9), ((3,), 17), ((2,), 32), ((2,), 57), ((), 90)]
LARGE = (200, 256, 300) if os.environ.get("TABGRAD_LARGE_MATRICES") else ()
"""Sizes whose spectra take minutes on a processor."""


def drawn(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype("complex64")


def sent(x):
    return tg.tensor(np.ascontiguousarray(x, "complex64"), device="webgpu")


def reference(x):
    return tg.tensor(np.asarray(x, "complex128"), device="cpu")


def exactly(x):
    return x.numpy().astype("complex128")


def mH(x):
    return x.conj().swapaxes(-1, -2)


def off(found, wanted):
    return float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-30))


def distance(found, wanted):
    """Compute the largest distance of matrices in the Frobenius norm, relative to the second ones."""
    size = np.maximum(np.linalg.norm(wanted, axis=(-2, -1)), 1e-300)
    return float(np.max(np.linalg.norm(found - wanted, axis=(-2, -1)) / size))


def unitary(m, n, seed=0):
    return np.linalg.qr(drawn(m, n, seed=seed).astype("complex128"))[0]


def hermitian(a):
    """Make the Hermitian matrices of the lower triangles of some matrices, without rounding."""
    a = np.asarray(a, "complex64").astype("complex128")
    low = np.tril(a, -1)
    return low + mH(low) + np.eye(a.shape[-1]) * a.real


def spectra(n):
    line = np.linspace(-1, 1, n)
    return {
        "rank 3": np.r_[1.0, 2, 3, np.zeros(n - 3)],
        "two values": np.r_[np.ones(n // 2), -np.ones(n - n // 2)],
        "pairs": 1.0 + np.arange(n) // 2,
        "three values": np.arange(n) % 3 - 1.0,
        "close": 1 + 1e-6 * line,
        "graded": np.geomspace(1, 1e-12, n),
        "of condition 1e6": np.geomspace(1, 1e-6, n) * (-1.0) ** np.arange(n),
        "equal": np.ones(n),
        "zero": np.zeros(n),
        "huge": 1e17 * line,
        "tiny": 1e-17 * line,
    }


def definite(*lead, n):
    x = drawn(*lead, n, n).astype("complex128")
    return x @ mH(x) / n + 0.5 * np.eye(n)


@pytest.mark.one_host("wgpu")
def test_cholesky() -> None:
    for lead, n in SIZES:
        a = definite(*lead, n=n).astype("complex64")
        # the upper triangle is not read, nor what is imaginary on the diagonal
        given = np.tril(a) + 7 * np.triu(np.ones_like(a), 1) + 1j * np.eye(n)
        low, info = op("cholesky", sent(given))
        made = exactly(low)
        assert off(made @ mH(made), a) <= 1e-6 * np.sqrt(n), (lead, n)
        assert not np.triu(made, 1).any(), (lead, n)
        assert not info.numpy().any(), (lead, n)
    for n in (6, 40):
        a = np.repeat(definite(n=n)[None], 3, 0)
        a[1, n // 2, n // 2] = -1
        low, info = op("cholesky", sent(a))
        assert info.tolist() == [0, n // 2 + 1, 0], n
        assert np.isnan(low.numpy()).mean((1, 2)).tolist() == [0, 1, 0], n


@pytest.mark.one_host("wgpu")
def test_triangular_solve() -> None:
    for (lead, n), width in zip(SIZES, (1, 5, 1, 40, 33, 2, 1, 7), strict=True):
        for upper in (False, True):
            for unit in (False, True):
                a = drawn(*lead, n, n, seed=1) / np.float32(np.sqrt(n)) + 2 * np.eye(n)
                part = np.triu(a) if upper else np.tril(a)
                part = part * (1 - np.eye(n)) + np.eye(n) if unit else part
                b = drawn(*lead, n, width)
                x = op("triangular_solve", sent(a), sent(b), upper=upper, unit=unit)
                found = off(part @ exactly(x), b)
                assert found <= 4e-6 * np.sqrt(n), (lead, n, width, upper, unit, found)


@pytest.mark.one_host("wgpu")
def test_lu() -> None:
    shapes = [(lead, n, n) for lead, n in SIZES]
    for lead, m, n in [*shapes, ((2,), 3, 7), ((2,), 50, 9), ((2,), 100, 40), ((), 20, 70)]:
        a = drawn(*lead, m, n)
        packed, pivots, info = op("lu", sent(a))
        k = min(m, n)
        whole = exactly(packed)
        low = np.tril(whole[..., :k], -1) + np.eye(m, k)
        order = op("lu_permutation", pivots, rows=m).numpy()
        rows = np.take_along_axis(a, order[..., None], -2)
        assert off(low @ np.triu(whole[..., :k, :]), rows) <= 2e-6 * np.sqrt(k), (lead, m, n)
        # as in LAPACK the largest pivot is that with the largest sum of the sizes of its parts
        assert np.abs(low).max() <= np.sqrt(2) + 1e-6, (lead, m, n)
        assert not info.numpy().any(), (lead, m, n)
    for m, n in ((9, 9), (40, 50)):
        a = np.round(3 * drawn(3, m, n))  # with many ties
        assert op("lu", sent(a))[1].tolist() == op("lu", reference(a))[1].tolist(), (m, n)
    singular = np.stack([drawn(40, 40), np.zeros((40, 40)), drawn(40, 40)])
    singular[2, :, 3] = 0
    assert op("lu", sent(singular))[2].tolist() == [0, 1, 4]


@pytest.mark.one_host("wgpu")
def test_qr() -> None:
    shapes = [(lead, n, n) for lead, n in SIZES]
    for lead, m, n in [*shapes, ((2,), 3, 7), ((2,), 36, 9), ((2,), 100, 40), ((), 20, 70)]:
        a = drawn(*lead, m, n)
        q, r = map(exactly, op("qr", sent(a)))
        k = min(m, n)
        assert off(q @ r, a) <= 2e-6 * np.sqrt(k), (lead, m, n)
        assert np.abs(mH(q) @ q - np.eye(k)).max() <= 4e-6, (lead, m, n)
        assert not np.tril(r, -1).any(), (lead, m, n)
        assert not np.diagonal(r, 0, -2, -1).imag.any(), (lead, m, n)
        wanted = op("qr", reference(a))
        assert off(r, wanted[1].numpy()) <= 2e-4, (lead, m, n)
        for found, known in zip(op("geqrf", sent(a)), op("geqrf", reference(a)), strict=True):
            assert off(exactly(found), known.numpy()) <= 2e-4, (lead, m, n)


def check_eigh(name, a):
    """Check the eigenvalues of the lower triangles of `a`, and their vectors."""
    values, vectors = (x.numpy() for x in op("eigh", sent(a)))
    assert values.dtype == np.float32, name
    w, v, whole = values.astype("float64"), vectors.astype("complex128"), hermitian(a)
    root = np.sqrt(a.shape[-1])
    assert distance(v * w[..., None, :] @ mH(v), whole) <= 3e-7 * max(root, 2), name
    assert orthonormal(v) <= 2e-6, name
    assert np.linalg.norm(mH(v) @ v - np.eye(a.shape[-1]), axis=(-2, -1)).max() <= 5e-6, name
    wanted = np.linalg.eigvalsh(whole)
    apart = np.abs(w - wanted).max(-1) / np.maximum(np.linalg.norm(whole, axis=(-2, -1)), 1e-300)
    assert apart.max() <= 1e-6, name
    assert (np.diff(w) >= 0).all(), name
    return v


@pytest.mark.one_host("wgpu")
def test_eigh() -> None:
    for lead, n in [*SIZES, ((2,), 16), ((), 31), ((), 64)]:
        # the upper triangle is not read, nor what is imaginary on the diagonal
        a = np.tril(drawn(*lead, n, n)) + 7 * np.triu(np.ones((n, n)), 1)
        found = check_eigh((lead, n), a)
        if n < 32:
            wanted = op("eigh", reference(hermitian(a)))[1].numpy()
            assert off(found, wanted) <= 1e-3, (lead, n)


@pytest.mark.one_host("wgpu")
def test_eigh_of_degenerate_and_graded_spectra() -> None:
    # of 100 rows three values took more sweeps than there were
    for n in (3, 9, 40, 100, *LARGE):
        chosen = spectra(n) if n != 100 else {"three values": spectra(n)["three values"]}
        each = [(q * w) @ mH(q) for w in chosen.values() for q in [unitary(n, n)]]
        grades = np.geomspace(1e-6, 1e6, n)
        each.append(each[0] * grades * grades[:, None])
        for batch in [np.stack(each)] if n <= 100 else each:
            check_eigh(n, batch)


def check_svd(name, a):
    """Check the factors of matrices."""
    u, s, vh = (x.numpy() for x in op("svd", sent(a)))
    assert s.dtype == np.float32, name
    u, s, vh = u.astype("complex128"), s.astype("float64"), vh.astype("complex128")
    a = np.asarray(a, "complex64").astype("complex128")
    assert distance(u * s[..., None, :] @ vh, a) <= 2e-7 * max(np.sqrt(s.shape[-1]), 5), name
    values = np.linalg.svd(a, compute_uv=False)
    apart = np.abs(s - values).max(-1) / np.maximum(values.max(-1), 1e-300)
    assert apart.max() <= 1e-6, name
    assert orthonormal(u) <= 3e-6, name
    assert orthonormal(mH(vh)) <= 3e-6, name
    assert (np.diff(s) <= 0).all(), name
    return u, vh


@pytest.mark.one_host("wgpu")
def test_svd() -> None:
    shapes = [(lead, n, n) for lead, n in SIZES[:7]]
    # those that are tall, and those of many columns, begin with a QR
    for lead, m, n in [
        *shapes,
        ((2,), 4, 2),
        ((2,), 3, 7),
        ((), 33, 35),
        ((), 90, 10),
        ((), 20, 70),
    ]:
        a = drawn(*lead, m, n)
        found = check_svd((lead, m, n), a)
        if m < 32:
            for one, other in zip(found, op("svd", reference(a))[::2], strict=True):
                assert off(one, other.numpy()) <= 1e-3, (lead, m, n)


@pytest.mark.one_host("wgpu")
def test_svd_of_degenerate_and_graded_spectra() -> None:
    for m, n in ((3, 3), (9, 9), (45, 40), *((n + 9, n) for n in LARGE)):
        q, p = unitary(m, n), unitary(n, n, seed=1)
        each = [(q * np.abs(w)) @ mH(p) for w in spectra(n).values()]
        each.append(drawn(m, n) * np.geomspace(1e-6, 1e6, n))
        each.append(drawn(m, n) * np.geomspace(1e-6, 1e6, m)[:, None])
        for batch in [np.stack(each)] if n <= 100 else each:
            check_svd((m, n), batch)
    for name, a in deficient().items():
        if name != "subnormal":
            check_svd(name, a * (1 - 0.5j))


@pytest.mark.one_host("wgpu")
def test_spectra_of_nan_are_nan_throughout_and_those_of_none_are_empty() -> None:
    for name, n in (("eigh", 9), ("eigh", 40), ("svd", 40)):
        a = hermitian(np.repeat(drawn(n, n)[None], 4, 0))
        a[1, 5, 3], a[2, 5, 3] = 1j * np.nan, np.inf
        for x in op(name, sent(a)):
            share = np.isnan(x.numpy()).reshape(4, -1).mean(1)
            assert share.tolist() == [0, 1, 1, 0], (name, n)
    for shape in ((0, 3, 3), (2, 0, 0)):
        for name in ("eigh", "svd"):
            wanted = [x.shape for x in op(name, reference(np.zeros(shape)))]
            assert [x.shape for x in op(name, sent(np.zeros(shape)))] == wanted, (name, shape)


@pytest.mark.one_host("wgpu")
def test_spectra_of_many_tiny_matrices() -> None:
    a = drawn(MANY, 2, 2)
    with tg.profiler.count() as counted:
        w, v = map(exactly, op("eigh", sent(a)))
    assert counted.dispatches == 3
    assert distance(v * w[..., None, :] @ mH(v), hermitian(a)) <= 2e-6
    check_svd("tiny", a[:500])


@pytest.mark.one_host("wgpu")
def test_many_tiny_matrices_take_one_dispatch() -> None:
    a = drawn(MANY, 3, 3) + 4 * np.eye(3)
    made = {
        "lu": lambda y: np.tril(y, -1) @ np.triu(y) + np.triu(y),
        "qr": lambda y: y @ mH(y),
        "cholesky": lambda y: y @ mH(y),
    }
    for name, whole in made.items():
        given = a @ mH(a) + np.eye(3) if name == "cholesky" else a
        with tg.profiler.count() as counted:
            found = [x.numpy() for x in op(name, sent(given))]
        assert counted.dispatches == 1, name
        if name == "lu":
            order = op("lu_permutation", tg.tensor(found[1], device="cpu"), rows=3).numpy()
            given = np.take_along_axis(given, order[..., None], -2)
        wanted = np.broadcast_to(np.eye(3), a.shape) if name == "qr" else given
        assert off(whole(found[0].astype("complex128")), wanted) <= 1e-5, name


@pytest.mark.one_host("wgpu")
def test_a_gpu_has_kernels_of_its_own() -> None:
    """What a device that is no software adapter runs: products through workgroup memory, and more lanes."""
    where = tg.device("webgpu")
    backend = where.backend
    software = backend.limits.software
    backend.limits.software = False
    try:
        for n in (9, 70):
            a = drawn(3, n, n)
            q, r = map(exactly, op("qr", sent(a)))
            assert off(q @ r, a) <= 2e-5, n
            low = exactly(op("cholesky", sent(definite(3, n=n)))[0])
            assert off(low @ mH(low), definite(3, n=n)) <= 1e-5, n
            assert off(exactly(L.inv(sent(a))) @ a, np.broadcast_to(np.eye(n), a.shape)) <= 2e-3, n
            check_eigh(n, a[:1, :20, :20])
            check_svd(n, a[:1, :20, :20])
            real = a.real.astype("float32")
            values, vectors = map(exactly, op("eigh", tg.tensor(real, device=where)))
            assert off(vectors * values[..., None, :] @ mH(vectors), hermitian(real)) <= 2e-5, n
            u, s, vh = map(exactly, op("svd", tg.tensor(real, device=where)))
            assert off(u * s[..., None, :] @ vh, real) <= 2e-5, n
    finally:
        backend.limits.software = software


def joined(left, values, right):
    """Make functions of factors that no phases of vectors change."""
    return (left * values.sin()[..., None, :]) @ right, values


def projected(values, vectors):
    return joined(vectors, values, vectors.mH)


CASES = {
    "eigh": (lambda a: projected(*L.eigh(a)), ((2, 3, 3),)),
    "svd": (lambda a: joined(*L.svd(a, full_matrices=False)), ((3, 2),)),
    "pinv": (L.pinv, ((2, 3),)),
    "solve": (L.solve, ((2, 3, 3), (2, 3, 2))),
    "solve, right": (lambda a, b: L.solve(a, b, left=False), ((3, 3), (2, 3))),
    "inv": (L.inv, ((2, 3, 3),)),
    "det": (L.det, ((2, 3, 3),)),
    "slogdet": (L.slogdet, ((2, 3, 3),)),
    "solve_triangular": (lambda a, b: L.solve_triangular(a, b, upper=False), ((3, 3), (3, 2))),
    "cholesky": (lambda a: L.cholesky(a @ a.mH + 2 * tg.eye(3, device=a.device)), ((2, 3, 3),)),
    "lu_solve": (lambda a, b: L.lu_solve(*L.lu_factor(a), b, adjoint=True), ((3, 3), (3, 2))),
    "qr": (L.qr, ((4, 3),)),
    "matrix_power": (lambda a: L.matrix_power(a, -2), ((3, 3),)),
}


@pytest.mark.one_host("wgpu")
@pytest.mark.filterwarnings("ignore:.*float64")
def test_derivatives() -> None:
    """Values, gradients, tangents, second derivatives and a batch beside those of complex128."""

    def real(y):
        each = [y] if isinstance(y, tg.Tensor) else list(y)
        return sum(((z.real + 0.3 * z.imag) if z.is_complex() else z).sin().sum() for z in each)

    for name, (fun, shapes) in CASES.items():
        given = [
            drawn(*s, seed=i) + (np.eye(*s[-2:]) * 3 if i == 0 else 0) for i, s in enumerate(shapes)
        ]
        vs = [drawn(*s, seed=7 + i) for i, s in enumerate(shapes)]

        def answers(make, fun=fun, given=given, vs=vs):
            xs, us = tuple(map(make, given)), tuple(map(make, vs))
            many = tuple(tg.stack([x, 1.5 * x]) for x in xs)

            def loss(*xs):
                return real(fun(*xs))

            def along(*xs):
                return tg.func.jvp(loss, xs, us)[1]

            where = tuple(range(len(xs)))
            return [
                loss(*xs), along(*xs), *tg.func.grad(loss, where)(*xs), *tg.func.grad(along, where)(*xs),
                tg.func.vmap(loss)(*many),
            ]  # fmt: skip

        for k, (found, wanted) in enumerate(zip(answers(sent), answers(reference), strict=True)):
            assert off(found.numpy(), wanted.numpy()) <= 2e-3, (name, k)


@pytest.mark.one_host("wgpu")
@grouped(
    "name, fun, shapes",
    [
        ("eigvalsh", L.eigvalsh, ((2, 3, 3),)),
        ("svdvals", L.svdvals, ((3, 2),)),
        ("lstsq", lambda a, b: L.lstsq(a, b).solution, ((4, 2), (4, 2))),
        ("cond", L.cond, ((3, 3),)),
        ("norm", lambda a: L.matrix_norm(a, 2), ((2, 3),)),
        ("nuclear norm", lambda a: L.matrix_norm(a, "nuc"), ((2, 3),)),
        ("rank", lambda a: a.sum() + L.matrix_rank(a @ a.mT), ((3, 2),)),
        ("Hermitian rank", lambda a: a.sum() + L.matrix_rank(a @ a.mH, hermitian=True), ((3, 2),)),
        ("Hermitian pinv", lambda a: L.pinv(a @ a.mH, hermitian=True), ((2, 2),)),
    ],
    ids=lambda case: case[0],
)
def test_what_follows_from_spectra(name, fun, shapes) -> None:
    given = [drawn(*shape, seed=i) for i, shape in enumerate(shapes)]
    answers = []
    for make in (sent, reference):
        xs = [make(x).requires_grad_() for x in given]
        y = fun(*xs)
        grads = tg.autograd.grad(y.abs().square().sum(), xs)
        answers.append([y.detach().numpy(), *(g.numpy() for g in grads)])
    for found, wanted in zip(*answers, strict=True):
        assert off(found, wanted) <= 2e-4, name


REFUSED = {
    "eig": lambda x: op("eig", x),
    "ldl": lambda x: op("ldl", x, hermitian=True),
    "a gradient's": lambda x: op("eig", x.requires_grad_()),
}


def test_what_a_device_has_no_kernel_for_is_refused_at_the_call() -> None:
    """Nothing is read here: the error can't be that of a read."""
    where = recorder.device()
    x = tg.zeros(3, 3, dtype=tg.complex64, device=where)
    for name, fun in REFUSED.items():
        for made, given in ((fun, x), (tg.func.vmap(fun), x[None])):
            with pytest.raises(DeviceError, match="is not on this device yet, only on cpu"):
                made(given)
            assert name
    other = recorder.device("cuda")
    for fun in (L.svd, L.qr, L.inv, L.cholesky, L.det):
        with pytest.raises(DeviceError, match="is not on this device yet"):
            fun(tg.eye(3, device=other))

"""The derivatives of functions of matrices: against differences, to second order, and where values coincide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.core.errors import GradientError

L = tg.linalg
STEP = 1e-6
RNG = np.random.default_rng(3)


def tensor(x: Any) -> Any:
    return tg.tensor(x, device="cpu")


def symmetric(x: Any) -> Any:
    return x + x.mH


def definite(x: Any) -> Any:
    return x @ x.mH + 2 * tg.eye(x.shape[-1], dtype=x.dtype, device="cpu")


def projection(v: Any) -> Any:
    """What does not depend on the signs or phases of columns."""
    return (v * tensor([1.0, -2.0, 0.5])[: v.shape[-1]]) @ v.mH


CASES: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "cholesky": (lambda x: L.cholesky(definite(x)), ((3, 3),)),
    "cholesky, upper": (lambda x: L.cholesky(definite(x), upper=True), ((2, 3, 3),)),
    "cholesky_solve": (lambda x, b: tg.cholesky_solve(b, L.cholesky(definite(x))), ((3, 3), (3, 2))),
    "cholesky_inverse": (lambda x: tg.cholesky_inverse(L.cholesky(definite(x))), ((3, 3),)),
    "solve": (L.solve, ((2, 3, 3), (3, 2))),
    "solve, right": (lambda a, b: L.solve(a, b, left=False), ((3, 3), (2, 2, 3))),
    "solve, vectors": (L.solve, ((2, 3, 3), (2, 3))),
    "inv": (L.inv, ((2, 3, 3),)),
    "lu_solve": (lambda a, b: L.lu_solve(*L.lu_factor(a), b, adjoint=True), ((3, 3), (3, 2))),
    "lu": (lambda x: L.lu(x)[1:], ((3, 3),)),
    "lu, tall": (lambda x: L.lu(x)[1:], ((2, 4, 2),)),
    "lu, wide": (lambda x: L.lu(x)[1:], ((2, 4),)),
    "solve_triangular": (
        lambda a, b: L.solve_triangular(a + 3 * tg.eye(3, device="cpu"), b, upper=True, left=False),
        ((3, 3), (2, 3)),
    ),
    "det": (L.det, ((2, 3, 3),)),
    "slogdet": (lambda x: L.slogdet(x).logabsdet, ((3, 3),)),
    "matrix_power": (lambda x: L.matrix_power(x, -2), ((2, 2),)),
    "qr": (L.qr, ((3, 3),)),
    "qr, tall": (L.qr, ((2, 4, 2),)),
    "qr, wide": (L.qr, ((2, 4),)),
    "householder_product": (L.householder_product, ((4, 3), (2,))),
    "ormqr": (lambda a, t, c: tg.ormqr(a, t, c, left=False, transpose=True), ((3, 2), (2,), (2, 3))),
    "eigvalsh": (lambda x: L.eigvalsh(symmetric(x)), ((3, 3),)),
    "eigh": (lambda x: projection(L.eigh(symmetric(x))[1]), ((3, 3),)),
    "svdvals": (L.svdvals, ((2, 3, 2),)),
    "svd, tall": (lambda x: [projection(y) for y in (L.svd(x, False)[0], L.svd(x).Vh.mH)], ((3, 2),)),
    "svd, wide": (lambda x: [projection(y) for y in (L.svd(x, False)[2].mH, L.svd(x).U)], ((2, 3),)),
    "matrix_norm": (lambda x: (L.matrix_norm(x, "nuc"), L.matrix_norm(x, 2)), ((3, 2),)),
    "cond": (lambda x: (L.cond(x), L.cond(x, 1) if x.shape[-1] == x.shape[-2] else L.cond(x)), ((2, 3),)),
    "pinv": (L.pinv, ((3, 2),)),
    "lstsq": (lambda a, b: L.lstsq(a, b).solution, ((4, 2), (4, 2))),
    "lstsq, gels": (lambda a, b: L.lstsq(a, b, driver="gels").solution, ((2, 4), (2, 1))),
    "tensorsolve": (lambda a, b: L.tensorsolve(a.reshape(2, 3, 6), b.reshape(2, 3)), ((6, 6), (6,))),
    "eigvals": (lambda x: L.eigvals(x).abs().sort()[0], ((3, 3),)),
}  # fmt: skip


def made(shapes: Any, dtype: Any) -> list[Any]:
    out = []
    for shape in shapes:
        x = RNG.normal(size=shape)
        out.append((x + 1j * RNG.normal(size=shape) if dtype is complex else x) + 0.0)
    return out


def loss(fun: Any, weights: list[Any], xs: Any) -> Any:
    """A real number made of all results."""
    found = fun(*xs)
    ys = [found] if isinstance(found, tg.Tensor) else list(found)
    while len(weights) < len(ys):
        weights.append(tensor(RNG.normal(size=tuple(ys[len(weights)].shape))))
    return sum((as_real(y) * w).sum() for y, w in zip(ys, weights, strict=True))


def as_real(y: Any) -> Any:
    return y.real + 0.3 * y.imag if y.dtype.is_complex else y


def check(name: str, fun: Any, arrays: list[Any], tight: float = 1e-6) -> None:
    """Compare gradients, tangents and the gradient of the gradient with differences in one direction."""
    weights: list[Any] = []
    vs = [RNG.normal(size=x.shape) * (1 if x.dtype.kind == "f" else 1 + 1j) for x in arrays]
    us = [tensor(RNG.normal(size=x.shape)) for x in arrays]

    def at(step: float) -> list[Any]:
        # not contiguous, and no leaf
        leaves = [
            tensor(np.ascontiguousarray(np.swapaxes(x + step * v, -1, 0))).requires_grad_()
            for x, v in zip(arrays, vs, strict=True)
        ]
        return [y.transpose(-1, 0) * 1.0 for y in leaves]

    def first(xs: list[Any], graph: bool = False) -> Any:
        return tg.autograd.grad(loss(fun, weights, xs), xs, create_graph=graph)

    def inner(gs: Any) -> Any:
        return sum((as_real(g) * u).sum() for g, u in zip(gs, us, strict=True))

    def along(gs: Any) -> float:
        return sum(float((g.conj() * tensor(v)).sum().real) for g, v in zip(gs, vs, strict=True))

    here, high, low = at(0), at(STEP), at(-STEP)
    ends = [float(loss(fun, weights, xs)) for xs in (high, low)]
    want = (ends[0] - ends[1]) / (2 * STEP)
    got = along(first(here))
    assert got == pytest.approx(want, rel=tight, abs=tight), f"{name}: gradient"
    _, tangent = tg.func.jvp(
        lambda *xs: loss(fun, weights, xs), tuple(map(tensor, arrays)), tuple(map(tensor, vs))
    )
    assert float(tangent) == pytest.approx(got, rel=1e-9, abs=1e-9), f"{name}: tangent"
    second = tg.autograd.grad(inner(first(here, True)), here, allow_unused=True)
    ends = [float(inner(first(xs))) for xs in (high, low)]
    want = (ends[0] - ends[1]) / (2 * STEP)
    got = along([tg.zeros_like(x) if g is None else g for g, x in zip(second, here, strict=True)])
    assert got == pytest.approx(want, rel=1e-4, abs=1e-4), f"{name}: second derivative"


def test_real_matrices() -> None:
    for name, (fun, shapes) in CASES.items():
        check(name, fun, made(shapes, float))


def test_complex_matrices() -> None:
    for name in (
        "cholesky", "solve, right", "inv", "lu_solve", "lu, tall", "lu, wide", "solve_triangular", "det",
        "slogdet", "qr", "qr, tall", "qr, wide", "ormqr", "eigh", "svd, tall", "svd, wide", "pinv", "eigvals",
    ):  # fmt: skip
        fun, shapes = CASES[name]
        check(name, fun, made(shapes, complex))


def test_batches() -> None:
    """A batch of matrices has the results of each, by their own batches and under vmap."""
    for name in (
        "cholesky",
        "lu_solve",
        "lu, wide",
        "qr",
        "ormqr",
        "eigh",
        "svd, tall",
        "pinv",
        "eigvals",
    ):
        fun, shapes = CASES[name]
        arrays = [tensor(np.stack([RNG.normal(size=s) for _ in range(3)])) for s in shapes]

        def gradient(*xs: Any, fun: Any = fun) -> Any:
            found = fun(*xs)
            ys = [found] if isinstance(found, tg.Tensor) else found
            return sum((as_real(y) ** 2).sum() for y in ys)

        grad = tg.func.grad(gradient, argnums=tuple(range(len(shapes))))
        together = tg.vmap(grad)(*arrays)
        for i in range(3):
            alone = grad(*(x[i] for x in arrays))
            for a, b in zip(alone, together, strict=True):
                np.testing.assert_allclose(
                    a.numpy(), b[i].numpy(), rtol=1e-7, atol=1e-7, err_msg=name
                )


def test_empty_matrices_and_batches() -> None:
    for shape in ((0, 0), (0, 3, 3), (2, 0, 0)):
        x = tensor(np.zeros(shape)).requires_grad_()
        for fun in (L.inv, L.det, L.slogdet, L.eigh, L.svd, L.qr, L.lu, L.cholesky, L.pinv, L.eig):
            found = fun(x)
            ys = [found] if isinstance(found, tg.Tensor) else found
            total = sum(as_real(y).sum() for y in ys)
            if total.requires_grad:
                assert tg.autograd.grad(total, x)[0].shape == x.shape


# -- where values coincide -------------------------------------------------------------------------


def test_repeated_eigenvalues() -> None:
    q = np.linalg.qr(RNG.normal(size=(5, 5)))[0]
    for w in ([1.0, 1, 1, 1, 1], [1.0, 1, 2, 2, 3], [0.0, 0, 0, 1, 1]):
        a = (q * np.array(w)) @ q.T
        x = tensor(a).requires_grad_()
        # a function of all eigenvalues alike: the gradient is a function of the matrix
        (g,) = tg.autograd.grad((L.eigvalsh(x) ** 3).sum(), x)
        np.testing.assert_allclose(g.numpy(), 3 * a @ a, atol=1e-12)
        # the projection onto the vectors of the largest eigenvalues does not depend on their choice
        k = w.count(max(w))
        top = (L.eigh(x).eigenvectors[:, -k:] @ L.eigh(x).eigenvectors[:, -k:].mT)[0, 1]
        (g,) = tg.autograd.grad(top, x)
        assert np.isfinite(g.numpy()).all()
        if k < 5:
            v = RNG.normal(size=(5, 5))
            v = v + v.T

            def projected(step: float, a: Any = a, v: Any = v, k: int = k) -> float:
                u = np.linalg.eigh(a + step * v)[1][:, -k:]
                return float((u @ u.T)[0, 1])

            want = (projected(1e-6) - projected(-1e-6)) / 2e-6
            assert float((g * tensor(v)).sum()) == pytest.approx(want, rel=1e-5, abs=1e-7)


def test_repeated_singular_values() -> None:
    """The nuclear norm of an orthogonal matrix: its gradient is the matrix, and that has a derivative."""
    q = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
    v = RNG.normal(size=(4, 4))
    x = tensor(2 * q).requires_grad_()
    (g,) = tg.autograd.grad(L.matrix_norm(x, "nuc"), x, create_graph=True)
    np.testing.assert_allclose(g.detach().numpy(), q, atol=1e-12)
    (h,) = tg.autograd.grad((g * tensor(v)).sum(), x)

    def polar(step: float) -> Any:
        u, _, vh = np.linalg.svd(2 * q + step * v)
        return u @ vh

    want = ((polar(1e-6) - polar(-1e-6)) / 2e-6 * v).sum()
    assert float((h * tensor(v)).sum()) == pytest.approx(want, rel=1e-6)
    rank_one = tensor(np.outer([1.0, 2, 3], [1.0, -1])).requires_grad_()
    for loss_of in (lambda u, s, vh: s.sum(), lambda u, s, vh: (u[:, :1] @ vh[:1])[0, 0]):
        (g,) = tg.autograd.grad(loss_of(*L.svd(rank_one, False)), rank_one)
        assert np.isfinite(g.numpy()).all()


def test_determinants_of_singular_matrices() -> None:
    """The derivative of a determinant is a polynomial: of rank n - 1 and less it is right, twice."""
    for n in (2, 3, 5):
        for rank in range(n):
            a = RNG.normal(size=(n, rank)) @ RNG.normal(size=(rank, n))
            v = RNG.normal(size=(n, n))
            x = tensor(a).requires_grad_()
            (g,) = tg.autograd.grad(L.det(x), x, create_graph=True)
            cofactors = [
                [
                    (-1) ** (i + j) * np.linalg.det(np.delete(np.delete(a, i, 0), j, 1))
                    for j in range(n)
                ]
                for i in range(n)
            ]
            np.testing.assert_allclose(g.detach().numpy(), cofactors, rtol=1e-6, atol=1e-9)
            (h,) = tg.autograd.grad((g * tensor(v)).sum(), x)

            def along(step: float, a: Any = a, v: Any = v) -> float:
                y = tensor(a + step * v).requires_grad_()
                return float((tg.autograd.grad(L.det(y), y)[0] * tensor(v)).sum())

            want = (along(1e-5) - along(-1e-5)) / 2e-5
            assert float((h * tensor(v)).sum()) == pytest.approx(want, rel=1e-4, abs=1e-6), (
                n,
                rank,
            )


def coefficients(a: Any, v: Any) -> Any:
    """The polynomial det(a + t v), from the lowest power on."""
    n = len(a)
    ts = np.arange(n + 1) - n / 2
    return np.linalg.solve(np.vander(ts, increasing=True), [np.linalg.det(a + t * v) for t in ts])


@pytest.mark.every_host
def test_determinants_whose_values_are_not_read(device: str) -> None:
    """In a batch of vmap, or on a GPU, singular matrices and others have second derivatives together."""
    for n, kind in ((2, float), (3, float), (4, float), (3, complex)):
        matrices, v = [], made([(n, n)], kind)[0]
        for rank in (n, n - 1, n - 2):
            left, right = made([(n, rank), (rank, n)], kind)
            matrices.append(left @ right)
        wide = np.complex128 if kind is complex else np.float64
        narrow = np.complex64 if kind is complex else np.float32
        dtype, near = (wide, 1e-6) if device == "cpu" else (narrow, 2e-4)
        step = tg.tensor(v.astype(dtype), device=device)

        def along(f: Any, step: Any = step) -> Any:
            return lambda x: tg.func.jvp(f, (x,), (step,))[1]

        xs = tg.tensor(np.stack(matrices).astype(dtype), device=device)
        want = np.stack([coefficients(a, v) for a in matrices])
        scale = np.abs(want).max()
        second = tg.vmap(along(along(L.det)))(xs).numpy() / 2
        np.testing.assert_allclose(second, want[:, 2], atol=near * scale)
        if kind is float:
            reverse = along(lambda x, step=step: (tg.func.grad(L.det)(x) * step).sum())
            np.testing.assert_allclose(
                tg.vmap(reverse)(xs).numpy() / 2, want[:, 2], atol=near * scale
            )
            twice = tg.func.grad(lambda x, step=step: (tg.func.grad(L.det)(x) * step).sum())
            got = (tg.vmap(twice)(xs) * step).sum((-2, -1)).numpy() / 2
            np.testing.assert_allclose(got, want[:, 2], atol=near * scale)
        if n == 3:
            third = tg.vmap(along(along(along(L.det))))(xs).numpy() / 6
            np.testing.assert_allclose(third[0], want[0, 3], rtol=1e3 * near, atol=near * scale)
            assert np.isnan(third[1:]).all()


def test_pinv_and_lstsq_of_deficient_rank() -> None:
    """The derivative is that of matrices of the same rank: along changes that keep it."""
    left, right = RNG.normal(size=(5, 2)), RNG.normal(size=(2, 3))
    dl, dr = RNG.normal(size=(5, 2)), RNG.normal(size=(2, 3))
    b = RNG.normal(size=(5, 2))

    def at(step: float) -> Any:
        return (left + step * dl) @ (right + step * dr)

    da = tensor(dl @ right + left @ dr)
    for fun, plain in (
        (lambda x: L.pinv(x), lambda a: np.linalg.pinv(a)),
        (lambda x: L.lstsq(x, tensor(b)).solution, lambda a: np.linalg.pinv(a) @ b),
    ):
        want = (plain(at(1e-6)) - plain(at(-1e-6))) / 2e-6
        _, got = tg.func.jvp(fun, (tensor(at(0)),), (da,))
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-5, atol=1e-7)


# -- what has no derivative ------------------------------------------------------------------------


def test_what_is_refused() -> None:
    x = tensor(RNG.normal(size=(3, 2))).requires_grad_()
    with pytest.raises(
        GradientError, match="not differentiable when mode='complete' and nrows > ncols"
    ):
        tg.autograd.grad(L.qr(x, "complete").R.sum(), x)
    with pytest.raises(GradientError, match="geqrf"):
        tg.autograd.grad(tg.geqrf(x).a.sum(), x)
    z = tensor(RNG.normal(size=(3, 3)) + 1j * RNG.normal(size=(3, 3))).requires_grad_()
    for fun in (lambda: L.eigh(z @ z.mH)[1], lambda: L.svd(z)[0], lambda: L.eig(z)[1]):
        with pytest.raises(GradientError, match="specified up to multiplication by e"):
            tg.autograd.grad(fun().imag.sum(), z)

"""Derivatives where eigenvalues or singular values coincide: exact, or nan where they can't be known.

Each loss here does not depend on the choice of vectors, and is written a second time as products, inverses and
iterations of these, which have derivatives everywhere. The two are compared in every order of modes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

import tabgrad as tg
from tests.grouped import grouped

L, F = tg.linalg, tg.func
Loss = Callable[[Any], Any]


# -- losses, each in two forms ---------------------------------------------------------------------


class Pair(NamedTuple):
    """A loss by decomposition and by products, and the orders in which the former must not be nan."""

    loss: Loss
    exact: Loss
    known: str


def real(x: Any) -> Any:
    return x.real if x.dtype.is_complex else x


def trace(x: Any) -> Any:
    return real(x.diagonal(0, -2, -1)).sum(-1)


def hermitian(x: Any) -> Any:
    return (x + x.mH) / 2


def sign(x: Any) -> Any:
    """The matrix with eigenvalues 1 and -1, by Newton's iteration."""
    x = x / 4
    for _ in range(12):
        x = (x + L.inv(x)) / 2
    return x


def polar(x: Any) -> Any:
    for _ in range(8):
        x = (x + L.inv(x).mH) / 2
    return x


VALUES = "rev fwd fwdrev fwdfwd hessian vmap linear compiled scan"
MATRIX = "fwd"
SPACE = "rev fwd fwdrev hessian vmap compiled scan"
ALL = f"{VALUES} revrev revfwd"


def of_eigenvalues(w: list[float], weight: Any) -> dict[str, Pair]:
    def by_matrix(x: Any) -> Any:
        values, v = L.eigh(hermitian(x))
        return trace(weight @ (v * values.unsqueeze(-2) ** 3) @ v.mH)

    def space(x: Any) -> Any:
        v = L.eigh(hermitian(x)).eigenvectors[..., -w.count(w[-1]) :]
        return trace(weight @ v @ v.mH)

    def space_by_sign(x: Any) -> Any:
        one = tg.eye(len(w), dtype=x.dtype, device=x.device)
        return trace(weight @ (sign(hermitian(x) - (w[-1] - 0.5) * one) + one)) / 2

    def cube(x: Any) -> Any:
        return hermitian(x) @ hermitian(x) @ hermitian(x)

    found = {
        "trace": Pair(lambda x: L.eigvalsh(hermitian(x)).sum(-1), lambda x: trace(hermitian(x)), ALL),
        "values": Pair(lambda x: (L.eigvalsh(hermitian(x)) ** 3).sum(-1), lambda x: trace(cube(x)), VALUES),
        "function": Pair(by_matrix, lambda x: trace(weight @ cube(x)), MATRIX),
    }  # fmt: skip
    if w[0] != w[-1]:
        found["space"] = Pair(space, space_by_sign, SPACE)
    return found


def of_singular_values(s: list[float], m: int, n: int, weight: Any) -> dict[str, Pair]:
    def product(x: Any) -> Any:
        u, values, vh = L.svd(x, full_matrices=False)
        return trace(weight @ (u * values.unsqueeze(-2)) @ vh)

    def left(x: Any) -> Any:
        u, values, _ = L.svd(x, full_matrices=False)
        return trace(weight.mH @ weight @ (u * values.unsqueeze(-2) ** 2) @ u.mH)

    def turned(x: Any) -> Any:
        u, _, vh = L.svd(x, full_matrices=False)
        return trace(weight @ u @ vh)

    fourth = Pair(
        lambda x: (L.svdvals(x) ** 4).sum(-1), lambda x: trace(x @ x.mH @ x @ x.mH), "rev fwd vmap"
    )
    found = {
        "squares": Pair(lambda x: (L.svdvals(x) ** 2).sum(-1), lambda x: trace(x @ x.mH), "rev fwd"),
        "fourth powers": fourth._replace(known=VALUES) if m == n or min(s) > 0 else fourth,
        "U S² Uᴴ": Pair(left, lambda x: trace(weight.mH @ weight @ x @ x.mH), ""),
        "product": Pair(product, lambda x: trace(weight @ x), MATRIX if m == n or min(s) > 0 else ""),
    }  # fmt: skip
    if m == n and min(s) > 0:
        found["polar factor"] = Pair(turned, lambda x: trace(weight @ polar(x)), SPACE)
        found["nuclear norm squared"] = Pair(
            lambda x: L.matrix_norm(x, "nuc") ** 2, lambda x: trace(polar(x).mH @ x) ** 2, ALL
        )
    return found


# -- orders of modes -------------------------------------------------------------------------------


def along(loss: Loss, direction: Any) -> Loss:
    """The derivative of a loss in one direction, by reverse mode."""
    return lambda x: real(F.grad(loss)(x).conj() * direction).sum()


def pushed(fun: Loss, direction: Any) -> Loss:
    return lambda x: F.jvp(fun, (x,), (direction,))[1]


def scanned(loss: Loss) -> Loss:
    """A loss inside of a program that is differentiated as a whole."""

    def run(x: Any) -> Any:
        start = real(x[..., 0, 0]) * 0
        return F.scan(lambda c, _: (c + loss(x), c), start, tg.zeros(1, device=x.device))[0]

    return run


ORDERS: dict[str, Callable[[Loss, Any, Any], Any]] = {
    "rev": lambda f, x, e: F.grad(f)(x),
    "fwd": lambda f, x, e: pushed(f, e)(x),
    "revrev": lambda f, x, e: F.grad(along(f, e))(x),
    "fwdrev": lambda f, x, e: pushed(F.grad(f), e)(x),
    "revfwd": lambda f, x, e: F.grad(pushed(f, e))(x),
    "fwdfwd": lambda f, x, e: pushed(pushed(f, e), e.mT.mT * 0.5 + x)(x),
    "hessian": lambda f, x, e: (pushed(F.grad(f), e) if x.is_complex() else F.hessian(f))(x),
    "vmap": lambda f, x, e: tg.vmap(F.grad(f))(tg.stack([x, x])),
    "linear": lambda f, x, e: F.linearize(f, x)[1](e),
    "compiled": lambda f, x, e: tg.compile(pushed(F.grad(f), e))(x),
    "scan": lambda f, x, e: F.grad(scanned(f))(x),
}


def check(pair: Pair, order: str, x: Any, direction: Any, tolerance: float) -> None:
    got = ORDERS[order](pair.loss, x, direction).numpy()
    is_known = order in pair.known.split()
    if not is_known and np.isnan(got).all():
        return
    want = ORDERS[order](pair.exact, x, direction).numpy()
    scale = max(1, np.abs(want).max())
    if not is_known:
        # nan is an answer where the derivative can't be known; what isn't nan must be right
        want = np.where(np.isnan(got), np.nan, want)
    np.testing.assert_allclose(got, want, atol=tolerance * scale)


# -- points ----------------------------------------------------------------------------------------


def normal(rng: Any, m: int, n: int, is_complex: bool) -> Any:
    x = rng.normal(size=(m, n))
    return x + 1j * rng.normal(size=(m, n)) if is_complex else x


def unitary(rng: Any, n: int, is_complex: bool) -> Any:
    return np.linalg.qr(normal(rng, n, n, is_complex))[0]


SPECTRA: list[tuple[list[float], int, int, bool]] = [
    ([1.0, 1, 1], 0, 0, False),
    ([0.0, 0], 0, 0, False),
    ([1.0, 1, 2], 0, 0, False),
    ([-1.0, -1, 2, 2, 2, 3], 0, 0, False),
    ([1.0, 2, 2], 0, 0, True),
    ([2.0, 2], 2, 2, False),
    ([0.0, 0], 2, 2, False),
    ([2.0, 1, 1], 4, 3, False),
    ([2.0, 2], 2, 3, False),
    ([2.0, 0], 2, 2, False),
    ([2.0, 0, 0], 3, 3, False),
    ([2.0, 0], 3, 2, False),
    ([2.0, 2, 1], 3, 3, True),
    ([1.0, 0], 2, 2, True),
]


def point(values: list[float], m: int, n: int, is_complex: bool) -> tuple[Any, Any, Any]:
    """A matrix of eigenvalues (if m is 0) or singular values, a direction and a weight, as arrays."""
    rng = np.random.default_rng(len(values) + m)
    size = len(values)
    rows, columns = (m or size), (n or size)
    u = unitary(rng, rows, is_complex)[:, :size]
    v = unitary(rng, columns, is_complex)[:, :size] if m else u
    if len(set(values)) == 1 and rows == columns:
        # no rounding at all
        u = v = np.eye(size, dtype=u.dtype)
    weight = normal(rng, columns, rows, is_complex)
    weight = weight if m else weight + weight.conj().T
    return (u * np.array(values)) @ v.conj().T, normal(rng, rows, columns, is_complex), weight


def cases(spectra: Any) -> Iterator[tuple[Any, str, str]]:
    for spectrum in spectra:
        values, m, n, _ = spectrum
        for name in of_singular_values(values, m, n, 1) if m else of_eigenvalues(values, 1):
            for order in ORDERS:
                if order in ("compiled", "scan") and spectrum not in (SPECTRA[2], SPECTRA[-2]):
                    continue
                yield spectrum, name, order


def checked(spectrum: Any, name: str, order: str, device: str, tolerance: float) -> None:
    values, m, n, is_complex = spectrum
    narrow = np.complex64 if is_complex else np.float32
    x, direction, weight = (
        tg.tensor(a if device == "cpu" else a.astype(narrow), device=device)
        for a in point(*spectrum)
    )
    pairs = of_singular_values(values, m, n, weight) if m else of_eigenvalues(values, weight)
    check(pairs[name], order, x, direction, tolerance)


def described(case: Any) -> str:
    (values, m, n, is_complex), name, order = case
    return f"{values}, {m} by {n}{', complex' if is_complex else ''}: {name}: {order}"


@grouped("spectrum, name, order", cases(SPECTRA), ids=described, size=200)
def test_exact_or_nan(spectrum: Any, name: str, order: str) -> None:
    checked(spectrum, name, order, "cpu", 1e-7)


def device_cases() -> Iterator[Any]:
    chosen = {"rev", "fwd", "fwdrev", "revrev"}
    for case in cases([([1.0, 1, 2], 0, 0, False), ([2.0, 2], 2, 2, False)]):
        if case[2] in chosen and case[1] in (
            "values",
            "function",
            "space",
            "fourth powers",
            "product",
        ):
            yield case


@pytest.mark.every_host
@grouped("spectrum, name, order", device_cases(), ids=described)
def test_exact_or_nan_on_devices(spectrum: Any, name: str, order: str, device: str) -> None:
    checked(spectrum, name, order, device, 2e-3)


# -- one by one ------------------------------------------------------------------------------------


def function(x: Any) -> Any:
    w, v = L.eigh(hermitian(x))
    return (v * w.exp().unsqueeze(-2)) @ v.mH


def test_a_batch_where_one_is_unknown() -> None:
    """The others of the batch have their derivatives."""
    one = tg.eye(2, dtype=tg.float64, device="cpu")
    other = tg.tensor([[1.0, 0.5], [0.5, 2.0]], dtype=tg.float64, device="cpu")

    def by_singular_values(a: Any) -> Any:
        u, s, vh = L.svd(a)
        return (u * s.unsqueeze(-2)) @ vh

    for fun in (function, by_singular_values):
        grad = F.grad(lambda a, fun=fun: fun(a)[..., 0, 1].sum())
        got = grad(tg.stack([one, other])).numpy()
        assert np.isnan(got[0]).any()
        np.testing.assert_allclose(got[1], grad(other).numpy(), atol=1e-12)
        np.testing.assert_array_equal(tg.vmap(grad)(tg.stack([one, other])).numpy(), got)


def test_nearly_equal_values() -> None:
    """Values that differ by less than rounding have no gap; forward mode is right all the same."""
    for last in (1 + 1e-7, 1 + 1e-6, 1 + 1e-3):
        a = tg.diag(tg.tensor([1.0, last, 2.0], device="cpu"))
        step = tg.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, 0]], device="cpu")
        got = F.jvp(function, (a,), (step,))[1]
        np.testing.assert_allclose(got[0, 1].numpy(), np.exp(1.0), rtol=2e-3)
        back = F.grad(lambda x: function(x)[0, 1])(a)[0, 1].numpy()
        assert np.isnan(back) or abs(back - np.exp(1.0) / 2) < 2e-3


def test_primal_of_forward_mode() -> None:
    """The vectors that forward mode chooses are vectors of the matrix."""
    x = tg.diag(tg.tensor([2.0, 2.0, 1.0], dtype=tg.float64, device="cpu"))
    step = tg.tensor([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=tg.float64, device="cpu")
    (w, v), (dw, dv) = F.jvp(lambda a: tuple(L.eigh(a)), (x,), (step,))
    np.testing.assert_allclose((v * w @ v.mT).numpy(), x.numpy(), atol=1e-14)
    np.testing.assert_allclose(dw.numpy(), [0, -1, 1], atol=1e-14)
    moved = (v + 1e-6 * dv) * (w + 1e-6 * dw) @ (v + 1e-6 * dv).mT
    np.testing.assert_allclose(moved.numpy(), (x + 1e-6 * step).numpy(), atol=1e-11)
    (u, s, vh), _ = F.jvp(lambda a: tuple(L.svd(a)), (x,), (step,))
    np.testing.assert_allclose((u * s @ vh).numpy(), x.numpy(), atol=1e-14)


def test_values_of_general_matrices() -> None:
    """A loss of all eigenvalues alike has a derivative at the identity; by vectors it is not known."""
    x = 2 * tg.eye(2, dtype=tg.float64, device="cpu")
    got = F.grad(lambda a: (L.eigvals(a) ** 2).real.sum())(x)
    np.testing.assert_allclose(got.numpy(), 2 * x.numpy())
    y = tg.tensor([[1.0, 2.0], [0.0, 3.0]], dtype=tg.float64, device="cpu")

    def product(a: Any) -> Any:
        w, v = L.eig(a)
        return ((v * w**2) @ L.inv(v)).real[0, 1]

    np.testing.assert_allclose(
        F.grad(product)(y).numpy(), F.grad(lambda a: (a @ a)[0, 1])(y).numpy(), atol=1e-12
    )
    assert np.isnan(F.grad(product)(x).numpy()).all()


def test_matrices_with_too_few_vectors() -> None:
    """A Jordan block has one vector: what goes through an inverse of its vectors is not known."""
    for is_alone in (True, False):
        block = tg.tensor([[1.0, 1.0], [0.0, 1.0]], dtype=tg.float64, device="cpu")
        x = block if is_alone else tg.block_diag(block, tg.ones(1, 1, dtype=tg.float64))
        loss = lambda a: (L.eigvals(a) ** 2).real.sum()  # noqa: E731
        for order in ("rev", "fwd", "fwdrev"):
            assert np.isnan(ORDERS[order](loss, x, tg.ones_like(x)).numpy()).all()

"""Matrices that have no result: what is raised, in whose words, and when on a device that is lazy."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tabgrad as tg

L = tg.linalg
NAN, INF = float("nan"), float("inf")


def zeros(*shape: int, device: Any = "cpu") -> Any:
    return tg.zeros(*shape, device=device)


@pytest.mark.every_host
def test_singular_matrices(device: Any) -> None:
    """The function, the element of the batch and the place are named; without a read nothing is raised."""
    mixed = tg.stack([tg.eye(3, device=device), tg.zeros(3, 3, device=device)])
    minus = tg.stack([tg.eye(2, device=device), -tg.eye(2, device=device)])
    for fun, said in (
        (lambda: L.cholesky(minus), "linalg.cholesky: (Batch element 1): The factorization could not be"),
        (lambda: L.cholesky(minus[1]), "linalg.cholesky: The factorization could not be completed because"),
        (lambda: L.cholesky_ex(minus, check_errors=True).L, "cholesky_ex: (Batch element 1)"),
        (lambda: L.inv(mixed), "linalg.inv: (Batch element 1): The diagonal element 1 is zero"),
        (lambda: L.solve(mixed, mixed[0]), "torch.linalg.solve: (Batch element 1): The solver failed"),
        (lambda: L.solve(mixed[1], mixed[0, 0]), "torch.linalg.solve: The solver failed because"),
        (lambda: L.lu_factor(mixed[1]).LU, "torch.linalg.lu_factor: U[1,1] is zero and using it on"),
        (lambda: L.matrix_power(mixed[1], -1), "linalg.inv: The diagonal element 1 is zero"),
    ):  # fmt: skip
        with pytest.raises(L.LinAlgError, match=re.escape(said)):
            float(fun().sum())
    # what does not raise says it in info
    assert L.cholesky_ex(minus).info.tolist() == [0, 1]
    assert L.inv_ex(mixed).info.tolist() == [0, 1]
    assert L.solve_ex(mixed, mixed[0]).info.tolist() == [0, 1]
    assert L.lu_factor_ex(mixed).info.tolist() == [0, 1]
    assert L.lu(mixed).U[1].abs().sum().item() == 0
    assert L.cholesky_ex(minus).L[0].tolist() == [[1, 0], [0, 1]]
    assert L.det(mixed).tolist() == [1, 0]
    assert L.slogdet(mixed).logabsdet.tolist() == [0, -INF]


def test_compiled_programs_check_each_call() -> None:
    solve = tg.compile(lambda a, b: L.solve(a, b).sum())
    one = tg.eye(2, device="cpu")
    for _ in range(3):
        assert solve(one, one).item() == 2
    with pytest.raises(L.LinAlgError, match="singular"):
        solve(0 * one, one).item()


def test_numbers_that_are_not_finite() -> None:
    bad = tg.full((2, 2, 2), NAN, device="cpu")
    for fun in (L.svd, L.svdvals, L.eigh, L.eigvalsh, L.pinv, L.matrix_rank, L.eig, L.eigvals):
        with pytest.raises(L.LinAlgError, match=r"Batch element 0.*(finite|infs or NaNs)"):
            fun(bad)
    for fun in (L.inv, L.det, lambda x: L.qr(x).R.triu(), lambda x: L.solve(x, x)):
        found = fun(bad)
        assert found.isnan().any().item()
    with pytest.raises(L.LinAlgError, match="minor of order 1"):
        L.cholesky(bad)
    half = tg.stack([tg.eye(2, device="cpu"), bad[0]])
    with pytest.raises(L.LinAlgError, match="Batch element 1"):
        L.svd(half)


def test_arguments_that_do_not_fit() -> None:
    a, w, vector = tg.eye(3, device="cpu"), zeros(3, 2), zeros(3)
    whole, half, wide = a.int(), a.half(), a.double()
    square = (
        L.cholesky, L.cholesky_ex, L.det, L.eig, L.eigh, L.eigvals, L.eigvalsh, L.inv, L.inv_ex, L.slogdet,
        tg.cholesky, tg.logdet, tg.cholesky_inverse, L.matrix_exp,
    )  # fmt: skip
    for fun in square:
        with pytest.raises(
            RuntimeError, match="must be batches of square matrices, but they are 3 by 2"
        ):
            fun(w)
    for fun in (*square, L.qr, L.svd, L.svdvals, L.matrix_rank):
        with pytest.raises(RuntimeError, match="must have at least 2 dimensions"):
            fun(vector)
        with pytest.raises(
            RuntimeError, match="Expected a floating point or complex tensor as input"
        ):
            fun(whole)
        if fun is not L.matrix_exp:
            with pytest.raises(RuntimeError, match="Low precision dtypes not supported"):
                fun(half)
    ints = tg.ones(3, dtype=tg.int32, device="cpu")
    for call, said in (
        (lambda: L.solve(a, zeros(4, 2)), r"Incompatible shapes of A and B for the equation AX = B \(3x3"),
        (lambda: L.solve(a, zeros(4)), r"equation AX = B \(3x3 and 4x1\)"),
        (lambda: L.solve(a, wide), "Expected A and B to have the same dtype, but found A of type Float and B"),
        (lambda: L.solve_triangular(a, vector, upper=True), "B must have at least 2 dimensions"),
        (lambda: L.solve_triangular(a, w, upper=True, left=False), "for the equation XA = B"),
        (lambda: L.lu_solve(a, vector, w), "pivots should be a Tensor of scalar type torch.int32"),
        (lambda: L.lu_solve(a, ints[:2], w), "Number of pivots per batch should be same as the dimension"),
        (lambda: L.lu_solve(a, ints + 7, w), "index 7 is out of bounds"),
        (lambda: tg.lu_unpack(a, vector), "LU_pivots is expected to be a contiguous tensor of torch.int32"),
        (lambda: L.lu(a, pivot=False), "LU without pivoting is not implemented"),
        (lambda: L.qr(a, "x"), "qr received unrecognized mode 'x' but expected one of 'reduced'"),
        (lambda: L.eigh(a, "X"), "Expected UPLO argument to be 'L' or 'U', but got X"),
        (lambda: L.svd(a, driver="gesvd"), "keyword argument `driver=` is only supported on CUDA inputs"),
        (lambda: L.lstsq(a, a, driver="x"), r"should be one of \(gels, gelsy, gelsd, gelss\)"),
        (lambda: L.lstsq(w, zeros(2, 2)), r"input.size\(-2\) should match other.size\(-2\)"),
        (lambda: L.lstsq(w, w, driver="gels"), "does not have full rank"),
        (lambda: L.cond(a, 3), "linalg.cond got an invalid norm type: 3"),
        (lambda: L.cond(w, 1), r"linalg.cond\(ord=1\): A must be batches of square matrices"),
        (lambda: L.pinv(vector), "expected a tensor with 2 or more dimensions of float, double, cfloat"),
        (lambda: L.matrix_rank(a, atol=tg.tensor(1j, device="cpu")), "atol tensor of complex type"),
        (lambda: L.tensorinv(a, 0), "Expected a strictly positive integer for 'ind', but got 0"),
        (lambda: L.tensorinv(a), r"prod\(self.shape\[ind:\]\) == prod\(self.shape\[:ind\]\), but got 1 != 9"),
        (lambda: L.tensorsolve(a, a), r"prod\(self.shape\[:other.ndim\]\), but got 1 != 9"),
        (lambda: L.householder_product(w.mT, vector), r"input.shape\[-2\] must be greater than or equal"),
        (lambda: L.householder_product(w, zeros(2).double()), "tau dtype Double does not match input dtype"),
        (lambda: tg.ormqr(w, zeros(2), zeros(4, 4)), r"must be equal to input.shape\[-2\]"),
        (lambda: tg.cholesky_solve(zeros(4, 2), a), "each A matrix is 3 by 3 but each b matrix is 4 by 2"),
        (lambda: tg.triangular_solve(zeros(4, 2), a), "each A matrix is 3 by 3 but each b matrix is 4 by 2"),
        (lambda: tg.solve(a, a), "deprecated since version 1.9 and is now removed"),
        (lambda: a.symeig(), "deprecated since version 1.9 and is now removed"),
    ):  # fmt: skip
        with pytest.raises((RuntimeError, IndexError), match=said):
            call()


@pytest.mark.one_host("wgpu")
def test_what_no_kernel_computes_runs_on_the_host_with_one_warning(device: Any) -> None:
    x = tg.tensor([[2.0, 1.0], [0.0, 3.0]], device=device).requires_grad_()
    L.on_host._WARNED.clear()
    with pytest.warns(UserWarning, match="linalg.eigvals: runs on cpu, with NumPy") as told:
        w, _ = [L.eigvals(x) for _ in range(2)]
    assert len(told) == 1
    assert told[0].filename == __file__
    assert w.device.type == x.device.type
    assert sorted(w.real.tolist()) == [2, 3]
    (g,) = tg.autograd.grad(w.real.sum(), x)
    assert g.tolist() == [[1, 0], [0, 1]]


@pytest.mark.one_host("wgpu")
@pytest.mark.filterwarnings("ignore:linalg:UserWarning")
def test_what_runs_on_the_host_does_so_under_transforms(device: Any) -> None:
    """Only the matrices are moved; derivatives and batches are taken where the tensor is."""
    x = np.array([[1.0, 2.0, 0.5], [3.0, 4.0, 1.0], [0.0, 1.0, 2.0]], np.float32)

    def function(a: Any) -> Any:
        w, v = L.eig(a)
        return ((v * (w**2).unsqueeze(-2)) @ L.inv(v)).real[..., 0, 1]

    def symmetric(a: Any) -> Any:
        return L.ldl_solve(*L.ldl_factor(a + a.mT), a)

    for run in (
        tg.func.grad(function),
        tg.func.hessian(function),
        lambda a: tg.func.jvp(function, (a,), (a.mT,))[1],
        lambda a: tg.func.vjp(lambda b: L.eigvals(b).abs().sum(), a)[1](a[0, 0])[0],
        lambda a: tg.vmap(tg.func.grad(function))(tg.stack([a, 2 * a])),
        lambda a: tg.vmap(symmetric)(tg.stack([a, 2 * a])),
    ):
        got, want = (run(tg.tensor(x, device=d)) for d in (device, "cpu"))
        assert got.device.type == device
        np.testing.assert_allclose(got.numpy(), want.numpy(), atol=1e-4)

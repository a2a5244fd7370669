"""Decompositions on CUDA: calls of cuSOLVER and cuBLAS, over a stand-in for CuPy that runs NumPy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.hosts.device import DeviceBackend
from tabgrad.hosts.devices import _DEVICES, Device
from tabgrad.ops import decompositions as ops
from tabgrad_native import cupy_routines
from tabgrad_native.cupy_host import CupyHost
from tests.grouped import grouped
from tests.hosts.cupy_double import Cublas, Cupy, Cusolver
from tests.lower import recorder

KINDS = ("float32", "float64", "complex64", "complex128")
SHAPES = ((5, 5), (3, 4, 4), (2, 1, 1, 1), (7, 3), (2, 3, 7), (80, 80))


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    """Return a CUDA device whose CuPy is this process's memory."""
    patch = pytest.MonkeyPatch()
    cublas = Cublas("cublas")
    for name in ("", ".cuda", ".cuda.libs", ".cuda.libs.cublas"):
        patch.setitem(sys.modules, "cupy_backends" + name, cublas)
    patch.setitem(sys.modules, "cupy_backends.cuda.libs.cusolver", Cusolver("cusolver"))
    where = Device("cuda", 901)
    _DEVICES["cuda", 901] = where
    where._backend = DeviceBackend(CupyHost(Cupy()), where)
    yield where
    patch.undo()


def drawn(kind: str, shape: tuple[int, ...], definite: bool = False) -> Any:
    random = np.random.default_rng(sum(shape))
    x = random.normal(size=shape)
    if kind[0] == "c":
        x = x + 1j * random.normal(size=shape)
    if definite:
        x = x @ np.swapaxes(x.conj(), -1, -2) + shape[-1] * np.eye(shape[-1])
    return x.astype(kind)


def agree(found: Any, expected: Any, kind: str) -> None:
    tolerance = 2e-4 if kind in ("float32", "complex64") else 1e-10
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=tolerance, atol=tolerance)


@grouped(
    "op, kind, shape",
    [
        (op, kind, shape)
        for op in ("cholesky", "lu", "geqrf", "qr", "eigh", "svd")
        for kind in KINDS
        for shape in SHAPES
        if op not in ("cholesky", "eigh") or shape[-1] == shape[-2]
    ],
)
def test_it_is_what_the_cpu_gives(
    op: str, kind: str, shape: tuple[int, ...], device: Device
) -> None:
    x = drawn(kind, shape, op == "cholesky")
    declared = getattr(ops, op)
    agree(
        declared.bind(tg.tensor(x, device=device)), declared.bind(tg.tensor(x, device="cpu")), kind
    )


@grouped(
    "kind, upper, unit, shape",
    [
        (kind, upper, unit, shape)
        for kind in KINDS
        for upper in (False, True)
        for unit in (False, True)
        for shape in ((4, 4, 3), (2, 5, 5, 1))
    ],
)
def test_triangles_are_solved(
    kind: str, upper: bool, unit: bool, shape: tuple[int, ...], device: Device
) -> None:
    a = drawn(kind, shape[:-1]) + np.eye(shape[-2], dtype=kind) * 4
    b = drawn(kind, (*shape[:-2], shape[-1]))
    found, expected = (
        ops.triangular_solve.bind(
            tg.tensor(a, device=where), tg.tensor(b, device=where), upper=upper, unit=unit
        )
        for where in (device, "cpu")
    )
    agree([found], [expected], kind)


LINALG: dict[str, Callable[[Any, Any], Any]] = {
    "solve": lambda a, b: tg.linalg.solve(a, b),
    "solve from the right": lambda a, b: tg.linalg.solve(a, b.mT, left=False),
    "inv": lambda a, b: tg.linalg.inv(a) @ b,
    "det": lambda a, b: tg.linalg.det(a),
    "slogdet": lambda a, b: tg.linalg.slogdet(a).logabsdet,
    "cholesky": lambda a, b: tg.linalg.cholesky(a @ a.mT + tg.eye(4, device=a.device)),
    "qr": lambda a, b: tg.linalg.qr(a).R.abs(),
    "eigvalsh": lambda a, b: tg.linalg.eigvalsh(a + a.mT),
    "svdvals": lambda a, b: tg.linalg.svdvals(a),
    "pinv": lambda a, b: tg.linalg.pinv(a),
    "lstsq": lambda a, b: tg.linalg.lstsq(a, b).solution,
    "matrix_rank": lambda a, b: tg.linalg.matrix_rank(a),
    "householder_product": lambda a, b: tg.linalg.householder_product(*tg.geqrf(a)),
    "a part of a transpose": lambda a, b: tg.linalg.qr(a.mT[1:]).Q,
    "values alone": lambda a, b: ops.eigh.bind(a.reshape(1, 4, 4))[0],
    "vectors alone": lambda a, b: ops.svd.bind(a.reshape(2, 2, 4))[2],
}


@grouped("name", list(LINALG))
def test_linalg_is_on_cuda(name: str) -> None:
    """The plans are made and checked; kernels between the calls are printed, and not run."""
    where = recorder.device("cuda", routines=cupy_routines.NAMES)
    a, b = (tg.tensor(drawn("float32", s), device=where) for s in ((4, 4), (4, 2)))
    y = LINALG[name](a, b)
    where.backend.flush()
    assert y.device is where
    plans = [k for entry in where.backend.plans.values() for k in entry.plan.kernels]
    assert any(k.routine for k in plans)


def test_what_fails_is_told(device: Device) -> None:
    bad = np.array(
        [[[1.0, 0], [0, -1]], [[1, 0], [0, 1]], [[np.nan, 0], [0, 1]], [[1, 9], [0, np.inf]]]
    )
    low, info = ops.cholesky.bind(tg.tensor(bad, device=device))
    assert info.tolist() == [2, 0, 1, 2]
    assert np.isnan(low.numpy()).all((1, 2)).tolist() == [True, False, True, True]
    strange = tg.tensor(bad[1:3], device=device)
    for found in (*ops.eigh.bind(strange), *ops.svd.bind(strange)):
        assert [np.isnan(one).all() for one in found.numpy()] == [False, True]
    # what is above the triangle is not read
    w, _ = ops.eigh.bind(tg.tensor([[2.0, float("nan")], [0.0, 1.0]], device=device))
    assert w.tolist() == [1, 2]
    _, pivots, info = ops.lu.bind(tg.tensor([[0.0, 1], [0, 2]], device=device))
    assert (pivots.shape, info.item()) == ((2,), 1)


def test_matrices_without_elements_need_no_call() -> None:
    for shape in ((0, 0), (3, 0, 0), (0, 2, 2)):
        for op in (ops.cholesky, ops.lu, ops.qr, ops.eigh, ops.svd):
            where = recorder.device("cuda", routines=cupy_routines.NAMES)
            found = op.bind(tg.zeros(shape, device=where))
            where.backend.flush()
            assert [y.shape for y in found] == [
                y.shape for y in op.bind(tg.zeros(shape, device="cpu"))
            ]
            plans = [k for entry in where.backend.plans.values() for k in entry.plan.kernels]
            assert not any(k.routine for k in plans)


def test_without_the_library_they_are_refused() -> None:
    where = recorder.device("cuda", routines=("matmul",))
    with pytest.raises(tg.DeviceError, match="is not on this device yet"):
        tg.linalg.qr(tg.zeros(3, 3, device=where))

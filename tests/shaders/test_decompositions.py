"""The kernels of decompositions as they stand in their files, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from tabgrad.lower import library
from tests.shaders import gpu

pytestmark = pytest.mark.one_host("wgpu")


Arrays = dict[str, np.ndarray]


def run(name: str, groups: int, reads: Arrays, writes: Arrays) -> gpu.Program:
    program = gpu.Program({**reads, **writes})
    program.dispatch(
        library.kernel(name).with_blocks({}), (groups, 1, 1), list(reads), list(writes)
    )
    return program


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_cholesky() -> None:
    x = drawn(6, 5, 5)
    a = x @ x.swapaxes(1, 2) + 5 * np.eye(5, dtype=np.float32)
    a[4, 2, 2] = -1
    made = {"l": np.ones_like(a), "info": np.ones(6, np.int32)}
    program = run("cholesky", 2, {"a": a}, made)
    np.testing.assert_array_equal(program.read("info"), [0, 0, 0, 0, 3, 0])
    good = [0, 1, 2, 3, 5]
    np.testing.assert_allclose(program.read("l")[good], np.linalg.cholesky(a[good]), rtol=1e-4)
    assert np.isnan(program.read("l")[4]).all()


def test_triangular() -> None:
    a, b = drawn(5, 6, 6) + 3 * np.eye(6, dtype=np.float32), drawn(5, 6, 7)
    program = run("triangular", 6, {"a": a, "b": b}, {"x": np.zeros_like(b)})
    np.testing.assert_allclose(program.read("x"), np.linalg.solve(np.tril(a), b), atol=1e-5)


def test_lu() -> None:
    a = drawn(5, 6, 4)
    a[2, :, 1] = 0
    made = {"a": a, "pivots": np.zeros((5, 4), np.int32), "info": np.ones(5, np.int32)}
    program = run("lu", 3, {}, made)
    np.testing.assert_array_equal(program.read("info"), [0, 0, 2, 0, 0])
    for packed, pivots, wanted in zip(program.read("a"), program.read("pivots"), a, strict=True):
        rows = wanted.copy()
        for k, other in enumerate(pivots):
            rows[[k, other - 1]] = rows[[other - 1, k]]
        low = np.tril(packed, -1) + np.eye(6, 4)
        np.testing.assert_allclose(low @ np.triu(packed)[:4], rows, atol=1e-5)


def test_swaps() -> None:
    a, pivots = drawn(2, 5, 7), np.array([[5, 4], [2, 5]], np.int32)
    program = run("swaps", 2, {"pivots": pivots}, {"a": a})
    wanted = a.copy()
    outside = [0, 3, 4, 5, 6]
    for b, swaps in enumerate(pivots):
        for k, other in enumerate(swaps):
            rows = wanted[b][:, outside]
            rows[[k + 1, other - 1]] = rows[[other - 1, k + 1]]
            wanted[b][:, outside] = rows
    np.testing.assert_array_equal(program.read("a"), wanted)


def test_reflections() -> None:
    a = drawn(5, 6, 4)
    made = {
        name: np.zeros(shape, np.float32) for name, shape in (("tau", (5, 4)), ("r", (5, 4, 4)))
    }
    program = run("reflections", 3, {}, {"q": np.zeros_like(a), "a": a, **made})
    q, r = np.linalg.qr(a)
    np.testing.assert_allclose(program.read("q"), q, atol=1e-5)
    np.testing.assert_allclose(program.read("r"), r, atol=1e-5)
    tau = np.array([np.linalg.qr(one, "raw")[1] for one in a])
    np.testing.assert_allclose(program.read("tau"), tau, atol=1e-5)


def test_jacobi() -> None:
    a = drawn(5, 6, 6)
    a = np.tril(a) + np.tril(a, -1).swapaxes(1, 2)
    made = {"q": np.zeros((5, 8, 8), np.float32), "values": np.zeros((5, 6), np.float32)}
    program = run("jacobi", 3, {"source": a}, {**made, "flags": np.zeros(5, np.int32)})
    q, values = program.read("q")[:, :6, :6], program.read("values")
    np.testing.assert_allclose(a @ q, q * values[:, None], atol=1e-5)
    np.testing.assert_allclose(np.sort(values), np.linalg.eigvalsh(a), atol=1e-5)
    assert not program.read("flags").any()


def test_rotate() -> None:
    q, x, s = drawn(3, 8, 8), drawn(3, 9, 7), drawn(3, 7, 7)
    program = run("rotate", 6, {"q": q}, {"x": x, "s": s})
    part = q[:, :7, :7]
    np.testing.assert_allclose(program.read("x"), x @ part, atol=1e-4)
    np.testing.assert_allclose(program.read("s"), part.swapaxes(1, 2) @ s @ part, atol=1e-3)


def test_order() -> None:
    values, x, failed = drawn(3, 5), drawn(3, 4, 5), np.array([0, 1, 0], np.int32)
    made = {"sorted": np.zeros((3, 5), np.float32), "out": np.zeros((3, 4, 5), np.float32)}
    program = run("order", 1, {"values": values, "x": x, "failed": failed}, made)
    order = np.argsort(values)
    np.testing.assert_array_equal(program.read("sorted")[::2], np.sort(values)[::2])
    wanted = np.take_along_axis(x, order[:, None], -1)
    np.testing.assert_array_equal(program.read("out")[::2], wanted[::2])
    assert np.isnan(program.read("out")[1]).all()

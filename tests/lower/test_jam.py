"""Rows on a software adapter: several in one thread, and loads of four elements at a time."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.lower import jam
from tabgrad.lower.tokens import Size
from tests.grouped import grouped
from tests.lower import recorder

Function = Callable[..., Any]

CASES: dict[str, tuple[Function, tuple[tuple[int, ...], ...]]] = {
    "matrix times vector": (lambda x, v: x @ v, ((516, 68), (68,))),
    "rows left over": (lambda x, v: x @ v, ((515, 68), (68,))),
    "rows that begin anywhere": (lambda x, v: x @ v, ((520, 67), (67,))),
    "vector times matrix": (lambda v, x: v @ x, ((37,), (37, 516))),
    "columns left over": (lambda v, x: v @ x, ((40,), (40, 517))),
    "transposed": (lambda x, v: x.mT @ v, ((33, 516), (33,))),
    "batched": (lambda x, v: x @ v, ((9, 64, 68), (9, 68, 1))),
    "one vector for all": (lambda x, v: x @ v, ((9, 61, 68), (68, 1))),
    "a part of a matrix": (lambda x, v: x[2:, 4:72] @ v, ((518, 76), (68,))),
    "sum of columns": (lambda x: x.sum(0), ((50, 700),)),
    "sum of the middle": (lambda x: x.sum(1), ((9, 50, 68),)),
    "mean and variance": (lambda x: x.var(0) + x.mean(0), ((50, 516),)),
    "log-sum-exp": (lambda x: x.logsumexp(0), ((50, 516),)),
    "log-sum-exp of rows": (lambda x: x.logsumexp(1), ((516, 70),)),
    "softmax of columns": (lambda x: x.softmax(0), ((50, 516),)),
    "softmax of rows": (lambda x: x.softmax(1), ((516, 68),)),
    "norm": (lambda x: x.norm(dim=0), ((50, 516),)),
    "normalised rows": (lambda x, w: tg.nn.functional.layer_norm(x, (68,), w), ((516, 68), (68,))),
    "outer differences": (lambda a, b: (a[:, None] - b).abs().amin(1), ((516,), (68,))),
    "complex columns": (lambda x, v: tg.complex(x, v).prod(0).abs(), ((9, 516), (9, 516))),
    "complex rows": (lambda x, v: tg.complex(x, v[None]).sum(1).real, ((516, 68), (68,))),
    "halves": (lambda x: x.half().sum(0).float(), ((50, 516),)),
}


def inputs(shapes: tuple[tuple[int, ...], ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(len(shapes) + sum(shapes[0]))
    return [rng.standard_normal(s).astype(np.float32) for s in shapes]


@pytest.mark.every_host
@grouped("name", list(CASES), sampled=2)
def test_values(name: str, device: tg.device) -> None:
    function, shapes = CASES[name]
    data = inputs(shapes)
    want = function(*[tg.tensor(x.astype(np.float64), device="cpu") for x in data])
    on = [tg.tensor(x, device=device) for x in data]
    got = function(*on)
    close = 3e-3 if name == "halves" else 1e-5
    np.testing.assert_allclose(got.cpu().numpy(), want.numpy(), rtol=close, atol=close)
    again = tg.compile(function)(*on)
    assert tg.equal(got.cpu(), again.cpu())


@pytest.mark.every_host
def test_extremes_and_nans(device: tg.device) -> None:
    x = np.random.default_rng(0).integers(0, 9, (50, 516)).astype(np.float32)
    x[7, 5] = x[9, 5] = np.nan
    for axis in (0, 1):
        y, data = tg.tensor(x, device=device), x if axis == 0 else x.T
        y = y if axis == 0 else y.T.contiguous()
        for call in ("argmax", "argmin"):
            got = getattr(y, call)(axis).cpu().numpy()
            assert np.array_equal(got, getattr(np, call)(data, axis)), (axis, call)
        assert np.array_equal((y > 7).any(axis).cpu().numpy(), (data > 7).any(axis))
        assert np.array_equal(y.amax(axis).cpu().numpy(), data.max(axis), equal_nan=True)


@pytest.mark.every_host
def test_a_matrix_that_is_changed_in_place(device: tg.device) -> None:
    for shape in ((30, 516), (30, 515)):
        x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
        y = tg.tensor(x, device=device)
        y -= y.mean(0)
        y /= y.std(0)
        want = (x - x.mean(0)) / x.std(0, ddof=1)
        np.testing.assert_allclose(y.cpu().numpy(), want, atol=1e-5)


def loads(source: str) -> dict[str, int]:
    """Count the reads of each binding."""
    found: dict[str, int] = {}
    for name in re.findall(r"\b(b\d+)\[[^\]]*\];", source):
        found[name] = found.get(name, 0) + 1
    return found


def test_rows_share_loads_of_four() -> None:
    device = recorder.device()
    x, v = tg.rand(1024, 1024, device=device), tg.rand(1024, device=device)
    device.backend.flush()
    (kernel,) = tg.compiler.explain(x @ v).kernels
    assert kernel.source.count(" = v0_") - 4 == 32, "eight steps of four rows"
    assert loads(kernel.source) == {"b0": 8, "b1": 2}
    (kernel,) = tg.compiler.explain(v @ x).kernels
    assert kernel.source.count(" = v0_") - 4 == 32
    assert loads(kernel.source) == {"b0": 2, "b1": 8}
    (kernel,) = tg.compiler.explain(x.sum(0)).kernels
    assert loads(kernel.source) == {"b0": 8}
    (kernel,) = tg.compiler.explain(x.sum(1)).kernels
    assert loads(kernel.source) == {"b0": 2}, "rows without a load in common are not joined"


def test_a_gpu_has_its_own_kernels() -> None:
    device = recorder.device()
    device.backend.limits.software = False
    x, v = tg.rand(1024, 1024, device=device), tg.rand(1024, device=device)
    device.backend.flush()
    (kernel,) = tg.compiler.explain(x @ v).kernels
    assert "g_four" not in kernel.source


def test_quarters_of_an_index() -> None:
    row = f"g * {Size(64)} + r"
    assert jam.quarter(row, "r", "r_four") == f"g * {Size(16)} + r_four"
    assert jam.quarter(f"{row} + 8u", "r", "r_four", 1) == f"g * {Size(16)} + r_four + 3u"
    assert jam.quarter(f"q1 * {Size(4)} + r", "r", "s") == "q1 + s"
    for other in (
        f"g * {Size(63)} + r",
        f"{row} + 2u",
        "g + r",
        f"r * {Size(4)}",
        f"g * {Size(4)}",
    ):
        assert jam.quarter(other, "r", "r_four") is None


def test_neighbours_divide_once() -> None:
    device = recorder.device()
    a, b, c = (tg.rand(n, device=device) for n in (1024, 1024, 1001))
    device.backend.flush()
    (kernel,) = tg.compiler.explain(a[:, None] + b).kernels
    assert kernel.source.count(" / ") == 1
    assert " % " not in kernel.source
    assert loads(kernel.source) == {"b0": 1, "b1": 8}
    (kernel,) = tg.compiler.explain(a[:, None] + c).kernels
    assert kernel.source.count(" / ") == 1
    assert " % " not in kernel.source


@pytest.mark.parametrize("count", [3, 5, 7])
def test_few_turns_of_long_functions_are_a_loop(count: int) -> None:
    """Mesa's compiler took minutes where three of them were written one after the other."""
    where = recorder.device()
    where.backend.limits.software = True  # type: ignore[attr-defined]
    x = tg.randn(count, device=where)
    first, *_ = tg.compiler.explain(x / x.square().sum().sqrt()).kernels
    _, main = first.source.split("fn main(")
    assert main.count("cos_f32(") == main.count("for (var r: ") == 2

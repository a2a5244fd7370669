"""Long rows and columns: how many workgroups reduce them, and what parts of unequal sizes give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tests.grouped import grouped
from tests.lower import recorder
from tests.lower.forced import Forced, forced

NAN, INF = float("nan"), float("inf")


def grids(code: str, shape: tuple[int, ...], software: bool) -> list[int]:
    """Count the workgroups of each kernel of `code` on a device that plays such an adapter."""
    where: Any = recorder.device()
    where.backend.limits.software = software
    x = tg.rand(*shape, device=where)
    where.backend.flush()
    y = eval(code, {"x": x, "tg": tg})
    where.backend.compute_all([t.value.id for t in (y if isinstance(y, tuple) else (y,))])
    return [int(np.prod(k.grid)) for k in recorder.last_plan(where).kernels]


ROWS: dict[tuple[str, tuple[int, ...]], list[int]] = {
    ("x.sum()", (1000003,)): [1000, 1],
    ("x.sum()", (999983,)): [821, 1],
    ("x.sum()", (300007,)): [419, 1],
    ("x.sum()", (65537,)): [256, 1],
    ("x.sum()", (17 * 58789,)): [719, 1],
    ("x.amax()", (1000003,)): [1000, 1],
    ("x.prod()", (65537,)): [256, 1],
    ("(x * 2 + 1).exp().amax()", (1000003,)): [1000, 1],
    ("x.sum(1)", (7, 100003)): [1750, 7],
    ("x.argmax()", (1000000,)): [1000, 1],
    ("x.argmin()", (1000003,)): [1000, 1],
    ("x.max(1)", (7, 100003)): [1750, 7],
    ("x.sum(0)", (20011, 16)): [2208, 16],
    ("x.sum(0)", (20011, 300)): [816, 300],
    ("x.argmax(0)", (20011, 300)): [816, 300],
    ("x.amax(0)", (1777, 3001)): [751, 47],
    ("x.argmin(0)", (1777, 3001)): [751, 47],
    ("x.sum(1)", (4, 1777, 600)): [900, 38],
    ("tg.var_mean(x, 0)", (1777, 3001)): [751, 47, 751, 47],
}  # fmt: skip
WHOLE = {
    ("tg.softmax(x, 0)", (1777, 3001)): 1,
    ("tg.log_softmax(x, 0)", (1777, 3001)): 1,
    ("x.logsumexp(0)", (1777, 3001)): 1,
    ("tg.softmax(x, 1)", (1777, 3001)): 1,
    ("x.sum(0)", (1000, 3001)): 1,
    ("x.sum(0)", (1777, 20000)): 1,
}
"""What stays one kernel."""


def test_a_gpu_has_a_workgroup_for_each_part() -> None:
    for (code, shape), want in ROWS.items():
        assert grids(code, shape, False) == want, (code, shape)
    for (code, shape), count in WHOLE.items():
        assert len(grids(code, shape, False)) == count, (code, shape)


def test_a_software_adapter_cuts_few_long_rows_but_no_columns() -> None:
    for code, shape in ROWS:
        found = grids(code, shape, True)
        if ("0)" in code and shape != (20011, 16)) or len(shape) == 3:
            assert len(found) == 1, (code, shape)
        else:
            assert len(found) == 2, (code, shape)
            assert found[0] >= 8, (code, shape)
    assert len(grids("x.argmax(1)", (64, 20000), True)) == 1
    normal = "(x - x.mean((0, 2, 3), True)) / x.var((0, 2, 3), keepdim=True)"
    for code, shape in (("tg.log_softmax(x, 1)", (32, 6001)), (normal, (6, 40, 31, 29))):
        assert len(grids(code, shape, True)) == 1, (code, "many rows have a thread each")
    assert len(grids("x.sum(1)", (31, 6001), True)) == 2


@pytest.mark.one_host("wgpu")
@grouped("software", [False, True])
def test_unequal_parts_lose_nothing(software: bool, device: str) -> None:
    """Values at the ends of parts, nans and ties, of rows and of columns."""
    rng = np.random.default_rng(5)
    shapes = ((3, 5003), 1), ((70001,), 0), ((2053, 260), 0), ((2, 1031, 301), 1)
    with forced(device, Forced(0), software):
        for shape, axis in shapes:
            n = shape[axis]
            data = rng.standard_normal(shape).astype(np.float32)
            at = (slice(None),) * axis
            for spot in (0, n // 2, n - 2):
                a = data.copy()
                a[(*at, spot)] = 9
                a[(*at, n - 1)] = 9
                assert_reduced(a, axis, device, (shape, spot))
            data[(*at, 7)] = INF
            data[(*at, n - 1)] = NAN
            data[(*at, n - 3)] = NAN
            assert_reduced(data, axis, device, (shape, "nan"))
            assert_reduced(np.full(shape, -INF, np.float32), axis, device, (shape, "-inf"))


def assert_reduced(a: Any, axis: int, device: str, what: Any) -> None:
    """Compare all reductions of `a` with those of NumPy in float64."""
    x = tg.tensor(a, device=device)
    wide = a.astype(np.float64)
    for name in ("argmax", "argmin"):
        np.testing.assert_array_equal(
            getattr(x, name)(axis).numpy(), getattr(a, name)(axis), f"{name} {what}"
        )
    for name in ("max", "min"):
        np.testing.assert_array_equal(
            getattr(x, "a" + name)(axis).numpy(), getattr(a, name)(axis), f"{name} {what}"
        )
    ours, index = x.max(axis)
    np.testing.assert_array_equal(ours.numpy(), a.max(axis), str(what))
    np.testing.assert_array_equal(index.numpy(), a.argmax(axis), str(what))
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(
            x.sum(axis).numpy(), wide.sum(axis), 1e-5, 2e-3, err_msg=str(what)
        )


@pytest.mark.one_host("wgpu")
@grouped("software", [False, True])
def test_unequal_parts_of_every_dtype(software: bool, device: str) -> None:
    rng = np.random.default_rng(6)
    with forced(device, Forced(0), software):
        for shape, axis in (((2, 5003), 1), ((1031, 300), 0)):
            whole = rng.integers(-9, 10, shape)
            on = tg.tensor(whole, device=device)
            for dtype in (tg.int32, tg.uint8, tg.float16):
                x = on.to(dtype)
                like = np.array(x.cpu().numpy(), np.int64)
                assert x.argmax(axis).tolist() == like.argmax(axis).tolist(), dtype
                assert x.amin(axis).tolist() == like.min(axis).tolist(), dtype
                assert x.sum(axis).tolist() == like.sum(axis).tolist(), dtype
            z = tg.complex(on.float(), on.float() * 2)
            assert z.sum(axis).real.tolist() == whole.sum(axis).tolist()
            assert z.sum(axis).imag.tolist() == (2 * whole.sum(axis)).tolist()
            last = tg.arange(shape[axis], device=device) == shape[axis] - 1
            last = last[:, None].expand(shape) if axis == 0 else last.expand(shape)
            assert last.any(axis).all().item()
            assert not last.all(axis).any().item()
            assert not (~last).all(axis).any().item()
            for dtype in (tg.float32, tg.int32):
                twos = tg.where(last, 3, 1).to(dtype)
                assert twos.prod(axis).tolist() == [3] * twos.prod(axis).numel()
            product = tg.complex(tg.zeros(shape, device=device), tg.where(last, 2.0, 1.0)).prod(
                axis
            )
            assert set(product.tolist()) == {-2j}  # twice the power 4 k + 3 of i

"""The namespace of the array API does what `array-api-strict` does."""

from __future__ import annotations

import inspect
import json
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
import tabgrad.array_api as xp
from tests.arrays.cases import CASES, names, plain
from tests.arrays.record import EXPECTED
from tests.grouped import grouped

TOLD: dict[str, Any] = json.loads(EXPECTED.read_text())


@pytest.fixture(autouse=True)
def on_the_cpu() -> Any:
    with tg.device("cpu"):
        yield


def flat(x: Any) -> list[float]:
    return [float(v) for part in x for v in flat(part)] if isinstance(x, list) else [float(x)]


@grouped("case", CASES)
def test_it_does_what_the_standard_says(case: str) -> None:
    dtype, shape, values = TOLD[case]
    found = eval(case, names(xp))
    assert (found.dtype.name, list(found.shape)) == (dtype, shape)
    assert flat(plain(found.resolve_conj().tolist())) == pytest.approx(
        flat(values), rel=1e-9, abs=1e-12, nan_ok=True
    )


def test_what_the_namespace_can_do() -> None:
    x = tg.ones(2)
    assert x.__array_namespace__() is x.__array_namespace__(api_version="2025.12") is xp
    with pytest.raises(ValueError, match="Unsupported array API version"):
        x.__array_namespace__(api_version="1999.12")
    info = xp.__array_namespace_info__()
    assert xp.__array_api_version__ == "2025.12"
    assert info.capabilities()["boolean indexing"]
    assert info.default_device() is tg.device("cpu") is info.devices()[0]
    assert info.default_dtypes() == {
        "real floating": tg.float32,
        "complex floating": tg.complex64,
        "integral": tg.int64,
        "indexing": tg.int64,
    }
    assert list(info.dtypes(kind="real floating")) == ["float32", "float64"]
    assert set(info.dtypes(kind=("bool", "complex floating"))) == {
        "bool",
        "complex64",
        "complex128",
    }
    assert len(info.dtypes()) == 13
    assert xp.isin(xp.asarray([1, 2]), xp.asarray([1]), invert=True).tolist() == [False, True]


def test_dtypes() -> None:
    assert xp.isdtype(xp.float32, "real floating")
    assert xp.isdtype(xp.uint8, ("bool", "unsigned integer"))
    assert not xp.isdtype(xp.uint8, (xp.int8, "signed integer"))
    assert xp.isdtype(xp.complex64, "numeric")
    with pytest.raises(ValueError, match="Unrecognized data type kind"):
        xp.isdtype(xp.int8, "whole")
    assert xp.can_cast(xp.int8, xp.int32)
    assert not xp.can_cast(tg.ones(1, dtype=xp.float64), xp.float32)
    assert xp.result_type(xp.float32, tg.ones(1, dtype=xp.float64)) is xp.float64
    assert xp.result_type(xp.int8, 1) is xp.int8
    assert xp.result_type(xp.float32, 1j) is xp.complex64
    with pytest.raises(ValueError, match="at least one"):
        xp.result_type(1, 2.0)
    with pytest.raises(TypeError, match="imaginary part"):
        xp.astype(tg.ones(1, dtype=xp.complex64), xp.float32)
    x = tg.ones(1)
    assert xp.astype(x, xp.float32, copy=False) is x
    assert xp.astype(x, xp.float32) is not x


def test_what_is_refused() -> None:
    a = tg.ones(2, 3)
    for use, message in (
        (lambda: xp.cumulative_sum(a), "axis must be specified"),
        (lambda: xp.take(a, tg.tensor([0])), "axis must be"),
        (lambda: xp.squeeze(a, axis=0), "not 1"),
        (lambda: xp.expand_dims(a, axis=(0, 0)), "repeated axis"),
        (lambda: xp.matrix_transpose(tg.ones(2)), "at least two axes"),
        (lambda: xp.nonzero(tg.tensor(1)), "without axes"),
    ):
        with pytest.raises(ValueError, match=message):
            use()
    with pytest.raises(IndexError, match="out of range"):
        xp.expand_dims(a, axis=4)


def test_every_function_says_what_it_does_and_takes_arrays_by_place() -> None:
    for module in (xp, xp.linalg, xp.fft):
        for name, value in vars(module).items():
            if inspect.isfunction(value) and not name.startswith("_"):
                assert value.__doc__, name


def test_memory_is_exchanged_without_copies() -> None:
    x = tg.arange(6.0).view(2, 3)
    seen = np.from_dlpack(x)
    x[0, 1] = 9
    assert seen[0, 1] == 9
    assert x.__dlpack_device__() == (1, 0)
    a = np.arange(4)
    y = tg.from_dlpack(a)
    a[2] = 7
    assert y.tolist() == [0, 1, 7, 3]
    y[0] = 5
    assert a[0] == 5
    assert tg.from_dlpack(x).data_ptr() == x.data_ptr()
    copied = tg.from_dlpack(a, copy=True)
    a[1] = 8
    assert copied[1] == 1
    assert x.to_device("cpu") is x
    for use, error, message in (
        (lambda: np.from_dlpack(tg.ones(1, requires_grad=True)), BufferError, "require gradient"),
        (lambda: tg.ones(1, dtype=tg.bfloat16).__dlpack__(), BufferError, "no bfloat16"),
        (lambda: tg.ones(1, device="meta").__dlpack__(), BufferError, "on meta"),
        (lambda: tg.ones(1, device="meta").__dlpack_device__(), BufferError, "meta is no device"),
        (lambda: tg.from_dlpack([1.0]), TypeError, "__dlpack__, got list"),
        (lambda: x.to_device("cpu", stream=1), ValueError, "no streams"),
    ):
        with pytest.raises(error, match=message):
            use()

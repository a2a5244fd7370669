"""assert_close and make_tensor."""

import math

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.testing import assert_close, make_tensor


def t(values, **options):
    return tg.tensor(values, device="cpu", **options)


@pytest.mark.parametrize(("actual", "expected"), [
    (1.0, 1.0 + 1e-8), (3, 3), ([1.0, (2, "x" and 3)], [1.0, (2, 3)]), ({"a": 1.0}, {"a": 1.0}),
    (None, None), (math.inf, math.inf), (1 + 1j, 1 + 1j),
])  # fmt: skip
def test_what_is_close(actual, expected):
    assert_close(actual, expected)


def test_tolerances_follow_the_dtype():
    assert_close(t([1.0]), t([1.0 + 1e-6]))
    with pytest.raises(AssertionError, match="not close"):
        assert_close(t([1.0], dtype=tg.float64), t([1.0 + 1e-6], dtype=tg.float64))
    assert_close(t([1.0]), t([1.1]), rtol=0.2, atol=0.0)
    assert_close(t([1.0], dtype=tg.float16), t([1.001], dtype=tg.float16))


@pytest.mark.parametrize(("actual", "expected", "match"), [
    (t([1.0, 2.0, 3.0]), t([1.0, 5.0, 3.5]), r"2 of 3 elements differ \(66.7%\)\n.*3.0 at \(1,\)"),
    (t([1.0]), t([1.0, 2.0]), "shapes differ"),
    (t([1.0]), t([1.0], dtype=tg.float64), "dtypes differ"),
    (1, 1.0, "types differ"), (1.0, 2.0, "expected 2.0 but got 1.0"), (1, 2, "expected 2"),
    ([1.0], [1.0, 2.0], "lengths"), ({"a": 1}, {"b": 1}, "keys"), (None, 1.0, "None"),
    ([{"k": [1.0, 2.0]}], [{"k": [1.0, 3.0]}], r"\[0\]\['k'\]\[1\]"),
    (t([math.nan]), t([math.nan]), "not close"), (t([math.inf]), t([-math.inf]), "not close"),
    (t([1]), t([2]), "1 of 1"),
])  # fmt: skip
def test_what_is_not(actual, expected, match):
    with pytest.raises(AssertionError, match=match):
        assert_close(actual, expected)


def test_options():
    assert_close(t([math.nan]), t([math.nan]), equal_nan=True)
    assert_close(math.nan, math.nan, equal_nan=True)
    assert_close(t([1.0]), t([1.0], dtype=tg.float64), check_dtype=False)
    assert_close(1, 1.0, check_dtype=False)
    with pytest.raises(AssertionError, match=r"^mine$"):
        assert_close(1.0, 2.0, msg="mine")
    with pytest.raises(AssertionError, match=r"^before: expected"):
        assert_close(1.0, 2.0, msg=lambda m: f"before: {m}")
    with pytest.raises(ValueError, match="both"):
        assert_close(1.0, 1.0, rtol=0.1)
    with pytest.raises(TypeError, match="object"):
        assert_close(object(), 1.0)


@pytest.mark.parametrize(
    "dtype", [tg.float32, tg.float64, tg.float16, tg.int64, tg.uint8, tg.bool, tg.complex64]
)
def test_make_tensor(dtype):
    x = make_tensor(50, 3, dtype=dtype, device="cpu")
    assert tuple(x.shape) == (50, 3)
    assert x.dtype is dtype
    if dtype not in (tg.bool, tg.complex64):
        low, high = (0, 10) if dtype is tg.uint8 else (-9, 9)
        assert low <= float(x.min()) <= float(x.max()) <= high
        assert float(x.max()) - float(x.min()) > (high - low) / 2


def test_make_tensor_options():
    x = make_tensor((4, 5), dtype=tg.float32, device="cpu", low=0, high=1, noncontiguous=True)
    assert tuple(x.shape) == (4, 5)
    assert not x.is_contiguous()
    assert 0 <= float(x.min()) <= float(x.max()) <= 1
    assert make_tensor(2, dtype=tg.float32, device="cpu", requires_grad=True).requires_grad
    assert not (make_tensor(200, dtype=tg.int32, device="cpu", exclude_zero=True) == 0).any()
    with pytest.raises(ValueError, match="below"):
        make_tensor(2, dtype=tg.float32, device="cpu", low=1, high=0)
    with pytest.raises(ValueError, match="requires_grad"):
        make_tensor(2, dtype=tg.int32, device="cpu", requires_grad=True)


def test_what_is_of_different_kinds_is_not_compared():
    for actual, expected in (
        (t([1.0]), [1.0]),
        ([1.0], t([1.0])),
        (t(1.0), 1.0),
        (1.0, t(1.0)),
        (t([1.0]), np.ones(1, np.float32)),
        ({"a": 1.0}, [1.0]),
        ([t([1.0]), t([1.0])], [t([1.0]), [1.0]]),
    ):
        with pytest.raises(TypeError, match="No comparison pair was able to handle"):
            assert_close(actual, expected)
    assert_close(np.ones(2), np.ones(2))
    assert_close(np.float64(1.0), 1.0, check_dtype=False)
    assert_close(tg.nn.Parameter(t([1.0])), t([1.0]))

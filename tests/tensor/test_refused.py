"""Arguments that PyTorch refuses, where a result would be a guess; and the nearest ones that it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tests.grouped import grouped

F, L = tg.nn.functional, tg.linalg


def of(x: Any, dtype: Any = None) -> Any:
    return tg.tensor(x, dtype=dtype, device="cpu")


def zeros(*shape: int, dtype: Any = None) -> Any:
    return tg.zeros(*shape, dtype=dtype, device="cpu")


def written(dtype: Any, index: Any, value: Any) -> Any:
    y = zeros(3, 2, dtype=dtype)
    y[index] = value
    return y


AT, MASK = of([1]), of([True, False, True])
MATCH = (
    "Index put requires the source and destination dtypes match, got {} for the destination and {}"
)

REFUSED: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("write", lambda: written(tg.int32, AT, of([1.5])), RuntimeError, MATCH.format("Int", "Float")),
    ("write 0-d", lambda: written(tg.float32, AT, of(1)), RuntimeError, MATCH.format("Float", "Long")),
    ("write two", lambda: written(tg.bfloat16, (AT, AT), of([1.0])), RuntimeError, "got BFloat16 for"),
    ("write slice", lambda: written(tg.int32, (slice(None), AT), of(1.5)), RuntimeError, "got Int for"),
    ("write list", lambda: written(tg.int32, [0, 1], of(1.5)), RuntimeError, "got Int for"),
    ("write mask", lambda: written(tg.int32, MASK, of([[1.5], [2.5]])), RuntimeError, "got Int for"),
    ("put many", lambda: zeros(3, 2).index_put((AT,), of([1])), RuntimeError, "got Float for"),
    ("put_", lambda: zeros(3, 2).index_put_((AT,), of([1])), RuntimeError, "got Float for"),
    ("add", lambda: zeros(3).index_put((MASK,), of([1]), accumulate=True), RuntimeError, "got Float"),
    ("put", lambda: zeros(3).put(AT, of([1])), RuntimeError, "expected to have the same dtype"),
    ("none", lambda: zeros(2, 3).index_put((None, AT), of(2.0)), TypeError, "got NoneType"),
    ("none_", lambda: zeros(2, 3).index_put_((None, AT), of(2.0)), TypeError, "got NoneType"),
    ("tensor", lambda: zeros(2, 3).index_put(AT, of(2.0)), TypeError, "tuple of Tensors, not Tensor"),
    ("nothing", lambda: zeros(2, 3).index_put((), of(2.0)), ValueError, "at least one"),
    ("empty norm", lambda: L.vector_norm(zeros(0, 3), -1, 0), RuntimeError, "compute the -1 norm"),
    ("round", lambda: tg.round(of([12]), decimals=1), NotImplementedError, "decimals are for float"),
    ("nansum", lambda: tg.nansum(of([1 + 1j])), RuntimeError, "does not support complex inputs"),
    ("nanmean", lambda: tg.nanmean(of([1 + 1j])), RuntimeError, "does not support complex inputs"),
    ("isin", lambda: tg.isin(of([1j]), of([1j])), RuntimeError, "Unsupported input type .* ComplexFloat"),
    ("product", lambda: tg.cartesian_prod(of([1.0]), of([1])), RuntimeError, "the same dtype"),
    ("pad 4-d", lambda: F.pad(zeros(1, 1, 2, 3), (1, 2), "reflect"), RuntimeError, "not for 4 dims"),
    ("pad 1-d", lambda: F.pad(zeros(3), (1, 1), "replicate"), RuntimeError, "not for 1 dims"),
    ("pad all", lambda: F.pad(zeros(3, 3, 3), (1,) * 6, "circular"), RuntimeError, "not for 3 dims"),
    ("cov 0", lambda: tg.cov(zeros(2, 3), fweights=of([0, 0, 0])), RuntimeError, "weights sum to zero"),
    ("cov < 0", lambda: tg.cov(zeros(2, 2), fweights=of([1, -1])), RuntimeError, "cannot be negative"),
    ("cov a", lambda: tg.cov(zeros(2, 2), aweights=of([2.0, -1])), RuntimeError, "cannot be negative"),
    ("vjp", lambda: tg.func.vjp(lambda x: x.long(), zeros(2)), RuntimeError, "floating-point or complex"),
]  # fmt: skip
for _name in ("mse_loss", "l1_loss", "huber_loss"):
    REFUSED.append((
        _name,
        lambda n=_name: getattr(F, n)(zeros(3, 1), zeros(1, 2), weight=zeros(3, 2)),
        ValueError,
        "Weights and input must have the same size",
    ))  # fmt: skip
for _name, _dtypes in (
    ("normal_", "int32 bool"), ("uniform_", "int32 bool"), ("log_normal_", "int32 complex64"),
    ("exponential_", "int32 bool complex64"), ("cauchy_", "int32"), ("random_", "complex64"),
):  # fmt: skip
    for _dtype in _dtypes.split():
        REFUSED.append((
            f"{_name} of {_dtype}",
            lambda n=_name, d=_dtype: getattr(zeros(2, dtype=getattr(tg, d)), n)(),
            RuntimeError,
            f"{_name}: not implemented for",
        ))  # fmt: skip


BROADCAST = pytest.mark.filterwarnings("ignore:Using a target size")


@BROADCAST
@grouped("name, call, error, said", REFUSED, ids=lambda case: case[0])
def test_refused(name: str, call: Callable[[], Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        call()


@BROADCAST
def test_taken() -> None:
    """A number, a view, an index without dims, and one value where a mask holds are cast."""
    half = [[0, 0], [1, 1], [0, 0]]
    assert written(tg.int32, AT, 1.5).tolist() == half
    assert written(tg.int32, of(1), of([1.5])).tolist() == half
    assert written(tg.int32, slice(1, 2), of(1.5)).tolist() == half
    assert written(tg.int32, 1, of([1.5, 1.5])).tolist() == half
    assert written(tg.int32, MASK, of([1.5])).tolist() == [[1, 1], [0, 0], [1, 1]]
    assert zeros(3, dtype=tg.int32).index_put((MASK,), of(1.5)).tolist() == [1, 0, 1]
    assert F.pad(zeros(2, 3), (1, 1), "reflect").shape == (2, 5)
    assert F.mse_loss(zeros(3, 1), tg.ones(1, 2, device="cpu"), weight=of([[1.0], [2], [3]])) == 1
    z = zeros(1000, dtype=tg.complex64).uniform_(2, 3)
    for part in (z.real, z.imag):
        assert 2 <= part.min() < 2.1
        assert 2.9 < part.max() <= 3
    assert not np.allclose(z.real, z.imag)


def test_bincount_of_a_batch() -> None:
    x = of([[0, 3, 1], [0, 3, 3]])
    count = tg.vmap(lambda a: tg.bincount(a, minlength=5))
    assert count(x).tolist() == [[1, 1, 0, 1, 0], [1, 0, 0, 2, 0]]
    weighed = tg.vmap(lambda a, w: tg.bincount(a, w, 4))(x, x.double())
    assert weighed.tolist() == [[0, 1, 0, 3], [0, 0, 0, 6]]
    with pytest.raises(IndexError, match=r"index 5 is out of bounds .* in bincount"):
        count(x + 2)
    with pytest.raises(RuntimeError, match=r"bincount: the length .* give it as minlength"):
        tg.vmap(tg.bincount)(x)

"""The commonest element of long lines, where all pairs of elements would not fit in memory."""

from __future__ import annotations

import numpy as np
import pytest

import tabgrad as tg

pytestmark = pytest.mark.every_host


def _wanted(line: np.ndarray) -> tuple[float, int]:
    """Give the smallest of the commonest elements, and the last place at which it stands."""
    kinds, counts = np.unique(line, return_counts=True)
    value = kinds[counts.argmax()]
    return value.item(), int(np.flatnonzero(line == value)[-1])


@pytest.mark.parametrize("shape", [(100_000,), (3, 400)])
def test_long_lines(shape: tuple[int, ...], device: str) -> None:
    exact = np.random.default_rng(0).integers(-4, 5, shape)
    for dtype in (tg.int32, tg.float32):
        found = tg.mode(tg.tensor(exact.tolist(), dtype=dtype, device=device))
        wanted = [_wanted(line) for line in exact.reshape(-1, shape[-1])]
        assert found.values.reshape(-1).tolist() == [value for value, _ in wanted]
        assert found.indices.reshape(-1).tolist() == [at for _, at in wanted]


def test_edges(device: str) -> None:
    nan = float("nan")
    x = tg.tensor([[3.0, 1.0, 3.0, 1.0], [nan, nan, 2.0, nan], [nan] * 4], device=device)
    values, indices = x.mode(1, keepdim=True)
    assert values[:2].tolist() == [[1.0], [2.0]]
    assert values[2].isnan().item()
    assert indices.tolist() == [[3], [2], [0]]
    assert x.mode(0).values[:3].tolist() == [3.0, 1.0, 2.0]
    flags = tg.tensor([True, False, True], device=device).mode()
    assert (flags.values.item(), flags.indices.item()) == (True, 2)
    assert tg.vmap(lambda row: row.mode().values)(x[:2]).tolist() == [1.0, 2.0]
    slope = tg.func.grad(lambda t: t.mode(1).values.sum())(x)
    assert slope.nonzero().tolist() == [[0, 3], [1, 2], [2, 0]]
    with pytest.raises(IndexError, match=r"mode\(\): Expected reduction dim 0"):
        tg.zeros(0, 2, device=device).mode(0)
    assert tg.zeros(2, 0, device=device).mode(0).values.shape == (0,)

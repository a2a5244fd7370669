"""Reading what the host knows sends nothing."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tests.lower import recorder


def test_constants_and_small_uploads_are_read_without_the_device() -> None:
    where = recorder.device()
    counters = where.backend.counters
    with where:
        x = tg.tensor([1.5, -2.0])
        values: list[tuple[Any, Any]] = [
            (x, [1.5, -2.0]), (tg.tensor(3), 3), (tg.tensor([True, False]), [True, False]),
            (tg.zeros(2, 2), [[0.0] * 2] * 2), (tg.full((3,), 7, dtype=tg.int32), [7] * 3),
            (tg.ones(2)[1], 1.0), (tg.full((), -0.0), -0.0), (tg.ones(2, dtype=tg.bool), [True] * 2),
        ]  # fmt: skip
        for value, want in values:
            assert str(value.tolist()) == str(want)
        assert counters.submits == 0
        x.add_(1.0)
        assert x.tolist() == [0.0, 0.0]  # what a host without a GPU answers
        tg.nn.functional.pad(tg.ones(2), (1, 0)).tolist()
        assert counters.submits == 2


def test_errors_of_kernels_are_raised_before_known_values_are_told() -> None:
    where = recorder.device()
    with where:
        x = tg.tensor([1.5, -2.0])
        tg.tensor([[1.0] * 40] * 3)[tg.tensor([1])].sum()
        y = tg.tensor([[1.0] * 40] * 3)[tg.tensor([1])]
        where.backend.flush()
        before = where.backend.counters.submits
        x.tolist()
        assert where.backend.counters.submits > before
        del y


@pytest.mark.every_host
def test_known_values_are_those_of_the_device(device: str) -> None:
    with tg.device(device):
        for dtype in (tg.float32, tg.int32, tg.uint8, tg.bool):
            known, made = tg.full((3,), 1, dtype=dtype), tg.tensor([1, 1, 1], dtype=dtype)
            assert known.tolist() == made.tolist() == made.clone().tolist()
        number = tg.full((2,), 0.1)
        assert number.tolist() == number.clone().tolist()

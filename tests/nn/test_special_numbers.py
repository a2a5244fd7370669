"""Infinities, nans and signed zeros where a formula would lose or spread them."""

from __future__ import annotations

import math

import pytest

import tabgrad as tg
from tabgrad.nn import functional as F

pytestmark = pytest.mark.every_host
INF, NAN = math.inf, math.nan


def test_an_infinity_stays_where_its_weight_is(device) -> None:
    x = tg.tensor([[[[1.0, INF, 3.0, 4.0, 5.0]] * 4]], device=device)
    found = F.interpolate(x, size=(2, 3), mode="bilinear", antialias=True)
    assert found[0, 0, :, :2].tolist() == [[INF, INF]] * 2
    assert found[0, 0, 0, 2].item() == pytest.approx(4.5714283)
    x = tg.tensor([[[[1.0, NAN, 3.0, 4.0, 5.0], [1.0, 2.0, 3.0, -INF, INF]]]], device=device)
    found = F.interpolate(x, size=(2, 3), mode="bilinear", antialias=True)[0, 0]
    assert math.isnan(found[0, 0].item())
    assert found[0, 2].item() == pytest.approx(4.5714283)
    assert math.isnan(found[1, 2].item())


def test_padding_keeps_the_sign_of_its_zero(device) -> None:
    padded = F.pad(tg.tensor([1.0], device=device), (1, 1), value=-0.0)
    assert [math.copysign(1.0, v) for v in padded.tolist()] == [-1.0, 1.0, -1.0]

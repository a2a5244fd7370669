"""Derivatives of `grid_sample` by its grid where a place is an element or the border: what PyTorch gives."""

from __future__ import annotations

import pytest

import tabgrad as tg

pytestmark = pytest.mark.every_host
GRID = [[[[0.0, 0.0], [0.25, 0.0], [-1.0, -1.0], [1.0, 1.0], [0.5, -0.25]]]]
WANT = {
    ("border", False): [13.5, 49.5, 13.5, 52.875, 0.0, 0.0, -0.0, -0.0, 10.125, 29.25],
    ("border", True): [9.0, 33.0, 9.0, 34.5, 0.0, 0.0, -0.0, -0.0, 7.5, 18.0],
    ("reflection", False): [13.5, 49.5, 13.5, 52.875, 0.0, 0.0, -0.0, -0.0, 10.125, 29.25],
    ("reflection", True): [9.0, 33.0, 9.0, 34.5, 0.0, 0.0, -0.0, -0.0, 7.5, 18.0],
    ("zeros", False): [13.5, 49.5, 13.5, 52.875, 0.0, 0.0, -48.0, -48.0, 10.125, 29.25],
    ("zeros", True): [9.0, 33.0, 9.0, 34.5, 1.0, 9.0, -64.0, -64.0, 7.5, 18.0],
}


@pytest.mark.parametrize(("padding", "corners"), WANT)
def test_places_that_are_elements(device: str, padding: str, corners: bool) -> None:
    x = tg.arange(9.0, device=device).view(1, 1, 3, 3) ** 2
    grid = tg.tensor(GRID, device=device, requires_grad=True)
    y = tg.nn.functional.grid_sample(x, grid, padding_mode=padding, align_corners=corners)
    y.sum().backward()
    assert grid.grad.flatten().tolist() == pytest.approx(WANT[padding, corners], rel=1e-4, abs=1e-4)

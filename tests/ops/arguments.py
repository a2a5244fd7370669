"""Arguments of the calls that `oracle.py` asks of PyTorch."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np


class Input:
    """A tensor argument: values, and whether its gradient is asked for."""

    def __init__(self, values: Any, differentiable: bool | None = None) -> None:
        self.values = np.asarray(values)
        if self.values.dtype == np.float64:
            # short in decimal, and exact in every float
            self.values = (np.round(self.values * 1024) / 1024).astype(np.float32)
        real = self.values.dtype.kind == "f"
        self.differentiable = real if differentiable is None else differentiable


class Maker:
    """Draws arguments; every entry has numbers of its own."""

    def __init__(self, name: str) -> None:
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))

    def normal(self, *shape: int, scale: float = 1.0) -> Input:
        """Return standard normal values."""
        return Input(self.rng.normal(size=shape) * scale)

    def uniform(self, *shape: int, low: float = 0.1, high: float = 0.9, grad: bool = True) -> Input:
        """Return uniform values."""
        return Input(self.rng.uniform(low, high, size=shape), grad)

    def fixed(self, *shape: int) -> Input:
        """Return normal values whose gradient is not asked for."""
        return Input(self.rng.normal(size=shape), False)

    def integers(self, high: int, *shape: int, low: int = 0) -> Input:
        """Return integers in [low, high)."""
        return Input(self.rng.integers(low, high, size=shape))

    def signs(self, *shape: int) -> Input:
        """Return values of -1 and 1."""
        return Input(np.where(self.rng.normal(size=shape) > 0, 1.0, -1.0), False)

"""Dropout and its relatives; in evaluation mode all of them return their input."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad.nn.module import Layer

Tensor = tg.Tensor


class _Dropout(Layer):
    _fn: ClassVar[Callable[..., Tensor]]

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Apply the dropout, in training only."""
        return type(self)._fn(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """Describe the parameters."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Zeroes each element with probability `p` and scales the others by 1 / (1 − p)."""

    _fn = F.dropout


class Dropout1d(_Dropout):
    """Zeroes whole channels of (N, C, L) or (C, L)."""

    _fn = F.dropout1d


class Dropout2d(_Dropout):
    """Zeroes whole channels of (N, C, H, W) or (C, H, W)."""

    _fn = F.dropout2d


class Dropout3d(_Dropout):
    """Zeroes whole channels of (N, C, D, H, W) or (C, D, H, W)."""

    _fn = F.dropout3d


class AlphaDropout(_Dropout):
    """Dropout that keeps mean and variance through SELU (Klambauer et al. 2017)."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply it, in training only."""
        return F.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_Dropout):
    """AlphaDropout of whole channels."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply it, in training only."""
        return F.feature_alpha_dropout(input, self.p, self.training)

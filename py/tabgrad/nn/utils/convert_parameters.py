"""Parameters as one vector, and back."""

from __future__ import annotations

import math
from collections.abc import Iterable

import tabgrad as tg

Tensor = tg.Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Join the elements of all parameters to one vector; they must be on one device."""
    return tg.cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Set the parameters from a vector as `parameters_to_vector` makes it."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected a Tensor, got {type(vec).__name__}")
    at = 0
    for p in parameters:
        n = math.prod(p.shape)
        p.data = vec[at : at + n].reshape(p.shape).detach()
        at += n

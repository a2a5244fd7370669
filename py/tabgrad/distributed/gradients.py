"""The gradients that are sent together: what a communication hook gets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import tabgrad as tg
from tabgrad.futures import Future

Tensor = tg.Tensor
Hook = Callable[[Any, "GradBucket"], Future[Any]]


class GradBucket:
    """Some parameters of one dtype and device, and their gradients one after the other in one vector."""

    def __init__(self, index: int, parameters: Sequence[Tensor], last: bool = False) -> None:
        self._index = index
        self._parameters = list(parameters)
        self._last = last
        self._buffer: Tensor | None = None
        self.sizes = [math.prod(p.shape) for p in self._parameters]

    def index(self) -> int:
        """Return the number of the bucket, in the order in which they are sent."""
        return self._index

    def buffer(self) -> Tensor:
        """Return the gradients as one vector."""
        if self._buffer is None:
            raise RuntimeError("GradBucket.buffer: the gradients are not there yet")
        return self._buffer

    def set_buffer(self, buffer: Tensor) -> None:
        """Replace the vector."""
        self._buffer = buffer

    def gradients(self) -> list[Tensor]:
        """Return the gradient of each parameter, which are parts of the vector."""
        return self.split(self.buffer())

    def split(self, flat: Tensor) -> list[Tensor]:
        """Return the part of a vector for each parameter, in its shape."""
        parts = flat.split(self.sizes)
        return [x.reshape(p.shape) for x, p in zip(parts, self._parameters, strict=True)]

    def parameters(self) -> list[Tensor]:
        """Return the parameters."""
        return list(self._parameters)

    def is_last(self) -> bool:
        """Whether no bucket is sent after this one in a backward."""
        return self._last


__all__ = ["GradBucket"]

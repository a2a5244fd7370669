"""Padding of the last one, two or three axes of (N, C, ...) or (C, ...)."""

from __future__ import annotations

from collections.abc import Sequence

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad.nn.module import Layer

Tensor = tg.Tensor


class _Pad(Layer):
    """`padding` is one width for all edges, or (left, right, top, bottom, front, back) as far as needed."""

    axes = 0
    mode = "constant"

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        given = (padding,) * (2 * self.axes) if isinstance(padding, int) else tuple(padding)
        if len(given) != 2 * self.axes:
            raise ValueError(
                f"{type(self).__name__}: expected an int or {2 * self.axes} ints, got {padding!r}"
            )
        self.padding = given

    def forward(self, input: Tensor) -> Tensor:
        """Pad the input."""
        return F.pad(input, self.padding, mode=self.mode)

    def extra_repr(self) -> str:
        """Describe the widths."""
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """Pad the input."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        """Describe the widths and the value."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """Pads the last axis with `value`."""

    axes = 1


class ConstantPad2d(_ConstantPad):
    """Pads the last two axes with `value`."""

    axes = 2


class ConstantPad3d(_ConstantPad):
    """Pads the last three axes with `value`."""

    axes = 3


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, 0.0)

    extra_repr = _Pad.extra_repr


class ZeroPad1d(_ZeroPad):
    """Pads the last axis with zeros."""

    axes = 1


class ZeroPad2d(_ZeroPad):
    """Pads the last two axes with zeros."""

    axes = 2


class ZeroPad3d(_ZeroPad):
    """Pads the last three axes with zeros."""

    axes = 3


class ReflectionPad1d(_Pad):
    """Pads the last axis with its reflection, the edge not repeated."""

    axes, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Pads the last two axes with their reflection, the edges not repeated."""

    axes, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """Pads the last three axes with their reflection, the edges not repeated."""

    axes, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """Pads the last axis by repeating its edges."""

    axes, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Pads the last two axes by repeating their edges."""

    axes, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """Pads the last three axes by repeating their edges."""

    axes, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """Pads the last axis from its other end."""

    axes, mode = 1, "circular"


class CircularPad2d(_Pad):
    """Pads the last two axes from their other ends."""

    axes, mode = 2, "circular"


class CircularPad3d(_Pad):
    """Pads the last three axes from their other ends."""

    axes, mode = 3, "circular"

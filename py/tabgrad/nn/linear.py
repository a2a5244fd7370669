"""Affine layers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad.nn import init
from tabgrad.nn.module import Layer
from tabgrad.nn.parameter import Parameter, parameter_if

if TYPE_CHECKING:
    from tabgrad.core.dtype import DType
    from tabgrad.tensor.types import DeviceLike

Tensor = tg.Tensor


class Identity(Layer):
    """The identity; it takes and ignores any arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """Return `input`."""
        return input


class Linear(Layer):
    """y = x Wᵀ + b over the last axis: (*, in_features) to (*, out_features).

    `weight` is (out_features, in_features); both start uniform in ±1/√in_features.

    >>> import tabgrad as tg
    >>> layer = tg.nn.Linear(20, 30, device="cpu")
    >>> layer(tg.zeros(128, 20, device="cpu")).shape
    tabgrad.Size([128, 30])
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True,
        device: DeviceLike | None = None, dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.weight: Parameter
        self.bias: Parameter | None
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(tg.empty(out_features, in_features, device=device, dtype=dtype))
        self.register_parameter("bias", parameter_if(bias, out_features, device, dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None and self.in_features:
            bound = 1 / math.sqrt(self.in_features)
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """Map `input` (*, in_features) to (*, out_features)."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Describe the sizes."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class NonDynamicallyQuantizableLinear(Linear):
    """A Linear by the name that PyTorch has for the projection of attention's result."""


class Bilinear(Layer):
    """y = x1ᵀ A x2 + b over the last axes; `weight` is (out_features, in1_features, in2_features)."""

    def __init__(
        self, in1_features: int, in2_features: int, out_features: int, bias: bool = True,
        device: DeviceLike | None = None, dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        shape = (out_features, in1_features, in2_features)
        self.weight = Parameter(tg.empty(shape, device=device, dtype=dtype))
        self.register_parameter("bias", parameter_if(bias, out_features, device, dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values, uniform in ±1/√in1_features."""
        bound = 1 / math.sqrt(self.in1_features)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """Map (*, in1_features) and (*, in2_features) to (*, out_features)."""
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Describe the sizes."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )

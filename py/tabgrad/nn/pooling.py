"""Pooling over one, two and three axes. The default stride is the kernel size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad.nn.module import Layer, Module

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tabgrad.tensor.types import Dims

Tensor = tg.Tensor


class _MaxPool(Module):
    axes = 0

    def __init__(
        self, kernel_size: Dims, stride: Dims | None = None, padding: Dims = 0, dilation: Dims = 1,
        return_indices: bool = False, ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        """Compute the maximum of each window, with `return_indices` its place too."""
        pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[self.axes - 1]
        return pool(
            input, self.kernel_size, self.stride, self.padding, self.dilation,
            ceil_mode=self.ceil_mode, return_indices=self.return_indices,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """Describe the windows."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The maximum of each window of (N, C, L).

    L_out = ⌊(L + 2·padding − dilation·(kernel_size − 1) − 1) / stride⌋ + 1; ⌈⌉ with `ceil_mode`.
    Padding counts as −∞.
    """

    axes = 1


class MaxPool2d(_MaxPool):
    """The maximum of each window of (N, C, H, W); sizes as in MaxPool1d.

    >>> import tabgrad as tg
    >>> tg.nn.MaxPool2d(2)(tg.zeros(1, 3, 8, 6, device="cpu")).shape
    tabgrad.Size([1, 3, 4, 3])
    """

    axes = 2


class MaxPool3d(_MaxPool):
    """The maximum of each window of (N, C, D, H, W); sizes as in MaxPool1d."""

    axes = 3


class _Windows(Layer):
    """Prints the windows it pools over."""

    axes = 0
    kernel_size: Any
    stride: Any
    padding: Any

    def extra_repr(self) -> str:
        """Describe the windows."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _MaxUnpool(_Windows):
    def __init__(self, kernel_size: Dims, stride: Dims | None = None, padding: Dims = 0) -> None:
        super().__init__()
        self.kernel_size = self._each(kernel_size)
        self.stride = self.kernel_size if stride is None else self._each(stride)
        self.padding = self._each(padding)

    def _each(self, value: Dims) -> tuple[int, ...]:
        return (value,) * self.axes if isinstance(value, int) else tuple(value)

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        """Put the maxima back to the places `indices`, zeros elsewhere."""
        unpool = (F.max_unpool1d, F.max_unpool2d, F.max_unpool3d)[self.axes - 1]
        return unpool(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool1d(_MaxUnpool):
    """Puts the results of MaxPool1d back to their places."""

    axes = 1


class MaxUnpool2d(_MaxUnpool):
    """Puts the results of MaxPool2d back to their places."""

    axes = 2


class MaxUnpool3d(_MaxUnpool):
    """Puts the results of MaxPool3d back to their places."""

    axes = 3


class AvgPool1d(_Windows):
    """The mean of each window of (N, C, L); padding counts as zeros unless `count_include_pad` is off."""

    def __init__(
        self, kernel_size: Dims, stride: Dims | None = None, padding: Dims = 0,
        ceil_mode: bool = False, count_include_pad: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = _single(kernel_size)
        self.stride = self.kernel_size if stride is None else _single(stride)
        self.padding = _single(padding)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """Compute the means."""
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad,
        )  # fmt: skip


def _single(value: Dims) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


class _AvgPool(_Windows):
    def __init__(
        self, kernel_size: Dims, stride: Dims | None = None, padding: Dims = 0,
        ceil_mode: bool = False, count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """Compute the means."""
        pool = F.avg_pool2d if self.axes == 2 else F.avg_pool3d
        return pool(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.divisor_override,
        )  # fmt: skip


class AvgPool2d(_AvgPool):
    """The mean of each window of (N, C, H, W); `divisor_override` replaces the size of the window."""

    axes = 2


class AvgPool3d(_AvgPool):
    """The mean of each window of (N, C, D, H, W); `divisor_override` replaces the size of the window."""

    axes = 3


class _LPPool(Layer):
    axes = 0

    def __init__(
        self, norm_type: float, kernel_size: Dims, stride: Dims | None = None,
        ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        """Compute the norms."""
        pool = (F.lp_pool1d, F.lp_pool2d, F.lp_pool3d)[self.axes - 1]
        return pool(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        """Describe the norm and the windows."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """(Σ xᵖ)^(1/p) over each window of (N, C, L); p is `norm_type`."""

    axes = 1


class LPPool2d(_LPPool):
    """(Σ xᵖ)^(1/p) over each window of (N, C, H, W); p is `norm_type`."""

    axes = 2


class LPPool3d(_LPPool):
    """(Σ xᵖ)^(1/p) over each window of (N, C, D, H, W); p is `norm_type`."""

    axes = 3


class _AdaptiveMaxPool(Module):
    axes = 0

    def __init__(
        self, output_size: Dims | Sequence[int | None] | None, return_indices: bool = False
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        """Compute maxima of windows chosen so that `output_size` comes out."""
        pool = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)[self.axes - 1]
        return pool(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        """Describe the size."""
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Max pooling of (N, C, L) to (N, C, output_size)."""

    axes = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Max pooling of (N, C, H, W) to (N, C, *output_size); None keeps a size."""

    axes = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Max pooling of (N, C, D, H, W) to (N, C, *output_size); None keeps a size."""

    axes = 3


class _AdaptiveAvgPool(Layer):
    axes = 0

    def __init__(self, output_size: Dims | Sequence[int | None] | None) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """Compute means of windows chosen so that `output_size` comes out."""
        pool = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[self.axes - 1]
        return pool(input, self.output_size)

    def extra_repr(self) -> str:
        """Describe the size."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Average pooling of (N, C, L) to (N, C, output_size)."""

    axes = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Average pooling of (N, C, H, W) to (N, C, *output_size); None keeps a size."""

    axes = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Average pooling of (N, C, D, H, W) to (N, C, *output_size); None keeps a size."""

    axes = 3


class _FractionalMaxPool(Layer):
    axes = 0

    def __init__(
        self, kernel_size: Dims, output_size: Dims | None = None,
        output_ratio: float | Sequence[float] | None = None, return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if (output_size is None) == (output_ratio is None):
            raise ValueError(
                f"{type(self).__name__}: expected exactly one of output_size and output_ratio"
            )
        if output_ratio is not None:
            ratios: Any = output_ratio if isinstance(output_ratio, tuple | list) else [output_ratio]
            if not all(0 < ratio < 1 for ratio in ratios):
                raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")
        self.kernel_size = kernel_size
        self.output_size = output_size
        self.output_ratio = output_ratio
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)

    def forward(self, input: Tensor) -> Any:
        """Compute maxima of windows at random places."""
        pool = F.fractional_max_pool2d if self.axes == 2 else F.fractional_max_pool3d
        return pool(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices,
            self._random_samples,
        )  # fmt: skip


class FractionalMaxPool2d(_FractionalMaxPool):
    """Max pooling of (N, C, H, W) over windows at random places, to a size or a ratio of it."""

    axes = 2


class FractionalMaxPool3d(_FractionalMaxPool):
    """Max pooling of (N, C, D, H, W) over windows at random places, to a size or a ratio of it."""

    axes = 3

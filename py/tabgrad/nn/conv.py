"""Convolutions and their transposes over one, two and three axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad.nn import init
from tabgrad.nn.module import Layer, unusual
from tabgrad.nn.parameter import Parameter, parameter_if

if TYPE_CHECKING:
    from tabgrad.core.dtype import DType
    from tabgrad.tensor.types import DeviceLike, Dims

Tensor = tg.Tensor

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def each_axis(value: Dims, n: int, what: str) -> tuple[int, ...]:
    """Expand a number, or check a sequence of them, to one number for each of `n` axes."""
    if isinstance(value, int):
        return (value,) * n
    sizes = tuple(value)
    if len(sizes) != n:
        raise ValueError(f"{what}: expected an int or {n} ints, got {value!r}")
    return sizes


class _Conv(Layer):
    """The base of all convolutions. The weight of a transposed convolution is (in, out / groups, *kernel)."""

    axes = 0
    transposed = False
    in_channels: int
    weight: Parameter
    bias: Parameter | None
    padding: tuple[int, ...] | str

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Dims, stride: Dims,
        padding: Dims | str, output_padding: Dims, dilation: Dims, groups: int, bias: bool,
        padding_mode: str, device: DeviceLike | None, dtype: DType | None,
    ) -> None:  # fmt: skip
        super().__init__()
        _check(in_channels, out_channels, groups, padding_mode, self.transposed)
        n = self.axes
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = each_axis(kernel_size, n, "kernel_size")
        self.stride = each_axis(stride, n, "stride")
        self.dilation = each_axis(dilation, n, "dilation")
        if isinstance(padding, str):
            if padding not in ("valid", "same"):
                raise ValueError(f"Invalid padding string {padding!r}, should be 'valid' or 'same'")
            if padding == "same" and any(s != 1 for s in self.stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
            self.padding = padding
        else:
            self.padding = each_axis(padding, n, "padding")
        self._reversed_padding_repeated_twice = self._widths()
        self.output_padding = each_axis(output_padding, n, "output_padding")
        self.groups = groups
        self.padding_mode = padding_mode
        self._make_parameters(bias, device, dtype)

    def _weight_shape(self) -> tuple[int, ...]:
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        return (first, second // self.groups, *self.kernel_size)

    def _make_parameters(self, bias: bool, device: DeviceLike | None, dtype: DType | None) -> None:
        self.weight = Parameter(tg.empty(self._weight_shape(), device=device, dtype=dtype))
        self.register_parameter("bias", parameter_if(bias, self.out_channels, device, dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values, uniform in ±1/√fan_in."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in:
                init.uniform_(self.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def _widths(self) -> list[int]:
        """Return the padding as `F.pad` takes it."""
        widths: list[int] = []
        for i in reversed(range(self.axes)):
            if isinstance(self.padding, str):
                total = self.dilation[i] * (self.kernel_size[i] - 1) * (self.padding == "same")
                widths += [total // 2, total - total // 2]
            else:
                widths += [self.padding[i]] * 2
        return widths

    def extra_repr(self) -> str:
        """Describe the sizes, and options that differ from their defaults."""
        n = self.axes
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={self.stride}"
        text += unusual(
            self, padding=(0,) * n, dilation=(1,) * n, output_padding=(0,) * n, groups=1
        )
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


def _check(inputs: int, outputs: int, groups: int, padding_mode: str, transposed: bool) -> None:
    if groups <= 0:
        raise ValueError("groups must be a positive integer")
    if inputs % groups:
        raise ValueError(f"in_channels ({inputs}) must be divisible by groups ({groups})")
    if outputs % groups:
        raise ValueError(f"out_channels ({outputs}) must be divisible by groups ({groups})")
    if padding_mode not in PADDING_MODES:
        raise ValueError(
            f"padding_mode must be one of {PADDING_MODES}, but got padding_mode={padding_mode!r}"
        )
    if transposed and padding_mode != "zeros":
        raise ValueError("Only 'zeros' padding mode is supported for a transposed convolution")


class _Forward(_Conv):
    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Dims, stride: Dims = 1,
        padding: Dims | str = 0, dilation: Dims = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", device: DeviceLike | None = None, dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, 0, dilation, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve with a weight that is given; a subclass may call or replace it."""
        conv = (F.conv1d, F.conv2d, F.conv3d)[self.axes - 1]
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = 0
        return conv(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (N, in_channels, ...) to (N, out_channels, ...); the batch axis may be absent."""
        return self._conv_forward(input, self.weight, self.bias)


class Conv1d(_Forward):
    """Cross-correlation over one axis: (N, C_in, L) to (N, C_out, L_out).

    L_out = ⌊(L + 2·padding − dilation·(kernel_size − 1) − 1) / stride⌋ + 1; `padding` may be "same" or
    "valid". `weight` is (out_channels, in_channels / groups, kernel_size).
    """

    axes = 1


class Conv2d(_Forward):
    """Cross-correlation over two axes: (N, C_in, H, W) to (N, C_out, H_out, W_out).

    Each size follows the formula of Conv1d. `weight` is (out_channels, in_channels / groups, *kernel_size).

    >>> import tabgrad as tg
    >>> layer = tg.nn.Conv2d(1, 16, kernel_size=3, padding=1, device="cpu")
    >>> layer(tg.zeros(2, 1, 8, 8, device="cpu")).shape
    tabgrad.Size([2, 16, 8, 8])
    """

    axes = 2


class Conv3d(_Forward):
    """Cross-correlation over three axes: (N, C_in, D, H, W) to (N, C_out, D_out, H_out, W_out)."""

    axes = 3


class _Transpose(_Conv):
    transposed = True
    padding: tuple[int, ...]

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Dims, stride: Dims = 1,
        padding: Dims = 0, output_padding: Dims = 0, groups: int = 1, bias: bool = True,
        dilation: Dims = 1, padding_mode: str = "zeros", device: DeviceLike | None = None,
        dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, output_padding, dilation,
            groups, bias, padding_mode, device, dtype,
        )  # fmt: skip

    def _output_padding(
        self, input: Tensor, output_size: Sequence[int] | None, stride: Sequence[int],
        padding: Sequence[int], kernel_size: Sequence[int], num_spatial_dims: int,
        dilation: Sequence[int] | None = None,
    ) -> list[int]:  # fmt: skip
        if output_size is None:
            return list(self.output_padding)
        wanted = tuple(output_size)[-num_spatial_dims:]
        extra = []
        for i, want in enumerate(wanted):
            least = (input.shape[i - num_spatial_dims] - 1) * stride[i] + 1 - 2 * padding[i]
            least += (1 if dilation is None else dilation[i]) * (kernel_size[i] - 1)
            if not least <= want < least + stride[i]:
                raise ValueError(
                    f"requested an output size of {wanted}, but axis {i} can have sizes from {least} "
                    f"to {least + stride[i] - 1} for an input of {tuple(input.shape)}"
                )
            extra.append(want - least)
        return extra

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Compute (N, out_channels, ...); `output_size` chooses one of the sizes that the stride allows."""
        conv = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.axes - 1]
        extra = self._output_padding(
            input,
            output_size,
            self.stride,
            self.padding,
            self.kernel_size,
            self.axes,
            self.dilation,
        )
        return conv(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups,
            self.dilation,
        )  # fmt: skip


class ConvTranspose1d(_Transpose):
    """The transpose (gradient) of Conv1d: (N, C_in, L) to (N, C_out, L_out).

    L_out = (L − 1)·stride − 2·padding + dilation·(kernel_size − 1) + output_padding + 1.
    `weight` is (in_channels, out_channels / groups, kernel_size).
    """

    axes = 1


class ConvTranspose2d(_Transpose):
    """The transpose (gradient) of Conv2d; each size follows the formula of ConvTranspose1d."""

    axes = 2


class ConvTranspose3d(_Transpose):
    """The transpose (gradient) of Conv3d; each size follows the formula of ConvTranspose1d."""

    axes = 3

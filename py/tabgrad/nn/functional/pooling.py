"""Pooling over windows and over regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabgrad.ops.composite import windows
from tabgrad.tensor import Tensor

Sizes = int | Sequence[int]


def max_pool1d(
    input: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    dilation: Sizes = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Return the maximum of each window of `input` [N, C, L] (or [C, L]).

    The derivative goes to the first maximum. `stride` is the kernel size unless given; `return_indices` also
    gives where each maximum lies, counted through the spatial axes.
    """
    return windows.max_pool(
        "max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


def max_pool2d(
    input: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    dilation: Sizes = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Return the maximum of each window of `input` [N, C, H, W] (or [C, H, W]).

    The derivative goes to the first maximum. `stride` is the kernel size unless given; `return_indices` also
    gives where each maximum lies, counted through the spatial axes.

    >>> import tabgrad as tg
    >>> x = tg.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], device="cpu")
    >>> tg.nn.functional.max_pool2d(x, 2)
    tensor([[[[4.]]]])
    """
    return windows.max_pool(
        "max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


def max_pool3d(
    input: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    dilation: Sizes = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Return the maximum of each window of `input` [N, C, D, H, W] (or [C, D, H, W]).

    The derivative goes to the first maximum. `stride` is the kernel size unless given; `return_indices` also
    gives where each maximum lies, counted through the spatial axes.
    """
    return windows.max_pool(
        "max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


def avg_pool1d(
    input: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    ceil_mode: bool = False, count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """Return the mean of each window of `input` [N, C, L] (or [C, L])."""
    return windows.avg_pool(
        "avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad
    )


def avg_pool2d(
    input: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """Return the mean of each window of `input` [N, C, H, W] (or [C, H, W])."""
    return windows.avg_pool(
        "avg_pool2d",
        2,
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )


def avg_pool3d(
    input: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """Return the mean of each window of `input` [N, C, D, H, W] (or [C, D, H, W])."""
    return windows.avg_pool(
        "avg_pool3d",
        3,
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Return the p-norm of each window of `input` [N, C, L] (or [C, L]); p is `norm_type`."""
    return windows.lp_pool("lp_pool1d", 1, input, norm_type, kernel_size, stride, ceil_mode)


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Return the means of as many regions of `input` [N, C, L] (or [C, L]) as `output_size` says."""
    return windows.adaptive_avg_pool("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Return the maxima of as many regions of `input` [N, C, L] (or [C, L]), and where they lie if asked."""
    return windows.adaptive_max_pool("adaptive_max_pool1d", 1, input, output_size, return_indices)


def max_unpool1d(
    input: Tensor, indices: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """Return zeros with the elements of `input` at `indices`, as `max_pool1d` gave them."""
    sizes = windows.unpooled_sizes(
        "max_unpool1d", 1, input, kernel_size, stride, padding, output_size
    )
    return windows.max_unpool("max_unpool1d", 1, input, indices, sizes)


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Return the p-norm of each window of `input` [N, C, H, W] (or [C, H, W]); p is `norm_type`."""
    return windows.lp_pool("lp_pool2d", 2, input, norm_type, kernel_size, stride, ceil_mode)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Return the means of as many regions of `input` [N, C, H, W] (or [C, H, W]) as `output_size` says."""
    return windows.adaptive_avg_pool("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Return the maxima of as many regions of `input` [N, C, H, W] (or [C, H, W]), and where they lie."""
    return windows.adaptive_max_pool("adaptive_max_pool2d", 2, input, output_size, return_indices)


def max_unpool2d(
    input: Tensor, indices: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """Return zeros with the elements of `input` at `indices`, as `max_pool2d` gave them."""
    sizes = windows.unpooled_sizes(
        "max_unpool2d", 2, input, kernel_size, stride, padding, output_size
    )
    return windows.max_unpool("max_unpool2d", 2, input, indices, sizes)


def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Return the p-norm of each window of `input` [N, C, D, H, W] (or [C, D, H, W]); p is `norm_type`."""
    return windows.lp_pool("lp_pool3d", 3, input, norm_type, kernel_size, stride, ceil_mode)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Return the means of as many regions of `input` [N, C, D, H, W] as `output_size` says."""
    return windows.adaptive_avg_pool("adaptive_avg_pool3d", 3, input, output_size)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Return the maxima of as many regions of `input` [N, C, D, H, W], and where they lie if asked."""
    return windows.adaptive_max_pool("adaptive_max_pool3d", 3, input, output_size, return_indices)


def max_unpool3d(
    input: Tensor, indices: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """Return zeros with the elements of `input` at `indices`, as `max_pool3d` gave them."""
    sizes = windows.unpooled_sizes(
        "max_unpool3d", 3, input, kernel_size, stride, padding, output_size
    )
    return windows.max_unpool("max_unpool3d", 3, input, indices, sizes)

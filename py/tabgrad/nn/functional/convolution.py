"""Convolutions and transposed convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from tabgrad.core.refusal import of_tensors
from tabgrad.ops.composite.convolution import convolve, convolve_transpose
from tabgrad.tensor import Tensor

Sizes = int | Sequence[int]


@of_tensors
def conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1,
    padding: Sizes | str = 0, dilation: Sizes = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Return the convolution of `input` [N, C, L] (or [C, L]) with `weight` [O, C / groups, k].

    `padding` is a number of zeros on both sides, "valid" (none) or "same" (as many as keep the length).

    >>> import tabgrad as tg
    >>> x, w = tg.ones(1, 1, 4, device="cpu"), tg.ones(1, 1, 2, device="cpu")
    >>> tg.nn.functional.conv1d(x, w)
    tensor([[[2., 2., 2.]]])
    """
    return convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@of_tensors
def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1,
    padding: Sizes | str = 0, dilation: Sizes = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Return the convolution of `input` [N, C, H, W] (or [C, H, W]) with `weight` [O, C / groups, kh, kw]."""
    return convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@of_tensors
def conv3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1,
    padding: Sizes | str = 0, dilation: Sizes = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Return the convolution of `input` [N, C, D, H, W] with `weight` [O, C / groups, kd, kh, kw]."""
    return convolve("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1, padding: Sizes = 0,
    output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1,
) -> Tensor:  # fmt: skip
    """Return the transposed convolution of `input` [N, C, L] with `weight` [C, O / groups, k]."""
    return convolve_transpose(
        "conv_transpose1d",
        1,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


def conv_transpose2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1, padding: Sizes = 0,
    output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1,
) -> Tensor:  # fmt: skip
    """Return the transposed convolution of `input` [N, C, H, W] with `weight` [C, O / groups, kh, kw].

    It is the transpose of `conv2d` by its input, so an input gradient of that; `output_padding` makes the
    result longer at the end where several lengths would fit.
    """
    return convolve_transpose(
        "conv_transpose2d",
        2,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


def conv_transpose3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1, padding: Sizes = 0,
    output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1,
) -> Tensor:  # fmt: skip
    """Return the transposed convolution of `input` [N, C, D, H, W] with `weight` [C, O / groups, *kernel]."""
    return convolve_transpose(
        "conv_transpose3d",
        3,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )

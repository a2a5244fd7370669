"""Convolutions and transposed convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, NumberRangeError, ShapeError
from tabgrad.core.promotion import needs_float
from tabgrad.core.tensor_arguments import of_tensors
from tabgrad.nn.functional.linear import one_dtype
from tabgrad.nn.functional.normalization import along
from tabgrad.nn.functional.windows import each_axis
from tabgrad.ops.conv import conv, reach
from tabgrad.ops.elementwise import add
from tabgrad.ops.view import flip, permute, reshape
from tabgrad.tensor import Tensor
from tabgrad.tensor.chained import chained

if TYPE_CHECKING:
    from tabgrad.tensor.types import Dims, Ints


def _paddings(
    name: str, padding: Dims | str, kernel: Ints, strides: Ints, dilations: Ints
) -> tuple[tuple[int, int], ...]:
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding == "same":
        if any(s != 1 for s in strides):
            raise ArgumentError(
                f"{name}: padding='same' is not supported for strided convolutions, got stride {strides}"
            )
        totals = [reach(k, d) - 1 for k, d in zip(kernel, dilations, strict=True)]
        return tuple((t // 2, t - t // 2) for t in totals)
    if isinstance(padding, str):
        raise ArgumentError(
            f"{name}: Invalid padding string: {padding!r}, expected numbers, 'same' or 'valid'"
        )
    return tuple((p, p) for p in _not_negative(name, padding, len(kernel)))


def _not_negative(name: str, padding: Dims, n: int, what: str = "padding") -> Ints:
    found = each_axis(f"{name}: {what}", padding, n)
    if found and min(found) < 0:
        raise RuntimeError(f"{name}: negative {what} is not supported, got {found}; crop instead")
    return found


def _check_groups(name: str, weight: Tensor, groups: int) -> None:
    if weight.spec.dtype is dt.bool_:
        needs_float(name, weight)
    if groups < 1:
        raise NumberRangeError(f"{name}: non-positive groups is not supported, got {groups}")


def _batched(name: str, input: Tensor, weight: Tensor, n: int) -> tuple[Any, bool]:
    shape = input.spec.shape
    if len(weight.spec.shape) != n + 2 or len(shape) not in (n + 1, n + 2):
        raise ShapeError(
            f"{name}: expected an input of {n + 1} or {n + 2} dimensions and a weight of {n + 2}, "
            f"got {shape} and {weight.spec.shape}"
        )
    single = len(shape) == n + 1
    return (reshape.bind(input, shape=(1, *shape)) if single else input), single


def _finish(y: Tensor, bias: Tensor | None, single: bool, name: str) -> Tensor:
    if bias is not None:
        if bias.spec.shape != (y.spec.shape[1],):
            raise ShapeError(
                f"{name}: bias must have shape ({y.spec.shape[1]},), got {bias.spec.shape}"
            )
        y = add.bind(y, along(bias, y, 1))
    return reshape.bind(y, shape=y.spec.shape[1:]) if single else y


def _steps(name: str, n: int, stride: Dims, dilation: Dims) -> tuple[Any, Any]:
    """Expand strides and dilations to `n` axes; raise if they are not positive."""
    strides = each_axis(f"{name}: stride", stride, n)
    dilations = each_axis(f"{name}: dilation", dilation, n)
    if min(strides) < 1 or min(dilations) < 1:
        raise NumberRangeError(
            f"{name}: non-positive stride or dilation is not supported, got {strides} and {dilations}"
        )
    return strides, dilations


@chained
def _convolve(
    n: int, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Dims,
    padding: Dims | str, dilation: Dims, groups: int,
) -> Tensor:  # fmt: skip
    """Compute the convolution over the last `n` axes of [N, C, ...] (or [C, ...]) with [O, C / groups, ...]."""
    name = f"conv{n}d"
    input, weight, bias = one_dtype(name, input, weight, bias)
    input, single = _batched(name, input, weight, n)
    strides, dilations = _steps(name, n, stride, dilation)
    _check_groups(name, weight, groups)
    pairs = _paddings(name, padding, weight.spec.shape[2:], strides, dilations)
    y = conv.bind(
        input, weight, strides=strides, padding=pairs, dilations=dilations, lhs_dilations=(1,) * n,
        groups=groups,
    )  # fmt: skip
    return _finish(y, bias, single, name)


@chained
def _convolve_transpose(
    n: int, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Dims,
    padding: Dims, output_padding: Dims, groups: int, dilation: Dims,
) -> Tensor:  # fmt: skip
    """Apply the transpose of `_convolve` with respect to its input; the weight is [C, O / groups, ...]."""
    name = f"conv_transpose{n}d"
    input, weight, bias = one_dtype(name, input, weight, bias)
    input, single = _batched(name, input, weight, n)
    strides, dilations = _steps(name, n, stride, dilation)
    _check_groups(name, weight, groups)
    pads = _not_negative(name, padding, n)
    extra = _not_negative(name, output_padding, n, "output_padding")
    for e, s, d in zip(extra, strides, dilations, strict=True):
        if e >= max(s, d):
            raise ArgumentError(
                f"{name}: output_padding {e} must be smaller than stride {s} or dilation {d}"
            )
    channels, per_group, kernel = weight.spec.shape[0], weight.spec.shape[1], weight.spec.shape[2:]
    if input.spec.shape[1] != channels or channels % groups:
        raise ShapeError(
            f"{name}: a weight {weight.spec.shape} needs an input with {channels} channels, divisible by "
            f"groups {groups}; got {input.spec.shape}"
        )
    w = flip.bind(weight, axes=tuple(range(2, 2 + n))) if any(k > 1 for k in kernel) else weight
    w = reshape.bind(w, shape=(groups, channels // groups, per_group, *kernel))
    w = permute.bind(w, dims=(0, 2, 1, *range(3, 3 + n)))
    w = reshape.bind(w, shape=(groups * per_group, channels // groups, *kernel))
    pairs = []
    for k, p, e, d in zip(kernel, pads, extra, dilations, strict=True):
        pairs.append((reach(k, d) - 1 - p, reach(k, d) - 1 - p + e))
    y = conv.bind(
        input, w, strides=(1,) * n, padding=tuple(pairs), dilations=dilations, lhs_dilations=strides,
        groups=groups,
    )  # fmt: skip
    return _finish(y, bias, single, name)


@of_tensors
def conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Dims = 1,
    padding: Dims | str = 0, dilation: Dims = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Compute the convolution of `input` [N, C, L] (or [C, L]) with `weight` [O, C / groups, k].

    `padding` is a number of zeros on both sides, "valid" (none) or "same" (as many as keep the length).

    >>> import tabgrad as tg
    >>> x, w = tg.ones(1, 1, 4, device="cpu"), tg.ones(1, 1, 2, device="cpu")
    >>> tg.nn.functional.conv1d(x, w)
    tensor([[[2., 2., 2.]]])
    """
    return _convolve(1, input, weight, bias, stride, padding, dilation, groups)


@of_tensors
def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Dims = 1,
    padding: Dims | str = 0, dilation: Dims = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Compute the convolution of `input` [N, C, H, W] (or [C, H, W]) with `weight` [O, C / groups, kh, kw]."""
    return _convolve(2, input, weight, bias, stride, padding, dilation, groups)


@of_tensors
def conv3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Dims = 1,
    padding: Dims | str = 0, dilation: Dims = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Compute the convolution of `input` [N, C, D, H, W] with `weight` [O, C / groups, kd, kh, kw]."""
    return _convolve(3, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Dims = 1,
    padding: Dims = 0, output_padding: Dims = 0, groups: int = 1, dilation: Dims = 1,
) -> Tensor:  # fmt: skip
    """Compute the transposed convolution of `input` [N, C, L] with `weight` [C, O / groups, k]."""
    return _convolve_transpose(
        1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Dims = 1,
    padding: Dims = 0, output_padding: Dims = 0, groups: int = 1, dilation: Dims = 1,
) -> Tensor:  # fmt: skip
    """Compute the transposed convolution of `input` [N, C, H, W] with `weight` [C, O / groups, kh, kw].

    It is the transpose of `conv2d` with respect to its input, which computes that gradient. `output_padding`
    makes the result longer at the end if several lengths are possible.
    """
    return _convolve_transpose(
        2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Dims = 1,
    padding: Dims = 0, output_padding: Dims = 0, groups: int = 1, dilation: Dims = 1,
) -> Tensor:  # fmt: skip
    """Compute the transposed convolution of `input` [N, C, D, H, W] with `weight` [C, O / groups, *kernel]."""
    return _convolve_transpose(
        3, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


@of_tensors
def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """Compute the convolution of `input` [T, N, C] with `weight` [k, C, O] along the first axis: [T', N, O].

    `pad` is a number of zeros on both sides.

    >>> import tabgrad as tg
    >>> x, w, b = tg.ones(3, 1, 1), tg.ones(2, 1, 1), tg.zeros(1)
    >>> tg.nn.functional.conv_tbc(x, w, b).flatten()
    tensor([2., 2.])
    """
    for name, x, rank in (("Input", input, 3), ("Weight", weight, 3), ("Bias", bias, 1)):
        if len(x.spec.shape) != rank:
            raise ShapeError(f"conv_tbc: {name} must have {rank} dims, got {x.spec.shape}")
    if input.spec.shape[2] != weight.spec.shape[1]:
        raise ShapeError(
            "conv_tbc: Input dim 2 (input channels) is not == dim 1 in the weight tensor: "
            f"got {input.spec.shape} and {weight.spec.shape}"
        )
    if weight.spec.shape[2] != bias.spec.shape[0]:
        raise ShapeError(
            "conv_tbc: Bias size must equal dim 2 in the weight tensor (output channels): "
            f"got {bias.spec.shape} and {weight.spec.shape}"
        )
    x = permute.bind(input, dims=(1, 2, 0))
    y = _convolve(1, x, permute.bind(weight, dims=(2, 1, 0)), bias, 1, pad, 1, 1)
    return permute.bind(y, dims=(2, 0, 1))


__all__ = [
    "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
]  # fmt: skip

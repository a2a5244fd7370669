"""Linear layers and convolutions with PyTorch's arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DTypeError, NumberRangeError, ShapeError
from tabgrad.core.promotion import cast, needs_float, refuse_bool, result_dtype
from tabgrad.core.refusal import of_tensors
from tabgrad.core.shape import size
from tabgrad.core.trace import MODE
from tabgrad.ops.composite.norms import along
from tabgrad.ops.composite.windows import each_axis
from tabgrad.ops.conv import conv, reach
from tabgrad.ops.elementwise import add
from tabgrad.ops.linalg import matmul, transposed
from tabgrad.ops.view import expand, flip, permute, reshape

Ints = tuple[int, ...]


def _one_dtype(name: str, *tensors: Any) -> list[Any]:
    casting = MODE.get().extras.get("autocast")
    if casting is not None:
        tensors = casting.lowered(tensors)
    first = tensors[0].spec.dtype
    for t in tensors:
        if t is not None and t.spec.dtype is not first:
            break
    else:
        return list(tensors)
    if casting is None:
        raise DTypeError(
            f"{name}: expected input, weight and bias to have the same dtype, but got: "
            f"{' and '.join(repr(t.spec.dtype) for t in tensors if t is not None)}; cast them with .to(dtype)"
        )
    dtype = result_dtype(*(t for t in tensors if t is not None))
    return [None if t is None else cast(t, dtype) for t in tensors]


@of_tensors
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """Return input @ weight.T + bias for an input [..., in] and a weight [out, in].

    >>> import tabgrad as tg
    >>> x, w = tg.ones(2, 3, device="cpu"), tg.ones(1, 3, device="cpu")
    >>> tg.nn.functional.linear(x, w)
    tensor([[3.],
            [3.]])
    """
    refuse_bool("linear", input)
    shape, wanted = input.spec.shape, weight.spec.shape
    if not shape or len(wanted) not in (1, 2) or shape[-1] != wanted[-1]:
        raise ShapeError(
            f"linear: expected an input whose last size is that of the weight {wanted}, got {shape}"
        )
    if bias is not None and bias.spec.shape not in ((), wanted[:-1]):
        raise ShapeError(f"linear: bias must have shape {wanted[:-1]}, got {bias.spec.shape}")
    input, weight, bias = _one_dtype("linear", input, weight, bias)
    rows = input if len(shape) == 2 else reshape.bind(input, shape=(size(shape[:-1]), shape[-1]))
    w = weight if len(wanted) == 2 else reshape.bind(weight, shape=(1, wanted[0]))
    y = matmul.bind(rows, transposed(w))
    if bias is not None:
        y = add(y, bias)
    out = (*shape[:-1], *wanted[:-1])
    return y if y.spec.shape == out else reshape.bind(y, shape=out)


@of_tensors
def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """Return y[..., o] = input1[..., i] weight[o, i, j] input2[..., j] + bias[o]."""
    lead = input1.spec.shape[:-1]
    o, i, j = weight.spec.shape
    if input1.spec.shape[-1] != i or input2.spec.shape != (*lead, j):
        raise ShapeError(
            f"bilinear: expected inputs [..., {i}] and [..., {j}] for a weight {weight.spec.shape}, "
            f"got {input1.spec.shape} and {input2.spec.shape}"
        )
    n = size(lead)
    a, b = reshape.bind(input1, shape=(n, i)), reshape.bind(input2, shape=(n, j))
    left = matmul.bind(a, reshape.bind(permute.bind(weight, dims=(1, 0, 2)), shape=(i, o * j)))
    left = reshape.bind(left, shape=(n, o, j))
    y = reshape.bind(matmul.bind(left, reshape.bind(b, shape=(n, j, 1))), shape=(*lead, o))
    return y if bias is None else add(y, cast(bias, y.spec.dtype))


# -- convolution -----------------------------------------------------------------------------------


def _paddings(
    name: str, padding: Any, kernel: Ints, strides: Ints, dilations: Ints
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


def _not_negative(name: str, padding: Any, n: int, what: str = "padding") -> Ints:
    found = each_axis(f"{name}: {what}", padding, n)
    if found and min(found) < 0:
        raise RuntimeError(f"{name}: negative {what} is not supported, got {found}; crop instead")
    return found


def _check_groups(name: str, weight: Any, groups: int) -> None:
    if weight.spec.dtype is dt.bool_:
        needs_float(name, weight)
    if groups < 1:
        raise NumberRangeError(f"{name}: non-positive groups is not supported, got {groups}")


def _batched(name: str, input: Any, weight: Any, n: int) -> tuple[Any, bool]:
    shape = input.spec.shape
    if len(weight.spec.shape) != n + 2 or len(shape) not in (n + 1, n + 2):
        raise ShapeError(
            f"{name}: expected an input of {n + 1} or {n + 2} dimensions and a weight of {n + 2}, "
            f"got {shape} and {weight.spec.shape}"
        )
    single = len(shape) == n + 1
    return (reshape.bind(input, shape=(1, *shape)) if single else input), single


def _finish(y: Any, bias: Any, single: bool, name: str) -> Any:
    if bias is not None:
        if bias.spec.shape != (y.spec.shape[1],):
            raise ShapeError(
                f"{name}: bias must have shape ({y.spec.shape[1]},), got {bias.spec.shape}"
            )
        y = add.bind(y, along(bias, y, 1))
    return reshape.bind(y, shape=y.spec.shape[1:]) if single else y


def convolve(
    name: str, n: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:  # fmt: skip
    """Return the convolution over the last `n` axes of [N, C, ...] (or [C, ...]) with [O, C / groups, ...]."""
    input, weight, bias = _one_dtype(name, input, weight, bias)
    input, single = _batched(name, input, weight, n)
    strides, dilations = (
        each_axis(f"{name}: stride", stride, n),
        each_axis(f"{name}: dilation", dilation, n),
    )
    if min(strides) < 1 or min(dilations) < 1:
        raise NumberRangeError(
            f"{name}: non-positive stride or dilation is not supported, got {strides} and {dilations}"
        )
    _check_groups(name, weight, groups)
    pairs = _paddings(name, padding, weight.spec.shape[2:], strides, dilations)
    y = conv.bind(
        input, weight, strides=strides, padding=pairs, dilations=dilations, lhs_dilations=(1,) * n,
        groups=groups,
    )  # fmt: skip
    return _finish(y, bias, single, name)


def convolve_transpose(
    name: str, n: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, output_padding: Any,
    groups: int, dilation: Any,
) -> Any:  # fmt: skip
    """Return the transpose of `convolve` by its input: the weight is [C, O / groups, ...]."""
    input, weight, bias = _one_dtype(name, input, weight, bias)
    input, single = _batched(name, input, weight, n)
    strides, dilations = (
        each_axis(f"{name}: stride", stride, n),
        each_axis(f"{name}: dilation", dilation, n),
    )
    if min(strides) < 1 or min(dilations) < 1:
        raise NumberRangeError(
            f"{name}: non-positive stride or dilation is not supported, got {strides} and {dilations}"
        )
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


def expand_to(x: Any, shape: Sequence[int]) -> Any:
    """Return `x` broadcast to `shape`."""
    return x if x.spec.shape == tuple(shape) else expand.bind(x, shape=tuple(shape))


__all__ = ["bilinear", "convolve", "convolve_transpose", "expand_to", "linear"]

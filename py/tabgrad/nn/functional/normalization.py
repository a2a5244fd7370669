"""Normalisation: over the last axes, over the batch, over groups of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tabgrad.core.errors import ArgumentError, ShapeError
from tabgrad.core.promotion import needs_float, needs_real, single, widened
from tabgrad.core.shape import size
from tabgrad.core.trace import constant
from tabgrad.nn.functional.windows import window_sum
from tabgrad.ops.elementwise import add, copy, mul, rsqrt, square, stop_gradient, sub
from tabgrad.ops.reduction import keep, reduce_sum
from tabgrad.ops.view import reshape
from tabgrad.tensor.aliasing import whole
from tabgrad.tensor.chained import chained, composed

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Ints


def mean(x: Tensor, axes: Ints) -> Tensor:
    """Compute the mean over `axes`, which are dropped."""
    n = size(tuple(x.spec.shape[a] for a in axes))
    total = reduce_sum.bind(x, axes=axes)
    return mul(total, 1 / n) if n else add(total, float("nan"))


def centered(x: Tensor, axes: Ints) -> tuple[Any, Any, Any]:
    """Compute the mean over `axes`, `x` minus that mean, and the biased variance."""
    middle = mean(x, axes)
    rest = sub.bind(x, keep(middle, x, axes))
    return middle, rest, mean(square(rest), axes)


def along(v: Tensor, x: Tensor, axis: int) -> Tensor:
    """Lay the vector `v` along `axis` of `x`, repeated over the other axes."""
    return keep(v, x, tuple(i for i in range(len(x.spec.shape)) if i != axis))


def _last_axes(
    name: str, x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None
) -> Ints:
    if not hasattr(normalized_shape, "__iter__"):
        raise TypeError(
            f"{name}(): argument 'normalized_shape' must be tuple of ints, not "
            f"{type(normalized_shape).__name__}"
        )
    shape = tuple(normalized_shape)
    rank = len(x.spec.shape)
    if not shape or x.spec.shape[rank - len(shape) :] != shape:
        raise ShapeError(
            f"{name}: the input must end with normalized_shape {shape}, got {x.spec.shape}"
        )
    if weight is not None and weight.spec.shape != shape:
        raise ShapeError(f"{name}: weight must have shape {shape}, got {weight.spec.shape}")
    return tuple(range(rank - len(shape), rank))


@composed
@widened(first=True, autocast=True)
def layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None,
    bias: Tensor | None = None, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Normalise `input` to mean 0 and variance 1 over its last axes, then scale and shift it.

    `normalized_shape` is the shape of the last axes; `weight`, the scale, and `bias` have it.
    """
    needs_real("layer_norm", input)
    axes = _last_axes("layer_norm", input, normalized_shape, weight)
    _, rest, spread = centered(input, axes)
    y = mul.bind(rest, keep(rsqrt(add(spread, eps)), input, axes))
    y = y if weight is None else mul(y, weight)
    return y if bias is None else add(y, bias)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:  # fmt: skip
    """Divide `input` by its root mean square over its last axes, then scale it by `weight`.

    Without `eps` the machine epsilon is used, in half precision that of float32.
    """
    needs_float("rms_norm", input)
    return _rms_norm(input, weight, normalized_shape, epsilon(input) if eps is None else eps)


@composed
@widened(first=True, autocast=True)
def _rms_norm(
    input: Tensor, weight: Tensor | None, normalized_shape: Sequence[int], eps: float
) -> Tensor:
    axes = _last_axes("rms_norm", input, normalized_shape, weight)
    scale = rsqrt(add(mean(square(input), axes), eps))
    y = mul.bind(input, keep(scale, input, axes))
    return y if weight is None else mul(y, weight)


def epsilon(x: Tensor) -> float:
    """Find the machine epsilon of the dtype that norms of `x` are computed in: float32 for half precision."""
    return 2.0**-52 if x.spec.dtype.itemsize == 8 else 2.0**-23


def _affine(
    rest: Tensor, inverse: Tensor, weight: Tensor | None, bias: Tensor | None, x: Tensor
) -> Tensor:
    # the factors are multiplied here, while they are one number for each channel
    scale = inverse if weight is None else mul.bind(inverse, weight)
    y = mul.bind(rest, along(scale, x, 1))
    return y if bias is None else add.bind(y, along(bias, x, 1))


def batch_statistics(x: Tensor) -> tuple[Any, Any, Any]:
    """Compute the mean of each channel (axis 1), `x` minus that mean, and the biased variance."""
    shape = x.spec.shape
    if len(shape) < 2:
        raise ShapeError(f"batch_norm: expected an input [N, C, ...], got {shape}")
    return centered(x, (0, *range(2, len(shape))))


def move(running: Tensor, new: Tensor, momentum: float, factor: float) -> None:
    """Move a running statistic in place towards `factor * new`."""
    change = mul(stop_gradient(new), momentum * factor)
    running.copy_(add(mul(single(stop_gradient(running)), 1 - momentum), change))


def batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Normalise `input` [N, C, ...] for each channel, then scale it by `weight` and shift it by `bias`.

    In training the statistics of the batch are used, and `running_mean` and `running_var` move towards them in
    place by `momentum` (the running variance is unbiased). Otherwise the running statistics are used.
    """
    needs_real("batch_norm", input)
    if input.spec.shape == (0,):
        return copy.bind(input)
    _check_channels(
        input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                "running_mean must be defined in evaluation mode: batch_norm expected running_mean and "
                "running_var where training is False"
            )
        return _by_running(input, running_mean, running_var, weight, bias, eps)
    return _by_batch(input, weight, bias, Running(running_mean, running_var, momentum), eps)


def _check_channels(input: Tensor, **given: Any) -> None:
    shape = input.spec.shape
    for name, x in given.items():
        if x is not None and len(shape) > 1 and x.spec.shape != (shape[1],):
            raise ShapeError(
                f"batch_norm: {name} should contain {shape[1]} elements not {x.spec.size}: "
                f"one for each channel of {shape}, got {x.spec.shape}"
            )


@chained
@widened(first=True)
def _by_running(
    input: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    rest = sub.bind(input, along(mean, input, 1))
    return _affine(rest, rsqrt(add(var, eps)), weight, bias, input)


class Running(NamedTuple):
    """Running statistics that a batch updates in place, in the precision in which they are stored."""

    mean: Tensor | None
    var: Tensor | None
    momentum: float

    def move(self, mean: Tensor, var: Tensor, n: int) -> None:
        """Move both towards the statistics of a batch; `var` is its biased variance over `n` elements."""
        with whole(self.mean, self.var):
            for running, new, factor in (
                (self.mean, mean, 1.0),
                (self.var, var, n / max(1, n - 1)),
            ):
                if running is not None:
                    move(running, new, self.momentum, factor)


@widened(first=True)
def _by_batch(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, running: Running, eps: float
) -> Tensor:
    middle, rest, spread = batch_statistics(input)
    n = input.spec.size // max(1, input.spec.shape[1])
    if n <= 1 and input.spec.size:
        raise ShapeError(
            f"Expected more than 1 value per channel when training, got input size {input.shape}"
        )
    if n:
        running.move(middle, spread, n)
    else:
        # an empty batch has no variance, and must not make the gradient of the weight nan
        spread = constant(1, spread.spec, input.device)
    return _affine(rest, rsqrt(add(spread, eps)), weight, bias, input)


@chained
@widened(first=True, autocast=True)
def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Normalise `input` [N, C, ...] over each of `num_groups` groups of channels in each sample."""
    needs_real("group_norm", input)
    shape = input.spec.shape
    if num_groups < 1:
        raise ArgumentError(f"Expected num groups to be greater than 0, got {num_groups}")
    if len(shape) < 2 or shape[1] % num_groups:
        raise ShapeError(
            f"group_norm: the channels (dim 1) of {shape} must be divisible by num_groups {num_groups}"
        )
    rows = reshape.bind(
        input, shape=(shape[0], num_groups, input.spec.size // max(1, shape[0] * num_groups))
    )
    _, rest, spread = centered(rows, (2,))
    y = mul.bind(rest, keep(rsqrt(add(spread, eps)), rows, (2,)))
    y = reshape.bind(y, shape=shape)
    y = y if weight is None else mul.bind(y, along(weight, input, 1))
    return y if bias is None else add.bind(y, along(bias, input, 1))


def instance_norm(
    input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None,
    weight: Tensor | None = None, bias: Tensor | None = None, use_input_stats: bool = True,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Normalise `input` [N, C, ...] over the spatial axes of each sample and channel."""
    needs_real("instance_norm", input)
    shape = input.spec.shape
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if size(shape[2:]) == 1:
        raise ShapeError(
            f"Expected more than 1 spatial element when training, got input size {input.shape}"
        )
    return _by_instance(input, weight, bias, Running(running_mean, running_var, momentum), eps)


@widened(first=True)
def _by_instance(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, running: Running, eps: float
) -> Tensor:
    shape = input.spec.shape
    axes = tuple(range(2, len(shape)))
    middle, rest, spread = centered(input, axes)
    if running.mean is not None or running.var is not None:
        running.move(mean(middle, (0,)), mean(spread, (0,)), size(shape[2:]))
    y = mul.bind(rest, keep(rsqrt(add(spread, eps)), input, axes))
    y = y if weight is None else mul.bind(y, along(weight, input, 1))
    return y if bias is None else add.bind(y, along(bias, input, 1))


@chained
@widened
def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Divide `input` [N, C, ...] by (k + alpha * mean of squares over `size` channels) ** beta."""
    if len(input.spec.shape) < 3:
        raise ShapeError(f"Expected 3D or higher dimensionality input, got {input.spec.shape}")
    if size < 1:
        raise ArgumentError(
            f"local_response_norm: size should be greater than zero, but got {size}"
        )
    needs_real("local_response_norm", input)
    total = window_sum(square(input), 1, size, size // 2, (size - 1) // 2)
    return input / (total * (alpha / size) + k) ** beta


__all__ = [
    "batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm",
]  # fmt: skip

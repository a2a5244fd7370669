"""Initial values of parameters, written in place and outside the tape.

`fan_in` is the number of inputs that one output sums over, `fan_out` the number of outputs that one
input reaches; for a weight of shape (out, in, *kernel) they are in × kernel and out × kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec

import tabgrad as tg
from tabgrad.core.errors import warn

if TYPE_CHECKING:
    from tabgrad.tensor.generator import Generator

Tensor = tg.Tensor
P = ParamSpec("P")

_GAINS = {
    "linear": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv3d": 1.0, "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0, "conv_transpose3d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3,
    "relu": math.sqrt(2), "selu": 3 / 4,
}  # fmt: skip


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Compute the recommended scale of weights for this nonlinearity.

    `param` is the negative slope of `leaky_relu` (0.01 unless given).

    >>> import tabgrad as tg
    >>> tg.nn.init.calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ValueError(
            f"Unsupported nonlinearity {nonlinearity}; expected leaky_relu, {', '.join(_GAINS)}"
        )
    return _GAINS[nonlinearity]


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    shape = tensor.shape
    if len(shape) < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions; "
            f"this one has shape {tuple(shape)}"
        )
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    modes = ("fan_in", "fan_out")
    if mode.lower() not in modes:
        raise ValueError(f"Mode {mode} not supported, please use one of {modes}")
    return _calculate_fan_in_and_fan_out(tensor)[modes.index(mode.lower())]


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill `tensor` with uniform numbers from [a, b)."""
    with tg.no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill `tensor` with normal numbers."""
    with tg.no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Fill `tensor` with normal numbers truncated to [a, b].

    They come from the inverse of the distribution function, without a loop.
    """
    low, high = (math.erf((edge - mean) / (std * math.sqrt(2))) for edge in (a, b))
    with tg.no_grad():
        tensor.uniform_(low, high, generator=generator)
        tensor.erfinv_().mul_(std * math.sqrt(2)).add_(mean)
        return tensor.clamp_(a, b)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill `tensor` with one value."""
    with tg.no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill `tensor` with ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill `tensor` with zeros."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """Make a matrix the identity."""
    if tensor.ndim != 2:
        raise ValueError(
            f"Only tensors with 2 dimensions are supported, got shape {tuple(tensor.shape)}"
        )
    with tg.no_grad():
        return tensor.copy_(tg.eye(*tensor.shape, dtype=tensor.dtype, device=tensor.device))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Make a convolution's weight copy its input channels to the outputs, as far as there are outputs."""
    shape = tensor.shape
    if len(shape) not in (3, 4, 5):
        raise ValueError(
            f"Only tensors with 3, 4, or 5 dimensions are supported, got shape {tuple(shape)}"
        )
    if shape[0] % groups:
        raise ValueError(f"dim 0 ({shape[0]}) must be divisible by groups ({groups})")
    per_group = shape[0] // groups
    centre = sum((size // 2) * math.prod(shape[i + 3 :]) for i, size in enumerate(shape[2:]))
    field = math.prod(shape[2:])
    rows = tg.arange(shape[0], device=tensor.device).reshape(-1, 1, 1) % per_group
    columns = tg.arange(shape[1], device=tensor.device).reshape(1, -1, 1)
    places = tg.arange(field, device=tensor.device).reshape(1, 1, -1)
    with tg.no_grad():
        hit = (rows == columns) & (places == centre)
        return tensor.copy_(hit.reshape(shape).to(tensor.dtype))


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill with uniform numbers of variance gain² · 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / sum(_calculate_fan_in_and_fan_out(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with normal numbers of variance gain² · 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    std = gain * math.sqrt(2.0 / sum(_calculate_fan_in_and_fan_out(tensor)))
    return normal_(tensor, 0.0, std, generator)


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Fill with uniform numbers of variance gain² / fan (He et al. 2015); `a` is leaky_relu's slope."""
    if 0 in tensor.shape:
        return tensor
    std = calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode))
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Fill with normal numbers of variance gain² / fan (He et al. 2015); `a` is leaky_relu's slope."""
    if 0 in tensor.shape:
        return tensor
    std = calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode))
    return normal_(tensor, 0.0, std, generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Fill with a (semi-)orthogonal matrix, the axes after the first taken together (Saxe et al. 2013)."""
    if tensor.ndim < 2:
        raise ValueError(
            f"Only tensors with 2 or more dimensions are supported, got shape {tuple(tensor.shape)}"
        )
    if tensor.numel() == 0:
        return tensor
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    with tg.no_grad():
        drawn = tg.empty(rows, columns, dtype=tensor.dtype, device=tensor.device)
        drawn.normal_(0, 1, generator=generator)
        return tensor.copy_(_polar(drawn).reshape(tensor.shape) * gain)


def _polar(matrix: Tensor) -> Tensor:
    """Compute U Vᵀ of a matrix U S Vᵀ; for a normal matrix it is uniform over the orthogonal matrices.

    It takes products alone, which every device has: a quintic that lifts all singular values near one, then the
    Newton–Schulz cubic that brings them there.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = x / x.norm()
    for _ in range(15):
        gram = x @ x.T
        x = 3.4445 * x + (-4.775 * gram + 2.0315 * (gram @ gram)) @ x
    for _ in range(7):
        x = 1.5 * x - 0.5 * (x @ x.T) @ x
    return x if wide else x.T


def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """Fill a matrix with normal numbers, the fraction `sparsity` of each column being zero (Martens 2010)."""
    if tensor.ndim != 2:
        raise ValueError(
            f"Only tensors with 2 dimensions are supported, got shape {tuple(tensor.shape)}"
        )
    zeros = math.ceil(sparsity * tensor.shape[0])
    with tg.no_grad():
        tensor.normal_(0, std, generator=generator)
        order = tg.empty_like(tensor).uniform_(0, 1, generator=generator)
        rank = order.argsort(0).argsort(0)
        return tensor.copy_(tg.where(rank < zeros, 0.0, tensor))


def _deprecated(fn: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Return `fn` under its old name, which lacks the underscore, with a FutureWarning."""
    name = fn.__name__[:-1]

    def old(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        warn(
            f"`nn.init.{name}` is now deprecated in favor of `nn.init.{name}_`.",
            FutureWarning,
        )
        return fn(*args, **kwargs)

    old.__name__ = old.__qualname__ = name
    old.__doc__ = f"Do what `{name}_` does, with a FutureWarning: this is its old name."
    return old


uniform = _deprecated(uniform_)
normal = _deprecated(normal_)
constant = _deprecated(constant_)
eye = _deprecated(eye_)
dirac = _deprecated(dirac_)
xavier_uniform = _deprecated(xavier_uniform_)
xavier_normal = _deprecated(xavier_normal_)
kaiming_uniform = _deprecated(kaiming_uniform_)
kaiming_normal = _deprecated(kaiming_normal_)
orthogonal = _deprecated(orthogonal_)
sparse = _deprecated(sparse_)

"""Activations: element-wise functions, and softmax and its kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad.nn import init
from tabgrad.nn.module import Optioned
from tabgrad.nn.parameter import Parameter

if TYPE_CHECKING:
    from tabgrad.core.dtype import DType
    from tabgrad.tensor.types import DeviceLike

Tensor = tg.Tensor


class _Activation(Optioned):
    """An activation `_fn` with the options that `_options` names; `inplace` is printed only if it is on."""

    _fn: ClassVar[Callable[..., Tensor]]

    def forward(self, input: Tensor) -> Tensor:
        """Apply the activation; the result has the shape of `input`, but for GLU."""
        last = (self.inplace,) if "inplace" in self.__dict__ else ()
        return type(self)._fn(input, *self._given().values(), *last)

    def extra_repr(self) -> str:
        """Describe the options."""
        parts = [f"{name}={value!r}" for name, value in self._given().items()]
        if self.__dict__.get("inplace"):
            parts.append("inplace=True")
        return ", ".join(parts)


class _MaybeInplace(_Activation):
    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class ReLU(_MaybeInplace):
    """max(0, x).

    >>> import tabgrad as tg
    >>> tg.nn.ReLU()(tg.tensor([-1.0, 2.0], device="cpu"))
    tensor([0., 2.])
    """

    _fn = F.relu


class SiLU(_MaybeInplace):
    """x · sigmoid(x), also called swish."""

    _fn = F.silu


class Mish(_MaybeInplace):
    """x · tanh(softplus(x)) (Misra 2019)."""

    _fn = F.mish


class Hardswish(_MaybeInplace):
    """x · relu6(x + 3) / 6."""

    _fn = F.hardswish


class Hardsigmoid(_MaybeInplace):
    """relu6(x + 3) / 6."""

    _fn = F.hardsigmoid


class SELU(_MaybeInplace):
    """The self-normalising ELU (Klambauer et al. 2017)."""

    _fn = F.selu


class ELU(_Activation):
    """x where positive, else alpha · (exp(x) − 1)."""

    _fn, _options = F.elu, ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace


class CELU(_Activation):
    """max(0, x) + min(0, alpha · (exp(x / alpha) − 1))."""

    _fn, _options = F.celu, ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace


class LeakyReLU(_Activation):
    """x where positive, else negative_slope · x."""

    _fn, _options = F.leaky_relu, ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace


class RReLU(_Activation):
    """A leaky ReLU whose slope is drawn from [lower, upper] in training, and their mean otherwise."""

    _options = ("lower", "upper")

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False
    ) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)


class Hardtanh(_Activation):
    """x clamped to [min_val, max_val]."""

    _fn: ClassVar[Callable[..., Tensor]] = F.hardtanh
    _options: ClassVar[tuple[str, ...]] = ("min_val", "max_val")

    def __init__(
        self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False,
        min_value: float | None = None, max_value: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        # PyTorch's older names
        min_val = min_val if min_value is None else min_value
        max_val = max_val if max_value is None else max_value
        if min_val >= max_val:
            raise ValueError(f"Hardtanh: expected min_val < max_val, got {min_val} and {max_val}")
        self.min_val = min_val
        self.max_val = max_val
        self.inplace = inplace


class ReLU6(Hardtanh):
    """min(max(0, x), 6)."""

    _fn = F.relu6
    _options: ClassVar[tuple[str, ...]] = ()

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)


class Threshold(_Activation):
    """x where above `threshold`, else `value`."""

    _fn, _options = F.threshold, ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace


class PReLU(_Activation):
    """A leaky ReLU whose slope is learned: one for all, or one for each channel (axis 1)."""

    _options = ("num_parameters",)

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: DeviceLike | None = None,
        dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(tg.empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the slope to its initial value."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.prelu(input, self.weight)


class GELU(_Activation):
    """x · Φ(x), Φ being the normal distribution function; `approximate="tanh"` for the usual formula."""

    _fn, _options = F.gelu, ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate


class Sigmoid(_Activation):
    """1 / (1 + exp(−x))."""

    _fn = tg.sigmoid


class LogSigmoid(_Activation):
    """log(sigmoid(x)), without overflow."""

    _fn = F.logsigmoid


class Tanh(_Activation):
    """tanh(x)."""

    _fn = tg.tanh


class Tanhshrink(_Activation):
    """x − tanh(x)."""

    _fn = F.tanhshrink


class Softsign(_Activation):
    """x / (1 + |x|)."""

    _fn = F.softsign


class Softplus(_Activation):
    """log(1 + exp(beta · x)) / beta, and x where beta · x is above `threshold`."""

    _fn, _options = F.softplus, ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold


class Hardshrink(_Activation):
    """x where |x| > lambd, else 0."""

    _fn, _options = F.hardshrink, ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        """Describe the threshold."""
        return f"{self.lambd}"


class Softshrink(Hardshrink):
    """x moved towards 0 by lambd, and 0 within lambd of it."""

    _fn = F.softshrink


class GLU(_Activation):
    """a · sigmoid(b), a and b being the halves of the input along `dim`."""

    _fn, _options = F.glu, ("dim",)

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim


class Softmax(_Activation):
    """exp(x) over its sum along `dim`."""

    _fn, _options = F.softmax, ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim


class Softmin(Softmax):
    """The softmax of −x."""

    _fn = F.softmin


class LogSoftmax(Softmax):
    """The logarithm of the softmax, computed without losing small probabilities."""

    _fn = F.log_softmax


class Softmax2d(_Activation):
    """The softmax over the channels of (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise over the channels."""
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead")
        return F.softmax(input, -3)

"""Layers that take their input size from the first input they see.

A lazy layer's parameters exist from the start, so they can be given to an optimizer; their shapes are set
in the first call, after which the layer is an ordinary one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import tabgrad as tg
from tabgrad.nn import conv, linear, norm
from tabgrad.nn.module import Module
from tabgrad.nn.parameter import Uninitialized, UninitializedParameter

if TYPE_CHECKING:
    from tabgrad.core.dtype import DType
    from tabgrad.tensor.types import DeviceLike, Dims

Tensor = tg.Tensor


class LazyModuleMixin(Module):
    """Makes a module lazy: subclasses define `initialize_parameters` and `cls_to_become`."""

    cls_to_become: type[Module] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._infer = self.register_forward_pre_hook(_infer_parameters, with_kwargs=True)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Set the shapes of the parameters from the first input."""
        raise NotImplementedError(f"{type(self).__name__} does not define initialize_parameters")

    def has_uninitialized_params(self) -> bool:
        """Test whether any parameter has no shape yet."""
        return any(isinstance(p, Uninitialized) for p in self._parameters.values())

    def _materialize(self, **shapes: tuple[int, ...]) -> None:
        """Give parameters their shapes and initial values."""
        with tg.no_grad():
            for name, shape in shapes.items():
                p = self._parameters[name]
                if isinstance(p, UninitializedParameter):
                    p.materialize(shape)
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        raise NotImplementedError(f"{type(self).__name__} does not define reset_parameters")


def _infer_parameters(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    module.initialize_parameters(*args, **kwargs)
    if module.has_uninitialized_params():
        raise RuntimeError(
            f"module {type(module).__name__} has not been fully initialized by its first input"
        )
    module._infer.remove()
    del module._infer
    if module.cls_to_become is not None:
        module.__class__ = module.cls_to_become


def _empty(
    module: Module, names: Iterable[str], device: DeviceLike | None, dtype: DType | None
) -> None:
    for name in names:
        module._parameters[name] = UninitializedParameter(device=device, dtype=dtype)


class LazyLinear(LazyModuleMixin, linear.Linear):
    """A Linear layer whose `in_features` is the last size of its first input.

    >>> import tabgrad as tg
    >>> layer = tg.nn.LazyLinear(4, device="cpu")
    >>> _ = layer(tg.zeros(2, 7, device="cpu"))
    >>> layer
    Linear(in_features=7, out_features=4, bias=True)
    """

    cls_to_become = linear.Linear

    def __init__(
        self, out_features: int, bias: bool = True, device: DeviceLike | None = None,
        dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__(0, 0, False, device, dtype)
        _empty(self, ("weight", "bias") if bias else ("weight",), device, dtype)
        self.out_features = out_features

    def reset_parameters(self) -> None:
        """Draw initial values, if the shapes are known."""
        if not self.has_uninitialized_params() and self.in_features:
            super(LazyModuleMixin, self).reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        """Set the shapes."""
        if self.in_features == 0:
            self.in_features = input.shape[-1]
        if self.has_uninitialized_params():
            self._materialize(
                weight=(self.out_features, self.in_features), bias=(self.out_features,)
            )


class _LazyConv(LazyModuleMixin, conv._Conv):
    """For convolutions: `in_channels` is the size of axis 1 of the first input."""

    def __init__(
        self, out_channels: int, kernel_size: Dims, stride: Dims = 1,
        padding: Dims | str = 0, dilation: Dims = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", device: DeviceLike | None = None, dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            0, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
            device, dtype,
        )  # fmt: skip

    def _make_parameters(self, bias: bool, device: DeviceLike | None, dtype: DType | None) -> None:
        self.register_parameter("weight", None)
        self.register_parameter("bias", None)
        _empty(self, ("weight", "bias") if bias else ("weight",), device, dtype)

    def reset_parameters(self) -> None:
        """Draw initial values, if the shapes are known."""
        if not self.has_uninitialized_params():
            super(LazyModuleMixin, self).reset_parameters()

    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """Set the shapes."""
        if self.in_channels == 0:
            if input.ndim not in (self.axes + 1, self.axes + 2):
                raise RuntimeError(
                    f"{type(self).__name__}: expected {self.axes + 1}D or {self.axes + 2}D input, "
                    f"got {input.ndim}D"
                )
            self.in_channels = input.shape[-self.axes - 1]
            if self.in_channels % self.groups:
                raise ValueError(
                    f"in_channels ({self.in_channels}) must be divisible by groups ({self.groups})"
                )
        if self.has_uninitialized_params():
            self._materialize(weight=self._weight_shape(), bias=(self.out_channels,))


class LazyConv1d(_LazyConv, conv.Conv1d):
    """A Conv1d without `in_channels`."""

    cls_to_become = conv.Conv1d


class LazyConv2d(_LazyConv, conv.Conv2d):
    """A Conv2d without `in_channels`."""

    cls_to_become = conv.Conv2d


class LazyConv3d(_LazyConv, conv.Conv3d):
    """A Conv3d without `in_channels`."""

    cls_to_become = conv.Conv3d


class _LazyTransposed(_LazyConv):
    """For transposed convolutions, whose options come in another order."""

    def __init__(
        self, out_channels: int, kernel_size: Dims, stride: Dims = 1,
        padding: Dims = 0, output_padding: Dims = 0, groups: int = 1, bias: bool = True,
        dilation: Dims = 1, padding_mode: str = "zeros", device: DeviceLike | None = None,
        dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super(_LazyConv, self).__init__(
            0, out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation,
            padding_mode, device, dtype,
        )  # fmt: skip


class LazyConvTranspose1d(_LazyTransposed, conv.ConvTranspose1d):
    """A ConvTranspose1d without `in_channels`."""

    cls_to_become = conv.ConvTranspose1d


class LazyConvTranspose2d(_LazyTransposed, conv.ConvTranspose2d):
    """A ConvTranspose2d without `in_channels`."""

    cls_to_become = conv.ConvTranspose2d


class LazyConvTranspose3d(_LazyTransposed, conv.ConvTranspose3d):
    """A ConvTranspose3d without `in_channels`."""

    cls_to_become = conv.ConvTranspose3d


class _LazyNorm(LazyModuleMixin, norm._ByChannel):
    """For batch and instance norm: `num_features` is the size of axis 1 of the first input."""

    def __init__(
        self, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, device: DeviceLike | None = None,
        dtype: DType | None = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(0, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        names = [name for name, p in self._parameters.items() if p is not None]
        _empty(self, names, device, dtype)

    def reset_parameters(self) -> None:
        """Set initial values, if the shapes are known."""
        if not self.has_uninitialized_params() and self.num_features:
            super(LazyModuleMixin, self).reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        """Set the shapes."""
        if self.num_features:
            return
        self.num_features = n = input.shape[1]
        for name in ("running_mean", "running_var"):
            old = self._buffers.get(name)
            if old is not None and old.numel() != n:
                self._buffers[name] = tg.zeros(n, dtype=old.dtype, device=old.device)
        self._materialize(weight=(n,), bias=(n,))


class LazyBatchNorm1d(_LazyNorm, norm.BatchNorm1d):
    """A BatchNorm1d without `num_features`."""

    cls_to_become = norm.BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, norm.BatchNorm2d):
    """A BatchNorm2d without `num_features`."""

    cls_to_become = norm.BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, norm.BatchNorm3d):
    """A BatchNorm3d without `num_features`."""

    cls_to_become = norm.BatchNorm3d


class LazyInstanceNorm1d(_LazyNorm, norm.InstanceNorm1d):
    """An InstanceNorm1d without `num_features`."""

    cls_to_become = norm.InstanceNorm1d


class LazyInstanceNorm2d(_LazyNorm, norm.InstanceNorm2d):
    """An InstanceNorm2d without `num_features`."""

    cls_to_become = norm.InstanceNorm2d


class LazyInstanceNorm3d(_LazyNorm, norm.InstanceNorm3d):
    """An InstanceNorm3d without `num_features`."""

    cls_to_become = norm.InstanceNorm3d

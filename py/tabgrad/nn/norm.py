"""Normalisation over the batch, the features, groups of channels, or single images."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad.nn import init
from tabgrad.nn.module import Layer, Module
from tabgrad.nn.parameter import parameter_if
from tabgrad.tensor.aliasing import whole

if TYPE_CHECKING:
    from tabgrad.core.dtype import DType
    from tabgrad.tensor.types import DeviceLike

Tensor = tg.Tensor


class _ByChannel(Layer):
    """The base of batch and instance norm: statistics by channel (axis 1), with optional running statistics."""

    _version = 2
    dims: tuple[int, ...] = ()
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    weight: Any
    bias: Any

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
        affine: bool = True, track_running_stats: bool = True, device: DeviceLike | None = None,
        dtype: DType | None = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self._make(device, dtype, bias)
        self.reset_parameters()

    def _make(self, device: DeviceLike | None, dtype: DType | None, bias: bool) -> None:
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        n = self.num_features
        for name, there in (("weight", self.affine), ("bias", self.affine and bias)):
            self.register_parameter(name, parameter_if(there, n, device, dtype))
        tracked = self.track_running_stats
        self.register_buffer("running_mean", tg.zeros(n, **where) if tracked else None)
        self.register_buffer("running_var", tg.ones(n, **where) if tracked else None)
        count = tg.zeros((), dtype=_count_dtype(device), device=device) if tracked else None
        self.register_buffer("num_batches_tracked", count)

    def reset_running_stats(self) -> None:
        """Forget the running statistics."""
        if self.track_running_stats:
            for name, value in (
                ("running_mean", 0),
                ("running_var", 1),
                ("num_batches_tracked", 0),
            ):
                with tg.no_grad():
                    getattr(self, name).fill_(value)

    def reset_parameters(self) -> None:
        """Set weights to one and biases to zero, and forget the running statistics."""
        self.reset_running_stats()
        _reset(self)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim not in self.dims:
            wanted = " or ".join(f"{n}D" for n in self.dims)
            raise ValueError(
                f"{type(self).__name__}: expected {wanted} input (got {input.ndim}D input)"
            )

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: dict[str, Any], strict: bool,
        missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        key = prefix + "num_batches_tracked"
        old = local_metadata.get("version") is None or local_metadata["version"] < 2
        if old and self.track_running_stats and key not in state_dict:
            state_dict[key] = self.num_batches_tracked
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def extra_repr(self) -> str:
        """Describe the options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


def _count_dtype(device: DeviceLike | None) -> tg.dtype:
    where = tg.get_default_device() if device is None else tg.device(device).place
    return where.index_dtype


class _BatchNorm(_ByChannel):
    def forward(self, input: Tensor) -> Tensor:
        """Normalise; in training by the statistics of the batch, which also update the running statistics."""
        self._check_input_dim(input)
        moves = self.training and self.track_running_stats
        if moves and self.num_batches_tracked is not None:
            if self.num_batches_tracked.device.recorder is not None:
                from tabgrad.tensor.placing import fill_buffers

                fill_buffers(self.num_batches_tracked, self.running_mean, self.running_var)
            with whole(self.num_batches_tracked, self.running_mean, self.running_var):
                with tg.no_grad():
                    self.num_batches_tracked.add_(1)
                return self._cumulative(input) if self.momentum is None else self._normalised(input)
        return self._normalised(input)

    def _normalised(self, input: Tensor) -> Tensor:
        factor = 0.0 if self.momentum is None else self.momentum
        moves = self.training and self.track_running_stats
        by_batch = self.training or self.running_mean is None
        keep = not self.training or moves
        return self._by_statistics(
            input, self.running_mean if keep else None, self.running_var if keep else None, by_batch, factor
        )  # fmt: skip

    def _by_statistics(
        self, input: Tensor, mean: Tensor | None, var: Tensor | None, by_batch: bool, factor: float
    ) -> Tensor:
        return F.batch_norm(input, mean, var, self.weight, self.bias, by_batch, factor, self.eps)

    def _cumulative(self, input: Tensor) -> Tensor:
        # The weight of this batch is 1 / count, where the count stays on the device and is not read:
        # the running means are moved by hand from statistics that F.batch_norm leaves with momentum 1.
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        mean, var = tg.zeros_like(self.running_mean), tg.ones_like(self.running_var)
        y = self._by_statistics(input, mean, var, True, 1.0)
        with tg.no_grad():
            share = 1.0 / self.num_batches_tracked.to(mean.dtype)
            self.running_mean.add_((mean - self.running_mean) * share)
            self.running_var.add_((var - self.running_var) * share)
        return y


class BatchNorm1d(_BatchNorm):
    """(x − mean) / √(var + eps) · weight + bias by channel of (N, C) or (N, C, L) (Ioffe and Szegedy 2015).

    The variance that normalises is biased, the running one is not. The running statistics move by
    `momentum` towards those of each batch; with momentum None they are the mean over all batches.
    """

    dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation by channel of (N, C, H, W); see BatchNorm1d."""

    dims = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation by channel of (N, C, D, H, W); see BatchNorm1d."""

    dims = (5,)


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation of (N, C, ...) of any rank, by the statistics of the batches of all processes.

    In training all processes of the group call it, and its backward, equally often; their batches may differ
    in size. In one process it is BatchNorm.
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
        affine: bool = True, track_running_stats: bool = True, process_group: Any = None,
        device: DeviceLike | None = None, dtype: DType | None = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )
        self.process_group = process_group

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """Replace the batch norms in a module by SyncBatchNorm with their parameters and statistics.

        The module itself is changed and returned; if it is a batch norm, a new one is.

        >>> import tabgrad as tg
        >>> net = tg.nn.Sequential(tg.nn.Linear(2, 3), tg.nn.BatchNorm1d(3)).to("cpu")
        >>> type(tg.nn.SyncBatchNorm.convert_sync_batchnorm(net)[1]).__name__
        'SyncBatchNorm'
        """
        found = module
        if isinstance(module, _BatchNorm):
            found = SyncBatchNorm(
                module.num_features, module.eps, module.momentum, module.affine,
                module.track_running_stats, process_group, bias=module.bias is not None,
            )  # fmt: skip
            found._parameters.update(module._parameters)
            found._buffers.update(module._buffers)
            found.training = module.training
        for name, child in module.named_children():
            found.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return found

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected at least 2D input (got {input.ndim}D input)")

    def _by_statistics(
        self, input: Tensor, mean: Tensor | None, var: Tensor | None, by_batch: bool, factor: float
    ) -> Tensor:
        there = sys.modules.get("tabgrad.distributed")
        if by_batch and self.training and there is not None and there.is_initialized():
            group = there.group.WORLD if self.process_group is None else self.process_group
            if there.get_world_size(group) > 1:
                from tabgrad.distributed.differentiable import batch_norm

                return batch_norm(input, mean, var, self.weight, self.bias, factor, self.eps, group)
        return super()._by_statistics(input, mean, var, by_batch, factor)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "process_group": None}


class _InstanceNorm(_ByChannel):
    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False, device: DeviceLike | None = None,
        dtype: DType | None = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each image by itself; the batch axis may be absent."""
        self._check_input_dim(input)
        single = input.ndim == self._get_no_batch_dim()
        axis = input.ndim - self._get_no_batch_dim()
        if input.shape[axis] != self.num_features and self.affine:
            raise ValueError(
                f"expected input's size at dim={axis} to match num_features ({self.num_features}), "
                f"but got: {input.shape[axis]}."
            )
        return (self._handle_no_batch_input if single else self._apply_instance_norm)(input)

    def _get_no_batch_dim(self) -> int:
        return self.dims[0]

    def _handle_no_batch_input(self, input: Tensor) -> Tensor:
        return self._apply_instance_norm(input.unsqueeze(0)).squeeze(0)

    def _apply_instance_norm(self, input: Tensor) -> Tensor:
        return F.instance_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias,
            self.training or not self.track_running_stats, self.momentum or 0.0, self.eps,
        )  # fmt: skip


class InstanceNorm1d(_InstanceNorm):
    """Normalisation of each channel of each sequence in (N, C, L) or (C, L) (Ulyanov et al. 2016)."""

    dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Normalisation of each channel of each image in (N, C, H, W) or (C, H, W)."""

    dims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Normalisation of each channel of each volume in (N, C, D, H, W) or (C, D, H, W)."""

    dims = (4, 5)


class LayerNorm(Layer):
    """(x − mean) / √(var + eps) · weight + bias over the last axes, of sizes `normalized_shape` (Ba et al.
    2016)."""

    bias: Any

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float = 1e-5,
        elementwise_affine: bool = True, bias: bool = True, device: DeviceLike | None = None,
        dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.normalized_shape = _sizes(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        for name, there in (("weight", True), ("bias", bias)):
            made = elementwise_affine and there
            self.register_parameter(name, parameter_if(made, self.normalized_shape, device, dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weight to one and the bias to zero."""
        _reset(self)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise over the last axes."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Describe the options."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Layer):
    """x / √(mean(x²) + eps) · weight over the last axes (Zhang and Sennrich 2019).

    `eps` None is the machine epsilon of the input's dtype.
    """

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float | None = None,
        elementwise_affine: bool = True, device: DeviceLike | None = None,
        dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.normalized_shape = _sizes(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        new = parameter_if(elementwise_affine, self.normalized_shape, device, dtype)
        self.register_parameter("weight", new)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weight to one."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise over the last axes."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Describe the options."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(Layer):
    """Normalisation over groups of channels of (N, C, ...), weight and bias by channel (Wu and He 2018)."""

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True,
        device: DeviceLike | None = None, dtype: DType | None = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(
                f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        for name, there in (("weight", affine), ("bias", affine and bias)):
            self.register_parameter(name, parameter_if(there, num_channels, device, dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weights to one and biases to zero."""
        _reset(self)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each group of channels."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Describe the options."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Layer):
    """x / (k + alpha · mean of x² over `size` neighbouring channels)^beta (Krizhevsky et al. 2012)."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        """Normalise over neighbouring channels."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """Describe the options."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class CrossMapLRN2d(LocalResponseNorm):
    """`LocalResponseNorm` of images (N, C, H, W), by an old name."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        super().__init__(size, alpha, beta, k)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise over neighbouring channels."""
        if input.ndim != 4:
            raise ValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.ndim}D instead.")
        return super().forward(input)


def _reset(module: Module) -> None:
    if module.weight is not None:
        init.ones_(module.weight)
    if module.bias is not None:
        init.zeros_(module.bias)


def _sizes(shape: int | Sequence[int]) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)

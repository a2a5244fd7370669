"""Collective calls that return their result and have derivatives."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.autograd.function import Function
from tabgrad.distributed.collectives import all_reduce, all_to_all_single
from tabgrad.distributed.group import resolved

Tensor = tg.Tensor


class _Exchange(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, outs: Any, ins: Any, group: Any) -> Tensor:
        """Exchange the parts."""
        ctx.sizes = outs, ins, group
        rows = sum(outs) if outs else x.shape[0]
        out = x.new_empty((rows, *x.shape[1:]))
        all_to_all_single(out, x.contiguous(), outs, ins, group)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        """Send the gradient of each part to where the part came from."""
        outs, ins, group = ctx.sizes
        return _Exchange.apply(grad, ins, outs, group), None, None, None


def all_to_all_single_autograd(
    self: Tensor, output_split_sizes: list[int] | None, input_split_sizes: list[int] | None, group: Any,
    tag: str = "",
) -> Tensor:  # fmt: skip
    """Return what `all_to_all_single` would write; gradients go back the same way."""
    return _Exchange.apply(self, output_split_sizes, input_split_sizes, resolved(group))


class _Sum(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        """Add up the tensors of all."""
        ctx.group = group
        out = x.detach().clone()
        all_reduce(out, group=group)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        """Add up the gradients of all: each has a loss of its own, and the derivative is that of their sum."""
        return _Sum.apply(grad, ctx.group), None


def all_reduce_autograd(self: Tensor, group: Any = None) -> Tensor:
    """Return the sum of the tensors of all; gradients are those of the sum of the losses of all."""
    return _Sum.apply(self, resolved(group))


def batch_norm(
    x: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None,
    bias: Tensor | None, momentum: float, eps: float, group: Any,
) -> Tensor:  # fmt: skip
    """Normalise by the mean and variance of the batches of all, by channel, the second axis.

    The batches may differ in size. The running statistics move as those of `nn.functional.batch_norm`.
    """
    axes = [i for i in range(x.ndim) if i != 1]
    wide = x.float() if x.dtype in (tg.float16, tg.bfloat16) else x
    rows = wide.new_full((1,), x.numel() // x.shape[1])
    first = all_reduce_autograd(tg.cat([wide.sum(axes), rows]), group)
    count = first[-1:].detach()
    mean = first[:-1] / count
    shape = [1, -1] + [1] * (x.ndim - 2)
    centred = wide - mean.reshape(shape)
    var = all_reduce_autograd(centred.square().sum(axes), group) / count
    if running_mean is not None and running_var is not None:
        with tg.no_grad():
            unbiased = var * (count / (count - 1).clamp(min=1))
            running_mean.lerp_(mean.detach().to(running_mean.dtype), momentum)
            running_var.lerp_(unbiased.detach().to(running_var.dtype), momentum)
    scale = (var + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    out = centred * scale.reshape(shape)
    return (out if bias is None else out + bias.reshape(shape)).to(x.dtype)


def wait_tensor(tensor: Tensor) -> Tensor:
    """Return the tensor: a collective call that was not asked to be asynchronous has ended."""
    return tensor


__all__ = ["all_reduce_autograd", "all_to_all_single_autograd", "batch_norm", "wait_tensor"]

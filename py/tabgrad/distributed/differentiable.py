"""Collective calls that return their result and have derivatives."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.autograd.function import Function
from tabgrad.distributed.collectives import all_to_all_single
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


def wait_tensor(tensor: Tensor) -> Tensor:
    """Return the tensor: a collective call that was not asked to be asynchronous has ended."""
    return tensor


__all__ = ["all_to_all_single_autograd", "wait_tensor"]

"""Collective calls that return their result and have derivatives: `torch.distributed.nn.functional`.

Each process has a loss of its own; a gradient is that of the sum of the losses of all. All processes of the
group call them, and backward, in the same order.
"""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.autograd.function import Function
from tabgrad.distributed import collectives
from tabgrad.distributed.differentiable import all_reduce_autograd, all_to_all_single_autograd
from tabgrad.distributed.group import ProcessGroup, resolved
from tabgrad.distributed.reducing import ReduceOp

Tensor = tg.Tensor
Group = ProcessGroup | None


class _Broadcast(Function):
    @staticmethod
    def forward(ctx: Any, src: int, group: ProcessGroup, x: Tensor) -> Tensor:
        """Give all the values of `src`."""
        ctx.given = src, group
        out = x.detach().clone()
        collectives.broadcast(out, src, group)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        """Add up the gradients of all at `src`."""
        src, group = ctx.given
        total = _Reduce.apply(src, ReduceOp.SUM, group, grad)
        return None, None, total if group.ranks[group.rank()] == src else total * 0.0


class _Reduce(Function):
    @staticmethod
    def forward(ctx: Any, dst: int, op: ReduceOp, group: ProcessGroup, x: Tensor) -> Tensor:
        """Join the values of all at `dst`."""
        ctx.given = dst, group
        out = x.detach().clone()
        collectives.reduce(out, dst, op, group)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        """Give all the gradient of `dst`."""
        dst, group = ctx.given
        return None, None, None, _Broadcast.apply(dst, group, grad)


class _AllGather(Function):
    @staticmethod
    def forward(ctx: Any, group: ProcessGroup, x: Tensor) -> Any:
        """Give all the tensors of all."""
        ctx.group = group
        outs = [tg.empty_like(x) for _ in range(group.size())]
        collectives.all_gather(outs, x.detach(), group)
        return tuple(outs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Add up what each has as the gradient of the tensor of this process."""
        return None, _ReduceScatter.apply(ReduceOp.SUM, ctx.group, *grads)


class _ReduceScatter(Function):
    @staticmethod
    def forward(ctx: Any, op: ReduceOp, group: ProcessGroup, *xs: Tensor) -> Tensor:
        """Join the lists of all, tensor by tensor, and give each its tensor."""
        ctx.group = group
        out = tg.empty_like(xs[group.rank()])
        collectives.reduce_scatter(out, [x.detach() for x in xs], op, group)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        """Give all the gradients of all."""
        return None, None, *_AllGather.apply(ctx.group, grad)


class _Gather(Function):
    @staticmethod
    def forward(ctx: Any, dst: int, group: ProcessGroup, x: Tensor) -> Any:
        """Give `dst` the tensors of all, the others zeros."""
        ctx.given = dst, group
        outs = [tg.zeros_like(x) for _ in range(group.size())]
        own = group.ranks[group.rank()] == dst
        collectives.gather(x.detach(), outs if own else None, dst, group)
        return tuple(outs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Give each its gradient of `dst`."""
        return None, None, _Scatter.apply(*ctx.given, *grads)


class _Scatter(Function):
    @staticmethod
    def forward(ctx: Any, src: int, group: ProcessGroup, *xs: Tensor) -> Tensor:
        """Give each a tensor of `src`."""
        ctx.given = src, group
        out = tg.zeros_like(xs[0])
        own = group.ranks[group.rank()] == src
        collectives.scatter(out, [x.detach() for x in xs] if own else None, src, group)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        """Collect the gradients at `src`."""
        return None, None, *_Gather.apply(*ctx.given, grad)


def _summing(name: str, op: ReduceOp) -> None:
    if op is not ReduceOp.SUM:
        raise NotImplementedError(
            f"distributed.nn.{name}: only the sum has a derivative here, not {op}; use ReduceOp.SUM, or "
            f"distributed.{name} without one"
        )


def broadcast(tensor: Tensor, src: int, group: Group = None) -> Tensor:
    """Return the tensor of `src`, on all."""
    return _Broadcast.apply(src, resolved(group), tensor)


def gather(tensor: Tensor, dst: int = 0, group: Group = None) -> tuple[Tensor, ...]:
    """Return the tensors of all on `dst`, zeros elsewhere."""
    found: tuple[Tensor, ...] = _Gather.apply(dst, resolved(group), tensor)
    return found


def scatter(tensors: list[Tensor], src: int = 0, group: Group = None) -> Tensor:
    """Return, on each, its tensor of the list of `src`; the others give lists of such tensors too."""
    return _Scatter.apply(src, resolved(group), *tensors)


def reduce(tensor: Tensor, dst: int, op: ReduceOp = ReduceOp.SUM, group: Group = None) -> Tensor:
    """Return the sum of the tensors of all on `dst`, the tensor itself elsewhere."""
    _summing("reduce", op)
    return _Reduce.apply(dst, op, resolved(group), tensor)


def reduce_scatter(
    output: Tensor, input_list: list[Tensor], op: ReduceOp = ReduceOp.SUM, group: Group = None
) -> Tensor:  # fmt: skip
    """Return the sum of the tensors for this process in the lists of all; `output` says nothing more."""
    _summing("reduce_scatter", op)
    return _ReduceScatter.apply(op, resolved(group), *input_list)


def all_gather(tensor: Tensor, group: Group = None) -> tuple[Tensor, ...]:
    """Return the tensors of all, on all: those of a contrastive loss over the whole batch."""
    found: tuple[Tensor, ...] = _AllGather.apply(resolved(group), tensor)
    return found


def all_to_all(
    output_tensor_list: list[Tensor], input_tensor_list: list[Tensor], group: Group = None
) -> tuple[Tensor, ...]:  # fmt: skip
    """Return what all have for this process, in the shapes of the output list."""
    ins, outs = [x.numel() for x in input_tensor_list], [x.numel() for x in output_tensor_list]
    flat = tg.cat([x.reshape(-1) for x in input_tensor_list])
    got = all_to_all_single_autograd(flat, outs, ins, resolved(group)).split(outs)
    return tuple([x.reshape(out.shape) for x, out in zip(got, output_tensor_list, strict=True)])


def all_to_all_single(
    output: Tensor, input: Tensor, output_split_sizes: list[int] | None = None,
    input_split_sizes: list[int] | None = None, group: Group = None,
) -> Tensor:  # fmt: skip
    """Return the parts, along the first axis, that all have for this process."""
    return all_to_all_single_autograd(
        input, output_split_sizes, input_split_sizes, resolved(group)
    ).reshape(output.shape)


def all_reduce(tensor: Tensor, op: ReduceOp = ReduceOp.SUM, group: Group = None) -> Tensor:
    """Return the sum of the tensors of all, on all."""
    _summing("all_reduce", op)
    return all_reduce_autograd(tensor, resolved(group))


__all__ = [
    "all_gather", "all_reduce", "all_to_all", "all_to_all_single", "broadcast", "gather", "reduce",
    "reduce_scatter", "scatter",
]  # fmt: skip

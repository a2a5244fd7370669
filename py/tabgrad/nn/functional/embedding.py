"""Rows of tables: embeddings, bags of them, one-hot codes."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DTypeError, OutOfRangeError, PaddingError, ShapeError
from tabgrad.core.promotion import needs_float
from tabgrad.core.tensor_arguments import of_tensors
from tabgrad.core.trace import MODE
from tabgrad.nn.functional.normalization import mean
from tabgrad.ops.checked import complaint, within
from tabgrad.ops.elementwise import cast, div, maximum, mul, stop_gradient, where
from tabgrad.ops.indexing import gather, iota, scatter_add
from tabgrad.ops.reduction import first_max, reduce_sum
from tabgrad.ops.rounding import eq, isnan, ne
from tabgrad.ops.view import expand, reshape, spread
from tabgrad.tensor import Tensor
from tabgrad.tensor.chained import chained
from tabgrad.tensor.norms import vector_norm


def padding_row(name: str, padding_idx: int, rows: int) -> int:
    """Count `padding_idx` from 0; raise PaddingError if there is no such row."""
    if not -rows <= padding_idx < rows:
        raise PaddingError(
            f"Padding_idx must be within num_embeddings: {name}: padding_idx must be within the number of "
            f"embeddings, {-rows} through {rows - 1}, but got {padding_idx}"
        )
    return padding_idx % rows


@chained
def _looked_up(
    input: Tensor, weight: Tensor, padding_idx: int | None = None, name: str = "embedding",
    sparse: bool = False,
) -> Tensor:  # fmt: skip
    """Look up the rows of `weight` [V, D] that the integers `input` [...] name: [..., D].

    `padding_idx` is a row that gets no gradient.
    """
    if input.spec.dtype not in (dt.int64, dt.int32):
        raise DTypeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; "
            f"but got {input.spec.dtype!r}"
        )
    if len(weight.spec.shape) != 2:
        raise ShapeError(f"embedding: 'weight' must be 2-D, got shape {weight.spec.shape}")
    rows, width = weight.spec.shape
    if padding_idx is not None:
        padding_idx = padding_row(name, padding_idx, rows)
    if sparse and weight.tracked and not MODE.get().levels:
        found: Tensor = tg.sparse.rows.looked_up(input, weight, padding_idx, name)
        return found
    n = input.spec.size
    flat = input if len(input.spec.shape) == 1 else reshape.bind(input, shape=(n,))
    at = spread.bind(within(name, flat, rows), shape=(n, width), axes=(1,))
    y = gather.bind(weight, at, axis=0)
    if padding_idx is not None:
        y = where(eq(at, padding_idx), stop_gradient(y), y)
    return y if flat is input else reshape.bind(y, shape=(*input.spec.shape, width))


@of_tensors
def embedding(
    input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Tensor:  # fmt: skip
    """Look up the rows of `weight` [V, D] that the integers `input` [...] name: [..., D].

    `padding_idx` is a row that gets no gradient. With `max_norm` the rows that are read are first scaled down
    in place to that norm. `scale_grad_by_freq` divides the gradient of a row by how often it is read. With
    `sparse` the gradient of a leaf `weight` is a sparse tensor of the rows that were read; inside a transform
    it is dense.

    >>> import tabgrad as tg
    >>> table = tg.tensor([[1.0, 2.0], [3.0, 4.0]], device="cpu")
    >>> tg.nn.functional.embedding(tg.tensor([1, 0], device="cpu"), table)
    tensor([[3., 4.],
            [1., 2.]])
    """
    return _rows(
        "embedding", input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
    )


def _rows(
    name: str, input: Tensor, weight: Tensor, padding_idx: int | None, max_norm: float | None,
    norm_type: float, by_frequency: bool, sparse: bool,
) -> Tensor:  # fmt: skip
    if max_norm is not None:
        input = within(name, input, weight.shape[0])
        renormalize(input, weight, max_norm, norm_type)
    if sparse and by_frequency and weight.requires_grad and tg.is_grad_enabled():
        raise ArgumentError(f"{name}: scale_grad_by_freq not supported with sparse gradients")
    rows = _looked_up(input, weight, padding_idx, name, sparse)
    if not by_frequency:
        return rows
    counts = _counts(within(name, input, weight.shape[0]), weight)
    return _Shared.apply(rows, counts.reshape(*input.shape, 1))


def _counts(input: Tensor, weight: Tensor) -> Tensor:
    """Count the occurrences of each index in `input`, [n]."""
    with tg.no_grad():
        flat = input.reshape(-1)
        one = tg.ones(flat.shape[0], dtype=weight.dtype, device=weight.device)
        none = tg.zeros(weight.shape[0], dtype=weight.dtype, device=weight.device)
        return scatter_add.bind(none, flat, one, axis=0).take(flat)


class _Shared(tg.autograd.Function):
    """The identity of `rows`, whose cotangents are divided by `counts`; tangents are not, as in PyTorch."""

    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor, counts: Tensor) -> Tensor:
        return rows.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, ct: Tensor) -> Any:
        (counts,) = ctx.saved_tensors
        return ct / counts, None

    @staticmethod
    def jvp(ctx: Any, rows: Tensor, counts: Tensor) -> Any:
        return rows


def renormalize(input: Tensor, weight: Tensor, max_norm: float, p: float) -> None:
    """Scale the rows of `weight` that `input` names, and whose p-norm is larger, to `max_norm` in place."""
    with tg.no_grad():
        norms = vector_norm(weight, p, (1,))
        used = tg.zeros(weight.shape[0], dtype=weight.dtype, device=weight.device)
        flat = input.reshape(-1)
        one = tg.ones(flat.shape[0], dtype=weight.dtype, device=weight.device)
        used = scatter_add.bind(used, flat, one, axis=0)
        factor = where(norms > max_norm, div(max_norm, norms + 1e-7), 1.0)
        factor = where(ne(used, 0), factor, 1.0)
        weight.copy_(mul(weight, reshape.bind(factor, shape=(weight.shape[0], 1))))


@chained
def _one_hot(tensor: Tensor, num_classes: int) -> Tensor:
    """Put 1 at the class of each integer and 0 elsewhere, along a new last axis of size `num_classes`.

    An integer outside [0, num_classes) raises.
    """
    if tensor.spec.dtype is not tensor.device.canonical(dt.int64):
        raise DTypeError(
            "one_hot is only applicable to index tensor of type LongTensor, "
            f"got {tensor.spec.dtype!r}"
        )
    tensor = within("one_hot", tensor, num_classes, what="class")
    shape = (*tensor.spec.shape, num_classes)
    wide = spread.bind(tensor, shape=shape, axes=(len(shape) - 1,))
    line = expand.bind(iota(num_classes, tensor.spec.dtype, tensor.device), shape=shape)
    return cast.bind(eq(wide, line), dtype=tensor.spec.dtype)


@of_tensors
def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Put 1 at the class of each integer and 0 elsewhere, along a new last axis.

    `num_classes` is what the largest integer needs unless given, which reads the tensor back.

    >>> import tabgrad as tg
    >>> tg.nn.functional.one_hot(tg.tensor([0, 2], device="cpu"), 3)
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if num_classes == -1:
        if not tensor.spec.size:
            raise ShapeError("one_hot: num_classes must be given for an empty tensor")
        largest = int(tensor.max().item())
        if largest < 0:
            raise OutOfRangeError(complaint(largest, -1, "class", 0, "one_hot"))
        num_classes = largest + 1
    if num_classes < 1:
        raise ArgumentError(f"one_hot: num_classes must be positive, got {num_classes}")
    return _one_hot(tensor, num_classes)


def embedding_bag(
    input: Tensor, weight: Tensor, offsets: Tensor | None = None, max_norm: float | None = None,
    norm_type: float = 2, scale_grad_by_freq: bool = False, mode: str = "mean",
    sparse: bool = False, per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False, padding_idx: int | None = None,
) -> Tensor:  # fmt: skip
    """Compute the sum, mean or maximum of the rows of `weight` in each bag.

    `input` [B, n] holds bags of equal length, or [n] bags that begin at `offsets`. `per_sample_weights` scale
    the rows of a sum; rows of `padding_idx` are left out. `scale_grad_by_freq` and `sparse` are as in
    `embedding`.
    """
    needs_float("embedding_bag", weight)
    if mode not in ("sum", "mean", "max"):
        raise ArgumentError(f"embedding_bag: mode must be sum, mean or max, got {mode!r}")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            f"embedding_bag: per_sample_weights need mode='sum', got {mode!r}"
        )
    if mode == "max" and scale_grad_by_freq:
        raise ArgumentError("max mode does not support scaling the gradient by the frequency")
    if mode == "max" and sparse:
        raise ArgumentError("max mode does not support sparse weights (embedding_bag)")
    if padding_idx is not None:
        padding_idx = padding_row("embedding_bag", padding_idx, weight.shape[0])
    if len(input.shape) not in (1, 2):
        raise ShapeError(
            f"embedding_bag: input has to be 1D or 2D Tensor, but got shape {tuple(input.shape)}"
        )
    rows = _rows(
        "embedding_bag", input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
    )
    if len(input.shape) == 1:
        if offsets is None:
            raise ArgumentError("embedding_bag: a 1-d input needs offsets")
        return _ragged(
            input, rows, offsets, mode, per_sample_weights, include_last_offset, padding_idx
        )
    if per_sample_weights is not None:
        rows = mul(rows, reshape.bind(per_sample_weights, shape=(*input.shape, 1)))
    if padding_idx is None:
        if mode == "max":
            return first_max.bind(rows, axes=(1,))
        return mean(rows, (1,)) if mode == "mean" else reduce_sum.bind(rows, axes=(1,))
    keep = reshape.bind(ne(input, padding_idx), shape=(*input.shape, 1))
    if mode == "max":
        best = first_max.bind(where(keep, rows, -float("inf")), axes=(1,))
        return where(eq(best, -float("inf")), 0, best)
    total = reduce_sum.bind(where(keep, rows, 0), axes=(1,))
    count = reduce_sum.bind(keep.to(rows.dtype), axes=(1,))
    return div(total, maximum(count, 1)) if mode == "mean" else total


def _ragged(
    input: Tensor, rows: Tensor, offsets: Tensor, mode: str, weights: Tensor | None, last: bool,
    padding: int | None,
) -> Tensor:  # fmt: skip
    bags = offsets.shape[0] - (1 if last else 0)
    n, width = rows.spec.shape
    place = tg.arange(n, device=rows.device)
    offsets = within("the offsets of embedding_bag", offsets, n + 1)
    bag = tg.searchsorted(offsets[:bags], place, right=True) - 1
    # -1 stands for rows before the first bag
    bag = within("embedding_bag, whose first offset must be 0", bag, bags)
    share = tg.ones(n, dtype=rows.dtype, device=rows.device) if weights is None else weights
    if padding is not None:
        share = where(ne(input, padding), share, 0)
    if mode == "max":
        return _largest(rows, bag, bags, None if padding is None else ne(input, padding))
    rows = mul(rows, reshape.bind(share, shape=(n, 1)))
    wide = expand.bind(reshape.bind(bag, shape=(n, 1)), shape=(n, width))
    empty = tg.zeros(bags, width, dtype=rows.dtype, device=rows.device)
    total = scatter_add.bind(empty, wide, rows, axis=0)
    if mode == "sum":
        return total
    count = scatter_add.bind(
        tg.zeros(bags, dtype=rows.dtype, device=rows.device), bag, share, axis=0
    )
    return div(total, reshape.bind(maximum(count, 1), shape=(bags, 1)))


def _largest(rows: Tensor, bag: Tensor, bags: int, counted: Tensor | None) -> Tensor:
    """Compute the maximum of the rows of each bag, 0 for a bag without rows that count."""
    n, width = rows.spec.shape
    low = -float("inf")
    if counted is not None:
        rows = where(expand.bind(reshape.bind(counted, shape=(n, 1)), shape=(n, width)), rows, low)
    wide = expand.bind(reshape.bind(bag, shape=(n, 1)), shape=(n, width))
    start = tg.full((bags, width), low, dtype=rows.dtype, device=rows.device)
    if not n:
        return mul(tg.zeros_like(start), reduce_sum.bind(rows, axes=(0,)))
    values = rows.detach()
    best = tg.scatter_reduce(start, 0, wide, values, "amax")
    # the first of equal rows has the derivative
    of_bag = tg.gather(best, 0, wide)
    wins = where(isnan(of_bag), isnan(values), eq(values, of_bag))
    place = expand.bind(
        reshape.bind(tg.arange(n, device=rows.device), shape=(n, 1)), shape=(n, width)
    )
    last = tg.full((bags, width), n - 1, dtype=place.dtype, device=rows.device)
    first = tg.scatter_reduce(last, 0, wide, where(wins, place, n - 1), "amin")
    return where(eq(best, low), 0, tg.gather(rows, 0, first))


__all__ = ["embedding", "embedding_bag", "one_hot"]

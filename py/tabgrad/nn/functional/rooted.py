"""The functions of neural networks that PyTorch has at its root, with the arguments that they take there.

Reductions are numbers: 0 for "none", 1 for "mean", 2 for "sum". Without one nothing is reduced.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad.core.errors import ArgumentError, ShapeError
from tabgrad.core.shape import needs_rank
from tabgrad.core.tensor_arguments import of_tensors
from tabgrad.nn.functional.activation import celu_, into, prelu, selu_
from tabgrad.nn.functional.adaptive import adaptive_avg_pool1d
from tabgrad.nn.functional.convolution import (
    conv1d,
    conv2d,
    conv3d,
    conv_tbc,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)  # fmt: skip
from tabgrad.nn.functional.distance import cosine_similarity, pairwise_distance
from tabgrad.nn.functional.dropout import feature_dropout as by_channel, random_leaky_relu
from tabgrad.nn.functional.embedding import renormalize
from tabgrad.nn.functional.linear import bilinear
from tabgrad.nn.functional.normalization import rms_norm
from tabgrad.nn.functional.shuffling import channel_shuffle, pixel_shuffle, pixel_unshuffle
from tabgrad.ops.checked import within
from tabgrad.tensor import Tensor
from tabgrad.tensor.public import publish, takes_out

if TYPE_CHECKING:
    from tabgrad.tensor.generator import Generator
    from tabgrad.tensor.types import Dims, Number

REDUCTIONS = ("none", "mean", "sum")


def _reduction(name: str, reduction: int) -> str:
    if reduction not in (0, 1, 2):
        raise ArgumentError(
            f"{name}: reduction must be 0 (none), 1 (mean) or 2 (sum), got {reduction!r}"
        )
    return REDUCTIONS[reduction]


# -- dropout ---------------------------------------------------------------------------------------


def dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Zero each element with probability `p` and scale the others, if `train`; see `nn.functional.dropout`."""
    return F.dropout(input, p, train)


def dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """Do what `dropout` does, in place."""
    return F.dropout(input, p, train, True)


def alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Drop elements and keep mean and variance, if `train`; see `nn.functional.alpha_dropout`."""
    return F.alpha_dropout(input, p, train)


def alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """Do what `alpha_dropout` does, in place."""
    return F.alpha_dropout(input, p, train, True)


def feature_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Zero whole channels of `input` [N, C, ...] with probability `p`, if `train`."""
    return by_channel(input, p, train)


def feature_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """Do what `feature_dropout` does, in place."""
    return by_channel(input, p, train, True)


def feature_alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Apply `alpha_dropout` to whole channels of `input` [N, C, ...]."""
    return F.feature_alpha_dropout(input, p, train)


def feature_alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """Do what `feature_alpha_dropout` does, in place."""
    return F.feature_alpha_dropout(input, p, train, True)


# -- activations and pooling -----------------------------------------------------------------------


def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """Compute max(0, x) + min(0, alpha * (exp(x / alpha) - 1))."""
    return F.celu(input, alpha)


def selu(input: Tensor) -> Tensor:
    """Compute the self-normalising exponential unit."""
    return F.selu(input)


def rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Compute x where it is positive, and x times a slope elsewhere; see `nn.functional.rrelu`."""
    return random_leaky_relu(input, lower, upper, training, generator)


def rrelu_(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Do what `rrelu` does, in place."""
    return into(input, random_leaky_relu(input, lower, upper, training, generator), True)


@takes_out
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Select x where |x| > lambd, 0 elsewhere."""
    return F.hardshrink(input, lambd)


@takes_out
def threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    """Select `value` where x is at most `threshold`, x elsewhere."""
    return F.threshold(input, threshold, value)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """Do what `threshold` does, in place."""
    return F.threshold(input, threshold, value, True)


def adaptive_max_pool1d(input: Tensor, output_size: Dims) -> tuple[Tensor, Tensor]:
    """Return the maxima of as many regions of `input` [N, C, L] as `output_size` says, and where they lie."""
    return F.adaptive_max_pool1d(input, output_size, True)


def avg_pool1d(
    input: Tensor, kernel_size: Dims, stride: Dims = (), padding: Dims = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """Return the mean of each window of `input` [N, C, L]; see `nn.functional.avg_pool1d`."""
    return F.avg_pool1d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def max_pool1d(
    input: Tensor, kernel_size: Dims, stride: Dims = (), padding: Dims = 0, dilation: Dims = 1,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """Return the maximum of each window of `input` [N, C, L]; see `nn.functional.max_pool1d`."""
    return F.max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool1d_with_indices(
    input: Tensor, kernel_size: Dims, stride: Dims = (), padding: Dims = 0, dilation: Dims = 1,
    ceil_mode: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the maximum of each window of `input` [N, C, L], and where it lies."""
    return F.max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool2d(
    input: Tensor, kernel_size: Dims, stride: Dims = (), padding: Dims = 0, dilation: Dims = 1,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """Return the maximum of each window of `input` [N, C, H, W]; see `nn.functional.max_pool2d`."""
    return F.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool3d(
    input: Tensor, kernel_size: Dims, stride: Dims = (), padding: Dims = 0, dilation: Dims = 1,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """Return the maximum of each window of `input` [N, C, D, H, W]; see `nn.functional.max_pool3d`."""
    return F.max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode)


def constant_pad_nd(input: Tensor, pad: Sequence[int], value: Number = 0) -> Tensor:
    """Pad `input` with `value`: `pad` holds (before, after) for the last dim, the one before it, ..."""
    return F.pad(input, pad, "constant", value)  # type: ignore[arg-type]


def convolution(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: Dims, padding: Dims, dilation: Dims,
    transposed: bool, output_padding: Dims, groups: int,
) -> Tensor:  # fmt: skip
    """Compute a convolution over as many axes as `weight` has behind its first two, or a transposed one.

    >>> import tabgrad as tg
    >>> x, w = tg.ones(1, 1, 3, device="cpu"), tg.ones(1, 1, 2, device="cpu")
    >>> tg.convolution(x, w, None, [1], [0], [1], False, [0], 1)
    tensor([[[2., 2.]]])
    """
    n = len(weight.spec.shape) - 2
    if n not in (1, 2, 3):
        raise ArgumentError(
            f"convolution: expected a weight of 3, 4 or 5 dimensions, got {weight.spec.shape}"
        )
    if transposed:
        transpose: Any = (conv_transpose1d, conv_transpose2d, conv_transpose3d)[n - 1]
        return transpose(input, weight, bias, stride, padding, output_padding, groups, dilation)
    plain: Any = (conv1d, conv2d, conv3d)[n - 1]
    return plain(input, weight, bias, stride, padding, dilation, groups)


# -- normalisation ---------------------------------------------------------------------------------


def batch_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None,
    running_var: Tensor | None, training: bool, momentum: float, eps: float, cudnn_enabled: bool,
) -> Tensor:  # fmt: skip
    """Normalise `input` [N, C, ...] for each channel; see `nn.functional.batch_norm`."""
    return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None,
    running_var: Tensor | None, use_input_stats: bool, momentum: float, eps: float,
    cudnn_enabled: bool,
) -> Tensor:  # fmt: skip
    """Normalise `input` [N, C, ...] for each sample and channel; see `nn.functional.instance_norm`."""
    return F.instance_norm(
        input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps
    )


def layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None,
    bias: Tensor | None = None, eps: float = 1e-5, cudnn_enable: bool = True,
) -> Tensor:  # fmt: skip
    """Normalise `input` over its last axes; see `nn.functional.layer_norm`."""
    return F.layer_norm(input, normalized_shape, weight, bias, eps)


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5, cudnn_enabled: bool = True,
) -> Tensor:  # fmt: skip
    """Normalise `input` [N, C, ...] over groups of channels; see `nn.functional.group_norm`."""
    return F.group_norm(input, num_groups, weight, bias, eps)


# -- tables and grids ------------------------------------------------------------------------------


@of_tensors
def embedding(
    weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:  # fmt: skip
    """Look up the rows of `weight` [V, D]; a negative `padding_idx` is none. See `nn.functional.embedding`."""
    row = None if padding_idx < 0 else padding_idx
    return F.embedding(indices, weight, row, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)


@of_tensors
def embedding_bag(
    weight: Tensor, indices: Tensor, offsets: Tensor, scale_grad_by_freq: bool = False, mode: int = 0,
    sparse: bool = False, per_sample_weights: Tensor | None = None, include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Compute the sum (mode 0), mean (1) or maximum (2) of the rows of `weight` in each bag.

    See `nn.functional.embedding_bag`. The other results are the bag of each index, the number of indices that
    count in each bag, and for a maximum the row that it is of; of a sum nothing is counted.

    >>> import tabgrad as tg
    >>> weight, indices = tg.eye(3, device="cpu"), tg.tensor([0, 2, 2], device="cpu")
    >>> tg.embedding_bag(weight, indices, tg.tensor([0, 1], device="cpu"), mode=1)[0]
    tensor([[1., 0., 0.],
            [0., 0., 1.]])
    """
    if mode not in (0, 1, 2):
        raise ArgumentError(
            f"embedding_bag: mode must be 0 (sum), 1 (mean) or 2 (max), got {mode!r}"
        )
    if len(indices.shape) != 1 or len(offsets.shape) != 1:
        raise ShapeError(
            f"embedding_bag: expected indices [n] and offsets [bags], got {tuple(indices.shape)} and "
            f"{tuple(offsets.shape)}"
        )
    found = F.embedding_bag(
        indices, weight, offsets, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse,
        mode=("sum", "mean", "max")[mode], per_sample_weights=per_sample_weights,
        include_last_offset=include_last_offset, padding_idx=padding_idx,
    )  # fmt: skip
    if not mode:
        none = tg.zeros_like(offsets)
        return found, offsets.new_empty(0), none, none
    bags = found.shape[0]
    place = tg.arange(indices.shape[0], dtype=offsets.dtype, device=offsets.device)
    bag = tg.searchsorted(offsets[:bags].contiguous(), place, right=True).to(offsets.dtype) - 1
    counted = tg.ones_like(bag)
    if padding_idx is not None:
        row = padding_idx + (weight.shape[0] if padding_idx < 0 else 0)
        counted = (indices != row).to(bag.dtype)
    zeros = tg.zeros(bags, dtype=bag.dtype, device=bag.device)
    sizes = zeros.scatter_add(0, bag, counted)
    largest = (
        _rows_of_largest(weight.detach(), found.detach(), indices, bag, counted)
        if mode == 2
        else sizes
    )
    return found, bag, sizes, largest


def _rows_of_largest(
    weight: Tensor, found: Tensor, indices: Tensor, bag: Tensor, counted: Tensor
) -> Tensor:
    """Return the row that gave each element of the largest rows, the first of several; 0 in an empty bag."""
    rows, n = weight[indices], indices.shape[0]
    place = tg.arange(n, dtype=bag.dtype, device=bag.device)[:, None]
    candidates = tg.where((rows == found[bag]) & (counted[:, None] > 0), place, n)
    start = tg.full(tuple(found.shape), n, dtype=bag.dtype, device=bag.device)
    first = start.scatter_reduce(0, bag[:, None].expand(n, found.shape[1]), candidates, "amin")
    whole = tg.cat((indices.to(bag.dtype), tg.zeros_like(bag[:1])))
    return whole[first] if n else tg.zeros_like(start)


@of_tensors
def embedding_renorm_(input: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> Tensor:
    """Scale the rows of `input` [V, D] that `indices` name to a norm of at most `max_norm`, in place."""
    needs_rank("embedding_renorm_", input.shape, 2)
    renormalize(within("embedding_renorm_", indices, input.shape[0]), input, max_norm, norm_type)
    return input


def affine_grid_generator(theta: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    """Compute the places of the pixels of `size` under affine maps; see `nn.functional.affine_grid`."""
    return F.affine_grid(theta, size, align_corners)


def _sampled(
    name: str, input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int,
    align_corners: bool,
) -> Tensor:  # fmt: skip
    modes, paddings = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")
    if interpolation_mode not in (0, 1, 2) or padding_mode not in (0, 1, 2):
        raise ArgumentError(
            f"{name}: expected an interpolation_mode from 0 to 2 ({', '.join(modes)}) and a padding_mode "
            f"from 0 to 2 ({', '.join(paddings)}), got {interpolation_mode} and {padding_mode}"
        )
    mode, beyond = modes[interpolation_mode], paddings[padding_mode]
    return F.grid_sample(input, grid, mode, beyond, align_corners)


def grid_sampler(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """Read `input` at the places in `grid`, the modes being numbers; see `nn.functional.grid_sample`."""
    return _sampled("grid_sampler", input, grid, interpolation_mode, padding_mode, align_corners)


def grid_sampler_2d(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """Read `input` [N, C, H, W] at the places in `grid`, the modes being numbers."""
    return _sampled("grid_sampler_2d", input, grid, interpolation_mode, padding_mode, align_corners)


def grid_sampler_3d(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """Read `input` [N, C, D, H, W] at the places in `grid`, the modes being numbers."""
    return _sampled("grid_sampler_3d", input, grid, interpolation_mode, padding_mode, align_corners)


# -- losses ----------------------------------------------------------------------------------------


def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, pos_weight: Tensor | None = None,
    reduction: int = 0,
) -> Tensor:  # fmt: skip
    """Compute the cross entropy of yes or no from logits; see `nn.functional`."""
    how = _reduction("binary_cross_entropy_with_logits", reduction)
    return F.binary_cross_entropy_with_logits(input, target, weight, None, None, how, pos_weight)


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 0
) -> Tensor:
    """Compare vectors by their angle; see `nn.functional.cosine_embedding_loss`."""
    how = _reduction("cosine_embedding_loss", reduction)
    return F.cosine_embedding_loss(input1, input2, target, margin, reduction=how)


def ctc_loss(
    log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any, blank: int = 0,
    reduction: int = 0, zero_infinity: bool = False,
) -> Tensor:  # fmt: skip
    """Compute minus the log-probability of the targets over all alignments; see `nn.functional.ctc_loss`."""
    how = _reduction("ctc_loss", reduction)
    return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, how, zero_infinity)


def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, reduction: int = 0
) -> Tensor:
    """Return x where the target is 1, and max(0, margin - x) where it is -1."""
    how = _reduction("hinge_embedding_loss", reduction)
    return F.hinge_embedding_loss(input, target, margin, reduction=how)


def kl_div(
    input: Tensor, target: Tensor, reduction: int = 0, *, log_target: bool = False
) -> Tensor:
    """Compute the Kullback-Leibler divergence from log-probabilities; see `nn.functional.kl_div`."""
    return F.kl_div(input, target, reduction=_reduction("kl_div", reduction), log_target=log_target)


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 0
) -> Tensor:
    """Compute max(0, -target (x1 - x2) + margin)."""
    how = _reduction("margin_ranking_loss", reduction)
    return F.margin_ranking_loss(input1, input2, target, margin, reduction=how)


def poisson_nll_loss(
    input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: int
) -> Tensor:
    """Compute the negative log-likelihood of Poisson counts; see `nn.functional.poisson_nll_loss`."""
    how = _reduction("poisson_nll_loss", reduction)
    return F.poisson_nll_loss(input, target, log_input, full, None, eps, None, how)


def triplet_margin_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2,
    eps: float = 1e-6, swap: bool = False, reduction: int = 0,
) -> Tensor:  # fmt: skip
    """Compute max(0, |anchor - positive| - |anchor - negative| + margin)."""
    how = _reduction("triplet_margin_loss", reduction)
    return F.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction=how)


class RootedMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    hardshrink = hardshrink
    prelu = prelu


__all__ = [
    "adaptive_avg_pool1d", "adaptive_max_pool1d", "affine_grid_generator", "alpha_dropout",
    "alpha_dropout_", "avg_pool1d", "batch_norm", "bilinear", "binary_cross_entropy_with_logits", "celu",
    "celu_", "channel_shuffle", "constant_pad_nd", "conv1d", "conv2d", "conv3d", "conv_tbc",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "convolution", "cosine_embedding_loss",
    "cosine_similarity", "ctc_loss", "dropout", "dropout_", "embedding", "embedding_bag", "embedding_renorm_",
    "feature_alpha_dropout", "feature_alpha_dropout_", "feature_dropout", "feature_dropout_",
    "grid_sampler", "grid_sampler_2d", "grid_sampler_3d", "group_norm", "hardshrink",
    "hinge_embedding_loss", "instance_norm", "kl_div", "layer_norm", "margin_ranking_loss", "max_pool1d",
    "max_pool1d_with_indices", "max_pool2d", "max_pool3d", "pairwise_distance", "pixel_shuffle",
    "pixel_unshuffle", "poisson_nll_loss", "prelu",  "rms_norm", "rrelu", "rrelu_", "selu",
    "selu_", "threshold", "threshold_", "triplet_margin_loss",
]  # fmt: skip

publish(globals())

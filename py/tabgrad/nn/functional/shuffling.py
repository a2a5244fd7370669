"""Moves of elements between channels and space, and between groups of channels."""

from __future__ import annotations

from tabgrad.core.errors import ArgumentError, ShapeError
from tabgrad.core.shape import needs_rank
from tabgrad.ops.view import permute, reshape
from tabgrad.tensor import Tensor


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Move channels to pixels: [..., C * r^2, H, W] to [..., C, H * r, W * r]."""
    needs_rank("pixel_shuffle", input.spec.shape, 3)
    *lead, c, h, w = input.spec.shape
    r = upscale_factor
    if r < 1:
        raise ArgumentError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    if c % (r * r):
        raise ShapeError(
            f"pixel_shuffle: the channels of {input.spec.shape} must be divisible by {r * r}"
        )
    n = len(lead)
    x = reshape.bind(input, shape=(*lead, c // (r * r), r, r, h, w))
    x = permute.bind(x, dims=(*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return reshape.bind(x, shape=(*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Move pixels to channels: [..., C, H * r, W * r] to [..., C * r^2, H, W]."""
    needs_rank("pixel_unshuffle", input.spec.shape, 3)
    *lead, c, h, w = input.spec.shape
    r = downscale_factor
    if r < 1:
        raise ArgumentError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    if h % r or w % r:
        raise ShapeError(
            f"pixel_unshuffle: the last two sizes of {input.spec.shape} must be divisible by {r}"
        )
    n = len(lead)
    x = reshape.bind(input, shape=(*lead, c, h // r, r, w // r, r))
    x = permute.bind(x, dims=(*range(n), n, n + 2, n + 4, n + 1, n + 3))
    return reshape.bind(x, shape=(*lead, c * r * r, h // r, w // r))


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Interleave the channels of the groups of [N, C, ...]."""
    needs_rank("channel_shuffle", input.spec.shape, 3)
    n, c, *rest = input.spec.shape
    if groups < 1:
        raise ArgumentError(
            f"channel_shuffle: Number of groups to divide channels in must be positive. got {groups}"
        )
    if c % groups:
        raise ShapeError(
            f"channel_shuffle: the channels of {input.spec.shape} must be divisible by {groups}"
        )
    x = reshape.bind(input, shape=(n, groups, c // groups, *rest))
    x = permute.bind(x, dims=(0, 2, 1, *range(3, 3 + len(rest))))
    return reshape.bind(x, shape=input.spec.shape)


__all__ = ["channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]

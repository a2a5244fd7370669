"""The named tuples that functions with several results return."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


class aminmax(NamedTuple):
    """What `aminmax` returns."""

    min: Tensor
    max: Tensor


class cummax(NamedTuple):
    """What `cummax` returns."""

    values: Tensor
    indices: Tensor


class cummin(NamedTuple):
    """What `cummin` returns."""

    values: Tensor
    indices: Tensor


class frexp(NamedTuple):
    """What `frexp` returns."""

    mantissa: Tensor
    exponent: Tensor


class histogram(NamedTuple):
    """What `histogram` returns."""

    hist: Tensor
    bin_edges: Tensor


class histogramdd(NamedTuple):
    """What `histogramdd` returns."""

    hist: Tensor
    bin_edges: tuple[Tensor, ...]


class kthvalue(NamedTuple):
    """What `kthvalue` returns."""

    values: Tensor
    indices: Tensor


class max(NamedTuple):
    """What `max` returns."""

    values: Tensor
    indices: Tensor


class median(NamedTuple):
    """What `median` returns."""

    values: Tensor
    indices: Tensor


class min(NamedTuple):
    """What `min` returns."""

    values: Tensor
    indices: Tensor


class mode(NamedTuple):
    """What `mode` returns."""

    values: Tensor
    indices: Tensor


class nanmedian(NamedTuple):
    """What `nanmedian` returns."""

    values: Tensor
    indices: Tensor


class sort(NamedTuple):
    """What `sort` returns."""

    values: Tensor
    indices: Tensor


class topk(NamedTuple):
    """What `topk` returns."""

    values: Tensor
    indices: Tensor

"""The named tuples that functions with several results return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tabgrad.core.naming import Package

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


def _shown(self: Any) -> str:
    """Return each value on a line of its own, as PyTorch prints them."""
    rows = ",\n".join([f"{name}={getattr(self, name)!r}" for name in self._fields])
    return f"{Package.name}.return_types.{type(self).__name__}(\n{rows})"


def show_as_pytorch(module: dict[str, Any]) -> None:
    """Let the named tuples of a module be printed as PyTorch's."""
    for kind in list(module.values()):
        if isinstance(kind, type) and hasattr(kind, "_fields"):
            kind.__repr__ = _shown  # type: ignore[method-assign, assignment]


show_as_pytorch(globals())

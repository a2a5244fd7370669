"""einops on tensors: its functions once this is imported, and its layers as modules.

The package `einops` finds what handles a tensor among the classes that it knows; importing this module adds
ours. Under the alias `torch` einops' own layers are modules of tabgrad, and nothing needs to be imported.

    from einops import rearrange, reduce, repeat, einsum, pack, unpack
    from tabgrad.utils.einops import EinMix, Rearrange, Reduce
"""

from __future__ import annotations

import sys
from typing import Any

from einops._backends import AbstractBackend
from einops.layers import RearrangeMixin, ReduceMixin
from einops.layers._einmix import _EinmixMixin

import tabgrad as tg

Tensor = tg.Tensor


class Backend(AbstractBackend):
    """What einops asks of a library."""

    framework_name = "tabgrad"

    def is_appropriate_type(self, tensor: Any) -> bool:
        """Whether this is one of our tensors."""
        return isinstance(tensor, Tensor)

    def from_numpy(self, x: Any) -> Tensor:
        """Return a tensor of an array, which requires grad if it can."""
        made = tg.from_numpy(x)
        return made.requires_grad_() if made.is_floating_point() else made

    def to_numpy(self, x: Tensor) -> Any:
        """Return an array."""
        return x.detach().cpu().numpy()

    def arange(self, start: int, stop: int) -> Tensor:
        """Return whole numbers."""
        return tg.arange(start, stop)

    def reduce(self, x: Tensor, operation: str, axes: Any) -> Tensor:
        """Reduce over axes."""
        over = tuple(axes)
        if operation in ("min", "max"):
            return tg.amin(x, over) if operation == "min" else tg.amax(x, over)
        if operation == "prod":
            for a in sorted(over, reverse=True):
                x = tg.prod(x, a)
            return x
        named = {"sum": tg.sum, "mean": tg.mean, "any": tg.any, "all": tg.all}
        if operation not in named:
            raise NotImplementedError(f"reduce: einops has no operation {operation!r} on tensors")
        found: Tensor = named[operation](x, over)
        return found

    def transpose(self, x: Tensor, axes: Any) -> Tensor:
        """Return the axes in this order."""
        return x.permute(tuple(axes))

    def stack_on_zeroth_dimension(self, tensors: list[Tensor]) -> Tensor:
        """Stack tensors along a new first axis."""
        return tg.stack(tensors)

    def add_axis(self, x: Tensor, new_position: int) -> Tensor:
        """Add an axis of size 1."""
        return tg.unsqueeze(x, new_position)

    def add_axes(self, x: Tensor, n_axes: int, pos2len: dict[int, int]) -> Tensor:
        """Add axes and repeat along them, without a copy."""
        sizes = [-1] * n_axes
        for place, length in pos2len.items():
            x = self.add_axis(x, place)
            sizes[place] = length
        return x.expand(sizes)

    def tile(self, x: Tensor, repeats: Any) -> Tensor:
        """Repeat the whole along its axes."""
        return x.repeat(tuple(repeats))

    def concat(self, tensors: list[Tensor], axis: int) -> Tensor:
        """Join along an axis."""
        return tg.cat(tensors, axis)

    def is_float_type(self, x: Tensor) -> bool:
        """Whether means can be taken."""
        return x.is_floating_point()

    def einsum(self, pattern: str, *x: Tensor) -> Tensor:
        """Sum products by a pattern."""
        return tg.einsum(pattern, *x)

    def layers(self) -> Any:
        """Return the module with the layers."""
        return sys.modules[__name__]


class Rearrange(RearrangeMixin, tg.nn.Module):
    """`einops.rearrange` as a module."""

    def forward(self, input: Tensor) -> Tensor:
        """Rearrange the input."""
        apply: Any = self._apply_recipe
        found: Tensor = apply(input)
        return found


class Reduce(ReduceMixin, tg.nn.Module):
    """`einops.reduce` as a module."""

    def forward(self, input: Tensor) -> Tensor:
        """Reduce the input."""
        apply: Any = self._apply_recipe
        found: Tensor = apply(input)
        return found


class EinMix(_EinmixMixin, tg.nn.Module):
    """A linear map with a pattern for its input, output and weight."""

    def _create_parameters(
        self, weight_shape: Any, weight_bound: float, bias_shape: Any, bias_bound: float
    ) -> None:
        def drawn(shape: Any, bound: float) -> Any:
            return tg.nn.Parameter(tg.empty(shape).uniform_(-bound, bound))

        self.weight = drawn(weight_shape, weight_bound)
        self.bias = None if bias_shape is None else drawn(bias_shape, bias_bound)

    def _create_rearrange_layers(
        self, pre_reshape_pattern: str | None, pre_reshape_lengths: Any,
        post_reshape_pattern: str | None, post_reshape_lengths: Any,
    ) -> None:  # fmt: skip
        def layer(pattern: str | None, lengths: Any) -> Any:
            return None if pattern is None else Rearrange(pattern, **lengths)

        self.pre_rearrange = layer(pre_reshape_pattern, pre_reshape_lengths)
        self.post_rearrange = layer(post_reshape_pattern, post_reshape_lengths)

    def forward(self, input: Tensor) -> Tensor:
        """Map the input."""
        if self.pre_rearrange is not None:
            input = self.pre_rearrange(input)
        found = tg.einsum(self.einsum_pattern, input, self.weight)
        if self.bias is not None:
            found = found + self.bias
        return found if self.post_rearrange is None else self.post_rearrange(found)


__all__ = ["EinMix", "Rearrange", "Reduce"]

"""Gradients of convolutions by PyTorch's names: what `autograd.grad` of the convolution gives, as functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tabgrad as tg
from tabgrad.core.errors import ShapeError

Tensor = tg.Tensor
Sizes = int | Sequence[int]


def _grad(
    conv: Callable[..., Tensor], wanted: int, given: list[Any], grad_output: Tensor, options: tuple[Any, ...]
) -> Tensor:  # fmt: skip
    """Return the gradient of the convolution of `given` for the one of them that is only a size."""
    other = given[1 - wanted]
    graph = tg.is_grad_enabled() and (other.requires_grad or grad_output.requires_grad)
    given[wanted] = grad_output.new_zeros(tuple(given[wanted]), requires_grad=True)
    with tg.enable_grad():
        output = conv(*given, None, *options)
    if output.shape != grad_output.shape:
        raise ShapeError(
            f"{conv.__name__}: expected grad_output of shape {output.shape}, got {grad_output.shape}"
        )
    found: tuple[Tensor, ...] = tg.autograd.grad(
        output, given[wanted], grad_output, create_graph=graph
    )
    return found[0]


def conv1d_input(
    input_size: Sequence[int], weight: Tensor, grad_output: Tensor, stride: Sizes = 1, padding: Sizes = 0,
    dilation: Sizes = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Compute the gradient of `conv1d` for its input of shape `input_size`; ShapeError if no shapes fit.

    >>> import tabgrad as tg
    >>> w, g = tg.ones(1, 1, 2, device="cpu"), tg.ones(1, 1, 3, device="cpu")
    >>> conv1d_input((1, 1, 4), w, g).tolist()
    [[[1.0, 2.0, 2.0, 1.0]]]
    """
    options = stride, padding, dilation, groups
    return _grad(tg.nn.functional.conv1d, 0, [input_size, weight], grad_output, options)


def conv1d_weight(
    input: Tensor, weight_size: Sequence[int], grad_output: Tensor, stride: Sizes = 1, padding: Sizes = 0,
    dilation: Sizes = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Compute the gradient of `conv1d` for its weight of shape `weight_size`; ShapeError if no shapes fit."""
    options = stride, padding, dilation, groups
    return _grad(tg.nn.functional.conv1d, 1, [input, weight_size], grad_output, options)


def conv2d_input(
    input_size: Sequence[int], weight: Tensor, grad_output: Tensor, stride: Sizes = 1, padding: Sizes = 0,
    dilation: Sizes = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Compute the gradient of `conv2d` for its input of shape `input_size`; ShapeError if no shapes fit."""
    options = stride, padding, dilation, groups
    return _grad(tg.nn.functional.conv2d, 0, [input_size, weight], grad_output, options)


def conv2d_weight(
    input: Tensor, weight_size: Sequence[int], grad_output: Tensor, stride: Sizes = 1, padding: Sizes = 0,
    dilation: Sizes = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Compute the gradient of `conv2d` for its weight of shape `weight_size`; ShapeError if no shapes fit."""
    options = stride, padding, dilation, groups
    return _grad(tg.nn.functional.conv2d, 1, [input, weight_size], grad_output, options)


def conv3d_input(
    input_size: Sequence[int], weight: Tensor, grad_output: Tensor, stride: Sizes = 1, padding: Sizes = 0,
    dilation: Sizes = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Compute the gradient of `conv3d` for its input of shape `input_size`; ShapeError if no shapes fit."""
    options = stride, padding, dilation, groups
    return _grad(tg.nn.functional.conv3d, 0, [input_size, weight], grad_output, options)


def conv3d_weight(
    input: Tensor, weight_size: Sequence[int], grad_output: Tensor, stride: Sizes = 1, padding: Sizes = 0,
    dilation: Sizes = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Compute the gradient of `conv3d` for its weight of shape `weight_size`; ShapeError if no shapes fit."""
    options = stride, padding, dilation, groups
    return _grad(tg.nn.functional.conv3d, 1, [input, weight_size], grad_output, options)


__all__ = [
    "conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight", "conv3d_input", "conv3d_weight",
]  # fmt: skip

"""Layouts of weights, which are hints: the elements of a tensor are in row-major order here."""

from __future__ import annotations

from typing import TypeVar

from tabgrad.nn.module import Module
from tabgrad.tensor.layout import check_format, memory_format as MemoryFormat

M = TypeVar("M", bound=Module)


def convert_conv2d_weight_memory_format(module: M, memory_format: MemoryFormat) -> M:
    """Return the module; the format must be one that weights of four dims can have.

    >>> import tabgrad as tg
    >>> conv = tg.nn.Conv2d(1, 2, 3)
    >>> tg.nn.utils.convert_conv2d_weight_memory_format(conv, tg.channels_last) is conv
    True
    """
    check_format("convert_conv2d_weight_memory_format", memory_format, 4)
    return module


def convert_conv3d_weight_memory_format(module: M, memory_format: MemoryFormat) -> M:
    """Return the module; the format must be one that weights of five dims can have."""
    check_format("convert_conv3d_weight_memory_format", memory_format, 5)
    return module

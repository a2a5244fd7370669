"""What the parameters of distributions are made of: tensors of one shape, probabilities and their logits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property as cached_property
from types import FunctionType
from typing import Any

import tabgrad as tg

Tensor = tg.Tensor
Number = float | int | bool
Given = Tensor | float
Sizes = Sequence[int]

EULER = 0.57721566490153286
HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


def tensors(*values: Any) -> list[Tensor]:
    """Return all values as tensors of one shape; numbers take the dtype and device of the tensors."""
    if not all(isinstance(v, Tensor | float | int) for v in values):
        raise ValueError(
            "Input arguments must all be instances of Number or tabgrad.Tensor, got "
            + ", ".join(type(v).__name__ for v in values)
        )
    given = [v for v in values if isinstance(v, Tensor)]
    dtype, device = tg.get_default_dtype(), None
    if given:
        floats = [v for v in given if v.dtype.is_floating_point]
        dtype, device = (floats[0].dtype if floats else dtype), given[0].device
    made = [
        v if isinstance(v, Tensor) else tg.tensor(float(v), dtype=dtype, device=device)
        for v in values
    ]
    return list(tg.broadcast_tensors(*made))


def floating(value: Any) -> Tensor:
    """Return a number or a tensor as a tensor."""
    return tensors(value)[0]


def one_of(probs: Any, logits: Any) -> str:
    """Return which of the two was given."""
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")
    return "logits" if probs is None else "probs"


def clamped(probs: Tensor) -> Tensor:
    """Return probabilities moved away from 0 and 1 by the precision of their dtype."""
    eps = tg.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def to_logits(probs: Tensor, binary: bool = False) -> Tensor:
    """Return ln p, or ln(p / (1 - p)) of a binary variable."""
    p = clamped(probs)
    return p.log() - (-p).log1p() if binary else p.log()


def to_probs(logits: Tensor, binary: bool = False) -> Tensor:
    """Return the probabilities of logits."""
    return logits.sigmoid() if binary else logits.softmax(-1)


def summed(value: Tensor, count: int) -> Tensor:
    """Return the sum over the last `count` dims."""
    return value.sum(tuple(range(-count, 0))) if count else value


def open_unit(shape: Sizes, like: Tensor, generator: tg.Generator | None = None) -> Tensor:
    """Return uniform numbers in (0, 1), neither end included."""
    u = tg.rand(tuple(shape), generator=generator, dtype=like.dtype, device=like.device)
    info = tg.finfo(like.dtype)
    return u.clamp(min=info.tiny, max=1 - info.eps / 2)


def normals(shape: Sizes, like: Tensor, generator: tg.Generator | None = None) -> Tensor:
    """Return normal numbers in the dtype and device of `like`."""
    return tg.randn(tuple(shape), generator=generator, dtype=like.dtype, device=like.device)


def describe(kind: type) -> None:
    """Give methods and properties without a docstring that of the class above."""
    for name, member in vars(kind).items():
        if isinstance(member, FunctionType | property) and not member.__doc__ and name[0] != "_":
            member.__doc__ = getattr(getattr(super(kind, kind), name, None), "__doc__", None)

"""Functions that programs write laws of their own with; PyTorch's `distributions.utils`."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.distributions.arguments import (
    EULER as euler_constant,
    cached_property as lazy_property,
    clamped as clamp_probs,
    tensors,
    to_logits as probs_to_logits,
    to_probs as logits_to_probs,
)  # fmt: skip

Tensor = tg.Tensor


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Return all values as tensors of one shape; numbers take the dtype and device of the tensors.

    >>> import tabgrad as tg
    >>> broadcast_all(tg.zeros(2, device="cpu"), 1.0)
    (tensor([0., 0.]), tensor([1., 1.]))
    """
    return tuple(tensors(*values))


__all__ = [
    "broadcast_all", "clamp_probs", "euler_constant", "lazy_property", "logits_to_probs",
    "probs_to_logits",
]  # fmt: skip

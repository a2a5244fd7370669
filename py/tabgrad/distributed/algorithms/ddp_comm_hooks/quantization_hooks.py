"""Gradients as whole numbers of 8 bits, with a scale for all or for each part of a bucket."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.distributed.algorithms.ddp_comm_hooks.feedback import Feedback
from tabgrad.distributed.algorithms.ddp_comm_hooks.sending import begin_all_gather
from tabgrad.distributed.gradients import GradBucket
from tabgrad.futures import Future, collect_all

Tensor = tg.Tensor
MOST = 127


class QuantizationState(Feedback):
    """The group, and what rounding left out so far. A hook given a group alone forgets it."""


def _state(given: Any) -> QuantizationState:
    if isinstance(given, QuantizationState):
        return given
    return QuantizationState(given, use_error_feedback=False)


def _quantized(state: QuantizationState, bucket: GradBucket, part: int | None) -> Future[Any]:
    flat, group = state.corrected(bucket), state.group
    n = flat.numel()
    width = n if part is None else part
    rows = tg.nn.functional.pad(flat, (0, -n % width)).reshape(-1, width)
    most = rows.abs().amax(1, keepdim=True)
    # that of numbers which are not finite is NaN or infinite, and makes the average so
    scale = tg.where(most == 0, tg.ones_like(most), most / MOST)
    whole = (rows / scale).round().clamp(-MOST, MOST)
    state.keep(bucket, flat - (whole * scale).reshape(-1)[:n])
    numbers = begin_all_gather(group, whole.to(tg.int8))
    scales = begin_all_gather(group, scale)

    def join(_: Any) -> Tensor:
        pairs = zip(numbers.value(), scales.value(), strict=True)
        parts = [q.to(flat.dtype) * s for q, s in pairs]
        return (sum(parts[1:], parts[0]) / group.size()).reshape(-1)[:n]

    return collect_all([numbers, scales]).then(join)


def quantization_pertensor_hook(process_group: Any, bucket: GradBucket) -> Future[Any]:
    """Send 8 bits for each gradient, with one scale for the bucket.

    The numbers lie symmetrically around 0. `process_group` is a group, or a QuantizationState, which adds what
    rounding left out to the next gradients.
    """
    return _quantized(_state(process_group), bucket, None)


def quantization_perchannel_hook(
    process_group: Any, bucket: GradBucket, bucket_size: int = 512
) -> Future[Any]:
    """Send 8 bits for each gradient, with a scale for every `bucket_size` of them."""
    return _quantized(_state(process_group), bucket, bucket_size)


__all__ = ["QuantizationState", "quantization_perchannel_hook", "quantization_pertensor_hook"]

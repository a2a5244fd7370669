"""One bit for each gradient: its sign, which the processes vote for.

Bernstein, Zhao, Azizzadenesheli, Anandkumar: signSGD with Majority Vote (2019); the scale and the feedback are
those of Karimireddy, Rebjock, Stich, Jaggi: Error Feedback Fixes SignSGD (2019).
"""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.distributed.algorithms.ddp_comm_hooks.feedback import Feedback
from tabgrad.distributed.algorithms.ddp_comm_hooks.sending import begin_all_gather, begin_all_reduce
from tabgrad.distributed.gradients import GradBucket
from tabgrad.futures import Future, collect_all

Tensor = tg.Tensor


class SignState(Feedback):
    """The group, and what was left out so far."""


def packed(positive: Tensor) -> Tensor:
    """Return flags as the bits of bytes, eight in each."""
    n = positive.numel()
    bits = tg.cat([positive.to(tg.int32), positive.new_zeros(-n % 8).to(tg.int32)]).reshape(-1, 8)
    weights = tg.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=tg.int32, device=positive.device)
    return (bits * weights).sum(1).to(tg.uint8)


def unpacked(data: Tensor, n: int) -> Tensor:
    """Return the first `n` bits of bytes as 1 and -1."""
    wide = data.to(tg.int32).reshape(-1, 1)
    weights = tg.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=tg.int32, device=data.device)
    return ((wide // weights) % 2).reshape(-1)[:n] * 2 - 1


def signSGD_hook(state: SignState, bucket: GradBucket) -> Future[Any]:
    """Send the signs; the result is the sign of most, times the mean size of the gradients. A tie is 0."""
    flat, group = state.corrected(bucket), state.group
    n, positive = flat.numel(), flat >= 0
    scale = flat.abs().mean().reshape(1)
    state.keep(bucket, flat - tg.where(positive, scale, -scale))
    votes = begin_all_gather(group, packed(positive))
    size = begin_all_reduce(group, scale / group.size())

    def count(_: Any) -> Tensor:
        parts = [unpacked(data, n) for data in votes.value()]
        total = sum(parts[1:], parts[0])
        return total.sign().to(flat.dtype) * size.value()

    return collect_all([votes, size]).then(count)


__all__ = ["SignState", "signSGD_hook"]

"""Gradients as products of two thin matrices.

Vogels, Karimireddy, Jaggi: PowerSGD: Practical Low-Rank Gradient Compression (2019).
"""

from __future__ import annotations

import math
from typing import Any

import tabgrad as tg
from tabgrad.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from tabgrad.distributed.algorithms.ddp_comm_hooks.feedback import Feedback
from tabgrad.distributed.algorithms.ddp_comm_hooks.sending import begin_all_reduce
from tabgrad.distributed.gradients import GradBucket
from tabgrad.futures import Future

Tensor = tg.Tensor


class PowerSGDState(Feedback):
    """The rank of the products, and what they start from.

    The first `start_powerSGD_iter` steps send the gradients as they are. A gradient is compressed if that
    leaves out at least all but 1/`min_compression_rate` of it. `warm_start` begins with the last product,
    `use_error_feedback` adds what was left out to the next gradients.
    """

    def __init__(
        self, process_group: Any, matrix_approximation_rank: int = 1, start_powerSGD_iter: int = 1000,
        min_compression_rate: float = 2, use_error_feedback: bool = True, warm_start: bool = True,
        orthogonalization_epsilon: float = 0, random_seed: int = 0,
        compression_stats_logging_frequency: int = 10000, batch_tensors_with_same_shape: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(process_group, use_error_feedback)
        if (use_error_feedback or warm_start) and start_powerSGD_iter <= 1:
            raise ValueError(
                "Expect `start_powerSGD_iter` > 1 if `use_error_feedback` or `warm_start` is enabled, because "
                "PowerSGD can only be applied after the first two iterations in DDP."
            )
        self.matrix_approximation_rank = matrix_approximation_rank
        self.start_powerSGD_iter = start_powerSGD_iter
        self.min_compression_rate = min_compression_rate
        self.warm_start = warm_start
        self.orthogonalization_epsilon = orthogonalization_epsilon
        self.random_seed = random_seed
        self.compression_stats_logging_frequency = compression_stats_logging_frequency
        self.batch_tensors_with_same_shape = batch_tensors_with_same_shape
        self.q_memory_dict: dict[int, list[Tensor]] = {}
        self.iter = 0
        self.draws = 0
        self.total_numel_before_compression = 0
        self.total_numel_after_compression = 0

    def maybe_increase_iter(self, bucket: GradBucket) -> None:
        """Count the step once, at its last bucket."""
        if bucket.is_last():
            self.iter += 1

    def compression_stats(self) -> tuple[float, int, int]:
        """Return the rate of compression, and how many numbers there were before and after."""
        before, after = self.total_numel_before_compression, self.total_numel_after_compression
        return (before / after if after else 0.0, before, after)

    def columns(self, m: int, n: int) -> int:
        """Return the rank for an m × n matrix, 0 where it is not worth it."""
        r = min(m, n, self.matrix_approximation_rank)
        return r if (m + n) * r * self.min_compression_rate < m * n else 0

    def drawn(self, m: int, r: int, like: Tensor) -> Tensor:
        """Return an m × r matrix of random numbers, the same on all processes."""
        generator = tg.Generator()
        generator.manual_seed(self.random_seed + self.draws)
        self.draws += 1
        return tg.randn(m, r, generator=generator, device="cpu").to(like.device, like.dtype)


def _orthogonalize(matrix: Tensor, epsilon: float) -> Tensor:
    """Return a matrix with orthonormal columns whose span has that of `matrix`.

    It is that of a QR factorisation, which is right where columns depend on each other too: a gradient of lower
    rank. With an epsilon, which is added to the lengths, it is that of the modified Gram-Schmidt method.
    """
    if epsilon == 0:
        wide = matrix.float() if matrix.dtype in (tg.float16, tg.bfloat16) else matrix
        return tg.linalg.qr(wide)[0].to(matrix.dtype)
    columns: list[Tensor] = []
    for column in matrix.unbind(1):
        for other in columns:
            column = column - (other * column).sum() * other
        columns.append(column / (column.norm() + epsilon))
    return tg.stack(columns, 1)


def _finite(new: Tensor, old: Tensor) -> Tensor:
    """Return the new factor for the next step to start from, the old one if the new one is not finite."""
    return tg.where(new.isfinite().all(), new, old)


def powerSGD_hook(state: PowerSGDState, bucket: GradBucket) -> Future[Any]:
    """Send each matrix of gradients as a product of two thin ones; vectors as they are."""
    if state.iter < state.start_powerSGD_iter:
        state.maybe_increase_iter(bucket)
        return allreduce_hook(state.group, bucket)
    flat = state.corrected(bucket)
    shapes = []
    for p in bucket.parameters():
        m = p.shape[0] if p.ndim > 1 else 1
        shapes.append((m, p.numel() // max(m, 1)))
    return _low_rank(state, bucket, flat, list(flat.split(bucket.sizes)), shapes)


def batched_powerSGD_hook(state: PowerSGDState, bucket: GradBucket) -> Future[Any]:
    """Send the whole bucket as one square matrix: faster, less exact."""
    if state.iter < state.start_powerSGD_iter:
        state.maybe_increase_iter(bucket)
        return allreduce_hook(state.group, bucket)
    flat = state.corrected(bucket)
    side = math.ceil(math.sqrt(flat.numel()))
    square = tg.nn.functional.pad(flat, (0, side * side - flat.numel()))
    return _low_rank(state, bucket, flat, [square], [(side, side)])


def _low_rank(
    state: PowerSGDState,
    bucket: GradBucket,
    flat: Tensor,
    parts: list[Tensor],
    shapes: list[tuple[int, int]],
) -> Future[Any]:
    group, n = state.group, flat.numel()
    ranks = [state.columns(m, k) for m, k in shapes]
    matrices = [x.reshape(s) for x, s, r in zip(parts, shapes, ranks, strict=True) if r]
    plain = [x for x, r in zip(parts, ranks, strict=True) if not r]
    qs = state.q_memory_dict.get(bucket.index()) if state.warm_start else None
    if qs is None:
        qs = [state.drawn(k, r, flat) for (_, k), r in zip(shapes, ranks, strict=True) if r]
    qs = [_orthogonalize(q.to(flat.device), state.orthogonalization_epsilon) for q in qs]
    ps = [m @ q for m, q in zip(matrices, qs, strict=True)]
    sent = [x.reshape(-1) for x in (*plain, *ps)]
    first = begin_all_reduce(group, tg.cat(sent) / group.size())
    state.total_numel_before_compression += n
    state.total_numel_after_compression += sum(x.numel() for x in (*sent, *qs))
    state.maybe_increase_iter(bucket)

    def second(future: Future[Any]) -> Tensor:
        got = future.value().split([x.numel() for x in sent])
        bases = [
            _orthogonalize(x.reshape(p.shape), state.orthogonalization_epsilon)
            for x, p in zip(got[len(plain) :], ps, strict=True)
        ]
        factors: list[Tensor] = []
        if bases:
            own = [(m.T @ b) for m, b in zip(matrices, bases, strict=True)]
            joined = tg.cat([x.reshape(-1) for x in own]) / group.size()
            whole = begin_all_reduce(group, joined).wait().split([x.numel() for x in own])
            factors = [x.reshape(q.shape) for x, q in zip(whole, own, strict=True)]
        if state.warm_start:
            kept = [_finite(new, old) for new, old in zip(factors, qs, strict=True)]
            state.q_memory_dict[bucket.index()] = kept
        products = iter([b @ q.T for b, q in zip(bases, factors, strict=True)])
        whole_ones = iter(got[: len(plain)])
        result = [next(products if r else whole_ones).reshape(-1) for r in ranks]
        found = tg.cat(result)[:n]
        state.keep(bucket, flat - found)
        return found

    return first.then(second)


__all__ = ["PowerSGDState", "batched_powerSGD_hook", "powerSGD_hook"]

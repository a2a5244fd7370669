"""Connectionist temporal classification (Graves et al. 2006)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tabgrad.core.errors import ArgumentError, ShapeError
from tabgrad.core.promotion import cast, needs_float, widened
from tabgrad.core.shape import axis_index
from tabgrad.core.spec import spec
from tabgrad.core.trace import Box, constant
from tabgrad.nn.functional.loss import reduced
from tabgrad.ops.checked import within
from tabgrad.ops.elementwise import add, div, exp, log, maximum, mul, neg, stop_gradient, where
from tabgrad.ops.indexing import cat, gather, iota
from tabgrad.ops.reduction import reduce_sum
from tabgrad.ops.rounding import bitwise_and, eq, gt, isinf, lt, ne
from tabgrad.ops.view import expand, part, reshape
from tabgrad.tensor.conversion import convert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tabgrad.tensor import Tensor

LOW = -1e30
"""A finite stand-in for ln 0, so that differences are not nan."""


def _log_add(*terms: Tensor) -> Tensor:
    high = terms[0]
    for t in terms[1:]:
        high = maximum(high, t)
    high = stop_gradient(high)
    total = None
    for t in terms:
        e = exp(t - high)
        total = e if total is None else add(total, e)
    return add(log(total), high)


def _moved(alpha: Tensor, k: int) -> Tensor:
    """Shift alpha by k along its last axis; ln 0 comes before the first."""
    n, s = alpha.spec.shape
    if k >= s:
        return constant(LOW, alpha.spec, alpha.device)
    edge = constant(LOW, spec((n, k), alpha.spec.dtype), alpha.device)
    return cat.bind(edge, part(alpha, 1, 0, s - k), axis=1)


@widened(autocast=True, cpu=True)
def ctc_loss(
    log_probs: Tensor, targets: Tensor, input_lengths: Tensor | Sequence[int],
    target_lengths: Tensor | Sequence[int], blank: int = 0, reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:  # fmt: skip
    """Compute minus the log-probability of the targets, summed over all alignments.

    `log_probs` is [T, N, C] (or [T, C]). `targets` holds class indices: [N, S], padded at the end, or those of
    all N sequences joined, which reads the lengths. Lengths are [N]. The mean divides by the target lengths
    first. With `zero_infinity` impossible targets cost 0. Targets and lengths may be on the CPU beside an
    accelerator. The gradient by `log_probs` is the derivative.
    """
    needs_float("ctc_loss", log_probs)
    single = len(log_probs.spec.shape) == 2
    if single:
        steps, classes = log_probs.spec.shape
        log_probs = reshape.bind(log_probs, shape=(steps, 1, classes))
    axis_index("ctc_loss", 1, len(log_probs.spec.shape))
    steps, n, classes = log_probs.spec.shape
    kind = log_probs.device.index_dtype
    if not 0 <= blank < classes:
        raise ArgumentError(
            f"ctc_loss: blank must be in label range: got {blank} of {classes} classes"
        )
    if not log_probs.spec.size:
        raise ShapeError(
            f"ctc_loss: log_probs tensor must not be empty, got {log_probs.spec.shape}"
        )
    lengths = [_lengths(v, n, log_probs) for v in (input_lengths, target_lengths)]
    targets = _beside(targets, log_probs)
    if len(targets.spec.shape) == 1 and not single:
        targets = _padded(targets, target_lengths, blank)
    targets = reshape.bind(targets, shape=(n, targets.spec.size // max(1, n)))
    lengths = [
        within("ctc_loss", v, most + 1)
        for v, most in zip(lengths, (steps, targets.spec.shape[1]), strict=True)
    ]
    place = expand.bind(iota(targets.spec.shape[1], kind, targets.device), shape=targets.spec.shape)
    used = lt(place, expand.bind(reshape.bind(lengths[1], shape=(n, 1)), shape=targets.spec.shape))
    targets = where(used, cast(targets, kind), blank)
    targets = within("ctc_loss", targets, log_probs.spec.shape[2], what="target")
    labels, skips = _extended(targets, blank)
    loss = _forward(log_probs, labels, skips, lengths)
    if zero_infinity:
        loss = where(isinf(loss), 0, loss)
    if single:
        loss = reshape.bind(loss, shape=())
        lengths = [reshape.bind(v, shape=()) for v in lengths]
    if reduction == "mean":
        loss = div(loss, maximum(cast(lengths[1], loss.spec.dtype), 1))
    return reduced(loss, reduction)


def _padded(targets: Tensor, lengths: Tensor | Sequence[int], blank: int) -> Tensor:
    """Split joined targets of these lengths into rows padded with `blank`."""
    sizes = [int(k) for k in (lengths.tolist() if isinstance(lengths, Box) else lengths)]
    if sum(sizes) != targets.spec.size or min(sizes, default=0) < 0:
        raise ArgumentError(
            f"Expected tensor to have size {sum(sizes)} at dimension 0, but got size {targets.spec.size} for "
            "argument #2 'targets' of ctc_loss: with targets one behind another it is the sum of the lengths"
        )
    width, at, rows = max(sizes, default=0), 0, []
    for size in sizes:
        pad = constant(blank, spec((width - size,), targets.spec.dtype), targets.device)
        rows.append(cat.bind(part(targets, 0, at, at + size), pad, axis=0))
        at += size
    return reshape.bind(cat.bind(*rows, axis=0), shape=(len(sizes), width))


def _beside(x: Any, like: Tensor) -> Any:
    """Return a tensor of the CPU on the device of `like`, and others as they are."""
    return convert(x, None, like.device, False) if x.device.type == "cpu" else x


def _lengths(v: Tensor | Sequence[int], n: int, like: Tensor) -> Tensor:
    kind = like.device.index_dtype
    if isinstance(v, Box):
        return reshape.bind(cast(_beside(v, like), kind), shape=(n,))
    line = [v] if isinstance(v, int) else list(v)
    return cat.bind(*(constant(int(k), spec((1,), kind), like.device) for k in line), axis=0)


def _extended(targets: Tensor, blank: int) -> tuple[Any, Any]:
    """Put blanks between and around the targets, and tell where a step may skip the blank before."""
    n, s = targets.spec.shape
    blanks = constant(blank, spec((n, s, 1), targets.spec.dtype), targets.device)
    pairs = cat.bind(blanks, reshape.bind(targets, shape=(n, s, 1)), axis=2)
    pairs = reshape.bind(pairs, shape=(n, 2 * s))
    last = constant(blank, spec((n, 1), targets.spec.dtype), targets.device)
    labels = cat.bind(pairs, last, axis=1)
    before = constant(blank, spec((n, min(2, 2 * s + 1)), targets.spec.dtype), targets.device)
    two_back = cat.bind(before, part(labels, 1, 0, max(0, 2 * s - 1)), axis=1)
    return labels, bitwise_and(ne(labels, blank), ne(labels, two_back))


def _forward(log_probs: Tensor, labels: Tensor, skips: Tensor, lengths: list[Any]) -> Tensor:
    steps, n, _ = log_probs.spec.shape
    wide = labels.spec.shape[1]
    kind = log_probs.device.index_dtype
    place = expand.bind(iota(wide, kind, log_probs.device), shape=(n, wide))

    def emitted(t: int) -> Tensor:
        row = reshape.bind(part(log_probs, 0, t, t + 1), shape=log_probs.spec.shape[1:])
        return gather.bind(row, labels, axis=1)

    def column(v: Tensor) -> Tensor:
        return expand.bind(reshape.bind(v, shape=(n, 1)), shape=(n, wide))

    ends = column(add(mul(lengths[1], 2), 1))
    alpha = where(bitwise_and(lt(place, 2), lt(place, ends)), emitted(0), LOW)
    for t in range(1, steps):
        skipped = where(skips, _moved(alpha, 2), LOW)
        new = add(_log_add(alpha, _moved(alpha, 1), skipped), emitted(t))
        alpha = where(column(gt(lengths[0], t)), new, alpha)
    last = [where(eq(place, add(ends, -k)), alpha, 0) for k in (1, 2)]
    final = [reduce_sum.bind(v, axes=(1,)) for v in last]
    # an empty target has only one blank
    final[1] = where(eq(lengths[1], 0), LOW, final[1])
    total = _log_add(*final)
    return where(lt(total, LOW / 2), math.inf, neg(total))


__all__ = ["ctc_loss"]

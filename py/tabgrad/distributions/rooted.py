"""Binomial numbers, which PyTorch draws by a function at its root too."""

from __future__ import annotations

import tabgrad as tg
from tabgrad.distributions.gammas import log_gamma

Tensor = tg.Tensor


def binomial(count: Tensor, prob: Tensor, generator: tg.Generator | None = None) -> Tensor:
    """Return numbers of successes in `count` tries that each succeed with the probability `prob`.

    Both are floating-point, in shapes that broadcast; a probability counts as one from 0 to 1, a count below
    1 as 0. A result is nan where one of them is. The largest count is read.

    >>> import tabgrad as tg
    >>> tg.binomial(tg.tensor([10.0, 3.0]), tg.tensor([0.0, 1.0]))
    tensor([0., 3.])
    """
    for name, x in (("count", count), ("prob", prob)):
        if not x.is_floating_point():
            raise tg.DTypeError(
                f"binomial only supports floating-point dtypes for {name}, got: {x.dtype!r}; use {name}.float()"
            )
    count, prob = tg.broadcast_tensors(count.detach(), prob.detach())
    dtype = tg.result_type(count, prob)
    none = count.isnan() | prob.isnan()
    work = tg.float64 if dtype == tg.float64 else tg.float32
    n = tg.where(none, 0, count).to(work).floor().clamp(min=0)
    p = tg.where(none, 0, prob).to(work).clamp(0, 1)
    return tg.where(none, float("nan"), halved_binomial(n, p, generator)).to(dtype)


def halved_binomial(count: Tensor, p: Tensor, generator: tg.Generator | None) -> Tensor:
    """Return binomial numbers; large counts are halved by the middle one of as many sorted uniform numbers."""
    total = tg.zeros_like(p)
    most = int(count.max()) if count.numel() else 0
    while most > 64:
        # of n uniform numbers the m-th smallest is a beta sample; those on one side of it stay uniform
        halved = count > 1
        m = tg.where(halved, (count / 2).floor() + 1, 1)
        pair = tg.stack((m, (count + 1 - m).clamp(min=1)), -1)
        first, second = log_gamma(pair, generator).unbind(-1)
        y = (first - second).sigmoid()
        below = y <= p
        total = tg.where(halved & below, total + m, total)
        rest = (((p - y) / (1 - y)).clamp(0, 1), (p / y).clamp(0, 1))
        p = tg.where(halved, tg.where(below, *rest), p)
        count = tg.where(halved, tg.where(below, count - m, m - 1), count)
        most = most // 2
    each = tg.arange(most, dtype=p.dtype, device=p.device)
    tries = tg.rand((*p.shape, most), generator=generator, dtype=p.dtype, device=p.device)
    hits = (tries < p.unsqueeze(-1)) & (each < count.unsqueeze(-1))
    return total + hits.to(p.dtype).sum(-1)


__all__ = ["binomial"]

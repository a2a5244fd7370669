"""Collective calls that hooks begin and don't wait for."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.distributed.collectives import all_gather, all_reduce
from tabgrad.futures import Future

Tensor = tg.Tensor


def begin_all_reduce(group: Any, x: Tensor) -> Future[Any]:
    """Begin to add up the tensors of all; return a Future of the tensor."""
    work = all_reduce(x, group=group, async_op=True)
    assert work is not None
    return work.get_future().then(lambda future: future.value()[0])


def begin_all_gather(group: Any, x: Tensor) -> Future[list[Tensor]]:
    """Begin to collect the tensors of all; return a Future of them."""
    outs = [tg.empty_like(x) for _ in range(group.size())]
    work = all_gather(outs, x, group=group, async_op=True)
    assert work is not None
    return work.get_future()

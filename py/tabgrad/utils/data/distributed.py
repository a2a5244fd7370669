"""The part of a data set that one of several processes takes."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sized

import tabgrad as tg
from tabgrad.utils.data.sampler import Sampler


class DistributedSampler(Sampler[int]):
    """The examples of process `rank` of `num_replicas`: every `num_replicas`-th, in the order of an epoch.

    The order is drawn from `seed` and the epoch, which `set_epoch` says. The parts have one length: some
    examples come twice, or with `drop_last` some never.

    >>> import tabgrad as tg
    >>> list(tg.utils.data.DistributedSampler(range(5), num_replicas=2, rank=1, shuffle=False))
    [1, 3, 0]
    """

    def __init__(
        self, dataset: Sized, num_replicas: int | None = None, rank: int | None = None,
        shuffle: bool = True, seed: int = 0, drop_last: bool = False,
    ) -> None:  # fmt: skip
        if num_replicas is None or rank is None:
            if not tg.distributed.is_initialized():
                raise RuntimeError(
                    "DistributedSampler: there is no group of processes that tells num_replicas and rank; say "
                    "both, or call init_process_group first"
                )
            world = tg.distributed.get_world_size()
            num_replicas = world if num_replicas is None else num_replicas
            rank = tg.distributed.get_rank() if rank is None else rank
        if not 0 <= rank < num_replicas:
            raise ValueError(
                f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]"
            )
        self.dataset, self.num_replicas, self.rank = dataset, num_replicas, rank
        self.shuffle, self.seed, self.drop_last, self.epoch = shuffle, seed, drop_last, 0
        n = len(dataset)
        self.num_samples = (
            n // num_replicas if drop_last and n >= num_replicas else math.ceil(n / num_replicas)
        )
        self.total_size = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[int]:
        order = list(range(len(self.dataset)))
        if self.shuffle:
            generator = tg.Generator().manual_seed(self.seed + self.epoch)
            random.Random(generator.key << 32 | generator.advance()).shuffle(order)
        if not self.drop_last:
            whole = order * math.ceil(self.total_size / max(len(order), 1))
            order = whole[: self.total_size]
        return iter(order[: self.total_size][self.rank :: self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next, so that its order is another one."""
        self.epoch = epoch

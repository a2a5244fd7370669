"""Data sets that the tests of worker processes send to them."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tabgrad as tg
from tabgrad.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info


class Uneven(Dataset[Any]):
    """Examples some of which take longer; each says in which process it was made."""

    def __init__(self, n: int = 24) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[int, int]:
        time.sleep(0.005 * (i % 4 == 0))
        return i, os.getpid()


class Shared(IterableDataset[Any]):
    """The first numbers of a hundred of the worker's own, `sizes[worker]` of them."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = sizes

    def __iter__(self) -> Iterator[int]:
        info = get_worker_info()
        i = 0 if info is None else info.id
        return iter(range(100 * i, 100 * i + self.sizes[i]))


class Acting(Dataset[Any]):
    """Six examples, of which the third does what it was made to."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act

    def __len__(self) -> int:
        return 6

    def __getitem__(self, i: int) -> Any:
        return self.act() if i == 2 else i


class Made(Dataset[Any]):
    """What a function makes, `n` times."""

    def __init__(self, make: Callable[[], Any], n: int = 2) -> None:
        self.make = make
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Any:
        return self.make()


class TwoParts(Exception):
    """An error that no text alone makes."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(first, second)


def throws(error: BaseException) -> Callable[[], Any]:
    def act() -> Any:
        raise error

    return act


def leaves() -> Any:
    os._exit(7)


def is_killed() -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def draws() -> tuple[int, int, int, int, int]:
    """Return who draws, its seed, and a number of each generator."""
    info = get_worker_info()
    assert info is not None
    word = 1 << 30
    return (info.id, info.seed, random.randrange(word), int(np.random.randint(word)),
            int(tg.randint(0, word, (1,)).item()))  # fmt: skip


def where() -> tuple[Any, ...]:
    """Return what is made here: on which device, with a gradient or not, in whose data set."""
    info = get_worker_info()
    assert info is not None
    x = tg.ones(2) * tg.ones(2, requires_grad=True)
    return str(x.device), x.requires_grad, info.id, info.num_workers, info.dataset.n


def pid() -> int:
    return os.getpid()


def fails_to_begin(worker: int) -> None:
    raise ValueError(f"worker {worker} can't begin")


def scales(worker: int) -> None:
    """Give the worker's own data set an attribute."""
    info = get_worker_info()
    assert info is not None
    info.dataset.n = 100 + worker


class Unwilling(Uneven):
    """A data set that can be sent, and can't be made of what was sent."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        raise LookupError("no file here")


class Holding(Dataset[Any]):
    """One example made of all that is held."""

    def __init__(self, **held: Any) -> None:
        self.held = held

    def __len__(self) -> int:
        return 1

    def __getitem__(self, i: int) -> dict[str, Any]:
        h = self.held
        return {
            "tensors": h["tensors"][1][0].tolist(),
            "subset": [h["subset"][j][0].tolist() for j in range(len(h["subset"]))],
            "concat": [h["concat"][j][0].tolist() for j in range(len(h["concat"]))],
            "module": h["module"](tg.ones(1, 2)).tolist(),
            "parameter": (type(h["parameter"]).__name__, h["parameter"].requires_grad),
            "sampler": sorted(h["sampler"]),
            "generator": tg.randint(0, 1000, (3,), generator=h["generator"]).tolist(),
            "bfloat16": (str(h["bfloat16"].dtype), h["bfloat16"].tolist()),
            "device": str(tg.zeros(1).device),
        }


def load(data: Any, batch_size: int | None = 2, num_workers: int = 2, **options: Any) -> Any:
    """Return a loader whose workers are forked."""
    return DataLoader(data, batch_size, num_workers=num_workers, multiprocessing_context="fork",
                      **options)  # fmt: skip


def as_they_are(data: Any) -> Any:
    """Return a loader of examples that nothing converts."""
    return load(data, None, num_workers=1, collate_fn=lambda example: example)

"""DataLoader: batches of a data set."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from tabgrad.utils.data.collate import default_collate
from tabgrad.utils.data.dataset import Dataset, IterableDataset, Subset, TensorDataset
from tabgrad.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

T_co = TypeVar("T_co", covariant=True)


def get_worker_info() -> None:
    """Return None: batches are made where they are used, and there are no workers.

    >>> import tabgrad as tg
    >>> tg.utils.data.get_worker_info() is None
    True
    """
    return None


class DataLoader(Generic[T_co]):
    """Iterates over batches of a data set.

    `shuffle` draws a new order for each pass; `sampler` or `batch_sampler` give an order of your own;
    `batch_size` None yields examples as they are; `collate_fn` makes a batch of a list of examples.
    Batches are made in this thread: `num_workers`, `pin_memory` and the other options of worker
    processes are accepted and have no effect, since a browser has no processes. So `get_worker_info()` is
    None everywhere, as it is outside of PyTorch's workers, and a data set that shares its examples out among
    workers by it gives them all.

    >>> import tabgrad as tg
    >>> x = tg.arange(5, device="cpu")
    >>> loader = tg.utils.data.DataLoader(tg.utils.data.TensorDataset(x), batch_size=2)
    >>> [batch.tolist() for (batch,) in loader]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self, dataset: Dataset[T_co], batch_size: int | None = 1, shuffle: bool | None = None,
        sampler: Sampler[Any] | Iterable[Any] | None = None,
        batch_sampler: Sampler[list[Any]] | Iterable[list[Any]] | None = None,
        num_workers: int = 0, collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False, drop_last: bool = False, timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None, multiprocessing_context: Any = None,
        generator: Any = None, *, prefetch_factor: int | None = None,
        persistent_workers: bool = False, pin_memory_device: str = "", in_order: bool = True,
    ) -> None:  # fmt: skip
        if num_workers < 0:
            raise ValueError("num_workers option should be non-negative")
        self.dataset = dataset
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.drop_last = drop_last
        self.generator = generator
        iterable = isinstance(dataset, IterableDataset)
        if iterable and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError(
                "DataLoader with IterableDataset: expected no shuffle, sampler or batch_sampler option"
            )
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, "
                    "and drop_last"
                )
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None does not go with drop_last")
        if sampler is None and not iterable:
            sized: Any = dataset
            sampler = (
                RandomSampler(sized, generator=generator) if shuffle else SequentialSampler(sized)
            )
        self.sampler: Any = sampler
        self.batch_size = batch_size
        if batch_size is not None and batch_sampler is None and not iterable:
            batch_sampler = BatchSampler(sampler or (), batch_size, drop_last)
        self.batch_sampler: Any = batch_sampler
        batched = batch_sampler is not None or batch_size is not None
        self.collate_fn = collate_fn or (default_collate if batched else lambda example: example)

    def __iter__(self) -> Iterator[Any]:
        dataset: Any = self.dataset
        if isinstance(dataset, IterableDataset):
            yield from self._from_iterable(iter(dataset))
        elif self.batch_sampler is None:
            yield from (self.collate_fn(dataset[i]) for i in self.sampler)
        else:
            for indices in self.batch_sampler:
                yield self._fetch(dataset, list(indices))

    def _from_iterable(self, examples: Iterator[Any]) -> Iterator[Any]:
        if self.batch_size is None:
            yield from map(self.collate_fn, examples)
            return
        while batch := list(itertools.islice(examples, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield self.collate_fn(batch)

    def _fetch(self, dataset: Any, indices: list[Any]) -> Any:
        whole = self.collate_fn is default_collate
        while whole and type(dataset) is Subset:
            dataset, indices = dataset.dataset, [dataset.indices[i] for i in indices]
        if whole and type(dataset) is TensorDataset:
            return list(dataset.batch(indices))
        if hasattr(dataset, "__getitems__"):
            return self.collate_fn(dataset.__getitems__(indices))
        return self.collate_fn([dataset[i] for i in indices])

    def __len__(self) -> int:
        if self.batch_sampler is not None:
            return len(self.batch_sampler)
        n = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return n
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

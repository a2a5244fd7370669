"""Making batches one by one, in the caller or in a worker process, and a worker's information on itself."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tabgrad.utils.data.collate import default_collate
from tabgrad.utils.data.dataset import IterableDataset, Subset, TensorDataset


class WorkerInfo(NamedTuple):
    """Information for a worker process of a loader; `dataset` is its own copy."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


class _Here:
    """The information of this process, None outside of workers."""

    worker: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """Get `id`, `num_workers`, `seed` and `dataset` in a worker process of a loader, None elsewhere.

    An iterable data set needs it to divide its examples among the workers, each of which has a copy.

    >>> import tabgrad as tg
    >>> tg.utils.data.get_worker_info() is None
    True
    """
    return _Here.worker


def become(worker: WorkerInfo) -> None:
    """Make this process a worker."""
    _Here.worker = worker


class Exhausted(Exception):
    """An iterable data set has no more examples."""


class Fetcher:
    """Makes the batches of a data set.

    It is called with indices or an index from the loader's order; of an iterable data set it takes
    the next examples, as many as there are indices, and raises Exhausted at the end.
    """

    def __init__(
        self, dataset: Any, collate_fn: Callable[[Any], Any], batched: bool, drop_last: bool
    ) -> None:
        self.dataset = dataset
        self._collate = collate_fn
        self._batched = batched
        self._drop_last = drop_last
        self._examples: Iterator[Any] | None = None

    def begin(self) -> None:
        """Start from the first example of an iterable data set."""
        self._examples = iter(self.dataset) if isinstance(self.dataset, IterableDataset) else None

    def __call__(self, index: Any) -> Any:
        if self._examples is not None:
            return self._following(self._examples, index)
        return self._chosen(list(index)) if self._batched else self._collate(self.dataset[index])

    def _following(self, examples: Iterator[Any], index: Any) -> Any:
        if not self._batched:
            for example in examples:
                return self._collate(example)
            raise Exhausted
        batch = list(itertools.islice(examples, len(index)))
        if not batch or (self._drop_last and len(batch) < len(index)):
            raise Exhausted
        return self._collate(batch)

    def _chosen(self, indices: list[Any]) -> Any:
        dataset: Any = self.dataset
        whole = self._collate is default_collate
        while whole and type(dataset) is Subset:
            dataset, indices = dataset.dataset, [dataset.indices[i] for i in indices]
        if whole and type(dataset) is TensorDataset:
            return list(dataset.batch(indices))
        if hasattr(dataset, "__getitems__"):
            return self._collate(dataset.__getitems__(indices))
        return self._collate([dataset[i] for i in indices])


class MadeHere(Iterator[Any]):
    """Makes each batch in the caller when it is asked for; after an error it goes on with the next batch."""

    def __init__(self, fetcher: Fetcher, order: Iterator[Any], indices: Any) -> None:
        self._fetcher = fetcher
        self._order = order
        self._indices = indices
        fetcher.begin()

    def __len__(self) -> int:
        return len(self._indices)

    def __next__(self) -> Any:
        index = next(self._order)
        try:
            return self._fetcher(index)
        except Exhausted:
            self._order = iter(())
        except StopIteration as error:  # a loop would take it for the end
            raise RuntimeError("a data set or collate_fn raised StopIteration") from error
        raise StopIteration

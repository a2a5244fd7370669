"""DataLoader: batches of a data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from tabgrad.core.errors import warn
from tabgrad.core.settings import setting
from tabgrad.hosts.host import in_browser
from tabgrad.utils.data.collate import default_collate, default_convert
from tabgrad.utils.data.dataset import Dataset, IterableDataset
from tabgrad.utils.data.fetching import Fetcher, MadeHere
from tabgrad.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    python_generator,
)

T_co = TypeVar("T_co", covariant=True)
FIXED = frozenset(
    ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")
)
"""The attributes of a loader that can't be changed."""


@setting
class _Said:
    """True if the warning that there are no processes was given."""

    in_browser = False


class _Endless(Sampler[Any]):
    """The order of an iterable data set, which has no indices: always the next example."""

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield None


class DataLoader(Generic[T_co]):
    """Iterates over batches of a data set.

    `shuffle` draws a new order for each pass; `sampler` or `batch_sampler` give an order of your own;
    `batch_size` None yields examples one by one, their arrays as tensors; `collate_fn` makes a batch of a
    list of examples.

    With `num_workers` 0 batches are made here, as they are asked for; else in so many processes, each
    `prefetch_factor` (2) of them ahead, and come in the same order, unless `in_order` is False.
    `persistent_workers` stay for the next pass. A worker has its own copy of the data set, the default device
    `cpu`, and random numbers seeded by a draw of `generator` plus its number; it calls
    `worker_init_fn(number)` first, and `get_worker_info()` says where it is. An error there is raised here
    with its traceback; so is RuntimeError if a worker dies, or takes more than `timeout` seconds (0: any).
    `multiprocessing_context` names a start method, or is a context: with any but `fork` all this is pickled,
    and the main program needs `if __name__ == "__main__":`. Tensors on a GPU do not survive a fork.
    A browser has no processes: one warning says so, and batches are made here. There is no pinned memory.

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
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order
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
        if sampler is None:
            sized: Any = dataset
            if iterable:
                sampler = _Endless()
            elif shuffle:
                sampler = RandomSampler(sized, generator=generator)
            else:
                sampler = SequentialSampler(sized)
        self.sampler: Any = sampler
        self.batch_size = batch_size
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(self.sampler, batch_size, drop_last)
        self.batch_sampler: Any = batch_sampler
        self.collate_fn = collate_fn or (
            default_convert if batch_sampler is None else default_collate
        )
        self._iterator: Any = None
        self.persistent_workers = persistent_workers

    def __setattr__(self, name: str, value: Any) -> None:
        if name in FIXED and "persistent_workers" in self.__dict__:
            raise ValueError(
                f"{name} attribute should not be set after {type(self).__name__} is initialized"
            )
        super().__setattr__(name, value)

    @property
    def multiprocessing_context(self) -> Any:
        """The context that makes processes, None for Python's default."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context: Any) -> None:
        self._context = None if context is None else _context(context, self.num_workers)

    def __iter__(self) -> Iterator[Any]:
        if self.pin_memory:
            warn(
                "'pin_memory' argument is set as true but there is no pinned memory here: it is not used.",
            )
        return self._get_iterator()

    def _get_iterator(self) -> Any:
        """Make the iterator of an epoch; a subclass may replace it."""
        order = iter(self._index_sampler)
        # drawn in any case, so that the order is the same with and without workers
        seed = python_generator(self.generator).getrandbits(63)
        batched = self._auto_collation
        fetcher = Fetcher(self.dataset, self.collate_fn, batched, self.drop_last)
        if not self.num_workers or _no_processes():
            if self.timeout and not self.num_workers:
                raise AssertionError(
                    "timeout needs num_workers > 0: what is made here comes when made"
                )
            return MadeHere(fetcher, order, self._index_sampler)
        from tabgrad.utils.data.workers import WorkerIterator

        if self._iterator is not None and self._iterator.open:
            self._iterator.start(order)
            return self._iterator
        made = WorkerIterator(self, fetcher, order, seed)
        self._iterator = made if self.persistent_workers else None
        return made

    @property
    def _auto_collation(self) -> bool:
        """Whether examples are made batches of."""
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Any:
        """The sampler of the indices of each batch, or of each example without batches."""
        return self.batch_sampler if self._auto_collation else self.sampler

    def __len__(self) -> int:
        if not isinstance(self.dataset, IterableDataset):
            return len(self._index_sampler)
        n = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return n
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


def _check_workers(count: int, timeout: float, ahead: int | None, persistent: bool) -> None:
    """Raise PyTorch's errors for options of workers that do not fit, and give its warnings."""
    if count < 0:
        raise ValueError(
            "num_workers option should be non-negative; use num_workers=0 to disable multiprocessing."
        )
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if count == 0 and ahead is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing: "
            "let num_workers > 0, or leave prefetch_factor out"
        )
    if ahead is not None and ahead < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent and count == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")
    if count and not in_browser():
        asked = getattr(os, "sched_getaffinity", None)
        cores = len(asked(0)) if asked else os.cpu_count() or 1
        if count > cores:
            warn(
                f"This DataLoader will create {count} worker processes in total, and there are {cores} cores "
                "here: more workers than cores may be slower than fewer.",
            )


def _context(given: Any, workers: int) -> Any:
    """Get the context that makes processes, from the name of a start method or as given."""
    if not workers:
        raise ValueError(
            "multiprocessing_context can only be used with multi-process loading (num_workers > 0), "
            f"but got num_workers={workers}"
        )
    if in_browser():
        return None
    import multiprocessing
    from multiprocessing.context import BaseContext

    if isinstance(given, str):
        methods = multiprocessing.get_all_start_methods()
        if given not in methods:
            raise ValueError(
                "multiprocessing_context option should specify a valid start method in "
                f"{methods!r}, but got multiprocessing_context={given!r}"
            )
        return multiprocessing.get_context(given)
    if not isinstance(given, BaseContext):
        raise TypeError(
            "multiprocessing_context option should be a valid context object or a string specifying "
            f"the start method, but got multiprocessing_context={given}"
        )
    return given


def _no_processes() -> bool:
    """Test whether this is a browser, where workers are not possible; the first time, warn of it."""
    if not in_browser():
        return False
    if not _Said.in_browser:
        _Said.in_browser = True
        warn(
            "DataLoader: a browser has no processes, so num_workers is taken for 0 and batches are made here",
        )
    return True

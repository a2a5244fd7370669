"""Data sets."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import tabgrad as tg
from tabgrad.core.shown import shown_by
from tabgrad.utils.data.sampler import python_generator

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Examples by index: a subclass defines `__getitem__`, and usually `__len__`.

    With `__getitems__(indices)`, which returns a list, a loader fetches whole batches.
    """

    _repr_html_ = shown_by("dataset")

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__")

    def __add__(self, other: Dataset[T_co]) -> ConcatDataset[T_co]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """Examples in a sequence: a subclass defines `__iter__`."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} does not define __iter__")

    def __add__(self, other: Dataset[T_co]) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[tg.Tensor, ...]]):
    """Row i of each of several tensors.

    A loader takes a batch with one gather on each tensor, not row by row.

    >>> import tabgrad as tg
    >>> x = tg.tensor([[1.0], [2.0], [3.0]], device="cpu")
    >>> data = tg.utils.data.TensorDataset(x, tg.tensor([0, 1, 0], device="cpu"))
    >>> data[1]
    (tensor([2.]), tensor(1))
    """

    def __init__(self, *tensors: tg.Tensor) -> None:
        if not tensors:
            raise ValueError("TensorDataset: expected at least one tensor")
        for t in tensors:
            if t.shape[0] != tensors[0].shape[0]:
                raise AssertionError(
                    "TensorDataset: size mismatch between tensors: first sizes are "
                    f"{[u.shape[0] for u in tensors]}"
                )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[tg.Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def batch(self, indices: list[int]) -> tuple[tg.Tensor, ...]:
        """Copy the rows `indices` of each tensor."""
        first = self.tensors[0]
        start = indices[0] if indices else -1
        end = start + len(indices)
        if 0 <= start and end <= len(self) and indices == list(range(start, end)):
            return tuple(t.clone() for t in self[start:end])
        at = tg.tensor(indices, device=first.device)
        same = [at if t.device == first.device else at.to(t.device) for t in self.tensors]
        return tuple(t[i] for t, i in zip(self.tensors, same, strict=True))

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])


def many(dataset: Any, indices: list[int]) -> list[Any]:
    """Get several examples, at once if the data set has `__getitems__`."""
    if hasattr(dataset, "__getitems__"):
        found = list(dataset.__getitems__(indices))
        if len(found) != len(indices):
            raise ValueError(
                f"{type(dataset).__name__}.__getitems__ returned {len(found)} examples, "
                f"not one for each of {len(indices)} indices"
            )
        return found
    return [dataset[i] for i in indices]


class StackDataset(Dataset[Any]):
    """Example i of each of several data sets: a tuple, or a dict if they are given by name."""

    def __init__(self, *args: Dataset[Any], **kwargs: Dataset[Any]) -> None:
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset: expected data sets, all by position or all by name")
        self.datasets: Any = kwargs or args
        members = list(kwargs.values()) if kwargs else list(args)
        lengths = [len(d) for d in members]  # type: ignore[arg-type]
        if len(set(lengths)) > 1:
            raise ValueError(f"StackDataset: size mismatch between datasets: {lengths}")
        self._length = lengths[0]

    def __getitem__(self, index: int) -> Any:
        if isinstance(self.datasets, dict):
            return {name: d[index] for name, d in self.datasets.items()}
        return tuple(d[index] for d in self.datasets)

    def __getitems__(self, indices: list[int]) -> list[Any]:
        if isinstance(self.datasets, dict):
            columns = [many(d, indices) for d in self.datasets.values()]
            return [
                dict(zip(self.datasets, row, strict=True)) for row in zip(*columns, strict=True)
            ]
        return list(zip(*[many(d, indices) for d in self.datasets], strict=True))

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset[T_co]):
    """The examples of several data sets, one set after the other."""

    def __init__(self, datasets: Iterable[Dataset[T_co]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("datasets should not be an empty iterable")
        lengths = [len(d) for d in self.datasets]  # type: ignore[arg-type]
        self.cumulative_sizes = list(itertools.accumulate(lengths))

    def __getitem__(self, index: int) -> T_co:
        i = index + len(self) if index < 0 else index
        if not 0 <= i < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} examples")
        which = bisect_right(self.cumulative_sizes, i)
        return self.datasets[which][i - (self.cumulative_sizes[which - 1] if which else 0)]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class ChainDataset(IterableDataset[Any]):
    """The examples of several iterable data sets, one set after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = datasets

    def __iter__(self) -> Iterator[Any]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise AssertionError("ChainDataset only supports IterableDataset")
            yield from dataset

    def __len__(self) -> int:
        return sum(len(d) for d in self.datasets)


class Subset(Dataset[T_co]):
    """The examples of a data set at `indices`."""

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> T_co:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list[T_co]:
        return many(self.dataset, [self.indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Dataset[Any], lengths: Sequence[int | float], generator: Any = None
) -> list[Subset[Any]]:
    """Divide a data set at random into subsets of these lengths, or of these fractions adding up to 1.

    >>> import tabgrad as tg
    >>> parts = tg.utils.data.random_split(range(10), [0.7, 0.3])
    >>> [len(part) for part in parts]
    [7, 3]
    """
    n = len(dataset)  # type: ignore[arg-type]
    sizes = list(lengths)
    if sizes and sum(sizes) <= 1 and math.isclose(sum(sizes), 1):
        for i, share in enumerate(sizes):
            if not 0 <= share <= 1:
                raise ValueError(f"Fraction at index {i} is not between 0 and 1")
        sizes = [math.floor(n * share) for share in sizes]
        for i in range(n - int(sum(sizes))):
            sizes[i % len(sizes)] += 1
    if sum(sizes) != n:
        raise ValueError(
            f"Sum of input lengths does not equal the length of the input dataset: {sizes} and {n}"
        )
    order = list(range(n))
    python_generator(generator).shuffle(order)
    ends = itertools.accumulate(int(size) for size in sizes)
    return [
        Subset(dataset, order[end - int(size) : end]) for end, size in zip(ends, sizes, strict=True)
    ]

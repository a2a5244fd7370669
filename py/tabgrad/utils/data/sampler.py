"""Samplers: the order in which a loader takes the examples.

An order is drawn with Python's generator, seeded from tabgrad's: it is wanted as Python numbers, and reading
it back from a device would wait for the device.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import tabgrad as tg

T_co = TypeVar("T_co", covariant=True)


def python_generator(generator: Any = None) -> random.Random:
    """Make a Python generator seeded by the next draw of `generator` (the default generator for None)."""
    source = tg.default_generator if generator is None else generator
    return random.Random(source.key << 32 | source.advance())


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name} should be a boolean value, but got {name}={value!r}")


class Sampler(Generic[T_co]):
    """The base: a subclass defines `__iter__` over indices, or lists of them, and usually `__len__`."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} does not define __iter__")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ..."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """A permutation drawn anew each time; with `replacement`, `num_samples` draws with repetition."""

    def __init__(
        self, data_source: Sized, replacement: bool = False, num_samples: int | None = None,
        generator: Any = None,
    ) -> None:  # fmt: skip
        if num_samples is not None and num_samples <= 0:
            raise ValueError(
                f"num_samples should be a positive integer value, but got num_samples={num_samples}"
            )
        _check_flag("replacement", replacement)
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator

    @property
    def num_samples(self) -> int:
        """The number of indices of one pass."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        rng = python_generator(self.generator)
        n = len(self.data_source)
        if self.replacement:
            yield from (rng.randrange(n) for _ in range(self.num_samples))
            return
        left = self.num_samples
        while left > 0:
            order = list(range(n))
            rng.shuffle(order)
            yield from order[:left]
            left -= n

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices in a random order."""

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        order = list(self.indices)
        python_generator(self.generator).shuffle(order)
        return iter(order)

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Indices drawn with probabilities in proportion to `weights`."""

    def __init__(
        self, weights: Any, num_samples: int, replacement: bool = True,
        generator: Any = None,
    ) -> None:  # fmt: skip
        if not isinstance(num_samples, int) or num_samples <= 0:
            raise ValueError(
                f"num_samples should be a positive integer value, but got num_samples={num_samples}"
            )
        _check_flag("replacement", replacement)
        given = tg.as_tensor(weights, dtype=tg.float64, device="cpu")
        if given.dim() != 1:
            raise ValueError(f"weights should be a 1d sequence, got shape {tuple(given.shape)}")
        self.weights = given.tolist()
        if not all(0 <= w < math.inf for w in self.weights):
            raise RuntimeError("WeightedRandomSampler: a weight is negative, inf or nan")
        if not replacement and num_samples > sum(w > 0 for w in self.weights):
            raise ValueError(
                f"cannot draw {num_samples} times without replacement from "
                f"{sum(w > 0 for w in self.weights)} positive weights"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        rng = python_generator(self.generator)
        if self.replacement:
            places = range(len(self.weights))
            return iter(rng.choices(places, self.weights, k=self.num_samples))
        # The first events of exponential clocks with these rates are a draw without replacement (Efraimidis and
        # Spirakis 2006).
        times = [(rng.expovariate(1.0) / w, i) for i, w in enumerate(self.weights) if w > 0]
        return iter([i for _, i in sorted(times)[: self.num_samples]])

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` indices of another sampler; `drop_last` leaves a short last one out.

    >>> import tabgrad as tg
    >>> list(tg.utils.data.BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(
                f"batch_size should be a positive integer value, but got batch_size={batch_size}"
            )
        _check_flag("drop_last", drop_last)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        n = len(self.sampler)  # type: ignore[arg-type]
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

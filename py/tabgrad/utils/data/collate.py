"""Batches of examples."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import tabgrad as tg


def default_convert(data: Any) -> Any:
    """Make tensors of the NumPy arrays and numbers in an example; the rest stays as it is.

    The loader applies it to the examples of a data set where `batch_size` is None. Arrays of text and of
    objects stay arrays; a tuple becomes a list; dicts, lists and named tuples keep their types.

    >>> import numpy as np
    >>> tg.utils.data.default_convert({"x": np.ones(2, "float32"), "name": "a"})
    {'x': tensor([1., 1.]), 'name': 'a'}
    """
    if hasattr(data, "__array_interface__") and not isinstance(data, tg.Tensor):
        return data if data.dtype.kind in "SUO" else tg.as_tensor(data)
    if isinstance(data, Mapping):
        return _like(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        items = [default_convert(value) for value in data]
        return items if type(data) is tuple else _like(data, items)
    return data


def _like(example: Any, made: Any) -> Any:
    """Put converted elements into a container of the same type, if that is possible."""
    if isinstance(example, tuple) and hasattr(example, "_fields"):
        return type(example)(*made)
    try:
        if isinstance(example, MutableMapping):
            other = copy.copy(example)  # keeps what else it holds, as the factory of a defaultdict
            other.update(made)
            return other
        return type(example)(made)
    except TypeError:
        return made


def default_collate(batch: Sequence[Any]) -> Any:
    """Make one batch of a list of examples.

    Tensors and arrays are stacked; numbers become a tensor, floats one of float64 where the device has it;
    strings stay as they are. Containers keep their structure and types, with a batch in each place; a tuple
    becomes a list.

    >>> import tabgrad as tg
    >>> tg.utils.data.default_collate([("a", 1), ("b", 2)])[0]
    ('a', 'b')
    """
    first = batch[0]
    if isinstance(first, tg.Tensor):
        return tg.stack(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, float):
        return tg.tensor(batch, dtype=tg.get_default_device().canonical(tg.float64))
    if isinstance(first, int):
        return tg.tensor(batch)
    if hasattr(first, "__array_interface__"):
        if first.dtype.kind in "SUO":
            raise TypeError(
                f"default_collate: arrays of {first.dtype} can't be tensors; give a collate_fn"
            )
        return tg.stack([tg.tensor(a) for a in batch])
    if isinstance(first, Mapping):
        return _like(first, {key: default_collate([one[key] for one in batch]) for key in first})
    if isinstance(first, Sequence):
        for one in batch:
            if len(one) != len(first):
                raise RuntimeError(
                    "each element in list of batch should be of equal size, got "
                    f"{sorted({len(other) for other in batch})}"
                )
        columns = [default_collate(column) for column in zip(*batch, strict=True)]
        return columns if type(first) is tuple else _like(first, columns)
    raise TypeError(
        "default_collate: batch must contain tensors, arrays, numbers, dicts or lists; "
        f"found {type(first).__name__}; give the loader a collate_fn of your own"
    )
